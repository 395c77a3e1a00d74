#!/usr/bin/env python3
"""What FP8 costs: the same text read by a worker in bf16 and in fp8, compared token by token.

    pip install numpy tokenizers
    python3 quality.py --worker "portico-worker" --model FOLDER [--passages 160] [--candidate fp8]

Runs `WORKER score --model FOLDER --dtype T --ids FILE --out -` for both types side by side and reads
their logits from pipes; README.md has the format. `--worker "python3 simulate.py"` asks torch instead.

Measured over persuasion.txt, after the first 32 tokens of each passage:

- word accuracy: a word counts as known when every token of it, punctuation left out, is the likeliest
  one after the true text before it. The items are the words: some 28,000. It measures how well the model
  still predicts English prose, nothing of instructions or facts. Retention = fp8 / bf16.
- the same for the last words of sentences alone, where the sentence leads up to them (as LAMBADA asks).
- perplexity ratio fp8 / bf16; mean Kullback-Leibler divergence of fp8 from bf16 over the whole
  vocabulary; how often both have the same likeliest token (no gate: near-ties make it look bad for
  formats that lose nothing).
- weight memory saved, as the workers report it.

Intervals are 95 % by bootstrap over passages. Exits 1 when a gate fails: retention >= 0.98, perplexity
ratio <= 1.02, divergence <= 0.02, saved >= 0.30.
"""

import argparse
import json
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy
import tokenizers

HERE = Path(__file__).resolve().parent
MAGIC = b"PSCORE01"
SKIPPED = 32
RESAMPLES = 2000


class Scores:
    """The output of one `score`, read document by document."""

    def __init__(self, command):
        self.command = command
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        head = self.exactly(24)
        magic, self.vocabulary, _, self.weight_bytes = struct.unpack("<8sIIQ", head)
        if magic != MAGIC:
            sys.exit(f"{' '.join(command)}: its output starts with {magic!r}, not {MAGIC!r}")

    def exactly(self, count):
        data = self.process.stdout.read(count)
        if len(data) != count:
            sys.exit(f"{' '.join(self.command)}: ended early, status {self.process.wait()}")
        return data

    def document(self, ids):
        """Logits [tokens, vocabulary] of the next document, which must be `ids`."""
        count, = struct.unpack("<I", self.exactly(4))
        found = numpy.frombuffer(self.exactly(4 * count), "<i4")
        if found.tolist() != ids:
            sys.exit(f"{' '.join(self.command)}: answers for other tokens than were asked")
        rows = numpy.frombuffer(self.exactly(4 * count * self.vocabulary), "<f4")
        return rows.reshape(count, self.vocabulary)

    def finish(self):
        end, = struct.unpack("<I", self.exactly(4))
        if end or self.process.stdout.read(1) or self.process.wait():
            sys.exit(f"{' '.join(self.command)}: did not end as it should")


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - numpy.log(numpy.exp(shifted).sum(axis=-1, keepdims=True, dtype=numpy.float64)
                               ).astype(numpy.float32)


def words_of(text, offsets):
    """(first token, last token + 1, ends a sentence) of each word, punctuation left out."""
    starts = {}
    for index, (begin, end) in enumerate(offsets):
        while begin < end and text[begin].isspace():
            begin += 1
        for at in range(begin, end):
            starts[at] = index
    words = []
    for match in re.finditer(r"[A-Za-z]+(?:['’][A-Za-z]+)*", text):
        first, last = starts[match.start()], starts[match.end() - 1] + 1
        after = text[match.end():match.end() + 2]
        words.append((first, last, bool(re.match(r"[.!?]", after))))
    return words


def compare(reference, candidate, ids, words):
    """Sums over one passage."""
    a, b = log_softmax(reference[SKIPPED - 1:-1]), log_softmax(candidate[SKIPPED - 1:-1])
    meant = numpy.array(ids[SKIPPED:])
    rows = numpy.arange(len(meant))
    best_a, best_b = a.argmax(-1), b.argmax(-1)
    hit_a, hit_b = best_a == meant, best_b == meant
    sums = dict(
        tokens=len(meant), nll_a=-a[rows, meant].sum(dtype=float),
        nll_b=-b[rows, meant].sum(dtype=float),
        divergence=(numpy.exp(a) * (a - b)).sum(dtype=float), same=(best_a == best_b).sum(),
        words=0, words_a=0, words_b=0, words_both=0, lasts=0, lasts_a=0, lasts_b=0)
    for first, last, ends in words:
        if first < SKIPPED:
            continue
        span = slice(first - SKIPPED, last - SKIPPED)
        known_a, known_b = hit_a[span].all(), hit_b[span].all()
        sums["words"] += 1
        sums["words_a"] += known_a
        sums["words_b"] += known_b
        sums["words_both"] += known_a and known_b
        if ends:
            sums["lasts"] += 1
            sums["lasts_a"] += known_a
            sums["lasts_b"] += known_b
    return sums


def interval(table, formula):
    """The value over all passages and its 95 % interval."""
    total = {key: values.sum() for key, values in table.items()}
    generator = numpy.random.default_rng(1)
    count = len(table["tokens"])
    picks = generator.integers(0, count, (RESAMPLES, count))
    drawn = {key: values[picks].sum(axis=1) for key, values in table.items()}
    low, high = numpy.percentile(formula(drawn), [2.5, 97.5])
    return formula(total), low, high


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--worker", required=True, help="the command before `score`")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--reference", default="bf16")
    parser.add_argument("--candidate", default="fp8")
    parser.add_argument("--passages", type=int, default=160)
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json; the model's by default")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    tokenizer = tokenizers.Tokenizer.from_file(
        str(asked.tokenizer or asked.model / "tokenizer.json"))
    texts = (HERE / "persuasion.txt").read_text().splitlines()
    texts = texts[::max(1, len(texts) // asked.passages)][:asked.passages]
    encoded = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    started, sums = time.perf_counter(), []
    with tempfile.NamedTemporaryFile("w", suffix=".ids") as file:
        for item in encoded:
            file.write(" ".join(map(str, item.ids)) + "\n")
        file.flush()
        a, b = (Scores([*shlex.split(asked.worker), "score", "--model", str(asked.model),
                        "--dtype", kind, "--ids", file.name, "--out", "-"])
                for kind in (asked.reference, asked.candidate))
        for text, item in zip(texts, encoded):
            sums.append(compare(a.document(item.ids), b.document(item.ids), item.ids,
                                words_of(text, item.offsets)))
        a.finish()
        b.finish()
    table = {key: numpy.array([float(s[key]) for s in sums]) for key in sums[0]}
    total = {key: values.sum() for key, values in table.items()}
    retention = interval(table, lambda t: t["words_b"] / t["words_a"])
    lasts = interval(table, lambda t: t["lasts_b"] / t["lasts_a"])
    ratio = interval(table, lambda t: numpy.exp((t["nll_b"] - t["nll_a"]) / t["tokens"]))
    divergence = interval(table, lambda t: t["divergence"] / t["tokens"])
    same = interval(table, lambda t: t["same"] / t["tokens"])
    saved = 1 - b.weight_bytes / a.weight_bytes if a.weight_bytes else float("nan")
    gates = dict(retention=bool(retention[0] >= 0.98), perplexity=bool(ratio[0] <= 1.02),
                 divergence=bool(divergence[0] <= 0.02), memory=not saved < 0.30)
    if asked.json:
        print(json.dumps(dict(
            retention=retention, last_word_retention=lasts, perplexity_ratio=ratio,
            divergence=divergence, same_likeliest=same, saved=saved, gates=gates,
            totals=total), default=float, indent=2))
    else:
        mean = {k: total[f"nll_{k}"] / total["tokens"] for k in "ab"}
        print(f"{len(texts)} passages, {total['tokens']:.0f} tokens, {total['words']:.0f} words, "
              f"{time.perf_counter() - started:.0f} s")
        for name, key in (("words", "words"), ("last words", "lasts")):
            print(f"{name + ' known':22} {asked.reference} {total[key + '_a'] / total[key]:.4f}, "
                  f"{asked.candidate} {total[key + '_b'] / total[key]:.4f} of {total[key]:.0f}")
        show = lambda name, value, limit: print(
            f"{name:22} {value[0]:.4f} ({value[1]:.4f} to {value[2]:.4f}) {limit}")
        show("accuracy retention", retention, "at least 0.98")
        show("  of last words", lasts, "")
        print(f"{'perplexity':22} {asked.reference} {numpy.exp(mean['a']):.3f}, "
              f"{asked.candidate} {numpy.exp(mean['b']):.3f}")
        show("perplexity ratio", ratio, "at most 1.02")
        show("divergence, nats", divergence, "at most 0.02")
        show("same likeliest token", same, "")
        print(f"{'weight memory saved':22} {saved:.4f} ({a.weight_bytes} to {b.weight_bytes} bytes) "
              "at least 0.30")
    failed = [name for name, passed in gates.items() if not passed]
    if failed:
        sys.exit("failed: " + ", ".join(failed))


if __name__ == "__main__":
    main()
