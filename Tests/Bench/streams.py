#!/usr/bin/env python3
"""Several streams against one OpenAI-shaped server: tokens a second, and gaps between tokens.

    python3 streams.py --url http://127.0.0.1:8080 [--model NAME] [--streams 8] [--tokens 128]

Two measurements, each the best of --runs, since the machine may be shared (its load is printed):

1. `throughput`: all streams start together, greedy, no end of text, each with a prompt of its own.
   Tokens a second = all tokens / time from the first request to the last token, prompts included;
   `decoding` counts only from when every stream has its first token to when the first one ends.
2. `gaps`: one stream fewer runs; once all of them flow, a prompt of --long tokens arrives. Gaps between
   the tokens of a stream before that (quiet), and from its arrival to its first token (during).
   `stretch` is p99 during / p99 quiet.

Only the standard library, one thread, so that the client takes little of what it measures. Works with
portico-worker, llama-server and vLLM.
"""

import argparse
import asyncio
import json
import os
import random
import time
import urllib.parse

WORDS = """time year people way day man thing woman life child world school state family student group
country problem hand part place case week company system program question work government number night
point home water room mother area money story fact month lot right study book eye job word business issue
side kind head house service friend father power hour game line end member law car city community name
president team minute idea body information back parent face others level office door health person art
war history party result change morning reason research girl guy moment air teacher force education""".split()


def prose(seed, count):
    """About `count` tokens: each of these words is one token for most vocabularies."""
    generator = random.Random(seed)
    return "Once upon a time, " + " ".join(generator.choice(WORDS) for _ in range(count))


class Stream:
    """One request, and when each of its tokens came."""

    def __init__(self, asked, prompt, tokens):
        self.asked, self.prompt, self.limit = asked, prompt, tokens
        self.times, self.completion, self.prompted, self.started = [], None, None, None
        self.text = []

    async def run(self):
        where = urllib.parse.urlsplit(self.asked.url)
        body = dict(
            prompt=self.prompt, max_tokens=self.limit, temperature=0, ignore_eos=True, stream=True,
            stream_options=dict(include_usage=True))
        if self.asked.model:
            body["model"] = self.asked.model
        body = json.dumps(body).encode()
        reader, writer = await asyncio.open_connection(where.hostname, where.port or 80)
        try:
            self.started = time.perf_counter()
            writer.write((
                f"POST {where.path.rstrip('/')}/v1/completions HTTP/1.1\r\nHost: {where.netloc}\r\n"
                "Content-Type: application/json\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise SystemExit((head + await reader.read()).decode(errors="replace"))
            await self.read_events(reader, b"chunked" in head.lower())
        finally:
            writer.close()
        return self

    async def read_events(self, reader, is_chunked):
        buffer = b""
        while True:
            if is_chunked:
                size = int((await reader.readline()).split(b";")[0] or b"0", 16)
                piece = await reader.readexactly(size) if size else b""
                if size:
                    await reader.readexactly(2)
            else:
                piece = await reader.read(65536)
            if not piece:
                return
            now = time.perf_counter()
            buffer += piece
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                if not line.startswith(b"data:") or line[5:].strip() == b"[DONE]":
                    continue
                event = json.loads(line[5:])
                if "error" in event:
                    raise SystemExit(event["error"])
                if event.get("usage"):
                    self.completion = event["usage"]["completion_tokens"]
                    self.prompted = event["usage"]["prompt_tokens"]
                for choice in event.get("choices", []):
                    # A token whose bytes are held back comes with a later one.
                    if choice.get("text"):
                        self.times.append(now)
                        self.text.append(choice["text"])

    @property
    def count(self):
        return self.completion if self.completion is not None else len(self.times)


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


async def throughput(asked, seed):
    streams = [Stream(asked, prose(seed * 1000 + i, asked.prompt), asked.tokens)
               for i in range(asked.streams)]
    start = time.perf_counter()
    await asyncio.gather(*(stream.run() for stream in streams))
    total = sum(stream.count for stream in streams)
    first, last = max(s.times[0] for s in streams), min(s.times[-1] for s in streams)
    steady = sum(sum(first < t <= last for t in s.times) for s in streams)
    return dict(
        total=total / (max(s.times[-1] for s in streams) - start),
        decoding=steady / (last - first) if last > first else float("nan"),
        first_token_ms=1000 * percentile([s.times[0] - s.started for s in streams], 0.5),
        tokens=total, prompt_tokens=streams[0].prompted,
        sample="".join(streams[0].text)[:60])


async def gaps(asked, seed):
    # Far more tokens than will come: the streams are dropped when the long prompt is answered.
    streams = [Stream(asked, prose(seed * 1000 + 500 + i, asked.prompt), asked.gap_tokens)
               for i in range(asked.streams - 1)]
    tasks = [asyncio.create_task(stream.run()) for stream in streams]
    while min(len(stream.times) for stream in streams) < asked.quiet:
        await asyncio.sleep(0.01)
        for task in tasks:
            if task.done():
                task.result()
                raise SystemExit("a stream ended before the measurement did: raise --gap-tokens")
    arrival = time.perf_counter()
    long = await Stream(asked, prose(seed * 1000 + 999, asked.long), 1).run()
    answered = long.times[0] if long.times else time.perf_counter()
    ended = [task.done() for task in tasks]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    quiet, during = [], []
    settled = max(stream.times[0] for stream in streams)
    for stream in streams:
        for a, b in zip(stream.times, stream.times[1:]):
            if a > settled and b <= arrival:
                quiet.append(1000 * (b - a))
            elif b > arrival and a < answered:
                during.append(1000 * (b - a))
    return dict(
        prompt_tokens=long.prompted, long_first_token_s=answered - arrival,
        quiet_p50=percentile(quiet, 0.5), quiet_p99=percentile(quiet, 0.99),
        during_p50=percentile(during, 0.5), during_p99=percentile(during, 0.99),
        during_max=max(during, default=float("nan")), samples=len(during),
        stretch=percentile(during, 0.99) / percentile(quiet, 0.99), ended_early=sum(ended))


def load():
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def measure(asked):
    """Both measurements; the result of the best run of each, and the machine's load."""
    before = load()
    asyncio.run(Stream(asked, "Warm up.", 4).run())
    rates = [asyncio.run(throughput(asked, seed)) for seed in range(asked.runs)]
    found = dict(throughput=max(rates, key=lambda r: r["total"]),
                 all_totals=[round(r["total"], 1) for r in rates])
    if asked.long:
        pauses = [asyncio.run(gaps(asked, 100 + seed)) for seed in range(asked.runs)]
        found["gaps"] = min(pauses, key=lambda r: r["during_p99"])
        found["all_stretches"] = [round(r["stretch"], 2) for r in pauses]
    return found | dict(load_before=before, load_after=load())


def options(parser):
    parser.add_argument("--model", help="for servers that insist on a name")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128, help="of each stream")
    parser.add_argument("--prompt", type=int, default=32, help="tokens of each prompt, about")
    parser.add_argument("--long", type=int, default=2000,
                        help="tokens of the prompt that arrives late, about; 0 for no such test")
    parser.add_argument("--quiet", type=int, default=40, help="tokens of each stream before that")
    parser.add_argument("--gap-tokens", type=int, default=1500)
    parser.add_argument("--runs", type=int, default=3)


def report(name, found):
    rate = found["throughput"]
    print(f"{name}: {rate['total']:.1f} tokens/s in all ({rate['decoding']:.1f} while all decode), "
          f"first token after {rate['first_token_ms']:.0f} ms; runs {found['all_totals']}")
    if "gaps" in found:
        gap = found["gaps"]
        print(f"{name}: gaps p50/p99 {gap['quiet_p50']:.1f}/{gap['quiet_p99']:.1f} ms quiet, "
              f"{gap['during_p50']:.1f}/{gap['during_p99']:.1f} ms (max {gap['during_max']:.0f}) "
              f"while {gap['prompt_tokens']} tokens are read in {gap['long_first_token_s']:.2f} s: "
              f"x{gap['stretch']:.2f}; runs {found['all_stretches']}")
    print(f"{name}: load before {found['load_before']}, after {found['load_after']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON")
    options(parser)
    asked = parser.parse_args()
    found = measure(asked)
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        report(asked.url, found)


if __name__ == "__main__":
    main()
