#!/usr/bin/env python3
"""Compares our HTTP/1 parsers with h11, a strict one that knows nothing of us.

Mutated requests and answers go to both. We never accept what h11 refuses, but for the exceptions
below; where both accept, they see the same message: method, target, fields, body and what is left
over behind it. What we print of it is read as the same by h11 too, and printed by us as the same
bytes.

against_h11.py --verdict .build/debug/wire-verdict [--seed 0] [--count 20000]
"""
import argparse
import pathlib
import random
import re
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fuzz  # noqa: E402
import h11  # noqa: E402
import seeds  # noqa: E402

# Where we accept what h11 refuses, and why: (kinds, what the message is like, h11's words, reason).
EXCEPTIONS = [
    ("Q", rb"\A\r\n", r"no request line received",
     "RFC 9112, 2.2: a server should ignore at least one empty line before a request"),
    ("QA", rb"(?i)\r\n0+(;[^\r]*)?\r\n([^\r]+\r\n)*(transfer-encoding|content-length):",
     r"Transfer-Encoding|Content-Length",
     "RFC 9110, 6.5.1: a trailer that says how a message is framed comes too late to mean anything; "
     "it is not passed on, where h11 holds it to the rules of a head"),
]

# Fields that a hop makes anew, whatever it got.
OWN = {
    b"host", b"connection", b"te", b"upgrade", b"expect", b"content-length", b"transfer-encoding",
    b"x-forwarded-for", b"x-forwarded-proto", b"forwarded",
}


class Verdicts:
    """Our side: a process that answers each message."""

    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, kind, message):
        self.process.stdin.write(kind.encode() + struct.pack(">I", len(message)) + message)
        self.process.stdin.flush()
        prefix = self.process.stdout.read(4)
        if len(prefix) < 4:
            raise SystemExit(f"CRASH on {kind} {fuzz.spell(message)}")
        text = self.process.stdout.read(struct.unpack(">I", prefix)[0]).decode()
        verdict = {"fields": []}
        for line in text.splitlines():
            name, *words = line.split(" ")
            words = [bytes.fromhex(w[1:]) if w[:1] == "." else w for w in words]
            if name == "field":
                verdict["fields"].append((words[0].lower(), words[1]))
            else:
                verdict[name] = words[0] if words else ""
        return verdict


def strict(kind, message):
    """h11's side: a verdict of the same shape, with its words where it refuses."""
    try:
        if kind == "Q":
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        else:
            connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
            connection.send(h11.Request(
                method="HEAD" if kind == "H" else "GET", target="/",
                headers=[("Host", "a"), ("Connection", "upgrade"), ("Upgrade", "x")]))
            connection.send(h11.EndOfMessage())
        connection.receive_data(message)
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(b"")
            event = connection.next_event()
        if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
            return {"incomplete": ""}
        verdict = {"fields": list(event.headers), "version": event.http_version.decode()}
        if kind == "Q":
            verdict.update(method=event.method, target=event.target)
        else:
            verdict.update(status=str(event.status_code))
        if isinstance(event, h11.InformationalResponse):
            verdict.update(body=b"", rest=connection.trailing_data[0])
            return verdict
        body = b""
        closed = False
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                verdict.update(body=body, rest=connection.trailing_data[0])
                return verdict
            elif event is h11.NEED_DATA and not closed:
                connection.receive_data(b"")
                closed = True
            else:
                return {"incomplete": ""}
    except h11.RemoteProtocolError as error:
        text = str(error)
        return {"incomplete": ""} if "peer closed" in text or "unexpectedly" in text else {
            "refused": text}


class Mutator:
    """Messages near to those of the seeds; the same for the same seed."""

    def __init__(self, seed, inputs, words):
        self.random = random.Random(seed)
        self.inputs, self.words = list(inputs), words
        # Those that both sides accept: most mutations of the others are refused for the same thing.
        self.good = []

    def next(self):
        r = self.random
        data = bytearray(r.choice(self.good if self.good and r.random() < 0.7 else self.inputs))
        for _ in range(r.randint(0, 3)):
            at = r.randint(0, len(data))
            end = min(len(data), at + r.randint(1, 12))
            what = r.randint(0, 5)
            if what == 0:
                data[at:at] = bytes([r.randint(0, 255)])
            elif what == 1:
                del data[at:end]
            elif what == 2:
                data[at:at] = r.choice(self.words)
            elif what == 3:
                data[at:end] = r.choice(self.words)
            elif what == 4:
                data[at:at] = data[r.randint(0, at):at][:40]
            elif at < len(data):
                data[at] ^= 1 << r.randint(0, 7)
        return bytes(data)


def words(target):
    lines = (fuzz.HERE / "Dictionaries" / f"{target}.txt").read_text().splitlines()
    return [fuzz.unspell(line.strip()[1:-1].replace('\\"', '"')) for line in lines]


def messages():
    """By kind: requests and answers with their bodies."""
    requests = [m for m in seeds.recorded() if len(m) < 1_500] + fuzz.committed("request")[1]
    bodies = [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\nmore"]
    answers = [head + body for head in fuzz.committed("response")[1] for body in bodies]
    return {"Q": requests, "A": answers, "H": answers}


def difference(kind, message, ours, theirs):
    """What is wrong, or nothing."""
    if "refused" in ours:
        return None
    if "refused" in theirs:
        for kinds, like, said, _ in EXCEPTIONS:
            if kind in kinds and re.search(like, message) and re.search(said, theirs["refused"]):
                return None
    if "incomplete" in ours:
        return "we wait, h11 has finished" if "body" in theirs else None
    if "body" not in theirs:
        return f"we accept it, h11 says {theirs.get('refused', 'that more must come')}"
    for name in ["method", "target", "status", "version", "body", "rest"]:
        if ours.get(name) != theirs.get(name):
            return f"{name}: {ours.get(name)!r}, for h11 {theirs.get(name)!r}"

    def fields(verdict):
        # h11 writes codings in lower case and joins a length that is listed twice.
        return [(n, v.lower() if n == b"transfer-encoding" else v) for n, v in verdict["fields"]]

    if fields(ours) != fields(theirs):
        return f"fields: {fields(ours)}, for h11 {fields(theirs)}"
    return None


def printed_difference(verdicts, kind, ours):
    """What we print is the message that we read, for us and for h11."""
    body = ours["body"]
    framing = [v for n, v in ours["fields"] if n == b"transfer-encoding"]
    wire = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if framing and body else (
        b"0\r\n\r\n" if framing else body)
    status = int(ours.get("status", 200))
    if kind == "H" or status < 200 or status in (204, 304):
        wire = b""
    message = ours["printed"] + wire
    again, theirs = verdicts.ask(kind, message), strict(kind, message)
    for verdict, who in [(again, "us"), (theirs, "h11")]:
        if verdict.get("body") != (b"" if not wire else body):
            return f"printed as {fuzz.spell(message)}, which for {who} is {verdict}"
        for name in ["method", "status"]:
            if verdict.get(name) != ours.get(name):
                return f"printed with another {name} for {who}: {fuzz.spell(message)}"
        kept = [f for f in verdict["fields"] if f[0] not in OWN]
        # Fields may be left behind, never made up.
        if any(f not in ours["fields"] for f in kept):
            return f"printed with fields of its own for {who}: {fuzz.spell(message)}"
    third = verdicts.ask(kind, again["printed"] + wire)
    if third.get("printed") != again["printed"]:
        return f"no fixed point: {fuzz.spell(again['printed'])} and {third}"
    return None


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--verdict", required=True, help="the program wire-verdict")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20_000)
    options = parser.parse_args()
    verdicts = Verdicts(options.verdict)
    failures = 0
    both = refused = 0
    known = messages()
    mutators = {
        "Q": Mutator(options.seed, known["Q"], words("request") + words("chunks")),
        "A": Mutator(options.seed + 1, known["A"], words("response") + words("chunks")),
        "H": Mutator(options.seed + 2, known["H"], words("response")),
    }
    for number in range(options.count):
        kind = "QQQAAH"[number % 6]
        # First all the seeds as they are.
        is_seed = bool(known[kind])
        message = known[kind].pop() if is_seed else mutators[kind].next()
        ours, theirs = verdicts.ask(kind, message), strict(kind, message)
        wrong = difference(kind, message, ours, theirs)
        if wrong is None and "body" in ours:
            both += 1
            if is_seed:
                mutators[kind].good.append(message)
            wrong = printed_difference(verdicts, kind, ours)
        refused += "refused" in ours
        if wrong:
            failures += 1
            if failures <= 20:
                print(f"FAIL {kind} {fuzz.spell(message)}\n  {wrong}")
    print(f"{options.count} messages: both accept {both}, we refuse {refused}, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
