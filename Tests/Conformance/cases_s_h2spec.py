"""S. What the public suite h2spec asks of a server: its 146 cases, by its own sections and numbers.

The inputs and the accepted outcomes are h2spec's; the code is ours, so that the suite
runs where there is no Go. `S-http2/6.9.1/3` is `h2spec http2/6.9.1/3`. README says how
to run the original. What it accepts is often more than RFC 9113 allows; the other
groups are stricter.
"""


import frames as f
from catalog import Case, Failed, add, check
from client import H2Connection
from compression import WITH_INDEXING, block, literal, string, table_size

TIMEOUT = 2.0  # Seconds for an answer, as h2spec's own.
FIELD_LENGTH = 4000  # Of a dummy value, as h2spec's own.
PING = b"h2spec\0\0"


class Probe:
    """A connection whose frames are looked at one by one; it does nothing by itself."""

    def __init__(self, lane):
        self.lane = lane
        self.connection = H2Connection(
            lane.proxy.only_h2(lane.client), tls=lane.client.endswith("s"), preface=False
        )
        self.connection.take_frames = lambda: None
        self.scheme = self.connection.scheme
        self.settings = {}
        self.seen = []

    def send(self, *raw):
        for one in raw:
            self.connection.send(one)

    def next(self, timeout=TIMEOUT):
        """The next frame; None when the connection has ended; a failure when nothing comes."""
        found = []

        def come():
            if not found and (one := f.take(self.connection.buffer)) is not None:
                found.append(one)
            return found

        self.connection.until(come, timeout)
        if found:
            self.seen.append(str(found[0]))
            return found[0]
        if self.connection.ended:
            return None
        raise Failed("nothing within %.0f s; got %s" % (timeout, ", ".join(self.seen[-6:]) or "no frame"))

    def handshake(self):
        self.send(f.PREFACE, f.settings((f.INITIAL_WINDOW_SIZE, f.WINDOW)))
        theirs = ours = False
        while not (theirs and ours):
            one = self.next()
            check(one is not None, "closed in the handshake")
            if one.type == f.SETTINGS and one.ack:
                ours = True
            elif one.type == f.SETTINGS:
                theirs = True
                self.settings = dict(one.settings())
                self.send(f.settings(ack=True))

    # Requests.

    def fields(self, method=b"GET", *more):
        authority = b"127.0.0.1:%d" % self.connection.sock.getpeername()[1]
        return [(b":method", method), (b":scheme", self.scheme), (b":path", b"/"), (b":authority", authority), *more]

    def block(self, method=b"GET", *more):
        return block(self.fields(method, *more))

    def get(self, stream=1, *more, end=True, tail=b""):
        self.send(f.headers(stream, self.block(b"GET", *more) + tail, end))

    def post(self, *more, stream=1):
        self.send(f.headers(stream, self.block(b"POST", *more)))

    def answer_length(self):
        """Bytes of the answer to a plain GET."""
        probe, length = Probe(self.lane), 0
        try:
            probe.handshake()
            probe.get()
            while one := probe.next():
                length += len(one.content()) if one.type == f.DATA else 0
                if one.ends:
                    return length
        finally:
            probe.connection.close()
        raise Failed("no answer to a plain GET")

    # Verdicts.

    def _failed(self, wanted):
        raise Failed("%s wanted; got %s%s" % (
            wanted, ", ".join(self.seen[-6:]) or "nothing", ", then the end" if self.connection.ended else ""
        ))  # fmt: skip

    def first(self, type, good, wanted):
        """The first frame of a type, which must be as wanted."""
        try:
            while one := self.next():
                if one.type == type:
                    if not good(one):
                        break
                    return one
        except Failed:
            pass
        self._failed(wanted)

    def any(self, good, wanted, or_close=True):
        """Some frame that is as wanted; the end of the connection also counts."""
        try:
            while one := self.next():
                if good(one):
                    return one
            if or_close:
                return None
        except Failed:
            pass
        self._failed(wanted)

    def connection_error(self, *codes):
        names = "/".join(map(f.error_name, codes))
        self.any(lambda one: one.type == f.GOAWAY and one.word(4) in codes, "GOAWAY %s or a close" % names)

    def stream_error(self, *codes):
        names = "/".join(map(f.error_name, codes))

        def good(one):
            return (one.type == f.GOAWAY and one.word(4) in codes) or (one.type == f.RST_STREAM and one.word() in codes)

        self.any(good, "RST_STREAM or GOAWAY %s, or a close" % names)

    def closed(self):
        self.any(lambda one: False, "a close")

    def head(self, stream=1):
        return self.first(f.HEADERS, lambda one: one.stream == stream, "HEADERS on stream %d" % stream)

    def data(self, length=None):
        return self.first(f.DATA, lambda one: length in (None, len(one.payload)), "DATA of %s" % length)

    def pong(self, payload=b"\0" * 8):
        self.first(f.PING, lambda one: one.ack and one.payload == payload, "PING with ACK")

    def pong_or_close(self, payload=b"\0" * 8):
        self.any(lambda one: one.type == f.PING and one.ack and one.payload == payload, "PING with ACK, or a close")

    def settings_ack(self):
        self.first(f.SETTINGS, lambda one: one.ack, "SETTINGS with ACK")

    def stream_end(self):
        self.any(
            lambda one: one.ends or (one.type == f.RST_STREAM and one.word() == f.NO_ERROR),
            "the end of the answer",
            or_close=False,
        )


def spec(id, title, handshake=True):
    def register(function):
        def run(lane):
            probe = Probe(lane)
            try:
                if handshake:
                    probe.handshake()
                function(probe)
            finally:
                probe.connection.close()

        add(
            Case(
                "S-" + id, title, run, clients=("h2", "h2s"), backends=("h1",),
                why="h2spec is a client of HTTP/2; backends are not its subject",
            )
        )  # fmt: skip
        return function

    return register


def row(id, title, send, verdict):
    """A case of the usual form: frames, then a verdict."""

    @spec(id, title)
    def run(probe):
        raw = send(probe) if callable(send) else send
        probe.send(*(raw if isinstance(raw, (list, tuple)) else [raw]))
        verdict(probe)


def connection_error(*codes):
    return lambda probe: probe.connection_error(*codes)


def stream_error(*codes):
    return lambda probe: probe.stream_error(*codes)


def dummies(count=1):
    return block([(b"x-dummy%d" % n, b"x" * FIELD_LENGTH) for n in range(count)])


PROTOCOL, CLOSED = f.PROTOCOL_ERROR, f.STREAM_CLOSED
PING_FRAME = f.ping()
PRIORITY = f.priority
head1, pong, pong_or_close = Probe.head, Probe.pong, Probe.pong_or_close


def first_settings(probe):
    probe.send(f.PREFACE, f.settings((f.INITIAL_WINDOW_SIZE, f.WINDOW)))
    one = probe.next()
    check(one and one.type == f.SETTINGS and not one.ack, "SETTINGS wanted first; got %s" % one)


# Generic.

spec("generic/1/1", "client connection preface", handshake=False)(first_settings)
row("generic/2/1", "PRIORITY on an idle stream", [PRIORITY(1), PING_FRAME], pong)
NO_WINDOW = f.settings((f.INITIAL_WINDOW_SIZE, 0))
row(
    "generic/2/2", "WINDOW_UPDATE on a half-closed stream",
    lambda p: [NO_WINDOW, f.headers(1, p.block(), True), f.window_update(1, 1)], Probe.data,
)  # fmt: skip
row(
    "generic/2/3", "PRIORITY on a half-closed stream",
    lambda p: [NO_WINDOW, f.headers(1, p.block(), True), PRIORITY(1), f.window_update(1, 1)], Probe.data,
)  # fmt: skip
row(
    "generic/2/4", "RST_STREAM on a half-closed stream",
    lambda p: [f.headers(1, p.block(), True), f.rst_stream(1), PING_FRAME], pong_or_close,
)  # fmt: skip


@spec("generic/2/5", "PRIORITY on a closed stream")
def priority_on_closed(probe):
    probe.get()
    probe.stream_end()
    probe.send(PRIORITY(1), PING_FRAME)
    probe.pong()


def posted(*data):
    return lambda p: [f.headers(1, p.block(b"POST")), *data]


row("generic/3.1/1", "DATA", posted(f.data(1, b"test", True)), head1)
row("generic/3.1/2", "two DATA", posted(f.data(1, b"test"), f.data(1, b"test", True)), head1)
row(
    "generic/3.1/3", "DATA with padding",
    posted(f.frame(f.DATA, f.PADDED | f.END_STREAM, 1, b"\x05test" + b"\0" * 5)), head1,
)  # fmt: skip
row("generic/3.2/1", "HEADERS", lambda p: f.headers(1, p.block(), True), head1)
row(
    "generic/3.2/2", "HEADERS with padding",
    lambda p: f.headers(1, b"\x08" + p.block() + b"\0" * 8, True, flags=f.PADDED), head1,
)  # fmt: skip
row(
    "generic/3.2/3", "HEADERS with priority",
    lambda p: f.headers(1, f.priority_fields() + p.block(), True, flags=f.WITH_PRIORITY), head1,
)  # fmt: skip
for number, one in enumerate((PRIORITY(1, 0, 0), PRIORITY(1, 0, 255), PRIORITY(3, 1, 0), PRIORITY(1, 0, 0, True), PRIORITY(3)), 1):
    row(
        "generic/3.3/%d" % number,
        ("weight 1", "weight 256", "a dependency", "exclusive", "for an idle stream, then a lower one")[number - 1],
        lambda p, one=one: [one, f.headers(1, p.block(), True)],
        head1,
    )
row("generic/3.4/1", "RST_STREAM", lambda p: [f.headers(1, p.block()), f.rst_stream(1), PING_FRAME], pong_or_close)
row(
    "generic/3.5/1", "SETTINGS",
    f.settings((1, 4096), (2, 1), (3, 100), (4, 65535), (5, 16384), (6, 100)), Probe.settings_ack,
)  # fmt: skip
row("generic/3.7/1", "PING", f.ping(PING), lambda p: p.pong(PING))
row("generic/3.8/1", "GOAWAY", [f.goaway(0, 0, b"h2spec"), f.ping(PING)], lambda p: p.pong_or_close(PING))
row("generic/3.9/1", "WINDOW_UPDATE on the connection", [f.window_update(0, 1), PING_FRAME], pong)
row("generic/3.9/2", "WINDOW_UPDATE on a stream", lambda p: [f.headers(1, p.block(), True), f.window_update(1, 1)], head1)


def continued(probe, *cuts, end=True):
    """A head cut at these bytes."""
    whole = probe.block()
    parts = [whole[a:b] for a, b in zip((0, *cuts), (*cuts, None))]
    yield f.headers(1, parts[0], end, False)
    for number, part in enumerate(parts[1:], 2):
        yield f.continuation(1, part, number == len(parts))


row("generic/3.10/1", "CONTINUATION", lambda p: [*continued(p, 5)], head1)
row("generic/3.10/2", "two CONTINUATION", lambda p: [*continued(p, 5, 10)], head1)
row("generic/4/1", "GET", lambda p: f.headers(1, p.block(), True), head1)
row("generic/4/2", "HEAD", lambda p: f.headers(1, p.block(b"HEAD"), True), head1)
row("generic/4/3", "POST", posted(f.data(1, b"test", True)), head1)
row(
    "generic/4/4", "POST with trailers",
    lambda p: [
        f.headers(1, p.block(b"POST", (b"trailer", b"x-test"))), f.data(1, b"test"),
        f.headers(1, block([(b"x-test", b"ok")]), True),
    ], head1,
)  # fmt: skip

AGENT, TEST, VALUE = b"user-agent", b"x-test", b"h2spec"
REPRESENTATIONS = [literal(*a[1:]) if a[0] else a[1] for a in [
    (0, literal(b"user-agent", b"", WITH_INDEXING) + b"\xbe"),
    *[(1, AGENT, VALUE, kind, huffman) for kind in (0x40,) for huffman in (True, False)],
    (1, TEST, VALUE, 0x40, False), (1, TEST, VALUE, 0x40, True),
    (1, AGENT, VALUE, 0x00, False), (1, AGENT, VALUE, 0x00, True),
    (1, TEST, VALUE, 0x00, False), (1, TEST, VALUE, 0x00, True),
    (1, AGENT, VALUE, 0x10, False), (1, AGENT, VALUE, 0x10, True),
    (1, TEST, VALUE, 0x10, True), (1, TEST, VALUE, 0x10, False),
]]  # fmt: skip
for number, tail in enumerate(REPRESENTATIONS, 1):
    row(
        "generic/5/%d" % number,
        "field representation %s" % tail[:1].hex(),
        lambda p, tail=tail: f.headers(1, p.block() + tail, True),
        head1,
    )
row("generic/5/14", "table size 128", lambda p: f.headers(1, table_size(128) + p.block(), True), head1)
row(
    "generic/5/15", "table sizes 128 and 4096",
    lambda p: f.headers(1, table_size(128) + table_size(4096) + p.block(), True), head1,
)  # fmt: skip

# HTTP/2.

spec("http2/3.5/1", "SETTINGS come first", handshake=False)(first_settings)


@spec("http2/3.5/2", "invalid preface", handshake=False)
def invalid_preface(probe):
    """A server of both versions may take it for HTTP/1.1 and refuse it there."""
    probe.send(b"INVALID CONNECTION PREFACE\r\n\r\n")
    check(probe.connection.until(lambda: probe.connection.ended or bytes(probe.connection.buffer[3:4]) == b"\x07", TIMEOUT),
          "neither GOAWAY nor a close")  # fmt: skip


UNKNOWN = f.frame(0x16, 0, 0, b"\0" * 8)
row("http2/4.1/1", "unknown frame type", [UNKNOWN, PING_FRAME], pong)
row("http2/4.1/2", "undefined flags", f.frame(f.PING, 0x16, 0, b"\0" * 8), lambda p: p.first(f.PING, lambda o: True, "PING"))
row(
    "http2/4.1/3", "reserved bit", f.frame(f.PING, 0x16, 0x80000000, b"\0" * 8),
    lambda p: p.first(f.PING, lambda o: True, "PING"),
)  # fmt: skip


def frame_limit(probe):
    return probe.settings.get(f.MAX_FRAME_SIZE, f.FRAME_SIZE)


row("http2/4.2/1", "DATA of 2^14 bytes", lambda p: posted(f.data(1, b"x" * frame_limit(p), True))(p), head1)
row(
    "http2/4.2/2", "DATA above SETTINGS_MAX_FRAME_SIZE",
    lambda p: posted(f.data(1, b"x" * (frame_limit(p) + 1), True))(p), stream_error(f.FRAME_SIZE_ERROR),
)  # fmt: skip
row(
    "http2/4.2/3", "HEADERS above SETTINGS_MAX_FRAME_SIZE",
    lambda p: f.headers(1, p.block() + dummies(max(5, frame_limit(p) // FIELD_LENGTH + 1)), True),
    connection_error(f.FRAME_SIZE_ERROR),
)  # fmt: skip
row("http2/4.3/1", "invalid header block", f.headers(1, b"\x40", True), connection_error(f.COMPRESSION_ERROR))


def unfinished(*between):
    """A head without its end, something else, and then its end."""
    return lambda p: [
        f.headers(1, p.block(), False, False),
        *(one(p) if callable(one) else one for one in between),
        f.continuation(1, dummies()),
    ]


another = lambda p: f.headers(3, p.block(), True)
row("http2/4.3/2", "PRIORITY inside a header block", unfinished(PRIORITY(1)), connection_error(PROTOCOL))
row("http2/4.3/3", "HEADERS of another stream inside a header block", unfinished(another), connection_error(PROTOCOL))

row("http2/5.1/1", "idle: DATA", f.data(1, b"test", True), stream_error(PROTOCOL, CLOSED))
row("http2/5.1/2", "idle: RST_STREAM", f.rst_stream(1), connection_error(PROTOCOL))
row("http2/5.1/3", "idle: WINDOW_UPDATE", f.window_update(1, 100), connection_error(PROTOCOL))
row("http2/5.1/4", "idle: CONTINUATION", lambda p: f.continuation(1, p.block()), connection_error(PROTOCOL))
ended = lambda p: f.headers(1, p.block(), True)
row("http2/5.1/5", "half-closed: DATA", lambda p: [ended(p), f.data(1, b"test", True)], stream_error(CLOSED))
row("http2/5.1/6", "half-closed: HEADERS", lambda p: [ended(p), ended(p)], stream_error(CLOSED))
row(
    "http2/5.1/7", "half-closed: CONTINUATION", lambda p: [ended(p), f.continuation(1, p.block())],
    stream_error(CLOSED, PROTOCOL),
)  # fmt: skip
opened = lambda p: f.headers(1, p.block())
row("http2/5.1/8", "reset: DATA", lambda p: [opened(p), f.rst_stream(1), f.data(1, b"test", True)], stream_error(CLOSED))
row("http2/5.1/9", "reset: HEADERS", lambda p: [opened(p), f.rst_stream(1), ended(p)], stream_error(CLOSED))
row(
    "http2/5.1/10", "reset: CONTINUATION", lambda p: [opened(p), f.rst_stream(1), f.continuation(1, dummies())],
    stream_error(CLOSED, PROTOCOL),
)  # fmt: skip
for number, title, late, verdict in (
    (11, "DATA", lambda p: f.data(1, b"test", True), stream_error(CLOSED)),
    (12, "HEADERS", ended, connection_error(CLOSED)),
    (13, "CONTINUATION", lambda p: f.continuation(1, dummies()), connection_error(CLOSED, PROTOCOL)),
):

    @spec("http2/5.1/%d" % number, "closed: " + title)
    def closed_stream(probe, late=late, verdict=verdict):
        probe.get()
        probe.stream_end()
        probe.send(late(probe))
        verdict(probe)


row("http2/5.1.1/1", "an even stream", lambda p: f.headers(2, p.block(), True), connection_error(PROTOCOL))
row(
    "http2/5.1.1/2", "a stream below the one before",
    lambda p: [f.headers(5, p.block(), True), f.headers(3, p.block(), True)], connection_error(PROTOCOL),
)  # fmt: skip
row(
    "http2/5.1.2/1", "one stream more than advertised",
    lambda p: [NO_WINDOW]
    + [f.headers(1 + 2 * n, p.block(), True) for n in range(1 + p.settings.get(f.MAX_CONCURRENT_STREAMS, 100))],
    stream_error(PROTOCOL, f.REFUSED_STREAM),
)  # fmt: skip
row(
    "http2/5.3.1/1", "HEADERS that depend on their own stream",
    lambda p: f.headers(1, f.priority_fields(1) + p.block(), True, flags=f.WITH_PRIORITY), stream_error(PROTOCOL),
)  # fmt: skip
row("http2/5.3.1/2", "PRIORITY that depends on its own stream", PRIORITY(1, 1), stream_error(PROTOCOL))
row("http2/5.4.1/1", "a connection error closes", f.frame(f.PING, 0, 3, b"\0" * 8), Probe.closed)
row("http2/5.5/1", "unknown extension frame", [UNKNOWN, PING_FRAME], pong)
row(
    "http2/5.5/2", "unknown extension frame inside a header block",
    lambda p: [f.headers(1, p.block(), True, False), UNKNOWN], connection_error(PROTOCOL),
)  # fmt: skip

row("http2/6.1/1", "DATA on stream 0", f.data(0, b"test", True), connection_error(PROTOCOL))
row(
    "http2/6.1/2", "DATA on a stream that is not open",
    lambda p: [f.headers(1, p.block(b"POST"), True), f.data(1, b"test", True)], stream_error(CLOSED),
)  # fmt: skip
row(
    "http2/6.1/3", "DATA with invalid padding",
    lambda p: [
        f.headers(1, p.block(b"POST", (b"content-length", b"4"))),
        f.frame(f.DATA, f.PADDED | f.END_STREAM, 1, b"\x06Test"),
    ], connection_error(PROTOCOL),
)  # fmt: skip
row("http2/6.2/1", "HEADERS without END_HEADERS, then PRIORITY", unfinished(PRIORITY(1)), connection_error(PROTOCOL))
row("http2/6.2/2", "HEADERS without END_HEADERS, then another's", unfinished(another), connection_error(PROTOCOL))
row("http2/6.2/3", "HEADERS on stream 0", lambda p: f.headers(0, p.block(), True), connection_error(PROTOCOL))


@spec("http2/6.2/4", "HEADERS with invalid padding")
def invalid_padding(probe):
    whole = probe.block()
    probe.send(f.headers(1, bytes([len(whole) + 2]) + whole, True, flags=f.PADDED))
    probe.stream_error(PROTOCOL)


row("http2/6.3/1", "PRIORITY on stream 0", PRIORITY(0), connection_error(PROTOCOL))
row(
    "http2/6.3/2", "PRIORITY of 4 bytes", lambda p: [ended(p), f.frame(f.PRIORITY, 0, 1, b"\x80\0\0\1")],
    stream_error(f.FRAME_SIZE_ERROR),
)  # fmt: skip
row("http2/6.4/1", "RST_STREAM on stream 0", f.rst_stream(0), connection_error(PROTOCOL))
row("http2/6.4/2", "RST_STREAM on an idle stream", f.rst_stream(1), connection_error(PROTOCOL))
row(
    "http2/6.4/3", "RST_STREAM of 3 bytes", lambda p: [ended(p), f.frame(f.RST_STREAM, 0, 1, b"\0\0\0")],
    stream_error(f.FRAME_SIZE_ERROR),
)  # fmt: skip
row("http2/6.5/1", "SETTINGS with ACK and payload", f.frame(f.SETTINGS, f.ACK, 0, b"\0"), connection_error(f.FRAME_SIZE_ERROR))
row("http2/6.5/2", "SETTINGS on a stream", f.frame(f.SETTINGS, 0, 1, b"\0\3\0\0\0\x64"), connection_error(PROTOCOL))
row("http2/6.5/3", "SETTINGS of 3 bytes", f.frame(f.SETTINGS, 0, 0, b"\0\3\0"), stream_error(PROTOCOL, f.FRAME_SIZE_ERROR))
row("http2/6.5.2/1", "ENABLE_PUSH of 2", f.settings((f.ENABLE_PUSH, 2)), connection_error(PROTOCOL))
row("http2/6.5.2/2", "INITIAL_WINDOW_SIZE of 2^31", f.settings((f.INITIAL_WINDOW_SIZE, 1 << 31)), connection_error(f.FLOW_CONTROL_ERROR))
row("http2/6.5.2/3", "MAX_FRAME_SIZE of 2^14 - 1", f.settings((f.MAX_FRAME_SIZE, 16_383)), connection_error(PROTOCOL))
row("http2/6.5.2/4", "MAX_FRAME_SIZE of 2^24", f.settings((f.MAX_FRAME_SIZE, 1 << 24)), connection_error(PROTOCOL))
row("http2/6.5.2/5", "unknown setting", [f.settings((0xFF, 1)), PING_FRAME], pong)


def with_window(*sizes):
    """The peer knows this initial window before the request comes."""

    def run(probe):
        check(probe.answer_length() >= 5, "the answer is too short for this case")
        probe.send(f.settings(*[(f.INITIAL_WINDOW_SIZE, size) for size in sizes]))
        probe.settings_ack()
        probe.get()

    return run


@spec("http2/6.5.3/1", "INITIAL_WINDOW_SIZE twice in one SETTINGS")
def window_twice(probe):
    with_window(100, 1)(probe)
    probe.data(1)


row("http2/6.5.3/2", "SETTINGS are acknowledged", f.settings((f.ENABLE_PUSH, 0)), Probe.settings_ack)
row("http2/6.7/1", "PING", f.ping(PING), lambda p: p.pong(PING))
row("http2/6.7/2", "PING with ACK is not answered", [f.ping(b"invalid\0", True), f.ping(PING)], lambda p: p.pong(PING))
row("http2/6.7/3", "PING on a stream", f.frame(f.PING, 0, 1, b"\0" * 8), connection_error(PROTOCOL))
row("http2/6.7/4", "PING of 6 bytes", f.frame(f.PING, 0, 0, b"\0" * 6), connection_error(f.FRAME_SIZE_ERROR))
row("http2/6.8/1", "GOAWAY on a stream", f.frame(f.GOAWAY, 0, 1, b"\0" * 8), connection_error(PROTOCOL))
row("http2/6.9/1", "WINDOW_UPDATE of 0", f.window_update(0, 0), connection_error(PROTOCOL))
row("http2/6.9/2", "WINDOW_UPDATE of 0 on a stream", lambda p: [opened(p), f.window_update(1, 0)], stream_error(PROTOCOL))
row("http2/6.9/3", "WINDOW_UPDATE of 3 bytes", f.frame(f.WINDOW_UPDATE, 0, 0, b"\0\0\1"), connection_error(f.FRAME_SIZE_ERROR))


@spec("http2/6.9.1/1", "a window of 1")
def window_of_one(probe):
    with_window(1)(probe)
    probe.data(1)


LARGEST = (1 << 31) - 1
row(
    "http2/6.9.1/2", "a window above 2^31 - 1", [f.window_update(0, LARGEST)] * 2,
    lambda p: p.first(f.GOAWAY, lambda o: o.word(4) == f.FLOW_CONTROL_ERROR, "GOAWAY FLOW_CONTROL_ERROR"),
)  # fmt: skip
row(
    "http2/6.9.1/3", "a stream's window above 2^31 - 1", lambda p: [opened(p)] + [f.window_update(1, LARGEST)] * 2,
    lambda p: p.first(
        f.RST_STREAM, lambda o: o.stream == 1 and o.word() == f.FLOW_CONTROL_ERROR, "RST_STREAM FLOW_CONTROL_ERROR"
    ),
)  # fmt: skip


@spec("http2/6.9.2/1", "INITIAL_WINDOW_SIZE changes behind HEADERS")
def window_changes(probe):
    with_window(0)(probe)
    probe.send(f.settings((f.INITIAL_WINDOW_SIZE, 1)))
    probe.data(1)


@spec("http2/6.9.2/2", "a negative window")
def negative_window(probe):
    with_window(3)(probe)
    probe.data()
    probe.send(f.settings((f.INITIAL_WINDOW_SIZE, 2)))
    probe.settings_ack()
    probe.send(f.window_update(1, 2))
    probe.data(1)


row("http2/6.9.2/3", "INITIAL_WINDOW_SIZE too large", f.settings((4, 0x80000000)), connection_error(f.FLOW_CONTROL_ERROR))
row(
    "http2/6.10/1", "several CONTINUATION",
    lambda p: [f.headers(1, p.block(), True, False), f.continuation(1, dummies(), False), f.continuation(1, dummies())],
    head1,
)  # fmt: skip
unended = lambda p, method=b"GET", end=True: f.headers(1, p.block(method), end, False)
row(
    "http2/6.10/2", "CONTINUATION, then DATA",
    lambda p: [unended(p, b"POST", False), f.continuation(1, dummies(), False), f.data(1, b"test", True)],
    connection_error(PROTOCOL),
)  # fmt: skip
row("http2/6.10/3", "CONTINUATION on stream 0", lambda p: [unended(p), f.continuation(0, dummies())], connection_error(PROTOCOL))
row("http2/6.10/4", "CONTINUATION behind END_HEADERS", lambda p: [ended(p), f.continuation(1, dummies())], connection_error(PROTOCOL))
row(
    "http2/6.10/5", "CONTINUATION behind END_HEADERS of another",
    lambda p: [unended(p), f.continuation(1, dummies()), f.continuation(1, dummies())], connection_error(PROTOCOL),
)  # fmt: skip
row(
    "http2/6.10/6", "CONTINUATION behind DATA",
    lambda p: [
        unended(p, b"POST", False), f.data(1, b"test", True), f.continuation(1, dummies(), False),
        f.continuation(0, dummies()),
    ], connection_error(PROTOCOL),
)  # fmt: skip
row("http2/7/1", "GOAWAY with an unknown error", [f.goaway(0, 0xFF), f.ping(PING)], lambda p: p.pong_or_close(PING))
row(
    "http2/7/2", "RST_STREAM with an unknown error",
    lambda p: [f.headers(1, p.block(b"POST")), f.rst_stream(1, 0xFF), PING_FRAME], pong_or_close,
)  # fmt: skip


def malformed(id, title, fields):
    row("http2/" + id, title, lambda p: f.headers(1, block(fields(p)), True), stream_error(PROTOCOL))


def trailed(trailers, end=False):
    return lambda p: [f.headers(1, p.block(b"POST")), f.data(1, b"test"), f.headers(1, block(trailers), end)]


row("http2/8.1/1", "second HEADERS without END_STREAM", trailed([(b"x-test", b"ok")]), stream_error(PROTOCOL))
malformed("8.1.2/1", "a name in upper case", lambda p: p.fields(b"GET", (b"X-TEST", b"ok")))
malformed("8.1.2.1/1", "unknown pseudo-header", lambda p: p.fields(b"GET", (b":test", b"ok")))
malformed("8.1.2.1/2", "pseudo-header of an answer", lambda p: p.fields(b"GET", (b":status", b"200")))
row("http2/8.1.2.1/3", "pseudo-header in trailers", trailed([(b":method", b"POST")]), stream_error(PROTOCOL))
malformed("8.1.2.1/4", "pseudo-header behind a field", lambda p: [(b"x-test", b"ok"), *p.fields()])
malformed("8.1.2.2/1", "connection", lambda p: p.fields(b"GET", (b"connection", b"keep-alive")))
malformed("8.1.2.2/2", "te other than trailers", lambda p: p.fields(b"GET", (b"trailers", b"test"), (b"te", b"trailers, deflate")))
malformed("8.1.2.3/1", "empty :path", lambda p: [(n, b"" if n == b":path" else v) for n, v in p.fields()])
malformed("8.1.2.3/2", "no :method", lambda p: p.fields()[2:])
malformed("8.1.2.3/3", "no :scheme", lambda p: [one for one in p.fields() if one[0] != b":scheme"])
malformed("8.1.2.3/4", "no :path", lambda p: [one for one in p.fields() if one[0] != b":path"])
for number, twice in ((5, 0), (6, 1), (7, 2)):
    malformed("8.1.2.3/%d" % number, "a pseudo-header twice", lambda p, twice=twice: [*p.fields(), p.fields()[twice]])
for number, pieces in ((1, 1), (2, 2)):
    row(
        "http2/8.1.2.6/%d" % number, "content-length of 1, %d bytes of DATA" % (4 * pieces),
        lambda p, pieces=pieces: [f.headers(1, p.block(b"POST", (b"content-length", b"1")))]
        + [f.data(1, b"test", n == pieces - 1) for n in range(pieces)],
        stream_error(PROTOCOL),
    )  # fmt: skip
row(
    "http2/8.2/1", "PUSH_PROMISE",
    lambda p: f.frame(f.PUSH_PROMISE, f.END_HEADERS, 1, b"\0\0\0\3" + p.block()), connection_error(PROTOCOL),
)  # fmt: skip

# HPACK.


def undecodable(id, title, tail=b"", before=b""):
    row(
        "hpack/" + id, title, lambda p: f.headers(1, before + p.block() + tail, True),
        connection_error(f.COMPRESSION_ERROR),
    )  # fmt: skip


undecodable("2.3.3/1", "invalid index", b"\xc6")
undecodable("2.3.3/2", "invalid index of a name", b"\x7f\x07\x00")
undecodable("4.2/1", "table size at the end of a block", table_size(1))
NAME = b"\x00" + string(b"x-test", True)
undecodable("5.2/1", "padding longer than 7 bits", NAME + b"\x84\x49\x50\x9f\xff")
undecodable("5.2/2", "padding of zeros", NAME + b"\x83\x49\x50\x90")
undecodable("5.2/3", "end of string inside a string", NAME + b"\x87\x49\x51\xff\xff\xff\xfa\x7f")
undecodable("6.1/1", "index 0", b"\x80")
row(
    "hpack/6.3/1", "table size above SETTINGS",
    lambda p: f.headers(1, table_size(p.settings.get(f.HEADER_TABLE_SIZE, 4096) + 1) + p.block(), True),
    connection_error(f.COMPRESSION_ERROR),
)  # fmt: skip
