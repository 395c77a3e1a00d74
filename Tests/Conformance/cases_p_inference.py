"""P. Inference traffic.

These cases use only what any protocol version offers: start, head, body, answer,
leaving. P02.3, P03.4 and P04.3 are P02.1x2, P03.2 and P04.1 of a client that speaks HTTP/2.
"""

import hashlib
import os
import re
import selectors
import socket
import threading
import time

import settings
from cases_h_connection import left_inside
from catalog import QUIET, SLOW, Failed, case, check
from client import H2Connection
from expect import excerpt
from messages import Request

# P01.1: 24 streams, an event every 25 ms, 80 events: two seconds are 1 920 samples, so
# that the p99 rests on 19 of them.
STREAMS, INTERVAL, EVENTS = 24, 0.025, 80
EVENT = re.compile(rb"data: (\d+) (\d+)\n\n")


class Pump(threading.Thread):
    """Writes timed events into many streams from one thread, evenly spread over the interval."""

    def __init__(self):
        super().__init__(daemon=True)
        self.calls = []
        self.done = threading.Event()

    def part(self, call):
        call.start()
        self.calls.append(call)
        if len(self.calls) == STREAMS:
            self.start()
        self.done.wait(20)
        call.finish()

    def run(self):
        begin = time.monotonic() + 0.05
        for tick in range(EVENTS * STREAMS):
            due = begin + tick * INTERVAL / STREAMS
            if (left := due - time.monotonic()) > 0:
                time.sleep(left)
            data = b"data: %d %d\n\n" % (tick // STREAMS, time.monotonic_ns())
            self.calls[tick % STREAMS].piece(data)
        self.done.set()


def timed_streams(lane, address, version):
    """Delays of all events in seconds, and the share of reads that held two events or more."""
    pump = Pump()
    canaries = [lane.canary(pump.part) for _ in range(STREAMS)]
    if version == "h2":
        return timed_frames(address, canaries)
    chooser = selectors.DefaultSelector()
    for canary in canaries:
        sock = socket.create_connection(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(Request(canary).h1())
        chooser.register(sock, selectors.EVENT_READ, bytearray())
    delays, reads, crowded = [], 0, 0
    deadline = time.monotonic() + EVENTS * INTERVAL + 10
    while len(delays) < EVENTS * STREAMS and time.monotonic() < deadline:
        for key, _ in chooser.select(1.0):
            data = key.fileobj.recv(65536)
            now = time.monotonic_ns()
            if not data:
                chooser.unregister(key.fileobj)
                continue
            key.data.extend(data)
            found = list(EVENT.finditer(key.data))
            if found:
                reads += 1
                crowded += len(found) > 1
                delays += [(now - int(m.group(2))) / 1e9 for m in found]
                del key.data[: found[-1].end()]
    for key in list(chooser.get_map().values()):
        key.fileobj.close()
    check(len(delays) == EVENTS * STREAMS, "%d of %d events arrived" % (len(delays), EVENTS * STREAMS))
    return sorted(delays), crowded / reads


def timed_frames(address, canaries):
    """The same on one connection, where two events of different streams may well come together."""
    connection = H2Connection(address)
    streams = []
    for canary in canaries:
        connection.start(Request(canary))
        streams.append(connection._readers[-1])
    delays, events, crowded = [], 0, 0
    deadline = time.monotonic() + EVENTS * INTERVAL + 10
    while events < EVENTS * STREAMS and time.monotonic() < deadline:
        if not connection.receive(1.0):
            continue
        now = time.monotonic_ns()
        for stream in streams:
            found = EVENT.findall(bytes(stream.answer.body))
            if found:
                crowded += len(found) > 1
                events += len(found)
                delays += [(now - int(sent)) / 1e9 for _, sent in found]
                stream.answer.body.kept.clear()
    connection.close()
    check(events == EVENTS * STREAMS, "%d of %d events arrived" % (events, EVENTS * STREAMS))
    return sorted(delays), crowded / events


@case("P01.1", "24 event streams, an event every 25 ms", QUIET, 60)
def event_streams(lane):
    """Up to three attempts: other work on the machine can only make a proxy look slower."""
    for attempt in range(1, 4):
        direct, _ = timed_streams(lane, ("127.0.0.1", lane.backend.port), lane.backend.version)
        through, crowded = timed_streams(lane, lane.proxy.address_for(lane.client), lane.version)
        at = int(len(direct) * 0.99)
        numbers = "attempt %d: p99 %.2f ms, direct %.2f ms; %.2f %% of reads hold two events" % (
            attempt,
            through[at] * 1000,
            direct[at] * 1000,
            crowded * 100,
        )
        if through[at] - direct[at] <= 0.005 and crowded <= 0.01:
            return numbers
    raise Failed("more than 5 ms added, or events held together: " + numbers)


@case("P01.3", "head of a streamed answer, first event a second later")
def head_at_once(lane):
    def part(call):
        call.start()
        call.gone(1.0)
        call.piece(b"data: 1\n\n")
        call.finish()

    canary = lane.canary(part)
    connection = lane.connect()
    started = time.monotonic()
    connection.start(Request(canary))
    head = connection.head(2.5)
    took = time.monotonic() - started
    check(head is not None, "no head")
    check(took < 0.3, "the head came only after %.0f ms" % (took * 1000))
    lane.good(connection.answer(2.0), canary)
    connection.close()


@case("P02.1", "backend silent before the head (a minute with --slow)", SLOW, 90)
def silent_before_head(lane):
    silence = settings.silence_seconds

    def part(call):
        if not call.gone(silence):
            call.answer()

    for method in (b"GET",):
        silent(lane, part, Request(lane.canary(part), method), silence)


@case("P02.1x1", "the same with a POST", SLOW, 90)
def silent_post(lane):
    silence = settings.silence_seconds

    def part(call):
        if not call.gone(silence):
            call.answer()

    silent(lane, part, Request(lane.canary(part), b"POST", body=b"hello"), silence)


@case("P02.1x2", "backend silent between the head and the first token", SLOW, 90, clients=("h1",), why="P02.3")
@case("P02.3", "the same over HTTP/2", SLOW, 90, clients=("h2",), why="P02.1x2")
def silent_before_token(lane):
    silence = settings.silence_seconds

    def part(call):
        call.start()
        if not call.gone(silence):
            call.piece(b"data: 1\n\n")
            call.finish()

    silent(lane, part, Request(lane.canary(part)), silence)


def silent(lane, part, request, silence):
    answer = lane.ask(request, timeout=silence + 3)
    lane.good(answer, request.canary, "the patient request")
    check(
        len(lane.backend.of(request.canary)) == 1, "executed %d times" % len(lane.backend.of(request.canary))
    )


@case("P03.1", "client closes inside a stream", QUIET)
def closes_inside_stream(lane):
    for way in ("close",) * 5 + tuple(w for w in lane.ways_to_leave if w == "cancel") * 3:
        left_inside(lane, way)


@case("P03.2", "client closes before any answer", QUIET, clients=("h1",), why="P03.4")
@case("P03.4", "client closes, or resets the stream, before any answer", QUIET, clients=("h2",), why="P03.2")
def closes_before_answer(lane):
    for way in lane.ways_to_leave:
        for method, body in ((b"GET", None), (b"POST", b"hello")):
            canary = lane.canary(lambda call: call.gone(2.0))
            connection = lane.connect()
            connection.start(Request(canary, method, body=body))
            check(
                lane.backend.wait(lambda: any(r.complete for r in lane.backend.of(canary))),
                "the request did not arrive",
            )
            time.sleep(0.03)
            left_at = time.monotonic()
            getattr(connection, way)()
            request = lane.upstream(canary)
            what = "%s, %s" % (method.decode(), way)
            check(
                lane.backend.wait(lambda: request.connection.peer_ended, 1.5),
                "%s: upstream not closed within a second" % what,
            )
            late = request.connection.ended_at - left_at
            check(late <= 0.1, "%s: upstream closed only after %.0f ms" % (what, late * 1000))
    lane.fresh_canary()


@case("P04.1", "backend closes after token 3", clients=("h1",), why="P04.3")
@case("P04.3", "the same over HTTP/2", clients=("h2",), why="P04.1")
def closes_after_token(lane):
    tokens = b"".join(b"data: %d\n\n" % n for n in range(3))
    for way in ("close", "reset"):

        def part(call):
            call.start()
            for n in range(3):
                call.piece(b"data: %d\n\n" % n)
                time.sleep(0.02)
            getattr(call, way)()

        canary = lane.canary(part)
        connection = lane.connect()
        connection.start(Request(canary, b"POST", body=b"{}"))
        answer = connection.answer(1.5)
        check(
            answer is not None and bytes(answer.body).startswith(tokens),
            "%s: not all tokens delivered; client saw %s" % (way, excerpt(connection.log)),
        )
        lane.own_canary(answer, canary)
        rest = bytes(answer.body)[len(tokens) :]
        check(
            b"error" in rest or lane.cut(connection, answer),
            "%s: looks like a clean end; client saw %s" % (way, excerpt(connection.log)),
        )
        check(
            len(lane.backend.of(canary)) == 1, "%s: executed %d times" % (way, len(lane.backend.of(canary)))
        )
        connection.close()
        lane.fresh_canary()


@case("P08.1", "1 100 concurrent streams", QUIET, 60)
def many_streams(lane):
    count = 1100
    release = threading.Event()
    inside = []

    def part(call):
        call.start()
        call.piece(b"data: first\n\n")
        inside.append(call.canary)
        release.wait(25)
        call.piece(b"data: last\n\n")
        call.finish()

    canaries = [lane.canary(part) for _ in range(count)]
    connections = []
    each = 1 if lane.version == "h1" else 100  # Streams of a connection.
    try:
        for number, canary in enumerate(canaries):
            connection = lane.connect(timeout=5) if number % each == 0 else connection
            connection.start(Request(canary))
            connections.append(connection)
        together = lane.backend.wait(lambda: len(inside) >= count, 15.0)
        at_once = len(inside)
    finally:
        release.set()
    check(together, "only %d of %d in flight at once" % (at_once, count))
    for canary, connection in zip(canaries, connections):
        answer = connection.answer(10.0)
        lane.good(answer, canary, "one of %d streams" % count)
        check(
            bytes(answer.body) == b"data: first\n\ndata: last\n\n",
            "the body is %s" % excerpt(bytes(answer.body)),
        )
    for connection in connections:
        connection.close()
    check(len(inside) == count, "executed %d times" % len(inside))
    lane.fresh_canary()


@case("P07", "100 streams of one HTTP/2 connection, four equal backends", clients=("h2",), why="one stream a connection")
def spread(lane):
    """All under way at once, by the proxy's default policy."""
    release, inside = threading.Event(), []

    def part(call):
        inside.append(call.request.connection.member)
        release.wait(10)
        call.answer()

    connection = lane.connect()
    canaries = [lane.canary(part) for _ in range(100)]
    for canary in canaries:
        connection.start(Request(canary, target=b"/spread"))
    together = lane.backend.wait(lambda: len(inside) >= 100, 3.0)
    release.set()
    check(together, "only %d of 100 came upstream at once" % len(inside))
    for canary in canaries:
        lane.good(connection.answer(2.0), canary, "one of 100 streams")
    connection.close()
    loads = [inside.count(member) for member in range(1, 5)]
    check(sum(loads) == 100, "executed %d times" % sum(loads))
    check(min(loads) and max(loads) / min(loads) <= 1.3, "loads of %s" % loads)


BIG = 20 << 20


@case("P09.1", "POST of 20 MB")
def big_post(lane):
    body = os.urandom(1 << 20) * (BIG >> 20)
    wanted = hashlib.sha256(body).hexdigest()
    for chunked in (False, True):
        request = Request(lane.canary(), b"POST", chunked=chunked)
        connection = lane.connect()
        with lane.burden():
            connection.begin(request, None if chunked else BIG)
            for at in range(0, BIG, 65_536):
                check(connection.write(body[at : at + 65_536]), "stuck after %d of %d bytes" % (at, BIG))
            connection.finish()
            lane.good(connection.answer(10.0), request.canary, "a POST of 20 MB")
        connection.close()
        recorded = lane.upstream(request.canary)
        check(not recorded.defects, "not canonical upstream: %s" % recorded.defects)
        check(
            recorded.body.length == BIG and recorded.body.sha256() == wanted,
            "%d bytes arrived, not the ones sent" % recorded.body.length,
        )


@case("P09.1x1", "POST of 64 MB to a backend that does not read: memory stays bounded")
def big_post_unread(lane):
    def part(call):
        if call.version == "h2":
            call.session.opens_windows = False
        time.sleep(1.5)
        call.reset()
        if call.version == "h2":
            call.session.opens_windows = True

    canary = lane.canary(part, at_head=True)
    connection = lane.connect()
    with lane.burden():
        connection.begin(Request(canary, b"POST"), 64 << 20)
        sent = connection.pour(b"x" * (64 << 20), 1.2)
        check(sent < 48 << 20, "%d MB were taken for a backend that reads none" % (sent >> 20))
    connection.reset()
    lane.backend.wait(lambda: lane.backend.of(canary)[0].connection.ended, 3.0)
    lane.fresh_canary()


@case("P09.1x2", "answer of 64 MB to a client that does not read: memory stays bounded")
def big_answer_unread(lane):
    taken = []

    def part(call):
        call.start(length=64 << 20)
        taken.append(call.pour(b"y" * (64 << 20), 1.2))
        call.gone(2.0)
        if call.version == "h1":
            call.close()

    canary = lane.canary(part)
    connection = lane.connect()
    with lane.burden():
        connection.start(Request(canary))
        lane.backend.wait(lambda: taken, 4.0)
    check(taken and taken[0] < 48 << 20, "%s bytes were taken for a client that reads none" % taken)
    connection.reset()
    lane.fresh_canary()


@case("P09.2", "a POST whose client pauses")
def pausing_post(lane):
    for chunked in (False, True):
        request = Request(lane.canary(), b"POST", chunked=chunked)
        connection = lane.connect()
        connection.begin(request, None if chunked else 2000)
        half = b"x" * 1000
        connection.write(half)
        what = "chunked" if chunked else "length"
        there = lane.backend.wait(
            lambda: any(r.body.length == 1000 for r in lane.backend.of(request.canary)), 0.5
        )
        check(there, "%s: the first half was not forwarded during the pause" % what)
        connection.receive_for(0.5)
        connection.write(half)
        connection.finish()
        lane.good(connection.answer(1.0), request.canary, what)
        recorded = lane.upstream(request.canary)
        check(recorded.body.length == 2000, "%s: %d bytes arrived" % (what, recorded.body.length))
        connection.close()


@case("P11.1", "event stream asked for with Accept-Encoding: gzip, br, zstd")
def no_coding(lane):
    events = b"".join(b"data: token %d\n\n" % n for n in range(200))

    def part(call):
        call.start()
        for n in range(200):
            call.piece(b"data: token %d\n\n" % n)
        call.finish()

    canary = lane.canary(part)
    answer = lane.ask(
        Request(canary, fields=[(b"Accept-Encoding", b"gzip, br, zstd"), (b"Accept", b"text/event-stream")])
    )
    lane.good(answer, canary)
    check(not answer.all(b"content-encoding"), "Content-Encoding: %r" % answer.all(b"content-encoding"))
    check(bytes(answer.body) == events, "the bytes differ: %s" % excerpt(bytes(answer.body)))
