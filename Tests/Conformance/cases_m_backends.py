"""M. Broken or hostile backends."""

import threading
import time

from catalog import RAW_BACKEND, SLOW, Failed, case, check
from expect import excerpt
from messages import CANARY, Request


def raw(data, then="stay"):
    """A part: these bytes for an answer, the canary filled in; then stay, close or reset.

    `part.sent` is set when the last byte has gone out: a case that sends its next request
    earlier would judge a race that no proxy can win.
    """

    def part(call):
        for piece in data if isinstance(data, list) else [data]:
            if isinstance(piece, float):
                call.gone(piece)
            else:
                call.send(piece.replace(CANARY, call.canary.encode()))
        part.sent.set()
        if then == "close":
            call.connection.half_close()
            call.gone(1.0)
            call.close()
        elif then == "reset":
            # A moment, or the reset would overtake what was just sent.
            time.sleep(0.03)
            call.reset()

    part.sent = threading.Event()
    return part


HEAD = b"HTTP/1.1 200 OK\r\nX-Canary: %s\r\n" % CANARY
POISON = b"HTTP/1.1 200 OK\r\nX-Canary: poison\r\nContent-Length: 6\r\n\r\npoison"
GATEWAY = (502,)


def afterwards(lane, connection):
    """The client's connection, if it is open, and three fresh ones: each its own canary."""
    connection.receive(0.005)
    check(not connection.unexpected(), "bytes behind the answer: %s" % excerpt(connection.unexpected()))
    if not connection.ended:
        try:
            lane.warm(connection)
        except Failed as failed:
            # A close between two requests is a proxy's right; a wrong answer is not.
            if not connection.ended or "POISON" in str(failed):
                raise
    connection.close()
    for _ in range(3):
        lane.fresh_canary()


def gateway_error(lane, part, method=b"GET", statuses=GATEWAY, what="", at_head=False, interim_limit=64):
    """The proxy answers for the backend, and closes that connection."""
    canary = lane.canary(part, at_head)
    connection = lane.connect()
    connection.start(Request(canary, method, body=b"hello" if method == b"POST" else None))
    answer = connection.answer(1.0)
    saw = excerpt(connection.log)
    check(answer is not None, "%s no answer within a second" % what)
    check(
        answer.status in statuses,
        "%s %s instead of %s; client saw %s" % (what, answer.status, "/".join(map(str, statuses)), saw),
    )
    check(
        answer.complete and answer.framing != "close",
        "%s the answer was not whole; client saw %s" % (what, saw),
    )
    check(not answer.defects, "%s answer not canonical: %s" % (what, answer.defects))
    check(answer.canary() is None, "%s the answer has fields of the broken one; client saw %s" % (what, saw))
    check(len(answer.interim) <= interim_limit, "%s %d interim answers" % (what, len(answer.interim)))
    requests = lane.backend.of(canary)
    for request in requests:
        check(lane.backend.wait_gone(request), "%s upstream connection not closed" % what)
        check(request.connection.requests[-1] is request, "%s upstream connection used again" % what)
    afterwards(lane, connection)
    return requests


def each_broken(lane, *answers):
    for data in answers:
        gateway_error(lane, raw(data), what="%s:" % excerpt(data, 100))


@case("M01.1", "answers with lengths 5 and 6", **RAW_BACKEND)
def two_lengths(lane):
    each_broken(lane, HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")


@case("M01.3", "answers with length and chunked", **RAW_BACKEND)
def length_and_chunked(lane):
    each_broken(lane, HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


@case("M01.5", "answers with Transfer-Encoding: gzip", **RAW_BACKEND)
def unknown_coding(lane):
    each_broken(lane, HEAD + b"Transfer-Encoding: gzip\r\n\r\nhello")


@case("M01x1", "other framings that cannot be trusted", **RAW_BACKEND)
def other_framings(lane):
    each_broken(
        lane,
        *[
            HEAD + fields + b"\r\nhello"
            for fields in (
                b"Content-Length: 5, 6\r\n",
                b"Content-Length: abc\r\n",
                b"Content-Length: +5\r\n",
                b"Content-Length: -5\r\n",
                b"Content-Length: 0x5\r\n",
                b"Content-Length: 99999999999999999999\r\n",
                b"Content-Length: 5 5\r\n",
                b"Transfer-Encoding: chunked, chunked\r\n",
                b"Transfer-Encoding: gzip, chunked\r\n",
                b"Transfer-Encoding: xchunked\r\n",
                b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                b"Transfer-Encoding: \x0bchunked\r\n",
                b"Transfer-Encoding : chunked\r\n",
                b"Content-Length : 5\r\n",
            )
        ],
    )


@case("M01.7", "answers with HTTP/1.1 OK", **RAW_BACKEND)
def no_status(lane):
    each_broken(lane, b"HTTP/1.1 OK\r\nContent-Length: 5\r\n\r\nhello")


@case("M01x2", "other status lines that are none", **RAW_BACKEND)
def other_status_lines(lane):
    rest = b"\r\nContent-Length: 5\r\n\r\nhello"
    each_broken(
        lane,
        *[
            line + rest
            for line in (
                b"HTTP/1.1 20 OK",
                b"HTTP/1.1 2000 OK",
                b"HTTP/1.1 099 OK",
                b"HTTP/1.1 -200 OK",
                b"HTTP/1.1  200 OK",
                b"HTTP/2.0 200 OK",
                b"ICY 200 OK",
                b"http/1.1 200 OK",
                b"HTTP/1.1 2x0 OK",
                b"SSH-2.0-OpenSSH_9.6",
                b"HTTP/1.1",
                b"200 OK",
                b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
            )
        ],
    )


@case("M01.8", "answers with a folded field", **RAW_BACKEND)
def folded_field(lane):
    each_broken(lane, HEAD + b"Foo: a\r\n b\r\nContent-Length: 5\r\n\r\nhello")


@case("M01x3", "other fields that are none", **RAW_BACKEND)
def other_fields(lane):
    each_broken(
        lane,
        *[
            HEAD + line + b"\r\nContent-Length: 5\r\n\r\nhello"
            for line in (
                b"NoColonHere",
                b": x",
                b"Foo : x",
                b"Fo o: x",
                b"Foo: a\rb",
                b"Foo: a\x01b",
                b"Foo: a\x7fb",
                b"F\x00oo: a",
                b"F(oo: a",
            )
        ],
    )


@case("M02", "length 5, then 10 or more bytes", **RAW_BACKEND)
def too_much(lane):
    for extra in (b"world", b"w" * 100_000, POISON, POISON + POISON):
        for pause in (0.0, 0.002):
            surplus(
                lane,
                (
                    [HEAD + b"Content-Length: 5\r\n\r\nhello", pause, extra]
                    if pause
                    else HEAD + b"Content-Length: 5\r\n\r\nhello" + extra
                ),
            )


@case("M02x1", "a chunked answer, then more bytes", **RAW_BACKEND)
def too_much_chunked(lane):
    for extra in (b"world", POISON):
        surplus(lane, HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + extra)


def surplus(lane, data):
    part = raw(data)
    canary = lane.canary(part)
    connection = lane.connect()
    connection.start(Request(canary))
    answer = connection.answer(1.0)
    part.sent.wait(2.0)
    check(
        answer is not None and answer.complete and answer.status in (200, 502),
        "neither the five bytes nor 502; client saw %s" % excerpt(connection.log),
    )
    if answer.status == 200:
        lane.good(answer, canary)
        check(bytes(answer.body) == b"hello", "the body is %s" % excerpt(bytes(answer.body)))
    afterwards(lane, connection)
    request = lane.upstream(canary)
    check(lane.backend.wait_gone(request), "the upstream connection was not discarded")
    check(request.connection.requests[-1] is request, "the upstream connection was used again")


@case("M03", "writes a whole answer onto an idle pooled connection", **RAW_BACKEND)
def unsolicited(lane):
    for pause in (0.05, 0.005, 0.001):
        part = raw([HEAD + b"Content-Length: 5\r\n\r\nhello", pause, POISON])
        canary = lane.canary(part)
        connection = lane.connect()
        connection.start(Request(canary))
        lane.good(connection.answer(1.0), canary)
        part.sent.wait(2.0)
        time.sleep(0.01)
        afterwards(lane, connection)
        request = lane.upstream(canary)
        check(lane.backend.wait_gone(request), "the upstream connection was not discarded")


@case("M03x1", "writes a 408 onto an idle pooled connection and closes, as servers do", **RAW_BACKEND)
def unsolicited_408(lane):
    late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    part = raw([HEAD + b"Content-Length: 5\r\n\r\nhello", 0.02, late], "close")
    canary = lane.canary(part)
    connection = lane.connect()
    connection.start(Request(canary))
    lane.good(connection.answer(1.0), canary)
    part.sent.wait(2.0)
    time.sleep(0.01)
    afterwards(lane, connection)


def cut_off(lane, part, expected_body, what):
    """What came is delivered, and the end cannot be taken for a clean one."""
    canary = lane.canary(part)
    connection = lane.connect()
    connection.start(Request(canary))
    answer = connection.answer(1.5)
    check(answer is not None, "%s: nothing delivered" % what)
    if answer.status == 502 and answer.complete:
        connection.close()
        lane.fresh_canary()
        return  # The cut was seen before the head went out: as clear as can be.
    check(answer.status == 200, "%s: %s; client saw %s" % (what, answer.status, excerpt(connection.log)))
    check(not answer.complete, "%s: looks like a clean end; client saw %s" % (what, excerpt(connection.log)))
    check(
        connection.was_cut(answer),
        "%s: the client was left waiting; client saw %s" % (what, excerpt(connection.log)),
    )
    if answer.framing == "close":
        check(connection.ended == "RST", "%s: FIN ends a body without framing cleanly" % what)
    check(
        bytes(answer.body) == expected_body,
        "%s: delivered %s instead of %s" % (what, excerpt(bytes(answer.body)), excerpt(expected_body)),
    )
    connection.close()
    check(len(lane.backend.of(canary)) == 1, "%s: executed %d times" % (what, len(lane.backend.of(canary))))
    lane.fresh_canary()


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@case("M04.1", "closes inside a chunked answer", clients=("h1",), backends=("h1",), why="M04.3")
@case("M04.3", "closes inside a chunked answer, client on HTTP/2", clients=("h2",), backends=("h1",), why="M04.1")
def closes_inside_chunks(lane):
    for what, tail in (
        ("between chunks", b""),
        ("inside a chunk", b"a\r\nwor"),
        ("inside a size", b"a"),
        ("behind the last size", b"0\r\n"),
    ):
        body = b"hello" + (b"wor" if b"wor" in tail else b"")
        cut_off(lane, raw([CHUNKED + b"5\r\nhello\r\n" + tail, 0.05], "close"), body, "FIN " + what)


@case("M04.1x1", "resets inside a chunked answer", **RAW_BACKEND)
def resets_inside_chunks(lane):
    cut_off(lane, raw([CHUNKED + b"5\r\nhello\r\n", 0.05], "reset"), b"hello", "RST between chunks")


@case("M04.1x2", "closes inside an answer with a length", **RAW_BACKEND)
def closes_inside_length(lane):
    for then in ("close", "reset"):
        cut_off(lane, raw([HEAD + b"Content-Length: 10\r\n\r\nhello", 0.05], then), b"hello", then)


@case("M04.1x3", "breaks the chunked coding", **RAW_BACKEND)
def breaks_chunks(lane):
    for tail in (
        b"5z\r\nworld\r\n0\r\n\r\n",
        b"\r\n0\r\n\r\n",
        b"-5\r\nworld\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\nworld",
        b"5\nworld\r\n0\r\n\r\n",
        b"0\r\nX: a\x00b\r\n\r\n",
    ):
        cut_off(lane, raw([CHUNKED + b"5\r\nhello\r\n", 0.02, tail]), b"hello", "chunk %r" % tail)


@case("M04x1", "an answer that its close ends is whole, and its reset is not", **RAW_BACKEND)
def close_delimited(lane):
    canary = lane.canary(raw([HEAD + b"\r\nhello", 0.02], "close"))
    connection = lane.connect()
    connection.start(Request(canary))
    answer = connection.answer(1.0)
    lane.good(answer, canary)
    check(bytes(answer.body) == b"hello", "the body is %s" % excerpt(bytes(answer.body)))
    afterwards(lane, connection)
    cut_off(lane, raw([HEAD + b"\r\nhello", 0.05], "reset"), b"hello", "RST in a body that a close ends")


@case("M05.1", "field of 64 KB", **RAW_BACKEND)
def huge_field(lane):
    each_broken(lane, HEAD + b"Foo: " + b"a" * 65_536 + b"\r\nContent-Length: 5\r\n\r\nhello")


@case("M05x1", "a head without end", **RAW_BACKEND)
def endless_head(lane):
    with lane.burden():
        gateway_error(lane, raw([HEAD] + [b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(3000)]))


@case("M05x2", "a status line without end", **RAW_BACKEND)
def endless_status_line(lane):
    with lane.burden():
        gateway_error(lane, raw(b"HTTP/1.1 200 " + b"O" * 1_000_000))


@case("M05.3", "NUL in a field", **RAW_BACKEND)
def nul_in_field(lane):
    each_broken(lane, HEAD + b"Foo: a\x00b\r\nContent-Length: 5\r\n\r\nhello")


EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
FINAL = HEAD + b"Content-Length: 5\r\n\r\nhello"


@case("M06.1", "1 000 interim answers before the final one", **RAW_BACKEND)
def many_interim(lane):
    for interim in (EARLY_HINTS, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"):
        gateway_error(lane, raw(interim * 1000 + FINAL), what="%r:" % interim[:14])


@case("M06.3", "one 103, then 200", **RAW_BACKEND)
def early_hints(lane):
    canary = lane.canary(raw([EARLY_HINTS, 0.05, FINAL]))
    connection = lane.connect()
    connection.start(Request(canary))
    answer = connection.answer(1.0)
    lane.good(answer, canary)
    check(
        [s for s, _ in answer.interim] in ([], [103]), "interim answers %s" % [s for s, _ in answer.interim]
    )
    check(bytes(answer.body) == b"hello", "the body is %s" % excerpt(bytes(answer.body)))
    afterwards(lane, connection)


@case("M06x1", "101 that nobody asked for", **RAW_BACKEND)
def unasked_101(lane):
    gateway_error(
        lane,
        raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nsmuggled"),
    )


def without_body(lane, data, method=b"GET", statuses=(204,)):
    canary = lane.canary(raw(data))
    connection = lane.connect()
    connection.start(Request(canary, method))
    answer = connection.answer(1.0)
    check(
        answer is not None and answer.complete and answer.status in statuses + (502,),
        "not %s; client saw %s" % (statuses, excerpt(connection.log)),
    )
    if answer.status in statuses:
        lane.own_canary(answer, canary)
        check(
            not (
                answer.status == 204 and (answer.all(b"content-length") or answer.all(b"transfer-encoding"))
            ),
            "a 204 with framing; client saw %s" % excerpt(connection.log),
        )
    afterwards(lane, connection)
    request = lane.upstream(canary)
    check(lane.backend.wait_gone(request), "upstream connection not closed")


@case("M07.1", "204 with a body", **RAW_BACKEND)
def body_behind_204(lane):
    head = HEAD.replace(b"200 OK", b"204 No Content")
    without_body(lane, head + b"Content-Length: 5\r\n\r\nhello")
    without_body(lane, head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    without_body(lane, head + b"\r\n" + POISON)


@case("M07x1", "304 with a body", **RAW_BACKEND)
def body_behind_304(lane):
    without_body(
        lane,
        HEAD.replace(b"200 OK", b"304 Not Modified") + b"Content-Length: 5\r\n\r\nhello",
        statuses=(304,),
    )


@case("M07.3", "a HEAD answered with a body", **RAW_BACKEND)
def body_behind_head(lane):
    without_body(lane, HEAD + b"Content-Length: 5\r\n\r\nhello", b"HEAD", (200,))
    without_body(lane, HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"HEAD", (200,))
    without_body(lane, HEAD + b"Content-Length: %d\r\n\r\n" % len(POISON) + POISON, b"HEAD", (200,))


@case("M07x2", "a HEAD answered properly leaves its connection usable", **RAW_BACKEND)
def head_without_body(lane):
    canary = lane.canary(raw(HEAD + b"Content-Length: 5\r\n\r\n"))
    connection = lane.connect()
    connection.start(Request(canary, b"HEAD"))
    answer = connection.answer(1.0)
    lane.good(answer, canary)
    check(
        answer.field(b"content-length") in (b"5", None),
        "Content-Length is %r" % answer.field(b"content-length"),
    )
    afterwards(lane, connection)


def once(lane, canary):
    count = len(lane.backend.of(canary))
    check(count == 1, "executed %d times" % count)


@case("M11.1", "takes a POST on a reused connection and closes without a byte", **RAW_BACKEND)
def closes_on_post(lane):
    for then in ("close", "reset"):
        connection = lane.connect()
        lane.warm(connection)
        canary = lane.canary(raw(b"", then))
        answer = lane.ask(Request(canary, b"POST", body=b"hello"), connection)
        check(
            answer is not None and answer.complete and answer.status in (502, 503, 504),
            "%s: %s" % (then, answer and answer.status),
        )
        once(lane, canary)
        request = lane.upstream(canary)
        check(len(request.connection.requests) > 1, "the harness failed: the POST came on a fresh connection")
        connection.close()
        lane.fresh_canary()


@case("M11.2", "takes a GET on a reused connection and closes without a byte", **RAW_BACKEND)
def closes_on_get(lane):
    for always in (True, False):
        connection = lane.connect()
        lane.warm(connection)
        calls = []

        def part(call):
            calls.append(call)
            if always or len(calls) == 1:
                call.close()
            else:
                call.answer()

        canary = lane.canary(part)
        answer = lane.ask(Request(canary), connection)
        allowed = (502, 503) if always else (200, 502, 503)
        check(
            answer is not None and answer.complete and answer.status in allowed,
            "%s" % (answer and answer.status),
        )
        check(len(calls) <= 3, "tried %d times" % len(calls))
        connection.close()
        lane.fresh_canary()


@case("M11.3", "closed its idle connection 30 ms before a POST", **RAW_BACKEND)
def closed_while_idle(lane):
    for attempt in range(1, 9):
        canary = lane.canary(raw([FINAL, 0.02], "close"))
        lane.good(lane.ask(Request(canary)), canary, "the request before")
        before = lane.upstream(canary)
        check(
            lane.backend.wait(lambda: before.connection.ended, 2.0),
            "the harness failed: the connection is open",
        )
        time.sleep(0.03)
        canary = lane.canary()
        lane.good(lane.ask(Request(canary, b"POST", body=b"hello")), canary, "POST %d" % attempt)
        once(lane, canary)


@case("M11x1", "every idle connection of a burst is closed 30 ms before a burst of POSTs", **RAW_BACKEND)
def closed_while_idle_all(lane):
    connections = [lane.connect() for _ in range(8)]
    canaries = [lane.canary(raw([0.05, FINAL, 0.05], "close")) for _ in connections]
    for connection, canary in zip(connections, canaries):
        connection.start(Request(canary))
    for connection, canary in zip(connections, canaries):
        lane.good(connection.answer(1.0), canary, "the request before")
    time.sleep(0.12)
    canaries = [lane.canary() for _ in connections]
    for connection, canary in zip(connections, canaries):
        connection.start(Request(canary, b"POST", body=b"hello"))
    for connection, canary in zip(connections, canaries):
        lane.good(connection.answer(1.0), canary, "a POST")
        once(lane, canary)
        connection.close()


@case("M12", "answer head at one byte per second", SLOW, 60, **RAW_BACKEND)
def slow_answer_head(lane):
    def part(call):
        for byte in FINAL:
            if not call.send(bytes([byte])) or call.gone(1.0):
                return

    limit = lane.proxy.timers.limit
    canary = lane.canary(part)
    started = time.monotonic()
    answer = lane.ask(Request(canary), timeout=limit + 1)
    took = time.monotonic() - started
    check(answer is not None and answer.complete, "no answer within %.0f s" % took)
    check(answer.status in (504, 502), "%s instead of 504" % answer.status)
    check(took <= limit, "only after %.0f s" % took)
    request = lane.upstream(canary)
    check(lane.backend.wait_gone(request), "upstream connection not closed")


@case("M12x1", "an answer whose body trickles is not cut", SLOW, 60, **RAW_BACKEND)
def slow_answer_body(lane):
    def part(call):
        call.start()
        for n in range(5):
            call.piece(b"%d" % n)
            call.gone(1.0)
        call.finish()

    canary = lane.canary(part)
    answer = lane.ask(Request(canary), timeout=8)
    lane.good(answer, canary)
    check(bytes(answer.body) == b"01234", "the body is %r" % bytes(answer.body))


@case("M13.1", "resets after a POST, before answering", **RAW_BACKEND)
def resets_after_post(lane):
    for warm in (False, True):
        connection = lane.connect()
        if warm:
            lane.warm(connection)
        canary = lane.canary(raw(b"", "reset"))
        answer = lane.ask(Request(canary, b"POST", body=b"hello"), connection)
        check(
            answer is not None and answer.complete and answer.status in (502, 503),
            "%s" % (answer and answer.status),
        )
        once(lane, canary)
        lane.fresh_canary()


@case("M13x1", "resets inside the head of its answer to a POST", **RAW_BACKEND)
def resets_inside_head(lane):
    canary = lane.canary(raw([b"HTTP/1.1 200 OK\r\nFoo:", 0.02], "reset"))
    answer = lane.ask(Request(canary, b"POST", body=b"hello"))
    check(
        answer is not None and answer.complete and answer.status in (502, 503),
        "%s" % (answer and answer.status),
    )
    once(lane, canary)
    lane.fresh_canary()


@case("M14x1", "nobody listens", **RAW_BACKEND)
def nobody_listens(lane):
    for method in (b"GET", b"POST"):
        answer = lane.ask(
            Request(lane.canary(), method, target=b"/dead", body=b"hello" if method == b"POST" else None)
        )
        check(
            answer is not None and answer.complete and answer.status in (502, 503),
            "%s: %s" % (method.decode(), answer and answer.status),
        )
        lane.fresh_canary()


@case("M14x2", "never accepts: the connect timer ends it", SLOW, 60, **RAW_BACKEND)
def never_accepts(lane):
    started = time.monotonic()
    answer = lane.ask(Request(lane.canary(), target=b"/deaf"), timeout=8)
    check(
        answer is not None and answer.complete and answer.status in (502, 503, 504),
        "%s after %.0f s" % (answer and answer.status, time.monotonic() - started),
    )
