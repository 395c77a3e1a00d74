"""O. WebSocket over HTTP/1.1."""

import base64
import hashlib
import os
import struct
import time

from catalog import QUIET, RAW, case, check
from expect import excerpt
from messages import Request

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
SIZES = (1, 2, 125, 126, 127, 1000, 1460, 2048, 4095, 4096)


def upgrade(canary, fields=()):
    return Request(
        canary,
        target=b"/ws",
        fields=[
            (b"Connection", b"Upgrade"),
            (b"Upgrade", b"websocket"),
            (b"Sec-WebSocket-Key", KEY),
            (b"Sec-WebSocket-Version", b"13"),
            *fields,
        ],
    )


def accept(call):
    """Switches protocols; from here on the connection is a tunnel."""
    request = call.request
    request.tunnel = True
    token = base64.b64encode(hashlib.sha1((request.field(b"sec-websocket-key") or b"") + GUID).digest())
    call.send(
        b"HTTP/1.1 101 Switching Protocols\r\nX-Canary: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: %s\r\n\r\n" % (call.canary.encode(), token)
    )


def tunnel(lane, part, early=b"", fields=()):
    """An upgraded connection and its upstream request; `part` plays on after the 101."""

    def whole(call):
        accept(call)
        part(call)
        call.close()

    canary = lane.canary(whole)
    connection = lane.connect()
    connection.expect()
    connection.send(upgrade(canary, fields).h1() + early)
    answer = connection.answer(1.0)
    check(
        answer is not None and answer.status == 101,
        "%s instead of 101; client saw %s" % (answer and answer.status, excerpt(connection.log)),
    )
    lane.own_canary(answer, canary)
    check(
        b"upgrade" in answer.tokens(b"connection") and answer.field(b"upgrade") == b"websocket",
        "the 101 does not name websocket: %s" % excerpt(answer.raw_head),
    )
    check(answer.field(b"sec-websocket-accept"), "the 101 lost Sec-WebSocket-Accept")
    request = lane.upstream(canary)
    check(not request.defects, "not canonical upstream: %s" % request.defects)
    check(
        b"upgrade" in request.tokens(b"connection") and request.field(b"upgrade") == b"websocket",
        "the upgrade went upstream as %s" % excerpt(request.raw_head),
    )
    check(
        request.field(b"sec-websocket-key") == KEY,
        "Sec-WebSocket-Key went upstream as %r" % request.field(b"sec-websocket-key"),
    )
    return connection, request


def frame(payload, masked):
    head = bytes([0x82])
    size = len(payload)
    flag = 0x80 if masked else 0
    head += bytes([flag | size]) if size < 126 else bytes([flag | 126]) + struct.pack("!H", size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


@case("O01.1", "upgrade, then 1 to 4 096 bytes echoed", **RAW)
def echo(lane):
    """The backend answers each frame of the client with its own of the same payload."""
    payloads = [os.urandom(size) for size in SIZES]
    sent = [frame(p, True) for p in payloads]
    received = []

    def part(call):
        buffer = call.connection.buffer
        for one, payload in zip(sent, payloads):
            if not call.connection.until(lambda: len(buffer) >= len(one), 2.0):
                return
            received.append(bytes(buffer[: len(one)]))
            del buffer[: len(one)]
            call.send(frame(payload, False))
        call.gone(2.0)

    connection, _ = tunnel(lane, part)
    for one, payload in zip(sent, payloads):
        connection.send(one)
        back = frame(payload, False)
        check(
            connection.until(lambda: len(connection.buffer) >= len(back), 1.0),
            "no echo of %d bytes within a second" % len(payload),
        )
        check(bytes(connection.buffer[: len(back)]) == back, "the echo of %d bytes differs" % len(payload))
        del connection.buffer[: len(back)]
    check(received == sent, "the backend received other bytes than were sent")
    check(not connection.buffer, "bytes that nobody sent: %s" % excerpt(connection.buffer))
    connection.close()
    lane.fresh_canary()


@case("O01.1x1", "4 MB each way at once", **RAW)
def both_ways(lane):
    out, back = os.urandom(4 << 20), os.urandom(4 << 20)
    result = []

    def part(call):
        sent = call.send(back, 5.0)
        call.connection.until(lambda: len(call.connection.buffer) >= len(out), 5.0)
        result.append((sent, bytes(call.connection.buffer) == out))
        call.gone(2.0)

    connection, _ = tunnel(lane, part)
    connection.send(out, 5.0)
    check(
        connection.until(lambda: len(connection.buffer) >= len(back), 5.0),
        "%d of %d bytes came back" % (len(connection.buffer), len(back)),
    )
    check(bytes(connection.buffer) == back, "the bytes that came back differ")
    check(
        lane.backend.wait(lambda: result, 5.0) and result[0] == (True, True), "the bytes that went out differ"
    )
    connection.close()
    lane.fresh_canary()


@case("O01.4", "client goes away", QUIET, **RAW)
def client_leaves(lane):
    for way in ("close", "reset"):
        connection, request = tunnel(lane, lambda call: call.gone(3.0))
        time.sleep(0.05)
        left_at = time.monotonic()
        getattr(connection, way)()
        check(
            lane.backend.wait(lambda: request.connection.peer_ended, 2.0),
            "%s: the backend never saw it" % way,
        )
        late = request.connection.ended_at - left_at
        check(late <= 0.5, "%s: the backend saw it after %.0f ms" % (way, late * 1000))
    lane.fresh_canary()


@case("O01.5", "backend sends and closes", **RAW)
def backend_closes(lane):
    for size in (10, 200_000):
        data = os.urandom(size)

        def part(call):
            call.send(data)
            call.connection.half_close()
            call.gone(2.0)

        connection, _ = tunnel(lane, part)
        check(
            connection.until(lambda: len(connection.buffer) >= size, 2.0),
            "%d of %d bytes delivered" % (len(connection.buffer), size),
        )
        check(bytes(connection.buffer) == data, "other bytes delivered than were sent")
        check(connection.wait_end(1.0), "the client did not see the end within a second")
        connection.close()
    lane.fresh_canary()


@case("O01.5x1", "backend resets", **RAW)
def backend_resets(lane):
    def part(call):
        call.send(b"hello")
        time.sleep(0.05)
        call.reset()

    connection, _ = tunnel(lane, part)
    check(connection.wait_end(1.0), "the client did not see the end within a second")
    check(bytes(connection.buffer) == b"hello", "delivered %s" % excerpt(connection.buffer))
    connection.close()
    lane.fresh_canary()


@case("O01.6", "client half-closes; the backend sees FIN and answers once more", **RAW)
def half_close(lane):
    def part(call):
        if call.connection.wait_end(2.0) == "FIN":
            time.sleep(0.1)
            call.connection.send(b"last words")

    connection, request = tunnel(lane, part)
    connection.send(b"bye")
    connection.half_close()
    check(
        connection.until(lambda: len(connection.buffer) >= 10, 2.0),
        "the last bytes did not arrive: client saw %s, end %s"
        % (excerpt(connection.buffer), connection.ended),
    )
    check(bytes(connection.buffer) == b"last words", "delivered %s" % excerpt(connection.buffer))
    check(
        bytes(request.connection.buffer) == b"bye", "the backend got %s" % excerpt(request.connection.buffer)
    )
    check(connection.wait_end(1.0), "the client did not see the end within a second")
    connection.close()
    lane.fresh_canary()


@case("O01.8", "client sends bytes right behind its upgrade request", **RAW)
def early_bytes(lane):
    """Until the 101 nobody has agreed that these bytes are not a request."""
    early = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
    before = []

    def part(call):
        call.connection.receive(0.15)
        before.append(bytes(call.connection.buffer))
        before.append(len(call.backend.requests))
        accept(call)
        call.connection.until(lambda: len(call.connection.buffer) >= len(early), 1.0)
        before.append(bytes(call.connection.buffer))
        call.gone(1.0)
        call.close()

    def tunnelled(call):
        call.request.tunnel = True  # So that early bytes stay in sight instead of being parsed.
        part(call)

    canary = lane.canary(tunnelled)
    connection = lane.connect()
    connection.expect()
    connection.send(upgrade(canary).h1() + early)
    answer = connection.answer(1.5)
    check(answer is not None, "no answer")
    if answer.status == 101:
        check(lane.backend.wait(lambda: len(before) == 3, 2.0), "the harness failed: no story")
        check(not before[0], "forwarded before the 101: %s" % excerpt(before[0]))
        check(before[2] == early, "after the 101 came %s" % excerpt(before[2]))
    else:
        check(400 <= answer.status < 600, "%s for an upgrade" % answer.status)
    connection.close()
    lane.fresh_canary()


@case("O01.8x1", "a request right behind an upgrade that the backend declines", **RAW)
def declined(lane):
    """It is an ordinary pipelined request then: its own answer, or a close; never a part of the first."""
    canary, second = lane.canary(lambda call: call.answer(403)), lane.canary()
    connection = lane.connect()
    connection.expect()
    connection.expect()
    connection.send(upgrade(canary).h1() + Request(second).h1())
    answer = connection.answer(1.0)
    check(
        answer is not None and answer.complete and 400 <= answer.status < 600,
        "%s" % (answer and answer.status),
    )
    lane.own_canary(answer, canary)
    for request in lane.backend.of(canary):
        check(not bytes(request.body), "the second request became the body of the first")
    answer = connection.answer(1.0)
    if answer is None:
        check(connection.ended, "neither an answer to the second request nor a close")
    elif answer.status == 200:
        lane.good(answer, second)
    connection.close()
    lane.fresh_canary()


@case("O01x1", "an upgrade that the backend declines is an ordinary answer", **RAW)
def declined_plainly(lane):
    for status in (200, 400, 403, 426):
        canary = lane.canary(lambda call: call.answer(status))
        connection = lane.connect()
        connection.start(upgrade(canary))
        answer = connection.answer(1.0)
        check(
            answer is not None and answer.complete and answer.status == status,
            "%s instead of %d" % (answer and answer.status, status),
        )
        lane.own_canary(answer, canary)
        if not connection.ended and not answer.announces_close:
            lane.warm(connection)
        connection.close()
    lane.fresh_canary()
