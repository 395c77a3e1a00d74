"""J. Slow clients."""

import time

from catalog import RAW, RAW_CLIENT, SLOW, Failed, case, check
from client import H1Connection
from expect import ANSWER_LIMIT, RefusedInBody, Refused, Seen, excerpt
from messages import Request


def refused_with_408(lane, connection, canary, started, statuses=(408,), in_body=False):
    """A refusal by a timer, already received as far as it came."""
    limit = lane.proxy.timers.limit
    seen = Seen(canary, judge_drain=lane.judge_drain)
    seen.answer = connection.answer(ANSWER_LIMIT)
    seen.end = connection.wait_end(1.0)
    seen.extra, seen.client_log = bytes(connection.buffer), bytes(connection.log)
    seen.answered_after = (
        seen.answer.complete_at if seen.answer and seen.answer.complete_at else time.monotonic()
    ) - started
    seen.requests = lane.backend.of(canary)
    for request in seen.requests:
        if not request.complete:
            lane.backend.wait_gone(request)
    problem = (RefusedInBody if in_body else Refused)(*statuses, limit=limit).problem(seen)
    if problem:
        raise Failed("%s; %s" % (problem, seen.raw()))


def drip(lane, connections, raws, polite=True):
    """A byte per second on each connection until all have ended; polite requests meanwhile.

    Stops a second behind the limit: the judge then says that nothing came.
    """
    started = next_drip = time.monotonic()
    sent, slowest = 0, 0.0
    while time.monotonic() - started < lane.proxy.timers.limit + 1:
        if all(c.buffer or c.ended for c in connections):
            break
        if time.monotonic() >= next_drip:
            for connection, raw in zip(connections, raws):
                if sent < len(raw) and not connection.buffer:
                    connection.send(raw[sent : sent + 1], 0.1)
            sent, next_drip = sent + 1, next_drip + 1.0
        if polite:
            asked = time.monotonic()
            canary = lane.canary()
            lane.good(lane.ask(Request(canary)), canary, "a polite request")
            slowest = max(slowest, time.monotonic() - asked)
        for connection in connections:
            connection.receive(0.001)
        time.sleep(0.02)
    check(slowest <= 1.0, "a polite request took %.1f s" % slowest)
    return started


@case("J01", "20 clients send one head byte per second", SLOW, 60, **RAW)
def slow_heads(lane):
    canaries = [lane.canary() for _ in range(20)]
    connections = [lane.connect() for _ in canaries]
    started = drip(lane, connections, [Request(c).h1() for c in canaries])
    for connection, canary in zip(connections, canaries):
        refused_with_408(lane, connection, canary, started)
        connection.close()


@case("J01x1", "the second head of a connection at one byte per second", SLOW, 60, **RAW)
def slow_second_head(lane):
    connection, canary = lane.connect(), lane.canary()
    lane.warm(connection)
    started = drip(lane, [connection], [Request(canary).h1()], polite=False)
    refused_with_408(lane, connection, canary, started)
    connection.close()


@case("J01x2", "a head that stops before its last byte", SLOW, 60, **RAW)
def unfinished_head(lane):
    connection, canary = lane.connect(), lane.canary()
    raw = Request(canary).h1()
    connection.send(raw[:-1])
    started = drip(lane, [connection], [b""], polite=False)
    refused_with_408(lane, connection, canary, started)
    connection.close()


@case("J01x3", "a PROXY line at one byte per second", SLOW, 60, **RAW)
def slow_preface(lane):
    connection, canary = H1Connection(lane.proxy.proxied_address), lane.canary()
    started = drip(
        lane, [connection], [b"PROXY TCP4 9.8.7.6 127.0.0.1 1111 80\r\n" + Request(canary).h1()], polite=False
    )
    check(connection.wait_end(1.0), "not closed within %.0f s" % (time.monotonic() - started))
    check(not lane.backend.of(canary), "U=1 instead of U=0")
    connection.close()


@case("J02", "body at one byte per second", SLOW, 60, **RAW_CLIENT)
def slow_body(lane):
    connection, canary = lane.connect(), lane.canary()
    connection.expect(b"POST")
    connection.send(Request(canary, b"POST").h1_head(1000))
    started = drip(lane, [connection], [b"x" * 1000], polite=False)
    refused_with_408(lane, connection, canary, started, in_body=True)
    connection.close()


@case("J02x1", "chunked body at one chunk of a byte per second", SLOW, 60, **RAW_CLIENT)
def slow_chunks(lane):
    connection, canary = lane.connect(), lane.canary()
    connection.expect(b"POST")
    connection.send(Request(canary, b"POST", chunked=True).h1_head())
    started = time.monotonic()
    while (
        not connection.buffer
        and not connection.ended
        and time.monotonic() - started < lane.proxy.timers.limit + 1
    ):
        connection.send(b"1\r\nx\r\n", 0.1)
        connection.until(lambda: connection.buffer, 1.0)
    refused_with_408(lane, connection, canary, started, in_body=True)
    connection.close()


@case("J02x2", "a body above the minimum rate is never cut", SLOW, 60)
def steady_body(lane):
    """1 000 bytes per second against a minimum of 500, for twice the grace."""
    canary = lane.canary()
    seconds = 2 * lane.proxy.timers.body_grace + 1
    pieces = int(seconds * 10)
    connection = lane.connect()
    connection.begin(Request(canary, b"POST"), 100 * pieces)
    for _ in range(pieces):
        connection.receive_for(0.1)
        check(connection.write(b"x" * 100) and not connection.unexpected(), "cut: %s" % excerpt(connection.log))
    connection.finish()
    lane.good(connection.answer(1.0), canary, "a steady body")
    connection.close()


@case("J02x3", "a body that comes within the grace is not judged by rate", SLOW, 60)
def short_body(lane):
    canary = lane.canary()
    connection = lane.connect()
    connection.begin(Request(canary, b"POST"), 4)
    for _ in range(4):
        connection.receive_for(lane.proxy.timers.body_grace / 8)
        connection.write(b"x")
    connection.finish()
    lane.good(connection.answer(1.0), canary, "a body of four slow bytes")
    connection.close()
