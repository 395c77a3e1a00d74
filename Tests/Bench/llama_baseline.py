#!/usr/bin/env python3
"""How fast llama.cpp is on this machine with SmolLM2: what the worker is measured against.

    python3 llama_baseline.py --llama BIN_FOLDER --gguf smollm2.gguf --work FOLDER

BIN_FOLDER holds llama-quantize, llama-bench and llama-server; llama-cpp-python's sdist has the source,
in vendor/llama.cpp, built as it says itself (cmake -B build -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON).
The GGUF (smollm2_to_folder.py keeps it) is requantised to BF16 and Q8_0 into --work: for speed only, its
texts are worse than the models' own.

Prints, for each type and number of threads, the best of --runs runs of llama-bench: prefill of 512
tokens, decoding of 64, and the share of the read bandwidth that decoding uses (bytes of the weights times
tokens a second; the bandwidth by read_bandwidth.c beside this script, measured in the same minute).
Then llama-server with eight slots, by streams.py. The load of the machine is printed before and after.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import gguf

import streams

HERE = Path(__file__).resolve().parent
TYPES = ("BF16", "Q8_0")


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done.stdout


def requantised(asked, kind):
    path = asked.work / f"smollm2-{kind}.gguf"
    if not path.exists():
        run(asked.llama / "llama-quantize", "--allow-requantize", asked.gguf, path, kind, 2)
    return path


def read_bandwidth(asked, threads):
    """GB/s that so many threads read at best, in small or huge pages; None without the program."""
    source = HERE / "read_bandwidth.c"
    if not source.exists():
        return None
    program = asked.work / "read_bandwidth"
    run("cc", "-O2", "-pthread", source, "-o", program)
    found = re.findall(rf"^ *{threads} threads?, .*: best +([0-9.]+) GB/s", run(program), re.M)
    return max(map(float, found)) if found else None


def bench(asked, path, threads):
    """Tokens a second of prefill and of decoding: the best of the runs, each by itself."""
    best = dict(pp=0.0, tg=0.0)
    for _ in range(asked.runs):
        for result in json.loads(run(
                asked.llama / "llama-bench", "-m", path, "-t", threads, "-p", 512, "-n", 64, "-r", 2,
                "-o", "json")):
            key = "pp" if result["n_prompt"] else "tg"
            best[key] = max(best[key], *result["samples_ts"])
    return best


class Server:
    def __init__(self, asked, path, threads):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        # Each slot gets an eighth of the context.
        self.process = subprocess.Popen(
            [str(asked.llama / "llama-server"), "-m", str(path), "--port", str(port), "-t",
             str(threads), "-np", str(asked.streams), "-c", str(4096 * asked.streams)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        for _ in range(300):
            try:
                urllib.request.urlopen(self.url + "/health")
                return self
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        sys.exit("llama-server did not start within 30 s")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--llama", type=Path, required=True, help="folder of llama.cpp's binaries")
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="where the requantised files go")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("--skip-server", action="store_true")
    streams.options(parser)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    counts = [int(n) for n in asked.threads.split(",")]
    paths = {kind: requantised(asked, kind) for kind in asked.types.split(",")}
    print(f"load before: {streams.load()}; {os.cpu_count()} cores")
    print(f"{'weights':8} {'threads':>7} {'pp512 t/s':>10} {'tg64 t/s':>9} {'read GB/s':>10} "
          f"{'of bandwidth':>12}")
    for threads in counts:
        for kind, path in paths.items():
            ceiling = read_bandwidth(asked, threads)
            best = bench(asked, path, threads)
            read = weight_bytes(path) * best["tg"] / 1e9
            share = f"{read / ceiling:.2f} of {ceiling:.1f}" if ceiling else "not measured"
            print(f"{kind:8} {threads:7} {best['pp']:10.1f} {best['tg']:9.1f} {read:10.2f} "
                  f"{share:>12}", flush=True)
    if not asked.skip_server:
        for kind, path in paths.items():
            with Server(asked, path, counts[-1]) as server:
                asked.url = server.url
                streams.report(f"llama-server {kind} -t {counts[-1]} -np {asked.streams}",
                               streams.measure(asked))
    print(f"load after: {streams.load()}")


def weight_bytes(path):
    """Bytes of all tensors: each is read once a token, the embedding as the head."""
    return sum(int(tensor.n_bytes) for tensor in gguf.GGUFReader(path).tensors)


if __name__ == "__main__":
    main()
