"""K. HTTP/2 floods and misuse.

A flood is over when the proxy says GOAWAY or closes. While it lasts a polite client beside
it is served and memory stays bounded; afterwards a fresh connection is served.
"""

import contextlib
import socket
import threading
import time

import frames
from catalog import SLOW, Failed, case, check
from compression import WITH_INDEXING, block, indexed, literal, table_size
from client import request_fields
from expect import excerpt
from messages import CANARY, Request

H2 = dict(clients=("h2", "h2s"), backends=("h1",), why="HTTP/2 of clients is its subject")
BOTH_BACKENDS = dict(clients=("h2", "h2s"), why="HTTP/2 of clients is its subject")
# "With another limit than ours a case would judge the wrong thing."
STREAM_LIMIT = 128
# Frames in one write of a flood.
BATCH = 100


# Floods of several lanes at once would only measure each other on a small machine.
ONE_FLOOD = threading.Lock()


@contextlib.contextmanager
def flood(lane, watched=True, **options):
    """A connection for misuse; the proxy must serve others during it and afterwards."""
    with ONE_FLOOD:
        connection = lane.connect(**options)
        with lane.burden(polite=watched):
            connection.settled()
            yield connection
        connection.close()
        lane.fresh_canary()


def head_block(lane, canary=None, **changes):
    request = Request(canary or "flood", **changes)
    return block(request_fields(request, b"https" if lane.client.endswith("s") else b"http"))


def repeat(connection, count, make, size=BATCH, pause=None):
    """Sends `make(n)` for each n in batches until the connection is over; how many went out."""
    sent = 0
    while sent < count:
        if connection.over:
            return sent
        batch = b"".join(make(n) for n in range(sent, min(count, sent + size)))
        if connection.send(batch, 5.0) < len(batch):
            return sent
        sent += size
        if pause:
            pause()
        else:
            connection.receive(0)
    return sent


def must_be_over(connection, sent, within, what="the flood", codes=()):
    connection.until(lambda: connection.over, 1.0)
    check(connection.over, "%s of %d frames was not over; client saw %s" % (what, sent, excerpt(connection.log[-300:])))
    check(sent <= within, "%s went on for %d frames" % (what, sent))
    said = [code for _, code, _ in connection.goaways if code]
    if codes and said:
        check(said[-1] in codes, "GOAWAY %s" % frames.error_name(said[-1]))


def round_trip(connection):
    """Waits until the proxy has looked at everything sent so far."""
    return lambda: connection.ponged(2.0)


def rapid_reset(lane, count, pause, within, handed=None):
    """HEADERS and RST_STREAM, over and over; the backend never answers and counts what it holds."""
    held, most = [], []

    def part(call):
        held.append(call)
        most.append(len(held))
        call.gone(5.0)
        held.remove(call)

    canary = lane.canary(part)
    raw = head_block(lane, canary)
    with flood(lane) as connection:
        pair = lambda n: frames.headers(2 * n + 1, raw, True) + frames.rst_stream(2 * n + 1)
        sent = repeat(connection, count, pair, pause=pause and round_trip(connection))
        must_be_over(connection, sent, within)
        check(max(most, default=0) <= STREAM_LIMIT + 64, "%d requests held by the backend at once" % max(most, default=0))
    gone = lane.backend.wait(lambda: not held, 2.0)
    check(gone, "%d requests are still held by the backend" % len(held))


@case("K01.1", "HEADERS and RST_STREAM on 10 000 streams at full speed", **BOTH_BACKENDS)
def rapid_reset_at_full_speed(lane):
    rapid_reset(lane, 10_000, False, 9_999)


@case("K01.2", "the same, 100 streams per round trip", **BOTH_BACKENDS)
def rapid_reset_with_patience(lane):
    rapid_reset(lane, 4_000, True, 1_600)


@case("K01x1", "HEADERS and RST_STREAM, POSTs whose body has begun", **BOTH_BACKENDS)
def rapid_reset_of_posts(lane):
    canary = lane.canary(lambda call: call.gone(5.0), at_head=True)
    raw = head_block(lane, canary, method=b"POST")
    with flood(lane) as connection:

        def one(n):
            stream = 2 * n + 1
            return frames.headers(stream, raw) + frames.data(stream, b"x" * 100) + frames.rst_stream(stream)

        sent = repeat(connection, 4_000, one, pause=round_trip(connection))
        must_be_over(connection, sent, 1_700)


def each_resets(lane, frame, count=4_000, within=2_000, open=True):
    """A fault on stream after stream: resets that we send count too."""
    raw = head_block(lane, lane.canary(lambda call: call.gone(3.0)), method=b"POST")
    with flood(lane) as connection:

        def one(n):
            stream = 2 * n + 1
            return (frames.headers(stream, raw) if open else b"") + frame(stream)

        sent = repeat(connection, count, one, size=50, pause=round_trip(connection))
        must_be_over(connection, sent, within)


@case("K02a.1", "WINDOW_UPDATE of 0 on an open stream", **H2)
def empty_update(lane):
    misuse(lane, lambda s: frames.window_update(s, 0), frames.PROTOCOL_ERROR)


@case("K02a.2", "the same on stream after stream, 50 per round trip", **H2)
def empty_updates(lane):
    each_resets(lane, lambda stream: frames.window_update(stream, 0))


@case("K02x1", "streams that we must reset for other faults, 50 per round trip", **H2)
def other_faults(lane):
    for what, frame in (
        ("a window above 2^31 - 1", lambda s: frames.window_update(s, 2**31 - 1)),
        ("a priority on itself", lambda s: frames.priority(s, s)),
        ("content-length that is exceeded", lambda s: frames.headers(s, block([(b":x", b"y")]), True)),
    ):
        try:
            each_resets(lane, frame)
        except Failed as failed:
            raise Failed("%s: %s" % (what, failed))


@case("K02x2", "malformed requests on stream after stream, 50 per round trip", **H2)
def malformed_requests(lane):
    bad = block([(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a"), (b"connection", b"close")])
    each_resets(lane, lambda s: frames.headers(s, bad, True), open=False)


@case("K02b.1", "WINDOW_UPDATE of 2^31 - 1 twice", **H2)
def window_overflow(lane):
    misuse(lane, lambda s: frames.window_update(s, 2**31 - 1) * 2, frames.FLOW_CONTROL_ERROR)
    misuse(lane, lambda s: frames.window_update(0, 2**31 - 1) * 2, frames.FLOW_CONTROL_ERROR)


@case("K02c.1", "PRIORITY of 4 bytes", **H2)
def short_priority(lane):
    misuse(lane, lambda s: frames.frame(frames.PRIORITY, 0, s, b"\0" * 4), frames.FRAME_SIZE_ERROR)


@case("K02x3", "frames of other wrong sizes", **H2)
def wrong_sizes(lane):
    connection = lane.connect()
    connection.settled()
    above = 1 + connection.peer_settings.get(frames.MAX_FRAME_SIZE, frames.FRAME_SIZE)
    connection.close()
    for what, frame in (
        ("RST_STREAM of 3", lambda s: frames.frame(frames.RST_STREAM, 0, s, b"\0" * 3)),
        ("PING of 7", lambda s: frames.frame(frames.PING, 0, 0, b"\0" * 7)),
        ("WINDOW_UPDATE of 5", lambda s: frames.frame(frames.WINDOW_UPDATE, 0, s, b"\0" * 5)),
        ("SETTINGS of 7", lambda s: frames.frame(frames.SETTINGS, 0, 0, b"\0" * 7)),
        ("GOAWAY of 7", lambda s: frames.frame(frames.GOAWAY, 0, 0, b"\0" * 7)),
        ("SETTINGS ACK of 6", lambda s: frames.frame(frames.SETTINGS, 1, 0, b"\0" * 6)),
        ("DATA above the limit", lambda s: frames.frame(frames.DATA, 0, s, b"x" * above)),
        ("HEADERS above the limit", lambda s: frames.frame(frames.HEADERS, 4, s + 2, b"x" * above)),
        ("an unknown frame above the limit", lambda s: frames.frame(0x42, 0, 0, b"x" * above)),
        ("DATA of 16 MB, announced", lambda s: b"\xff\xff\xff\x00\x00" + s.to_bytes(4, "big")),
    ):
        try:
            misuse(lane, frame, frames.FRAME_SIZE_ERROR)
        except Failed as failed:
            raise Failed("%s: %s" % (what, failed))


def misuse(lane, frame, *codes, opened=True, ends=False):
    """Frames after an open POST; an error with one of these codes, on the stream or the connection."""
    canary = lane.canary(lambda call: call.gone(1.0), at_head=True)
    connection = lane.connect()
    connection.settled()
    stream = connection.stream(b"POST")
    if opened:
        connection.send(frames.headers(stream.number, head_block(lane, canary, method=b"POST"), ends))
        lane.backend.wait(lambda: lane.backend.of(canary), 0.3)
    connection.send(frame(stream.number))
    said = lambda: connection.reset_code(stream) is not None or connection.over
    connection.until(said, 1.0)
    answer = [connection.reset_code(stream)] + [code for _, code, _ in connection.goaways]
    got = [frames.error_name(code) for code in answer if code is not None]
    saw = excerpt(connection.log[-300:])
    connection.close()
    check(any(code in codes for code in answer), "%s instead of %s; client saw %s" % (
        got or "nothing", "/".join(map(frames.error_name, codes)), saw))  # fmt: skip
    for request in lane.backend.of(canary):
        check(lane.backend.wait_gone(request), "the request was not aborted upstream")
    lane.fresh_canary()


@case("K02e", "HEADERS after END_STREAM", **H2)
def headers_after_end(lane):
    again = lambda s: frames.headers(s, head_block(lane), True)
    misuse(lane, again, frames.STREAM_CLOSED, ends=True)


@case("K02x4", "frames on streams where they cannot be", **H2)
def wrong_streams(lane):
    whole = head_block(lane)
    for what, frame, codes in (
        ("DATA on an idle stream", lambda s: frames.data(s + 2, b"x"), (frames.PROTOCOL_ERROR, frames.STREAM_CLOSED)),
        ("DATA on stream 0", lambda s: frames.data(0, b"x"), (frames.PROTOCOL_ERROR,)),
        ("HEADERS on stream 0", lambda s: frames.headers(0, whole, True), (frames.PROTOCOL_ERROR,)),
        ("HEADERS on an even stream", lambda s: frames.headers(s + 1, whole, True), (frames.PROTOCOL_ERROR,)),
        ("RST_STREAM on an idle stream", lambda s: frames.rst_stream(s + 2), (frames.PROTOCOL_ERROR,)),
        ("SETTINGS on a stream", lambda s: frames.frame(frames.SETTINGS, 0, s), (frames.PROTOCOL_ERROR,)),
        ("GOAWAY on a stream", lambda s: frames.frame(frames.GOAWAY, 0, s, b"\0" * 8), (frames.PROTOCOL_ERROR,)),
        ("CONTINUATION out of place", lambda s: frames.continuation(s, whole), (frames.PROTOCOL_ERROR,)),
        ("PUSH_PROMISE", lambda s: frames.frame(frames.PUSH_PROMISE, 4, s, b"\0\0\0\2" + whole), (frames.PROTOCOL_ERROR,)),
        ("DATA padded beyond its end", lambda s: frames.frame(frames.DATA, 8, s, b"\x05abc"), (frames.PROTOCOL_ERROR,)),
        ("DATA with no room for its padding", lambda s: frames.frame(frames.DATA, 8, s, b""), (frames.PROTOCOL_ERROR, frames.FRAME_SIZE_ERROR)),
    ):  # fmt: skip
        try:
            misuse(lane, frame, *codes)
        except Failed as failed:
            raise Failed("%s: %s" % (what, failed))


@case("K03", "HEADERS without END_HEADERS, then CONTINUATION without end", **H2)
def endless_continuation(lane):
    for piece in (1_000, 16_000, 0, 1):
        for what, ending in (("HEADERS", False),):
            mark = lane.backend.mark()
            with flood(lane) as connection:
                start = head_block(lane, lane.canary())
                connection.send(frames.headers(1, start, True, False))
                filler = literal(b"x-a", b"y" * (piece - 8)) if piece > 8 else b"\x00"[:piece]
                sent, spent = 0, len(start)
                while not connection.over and sent < 100_000:
                    raw = frames.continuation(1, filler, False) * (1 if piece > 8 else 64)
                    if connection.send(raw, 2.0) < len(raw):
                        break
                    sent += 1 if piece > 8 else 64
                    spent += piece
                    connection.receive(0)
                    if sent % 8 == 0:
                        connection.receive(0.002)
                must_be_over(connection, sent, max(200, 2 * (1 << 16) // max(1, piece)), "CONTINUATION of %d bytes" % piece)
            seen = [r for r in lane.backend.since(mark) if r.target != b"/"]
            check(not seen, "U=%d instead of U=0" % len(seen))


@case("K03x1", "a header block that never ends because its peer is silent", SLOW, 60, **H2)
def unfinished_block(lane):
    connection, started = lane.connect(), time.monotonic()
    connection.send(frames.headers(1, head_block(lane, lane.canary()), True, False))
    limit = lane.proxy.timers.limit
    connection.until(lambda: connection.goaways or connection.ended, limit + 1)
    took = time.monotonic() - started
    check(connection.goaways or connection.ended, "still waiting after %.0f s" % took)
    connection.close()


@case("K04.1", "10 000 empty DATA frames without END_STREAM", **H2)
def empty_data(lane):
    canary = lane.canary(lambda call: call.gone(5.0), at_head=True)
    with flood(lane) as connection:
        stream = connection.stream(b"POST")
        connection.send(frames.headers(stream.number, head_block(lane, canary, method=b"POST")))
        over = lambda: connection.over or connection.reset_code(stream) is not None
        sent = 0
        while sent < 10_000 and not over():
            if connection.send(frames.data(stream.number) * 100) < 900:
                break
            sent += 100
            connection.receive(0.001)
        connection.until(over, 0.5)
        check(over(), "not over after %d empty DATA" % sent)
    for request in lane.backend.of(canary):
        check(lane.backend.wait_gone(request), "the request was not aborted upstream")


@case("K04x1", "padding without data: 10 000 DATA of nothing but padding", **H2)
def padded_data(lane):
    """Padding counts against windows that nobody opens for it without limit; memory and others are what matters."""
    canary = lane.canary(lambda call: call.gone(5.0), at_head=True)
    with flood(lane) as connection:
        stream = connection.stream(b"POST")
        connection.send(frames.headers(stream.number, head_block(lane, canary, method=b"POST")))
        flow = connection.flow(stream.number)
        for _ in range(10_000):
            if connection.over or flow.reset is not None:
                break
            raw = frames.frame(frames.DATA, frames.PADDED, stream.number, b"\xff" + b"\0" * 255)
            if not connection.until(lambda: connection.room(flow) >= 256 or flow.reset is not None, 0.3):
                break
            connection.window -= 256
            flow.window -= 256
            connection.send(raw)


def deaf_flood(lane, make, seconds=2.0, size=1_000):
    """A flood from a peer that never reads: closed, or no longer read; memory bounded."""
    connection = lane.connect()
    connection.settled()
    with lane.burden():
        sent, deadline = 0, time.monotonic() + seconds
        batch = b"".join(make(n) for n in range(size))
        connection.sock.settimeout(0.3)
        closed = False
        while time.monotonic() < deadline and sent < 3_000_000:
            try:
                if connection.tls:
                    if connection.send(batch, 0.3) < len(batch):
                        break
                else:
                    connection.sock.sendall(batch)
            except TimeoutError:
                break  # No longer read.
            except OSError:
                closed = True
                break
            sent += size
    connection.sock.setblocking(False)
    connection.receive(0)
    connection.close()
    lane.fresh_canary()
    return sent, closed


@case("K05", "PING without end from a peer that never reads", **H2)
def pings(lane):
    deaf_flood(lane, lambda n: frames.ping(n.to_bytes(8, "big")))


@case("K05x1", "SETTINGS without end from a peer that never reads", **H2)
def settings_flood(lane):
    deaf_flood(lane, lambda n: frames.settings((frames.INITIAL_WINDOW_SIZE, 65_535 + n % 2)))


@case("K05x2", "requests for small answers from a peer that never reads", **H2)
def deaf_requests(lane):
    raw = head_block(lane, lane.canary())
    counter = iter(range(1, 1 << 30, 2))
    connection = lane.connect()
    connection.settled()
    with lane.burden():
        for _ in range(40):
            batch = b"".join(frames.headers(next(counter), raw, True) for _ in range(100))
            try:
                connection.sock.settimeout(0.3)
                connection.sock.sendall(batch) if not connection.tls else connection.send(batch, 0.3)
            except OSError:
                break
    connection.sock.setblocking(False)
    connection.close()
    lane.fresh_canary()


@case("K06.2", "one SETTINGS with 1 000 entries", **H2)
def many_entries(lane):
    with flood(lane) as connection:
        connection.send(frames.settings(*[(frames.MAX_CONCURRENT_STREAMS, 100)] * 1000))
        must_be_over(connection, 1, 1, "SETTINGS of 1 000 entries")


@case("K06x1", "10 000 SETTINGS from a peer that reads", **H2)
def many_settings(lane):
    with flood(lane) as connection:
        sent = repeat(connection, 10_000, lambda n: frames.settings((frames.MAX_FRAME_SIZE, 16_384 + n % 2)))
        over_or_served(lane, connection, "10 000 SETTINGS", sent)


def over_or_served(lane, connection, what, sent):
    """Closed, or the next request on that connection is served at once."""
    connection.until(lambda: connection.over, 0.05)
    if connection.over:
        return
    canary = lane.canary()
    started = time.monotonic()
    number = max(connection.streams, default=-1) + 2
    connection._next = number + number % 2 * 0
    connection.start(Request(canary))
    answer = connection.answer(1.0)
    if answer is None and connection.over:
        return
    lane.good(answer, canary, "the request behind %s" % what)
    check(time.monotonic() - started <= 1.0, "the request behind %s took %.1f s" % (what, time.monotonic() - started))


@case("K07.1", "100 000 PRIORITY frames", **H2)
def priorities(lane):
    with flood(lane) as connection:
        sent = repeat(connection, 100_000, lambda n: frames.priority(2 * n + 1, 0), 1_000)
        over_or_served(lane, connection, "100 000 PRIORITY", sent)


@case("K07x1", "100 000 PRIORITY that build a chain", **H2)
def priority_chain(lane):
    with flood(lane) as connection:
        sent = repeat(connection, 100_000, lambda n: frames.priority(2 * n + 3, 2 * n + 1, exclusive=True), 1_000)
        over_or_served(lane, connection, "a chain of PRIORITY", sent)


@case("K07x2", "100 000 unknown frames, WINDOW_UPDATE of 1, PING from a peer that reads", **H2)
def odd_frames(lane):
    for what, make in (
        ("unknown frames", lambda n: frames.frame(0x42, 0, 0, b"x")),
        ("WINDOW_UPDATE of 1", lambda n: frames.window_update(0, 1)),
        ("PING", lambda n: frames.ping()),
    ):
        with flood(lane) as connection:
            sent = repeat(connection, 30_000, make, 1_000)
            over_or_served(lane, connection, what, sent)


@case("K08", "INITIAL_WINDOW_SIZE 0, then 100 GETs of 4 MB answers", **BOTH_BACKENDS)
def no_window(lane):
    taken, size = [], 4 << 20
    piece = b"y" * 65_536

    def part(call):
        if call.version == "h1":
            # Only what the proxy takes is the question, not what our kernel keeps.
            call.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        call.start(length=size)
        sent = 0
        while sent < size and (now := call.pour(piece, 0.5)):
            sent += now
        taken.append(sent)
        call.gone(3.0)
        if call.version == "h1":
            call.close()

    connection = lane.connect(settings=[(frames.INITIAL_WINDOW_SIZE, 0)])
    connection.settled()
    with lane.burden():
        for _ in range(100):
            connection.start(Request(lane.canary(part)))
        lane.backend.wait(lambda: len(taken) == 100, 6.0)
    connection.close()
    check(len(taken) == 100, "only %d of 100 came upstream" % len(taken))
    check(max(taken) < 1 << 20, "%d bytes of an answer were taken from the backend" % max(taken))
    lane.fresh_canary()


@case("K08x1", "a window that opens a byte at a time", **H2)
def tiny_window(lane):
    """1 000 WINDOW_UPDATE of 1: served as told, without a storm of tiny frames that costs others."""
    canary = lane.canary(lambda call: call.answer(body=b"z" * 5_000))
    with flood(lane, settings=[(frames.INITIAL_WINDOW_SIZE, 0)]) as connection:
        connection.start(Request(canary))
        connection.head(1.0)
        stream = connection._reader()
        for _ in range(1_000):
            connection.send(frames.window_update(stream.number, 1))
            connection.receive(0)
        connection.until(lambda: stream.answer.body.length >= 1_000 or connection.over, 1.0)
        check(connection.over or stream.answer.body.length == 1_000, "%d of 1 000 bytes came" % stream.answer.body.length)


@case("K09", "a 4 KB field put into the HPACK table, then named 16 000 times by index", **H2)
def bomb(lane):
    value = b"v" * (4_096 - 32 - 8)
    with flood(lane) as connection:
        first = head_block(lane, lane.canary()) + literal(b"x-bomb00", value, WITH_INDEXING)
        connection.send(frames.headers(connection.stream(wait=False).number, first, True))
        connection.ponged()
        named = head_block(lane, "bomb") + indexed(62) * 16_000
        stream = connection.stream(wait=False)
        connection.send(frames.head(stream.number, named, True))
        said = lambda: stream.answer.complete or connection.reset_code(stream) is not None or connection.over
        check(connection.until(said, 1.0), "neither 431, nor a reset, nor GOAWAY")
        check(not stream.answer.complete or stream.answer.status in (400, 431), "answered with %s" % stream.answer.status)
    seen = [r for r in lane.backend.requests if r.canary() == "bomb"]
    check(not seen, "U=%d instead of U=0" % len(seen))


@case("K09x1", "header lists above the limits: 10 000 fields, 100 KB, a name of 100 KB", **H2)
def large_lists(lane):
    for what, more in (
        ("10 000 fields", [(b"x", b"y")] * 10_000), ("100 KB", [(b"x", b"y" * 100_000)]), ("a long name", [(b"x" * 100_000, b"y")]),
        ("150 fields", [(b"x-%d" % n, b"y") for n in range(150)]), ("33 KB", [(b"x-%d" % n, b"y" * 1_000) for n in range(34)]),
        ("cookie crumbs", [(b"cookie", b"a=b")] * 5_000),
    ):  # fmt: skip
        canary = lane.canary()
        with flood(lane) as connection:
            fields = request_fields(Request(canary), connection.scheme) + more
            stream = connection.open(fields, wait=False)
            said = lambda: stream.answer.complete or connection.reset_code(stream) is not None or connection.over
            check(connection.until(said, 1.0), "%s: neither 431, nor a reset, nor GOAWAY" % what)
            if stream.answer.complete:
                check(stream.answer.status in (400, 431), "%s: answered with %s" % (what, stream.answer.status))
                lane.warm(connection)
        check(not lane.backend.of(canary), "%s: U=1 instead of U=0" % what)


@case("K11.1", "table size update above SETTINGS", **H2)
def table_too_large(lane):
    with flood(lane) as connection:
        connection.send(frames.headers(1, table_size(1 << 20) + head_block(lane), True))
        must_be_over(connection, 1, 1, "a table size of 1 MB", codes=(frames.COMPRESSION_ERROR,))
        check(connection.goaways, "closed without GOAWAY COMPRESSION_ERROR")


@case("K11x1", "header blocks that cannot be decoded", **H2)
def undecodable(lane):
    good = head_block(lane)
    for what, raw in (
        ("index 0", good + b"\x80"), ("an index that is not there", good + b"\xff\x80\x01"), ("cut in a name", good + b"\x40\x05ab"),
        ("an integer without end", good + b"\xff" * 12), ("table size behind a field", good + b"\x20"),
        ("a string longer than the block", good + b"\x40\x7f\xff\xff\xff\x07"), ("broken Huffman", good + b"\x40\x81\x00\x00"),
    ):  # fmt: skip
        with flood(lane, watched=False) as connection:
            connection.send(frames.headers(1, raw, True))
            must_be_over(connection, 1, 1, what, codes=(frames.COMPRESSION_ERROR,))


@case("K12", "one stream more than advertised", **BOTH_BACKENDS)
def one_too_many(lane):
    release = threading.Event()

    def part(call):
        release.wait(5)
        call.answer()

    connection = lane.connect()
    connection.settled()
    limit = connection.peer_settings.get(frames.MAX_CONCURRENT_STREAMS)
    check(limit, "no limit of streams is advertised")
    canaries = [lane.canary(part) for _ in range(limit)]
    streams = [connection.open(request_fields(Request(c), connection.scheme)) for c in canaries]
    there = lane.backend.wait(lambda: all(lane.backend.of(c) for c in (canaries[0], canaries[-1])), 2.0)
    extra = [connection.open(request_fields(Request(lane.canary(part)), connection.scheme), wait=False) for _ in range(3)]
    for one in extra:
        connection.until(lambda: connection.reset_code(one) is not None or connection.over, 1.0)
        code = connection.reset_code(one)
        release.set() if code is None else None
        check(code in (frames.REFUSED_STREAM, frames.PROTOCOL_ERROR), "%s for a stream too many; client saw %s" % (
            code, excerpt(connection.log[-200:])))  # fmt: skip
    check(there, "not all %d streams came upstream" % limit)
    release.set()
    for canary, stream in zip(canaries, streams):
        lane.good(connection.answer_on(stream, 2.0), canary, "one of %d streams" % limit)
    lane.warm(connection)
    connection.close()
    lane.fresh_canary()


@case("K12x1", "a slot is free only when the backend has really ended", **H2)
def slots_are_real(lane):
    """The backend holds on to cancelled requests; what it holds at once stays below the limit."""
    inside, most = [], []

    def part(call):
        inside.append(call)
        most.append(len(inside))
        time.sleep(0.3)
        inside.remove(call)
        call.close()

    connection = lane.connect()
    connection.settled()
    raw = head_block(lane, lane.canary(part))
    for n in range(400):
        connection.send(frames.headers(2 * n + 1, raw, True) + frames.rst_stream(2 * n + 1))
        connection.receive(0)
        if n % 20 == 0:
            connection.receive_for(0.01)
    connection.close()
    check(max(most, default=0) <= STREAM_LIMIT + 128, "%d requests held by the backend at once" % max(most, default=0))
    lane.backend.wait(lambda: not inside, 3.0)
    lane.fresh_canary()


@case("K13", "no SETTINGS ACK", SLOW, 60, **H2)
def no_ack(lane):
    connection = lane.connect()
    connection.acks_settings = False
    lane.warm(connection)
    started = time.monotonic()
    connection.until(lambda: connection.goaways or connection.ended, 20.5)
    took = time.monotonic() - started
    check(connection.goaways, "no GOAWAY within %.0f s%s" % (took, ", but a close" if connection.ended else ""))
    code = connection.goaways[-1][1]
    check(code == frames.SETTINGS_TIMEOUT, "GOAWAY %s" % frames.error_name(code))
    connection.close()


@case("K14x1", "a connection that says nothing behind its preface", SLOW, 60, **H2)
def preface_only(lane):
    """Half a preface is a head that does not end."""
    for raw in (frames.PREFACE[:10], frames.PREFACE):
        connection = lane.connect(preface=False)
        connection.send(raw)
        limit = lane.proxy.timers.limit if raw != frames.PREFACE else 20.5
        connection.until(lambda: connection.goaways or connection.ended, limit + 1)
        check(connection.goaways or connection.ended, "%d bytes of a preface: not closed within %.0f s" % (len(raw), limit))
        connection.close()


@case("K14x2", "20 clients send a HEADERS frame at one byte per second", SLOW, 60, **H2)
def slow_frames(lane):
    """J01 over HTTP/2: the head deadline counts from the frame's first byte."""
    canaries = [lane.canary() for _ in range(20)]
    connections = [lane.connect() for _ in canaries]
    raws = [frames.headers(1, head_block(lane, canary), True) for canary in canaries]
    started, limit, at = time.monotonic(), lane.proxy.timers.limit, 0
    over = lambda c: c.goaways or c.ended
    while not all(map(over, connections)) and time.monotonic() - started < limit + 1:
        for connection, raw in zip(connections, raws):
            if not over(connection):
                connection.send(raw[at : at + 1], 0.1)
        at += 1
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline and not all(map(over, connections)):
            for connection in connections:
                connection.receive(0.01)
    alive = sum(not over(c) for c in connections)
    check(not alive, "%d of 20 are still waiting after %.0f s" % (alive, time.monotonic() - started))
    for connection in connections:
        connection.close()


@case("K14x3", "DATA at one byte per second", SLOW, 60, **BOTH_BACKENDS)
def slow_data(lane):
    """J02 over HTTP/2: 408 by minimum rate, or a reset; the upstream request is aborted."""
    connection, canary = lane.connect(), lane.canary()
    connection.begin(Request(canary, b"POST"), 1000)
    stream = connection._current
    started, limit = time.monotonic(), lane.proxy.timers.limit
    over = lambda: stream.answer.complete or connection.reset_code(stream) is not None or connection.over
    while not over() and time.monotonic() - started < limit + 1:
        connection.write(b"x", 0.5)
        connection.until(over, 1.0)
    check(over(), "still read after %.0f s" % (time.monotonic() - started))
    check(not stream.answer.complete or stream.answer.status == 408, "answered with %s" % stream.answer.status)
    for request in lane.backend.of(canary):
        check(lane.backend.wait_gone(request), "the request was not aborted upstream")
        check(not request.complete, "the request became complete upstream")
    connection.forget(stream)
    if not connection.over:
        lane.warm(connection)
    connection.close()


@case("K15x1", "ten connections that flood at once leave a polite client alone", **H2)
def many_floods(lane):
    with lane.burden():
        connections = [lane.connect() for _ in range(10)]
        for number, connection in enumerate(connections):
            connection.settled()
        for _ in range(30):
            for number, connection in enumerate(connections):
                if connection.over:
                    continue
                kind = number % 3
                raw = (
                    frames.ping() * 200 if kind == 0
                    else b"".join(frames.priority(2 * n + 1) for n in range(200)) if kind == 1
                    else frames.settings((frames.MAX_FRAME_SIZE, 16_384)) * 100
                )  # fmt: skip
                connection.send(raw, 0.2)
                connection.receive(0)
        for connection in connections:
            connection.close()
    lane.fresh_canary()
