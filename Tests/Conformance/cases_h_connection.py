"""H. Connection state."""

import time

from catalog import QUIET, RAW, RAW_CLIENT, Failed, case, check, wire
from expect import Answered, Either, Forwarded, Refused, excerpt, refused_or_forwarded
from messages import CANARY, Request, evil, get, post


def slowly(seconds):
    """A part: answers after a while."""

    def part(call):
        time.sleep(seconds)
        call.answer()

    return part


@case("H01", "two pipelined GETs, the first slower", **RAW_CLIENT)
def two_pipelined(lane):
    pipelined(lane, [0.2, 0.0])


@case("H01x1", "ten pipelined GETs of mixed speed", **RAW_CLIENT)
def ten_pipelined(lane):
    pipelined(lane, [0.05, 0, 0, 0.02, 0, 0.03, 0, 0, 0.01, 0])


@case("H01x2", "pipelined POSTs with bodies of both framings", **RAW_CLIENT)
def pipelined_posts(lane):
    connection = lane.connect()
    requests = [Request(lane.canary(), b"POST", body=b"x" * n, chunked=n % 2 == 1) for n in range(8)]
    for request in requests:
        connection.expect(b"POST")
    connection.send(b"".join(r.h1() for r in requests))
    for request in requests:
        lane.good(connection.answer(1.0), request.canary, "a pipelined POST")
    for request in requests:
        recorded = lane.upstream(request.canary)
        check(bytes(recorded.body) == request.body, "a pipelined body arrived as %r" % bytes(recorded.body))
    connection.close()


def pipelined(lane, delays):
    connection = lane.connect()
    canaries = [lane.canary(slowly(delay)) for delay in delays]
    for _ in canaries:
        connection.expect()
    connection.send(b"".join(Request(c).h1() for c in canaries))
    for canary in canaries:
        lane.good(connection.answer(1.0 + sum(delays)), canary, "a pipelined request")
    for canary in canaries:
        check(
            len(lane.backend.of(canary)) == 1, "U=%d for a pipelined request" % len(lane.backend.of(canary))
        )
    lane.warm(connection)
    connection.close()
    lane.fresh_canary()


@case("H03", "GET with a length, its body a request for /evil", **RAW_CLIENT)
def get_with_a_body(lane):
    with_smuggled_body(lane, b"GET")


@case("H03x1", "the same with HEAD, DELETE and OPTIONS", **RAW_CLIENT)
def others_with_a_body(lane):
    for method in (b"HEAD", b"DELETE", b"OPTIONS"):
        with_smuggled_body(lane, method)


def with_smuggled_body(lane, method):
    """The length is known only with the canary, so the request is built by hand."""
    body = b"GET /evil HTTP/1.1\r\nHost: a\r\nX-Canary: evil\r\n\r\n"
    raw = get(b"Content-Length: %d" % len(body)).replace(b"GET", method, 1) + body
    lane.judge([raw], Either(Refused(400), Forwarded(body=body)), method)


@case("H04", "Connection: close, then a pipelined request", **RAW)
def close_then_pipelined(lane):
    lane.judge([get(b"Connection: close") + evil(CANARY)], Forwarded(closes=True))


@case("H04x1", "the same on HTTP/1.0 without keep-alive", **RAW)
def old_then_pipelined(lane):
    seen = lane.observe([get(version=b"HTTP/1.0") + evil(CANARY)])
    problem = Forwarded().problem(seen)
    check(not problem, lambda: "%s; %s" % (problem, seen.raw()))
    check(seen.end or len(seen.requests) == 1, "the connection of an HTTP/1.0 request went on")


wire("H04x2", "Connection: CLOSE among others", get(b"Connection: foo, CLOSE, bar"), Forwarded(closes=True))


def early_413(keep):
    def part(call):
        call.answer(413, body=b"too much\n")
        if not keep:
            call.refuse_more()

    return part


@case("H05", "backend answers 413 at the head, client has 1 MB to send")
def early_answer(lane):
    for keep in (True, False):
        for chunked in (False, True):
            early(lane, keep, chunked)


def early(lane, keep, chunked):
    canary = lane.canary(early_413(keep), at_head=True)
    connection = lane.connect()
    piece = b"x" * 65_536
    connection.begin(Request(canary, b"POST", chunked=chunked), None if chunked else 1 << 20)
    connection.write(piece, 1.0)
    answer = connection.answer(1.0)
    what = "backend %s, %s" % ("stays" if keep else "closes", "chunked" if chunked else "length")
    check(
        answer is not None and answer.status == 413 and answer.complete,
        "%s: the 413 was not delivered before the body's end: %s" % (what, excerpt(connection.log)),
    )
    lane.own_canary(answer, canary)
    for _ in range(15):
        connection.write(piece, 0.2)
        connection.receive(0)
    connection.finish(1.0)
    connection.receive(0.05)
    if not connection.ended and not answer.announces_close:
        lane.warm(connection)
    connection.close()
    for _ in range(3):
        lane.fresh_canary()
    for request in lane.backend.of(canary):
        if not request.complete:
            check(
                request.connection.requests[-1] is request,
                "%s: the upstream connection was used again without the whole body" % what,
            )
    check(len(lane.backend.of(canary)) == 1, "%s: U=%d" % (what, len(lane.backend.of(canary))))


def continues(call):
    """A part: sends 100 if asked to, then reads and answers."""
    if b"100-continue" in call.request.tokens(b"expect"):
        call.interim(100, ())
    if call.read_body(5.0):
        call.answer()


@case("H06", "Expect: 100-continue, body sent at once")
def expect_body_at_once(lane):
    for part, at_head in ((continues, True), (lambda call: call.answer(), False)):
        canary = lane.canary(part, at_head)
        connection = lane.connect()
        connection.start(Request(canary, b"POST", fields=[(b"Expect", b"100-continue")], body=b"hello"))
        answer = connection.answer(1.0)
        lane.good(answer, canary, "a POST with Expect")
        check(len(answer.interim) <= 1, "%d interim answers" % len(answer.interim))
        check(not connection.unexpected(), "behind the answer: %s" % excerpt(connection.unexpected()))
        request = lane.upstream(canary)
        check(bytes(request.body) == b"hello", "the body arrived as %r" % bytes(request.body))
        lane.warm(connection)
        connection.close()
        lane.fresh_canary()


@case("H06x1", "Expect: 100-continue, body sent only after the 100")
def expect_waits(lane):
    canary = lane.canary(continues, True)
    connection = lane.connect()
    connection.begin(Request(canary, b"POST", fields=[(b"Expect", b"100-Continue")]), 5)
    interim = connection.interim(1.0)
    check(interim, lambda: "no 100 within a second; client saw %s" % excerpt(connection.log))
    check(interim[0][0] == 100, "not a 100: %s" % interim)
    connection.write(b"hello")
    connection.finish()
    answer = connection.answer(1.0)
    lane.good(answer, canary, "a POST with Expect")
    check(len(answer.interim) == 1, "%d interim answers" % len(answer.interim))
    lane.warm(connection)
    connection.close()
    lane.fresh_canary()


@case("H06x2", "Expect: 100-continue, the backend refuses at the head")
def expect_refused(lane):
    """The client never sends its body; what follows must not be taken for it, nor wait for it."""
    canary = lane.canary(lambda call: call.answer(413), True)
    connection = lane.connect()
    connection.begin(Request(canary, b"POST", fields=[(b"Expect", b"100-continue")]), 5)
    answer = connection.answer(1.0)
    check(answer is not None and answer.complete, "no whole answer")
    lane.own_canary(answer, canary)
    check(answer.status == 413, "%s instead of 413" % answer.status)
    connection.close()
    lane.fresh_canary()


class ExpectationFailed(Answered):
    def _upstream_problem(self, seen):
        if any(r.complete for r in seen.requests):
            return "a complete request went upstream"


wire("H08", "Expect: banana", get(b"Expect: banana"), ExpectationFailed(417))
wire(
    "H08x1",
    "Expect: banana on a POST",
    post(b"Expect: banana", b"Content-Length: 5", body=b"hello"),
    ExpectationFailed(417),
)
wire(
    "H08x2",
    "Expect: 100-continue, banana",
    post(b"Expect: 100-continue, banana", b"Content-Length: 5", body=b"hello"),
    ExpectationFailed(417),
)
wire(
    "H11",
    "upgrade to h2c",
    get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
    Forwarded(
        absent=[b"Upgrade", b"HTTP2-Settings"],
        check=lambda r: (
            "Connection upstream is %r" % r.all(b"connection")
            if {b"upgrade", b"http2-settings"} & set(r.tokens(b"connection"))
            else None
        ),
    ),
)
wire(
    "H11x1",
    "upgrade to something unknown",
    get(b"Connection: Upgrade", b"Upgrade: foo/2"),
    refused_or_forwarded(400, absent=[b"Upgrade"]),
)

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


def accepts(call):
    """A part: switches protocols whatever was asked."""
    call.send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nsmuggled"
    )
    call.gone(1.0)
    call.close()


def never_101(lane, method, *fields):
    canary = lane.canary(accepts)
    connection = lane.connect()
    connection.expect(method)
    connection.play([get(*fields).replace(b"GET", method, 1)], canary)
    answer = connection.answer(1.0)
    saw = bytes(connection.log)
    connection.close()
    check(answer is None or answer.status != 101, "101; client saw %s" % excerpt(saw))
    check(answer is not None, "no answer within a second")
    check(b"smuggled" not in saw, "bytes behind the 101 reached the client: %s" % excerpt(saw))
    lane.fresh_canary()


@case("H12.1", "WebSocket upgrade by POST; the backend would accept", **RAW)
def upgrade_by_post(lane):
    never_101(
        lane,
        b"POST",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        KEY,
        b"Sec-WebSocket-Version: 13",
        b"Content-Length: 0",
    )


@case("H12.3", "WebSocket upgrade with version 99; the backend would accept", **RAW)
def upgrade_version_99(lane):
    never_101(lane, b"GET", b"Connection: Upgrade", b"Upgrade: websocket", KEY, b"Sec-WebSocket-Version: 99")


@case("H12x1", "other broken upgrades that the backend would accept", **RAW)
def broken_upgrades(lane):
    upgrade, version = b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"
    for fields in (
        (upgrade, KEY, version),  # No Connection: upgrade.
        (b"Connection: Upgrade", KEY, version),  # No Upgrade.
        (b"Connection: Upgrade", upgrade, version),  # No key.
        (b"Connection: Upgrade", upgrade, KEY),  # No version.
        (b"Connection: Upgrade", b"Upgrade: h2c", KEY, version),  # Another protocol.
        (),
    ):  # A plain GET.
        try:
            never_101(lane, b"GET", *fields)
        except Failed as failed:
            raise Failed("%r: %s" % (fields, failed))


@case("H14", "client half-closes after its request", QUIET, **RAW_CLIENT)
def half_close(lane):
    for seconds in (0.0, 0.3):

        def part(call, seconds=seconds):
            if not call.gone(seconds):
                call.answer()

        canary = lane.canary(part)
        connection = lane.connect()
        connection.start(Request(canary))
        connection.half_close()
        closed_at = time.monotonic()
        answer = connection.answer(1.5)
        what = "backend answers after %.1f s" % seconds
        if answer is not None:
            lane.good(answer, canary, "%s: a half-closed request" % what)
        else:
            check(connection.wait_end(1.0), "%s: neither an answer nor a close" % what)
            for request in lane.backend.of(canary) if seconds else []:
                check(lane.backend.wait_gone(request), "%s: no answer, and not aborted upstream" % what)
                late = request.connection.ended_at - closed_at
                check(late <= 0.1, "%s: aborted upstream only after %.0f ms" % (what, late * 1000))
        connection.close()
        lane.fresh_canary()


def streams_until_gone(call):
    """A part: an event every 10 ms until the proxy leaves."""
    call.start()
    for n in range(500):
        if not call.piece(b"data: %d\n\n" % n) or call.gone(0.01):
            return
    call.finish()


@case("H15", "client resets inside a streamed answer", QUIET)
def reset_inside_an_answer(lane):
    for way in ("reset",) * 5 + tuple(w for w in lane.ways_to_leave if w == "cancel") * 5:
        left_inside(lane, way)


def left_inside(lane, way):
    canary = lane.canary(streams_until_gone)
    connection = lane.connect()
    connection.start(Request(canary))
    check(connection.body_until(lambda body: body.count(b"\n\n") >= 3, 1.0), "no events within a second")
    left_at = time.monotonic()
    getattr(connection, way)()
    request = lane.upstream(canary)
    check(lane.backend.wait_gone(request, 1.0), "%s: upstream not closed within a second" % way)
    late = request.connection.ended_at - left_at
    check(late <= 0.1, "%s: upstream closed only after %.0f ms" % (way, late * 1000))
    lane.fresh_canary()
