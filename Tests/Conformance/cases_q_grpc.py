"""Q. gRPC through the proxy, on frames: its own library would hide what is asked here."""

import os
import struct
import time

import frames
from catalog import QUIET, case, check
from client import request_fields
from expect import excerpt
from messages import Request

GRPC = dict(clients=("h2", "h2s"), backends=("h2",), why="gRPC needs HTTP/2 on both sides")
CANCELLED, DEADLINE_EXCEEDED, PERMISSION_DENIED, UNAVAILABLE = b"1", b"4", b"7", b"14"
# Content type, and that trailers are understood, as every gRPC client says.
FIELDS = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
ANSWER = ((b"content-type", b"application/grpc"),)
OK = ((b"grpc-status", b"0"), (b"grpc-message", b""))


def message(data):
    return struct.pack("!BI", 0, len(data)) + data


def messages_in(body):
    """Whole messages at the beginning of a body, and what is left."""
    found = []
    while len(body) >= 5 and len(body) >= 5 + int.from_bytes(body[1:5], "big"):
        size = int.from_bytes(body[1:5], "big")
        found.append(bytes(body[5 : 5 + size]))
        body = body[5 + size :]
    return found, bytes(body)


def call(lane, part, *fields, target=b"/test.Service/Method", end=False, connection=None):
    """A call whose client side is still open; (connection, stream, canary)."""
    canary = lane.canary(part, at_head=True)
    connection = connection or lane.connect()
    request = Request(canary, b"POST", target, fields=[*FIELDS, *fields])
    stream = connection.open(request_fields(request, connection.scheme), b"POST", end=end, wait=False)
    return connection, stream, canary


def status_of(stream):
    """grpc-status, wherever it stands, with what it says."""
    answer = stream.answer
    fields = dict(answer.trailer_fields or (answer.fields if answer.complete else []))
    return fields.get(b"grpc-status"), fields.get(b"grpc-message", b"")


def trailers_only(connection, stream):
    """The answer was one HEADERS frame with END_STREAM."""
    heads = [one for one in connection.frames if one.type == frames.HEADERS and one.stream == stream.number]
    return len(heads) == 1 and heads[0].ends


def ended(connection, stream, timeout=1.0):
    connection.until(
        lambda: stream.answer.complete or connection.reset_code(stream) is not None or connection.over, timeout
    )
    return stream.answer.complete


def good(lane, connection, stream, canary, body=None, trailers=OK):
    check(ended(connection, stream), "no end of the answer; client saw %s" % excerpt(connection.log[-400:]))
    lane.good(stream.answer, canary, "the call")
    check(stream.answer.trailer_fields == list(trailers), "trailers %r" % stream.answer.trailer_fields)
    if body is not None:
        check(bytes(stream.answer.body) == body, "the body is %s" % excerpt(bytes(stream.answer.body)))
    recorded = lane.upstream(canary)
    check(not recorded.defects, "not canonical upstream: %s" % recorded.defects)
    return recorded


@case("Q01x1", "unary: a message each way, trailers in their order", **GRPC)
def unary(lane):
    trailers = ((b"grpc-status", b"0"), (b"x-b", b"2"), (b"grpc-message", b"fine%21"), (b"x-a", b"1"), (b"x-bin", b"AAE"))

    def part(one):
        one.read_body()
        one.start(fields=ANSWER)
        one.piece(message(b"answer"))
        one.finish(trailers)

    connection, stream, canary = call(lane, part, (b"x-meta-bin", b"AAEC"), (b"grpc-encoding", b"identity"))
    connection.send_data(stream.number, message(b"question"), True)
    recorded = good(lane, connection, stream, canary, message(b"answer"), trailers)
    check(bytes(recorded.body) == message(b"question"), "upstream got %s" % excerpt(bytes(recorded.body)))
    check(recorded.all(b"te") == [b"trailers"], "te upstream is %r" % recorded.all(b"te"))
    for name, value in ((b"content-type", b"application/grpc"), (b"x-meta-bin", b"AAEC"), (b"grpc-encoding", b"identity")):
        check(recorded.all(name) == [value], "%s upstream is %r" % (name.decode(), recorded.all(name)))
    check(recorded.method == b"POST" and recorded.target == b"/test.Service/Method", "%r %r upstream" % (recorded.method, recorded.target))
    connection.close()


@case("Q01x2", "trailers only: an answer of one HEADERS frame stays one", **GRPC)
def only_trailers(lane):
    def part(one):
        one._head_frame(200, [*ANSWER, (b"grpc-status", b"5"), (b"grpc-message", b"not found")], True)

    connection, stream, canary = call(lane, part)
    connection.send_data(stream.number, message(b"question"), True)
    check(ended(connection, stream), "no end of the answer; client saw %s" % excerpt(connection.log[-300:]))
    check(status_of(stream) == (b"5", b"not found"), "status %r" % (status_of(stream),))
    check(trailers_only(connection, stream), "not one HEADERS frame: %s" % excerpt(connection.log[-300:]))
    connection.close()


@case("Q01x3", "head, then trailers, and no message between", **GRPC)
def no_message(lane):
    def part(one):
        one.read_body()
        one.start(fields=ANSWER)
        one.finish(((b"grpc-status", b"13"), (b"grpc-message", b"broken")))

    connection, stream, canary = call(lane, part)
    connection.send_data(stream.number, message(b""), True)
    good(lane, connection, stream, canary, b"", ((b"grpc-status", b"13"), (b"grpc-message", b"broken")))
    connection.close()


@case("Q02x1", "server streaming: each message leaves when it comes", **GRPC)
def server_streaming(lane):
    times = []

    def part(one):
        one.read_body()
        one.start(fields=ANSWER)
        for n in range(20):
            times.append(time.monotonic())
            one.piece(message(b"%d" % n))
            one.gone(0.02)
        one.finish(OK)

    connection, stream, canary = call(lane, part)
    connection.send_data(stream.number, message(b"question"), True)
    late = []
    for n in range(20):
        connection.until(lambda: len(messages_in(stream.answer.body.kept)[0]) > n, 1.0)
        late.append(time.monotonic() - times[min(n, len(times) - 1)])
    good(lane, connection, stream, canary, b"".join(message(b"%d" % n) for n in range(20)))
    check(sorted(late)[10] < 0.1, "a message took %.0f ms" % (sorted(late)[10] * 1000))
    connection.close()


@case("Q02x2", "client streaming: each message arrives when it is sent", **GRPC)
def client_streaming(lane):
    def part(one):
        one.read_body()
        one.start(fields=ANSWER)
        one.piece(message(b"%d" % len(messages_in(bytes(one.request.body))[0])))
        one.finish(OK)

    connection, stream, canary = call(lane, part)
    sent = 0
    for n in range(20):
        sent += connection.send_data(stream.number, message(b"x" * n), n == 19)
        there = lane.backend.wait(lambda: any(r.body.length == sent for r in lane.backend.of(canary)), 0.5)
        check(there, "message %d was held back" % n)
    good(lane, connection, stream, canary, message(b"20"))
    connection.close()


@case("Q03x1", "bidirectional: fifty messages in turn, each waits for the one before", **GRPC)
def in_turn(lane):
    def part(one):
        one.start(fields=ANSWER)
        for n in range(50):
            if not lane.backend.wait(lambda: len(messages_in(bytes(one.request.body))[0]) > n, 2.0):
                return
            one.piece(message(b"pong %d" % n))
        one.read_body()
        one.finish(OK)

    connection, stream, canary = call(lane, part)
    for n in range(50):
        connection.send_data(stream.number, message(b"ping %d" % n))
        come = connection.until(lambda: len(messages_in(stream.answer.body.kept)[0]) > n, 1.0)
        check(come, "no answer to message %d" % n)
    connection.send_data(stream.number, b"", True)
    good(lane, connection, stream, canary, b"".join(message(b"pong %d" % n) for n in range(50)))
    connection.close()


@case("Q03x2", "bidirectional: twenty calls interleaved on one connection", **GRPC)
def interleaved(lane):
    def part(one):
        one.start(fields=ANSWER)
        for n in range(10):
            if not lane.backend.wait(lambda: len(messages_in(bytes(one.request.body))[0]) > n, 2.0):
                return
            one.piece(message(one.canary.encode() + b" %d" % n))
        one.read_body()
        one.finish(OK)

    connection = lane.connect()
    calls = [call(lane, part, connection=connection)[1:] for _ in range(20)]
    for n in range(10):
        for stream, canary in calls:
            connection.send_data(stream.number, message(b"%d" % n), n == 9)
    for stream, canary in calls:
        good(lane, connection, stream, canary, b"".join(message(canary.encode() + b" %d" % n) for n in range(10)))
    connection.close()


@case("Q04x1", "the client ends first: the server goes on", **GRPC)
def client_ends_first(lane):
    def part(one):
        one.read_body()
        one.start(fields=ANSWER)
        for n in range(5):
            one.piece(message(b"%d" % n))
            one.gone(0.02)
        one.finish(OK)

    connection, stream, canary = call(lane, part, end=True)
    good(lane, connection, stream, canary)
    connection.close()


@case("Q04x2", "the server ends first: its trailers arrive, whatever the client still sends", **GRPC)
def server_ends_first(lane):
    for way in ("quiet", "resets"):

        def part(one, way=way):
            one.start(fields=ANSWER)
            one.piece(message(b"enough"))
            one.finish(OK)
            if way == "resets":
                one.connection.half_close()

        connection, stream, canary = call(lane, part)
        connection.send_data(stream.number, message(b"first"))
        check(ended(connection, stream), "%s: the trailers were held back; client saw %s" % (way, excerpt(connection.log[-300:])))
        check(stream.answer.trailer_fields == list(OK), "%s: trailers %r" % (way, stream.answer.trailer_fields))
        for _ in range(3):
            connection.send_data(stream.number, message(b"more"), timeout=0.1)
        connection.send_data(stream.number, b"", True, timeout=0.1)
        code = connection.reset_code(stream)
        check(code in (None, frames.NO_ERROR, frames.CANCEL), "%s: RST_STREAM %s" % (way, code is not None and frames.error_name(code)))
        lane.warm(connection)
        connection.close()


@case("Q05x1", "the client cancels: the server knows within 100 ms", QUIET, **GRPC)
def cancels(lane):
    for when in ("before an answer", "inside a stream"):

        def part(one):
            if when != "before an answer":
                one.start(fields=ANSWER)
                one.piece(message(b"first"))
            one.gone(3.0)

        connection, stream, canary = call(lane, part)
        connection.send_data(stream.number, message(b"question"), when == "inside a stream")
        lane.backend.wait(lambda: lane.backend.of(canary), 1.0)
        if when == "inside a stream":
            connection.until(lambda: stream.answer.body.length, 1.0)
        left_at = time.monotonic()
        connection.send(frames.rst_stream(stream.number, frames.CANCEL))
        request = lane.upstream(canary)
        check(lane.backend.wait_gone(request, 1.0), "%s: the server was not told" % when)
        late = request.connection.ended_at - left_at
        check(late <= 0.1, "%s: the server was told after %.0f ms" % (when, late * 1000))
        code = request.connection.session.flows[request.connection.number].reset
        check(code in (None, frames.CANCEL), "%s: told by %s" % (when, code is not None and frames.error_name(code)))
        connection.close()


@case("Q06x1", "grpc-timeout: 300 ms, and a server that says nothing", **GRPC)
def deadline(lane):
    for timeout, answered in ((b"300m", False), (b"300000u", False), (b"300m", True)):

        def part(one):
            if answered:
                one.start(fields=ANSWER)
                one.piece(message(b"first"))
            one.gone(3.0)

        started = time.monotonic()
        connection, stream, canary = call(lane, part, (b"grpc-timeout", timeout))
        connection.send_data(stream.number, message(b"question"), True)
        ended(connection, stream, 2.0)
        took = time.monotonic() - started
        what = "%s%s" % (timeout.decode(), ", after a first message" if answered else "")
        code = connection.reset_code(stream)
        status = status_of(stream)[0]
        told = status == DEADLINE_EXCEEDED or (answered and code is not None)
        check(told, "%s: status %r, reset %r after %.1f s" % (what, status, code, took))
        check(0.25 <= took <= 1.0, "%s: after %.2f s" % (what, took))
        request = lane.upstream(canary)
        check(lane.backend.wait_gone(request, 1.0), "%s: the server was not told" % what)
        passed = request.field(b"grpc-timeout")
        check(passed is not None, "%s: not passed on" % what)
        connection.close()


@case("Q06x2", "values of grpc-timeout that are none change nothing", **GRPC)
def odd_deadlines(lane):
    def part(one):
        one.read_body()
        one.start(fields=ANSWER)
        one.piece(message(b"x"))
        one.finish(OK)

    for value in (b"", b"1", b"abc", b"-1S", b"1.5S", b"999999999S", b"1 S", b"S", b"5H", b"99999999H", b"18446744073709551616n"):
        connection, stream, canary = call(lane, part, (b"grpc-timeout", value))
        connection.send_data(stream.number, message(b"q"), True)
        check(ended(connection, stream), "%r: no end of the answer" % value)
        status = status_of(stream)[0]
        check(status in (b"0", b"3", b"13") or stream.answer.status == 400, "%r: status %r, %s" % (value, status, stream.answer.status))
        connection.close()


def own_error(lane, target, *statuses, part=None):
    """An error of the proxy's own, said as gRPC says it: 200 and a status, in one HEADERS frame."""
    connection, stream, canary = call(lane, part, target=target)
    connection.send_data(stream.number, message(b"question"), True)
    check(ended(connection, stream), "no end of the answer; client saw %s" % excerpt(connection.log[-300:]))
    status, said = status_of(stream)
    check(stream.answer.status == 200, ":status %s" % stream.answer.status)
    check(status in statuses, "grpc-status %r (%r) instead of %r" % (status, said, statuses))
    check(said, "no grpc-message")
    check(trailers_only(connection, stream), "not one HEADERS frame: %s" % excerpt(connection.log[-300:]))
    check((stream.answer.field(b"content-type") or b"").startswith(b"application/grpc"), "content-type %r" % stream.answer.field(b"content-type"))
    lane.warm(connection)
    connection.close()


@case("Q07x1", "nobody listens: UNAVAILABLE", **GRPC)
def nobody_listens(lane):
    own_error(lane, b"/dead/Method", UNAVAILABLE)


@case("Q07x2", "a rule refuses: PERMISSION_DENIED", **GRPC)
def refused_by_rule(lane):
    own_error(lane, b"/admin/Method", PERMISSION_DENIED)


@case("Q07x3", "the server resets or closes before its answer: UNAVAILABLE or INTERNAL", **GRPC)
def server_breaks(lane):
    own_error(lane, b"/s/Method", UNAVAILABLE, b"13", part=lambda one: one.reset(frames.INTERNAL_ERROR))
    own_error(lane, b"/s/Method", UNAVAILABLE, b"13", part=lambda one: one.close())
    own_error(lane, b"/s/Method", UNAVAILABLE, b"13", part=lambda one: one.headers([(b"foo", b"x")], True))


@case("Q07x4", "the server breaks off inside a stream: never an end without a status", **GRPC)
def breaks_off(lane):
    for way in ("reset", "close"):

        def part(one):
            one.start(fields=ANSWER)
            one.piece(message(b"first"))
            one.gone(0.05)
            getattr(one, way)()

        connection, stream, canary = call(lane, part)
        connection.send_data(stream.number, message(b"question"), True)
        ended(connection, stream)
        code, status = connection.reset_code(stream), status_of(stream)[0]
        check(code not in (None, 0) or connection.over or status not in (None, b"0"), "%s: looks like a clean end; client saw %s" % (
            way, excerpt(connection.log[-300:])))  # fmt: skip
        check(messages_in(bytes(stream.answer.body))[0][:1] == [b"first"], "%s: the first message was lost" % way)
        connection.close()


@case("Q08x1", "messages of 5 MB both ways arrive intact", **GRPC)
def large_messages(lane):
    data = os.urandom(1 << 20) * 5

    def part(one):
        one.start(fields=ANSWER)
        one.read_body(5.0)
        one.piece(message(data))
        one.finish(OK)

    connection, stream, canary = call(lane, part)
    with lane.burden():
        sent = connection.send_data(stream.number, message(data), True, 5.0)
        check(sent == len(data) + 5, "stuck after %d bytes" % sent)
        check(ended(connection, stream, 5.0), "no end of the answer")
    check(stream.answer.body.length == len(data) + 5, "%d bytes came" % stream.answer.body.length)
    recorded = lane.upstream(canary)
    check(recorded.body.sha256() == stream.answer.body.sha256(), "the bytes differ")
    connection.close()


@case("Q09x1", "REFUSED_STREAM: a call is safe to repeat", **GRPC)
def refused(lane):
    calls = []

    def part(one):
        calls.append(one)
        if len(calls) == 1:
            one.reset(frames.REFUSED_STREAM)
            return
        one.read_body()
        one.start(fields=ANSWER)
        one.finish(OK)

    connection, stream, canary = call(lane, part)
    connection.send_data(stream.number, message(b"question"), True)
    check(ended(connection, stream), "no end of the answer")
    check(status_of(stream)[0] == b"0" and len(calls) == 2, "status %r after %d tries" % (status_of(stream)[0], len(calls)))
    connection.close()


@case("Q10x1", "grpc-web passes as it is", clients=("h1", "h2"), why="the same inside TLS")
def grpc_web(lane):
    body = message(b"answer") + b"\x80" + struct.pack("!I", 15) + b"grpc-status:0\r\n"

    def part(one):
        one.answer(fields=[(b"Content-Type", b"application/grpc-web+proto"), (b"X-Extra", b"1")], body=body)

    canary = lane.canary(part)
    request = Request(canary, b"POST", fields=[(b"Content-Type", b"application/grpc-web+proto"), (b"X-Grpc-Web", b"1")], body=message(b"q"))
    answer = lane.ask(request)
    lane.good(answer, canary)
    check(bytes(answer.body) == body, "the body is %s" % excerpt(bytes(answer.body)))
    check(bytes(lane.upstream(canary).body) == message(b"q"), "the body upstream differs")
