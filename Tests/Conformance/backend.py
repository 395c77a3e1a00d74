"""The recording backend: keeps every byte, counts every request, plays a part.

One thread per upstream connection (per stream over HTTP/2), so that a part ("answer
the head, wait, then reset") reads from top to bottom. Parts are chosen by the
request's canary; a request without a part is answered with its own canary.
"""

import contextlib
import select
import socket
import threading
import time

import compression
import frames
import wire
from endpoint import Endpoint
from session import CONNECTION_WINDOW, OWN_WINDOW, Session
from wire2 import H2Recorded

# What a fleet's health checks ask for. They carry no canary and are not judged.
PROBES = (
    b"/health",
    b"/healthz",
    b"/ping",
    b"/metrics",
    b"/v1/models",
    b"/v2/health/ready",
    b"/v2/health/live",
    b"/server_info",
    b"/get_server_info",
    b"/props",
    b"/slots",
    b"/load",
)


class UpstreamConnection(Endpoint):
    """A connection that the proxy opened, and the requests that came on it."""

    def __init__(self, sock, number):
        super().__init__(sock)
        self.number = number
        self.requests = []


class UpstreamStream:
    """A stream that the proxy opened. To the cases it is a connection that carries one request."""

    def __init__(self, session, number):
        self.session = session
        self.number = number
        self.requests = []
        self.buffer = bytearray()
        self.ended = None  # As of a connection: RST when the proxy reset the stream.
        self.ended_at = None
        self.peer_ended = None

    @property
    def member(self):
        return self.session.member

    def send(self, data, timeout=10.0):
        return self.session.send_data(self.number, data, False, timeout)

    def half_close(self):
        """We want no more of the request."""
        self.session.send(frames.rst_stream(self.number, frames.NO_ERROR))

    def close(self):
        """The whole connection: what a backend that dies does."""
        self.session.shut()
        self.end("closed")

    def reset(self, code=frames.INTERNAL_ERROR):
        self.session.send(frames.rst_stream(self.number, code))
        self.end("closed")

    def end(self, how):
        if self.ended is None:
            self.ended_at = time.monotonic()
            self.ended = how
        if how != "closed" and self.peer_ended is None:
            self.peer_ended = how


class UpstreamSession(Session):
    """A connection of HTTP/2 that the proxy opened. One thread reads; parts write from theirs."""

    def __init__(self, backend, sock, number, member):
        super().__init__(sock)
        self.backend = backend
        self.number = number
        self.member = member
        self.streams = {}
        self.calls = 0  # Streams that came, all in all.
        self._writing = threading.RLock()
        self._prefaced = False

    def run(self):
        self.send(frames.settings((frames.INITIAL_WINDOW_SIZE, OWN_WINDOW), *self.backend.settings))
        self.send(frames.window_update(0, CONNECTION_WINDOW))
        while not self.ended and not self.backend.stopping:
            self.receive(0.5)
        for stream in list(self.streams.values()):
            stream.end(self.peer_ended or "closed")
        self.shut()
        self.sock.close()
        self.backend.notify()

    def take_frames(self):
        if not self._prefaced:
            if len(self.buffer) < len(frames.PREFACE):
                return
            if not self.buffer.startswith(frames.PREFACE):
                self.defects.append("not HTTP/2: %r" % bytes(self.buffer[:40]))
                self.shut()
                return
            del self.buffer[: len(frames.PREFACE)]
            self._prefaced = True
        super().take_frames()
        self.backend.notify()

    def on_head(self, number, fields, ends):
        now = time.monotonic()
        if stream := self.streams.get(number):
            stream.requests[0].trail(fields, ends, now)
            return
        stream = self.streams[number] = UpstreamStream(self, number)
        self.calls += 1
        self.flow(number)
        request = H2Recorded(stream, fields, ends, now)
        stream.requests.append(request)
        self.backend.requests.append(request)
        if self.backend.on_stream:
            self.backend.on_stream(stream)
        threading.Thread(target=self._answer, args=(request,), daemon=True).start()

    def on_body(self, number, content, ends):
        if stream := self.streams.get(number):
            stream.requests[0].take(content, ends, time.monotonic())

    def on_reset(self, flow):
        if stream := self.streams.get(flow.number):
            stream.end("RST")

    def _answer(self, request):
        part, at_head = self.backend.part(request)
        if not at_head:
            self.backend.wait(lambda: request.complete or request.connection.ended, 3600)
            if not request.complete:
                return
        with contextlib.suppress(OSError):
            part(H2Call(self.backend, request.connection, request))
        self.backend.notify()

    # Parts write while the reader reads: sending must not read, and a frame goes out whole.

    def send(self, data, timeout=5.0):
        with self._writing:
            view, sent = memoryview(bytes(data)), 0
            deadline = time.monotonic() + timeout
            while sent < len(view) and self.ended not in ("RST", "closed"):
                try:
                    sent += self.sock.send(view[sent:])
                except BlockingIOError:
                    if not self._poll(select.POLLOUT, deadline - time.monotonic()):
                        # Half a frame would spoil the connection for the other streams.
                        if not sent or time.monotonic() > deadline + 10:
                            break
                except OSError:
                    break
            return sent

    def wait_for(self, condition, timeout):
        return timeout > 0 and self.backend.wait(lambda: condition() or self.ended, timeout) and not self.ended

    def send_data(self, stream, content, end=False, timeout=5.0):
        # The windows are one number for all parts; a big body goes out in turns.
        sent, deadline = 0, time.monotonic() + timeout
        while True:
            with self._writing:
                flow = self.flow(stream)
                size = min(self.room(flow), len(content) - sent)
                last = sent + size == len(content)
                if flow.reset is not None or self.ended in ("RST", "closed"):
                    return sent
                if size or (last and end):
                    self.window -= size
                    flow.window -= size
                    raw = frames.data(stream, content[sent : sent + size], last and end)
                    if self.send(raw, max(0.01, deadline - time.monotonic())) < len(raw):
                        return sent
                sent += size
            if last:
                return sent
            if not size and not self.wait_for(
                lambda: self.room(flow) > 0 or flow.reset is not None, deadline - time.monotonic()
            ):
                return sent

    def shut(self):
        """FIN, and no more; the reader may be in the middle of it."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._end("closed")


class Call:
    """One request under way, in the hands of its part."""

    version = "h1"

    def __init__(self, backend, connection, request):
        self.backend = backend
        self.connection = connection
        self.request = request
        self.canary = request.canary() or "none"

    # Canonical answers: the same over both versions.

    def answer(self, status=200, fields=(), body=None):
        """A whole answer with the canary and a length."""
        if body is None:
            body = b"canary=%s\n" % self.canary.encode()
        head = self._head(status, list(fields) + [(b"Content-Length", b"%d" % len(body))])
        self.send(head if self.request.method == b"HEAD" else head + body)

    def interim(self, status=103, fields=((b"Link", b"</a.css>"),)):
        """An answer before the answer."""
        lines = [b"HTTP/1.1 %d Interim" % status] + [b"%s: %s" % pair for pair in fields]
        return self.send(b"\r\n".join(lines) + b"\r\n\r\n")

    def start(self, status=200, fields=((b"Content-Type", b"text/event-stream"),), length=None):
        """The head of a streamed answer, with a length or without one."""
        self._chunked = length is None
        framing = (b"Transfer-Encoding", b"chunked") if length is None else (b"Content-Length", b"%d" % length)
        return self.send(self._head(status, list(fields) + [framing]))

    def piece(self, data):
        return self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def pour(self, data, timeout):
        """As much of an answer with a length as is taken in that time; bytes."""
        return self.connection.send(data, timeout)

    def finish(self, trailers=()):
        return self.send(b"0\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in trailers) + b"\r\n")

    def refuse_more(self):
        """The answer has been sent; the rest of the request is not wanted."""
        self.connection.half_close()
        self.gone(2.0)
        self.close()

    # Bytes, time and ends.

    def send(self, data, timeout=10.0):
        """Sends as it is; False when the proxy did not take all of it."""
        return self.connection.send(data, timeout) == len(data)

    def read_body(self, timeout=10.0):
        """Waits for the whole request; False when it was cut off."""
        self.backend.read_on(self.connection, lambda: self.request.complete, timeout)
        return self.request.complete

    def gone(self, timeout):
        """Waits up to `timeout` for the proxy to leave; says whether it did."""
        self.backend.read_on(self.connection, lambda: self.connection.ended, timeout)
        return self.connection.ended is not None

    def close(self):
        self.connection.close()

    def reset(self):
        self.connection.reset()

    def _head(self, status, fields):
        lines = [b"HTTP/1.1 %d Canned" % status, b"X-Canary: " + self.canary.encode()]
        return b"\r\n".join(lines + [b"%s: %s" % pair for pair in fields]) + b"\r\n\r\n"


class H2Call(Call):
    """One stream under way."""

    version = "h2"

    @property
    def session(self):
        return self.connection.session

    def answer(self, status=200, fields=(), body=None):
        if body is None:
            body = b"canary=%s\n" % self.canary.encode()
        fields = list(fields) + [(b"Content-Length", b"%d" % len(body))]
        without = self.request.method == b"HEAD" or not body
        self._head_frame(status, fields, without)
        if not without:
            self.session.send_data(self.connection.number, body, True)

    def interim(self, status=103, fields=((b"Link", b"</a.css>"),)):
        return self.headers([(b":status", b"%d" % status), *fields])

    def start(self, status=200, fields=((b"Content-Type", b"text/event-stream"),), length=None):
        return self._head_frame(status, list(fields) + ([(b"Content-Length", b"%d" % length)] if length is not None else []))

    def piece(self, data):
        return self.send(data)

    def finish(self, trailers=()):
        if trailers:
            return self.headers(trailers, end=True)
        self.session.send_data(self.connection.number, b"", True)
        return True

    def refuse_more(self):
        self.connection.half_close()

    def reset(self, code=frames.INTERNAL_ERROR):
        self.connection.reset(code)

    def headers(self, fields, end=False):
        """A field list as it is, but for the case of names."""
        block = compression.block([(name.lower(), value) for name, value in fields])
        return self.frame(frames.head(self.connection.number, block, end))

    def frame(self, raw):
        """Bytes on the connection; False when the proxy did not take all of them."""
        whole = self.session.send(raw) == len(raw)
        if self.request.complete and frames.ends_stream(raw):
            self.connection.end("closed")  # Both sides have ended it: there is nothing left to abort.
        return whole

    def read_body(self, timeout=10.0):
        self.backend.wait(lambda: self.request.complete or self.connection.ended, timeout)
        return self.request.complete

    def gone(self, timeout):
        self.backend.wait(lambda: self.connection.ended, timeout)
        return self.connection.ended is not None

    def _head_frame(self, status, fields, end=False):
        return self.headers([(b":status", b"%d" % status), (b"x-canary", self.canary.encode()), *fields], end)


class Backend:
    """Listens on a free port of 127.0.0.1 until `stop`; on further ones for more members."""

    def __init__(self, version="h1", members=4):
        self.version = version
        self.requests = []  # Every Recorded, in order of its first byte.
        self.connections = []
        self.settings = ()  # Of HTTP/2, for connections to come.
        self.on_stream = None  # Called with every stream of HTTP/2, by its reader.
        self._parts = {}
        self._changed = threading.Condition()
        self.stopping = False
        self.listeners = [socket.create_server(("127.0.0.1", 0), backlog=4096) for _ in range(1 + members)]
        self.port, *self.members = [listener.getsockname()[1] for listener in self.listeners]
        for member, listener in enumerate(self.listeners):
            listener.settimeout(0.2)
            threading.Thread(target=self._accept, args=(listener, member), daemon=True).start()

    # What the cases ask.

    def play(self, canary, part, at_head=False):
        """Gives the request with this canary a part. `at_head`: before its body is read."""
        self._parts[canary] = (part, at_head)

    def part(self, request):
        return self._parts.get(request.canary(), (Call.answer if self.version == "h1" else H2Call.answer, False))

    def mark(self):
        return len(self.requests)

    def since(self, mark):
        """Requests whose first byte came after the mark, probes left out."""
        return [r for r in self.requests[mark:] if not is_probe(r)]

    def of(self, canary):
        return [r for r in list(self.requests) if r.canary() == canary]

    def wait(self, condition, timeout=1.0):
        """Waits until `condition()` holds; it is asked again whenever something happens."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.02))
        return True

    def wait_gone(self, request, timeout=1.0):
        """Waits until the connection of a request has ended."""
        return self.wait(lambda: request.connection.ended, timeout)

    def stop(self):
        self.stopping = True
        for listener in self.listeners:
            listener.close()
        for connection in list(self.connections):
            connection.half_close()

    # The machinery.

    def read_on(self, connection, condition, timeout):
        """Receives and records until the condition holds, the end or the timeout."""
        deadline = time.monotonic() + timeout
        while not condition() and not connection.ended:
            left = deadline - time.monotonic()
            if left <= 0 or self.stopping:
                return
            if connection.receive(min(left, 0.5)):
                self._record(connection)

    def _accept(self, listener, member):
        while not self.stopping:
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if self.version == "h2":
                session = UpstreamSession(self, sock, len(self.connections), member)
                self.connections.append(session)
                threading.Thread(target=session.run, daemon=True).start()
                continue
            connection = UpstreamConnection(sock, len(self.connections))
            connection.member = member
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        served = 0
        try:
            while not self.stopping:
                self.read_on(
                    connection,
                    lambda: len(connection.requests) > served
                    and connection.requests[served].head_at is not None,
                    3600,
                )
                if len(connection.requests) <= served or connection.requests[served].head_at is None:
                    break
                request = connection.requests[served]
                self._answer(connection, request)
                if not connection.ended:
                    self.read_on(connection, lambda: request.complete or request.unreadable, 3600)
                if request.unreadable:
                    connection.close()
                served += 1
                self._record(connection)
                if connection.ended:
                    break
        finally:
            if connection.ended != "closed":
                connection.close()
            self.notify()

    def _answer(self, connection, request):
        part, at_head = self.part(request)
        if not at_head:
            self.read_on(connection, lambda: request.complete or request.unreadable, 3600)
            if not request.complete:
                return
        part(Call(self, connection, request))

    def _record(self, connection):
        """Hands buffered bytes to the request they belong to."""
        now = time.monotonic()
        while connection.buffer:
            last = connection.requests[-1] if connection.requests else None
            if last is None or last.complete:
                if last is not None and getattr(last, "tunnel", False):
                    break  # A tunnel's bytes belong to its part.
                last = wire.Recorded(connection)
                connection.requests.append(last)
                self.requests.append(last)
            before = len(connection.buffer)
            last.feed(connection.buffer, now)
            if len(connection.buffer) == before:
                break
        self.notify()

    def notify(self):
        with self._changed:
            self._changed.notify_all()


def is_probe(request):
    return (request.target or b"").split(b"?")[0] in PROBES and request.canary() is None
