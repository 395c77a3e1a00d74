"""The recording backend: keeps every byte, counts every request, plays a part.

One thread per upstream connection, so that a part ("answer the head, wait, then
reset") reads from top to bottom. Parts are chosen by the request's canary; a
request without a part is answered with its own canary.
"""

import socket
import threading
import time

import wire
from endpoint import Endpoint

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


class Call:
    """One request under way, in the hands of its part."""

    def __init__(self, backend, connection, request):
        self.backend = backend
        self.connection = connection
        self.request = request
        self.canary = request.canary() or "none"

    # Canonical answers: what an h2 backend will offer as well.

    def answer(self, status=200, fields=(), body=None):
        """A whole answer with the canary and a length."""
        if body is None:
            body = b"canary=%s\n" % self.canary.encode()
        head = self._head(status, list(fields) + [(b"Content-Length", b"%d" % len(body))])
        self.send(head if self.request.method == b"HEAD" else head + body)

    def start(self, status=200, fields=((b"Content-Type", b"text/event-stream"),)):
        """The head of a streamed answer."""
        return self.send(self._head(status, list(fields) + [(b"Transfer-Encoding", b"chunked")]))

    def piece(self, data):
        return self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def finish(self):
        return self.send(b"0\r\n\r\n")

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


class Backend:
    """Listens on a free port of 127.0.0.1 until `stop`."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listener.settimeout(0.2)
        self.port = self.listener.getsockname()[1]
        self.requests = []  # Every Recorded, in order of its first byte.
        self.connections = []
        self._parts = {}
        self._changed = threading.Condition()
        self._stopping = False
        threading.Thread(target=self._accept, daemon=True).start()

    # What the cases ask.

    def play(self, canary, part, at_head=False):
        """Gives the request with this canary a part. `at_head`: before its body is read."""
        self._parts[canary] = (part, at_head)

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
        self._stopping = True
        self.listener.close()
        for connection in list(self.connections):
            connection.half_close()

    # The machinery.

    def read_on(self, connection, condition, timeout):
        """Receives and records until the condition holds, the end or the timeout."""
        deadline = time.monotonic() + timeout
        while not condition() and not connection.ended:
            left = deadline - time.monotonic()
            if left <= 0 or self._stopping:
                return
            if connection.receive(min(left, 0.5)):
                self._record(connection)

    def _accept(self):
        while not self._stopping:
            try:
                sock, _ = self.listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            connection = UpstreamConnection(sock, len(self.connections))
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        served = 0
        try:
            while not self._stopping:
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
            self._notify()

    def _answer(self, connection, request):
        part, at_head = self._parts.get(request.canary(), (Call.answer, False))
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
        self._notify()

    def _notify(self):
        with self._changed:
            self._changed.notify_all()


def is_probe(request):
    return (request.target or b"").split(b"?")[0] in PROBES and request.canary() is None
