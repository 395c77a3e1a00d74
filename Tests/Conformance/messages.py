"""How a request is sent: as a value that a protocol writes, or as raw steps.

`Request` says what is asked and knows nothing of frames; a connection writes it
(`h1()` here, an h2 writer beside it later). `Steps` are for attacks, where the
bytes themselves are the subject.
"""

from dataclasses import dataclass, field

CRLF = b"\r\n"
# Replaced when the bytes are sent, by a canary of the same length: lengths and chunk sizes that
# were counted with the placeholder stay right.
CANARY = b"@-CANARY--@"
CANARY_LINE = b"X-Canary: " + CANARY + CRLF
TAIL = b"Host: a\r\n" + CANARY_LINE + CRLF  # `tail` of the table.


@dataclass
class Request:
    """A well-formed request. `body` None: no body, and no framing field."""

    canary: str
    method: bytes = b"GET"
    target: bytes = b"/"
    fields: list = field(default_factory=list)
    body: bytes = None
    chunked: bool = False
    host: bytes = b"a"

    def h1(self):
        head = self.h1_head()
        if self.body is None:
            return head
        return head + (chunk(self.body) + chunk(b"") if self.chunked else self.body)

    def h1_head(self, length=None):
        lines = [
            b"%s %s HTTP/1.1" % (self.method, self.target),
            b"Host: " + self.host,
            b"X-Canary: " + self.canary.encode(),
        ]
        lines += [b"%s: %s" % pair for pair in self.fields]
        if self.chunked:
            lines.append(b"Transfer-Encoding: chunked")
        elif length is not None or self.body is not None:
            lines.append(b"Content-Length: %d" % (len(self.body) if length is None else length))
        return CRLF.join(lines) + CRLF + CRLF


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class HalfClose:
    """The client's FIN."""


def steps(sent):
    """Bytes, or a list of bytes, Pause and HalfClose, as a list."""
    return [sent] if isinstance(sent, (bytes, bytearray)) else list(sent)


# Builders of raw requests. The canary stands before the fields under test, so that a
# proxy that stops reading at the odd field still knows whose request it was.


def head(line, *fields, host=b"Host: a\r\n"):
    return line + CRLF + host + CANARY_LINE + b"".join(f + CRLF for f in fields) + CRLF


def get(*fields, target=b"/", version=b"HTTP/1.1"):
    return head(b"GET %s %s" % (target, version), *fields)


def post(*fields, body=b"", version=b"HTTP/1.1", target=b"/"):
    return head(b"POST %s %s" % (target, version), *fields) + body


def evil(canary):
    """A request that must never be seen upstream."""
    return b"GET /evil HTTP/1.1\r\nHost: a\r\nX-Canary: evil-%s\r\n\r\n" % canary
