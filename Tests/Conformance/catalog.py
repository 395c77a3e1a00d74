"""The catalogue of cases: what a case is, and how the groups register theirs.

A case is an id of the table and a function of a lane. Most cases of groups A to
G are rows (`wire`, `sweep`): raw steps beside an expectation. The others are
functions (`case`): stories with more than one step.
"""

import fnmatch
import re
import time
from dataclasses import dataclass

import messages
from expect import Refused

# Where a case runs.
FAST = "fast"  # Alone on a lane; many lanes side by side.
SLOW = "slow"  # On the lane with short timers, all of them at the same time.
QUIET = "quiet"  # Alone on the whole machine: latency is the subject.

# Variants of a row in a class: past this many failures the others say nothing new.
FAILURES_SHOWN = 4
# Seconds for a class. 161 members that behave take three.
SWEEP_LIMIT = 25.0


class Failed(Exception):
    """The proxy did not do what the table requires."""


class Skipped(Exception):
    """The case does not apply here."""


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

    @property
    def order(self):
        """A02 before A10, G8 before G10."""
        return [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", self.id)]


CASES = []


def case(id, title, where=FAST, deadline=30.0):
    """Registers a function of a lane as a case."""

    def register(function):
        add(Case(id, title, function, where, deadline))
        return function

    return register


def add(one):
    assert one.id not in [c.id for c in CASES], "two cases are called %s" % one.id
    CASES.append(one)


def skip(id, why):
    """Names a case of the table that this harness cannot run yet."""

    def run(lane):
        raise Skipped(why)

    add(Case(id, why, run))


def wire(id, title, sent, expected, method=b"GET"):
    """A row: what is sent, what must happen.

    Besides the plain way it is sent byte by byte, so that a decision never
    depends on how TCP cut the bytes; and a refusal also with a request for
    /evil in the same write, which nobody may read any more.
    """
    plain = messages.steps(sent)
    size = sum(len(s) for s in plain if isinstance(s, bytes))

    def run(lane):
        lane.judge(plain, expected, method)
        if size <= 400 and not any(isinstance(s, messages.Pause) for s in plain):
            try:
                lane.judge(plain, expected, method, bytewise=True)
            except Failed as failed:
                raise Failed("sent byte by byte: %s" % failed)
        if isinstance(expected, Refused) and isinstance(plain[-1], bytes):
            try:
                lane.judge(plain + [messages.evil(messages.CANARY)], expected, method)
            except Failed as failed:
                raise Failed("with a request right behind it: %s" % failed)

    add(Case(id, title, run))


def sweep(id, title, variants):
    """A class: (label, sent, expected) for each of its members."""

    def run(lane):
        deadline = time.monotonic() + SWEEP_LIMIT
        failures, unserved = [], 0
        for done, (label, sent, expected) in enumerate(variants):
            if time.monotonic() > deadline or unserved == 3:
                failures.append("given up after %d members" % done)
                break
            try:
                lane.judge(messages.steps(sent), expected)
                unserved = 0
            except Failed as failed:
                failures.append("%s: %s" % (label, failed))
                unserved = unserved + 1 if "no answer to the canary" in str(failed) else 0
        if failures:
            more = len(failures) - FAILURES_SHOWN
            shown = failures[:FAILURES_SHOWN] + (["and %d more" % more] if more > 0 else [])
            raise Failed("%d of %d members fail: %s" % (len(failures), len(variants), " | ".join(shown)))

    add(Case(id, title, run))


def select(patterns):
    """Cases named by `A01,G*,M`: an id, a glob or a whole group."""
    if not patterns:
        chosen = CASES
    else:
        wanted = [p.strip() for p in patterns.split(",") if p.strip()]
        wanted = [p + "*" if re.fullmatch(r"[A-Z]", p) else p for p in wanted]
        chosen = [c for c in CASES if any(fnmatch.fnmatchcase(c.id, p) for p in wanted)]
    return sorted(chosen, key=lambda c: c.order)
