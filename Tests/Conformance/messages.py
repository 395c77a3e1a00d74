"""How a request is sent: as a value that a protocol writes, or as raw steps.

`Request` says what is asked and knows nothing of frames; a connection writes it
(`h1()` here, `request_fields` of the client beside it). `Steps` are for attacks, where
the bytes themselves are the subject; `h2_equivalent` says what they are over HTTP/2.
"""

import re
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


# The same over HTTP/2.


@dataclass
class Message:
    """A request as field lists and DATA, with the placeholder of the canary in it."""

    fields: list
    body: bytes = None  # None: END_STREAM on the head.
    trailers: list = None

    @property
    def method(self):
        return dict(self.fields).get(b":method", b"GET")


class NoEquivalent(Exception):
    """Why a row of HTTP/1.1 cannot be asked over HTTP/2."""


def h2_equivalent(sent):
    """Raw steps as a `Message`. Only what both versions can say is translated, and nothing is mended."""
    parts = steps(sent)
    cut_off = len(parts) == 2 and isinstance(parts[1], HalfClose)
    if not cut_off and (len(parts) != 1 or not isinstance(parts[0], bytes)):
        raise NoEquivalent("a story of several writes")
    head, end, body = parts[0].partition(CRLF + CRLF)
    if not end:
        raise NoEquivalent("no end of the head, which is a frame's business there")
    line, *lines = head.split(CRLF)
    if b"\r" in head.replace(CRLF, b"") or b"\n" in head.replace(CRLF, b""):
        raise NoEquivalent("line ends, which HTTP/2 does not have")
    match = re.fullmatch(rb"([^ ]+) (.+) HTTP/1\.1", line, re.DOTALL)
    if not match:
        raise NoEquivalent("the form of the request line, which HTTP/2 does not have")
    method, target = match.groups()
    if b"://" in target.split(b"?")[0] and not target.startswith(b"/"):
        raise NoEquivalent("the absolute form, which HTTP/2 does not have")
    if method == b"CONNECT":
        raise NoEquivalent("CONNECT has its own form: L16")
    fields, hosts, chunked = [], [], False
    for one in lines:
        name, colon, value = one.partition(b":")
        lower = name.lower()
        if not colon or not name or name.strip() != name:
            raise NoEquivalent("the form of a field line, which HTTP/2 does not have")
        value = value.strip(b" \t")
        if lower == b"host":
            hosts.append(value)
        elif lower == b"transfer-encoding" and value.lower() == b"chunked" and not chunked:
            chunked = True
        elif lower in (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te"):
            raise NoEquivalent("a field that HTTP/2 forbids: L03, L05")
        else:
            fields.append((lower, value))
    if len(hosts) > 1:
        raise NoEquivalent("two Hosts, of which one would be :authority: L10")
    pseudo = [(b":method", method), (b":scheme", b"http")]
    if hosts:
        pseudo.append((b":authority", hosts[0]))
    fields = pseudo + [(b":path", target)] + fields
    if chunked:
        if any(name == b"content-length" for name, _ in fields):
            raise NoEquivalent("two framings, where HTTP/2 has one")
        body, trailers = _unchunked(body)
        return Message(fields, body, trailers)
    return Message(fields, body if body or cut_off else None)


def _unchunked(raw):
    body = b""
    while True:
        match = re.match(rb"([0-9A-Fa-f]{1,15})(?:;n(?:=v)?)?\r\n", raw)
        if not match:
            raise NoEquivalent("the chunked coding, which HTTP/2 does not have")
        size, raw = int(match[1], 16), raw[match.end() :]
        if size == 0:
            break
        if len(raw) < size + 2 or raw[size : size + 2] != CRLF:
            raise NoEquivalent("the chunked coding, which HTTP/2 does not have")
        body, raw = body + raw[:size], raw[size + 2 :]
    trailers = []
    while not raw.startswith(CRLF):
        line, end, raw = raw.partition(CRLF)
        name, colon, value = line.partition(b":" if not line.startswith(b":") else b": ")
        if not end or not colon or b"\n" in line or name.strip() != name:
            raise NoEquivalent("the form of a trailer, which HTTP/2 does not have")
        if name.lower() == b"content-length":
            raise NoEquivalent("a trailer that no field list may have: L17")
        trailers.append((name.lower(), value.strip()))
    if raw != CRLF:
        raise NoEquivalent("bytes behind the last chunk, which HTTP/2 does not have")
    return body, trailers or None
