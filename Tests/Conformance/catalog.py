"""The catalogue of cases: what a case is, and how the groups register theirs.

A case is an id of the table and a function of a lane. Most cases of groups A to
G are rows (`wire`, `sweep`): raw steps beside an expectation. The others are
functions (`case`): stories with more than one step.

A case runs once for each pair of a client's and a backend's protocol for which it
means something; for the other pairs it says why not.
"""

import fnmatch
import re
import time
from dataclasses import dataclass

import messages
from expect import Either, Refused, RefusedInBody, over_h2

# What clients and backends speak; `s` is TLS.
CLIENTS = ("h1", "h2", "h1s", "h2s")
BACKENDS = ("h1", "h2")
PAIRS = [(client, backend) for backend in BACKENDS for client in CLIENTS]
BOTH = ("h1", "h2")
# Limits of a case to the protocol whose bytes are its subject.
RAW = dict(clients=("h1",), backends=("h1",), why="bytes of HTTP/1.1 are its subject")
RAW_CLIENT = dict(clients=("h1",), why="the client's bytes of HTTP/1.1 are its subject")
RAW_BACKEND = dict(backends=("h1",), why="the backend's bytes of HTTP/1.1 are its subject")

# Where a case runs.
FAST = "fast"  # Alone on a lane; many lanes side by side.
SLOW = "slow"  # On the lane with short timers, all of them at the same time.
QUIET = "quiet"  # Alone on the whole machine: latency is the subject.
OWN = "own"  # With a proxy of its own, which it ends.

# Variants of a row in a class: past this many failures the others say nothing new.
FAILURES_SHOWN = 4
# Seconds for a class. 161 members that behave take three.
SWEEP_LIMIT = 25.0


class Failed(Exception):
    """The proxy did not do what the table requires."""


class Skipped(Exception):
    """The case does not apply to this proxy."""


def check(condition, text):
    if not condition:
        raise Failed(text() if callable(text) else text)


@dataclass
class Case:
    id: str
    title: str
    run: object
    where: str = FAST
    deadline: float = 30.0
    clients: tuple = BOTH
    backends: tuple = BOTH
    why: str = ""  # Why it does not run for the others.
    excuse: object = None  # A function of a pair, for cases whose rows decide.

    def why_not(self, client, backend):
        """Why this pair is left out, or None when it runs."""
        if client not in self.clients:
            return self.why if client[:2] not in [c[:2] for c in self.clients] else "the same inside TLS"
        if backend not in self.backends:
            return self.why or "decided before a backend is chosen"
        return self.excuse(client, backend) if self.excuse else None

    @property
    def order(self):
        """A02 before A10, G8 before G10."""
        return [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", self.id)]


CASES = []


def case(id, title, where=FAST, deadline=30.0, clients=BOTH, backends=BOTH, why=""):
    """Registers a function of a lane as a case."""

    def register(function):
        add(Case(id, title, function, where, deadline, clients, backends, why))
        return function

    return register


def add(one):
    assert one.id not in [c.id for c in CASES], "two cases are called %s" % one.id
    CASES.append(one)


def reaches_backends(expected):
    """False when the backend of a case that behaves sees nothing of it."""
    if isinstance(expected, Either):
        return any(map(reaches_backends, expected.choices))
    return not isinstance(expected, Refused) or isinstance(expected, RefusedInBody)


def row_excuse(rows):
    """Why rows are left out for a pair: all of them, for the reason of the first."""

    def excuse(client, backend):
        reasons = []
        for sent, expected in rows:
            if client == "h2":
                try:
                    messages.h2_equivalent(sent)
                except messages.NoEquivalent as reason:
                    reasons.append(str(reason))
                    continue
            if backend == "h2" and not reaches_backends(expected):
                reasons.append("decided before a backend is chosen")
                continue
            return None
        return reasons[0]

    return excuse


def judge_row(lane, sent, expected, method=b"GET", bytewise=False):
    if lane.version == "h2":
        lane.judge_message(messages.h2_equivalent(sent), over_h2(expected), bytewise)
    else:
        lane.judge(sent, expected, method, bytewise)


def wire(id, title, sent, expected, method=b"GET"):
    """A row: what is sent, what must happen.

    Besides the plain way it is sent byte by byte, so that a decision never
    depends on how TCP cut the bytes; and a refusal also with a request for
    /evil in the same write, which nobody may read any more. Towards backends
    of HTTP/2 once: what the parser thinks is no longer the question.
    """
    plain = messages.steps(sent)
    size = sum(len(s) for s in plain if isinstance(s, bytes))

    def run(lane):
        judge_row(lane, plain, expected, method)
        if lane.backend.version == "h2":
            return
        if size <= 400 and not any(isinstance(s, messages.Pause) for s in plain):
            try:
                judge_row(lane, plain, expected, method, bytewise=True)
            except Failed as failed:
                raise Failed("sent byte by byte: %s" % failed)
        if lane.version == "h1" and isinstance(expected, Refused) and isinstance(plain[-1], bytes):
            try:
                lane.judge(plain + [messages.evil(messages.CANARY)], expected, method)
            except Failed as failed:
                raise Failed("with a request right behind it: %s" % failed)

    add(Case(id, title, run, excuse=row_excuse([(plain, expected)])))


def sweep(id, title, variants):
    """A class: (label, sent, expected) for each of its members."""
    excuse = lambda pair, one: row_excuse([(messages.steps(one[1]), one[2])])(*pair)

    def run(lane):
        deadline = time.monotonic() + SWEEP_LIMIT
        failures, unserved, pair = [], 0, (lane.version, lane.backend.version)
        members = [one for one in variants if excuse(pair, one) is None]
        for done, (label, sent, expected) in enumerate(members):
            if time.monotonic() > deadline or unserved == 3:
                failures.append("given up after %d members" % done)
                break
            try:
                judge_row(lane, messages.steps(sent), expected)
                unserved = 0
            except Failed as failed:
                failures.append("%s: %s" % (label, failed))
                unserved = unserved + 1 if "no answer to the canary" in str(failed) else 0
        if failures:
            more = len(failures) - FAILURES_SHOWN
            shown = failures[:FAILURES_SHOWN] + (["and %d more" % more] if more > 0 else [])
            raise Failed("%d of %d members fail: %s" % (len(failures), len(members), " | ".join(shown)))

    rows = [(messages.steps(sent), expected) for _, sent, expected in variants]
    add(Case(id, title, run, excuse=row_excuse(rows)))


def select(patterns):
    """Cases named by `A01,G*,M`: an id, a glob or a whole group."""
    if not patterns:
        chosen = CASES
    else:
        wanted = [p.strip() for p in patterns.split(",") if p.strip()]
        wanted = [p + "*" if re.fullmatch(r"[A-Z]", p) else p for p in wanted]
        chosen = [c for c in CASES if any(fnmatch.fnmatchcase(c.id, p) for p in wanted)]
    return sorted(chosen, key=lambda c: c.order)
