"""A lane: one proxy in front of one recording backend, and the judge between.

A fast case has its lane to itself, so "no byte came upstream" needs no guessing
about whose byte it was. Slow cases share a lane and tell requests apart by their
canaries.
"""

import contextlib
import copy
import itertools
import threading
import time
from types import SimpleNamespace

import compression
import frames
import messages
from catalog import Failed, check
from client import H1Connection, H2Connection
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
        self.client = "h1"  # How its clients speak: h1, h2, and h1s, h2s over TLS.
        self.health = SimpleNamespace(restarts=0)  # How often its proxy died or hung.
        self._numbers = itertools.count(1)

    def seen_by(self, client):
        """The same lane for clients of that kind."""
        twin = copy.copy(self)
        twin.client = client
        return twin

    @property
    def version(self):
        return self.client[:2]

    # Requests.

    def canary(self, part=None, at_head=False):
        """A fresh canary; its request plays `part` on the backend."""
        canary = "%s-%05d" % (self.name, next(self._numbers))
        assert len(canary) == len(messages.CANARY)
        if part is not None:
            self.backend.play(canary, part, at_head)
        return canary

    def connect(self, **options):
        kind = H2Connection if self.version == "h2" else H1Connection
        return kind(self.proxy.address_for(self.client), tls=self.client.endswith("s"), **options)

    @property
    def ways_to_leave(self):
        return (H2Connection if self.version == "h2" else H1Connection).ways_to_leave

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

    def cut(self, connection, answer, timeout=1.0):
        """True when an answer that broke off has an end that cannot be taken for a clean one."""
        return not answer.complete and connection.was_cut(answer, timeout)

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
            seen.extra = connection.unexpected()
            self._canaries(connection, seen)
        finally:
            connection.close()
        self._upstream(seen, mark)
        return seen

    def judge_message(self, message, expected, bytewise=False):
        """The same over HTTP/2."""
        seen = self.observe_message(message, bytewise)
        problems = [p for p in (expected.problem(seen), seen.canary_problem) if p]
        if problems:
            raise Failed("%s; %s" % ("; then ".join(problems), seen.raw()))
        return seen

    def observe_message(self, message, bytewise=False, patience=PATIENCE):
        """Sends a field list and DATA on a stream, beside another stream that must not suffer."""
        canary = self.canary()
        fill = lambda data: data.replace(messages.CANARY, canary.encode())
        fields = [(fill(name), fill(value)) for name, value in message.fields]

        def sent(stream, connection):
            raw = frames.head(stream, compression.block(fields), message.body is None)
            if message.body is not None:
                raw += b"".join(
                    frames.data(stream, fill(message.body)[i : i + 16_000], False)
                    for i in range(0, len(message.body), 16_000)
                )
                if message.trailers is None:
                    raw += frames.data(stream, b"", True)
                else:
                    trailers = [(fill(name), fill(value)) for name, value in message.trailers]
                    raw += frames.head(stream, compression.block(trailers), True)
            return raw

        return self.observe_frames(sent, message.method, bytewise, patience, canary)

    def observe_frames(self, sent, method=b"GET", bytewise=False, patience=PATIENCE, canary=None, more=None):
        """Sends the frames that `sent(stream, connection)` makes on a fresh connection and judges them.

        `more(connection, stream)` goes on after that, such as with a pause between two frames.
        """
        mark, canary = self.backend.mark(), canary or self.canary()
        seen = Seen(canary, judge_drain=self.judge_drain)
        connection = self.connect()
        release = threading.Event()
        try:
            beside = self._beside(connection, release)
            stream = connection.stream(method, wait=False)
            raw = sent(stream.number, connection)
            raw = raw.replace(messages.CANARY, canary.encode())
            for piece in [raw[i : i + 1] for i in range(len(raw))] if bytewise else [raw]:
                if connection.send(piece) < len(piece):
                    break
            if more:
                more(connection, stream)
            self._follow_stream(connection, stream, seen, patience)
            release.set()
            self._finish_beside(connection, beside, seen)
            seen.extra = connection.unexpected()
            seen.client_log = bytes(connection.log)
            self._canaries(connection, seen)
        finally:
            release.set()
            connection.close()
        self._upstream(seen, mark)
        return seen

    def _beside(self, connection, release):
        """A stream whose answer waits; what happens to its neighbour is none of its business."""

        def part(call):
            call.start()
            call.piece(b"beside")
            release.wait(5)
            call.finish()

        canary = self.canary(part)
        connection.start(messages.Request(canary))
        head = connection.head(1.0)
        check(head is not None, "no answer to the stream beside it")
        return canary, connection._reader()

    def _finish_beside(self, connection, beside, seen):
        canary, stream = beside
        answer = connection.answer_on(stream, 1.0)
        if connection.goaways or seen.goaway is not None:
            return  # A fault of the connection takes all streams with it; U=0 was the point.
        try:
            self.good(answer, canary, "the stream beside it")
        except Failed as failed:
            seen.canary_problem = str(failed)

    def _follow_stream(self, connection, stream, seen, patience):
        started = time.monotonic()
        done = lambda: stream.answer.complete or stream.answer.broken or connection.reset_code(stream) is not None
        connection.until(lambda: done() or connection.over, patience)
        answer = stream.answer
        # A reset may stand behind a whole answer: it stops an upload, or takes the answer back.
        connection.until(lambda: connection.reset_code(stream) is not None or connection.ended, 0.003)
        now = time.monotonic()
        seen.answer = None if answer.nothing else answer
        seen.answered_after = (answer.complete_at or now) - started
        seen.reset = connection.reset_code(stream)
        seen.goaway = max((code for _, code, _ in connection.goaways), default=None)
        seen.end = connection.ended

    def _canaries(self, connection, seen):
        """What a request did to those after it; a complaint, kept beside the verdict on itself."""
        answer = seen.answer
        try:
            self.own_canary(answer, seen.canary)
            if self.version == "h2":
                if not connection.goaways and not connection.ended:
                    self._canary_on(connection, seen)
            elif seen.end is None and answer is not None and answer.complete and not answer.announces_close:
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
        if self.version == "h1" and answer is not None and answer.status == 400 and seen.answer.status != 200:
            return  # A refusal that forgot to close is judged by the expectation.
        self.good(answer, canary, "the canary on the same connection")

    def fresh_canary(self):
        """A request on a new connection, which will meet the pooled upstream ones."""
        canary = self.canary()
        connection = self.connect()
        connection.start(messages.Request(canary))
        answer = connection.answer(ANSWER_LIMIT)
        extra = connection.unexpected()
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
