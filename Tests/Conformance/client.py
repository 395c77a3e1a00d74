"""The client side: connections of HTTP/1.1 and HTTP/2 that can also misbehave.

Cases about inference and backends use only what both offer: `start`, `begin`, `write` and
`finish`, `head`, `body_until`, `answer` and the ways of leaving. Cases about bytes use
`play` (HTTP/1.1) or frames (HTTP/2).
"""

import socket
import time

import compression
import frames
import messages
import wire
from endpoint import Endpoint
from session import CONNECTION_WINDOW, OWN_WINDOW, Session
from wire2 import H2Answer


class Waiting:
    """What both kinds of connection know about answers under way."""

    def receive_for(self, seconds):
        """Lets time pass without missing what comes meanwhile."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self.ended:
                time.sleep(left)
            else:
                self.receive(left)

    def head(self, timeout=1.0):
        """The answer under way once its head is there, or None."""
        reader = self._reader()
        self._read(reader, lambda: reader.answer.status is not None, timeout)
        return reader.answer if reader.answer.status is not None else None

    def interim(self, timeout=1.0):
        """The interim answers before the one under way, once there is one."""
        reader = self._reader()
        self._read(reader, lambda: reader.answer.interim or reader.answer.status, timeout)
        return reader.answer.interim

    def body_until(self, condition, timeout):
        """Reads on until `condition(body so far)` holds; says whether it does."""
        reader = self._reader()
        return self._read(reader, lambda: condition(bytes(reader.answer.body)), timeout)

    def answer(self, timeout=1.0):
        """The answer, whole or as far as it came. None: nothing of it came."""
        reader = self._reader()
        self._read(reader, lambda: reader.answer.complete, timeout)
        self._readers.remove(reader)
        answer = reader.answer
        return None if answer.status is None and not answer.broken and not answer.interim else answer


class H1Connection(Waiting, Endpoint):
    """A client connection with the answer it is waiting for."""

    version = "h1"
    ways_to_leave = ("close", "reset")

    def __init__(self, address, timeout=2.0, tls=False):
        super().__init__(socket.create_connection(address, timeout=timeout))
        if tls:
            self.secure(["http/1.1"])
        self._readers = []  # One per request under way, oldest first.

    # Well-formed requests.

    def start(self, request):
        """Sends a whole request; its answer is the next but those under way."""
        self.expect(request.method)
        return self.send(request.h1())

    def begin(self, request, length=None):
        """Sends the head of a request whose body comes piece by piece."""
        self.expect(request.method)
        self._chunked = request.chunked
        return self.send(request.h1_head(length))

    def write(self, piece, timeout=5.0):
        """A piece of the body; False when not all of it was taken."""
        raw = messages.chunk(piece) if self._chunked else piece
        return self.send(raw, timeout) == len(raw)

    def pour(self, piece, timeout):
        """As much of a body with a length as is taken in that time; bytes."""
        return self.send(piece, timeout)

    def finish(self, timeout=5.0):
        return self.send(b"0\r\n\r\n", timeout) == 5 if self._chunked else True

    def expect(self, method=b"GET"):
        """Says that an answer will come to bytes sent otherwise."""
        self._readers.append(wire.AnswerReader(method))

    def was_cut(self, answer, timeout=1.0):
        """Waits until the end of an answer that broke off; False: the client is left waiting."""
        return bool(self.wait_end(timeout))

    def unexpected(self):
        """What came and belongs to no answer."""
        return bytes(self.buffer)

    # Bytes as such.

    def play(self, steps, canary, bytewise=False):
        """Performs raw steps, with the canary filled in."""
        for step in steps:
            if isinstance(step, messages.Pause):
                self.receive_for(step.seconds)
            elif isinstance(step, messages.HalfClose):
                self.half_close()
            else:
                data = bytes(step).replace(messages.CANARY, canary.encode())
                pieces = [data[i : i + 1] for i in range(len(data))] if bytewise else [data]
                for piece in pieces:
                    if self.send(piece) < len(piece):
                        return

    # Helpers.

    def _reader(self):
        if not self._readers:
            self.expect()
        return self._readers[0]

    def _read(self, reader, condition, timeout):
        def met():
            reader.feed(self.buffer, self.ended, time.monotonic())
            return condition() or reader.answer.broken

        return self.until(met, timeout) and not reader.answer.broken


class ClientStream:
    """A request under way on its stream."""

    def __init__(self, number, method):
        self.number = number
        self.answer = H2Answer(method)
        self.over = False  # Nothing more will come: ended, reset, or the connection is gone.


class H2Connection(Waiting, Session):
    """A client connection of HTTP/2.

    `start` opens a stream per request; `answer` takes the oldest one's, as if the
    connection spoke HTTP/1.1. Streams by number are for cases about HTTP/2.
    """

    version = "h2"
    ways_to_leave = ("close", "reset", "cancel")

    def __init__(self, address, timeout=2.0, tls=False, settings=(), preface=True, credit=True, before=b""):
        """`before` goes out ahead of everything, such as a PROXY line."""
        super().__init__(socket.create_connection(address, timeout=timeout))
        if tls and self.secure(["h2"]) != "h2":
            raise ConnectionError("ALPN did not choose h2")
        self.scheme = b"https" if tls else b"http"
        self.streams = {}
        self._readers = []
        self._next = 1
        self._current = None
        if preface:
            pairs = dict([(frames.ENABLE_PUSH, 0), (frames.INITIAL_WINDOW_SIZE, OWN_WINDOW), *settings])
            first = before + frames.PREFACE + frames.settings(*pairs.items())
            self.send(first + (frames.window_update(0, CONNECTION_WINDOW) if credit else b""))

    # Well-formed requests.

    def start(self, request):
        """Sends a whole request on a new stream."""
        if request.body is None:
            return self.open(request_fields(request, self.scheme), request.method).number
        self.begin(request, None if request.chunked else len(request.body))
        return self.send_data(self._current.number, request.body, True)

    def begin(self, request, length=None):
        fields = request_fields(request, self.scheme, None if request.chunked else length)
        self._current = self.open(fields, request.method, end=False)
        return self._current.number

    def write(self, piece, timeout=5.0):
        return self.send_data(self._current.number, piece, False, timeout) == len(piece)

    def pour(self, piece, timeout):
        return self.send_data(self._current.number, piece, False, timeout)

    def finish(self, timeout=5.0):
        self.send_data(self._current.number, b"", True, timeout)
        return True

    def was_cut(self, answer, timeout=1.0):
        """Waits until the end of an answer that broke off; False: the client is left waiting."""
        return self.until(lambda: answer.reset is not None or self.ended, timeout)

    def unexpected(self):
        return "; ".join(self.defects).encode()

    def cancel(self):
        """Leaves the oldest request under way, by RST_STREAM."""
        self.send(frames.rst_stream(self._reader().number))

    # Streams.

    def open(self, fields, method=b"GET", end=True, wait=True):
        """HEADERS on a new stream; its answer is the next but those under way."""
        stream = self.stream(method, wait)
        self.send(frames.head(stream.number, compression.block(fields), end))
        return stream

    def stream(self, method=b"GET", wait=True):
        """The next stream, on which nothing has been sent."""
        one = ClientStream(self._next, method)
        self._next += 2
        self.streams[one.number] = one
        self.flow(one.number)
        if wait:
            self._readers.append(one)
        return one

    def answer_on(self, stream, timeout=1.0):
        """The answer on a stream, whole or as far as it came; None: nothing of it."""
        self._read(stream, lambda: stream.answer.complete, timeout)
        if stream in self._readers:
            self._readers.remove(stream)
        return None if stream.answer.nothing else stream.answer

    def reset_code(self, stream):
        return self.flows[stream.number].reset

    def forget(self, stream):
        self.streams.pop(stream.number, None)
        self.flows.pop(stream.number, None)
        if stream in self._readers:
            self._readers.remove(stream)

    def settled(self, timeout=1.0):
        """Waits for the other side's SETTINGS and for its word that it has ours."""
        return self.until(lambda: self.settings_seen and self.settings_acked, timeout)

    def ponged(self, timeout=1.0, data=b"harness!"):
        """A round trip: everything sent before has been looked at. False when the connection is over."""
        before = len(self.pongs)
        self.send(frames.ping(data))
        return self.until(lambda: len(self.pongs) > before or self.goaways, timeout) and len(self.pongs) > before

    @property
    def over(self):
        """The other side has said that this connection is lost, or has closed it."""
        return bool(self.ended) or any(code != frames.NO_ERROR for _, code, _ in self.goaways)

    # What comes.

    def on_head(self, number, fields, ends):
        if stream := self.streams.get(number):
            stream.answer.take_head(fields, ends)

    def on_body(self, number, content, ends):
        if stream := self.streams.get(number):
            stream.answer.take_body(content, ends)

    def on_reset(self, flow):
        if (stream := self.streams.get(flow.number)) and not stream.answer.complete:
            stream.answer.reset = flow.reset

    # Helpers.

    def _reader(self):
        if not self._readers:
            self._readers.append(ClientStream(0, b"GET"))
        return self._readers[0]

    def _read(self, stream, condition, timeout):
        def met():
            return condition() or stream.answer.broken or stream.answer.reset is not None

        return self.until(met, timeout) and condition()


def request_fields(request, scheme=b"http", length=None):
    """A well-formed request as a field list."""
    fields = [
        (b":method", request.method),
        (b":scheme", scheme),
        (b":authority", request.host),
        (b":path", request.target),
        (b"x-canary", request.canary.encode()),
    ]
    fields += [(name.lower(), value) for name, value in request.fields]
    if length is not None:
        fields.append((b"content-length", b"%d" % length))
    return fields
