"""R. Leaving and reloading under load: every stream is answered, or refused in a way that says it is safe to repeat."""

import signal
import threading
import time

import frames
from catalog import OWN, case, check
from client import request_fields
from expect import excerpt
from messages import Request

H2 = dict(clients=("h2", "h2s"), why="GOAWAY is its subject")


class Load(threading.Thread):
    """A client that keeps a few streams under way, on a new connection when the old one says goodbye."""

    def __init__(self, lane, part, width=8):
        super().__init__(daemon=True)
        self.lane, self.part, self.width = lane, part, width
        self.stopping = threading.Event()
        self.answered = self.repeatable = 0
        self.lost = []

    def run(self):
        while not self.stopping.is_set():
            try:
                connection = self.lane.connect()
            except OSError:
                return  # Nobody takes connections any more: nothing was sent.
            self._use(connection)
            connection.close()

    def _use(self, connection):
        under_way, sent = {}, 0
        while not connection.ended:
            leaving = self.stopping.is_set() or connection.goaways
            if leaving and not under_way:
                return
            while not leaving and len(under_way) < self.width:
                canary = self.lane.canary(self.part)
                body = sent % 2 == 1
                request = Request(canary, b"POST" if body else b"GET", body=b"hello" if body else None)
                fields = request_fields(request, connection.scheme, 5 if body else None)
                stream = connection.open(fields, request.method, not body, wait=False)
                if body:
                    connection.send_data(stream.number, b"hello", True, 1.0)
                under_way[stream.number] = canary, stream, time.monotonic()
                sent += 1
            connection.receive(0.05)
            self._settle(connection, under_way)
        self._settle(connection, under_way)
        for number, (canary, stream, _) in under_way.items():
            self.lost.append("%s: the connection ended under it (%s)" % (canary, connection.ended))

    def _settle(self, connection, under_way):
        last = min((last for last, _, _ in connection.goaways), default=1 << 31)
        for number, (canary, stream, started) in list(under_way.items()):
            code = connection.reset_code(stream)
            if stream.answer.complete:
                ours = stream.answer.canary() == canary
                self.answered += 1
                if stream.answer.status != 200 or not ours:
                    self.lost.append("%s: %s with the canary %s" % (canary, stream.answer.status, stream.answer.canary()))
            elif number > last or code == frames.REFUSED_STREAM:
                self.repeatable += 1
                if self.lane.backend.of(canary):
                    self.lost.append("%s: said to be safe to repeat, and was executed" % canary)
            elif code is not None:
                self.lost.append("%s: RST_STREAM %s" % (canary, frames.error_name(code)))
            elif time.monotonic() - started > 6:
                self.lost.append("%s: no answer; client saw %s" % (canary, excerpt(connection.log[-200:])))
            else:
                continue
            del under_way[number]
            connection.forget(stream)


def slow_answer(call):
    """Some answers are under way whenever one looks."""
    time.sleep(0.02 + (hash(call.canary) % 20) / 100)
    call.answer()


def under_load(lane, act, clients=12, after=0.6):
    loads = [Load(lane, slow_answer) for _ in range(clients)]
    for load in loads:
        load.start()
    time.sleep(after)
    result = act(loads)
    for load in loads:
        load.stopping.set()
    for load in loads:
        load.join(8)
    check(not any(load.is_alive() for load in loads), "a client still waits for an answer")
    lost = [one for load in loads for one in load.lost]
    answered = sum(load.answered for load in loads)
    check(not lost, lambda: "%d of %d lost: %s" % (len(lost), answered, " | ".join(lost[:4])))
    check(answered > 5 * clients, "the harness failed: only %d answers" % answered)
    return "%d answered, %d said to be safe to repeat%s" % (answered, sum(load.repeatable for load in loads), result or "")


@case("R01x1", "SIGTERM under load", OWN, 40, **H2)
def terminated(lane):
    def act(loads):
        lane.proxy.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        while lane.proxy.alive() and time.monotonic() - started < 8:
            time.sleep(0.02)
        check(not lane.proxy.alive(), "still there 8 s after SIGTERM")
        check(lane.proxy.process.returncode == 0, "ended with %s" % lane.proxy.process.returncode)
        return "; gone after %.2f s" % (time.monotonic() - started)

    return under_load(lane, act)


@case("R01x2", "SIGTERM while a long stream is under way: it ends well, new streams are refused safely", OWN, 40, **H2)
def long_stream(lane):
    release = threading.Event()

    def part(call):
        call.start()
        call.piece(b"first")
        release.wait(6)
        call.piece(b"last")
        call.finish()

    canary, connection = lane.canary(part), lane.connect()
    connection.start(Request(canary, b"POST", body=b"hello"))
    check(connection.head(1.0), "no head")
    lane.proxy.process.send_signal(signal.SIGTERM)
    check(connection.until(lambda: connection.goaways, 2.0), "no GOAWAY within 2 s")
    code = connection.goaways[-1][1]
    check(code == frames.NO_ERROR, "GOAWAY %s" % frames.error_name(code))
    connection.until(lambda: connection.goaways[-1][0] < 2**31 - 1, 1.5)
    late = lane.canary()
    stream = connection.open(request_fields(Request(late), connection.scheme), wait=False)
    connection.until(lambda: connection.reset_code(stream) is not None or stream.answer.complete, 0.5)
    last = min(one[0] for one in connection.goaways)
    refused = stream.number > last or connection.reset_code(stream) == frames.REFUSED_STREAM
    check(refused or (stream.answer.complete and stream.answer.canary() == late), "a late stream was neither answered nor refused safely")
    check(not refused or not lane.backend.of(late), "a refused stream was executed")
    release.set()
    answer = connection.answer(2.0)
    lane.good(answer, canary, "the long stream")
    check(bytes(answer.body) == b"firstlast", "it got %s" % excerpt(bytes(answer.body)))
    check(connection.wait_end(2.0), "the connection stayed open behind its last stream")
    connection.close()


@case("R02x1", "five reloads under load", OWN, 40, **H2)
def reloaded(lane):
    if lane.proxy.name != "portico":
        return "others reload otherwise"

    def act(loads):
        for _ in range(5):
            lane.proxy.process.send_signal(signal.SIGHUP)
            time.sleep(0.25)
        check(lane.proxy.alive(), "ended with %s" % lane.proxy.process.returncode)
        check(sum(load.repeatable for load in loads) == 0, "a reload ended connections")

    return under_load(lane, act)


@case("R03x1", "backends that say GOAWAY all the time under load", OWN, 40, clients=("h1", "h2"), backends=("h2",),
      why="HTTP/2 of backends is its subject")  # fmt: skip
def backends_leave(lane):
    """Each connection serves 20 streams, says goodbye, and lets go when they are done."""

    def came(stream):
        session = stream.session
        if session.calls == 20:
            session.last = stream.number
            session.send(frames.goaway(stream.number))

    def part(call):
        time.sleep(0.01)
        if call.connection.number <= getattr(call.session, "last", 1 << 31):
            call.answer()

    lane.backend.on_stream = came
    if lane.version == "h1":
        problems, answered = [], []

        def client():
            connection = lane.connect()
            for n in range(40):
                canary = lane.canary(part)
                try:
                    lane.good(lane.ask(Request(canary, b"POST", body=b"hello"), connection, 3.0), canary)
                    answered.append(canary)
                except Exception as failed:
                    problems.append(str(failed))
                    return
            connection.close()

        threads = [threading.Thread(target=client, daemon=True) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        check(not problems, "%d answered; %s" % (len(answered), " | ".join(problems[:4])))
        check(len(answered) == 12 * 40, "%d of 480 answered" % len(answered))
        return "%d answered" % len(answered)
    loads = [Load(lane, part, 2) for _ in range(6)]  # Fewer than a connection takes.
    for load in loads:
        load.start()
    time.sleep(1.5)
    for load in loads:
        load.stopping.set()
    for load in loads:
        load.join(8)
    lost = [one for load in loads for one in load.lost]
    check(not lost, lambda: "%d lost: %s" % (len(lost), " | ".join(lost[:4])))
    return "%d answered" % sum(load.answered for load in loads)
