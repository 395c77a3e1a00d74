"""What must happen, apart from how the request was sent.

An expectation looks at a `Seen` and says what is wrong with it, or None. The
words are those of the table: Refused is `400C`, RefusedInBody is `400C*`,
Forwarded is `200`, Either is `or`.
"""

import copy
from dataclasses import dataclass, field

from frames import error_name

# "Answers come within a second unless a timer is the subject."
ANSWER_LIMIT = 1.0
# Poisoning and hangs apart, a FIN belongs to the refusal: within a second as well.
FIN_LIMIT = 1.0


@dataclass
class Seen:
    """One client request, as both ends saw it."""

    canary: str
    answer: object = None  # wire.Answer or None.
    answered_after: float = 0.0  # From the last byte sent to the end of the answer.
    end: str = None  # How the client connection ended, None: still open.
    late_reset: bool = False  # An RST after the FIN, while the client still sent.
    extra: bytes = b""  # Bytes behind the answer.
    client_log: bytes = b""
    requests: list = field(default_factory=list)  # Upstream, canaries left out.
    canary_problem: str = None  # What the requests after it suffered.
    reset: int = None  # HTTP/2: the code of RST_STREAM on its stream.
    goaway: int = None  # HTTP/2: the code of GOAWAY.
    judge_drain: bool = True  # False: an RST after the answer is forgiven (see README).

    def raw(self):
        upstream = b" | ".join(bytes(r.raw_head) + bytes(r.body)[:80] for r in self.requests)
        return "client saw %s, end %s; upstream saw %s" % (
            excerpt(self.client_log),
            self.end,
            excerpt(upstream),
        )


def excerpt(data, limit=240):
    data = bytes(data)
    return repr(data[:limit])[1:] + (" (%d bytes in all)" % len(data) if len(data) > limit else "")


def status_of(seen):
    if seen.reset is not None or seen.goaway:
        return "%s with %s" % (
            ("RST_STREAM", error_name(seen.reset)) if seen.reset is not None else ("GOAWAY", error_name(seen.goaway))
        )
    if seen.answer is None:
        return "no answer"
    if seen.answer.broken:
        return "a broken answer (%s)" % seen.answer.broken
    return "%s%s" % (seen.answer.status, "" if seen.answer.complete else ", cut")


class Answered:
    """One of these statuses, with nothing sent upstream; the connection may stay."""

    def __init__(self, *statuses, limit=ANSWER_LIMIT):
        self.statuses = statuses
        self.limit = limit

    def __str__(self):
        return "/".join(map(str, self.statuses))

    def problem(self, seen):
        return self._answer_problem(seen) or self._upstream_problem(seen)

    def _answer_problem(self, seen):
        answer = seen.answer
        if answer is None or answer.broken or answer.status not in self.statuses:
            return "%s instead of %s" % (status_of(seen), self)
        if not answer.complete:
            return "the %s was not delivered whole" % answer.status
        if answer.framing == "close":
            return "the %s has neither a length nor chunks: its end cannot be told" % answer.status
        if answer.defects:
            return "answer not canonical: %s" % "; ".join(answer.defects)
        if seen.answered_after > self.limit:
            return "answered only after %.1f s" % seen.answered_after
        if seen.extra:
            return "bytes behind the answer: %s" % excerpt(seen.extra)

    def _upstream_problem(self, seen):
        if seen.requests:
            return "U=%d instead of U=0" % len(seen.requests)


class Refused(Answered):
    """A refusal: status, close, whole, FIN within a second, no RST, U=0."""

    def __str__(self):
        return "/".join("%dC" % s for s in self.statuses)

    def problem(self, seen):
        return self._answer_problem(seen) or self._end_problem(seen) or self._upstream_problem(seen)

    def _end_problem(self, seen):
        if not seen.answer.announces_close:
            return "%d without Connection: close" % seen.answer.status
        if seen.end is None:
            return "no FIN within a second after the %d" % seen.answer.status
        if seen.judge_drain and seen.end == "RST":
            return "RST instead of FIN after the %d" % seen.answer.status
        if seen.judge_drain and seen.late_reset:
            return "RST after the FIN, while the client was still sending"


class RefusedInBody(Refused):
    """A refusal when the head may be upstream: that request never becomes complete."""

    def __str__(self):
        return "/".join("%dC*" % s for s in self.statuses)

    def _upstream_problem(self, seen):
        return incomplete_problem(seen)


def incomplete_problem(seen):
    """At most one request upstream, never complete, its connection gone and not used again."""
    if len(seen.requests) > 1:
        return "U=%d instead of one at most" % len(seen.requests)
    for request in seen.requests:
        if request.canary() != seen.canary:
            return "a foreign request upstream"
        if request.complete:
            return "the refused request became complete upstream"
        if not request.connection.ended:
            return "the refused request was not aborted upstream within a second"
        if request.connection.requests[-1] is not request:
            return "the upstream connection of the refused request was used again"


class Reset(Answered):
    """The refusal of HTTP/2: RST_STREAM or GOAWAY with an error, or one of these statuses; U=0.

    Where the head may be upstream before the fault shows (`in_body`), the request never
    becomes complete.
    """

    def __init__(self, *statuses, in_body=False, codes=None, limit=ANSWER_LIMIT):
        super().__init__(*(statuses or (400,)), limit=limit)
        self.in_body = in_body
        self.codes = codes

    def __str__(self):
        return "a reset%s or %s" % (
            " with " + "/".join(map(error_name, self.codes)) if self.codes else "",
            super().__str__(),
        )

    def problem(self, seen):
        upstream = incomplete_problem(seen) if self.in_body else self._upstream_problem(seen)
        said = [code for code in (seen.reset, seen.goaway) if code is not None]
        code = max(said, default=None)
        if code is None and (seen.answer is None or seen.answer.status is None) and seen.end:
            return "the connection was closed without a word"
        if code is None:
            return self._answer_problem(seen) or upstream
        answered = seen.answer is not None and seen.answer.complete
        if code == 0 and not (answered and seen.answer.status in self.statuses):
            return "a reset with NO_ERROR"
        if self.codes and code and code not in self.codes:
            return "%s instead of %s" % (error_name(code), self)
        if answered and 200 <= seen.answer.status < 300:
            return "answered with %d before the reset" % seen.answer.status
        return upstream


def over_h2(expected):
    """The same expectation of a request that came over HTTP/2."""
    if isinstance(expected, Either):
        return Either(*[over_h2(choice) for choice in expected.choices])
    if isinstance(expected, Refused):
        return Reset(*{*expected.statuses, 400}, in_body=isinstance(expected, RefusedInBody), limit=expected.limit)
    if isinstance(expected, Forwarded) and expected.closes:
        twin = copy.copy(expected)
        twin.closes = False
        return twin
    return expected


class NeverComplete:
    """A request that its client cut off: no 2xx, and never complete upstream."""

    def __str__(self):
        return "no 2xx, aborted upstream"

    def problem(self, seen):
        if seen.answer is not None and seen.answer.status and 200 <= seen.answer.status < 300:
            return "%d for a request that was cut off" % seen.answer.status
        return incomplete_problem(seen)


class Forwarded:
    """Forwarded once, framed canonically, answered with its own canary.

    Further conditions about the recorded request are given by name; `check` is a
    function of it that returns a complaint or None.
    """

    def __init__(
        self, method=None, target=None, host=None, body=None, absent=(), present=(), check=None, closes=False
    ):
        self.method, self.target, self.host, self.body = method, target, host, body
        self.absent, self.present = absent, present
        self.check, self.closes = check, closes

    def __str__(self):
        return "200, forwarded once"

    def problem(self, seen):
        answer = seen.answer
        if answer is None or answer.broken or answer.status != 200:
            return "%s instead of %s" % (status_of(seen), self)
        if not answer.complete:
            return "the answer was not delivered whole"
        if answer.defects:
            return "answer not canonical: %s" % "; ".join(answer.defects)
        if seen.answered_after > ANSWER_LIMIT:
            return "answered only after %.1f s" % seen.answered_after
        if seen.extra:
            return "bytes behind the answer: %s" % excerpt(seen.extra)
        if len(seen.requests) != 1:
            return "U=%d instead of U=1" % len(seen.requests)
        if answer.canary() != seen.canary:
            return "answered with the canary %s instead of %s" % (answer.canary(), seen.canary)
        if self.closes and not (answer.announces_close and seen.end):
            return "the connection was not closed after the answer"
        return self._request_problem(seen.requests[0])

    def _request_problem(self, request):
        if not request.complete:
            return "the request did not arrive whole"
        if request.defects:
            return "not canonical upstream: %s" % "; ".join(request.defects)
        for name in ("method", "target", "host"):
            wanted, got = getattr(self, name), getattr(request, name)
            if wanted is not None and got != wanted:
                return "%s upstream is %r instead of %r" % (name, got, wanted)
        if self.body is not None and bytes(request.body) != self.body:
            return "body upstream is %s instead of %s" % (excerpt(bytes(request.body)), excerpt(self.body))
        for name in self.absent:
            if request.all(name.lower()):
                return "%s went upstream" % name.decode()
            if any(t.lower().startswith(name.lower() + b":") for t in request.trailers):
                return "%s went upstream as a trailer" % name.decode()
        for name, value in self.present:
            if request.all(name.lower()) != [value]:
                return "%s upstream is %r instead of %r" % (name.decode(), request.all(name.lower()), value)
        return self.check(request) if self.check else None


class Either:
    """Where the table says `or`."""

    def __init__(self, *choices):
        self.choices = choices

    def __str__(self):
        return " or ".join(map(str, self.choices))

    def problem(self, seen):
        problems = []
        for choice in self.choices:
            problem = choice.problem(seen)
            if problem is None:
                return None
            problems.append(problem)
        return "neither %s: %s" % (self, "; ".join(dict.fromkeys(problems)))


def refused_or_forwarded(*statuses, **conditions):
    return Either(Refused(*(statuses or (400,))), Forwarded(**conditions))
