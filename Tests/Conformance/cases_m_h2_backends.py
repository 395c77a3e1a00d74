"""M. Broken or hostile backends that speak HTTP/2. Numbers from 20 on; the table's own speak HTTP/1.1."""

import threading
import time

import frames
from cases_m_backends import afterwards, cut_off, gateway_error, once
from catalog import OWN, Failed, case, check
from compression import WITH_INDEXING, block, indexed, literal
from expect import excerpt
from messages import Request

H2 = dict(backends=("h2",), why="HTTP/2 of backends is its subject")
TRIES = 3  # "At most three tries."


def head(call, *more, status=b"200"):
    return [(b":status", status), (b"x-canary", call.canary.encode()), *more]


def said(raw, wait=0.3):
    """A part: these frames, made of the call; then it waits for the proxy to act."""

    def part(call):
        for piece in raw(call):
            if isinstance(piece, float):
                call.gone(piece)
            else:
                call.frame(piece)
        call.gone(wait)

    return part


def fields(*names, end=True):
    """A part: a HEADERS frame of exactly these fields."""
    return said(lambda call: [frames.head(call.connection.number, block(names), end)])


def each(lane, members, method=b"GET", statuses=(502,)):
    for what, part in members:
        try:
            requests = gateway_error(lane, part, method, statuses)
            limit = 1 if method == b"POST" else TRIES
            check(len(requests) <= limit, "executed %d times" % len(requests))
        except Failed as failed:
            raise Failed("%s: %s" % (what, failed))


OK = (b":status", b"200")


@case("M20x1", "field lists of an answer that are none", **H2)
def malformed_answers(lane):
    each(lane, [(what, fields(*names)) for what, names in (
        ("no :status", [(b"foo", b"x")]), ("no field at all", []), (":status twice", [OK, OK]),
        (":status 20", [(b":status", b"20")]), (":status 2x0", [(b":status", b"2x0")]), (":status 099", [(b":status", b"099")]),
        (":status +20", [(b":status", b"+20")]), (":status 2000", [(b":status", b"2000")]), ("empty :status", [(b":status", b"")]),
        (":status behind a field", [(b"foo", b"x"), OK]), (":path", [OK, (b":path", b"/")]), ("unknown pseudo-header", [OK, (b":foo", b"x")]),
        ("upper case", [OK, (b"Foo", b"x")]), ("space in a name", [OK, (b"fo o", b"x")]), ("empty name", [OK, (b"", b"x")]),
        ("CR LF in a value", [OK, (b"foo", b"a\r\nx: y")]), ("NUL in a value", [OK, (b"foo", b"a\0b")]), ("LF in a value", [OK, (b"foo", b"a\nb")]),
        ("CR LF in a name", [OK, (b"a: b\r\nfoo", b"x")]), ("colon in a name", [OK, (b"foo:bar", b"x")]),
        ("connection", [OK, (b"connection", b"close")]), ("transfer-encoding", [OK, (b"transfer-encoding", b"chunked")]),
        ("upgrade", [OK, (b"upgrade", b"websocket")]), ("keep-alive", [OK, (b"keep-alive", b"timeout=5")]),
        ("content-length x", [OK, (b"content-length", b"x")]), ("content-length -1", [OK, (b"content-length", b"-1")]),
        ("content-length twice", [OK, (b"content-length", b"0"), (b"content-length", b"1")]),
        ("content-length of 2^64", [OK, (b"content-length", b"18446744073709551616")]), ("101", [(b":status", b"101")]),
        ("content-length 5 and no body", [OK, (b"content-length", b"5")]), ("103 with END_STREAM", [(b":status", b"103")]),
    )])  # fmt: skip


def wrong_frames():
    """Faults of the whole connection, before any head."""
    number = lambda call: call.connection.number
    return [
        ("DATA before HEADERS", said(lambda c: [frames.data(number(c), b"hello", True)])),
        ("HEADERS on a stream that nobody opened", said(lambda c: [frames.head(number(c) + 1000, block(head(c)), True)])),
        ("HEADERS on an even stream", said(lambda c: [frames.head(2, block(head(c)), True)])),
        ("HEADERS on stream 0", said(lambda c: [frames.head(0, block(head(c)), True)])),
        ("DATA on stream 0", said(lambda c: [frames.data(0, b"hello")])),
        ("DATA on a stream that nobody opened", said(lambda c: [frames.data(number(c) + 1000, b"hello")])),
        ("CONTINUATION out of place", said(lambda c: [frames.continuation(number(c), block(head(c)))])),
        ("PUSH_PROMISE", said(lambda c: [frames.frame(frames.PUSH_PROMISE, 4, number(c), b"\0\0\0\2" + block(
            [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/evil"), (b":authority", b"a")]))])),
        ("a frame inside a header block", said(lambda c: [frames.headers(number(c), block(head(c)), True, False), frames.ping()])),
        ("broken HPACK", said(lambda c: [frames.head(number(c), b"\x80", True)])),
        ("a frame above the limit", said(lambda c: [frames.data(number(c), b"x" * 16_385)])),
        ("SETTINGS of 7 bytes", said(lambda c: [frames.frame(frames.SETTINGS, 0, 0, b"\0" * 7)])),
        ("SETTINGS on a stream", said(lambda c: [frames.frame(frames.SETTINGS, 0, number(c))])),
        ("ENABLE_PUSH of 1", said(lambda c: [frames.settings((frames.ENABLE_PUSH, 1))])),
        ("INITIAL_WINDOW_SIZE of 2^31", said(lambda c: [frames.settings((frames.INITIAL_WINDOW_SIZE, 1 << 31))])),
        ("WINDOW_UPDATE of 0 on the connection", said(lambda c: [frames.window_update(0, 0)])),
        ("WINDOW_UPDATE above 2^31 - 1", said(lambda c: [frames.window_update(0, 2**31 - 1) * 2])),
        ("RST_STREAM on an idle stream", said(lambda c: [frames.rst_stream(number(c) + 1000)])),
        ("PING of 7 bytes", said(lambda c: [frames.frame(frames.PING, 0, 0, b"\0" * 7)])),
        ("a padding that is too long", said(lambda c: [frames.frame(frames.HEADERS, 0x0D, number(c), b"\xff" + block(head(c)))])),
        ("an answer of HTTP/1.1", said(lambda c: [b"HTTP/1.1 200 OK\r\nX-Canary: poison\r\nContent-Length: 6\r\n\r\npoison"])),
        ("bytes without sense", said(lambda c: [bytes(range(256)) * 4])),
        ("its own preface", said(lambda c: [frames.PREFACE])),
    ]  # fmt: skip


@case("M20x2", "frames that a backend may not send, before its answer to a GET", deadline=60, **H2)
def faults_of_connections(lane):
    each(lane, wrong_frames(), statuses=(502, 503))


@case("M20x3", "the same before its answer to a POST: executed once", deadline=60, **H2)
def faults_of_connections_with_post(lane):
    each(lane, wrong_frames(), b"POST", statuses=(502, 503))


def started(call, *then):
    """Frames of an answer whose head and first five bytes are good."""
    number = call.connection.number
    return [frames.head(number, block(head(call))), frames.data(number, b"hello"), 0.03, *then]


@case("M20x4", "faults inside an answer: the client can tell it from a clean end", **H2)
def faults_inside(lane):
    number = lambda call: call.connection.number
    for what, part in (
        ("RST_STREAM INTERNAL_ERROR", said(lambda c: started(c, frames.rst_stream(number(c), frames.INTERNAL_ERROR)))),
        ("RST_STREAM CANCEL", said(lambda c: started(c, frames.rst_stream(number(c), frames.CANCEL)))),
        ("RST_STREAM NO_ERROR", said(lambda c: started(c, frames.rst_stream(number(c), frames.NO_ERROR)))),
        ("RST_STREAM REFUSED_STREAM", said(lambda c: started(c, frames.rst_stream(number(c), frames.REFUSED_STREAM)))),
        ("GOAWAY with an error", said(lambda c: started(c, frames.goaway(number(c), frames.INTERNAL_ERROR)) + [0.01])),
        ("GOAWAY below it", said(lambda c: started(c, frames.goaway(max(0, number(c) - 2))))),
        ("a second head", said(lambda c: started(c, frames.head(number(c), block(head(c)))))),
        ("trailers without END_STREAM", said(lambda c: started(c, frames.head(number(c), block([(b"x", b"y")]))))),
        ("a pseudo-header in trailers", said(lambda c: started(c, frames.head(number(c), block([OK]), True)))),
        ("CR LF in trailers", said(lambda c: started(c, frames.head(number(c), block([(b"x", b"a\r\nb")]), True)))),
        ("upper case in trailers", said(lambda c: started(c, frames.head(number(c), block([(b"X", b"a")]), True)))),
        ("connection in trailers", said(lambda c: started(c, frames.head(number(c), block([(b"connection", b"close")]), True)))),
        ("DATA on stream 0", said(lambda c: started(c, frames.data(0, b"x")))),
        ("broken HPACK", said(lambda c: started(c, frames.head(number(c), b"\x80", True)))),
        ("bytes without sense", said(lambda c: started(c, b"\xff" * 64))),
    ):  # fmt: skip

        def whole(call, part=part, what=what):
            part(call)
            if what.startswith("GOAWAY") and not call.connection.ended:
                call.close()

        try:
            cut_off(lane, whole, b"hello", what)
        except Failed as failed:
            raise Failed("%s: %s" % (what, failed))


@case("M20x5", "closes or resets the connection inside DATA", **H2)
def closes_inside(lane):
    number = lambda call: call.connection.number
    for what, tail in (("between frames", b""), ("inside a frame's head", b"\0\0\5\0"), ("inside DATA", frames.data(1, b"world")[:11])):

        def part(call, tail=tail):
            for piece in started(call)[:2]:
                call.frame(piece)
            call.frame(tail)
            call.gone(0.05)
            call.close()

        cut_off_with_rest(lane, part, what)


def cut_off_with_rest(lane, part, what):
    """The cut-off answer may hold a part of the last frame as well."""
    canary, connection = lane.canary(part), lane.connect()
    connection.start(Request(canary))
    answer = connection.answer(1.5)
    check(answer is not None, "%s: nothing delivered" % what)
    check(lane.cut(connection, answer), "%s: looks like a clean end; client saw %s" % (what, excerpt(connection.log)))
    check(bytes(answer.body).startswith(b"hello"), "%s: delivered %s" % (what, excerpt(bytes(answer.body))))
    connection.close()
    once(lane, canary)
    lane.fresh_canary()


@case("M20x6", "content-length that DATA does not keep", **H2)
def wrong_length(lane):
    for what, length, pieces in (
        ("too short", b"10", [(b"hello", True)]),
        ("too short by trailers", b"10", [(b"hello", False), None]),
        ("too long", b"5", [(b"hello", False), (b"world", True)]),
        ("too long in one frame", b"5", [(b"helloworld", True)]),
    ):

        def part(call, length=length, pieces=pieces):
            call.headers(head(call, (b"content-length", length)))
            call.gone(0.03)
            for piece in pieces:
                number = call.connection.number
                call.frame(frames.head(number, block([(b"x", b"y")]), True) if piece is None else frames.data(number, *piece))
            call.gone(0.3)

        canary, connection = lane.canary(part), lane.connect()
        connection.start(Request(canary))
        answer = connection.answer(1.0)
        check(answer is not None, "%s: nothing delivered" % what)
        if answer.status != 502:
            check(b"world" not in bytes(answer.body), "%s: delivered %s" % (what, excerpt(bytes(answer.body))))
            whole = answer.complete and bytes(answer.body) == b"hello" and length == b"5"
            check(whole or lane.cut(connection, answer), "%s: looks like a clean end" % what)
        connection.close()
        for _ in range(2):
            lane.fresh_canary()


@case("M20x7", "frames behind the end of an answer reach nobody", **H2)
def behind_the_end(lane):
    number = lambda call: call.connection.number
    for what, late in (
        ("HEADERS", lambda c: frames.head(number(c), block([OK, (b"x-canary", b"poison")]), True)),
        ("DATA", lambda c: frames.data(number(c), b"poison", True)),
        ("RST_STREAM", lambda c: frames.rst_stream(number(c), frames.INTERNAL_ERROR)),
        ("WINDOW_UPDATE", lambda c: frames.window_update(number(c), 100)),
    ):

        def part(call, late=late):
            call.answer()
            call.frame(late(call))
            call.gone(0.05)

        canary, connection = lane.canary(part), lane.connect()
        connection.start(Request(canary))
        lane.good(connection.answer(1.0), canary, "%s: the request" % what)
        time.sleep(0.02)
        afterwards(lane, connection)


def refused(calls, times, refuse):
    """A part: refuses so often, then answers."""

    def part(call):
        calls.append(call)
        if len(calls) <= times:
            refuse(call)
        else:
            call.answer()

    return part


def refuse_stream(call):
    call.reset(frames.REFUSED_STREAM)


@case("M21x1", "REFUSED_STREAM is safe to repeat, a POST too", **H2)
def refused_stream(lane):
    for method, body in ((b"GET", None), (b"POST", b"hello")):
        calls = []
        canary = lane.canary(refused(calls, 1, refuse_stream), at_head=method == b"POST")
        lane.good(lane.ask(Request(canary, method, body=body)), canary, method.decode())
        check(len(calls) == 2, "%s: tried %d times" % (method.decode(), len(calls)))
        lane.fresh_canary()


@case("M21x2", "REFUSED_STREAM for ever: given up after three tries", **H2)
def always_refused(lane):
    calls = []
    canary = lane.canary(refused(calls, 99, refuse_stream))
    answer = lane.ask(Request(canary, b"POST", body=b"hello"))
    check(answer is not None and answer.complete and answer.status in (502, 503), "%s" % (answer and answer.status))
    check(len(calls) <= TRIES, "tried %d times" % len(calls))
    lane.fresh_canary()


@case("M21x3", "other resets before the answer to a POST: executed once", **H2)
def reset_before_answer(lane):
    for code in (frames.INTERNAL_ERROR, frames.CANCEL, frames.NO_ERROR, frames.PROTOCOL_ERROR, frames.ENHANCE_YOUR_CALM, 0xFF):
        canary = lane.canary(lambda call: call.reset(code))
        answer = lane.ask(Request(canary, b"POST", body=b"hello"))
        what = frames.error_name(code)
        check(answer is not None and answer.complete and answer.status in (502, 503), "%s: %s" % (what, answer and answer.status))
        once(lane, canary)
    lane.fresh_canary()


@case("M21x4", "a reset of one stream leaves its neighbours alone", **H2)
def neighbours(lane):
    release = threading.Event()

    def waits(call):
        call.start()
        call.piece(b"first")
        release.wait(3)
        call.piece(b"last")
        call.finish()

    canaries = [lane.canary(waits) for _ in range(5)]
    connections = [lane.connect() for _ in canaries]
    for connection, canary in zip(connections, canaries):
        connection.start(Request(canary))
        check(connection.head(1.0), "no head")
    for code in (frames.INTERNAL_ERROR, frames.REFUSED_STREAM, frames.CANCEL):
        lane.ask(Request(lane.canary(lambda call: call.reset(code)), b"POST", body=b"x"))
    gateway_error(lane, fields((b"foo", b"x")))
    release.set()
    for connection, canary in zip(connections, canaries):
        answer = connection.answer(1.0)
        lane.good(answer, canary, "a neighbour")
        check(bytes(answer.body) == b"firstlast", "a neighbour got %s" % excerpt(bytes(answer.body)))
        connection.close()


@case("M22x1", "GOAWAY with a last stream below ours: repeated on another connection, a POST too", **H2)
def goaway_below(lane):
    for then in ("stay", "close"):
        for method, body in ((b"GET", None), (b"POST", b"hello")):
            calls = []

            def goes(call):
                call.frame(frames.goaway(max(0, call.connection.number - 2)))
                if then == "close":
                    time.sleep(0.02)
                    call.close()

            canary = lane.canary(refused(calls, 1, goes), at_head=True)
            answer = lane.ask(Request(canary, method, body=body))
            what = "%s, connection %ss" % (method.decode(), then)
            lane.good(answer, canary, what)
            check(len(calls) == 2, "%s: tried %d times" % (what, len(calls)))
            check(calls[0].session is not calls[1].session, "%s: on the same connection" % what)
            lane.fresh_canary()


@case("M22x2", "GOAWAY with a last stream at or above ours: it finishes, new ones go elsewhere", **H2)
def goaway_above(lane):
    for last in (0, 2**31 - 1):
        sessions = []

        def part(call):
            sessions.append(call.session)
            call.start()
            call.frame(frames.goaway(last or call.connection.number))
            call.gone(0.1)
            call.piece(b"whole")
            call.finish()

        canary, connection = lane.canary(part), lane.connect()
        connection.start(Request(canary, b"POST", body=b"hello"))
        check(connection.head(1.0), "no head")
        time.sleep(0.02)
        second = lane.canary(lambda call: (sessions.append(call.session), call.answer()))
        lane.good(lane.ask(Request(second)), second, "a request behind GOAWAY")
        answer = connection.answer(1.0)
        lane.good(answer, canary, "the request below GOAWAY")
        check(bytes(answer.body) == b"whole", "it got %s" % excerpt(bytes(answer.body)))
        connection.close()
        check(sessions[0] is not sessions[1], "a new request came on a connection that had said GOAWAY")
        once(lane, canary)


@case("M22x3", "GOAWAY between those under way: below finish, above are repeated, all of them", **H2)
def goaway_between(lane):
    arrived, lock = [], threading.Lock()
    release = threading.Event()

    def fair(call):
        """Streams above the GOAWAY are not looked at."""
        with lock:
            arrived.append(call)
            if len(arrived) == 10:
                numbers = sorted(c.connection.number for c in arrived if c.session is call.session)
                call.session.last = numbers[len(numbers) // 2]
                call.frame(frames.goaway(call.session.last))
                release.set()
        release.wait(2)
        time.sleep(0.03)
        if call.connection.number <= getattr(call.session, "last", 1 << 31):
            call.answer()

    connections = [lane.connect() for _ in range(10)]
    canaries = [lane.canary(fair) for _ in connections]
    for connection, canary in zip(connections, canaries):
        connection.start(Request(canary, b"POST", body=b"hello"))
    for connection, canary in zip(connections, canaries):
        lane.good(connection.answer(2.0), canary, "one of ten POSTs")
        connection.close()
        answered = [r for r in lane.backend.of(canary) if r.connection.number <= getattr(r.connection.session, "last", 1 << 31)]
        check(len(answered) == 1, "executed %d times" % len(answered))


@case("M22x4", "idle connections that say goodbye 30 ms before a POST, or just close", **H2)
def closed_while_idle(lane):
    for way in ("goaway", "close", "both"):
        for attempt in range(4):

            def part(call):
                call.answer()
                time.sleep(0.02)
                if way != "close":
                    call.frame(frames.goaway(call.connection.number))
                if way != "goaway":
                    call.close()

            canary = lane.canary(part)
            lane.good(lane.ask(Request(canary)), canary, "the request before")
            time.sleep(0.05)
            canary = lane.canary()
            lane.good(lane.ask(Request(canary, b"POST", body=b"hello")), canary, "%s: POST %d" % (way, attempt))
            once(lane, canary)


@case("M23x1", "DATA beyond the window: memory stays bounded, nobody is poisoned", **H2)
def beyond_the_window(lane):
    def part(call):
        call.headers(head(call))
        raw = frames.data(call.connection.number, b"y" * 16_384) * 64
        for _ in range(48):
            if call.gone(0) or not call.frame(raw):
                return

    canary, connection = lane.canary(part), lane.connect()
    with lane.burden(polite=False):
        connection.start(Request(canary))
        connection.head(1.0)
        time.sleep(0.5)  # Does not read.
        request = lane.upstream(canary)
        check(lane.backend.wait_gone(request, 2.0), "48 MB were taken without a window for them")
    connection.close()
    for _ in range(2):
        lane.fresh_canary()


@case("M24x1", "INITIAL_WINDOW_SIZE shrinks below zero inside an upload", **H2)
def shrinking_window(lane):
    problems, size = [], 3 << 20

    def part(call):
        session, body = call.session, call.request.body
        session.opens_windows = False
        lane.backend.wait(lambda: body.length >= 200_000, 1.0)
        acked = session.settings_acked
        call.frame(frames.settings((frames.INITIAL_WINDOW_SIZE, 1_000)))
        if not lane.backend.wait(lambda: session.settings_acked > acked, 1.0):
            problems.append("SETTINGS were not acknowledged")
        before = body.length
        if before <= 1_000:
            problems.append("the harness failed: %d bytes before SETTINGS" % before)
        call.gone(0.1)
        if body.length != before:
            problems.append("%d bytes came into a negative window" % (body.length - before))
        call.frame(frames.window_update(call.connection.number, before - 1_000))
        call.gone(0.1)
        if body.length != before:
            problems.append("%d bytes came into a window of 0" % (body.length - before))
        call.frame(frames.window_update(call.connection.number, 777))
        lane.backend.wait(lambda: body.length >= before + 777, 0.5)
        call.gone(0.1)
        if body.length != before + 777:
            problems.append("%d bytes came into a window of 777" % (body.length - before))
        call.frame(frames.settings((frames.INITIAL_WINDOW_SIZE, 1 << 20)))
        call.frame(frames.window_update(call.connection.number, size) + frames.window_update(0, size))
        if call.read_body(3.0):
            call.answer()
        session.opens_windows = True

    canary = lane.canary(part, at_head=True)
    answer = lane.ask(Request(canary, b"POST", body=b"x" * size), timeout=5.0)
    check(not problems, "; ".join(problems))
    lane.good(answer, canary, "the upload")
    check(lane.upstream(canary).body.length == size, "%d bytes arrived" % lane.upstream(canary).body.length)
    lane.fresh_canary()


@case("M24x2", "SETTINGS that change all the time during many requests", **H2)
def changing_settings(lane):
    def part(call):
        for n in range(10):
            call.frame(frames.settings(
                (frames.INITIAL_WINDOW_SIZE, (0, 1 << 20, 65_535)[n % 3]), (frames.MAX_FRAME_SIZE, 16_384 + n),
                (frames.HEADER_TABLE_SIZE, (0, 4_096, 100)[n % 3]), (frames.MAX_HEADER_LIST_SIZE, 65_536), (0x99, n),
            ))  # fmt: skip
        call.frame(frames.settings((frames.INITIAL_WINDOW_SIZE, 1 << 20), (frames.HEADER_TABLE_SIZE, 4_096)))
        if call.read_body(2.0):
            call.answer()

    for number in range(8):
        canary = lane.canary(part, at_head=True)
        answer = lane.ask(Request(canary, b"POST", fields=[(b"x-number", b"%d" % number)] * 3, body=b"x" * 100_000))
        lane.good(answer, canary, "request %d" % number)
        check(not lane.upstream(canary).connection.session.defects, "%s" % lane.upstream(canary).connection.session.defects)


@case("M25x1", "MAX_CONCURRENT_STREAMS lowered to 2: never more at once on a connection, all are answered", OWN, **H2)
def lowered_limit(lane):
    most, open_now, lock = [], {}, threading.Lock()

    def part(call):
        with lock:
            open_now[call.session] = open_now.get(call.session, 0) + 1
            if getattr(call.session, "limited", False):
                most.append(open_now[call.session])
        time.sleep(0.03)
        with lock:
            open_now[call.session] -= 1
        call.answer()

    def lowers(call):
        call.frame(frames.settings((frames.MAX_CONCURRENT_STREAMS, 2)))
        lane.backend.wait(lambda: call.session.settings_acked > 1, 1.0)
        call.session.limited = True
        call.answer()

    lane.backend.settings = ()
    for _ in range(2):
        canary = lane.canary(lowers)
        lane.good(lane.ask(Request(canary)), canary, "the request that lowers")
    lane.backend.settings = ((frames.MAX_CONCURRENT_STREAMS, 2),)
    connections = [lane.connect() for _ in range(24)]
    canaries = [lane.canary(part) for _ in connections]
    for connection, canary in zip(connections, canaries):
        connection.start(Request(canary, b"POST", body=b"hello"))
    for connection, canary in zip(connections, canaries):
        lane.good(connection.answer(3.0), canary, "one of 24 requests")
        once(lane, canary)
        connection.close()
    check(max(most, default=0) <= 2, "%d streams at once on a connection that takes 2" % max(most, default=0))


@case("M25x2", "MAX_CONCURRENT_STREAMS of 0 on every connection: given up in time, not hung", OWN, deadline=40, **H2)
def no_streams(lane):
    """What came before the proxy knew of it is refused, as RFC 9113, 5.1.2 wants."""
    lane.backend.settings = ((frames.MAX_CONCURRENT_STREAMS, 0),)
    started = time.monotonic()
    answer = lane.ask(Request(lane.canary(refuse_stream, at_head=True), b"POST", body=b"hello"), timeout=lane.proxy.timers.limit)
    took = time.monotonic() - started
    check(answer is not None and answer.complete and answer.status in (502, 503, 504), "%s after %.1f s" % (answer and answer.status, took))
    check(len(lane.backend.connections) < 40, "%d connections were made" % len(lane.backend.connections))


@case("M26x1", "field lists that are too large", deadline=60, **H2)
def large_lists(lane):
    bomb = lambda c: literal(b"x-bomb", b"v" * 4_000, WITH_INDEXING) + indexed(62) * 16_000
    for what, raw in (
        ("a field of 64 KB", lambda c: block(head(c, (b"foo", b"a" * 65_536)))),
        ("1 MB", lambda c: block(head(c, *[(b"foo", b"a" * 10_000)] * 100))),
        ("10 000 fields", lambda c: block(head(c, *[(b"x", b"y")] * 10_000))),
        ("a field named 16 000 times by index", lambda c: block(head(c)) + bomb(c)),
    ):
        with lane.burden(polite=False):
            try:
                gateway_error(lane, said(lambda c: [frames.head(c.connection.number, raw(c), True)]), statuses=(502, 503))
            except Failed as failed:
                raise Failed("%s: %s" % (what, failed))


@case("M26x2", "CONTINUATION without end", **H2)
def endless_continuation(lane):
    def part(call):
        number = call.connection.number
        call.frame(frames.headers(number, block(head(call)), True, False))
        for _ in range(2_000):
            if call.connection.ended or not call.frame(frames.continuation(number, literal(b"x", b"y" * 8_000), False)):
                return

    with lane.burden(polite=False):  # Whoever shares that connection goes down with it.
        gateway_error(lane, part, statuses=(502, 503))


@case("M27x1", "trailers: none, some, and some that a client asked for", **H2)
def trailers(lane):
    for trailers, te in (((), False), (((b"x-checksum", b"1"),), False), (((b"grpc-status", b"0"), (b"x-checksum", b"1")), True)):

        def part(call):
            call.start()
            call.piece(b"hello")
            call.finish(trailers)

        canary, connection = lane.canary(part), lane.connect()
        connection.start(Request(canary, fields=[(b"TE", b"trailers")] if te else []))
        answer = connection.answer(1.0)
        lane.good(answer, canary)
        check(bytes(answer.body) == b"hello", "the body is %s" % excerpt(bytes(answer.body)))
        if te and lane.version == "h2":
            check(answer.trailer_fields == list(trailers), "trailers %r" % answer.trailer_fields)
        afterwards(lane, connection)


@case("M28x1", "1 000 interim answers before the final one", **H2)
def many_interim(lane):
    def part(call):
        for _ in range(1_000):
            if call.connection.ended or not call.interim(103):
                return
        call.answer()

    gateway_error(lane, part, statuses=(502, 503))


@case("M28x2", "one 103, then 200", **H2)
def early_hints(lane):
    def part(call):
        call.interim(103)
        time.sleep(0.03)
        call.answer()

    canary, connection = lane.canary(part), lane.connect()
    connection.start(Request(canary))
    answer = connection.answer(1.0)
    lane.good(answer, canary)
    check([s for s, _ in answer.interim] in ([], [103]), "interim answers %s" % [s for s, _ in answer.interim])
    afterwards(lane, connection)


@case("M29x1", "floods from a backend: PING, SETTINGS, PRIORITY, unknown frames, WINDOW_UPDATE", deadline=60, **H2)
def floods(lane):
    for what, one in (
        ("PING", frames.ping()), ("SETTINGS", frames.settings((frames.MAX_FRAME_SIZE, 16_384))), ("unknown", frames.frame(0x42, 0, 0, b"x")),
        ("WINDOW_UPDATE", frames.window_update(0, 1)), ("empty DATA", None),
    ):  # fmt: skip

        def part(call):
            raw = one or frames.data(call.connection.number)
            if one is None:
                call.headers(head(call))
            for _ in range(100):
                if call.connection.ended or not call.frame(raw * 300):
                    return
            if one is None:
                call.finish()
            else:
                call.answer()

        with lane.burden(polite=False):
            canary, connection = lane.canary(part), lane.connect()
            connection.start(Request(canary, b"POST", body=b"x"))
            reader = connection._reader()
            answer = connection.answer(4.0)
            cut = getattr(reader.answer, "reset", None)  # A head on its way may go down with its stream.
            check(answer is not None or cut, "%s: neither an answer nor a reset" % what)
            check(answer is None or answer.status in (200, 502, 503), "%s: %s" % (what, answer and answer.status))
            lane.own_canary(answer, canary)
            once(lane, canary)
            connection.close()
        lane.fresh_canary()


@case("M29x2", "never acknowledges SETTINGS", OWN, **H2)
def never_acks(lane):
    """It may be patient or leave; what it has asked is answered."""
    lane.backend.on_stream = lambda stream: setattr(stream.session, "acks_settings", False)
    for number in range(5):
        canary = lane.canary()
        lane.good(lane.ask(Request(canary)), canary, "request %d" % number)


@case("M30x1", "an upgrade of a client cannot go to a backend of HTTP/2", clients=("h1",), **H2)
def upgrade(lane):
    canary, connection = lane.canary(), lane.connect()
    connection.start(Request(canary, fields=[
        (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        (b"Sec-WebSocket-Version", b"13"),
    ]))  # fmt: skip
    answer = connection.answer(1.0)
    check(answer is not None and answer.complete and answer.status != 101, "%s" % (answer and answer.status))
    for request in lane.backend.of(canary):
        check(not request.defects, "not canonical upstream: %s" % request.defects)
    connection.close()
    lane.fresh_canary()


@case("M31x1", "a header block that stands still", OWN, deadline=40, **H2)
def slow_head(lane):
    """M12 over HTTP/2: what one stream does to the others of its connection is bounded by a timer."""
    def part(call):
        call.frame(frames.headers(call.connection.number, block(head(call)), True, False))
        call.gone(15)

    started = time.monotonic()
    answer = lane.ask(Request(lane.canary(part)), timeout=lane.proxy.timers.limit)
    took = time.monotonic() - started
    check(answer is not None and answer.complete and answer.status in (502, 504), "%s after %.1f s" % (answer and answer.status, took))
