#!/usr/bin/env python3
"""Builds and runs the fuzzers: see README.md beside this file.

fuzz.py run [TARGET...] [--seconds 60]   looks for new inputs, one target after the other
fuzz.py shrink [TARGET...]               keeps what covers most in the committed corpus
fuzz.py show FILE                        an input in the spelling of the corpus
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("FUZZ_BUILD", ROOT / ".build" / "fuzz"))
# Bytes of one corpus file: all together stay below 200 KB.
CORPUS_LIMIT = 12_000
# Bytes of an input that is worth keeping.
INPUT_LIMIT = 700


def spell(data):
    text = ""
    for byte in data:
        named = {0x5C: "\\\\", 0x0D: "\\r", 0x0A: "\\n", 0x09: "\\t"}
        text += named.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}")
    return text


def unspell(line):
    return re.sub(
        rb"\\(x..|.)",
        lambda m: bytes([int(m[1][1:], 16)]) if m[1][:1] == b"x"
        else {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}[m[1]],
        line.encode())


def corpus_file(target):
    return HERE / "Corpus" / f"{target}.txt"


def committed(target):
    """Lines of the file up to the mark, which people wrote, and all inputs."""
    path = corpus_file(target)
    lines = path.read_text().splitlines() if path.exists() else []
    kept = lines[: lines.index(FOUND)] if FOUND in lines else lines
    return kept, [unspell(line) for line in lines if not line.startswith("# ")]


# What stands between the seeds and what was found: inputs that broke a rule once, by hand.
REGRESSIONS = "# Broke a rule once."
FOUND = "# Found by libFuzzer."


def build():
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ["Sources", "Tests"]:
        link = BUILD / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)
    manifest = (ROOT / "Package.swift").read_text() + "\n" + (HERE / "manifest.swift").read_text()
    if not (BUILD / "Package.swift").exists() or (BUILD / "Package.swift").read_text() != manifest:
        (BUILD / "Package.swift").write_text(manifest)
    found = subprocess.run(
        ["clang", "-print-file-name=libclang_rt.fuzzer_no_main-x86_64.a"],
        capture_output=True, text=True).stdout.strip()
    if not os.path.exists(found):
        toolchain = pathlib.Path(shutil.which("swift")).resolve().parent.parent
        found = str(next(toolchain.glob("lib/clang/*/lib/linux/libclang_rt.fuzzer_no_main-*.a")))
    environment = dict(os.environ, LIBFUZZER=found)
    subprocess.run(
        ["swift", "build", "--package-path", str(BUILD), "-c", "release", "--product", "fuzz"],
        check=True, env=environment)
    return BUILD / ".build" / "release" / "fuzz"


def targets(program):
    listing = subprocess.run([program], capture_output=True, text=True).stdout
    return listing.split("targets:\n")[1].split()


def environment():
    # A crash is libFuzzer's to report: the backtracer of Swift would wait for who has gone.
    return dict(
        os.environ, SWIFT_BACKTRACE="enable=no",
        ASAN_OPTIONS="detect_leaks=0:malloc_context_size=2:allocator_may_return_null=1")


def folder(target):
    """Everything that is known of a target, as files."""
    path = BUILD / "corpus" / target
    path.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(committed(target)[1]):
        (path / f"committed-{number}").write_bytes(data)
    return path


def run(program, target, seconds):
    log = BUILD / f"{target}.log"
    words = [program, target, f"-max_total_time={seconds}", "-max_len=4096", "-timeout=20",
             "-rss_limit_mb=2000", "-print_final_stats=1", "-use_value_profile=0",
             f"-artifact_prefix={BUILD}/{target}-"]
    dictionary = HERE / "Dictionaries" / f"{target}.txt"
    if dictionary.exists():
        words.append(f"-dict={dictionary}")
    with open(log, "w") as output:
        # libFuzzer watches the clock between inputs; the wall here is for when that fails.
        code = subprocess.run(
            words + [folder(target)], stdout=output, stderr=output, env=environment(),
            timeout=seconds + 120).returncode
    text = log.read_text(errors="replace")
    executions = re.findall(r"number_of_executed_units: (\d+)", text) or re.findall(
        r"#(\d+)\t", text)[-1:]
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)
    last = covered[-1] if covered else ("0", "0", "0")
    print(
        f"{target}: {executions[-1] if executions else 0} executions in {seconds} s, "
        f"{last[0]} edges, {last[1]} features, {last[2]} inputs, exit {code}", flush=True)
    if code != 0:
        for line in text.splitlines():
            if "Fatal error" in line or "ERROR:" in line or "artifact" in line:
                print("  " + line[:2_000])
        for name in re.findall(r"Test unit written to (\S+)", text):
            print("  input: " + spell(pathlib.Path(name).read_bytes()))
    return code


def shrink(program, target):
    kept, _ = committed(target)
    seeds = {unspell(line) for line in kept if not line.startswith("# ")}
    least = BUILD / "least" / target
    shutil.rmtree(least, ignore_errors=True)
    least.mkdir(parents=True)
    with open(BUILD / f"{target}.merge.log", "w") as output:
        subprocess.run(
            [program, target, "-set_cover_merge=1", f"-max_len={INPUT_LIMIT}", least,
             folder(target)], stdout=output, stderr=output, env=environment(), timeout=600)
    room = CORPUS_LIMIT - sum(len(line) + 1 for line in kept)
    found = []
    for data in sorted((path.read_bytes() for path in least.iterdir()), key=len):
        line = spell(data)
        room -= len(line) + 1
        if room < 0:
            break
        if data and data not in seeds:
            found.append(line)
    lines = kept + ([FOUND] + sorted(found) if found else [])
    corpus_file(target).write_text("".join(line + "\n" for line in lines))
    print(f"{target}: {len(seeds)} seeds, {len(found)} found")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["build", "run", "shrink", "show"])
    parser.add_argument("words", nargs="*")
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    if options.what == "show":
        for name in options.words:
            print(spell(pathlib.Path(name).read_bytes()))
        return 0
    program = build()
    codes = [0]
    for target in options.words or targets(program):
        if options.what == "run":
            codes.append(run(program, target, options.seconds))
        elif options.what == "shrink":
            shrink(program, target)
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
