#!/usr/bin/env python3
"""Makes persuasion.txt: 160 passages of 200 words of Jane Austen's "Persuasion" (1817, public domain).

    apt-get download r-cran-janeaustenr        (1.0.0-1; only its data are read, no R is needed)
    python3 passages.py r-cran-janeaustenr_1.0.0-1_all.deb

Passages start where a paragraph starts and are spread evenly over the book. One is one line.
"""

import io
import re
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

MEMBER = "./usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
PASSAGES, WORDS = 160, 200


def objects(database):
    """The values of an .rdb file: each is its length and a zlib stream."""
    at = 0
    while at < len(database):
        stream = zlib.decompressobj()
        value = stream.decompress(database[at + 4:])
        assert len(value) == int.from_bytes(database[at:at + 4], "big")
        at = len(database) - len(stream.unused_data)
        yield value


def strings(value):
    """A character vector in R's XDR serialisation, version 3: a head, a count, strings."""
    assert value[:6] == b"X\n\0\0\0\3" and value[23:27] == b"\0\0\0\x10", value[:30]
    count, at = int.from_bytes(value[27:31], "big"), 31
    for _ in range(count):
        assert value[at + 3] == 9
        length = int.from_bytes(value[at + 4:at + 8], "big")
        yield value[at + 8:at + 8 + length].decode()
        at += 8 + length


def main():
    package = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", sys.argv[1]], check=True, capture_output=True).stdout
    database = tarfile.open(fileobj=io.BytesIO(package)).extractfile(MEMBER).read()
    books = [list(strings(value)) for value in objects(database)]
    book = next(book for book in books if book[0] == "Persuasion")
    paragraphs = re.split(r"\n\s*\n", "\n".join(book))
    paragraphs = [" ".join(paragraph.split()).replace("_", "") for paragraph in paragraphs]
    start = next(i for i, p in enumerate(paragraphs) if p.startswith("Sir Walter Elliot"))
    end = next(i for i, p in enumerate(paragraphs) if p in ("Finis", "FINIS", "THE END"))
    paragraphs = [p for p in paragraphs[start:end] if not p.startswith("Chapter ")]
    words, starts = [], []
    for paragraph in paragraphs:
        starts.append(len(words))
        words += paragraph.split()
    last = [s for s in starts if s + WORDS <= len(words)]
    chosen = []
    for i in range(PASSAGES):
        wanted = i * len(words) // PASSAGES
        free = [s for s in last if not chosen or s >= chosen[-1] + WORDS]
        chosen.append(min(free, key=lambda s: abs(s - wanted)))
    out = Path(__file__).resolve().parent / "persuasion.txt"
    out.write_text("".join(" ".join(words[s:s + WORDS]) + "\n" for s in chosen))
    print(f"{out.name}: {len(chosen)} passages of {len(words)} words, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
