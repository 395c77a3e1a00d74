"""Field lists of HTTP/2 to the same values that HTTP/1.1 becomes, for judging.

What is asked of a request is the same over both; only what "canonical" means differs.
"""

import re
import time

import wire

LOWER_TOKEN = re.compile(rb"^[!#$%&'*+\-.^_`|~0-9a-z]+$")
HOP_BY_HOP = (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")


def field_defects(fields, pseudo):
    """What RFC 9113, 8.2 and 8.3 forbid in any field list; `pseudo` are those that may stand in it."""
    defects, seen, ordinary = [], set(), False
    for name, value in fields:
        if name.startswith(b":"):
            if ordinary:
                defects.append("%r behind an ordinary field" % name)
            if name not in pseudo or name in seen:
                defects.append("%r %s" % (name, "twice" if name in seen else "does not belong here"))
            seen.add(name)
        else:
            ordinary = True
            if not LOWER_TOKEN.match(name):
                defects.append("field name %r" % name[:80])
            if name in HOP_BY_HOP or (name == b"te" and value.strip().lower() != b"trailers"):
                defects.append("%s: %r belongs to one connection" % (name.decode("latin-1"), value[:80]))
        if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
            defects.append("control byte in field %r: %r" % (name[:80], value[:80]))
        if value != value.strip(b" \t"):
            defects.append("white space around %r: %r" % (name[:80], value[:80]))
    return defects


def rendition(first, fields):
    """A field list as text that the same questions can be asked of."""
    return first + b"\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in fields if not pair[0].startswith(b":")) + b"\r\n"


class H2Recorded(wire.Recorded):
    """A request as it came upstream on a stream."""

    REQUEST = (b":method", b":scheme", b":authority", b":path")

    def __init__(self, connection, fields, ends, now):
        super().__init__(connection)
        self.head_at = now
        self.pseudo = dict(reversed([f for f in fields if f[0].startswith(b":")]))
        self.fields = [f for f in fields if not f[0].startswith(b":")]
        self.defects += field_defects(fields, self.REQUEST)
        self.method, self.target = self.pseudo.get(b":method"), self.pseudo.get(b":path")
        self.version = b"HTTP/2"
        self.raw_head = rendition(b"%s %s HTTP/2" % (self.method or b"?", self.target or b"?"), fields)
        if self.method != b"CONNECT":
            for name in (b":method", b":scheme", b":path"):
                if not self.pseudo.get(name):
                    self.defects.append("%s is missing or empty" % name.decode())
        hosts = self.all(b"host")
        if not self.host:
            self.defects.append("neither :authority nor host")
        if len(hosts) > 1 or (hosts and b":authority" in self.pseudo and hosts[0] != self.pseudo[b":authority"]):
            self.defects.append(":authority %r beside host %r" % (self.pseudo.get(b":authority"), hosts))
        lengths = self.all(b"content-length")
        if len(lengths) > 1 or (lengths and not re.match(rb"^(0|[1-9][0-9]{0,18})$", lengths[0])):
            self.defects.append("content-length %r" % lengths)
            lengths = []
        self._length = int(lengths[0]) if lengths else None
        self.framing = "length" if lengths else None if ends else "stream"
        if ends:
            self.end(now)

    @property
    def host(self):
        authority = self.pseudo.get(b":authority")
        return authority if authority is not None else self.field(b"host")

    @property
    def unreadable(self):
        return False

    def feed(self, buffer, now):
        raise AssertionError("a stream's request is not read from bytes")

    def trail(self, fields, ends, now):
        """A second field list."""
        self.defects += ["trailers: " + d for d in field_defects(fields, ())]
        self.trailers += [b"%s: %s" % pair for pair in fields]
        if not ends:
            self.defects.append("trailers without END_STREAM")
        self.end(now)

    def take(self, content, ends, now):
        self.body.add(content)
        if ends:
            self.end(now)

    def end(self, now):
        if self.method != b"CONNECT" and self._length is not None and self._length != self.body.length:
            self.defects.append("content-length %d with %d bytes of DATA" % (self._length, self.body.length))
        self.complete, self.complete_at = True, now


class H2Answer(wire.Answer):
    """An answer as an HTTP/2 client saw it."""

    def __init__(self, method=b"GET"):
        super().__init__()
        self.method = method
        self.framing = "stream"
        self.version = b"2"
        self.reset = None  # The code, when a reset ended it.
        self.trailer_fields = []

    @property
    def announces_close(self):
        return False  # GOAWAY is the connection's, and no answer's.

    @property
    def nothing(self):
        return self.status is None and not self.interim and not self.broken

    def take_head(self, fields, ends):
        if self.complete:
            self.defects.append("HEADERS behind the end")
            return
        if self.status is not None:
            self.trailer_fields += fields
            self.trailers += [b"%s: %s" % pair for pair in fields]
            self.defects += ["trailers: " + d for d in field_defects(fields, ())]
            if not ends:
                self.defects.append("trailers without END_STREAM")
            self._end()
            return
        self.defects += field_defects(fields, (b":status",))
        status = dict(fields).get(b":status", b"")
        if not re.match(rb"^[1-5][0-9][0-9]$", status):
            self.broken = ":status %r" % status
            return
        ordinary = [f for f in fields if not f[0].startswith(b":")]
        if status[:1] == b"1":
            self.interim.append((int(status), ordinary))
            if ends:
                self.defects.append("an interim answer with END_STREAM")
            if status == b"101":
                self.defects.append("101 over HTTP/2")
            return
        self.status, self.fields, self.head_at = int(status), ordinary, time.monotonic()
        self.raw_head = rendition(b"HTTP/2 " + status, fields)
        if ends:
            self._end()

    def take_body(self, content, ends):
        if self.complete or self.status is None:
            self.defects.append("DATA %s" % ("behind the end" if self.complete else "before the head"))
        self.body.add(content)
        if ends:
            self._end()

    def _end(self):
        if self.status is None:
            self.defects.append("END_STREAM without an answer")
            return
        length = self.field(b"content-length")
        without = self.method == b"HEAD" or self.status in (204, 304)
        if without and self.body.length:
            self.defects.append("a body behind %d to %s" % (self.status, self.method.decode()))
        elif length is not None and not without and (not length.isdigit() or int(length) != self.body.length):
            self.defects.append("content-length %r with %d bytes of DATA" % (length, self.body.length))
        self.complete, self.complete_at = True, time.monotonic()
