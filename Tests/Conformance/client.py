"""The client side: an HTTP/1.1 connection that can also misbehave.

Cases about inference and backends use only `start`, `head`, `body_until`,
`answer` and the ways of leaving; these are what an HTTP/2 connection will have
to offer. Cases about bytes use `play`.
"""

import socket
import time

import messages
import wire
from endpoint import Endpoint


class H1Connection(Endpoint):
    """A client connection with the answer it is waiting for."""

    def __init__(self, address, timeout=2.0):
        super().__init__(socket.create_connection(address, timeout=timeout))
        self._readers = []  # One per request under way, oldest first.

    # Well-formed requests.

    def start(self, request):
        """Sends a whole request; its answer is the next but those under way."""
        self.expect(request.method)
        return self.send(request.h1())

    def expect(self, method=b"GET"):
        """Says that an answer will come to bytes sent otherwise."""
        self._readers.append(wire.AnswerReader(method))

    def head(self, timeout=1.0):
        """The answer under way once its head is there, or None."""
        reader = self._reader()
        self._read(reader, lambda: reader.answer.status is not None, timeout)
        return reader.answer if reader.answer.status is not None else None

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

    def receive_for(self, seconds):
        """Lets time pass without missing what comes meanwhile."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self.ended:
                time.sleep(left)
            else:
                self.receive(left)

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
