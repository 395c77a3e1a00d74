"""HTTP/2 frames as bytes, both ways. Nothing here refuses to write what is wrong."""

import struct
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
NAMES = (
    "DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY",
    "WINDOW_UPDATE", "CONTINUATION",
)  # fmt: skip

ACK = END_STREAM = 0x01
END_HEADERS = 0x04
PADDED = 0x08
WITH_PRIORITY = 0x20

# Settings.
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 5, 6

ERRORS = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
    "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
    "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip
(
    NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED,
    FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM,
    INADEQUATE_SECURITY, HTTP_1_1_REQUIRED,
) = range(14)  # fmt: skip

# What both sides start with.
WINDOW = 65_535
FRAME_SIZE = 16_384


def error_name(code):
    return ERRORS[code] if code < len(ERRORS) else "error 0x%x" % code


@dataclass
class Frame:
    type: int
    flags: int
    stream: int
    payload: bytes

    def __str__(self):
        name = NAMES[self.type] if self.type < len(NAMES) else "type 0x%x" % self.type
        more = ""
        if self.type == RST_STREAM and len(self.payload) == 4:
            more = " " + error_name(self.word())
        elif self.type == GOAWAY and len(self.payload) >= 8:
            more = " %s last=%d %r" % (error_name(self.word(4)), self.word(), self.payload[8:60])
        elif self.type in (SETTINGS, WINDOW_UPDATE) and self.payload:
            more = " " + self.payload[:60].hex()
        elif self.type in (DATA, HEADERS):
            more = " %d bytes" % len(self.payload)
        return "%s(%d)%s%s" % (name, self.stream, " flags=%x" % self.flags if self.flags else "", more)

    def word(self, at=0):
        return struct.unpack_from("!I", self.payload, at)[0]

    @property
    def ack(self):
        return self.flags & ACK

    @property
    def ends(self):
        return self.type in (DATA, HEADERS) and bool(self.flags & END_STREAM)

    def settings(self):
        return list(struct.iter_unpack("!HI", self.payload[: len(self.payload) // 6 * 6]))

    def content(self):
        """The payload without padding and priority."""
        data = self.payload
        if self.type in (DATA, HEADERS, PUSH_PROMISE) and self.flags & PADDED and data:
            data = data[1 : len(data) - data[0]]
        if self.type == HEADERS and self.flags & WITH_PRIORITY:
            data = data[5:]
        return data


def take(buffer):
    """The first frame of a buffer, taken off it; None when it is not whole."""
    if len(buffer) < 9:
        return None
    size = int.from_bytes(buffer[:3], "big")
    if len(buffer) < 9 + size:
        return None
    one = Frame(buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big") & 0x7FFFFFFF, bytes(buffer[9 : 9 + size]))
    del buffer[: 9 + size]
    return one


def ends_stream(raw):
    """Whether these bytes begin with a whole block that ends its stream."""
    at = 0
    while at + 9 <= len(raw) and raw[at + 3] == (HEADERS if at == 0 else CONTINUATION):
        if not raw[4] & END_STREAM:
            return False
        if raw[at + 4] & END_HEADERS:
            return True
        at += 9 + int.from_bytes(raw[at : at + 3], "big")
    return False


# Writing.


def frame(type, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", type, flags, stream) + payload


def settings(*pairs, ack=False):
    return frame(SETTINGS, ACK if ack else 0, 0, b"".join(struct.pack("!HI", *pair) for pair in pairs))


def ping(data=b"\0" * 8, ack=False):
    return frame(PING, ACK if ack else 0, 0, data)


def window_update(stream, size):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack("!I", size))


def rst_stream(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack("!I", code))


def goaway(last, code=NO_ERROR, debug=b""):
    return frame(GOAWAY, 0, 0, struct.pack("!II", last, code) + debug)


def priority(stream, depends=0, weight=255, exclusive=False):
    return frame(PRIORITY, 0, stream, priority_fields(depends, weight, exclusive))


def priority_fields(depends=0, weight=255, exclusive=False):
    return struct.pack("!IB", depends | (0x80000000 if exclusive else 0), weight)


def data(stream, content=b"", end=False):
    return frame(DATA, END_STREAM if end else 0, stream, content)


def headers(stream, block, end=False, end_headers=True, flags=0):
    return frame(HEADERS, (END_STREAM if end else 0) | (END_HEADERS if end_headers else 0) | flags, stream, block)


def continuation(stream, block, end_headers=True):
    return frame(CONTINUATION, END_HEADERS if end_headers else 0, stream, block)


def head(stream, block, end=False, size=FRAME_SIZE):
    """A whole block in as few frames as it needs."""
    pieces = [block[i : i + size] for i in range(0, len(block), size)] or [b""]
    out = headers(stream, pieces[0], end, len(pieces) == 1)
    for number, piece in enumerate(pieces[1:], 2):
        out += continuation(stream, piece, number == len(pieces))
    return out
