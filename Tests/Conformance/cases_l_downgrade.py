"""L. From HTTP/2 onwards: nothing that HTTP/1.1 could read differently ever crosses.

Each malformed request goes out beside a stream that waits for its answer and must get
it: a fault of a stream is that stream's alone.
"""

import time

import frames
from catalog import FAILURES_SHOWN, Case, Failed, add, case, check
from compression import block
from expect import Either, Forwarded, Reset, excerpt
from messages import CANARY, Message, Request

H2 = dict(clients=("h2", "h2s"), why="field lists of HTTP/2 are its subject")
EVIL = b"GET /evil HTTP/1.1\r\nHost: a\r\nX-Canary: evil\r\n\r\n"
RESET = Reset()
IN_BODY = Reset(in_body=True)


def fields(*more, method=b"GET", path=b"/", authority=b"a", scheme=b"http", without=()):
    """A request's field list, with what is under test behind the canary."""
    pseudo = [(b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", path)]
    return [one for one in pseudo if one[0] not in without] + [(b"x-canary", CANARY), *more]


def rows(id, title, members, expected=RESET):
    """Requests of one kind: (label, field list or Message or frames(stream)), all with one outcome."""

    def run(lane):
        failures = []
        for label, sent in members:
            try:
                if callable(sent):
                    seen = lane.observe_frames(lambda stream, _: sent(stream))
                    problems = [p for p in (expected.problem(seen), seen.canary_problem) if p]
                    if problems:
                        raise Failed("%s; %s" % ("; then ".join(problems), seen.raw()))
                else:
                    lane.judge_message(sent if isinstance(sent, Message) else Message(sent), expected)
            except Failed as failed:
                failures.append("%s: %s" % (label, failed))
        if failures:
            more = len(failures) - FAILURES_SHOWN
            shown = failures[:FAILURES_SHOWN] + (["and %d more" % more] if more > 0 else [])
            raise Failed("%d of %d: %s" % (len(failures), len(members), " | ".join(shown)))

    add(Case(id, title, run, **H2))


def row(id, title, sent, expected=RESET):
    rows(id, title, [(title, sent)], expected)


def posted(body, *more, trailers=None):
    return Message(fields(*more, method=b"POST"), body, trailers)


row("L00x1", "control: GET", fields(), Forwarded(method=b"GET", target=b"/", host=b"a"))
row("L00x2", "control: POST with a length", posted(b"hello", (b"content-length", b"5")), Forwarded(body=b"hello"))
row("L00x3", "control: POST without a length", posted(b"hello"), Forwarded(body=b"hello"))
row("L00x4", "control: POST of nothing", posted(b""), Forwarded(body=b""))

INJECTED = b"b\r\ntransfer-encoding: chunked"
row("L01.1", "CR LF and a field in a value", fields((b"foo", INJECTED)))
row("L01.3", "NUL in a value", fields((b"foo", b"a\0b")))
rows(
    "L01x1", "line ends in a value",
    [(repr(v), fields((b"foo", v))) for v in (b"a\nb: c", b"a\rb: c", b"a\r\n\r\n" + EVIL, b"\r\na", b"a\r\n", b"\n", b"\r")],
)  # fmt: skip
rows(
    "L01x2", "CR LF in the value of each pseudo-header and of fields that a proxy writes",
    [
        ("method", fields(method=b"GET\r\nx: y")), ("scheme", fields(scheme=b"http\r\nx: y")),
        ("cookie", fields((b"cookie", b"a=b\r\nx: y"))), ("host", fields((b"host", b"a\r\nx: y"))),
        ("x-forwarded-for", fields((b"x-forwarded-for", b"1.2.3.4\r\nx: y"))),
        ("content-length", fields((b"content-length", b"0\r\nx: y"), method=b"POST")),
    ],
)  # fmt: skip
row("L02.1", "colon in a name", fields((b"foo:bar", b"x")))
row("L02.3", "CR LF in a name", fields((b"foo: x\r\ntransfer-encoding", b"chunked")))
row("L02.5", "upper case in a name", fields((b"Foo", b"x")))
rows(
    "L02x1", "other names that are none",
    [(repr(n), fields((n, b"x"))) for n in (
        b"", b"foo ", b" foo", b"fo o", b"foo\t", b"f\0oo", b"f\noo", b"f\x7foo", b"f\x80oo", b"f(oo", b"f,oo", b"f/oo",
        b'f"oo', b"f{oo", b"transfer-encoding:", b"transfer-encoding ", b"Transfer-Encoding", b"fOO", b"host\r\nx",
    )],
)  # fmt: skip
row("L03", "transfer-encoding: chunked", fields((b"transfer-encoding", b"chunked")))
rows(
    "L03x1", "transfer-encoding in other ways",
    [
        ("POST", posted(b"0\r\n\r\n" + EVIL, (b"transfer-encoding", b"chunked"))),
        ("with a length", posted(b"hello", (b"transfer-encoding", b"chunked"), (b"content-length", b"5"))),
        ("identity", fields((b"transfer-encoding", b"identity"))), ("empty", fields((b"transfer-encoding", b""))),
        ("trailers", fields((b"transfer-encoding", b"trailers"))),
    ], IN_BODY,
)  # fmt: skip


class NothingBehindTheLength:
    """`content-length: 0` may be forwarded and answered before the DATA comes; that never crosses."""

    def __str__(self):
        return "a reset, even after an answer"

    def problem(self, seen):
        if len(seen.requests) > 1 or any(bytes(r.body) for r in seen.requests):
            return "the DATA went upstream"
        if seen.reset in (None, 0) and not seen.goaway and (seen.answer is None or seen.answer.status != 400):
            return "no reset"


row("L04.1", "content-length 0, then DATA that is a request for /evil", posted(EVIL, (b"content-length", b"0")), NothingBehindTheLength())
row("L04.2", "content-length 5, DATA of 10", posted(b"0123456789", (b"content-length", b"5")), IN_BODY)
rows(
    "L04x1", "DATA that is not what content-length says",
    [
        ("too short", posted(b"abc", (b"content-length", b"5"))),
        ("none at all", posted(b"", (b"content-length", b"5"))),
        ("END_STREAM on the head", fields((b"content-length", b"5"), method=b"POST")),
        ("too long by a request", posted(b"hello" + EVIL, (b"content-length", b"5"))),
        ("short, then trailers", posted(b"abc", (b"content-length", b"5"), trailers=[(b"x", b"y")])),
    ], IN_BODY,
)  # fmt: skip
row("L05.1", "connection: close", fields((b"connection", b"close")))
row("L05.4", "upgrade: websocket", fields((b"upgrade", b"websocket")))
row("L05.5", "te: gzip", fields((b"te", b"gzip")))
rows(
    "L05x1", "other fields that belong to one connection",
    [("%s: %s" % (n.decode(), v.decode()), fields((n, v))) for n, v in (
        (b"connection", b"keep-alive"), (b"connection", b""), (b"connection", b"x-foo"), (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"keep-alive"), (b"upgrade", b"h2c"), (b"te", b"trailers, gzip"), (b"te", b""),
        (b"te", b"trailers;q=1"),
    )],
)  # fmt: skip
row("L05x2", "te: trailers", fields((b"te", b"trailers")), Forwarded())
row("L06.1", ":path with a version and CR LF", fields(path=b"/ HTTP/1.1\r\nX: y"))
row("L06.3", "empty :path", fields(path=b""))
row("L06.5", ":path * with GET", fields(path=b"*"))
rows(
    "L06x1", "other :path that are none",
    [(repr(p), fields(path=p)) for p in (
        b"/a b", b"/ HTTP/1.1", b"/a\tb", b"/a\0", b"/a\x7f", b"/\xff", b"/a#b", b"a", b"?x", b"/a\nb", b"/a\r", b" /", b"/ ",
        b"http://b/",
    )],
)  # fmt: skip
row("L06x2", ":path of 100 000 bytes", fields(path=b"/" + b"a" * 99_999), Reset(400, 414, 431))
row("L06x3", "OPTIONS *", fields(method=b"OPTIONS", path=b"*"), Either(Reset(200, 204, 400), Forwarded(target=b"*")))
row("L07.1", ":method with a request line", fields(method=b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET"), Reset(400, 405, 501))
rows(
    "L07x1", "other :method that are none",
    [(repr(m), fields(method=m)) for m in (b"", b"G T", b"GET ", b" GET", b"G\0T", b"G(T", b"GET\r", b"G\nT", b"G:T", b"\xff")],
    Reset(400, 405, 501),
)  # fmt: skip
row("L09.1", ":authority with CR LF", fields(authority=b"a\r\nX: y"))
row("L09.2", ":authority with user info", fields(authority=b"u@a"))
row("L09.4", "neither :authority nor host", fields(without=(b":authority",)))
rows(
    "L09x1", "other :authority that are none",
    [(repr(a), fields(authority=a)) for a in (
        b"", b"a b", b"a/b", b"a?b", b"a#b", b"a:99999", b"a:8x", b"a\0b", b"a,b", b"a\\b", b"\xff", b"[::1", b" a", b"a ",
    )],
)  # fmt: skip
row("L09x2", "host alone", fields((b"host", b"b"), without=(b":authority",)), Either(RESET, Forwarded(host=b"b")))
row("L09x3", "host twice", fields((b"host", b"b"), (b"host", b"c"), without=(b":authority",)))
row("L10", ":authority a and host b", fields((b"host", b"b")), Either(RESET, Forwarded(host=b"a")))
row("L10x1", ":authority a and host a", fields((b"host", b"a")), Either(RESET, Forwarded(host=b"a")))
row("L11.1", ":path twice", fields()[:4] + [(b":path", b"/evil")] + fields()[4:])
row("L11.3", "a pseudo-header behind a field", fields((b":path", b"/evil"), without=(b":path",)))
row("L11.6", "no :method", fields(without=(b":method",)))
row("L11.5", "a pseudo-header in trailers", posted(b"hello", trailers=[(b":path", b"/evil")]), IN_BODY)
rows(
    "L11x1", "other pseudo-headers that do not belong there",
    [
        ("unknown", fields()[:4] + [(b":foo", b"x")] + fields()[4:]),
        (":status", fields()[:4] + [(b":status", b"200")] + fields()[4:]),
        (":protocol", fields()[:4] + [(b":protocol", b"websocket")] + fields()[4:]),
        ("no :scheme", fields(without=(b":scheme",))), ("no :path", fields(without=(b":path",))),
        (":authority twice", fields()[:4] + [(b":authority", b"b")] + fields()[4:]),
        (":method twice", fields()[:4] + [(b":method", b"POST")] + fields()[4:]),
        ("only fields", fields(without=(b":method", b":scheme", b":path", b":authority"))),
        ("a name of one colon", fields()[:4] + [(b":", b"x")] + fields()[4:]),
    ],
)  # fmt: skip


def trimmed(request):
    if request.all(b"foo") != [b"v"]:
        return "foo upstream is %r" % request.all(b"foo")


row("L12.1", "white space around a value", fields((b"foo", b" v ")), Either(RESET, Forwarded(check=trimmed)))
row("L12x1", "tabs around a value", fields((b"foo", b"\tv\t")), Either(RESET, Forwarded(check=trimmed)))


def one_cookie(wanted):
    def check(request):
        """Towards HTTP/2 the crumbs may stay apart."""
        crumbs = request.all(b"cookie")
        if (len(crumbs) > 1 and request.version != b"HTTP/2") or b"; ".join(crumbs) != wanted:
            return "cookie upstream is %r" % crumbs

    return Forwarded(check=check)


row("L13", "two cookies", fields((b"cookie", b"a=1"), (b"cookie", b"b=2")), one_cookie(b"a=1; b=2"))
row(
    "L13x1", "cookies with a field between them",
    fields((b"cookie", b"a=1"), (b"foo", b"x"), (b"cookie", b"b=2; c=3"), (b"cookie", b"d=4")),
    one_cookie(b"a=1; b=2; c=3; d=4"),
)  # fmt: skip


@case("L14", "POST without a length, DATA in two pieces with a pause", **H2)
def two_pieces(lane):
    connection, canary = lane.connect(), lane.canary()
    connection.begin(Request(canary, b"POST", chunked=True))
    there = lane.backend.wait(lambda: any(r.head_at for r in lane.backend.of(canary)), 0.5)
    check(there, "the head did not go upstream during the pause")
    connection.write(b"hel")
    there = lane.backend.wait(lambda: lane.backend.of(canary)[0].body.length == 3, 0.5)
    check(there, "the first piece did not go upstream during the pause")
    connection.receive_for(0.2)
    connection.write(b"lo")
    connection.finish()
    lane.good(connection.answer(1.0), canary)
    request = lane.upstream(canary)
    check(not request.defects, "not canonical upstream: %s" % request.defects)
    check(bytes(request.body) == b"hello", "the body is %s" % excerpt(bytes(request.body)))
    if lane.backend.version == "h1":
        check(request.all(b"transfer-encoding") == [b"chunked"], "framed by %s" % excerpt(request.raw_head))
    connection.close()
    lane.fresh_canary()


row("L14x1", "DATA with padding", lambda stream: (
    frames.headers(stream, block(fields(method=b"POST")))
    + frames.frame(frames.DATA, frames.PADDED | frames.END_STREAM, stream, b"\x05hello" + b"GET /")
), Forwarded(body=b"hello"))  # fmt: skip
row("L14x2", "empty DATA among others", lambda stream: (
    frames.headers(stream, block(fields(method=b"POST"))) + frames.data(stream) + frames.data(stream, b"hel")
    + frames.data(stream) + frames.data(stream, b"lo") + frames.data(stream, b"", True)
), Forwarded(body=b"hello"))  # fmt: skip
row("L14x3", "DATA that look like chunks", posted(b"5\r\nhello\r\n0\r\n\r\n" + EVIL), Forwarded(body=b"5\r\nhello\r\n0\r\n\r\n" + EVIL))
row("L15.2", "content-length: +5", posted(b"hello", (b"content-length", b"+5")), IN_BODY)
row("L15.3", "content-length: 5 twice", posted(b"hello", (b"content-length", b"5"), (b"content-length", b"5")), IN_BODY)
rows(
    "L15x1", "other lengths that are none",
    [(repr(v), posted(b"hello", (b"content-length", v))) for v in (
        b"-5", b"5, 5", b"5,", b"0x5", b"5.0", b"", b"five", b"5 5", b"\x0b5", b"99999999999999999999", b"18446744073709551621",
    )] + [("5 and 6", posted(b"hello", (b"content-length", b"5"), (b"content-length", b"6")))], IN_BODY,
)  # fmt: skip
row("L16.1", "extended CONNECT that SETTINGS did not offer", fields(method=b"CONNECT", path=b"/")[:4]
    + [(b":protocol", b"websocket"), (b"x-canary", CANARY)], Reset(400, 405, 501))  # fmt: skip
row("L16.3", "CONNECT a:443", fields(method=b"CONNECT", authority=b"a:443", without=(b":scheme", b":path")), Reset(400, 405, 501))
row("L16x1", "CONNECT with :path", fields(method=b"CONNECT", authority=b"a:443"), Reset(400, 405, 501))


def without_trailer(name):
    def check(request):
        if any(t.lower().startswith(name + b":") for t in request.trailers):
            return "%s went upstream as a trailer" % name.decode()
        if any(v == b"evil" or v == b"7" for v in request.all(name)):
            return "%s was merged into the head" % name.decode()

    return Either(Forwarded(body=b"hello", check=check), IN_BODY)


row("L17.1", "trailers with content-length", posted(b"hello", trailers=[(b"content-length", b"7")]), without_trailer(b"content-length"))
row("L17.3", "ordinary trailers", posted(b"hello", trailers=[(b"x-checksum", b"1")]), Forwarded(body=b"hello"))
for number, (name, value) in enumerate((
    (b"transfer-encoding", b"chunked"), (b"host", b"evil"), (b"authorization", b"evil"), (b"x-forwarded-for", b"evil"),
    (b"cookie", b"evil"), (b"content-type", b"evil"), (b"te", b"trailers"),
), 1):  # fmt: skip
    row("L17x%d" % number, "trailers with " + name.decode(), posted(b"hello", trailers=[(name, value)]), without_trailer(name))
rows(
    "L17x8", "trailers that are none",
    [(repr(one), posted(b"hello", trailers=[one])) for one in (
        (b"X", b"y"), (b"x\r\ny", b"z"), (b"x", b"a\r\nb"), (b"x", b"a\0"), (b"x y", b"z"), (b"", b"z"), (b"connection", b"close"),
    )], IN_BODY,
)  # fmt: skip
row("L17x9", "trailers of 100 KB", posted(b"hello", trailers=[(b"x-%d" % n, b"y" * 100) for n in range(1000)]),
    Reset(400, 431, in_body=True))  # fmt: skip
row("L17x10", "trailers without END_STREAM, then DATA", lambda stream: (
    frames.headers(stream, block(fields(method=b"POST"))) + frames.data(stream, b"hello")
    + frames.headers(stream, block([(b"x", b"y")])) + frames.data(stream, EVIL, True)
), IN_BODY)  # fmt: skip


@case("L18", "backend sends 103, later 200", **H2)
def early_hints(lane):
    def part(call):
        call.interim()
        time.sleep(0.05)
        call.answer()

    canary, connection = lane.canary(part), lane.connect()
    connection.start(Request(canary))
    answer = connection.answer(1.0)
    lane.good(answer, canary)
    statuses = [status for status, _ in answer.interim]
    check(statuses in ([], [103]), "interim answers %s" % statuses)
    lane.warm(connection)
    connection.close()
    lane.fresh_canary()


@case("L19x1", "fields of a backend that belong to one connection stay there", **H2)
def hop_by_hop_answer(lane):
    def part(call):
        if call.version == "h2":
            call.answer(fields=[(b"x-ok", b"1")])
        else:
            call.answer(fields=[(b"Keep-Alive", b"timeout=5"), (b"Connection", b"keep-alive, X-Hop"), (b"X-Hop", b"1"),
                                (b"Proxy-Connection", b"keep-alive"), (b"X-Ok", b"1")])  # fmt: skip

    canary, connection = lane.canary(part), lane.connect()
    connection.start(Request(canary))
    answer = connection.answer(1.0)
    lane.good(answer, canary)
    check(answer.field(b"x-ok") == b"1", "an ordinary field is missing")
    check(not answer.all(b"x-hop"), "a field that Connection names reached the client")
    connection.close()


@case("L20x1", "a GET and a HEAD, 204 and 304 end without a body", **H2)
def without_body(lane):
    connection = lane.connect()
    for method, status in ((b"HEAD", 200), (b"GET", 204), (b"GET", 304), (b"GET", 200)):

        def part(call, status=status):
            if status == 200:
                call.answer()
            elif call.version == "h2":
                call._head_frame(status, [], True)
            else:
                call.send(call._head(status, []))

        canary = lane.canary(part)
        connection.start(Request(canary, method))
        answer = connection.answer(1.0)
        what = "%s, %d" % (method.decode(), status)
        check(answer is not None and answer.complete and answer.status == status, "%s: %s" % (what, answer and answer.status))
        lane.own_canary(answer, canary)
        check(not answer.defects, "%s: %s" % (what, answer.defects))
    connection.close()
    lane.fresh_canary()
