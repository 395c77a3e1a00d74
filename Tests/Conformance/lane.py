"""A lane: one proxy in front of one recording backend, and the judge between.

A fast case has its lane to itself, so "no byte came upstream" needs no guessing
about whose byte it was. Slow cases share a lane and tell requests apart by their
canaries.
"""

import contextlib
import itertools
import threading
import time

import messages
from catalog import Failed, check
from client import H1Connection
from expect import ANSWER_LIMIT, FIN_LIMIT, Seen, excerpt

# Waiting for an answer, not only until it is late: the failure then says how late.
PATIENCE = 1.4
# What the client sends on while it is refused; and how long an RST may take on loopback.
RESET_SHOWS_WITHIN = 0.015
# After the client's side has ended, what is still on its way to the backend.
SETTLE = 0.01
# "Large inputs and floods grow memory by less than 32 MB."
MEMORY_LIMIT = 32 << 20


class Lane:
    def __init__(self, name, backend, proxy, judge_drain=True):
        self.name = name
        self.backend = backend
        self.proxy = proxy
        self.judge_drain = judge_drain
        self.restarts = 0  # How often its proxy died or hung.
        self._numbers = itertools.count(1)

    # Requests.

    def canary(self, part=None, at_head=False):
        """A fresh canary; its request plays `part` on the backend."""
        canary = "%s-%05d" % (self.name, next(self._numbers))
        assert len(canary) == len(messages.CANARY)
        if part is not None:
            self.backend.play(canary, part, at_head)
        return canary

    def connect(self):
        return H1Connection(self.proxy.address)

    def ask(self, request, connection=None, timeout=ANSWER_LIMIT):
        """Sends a well-formed request and returns its answer; a foreign canary is fatal.

        Without a connection it takes a new one and closes it.
        """
        own = connection or self.connect()
        own.start(request)
        answer = own.answer(timeout)
        if not connection:
            own.close()
        self.own_canary(answer, request.canary)
        return answer

    def own_canary(self, answer, canary):
        if answer is not None and answer.canary() not in (None, canary):
            raise Failed("POISONED: %s was answered with %s" % (canary, answer.canary()))

    def good(self, answer, canary, what="the request"):
        """An answer of the backend, whole, and this request's own."""
        check(answer is not None, "no answer to %s" % what)
        check(
            answer.status == 200 and answer.complete and not answer.broken,
            lambda: "%s got %s%s: %s"
            % (what, answer.status, "" if answer.complete else ", cut", excerpt(answer.raw_head)),
        )
        check(
            answer.canary() == canary,
            "POISONED: %s has the canary %s instead of %s" % (what, answer.canary(), canary),
        )
        check(not answer.defects, "answer not canonical: %s" % "; ".join(answer.defects))

    def upstream(self, canary):
        """The one request that came upstream with this canary."""
        requests = self.backend.of(canary)
        check(len(requests) == 1, "U=%d instead of U=1" % len(requests))
        return requests[0]

    def warm(self, connection):
        """Leaves an idle pooled connection upstream; returns the connection it used.

        A proxy keeps its pools by thread: only what comes on the same client connection is sure to
        find the idle one.
        """
        canary = self.canary()
        self.good(self.ask(messages.Request(canary), connection), canary, "a warm-up request")
        return self.upstream(canary).connection

    # The judge.

    def judge(self, steps, expected, method=b"GET", bytewise=False):
        seen = self.observe(steps, method, bytewise)
        problems = [p for p in (expected.problem(seen), seen.canary_problem) if p]
        if problems:
            raise Failed("%s; %s" % ("; then ".join(problems), seen.raw()))
        return seen

    def observe(self, steps, method=b"GET", bytewise=False, patience=PATIENCE):
        """Sends raw steps, follows the connection to its end, then sends the canaries."""
        mark, canary = self.backend.mark(), self.canary()
        seen = Seen(canary, judge_drain=self.judge_drain)
        connection = self.connect()
        try:
            connection.expect(method)
            connection.play(steps, canary, bytewise)
            self._follow(connection, seen, patience)
            seen.client_log = bytes(connection.log)
            seen.extra = bytes(connection.buffer)
            self._canaries(connection, seen)
        finally:
            connection.close()
        self._upstream(seen, mark)
        return seen

    def _canaries(self, connection, seen):
        """What a request did to those after it; a complaint, kept beside the verdict on itself."""
        answer = seen.answer
        try:
            self.own_canary(answer, seen.canary)
            if seen.end is None and answer is not None and answer.complete and not answer.announces_close:
                self._canary_on(connection, seen)
            connection.close()
            self.fresh_canary()
        except Failed as failed:
            seen.canary_problem = str(failed)

    def _follow(self, connection, seen, patience):
        started = time.monotonic()
        seen.answer = answer = connection.answer(patience)
        now = time.monotonic()
        seen.answered_after = (answer.complete_at or now) - started if answer else now - started
        if answer is not None and answer.complete and not answer.announces_close and not connection.ended:
            # Some say close only with the FIN itself; a moment shows it.
            connection.wait_end(0.003)
        elif answer is not None:
            # The client is still sending: a close that does not drain shows as RST here.
            connection.send(messages.evil(seen.canary.encode()), 0.2)
            seen.end = connection.wait_end(FIN_LIMIT)
            if seen.end == "FIN":
                connection.send(messages.evil(seen.canary.encode()), 0.2)
                time.sleep(RESET_SHOWS_WITHIN)
                seen.late_reset = connection.was_reset_later()
            return
        seen.end = connection.ended

    def _canary_on(self, connection, seen):
        """A second request on the same connection must get its own answer."""
        canary = self.canary()
        connection.start(messages.Request(canary))
        answer = connection.answer(ANSWER_LIMIT)
        if answer is None and connection.ended:
            return  # It closed: nothing was poisoned.
        if answer is None and connection.buffer:
            raise Failed("the next answer on this connection is broken: %s" % excerpt(connection.buffer))
        if answer is not None and answer.status == 400 and seen.answer.status != 200:
            return  # A refusal that forgot to close is judged by the expectation.
        self.good(answer, canary, "the canary on the same connection")

    def fresh_canary(self):
        """A request on a new connection, which will meet the pooled upstream ones."""
        canary = self.canary()
        connection = self.connect()
        connection.start(messages.Request(canary))
        answer = connection.answer(ANSWER_LIMIT)
        extra = bytes(connection.buffer)
        connection.close()
        self.good(answer, canary, "the canary on a new connection")
        check(not extra, "POISONED: bytes behind the canary's answer: %s" % excerpt(extra))
        count = len(self.backend.of(canary))
        check(count == 1, "the canary came upstream %d times" % count)

    def _upstream(self, seen, mark):
        time.sleep(SETTLE)
        # A polite request beside the case has no canary until its head is whole.
        self.backend.wait(
            lambda: all(r.head_at or r.connection.ended for r in self.backend.since(mark)), 0.05
        )
        own = self._foreign(mark, seen.canary)
        for request in own:
            if not request.complete:
                self.backend.wait_gone(request, 1.0)
        seen.requests = own

    def _foreign(self, mark, canary):
        """Requests since the mark but for the canary requests of the judge itself.

        Those carry a canary of this lane other than the one under test; they
        cannot be confused with it, since no two requests share a canary.
        """
        judges = lambda r: (r.canary() or "").startswith(self.name + "-") and r.canary() != canary
        return [r for r in self.backend.since(mark) if not (judges(r) and r.target == b"/")]

    def evil_seen(self):
        """Requests that were smuggled past the proxy."""
        return [
            r for r in list(self.backend.requests) if b"/evil" in (r.target or r.raw_head.split(b"\n")[0])
        ]

    # Around heavy cases.

    @contextlib.contextmanager
    def burden(self, polite=True):
        """Judges memory while a heavy input runs, and a polite client beside it."""
        watch = _Watch(self, polite)
        watch.start()
        try:
            yield watch
        finally:
            watch.stop()
        watch.judge()


class _Watch:
    """Samples the proxy's memory and asks it politely, in the background."""

    def __init__(self, lane, polite):
        self.lane = lane
        self.polite = polite
        self.before = self.peak = lane.proxy.memory_bytes()
        self.slowest = 0.0
        self.failure = None
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._sample, daemon=True)]
        if polite:
            self._threads.append(threading.Thread(target=self._ask, daemon=True))

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._done.set()
        for thread in self._threads:
            thread.join(5)

    def judge(self):
        check(self.failure is None, "a polite client beside it: %s" % self.failure)
        check(self.slowest <= 1.0, "a polite client beside it waited %.1f s" % self.slowest)
        grown = self.peak - self.before
        check(grown < MEMORY_LIMIT, "memory grew by %d MB" % (grown >> 20))

    def _sample(self):
        while not self._done.wait(0.01):
            self.peak = max(self.peak, self.lane.proxy.memory_bytes())

    def _ask(self):
        while not self._done.wait(0.05):
            started = time.monotonic()
            canary = self.lane.canary()
            try:
                self.lane.good(self.lane.ask(messages.Request(canary)), canary, "a polite request")
            except (Failed, OSError) as failed:
                self.failure = self.failure or str(failed)
            self.slowest = max(self.slowest, time.monotonic() - started)
