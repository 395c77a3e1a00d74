"""HTTP/1.1 bytes to values, for judging.

Two readers: one for what the proxy sends upstream (it notes everything that is
not canonical, because the next server might read that differently) and one for
what it sends to the client. Both are deliberately separate from any library:
the harness has to see what a lenient parser would forgive.
"""

import hashlib
import re

TOKEN = re.compile(rb"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")
END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
BODY_KEPT = 1 << 20  # Body bytes kept for comparison; longer bodies have their hash.


class Body:
    """A body as it grows: length and hash of all of it, bytes of its beginning."""

    def __init__(self):
        self.length = 0
        self.kept = bytearray()
        self._hash = hashlib.sha256()

    def add(self, data):
        self.length += len(data)
        self._hash.update(data)
        if len(self.kept) < BODY_KEPT:
            self.kept += data[: BODY_KEPT - len(self.kept)]

    def sha256(self):
        return self._hash.hexdigest()

    def __bytes__(self):
        return bytes(self.kept)


def split_fields(lines):
    """Field lines to (name, value) pairs, and the defects found on the way.

    The value keeps trailing white space, so that a check can see it.
    """
    fields, defects = [], []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            defects.append("field line %r" % line[:80])
            continue
        value = value.lstrip(b" \t")
        if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
            defects.append("control byte in field %r" % line[:80])
        fields.append((name, value))
    return fields, defects


class Message:
    """What a request and an answer have in common: fields, body, raw bytes."""

    def __init__(self):
        self.fields = []
        self.trailers = []
        self.body = Body()
        self.raw_head = b""
        self.defects = []
        self.complete = False
        self.framing = None  # "length", "chunked", "close" or None: no body.

    def all(self, name):
        """Every value of a field; the name in lower case."""
        return [v for n, v in self.fields if n.lower() == name]

    def field(self, name):
        values = self.all(name)
        return values[0].strip() if values else None

    def canary(self):
        value = self.field(b"x-canary")
        return value.decode("latin-1") if value is not None else None

    def tokens(self, name):
        """The members of a comma-separated field, lower case."""
        joined = b",".join(self.all(name))
        return [t.strip().lower() for t in joined.split(b",") if t.strip()]


class BodyReader:
    """Takes the body off a buffer. `done` when the framing says so.

    `broken` holds what a strict reader refuses; from there on nothing is read.
    """

    def __init__(self, message, framing, length=0):
        self.message = message
        self.framing = framing
        self.left = length
        self.state = "size"
        self.done = framing is None or (framing == "length" and length == 0)
        self.broken = None

    def feed(self, buffer):
        if self.framing == "length":
            self._take(buffer)
            self.done = self.left == 0
        elif self.framing == "close":
            self.message.body.add(bytes(buffer))
            buffer.clear()
        elif self.framing == "chunked":
            while not self.done and not self.broken and self._step(buffer):
                pass

    def _take(self, buffer):
        piece = bytes(buffer[: self.left])
        del buffer[: len(piece)]
        self.left -= len(piece)
        self.message.body.add(piece)

    def _step(self, buffer):
        """One step of the chunked coding; False when more bytes are needed."""
        if self.state == "data":
            self._take(buffer)
            if self.left:
                return False
            if len(buffer) < 2:
                return False
            if bytes(buffer[:2]) != b"\r\n":
                self.broken = "chunk not ended by CR LF: %r" % bytes(buffer[:20])
                return False
            del buffer[:2]
            self.state = "size"
            return True
        end = buffer.find(b"\n")
        if end < 0:
            return False
        line = bytes(buffer[: end + 1])
        del buffer[: end + 1]
        if not line.endswith(b"\r\n"):
            self.broken = "line of the chunked coding ended by LF: %r" % line[:40]
            return False
        line = line[:-2]
        if self.state == "trailers":
            if not line:
                self.done = True
            else:
                self.message.trailers.append(line)
            return True
        if not re.match(rb"^[0-9A-Fa-f]{1,16}$", line):
            self.broken = "chunk size %r" % line[:40]
            return False
        self.left = int(line, 16)
        self.state = "data" if self.left else "trailers"
        return True


class Recorded(Message):
    """A request as it came upstream, from its first byte on.

    It exists from the first byte so that "no byte came upstream" is the plain
    question whether such a value exists.
    """

    def __init__(self, connection):
        super().__init__()
        self.connection = connection
        self.head_at = None
        self.complete_at = None
        self.method = self.target = self.version = None
        self._body = None

    @property
    def host(self):
        return self.field(b"host")

    def feed(self, buffer, now):
        """Takes this request's bytes off the buffer."""
        if self.head_at is None and not self._read_head(buffer, now):
            return
        if not self.complete and self._body:
            self._body.feed(buffer)
            if self._body.broken:
                self.defects.append(self._body.broken)
                self._body = None
            elif self._body.done:
                self.complete, self.complete_at = True, now

    @property
    def unreadable(self):
        """True when nothing after this can be trusted: framing is lost."""
        return self.head_at is not None and not self.complete and self._body is None

    def _read_head(self, buffer, now):
        match = END_OF_HEAD.search(buffer)
        if not match:
            self.raw_head = bytes(buffer)
            return False
        head = self.raw_head = bytes(buffer[: match.end()])
        del buffer[: match.end()]
        self.head_at = now
        if re.search(rb"(?<!\r)\n|\r(?!\n)", head):
            self.defects.append("bare CR or LF in the head")
        lines = re.split(rb"\r?\n", head.rstrip(b"\r\n"))
        if not lines[0]:
            self.defects.append("empty line before the request line")
            lines = [line for line in lines if line] or [b""]
        parts = lines[0].split(b" ")
        if len(parts) != 3 or not TOKEN.match(parts[0]) or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
            self.defects.append("request line %r" % lines[0][:80])
        if len(parts) >= 3:
            self.method, self.target, self.version = parts[0], b" ".join(parts[1:-1]), parts[-1]
        self.fields, defects = split_fields(lines[1:])
        self.defects += defects
        hosts = self.all(b"host")
        if len(hosts) > 1 or (self.version == b"HTTP/1.1" and len(hosts) != 1) or b"" in hosts:
            self.defects.append("Host %r" % hosts)
        self._choose_framing()
        return True

    def _choose_framing(self):
        lengths, codings = self.all(b"content-length"), self.all(b"transfer-encoding")
        if len(lengths) + len(codings) > 1:
            self.defects.append("framed more than once: %r %r" % (lengths, codings))
        if codings and codings != [b"chunked"]:
            self.defects.append("Transfer-Encoding %r" % codings)
            if codings[0].lower() != b"chunked":
                return
        if codings:
            self.framing, self._body = "chunked", BodyReader(self, "chunked")
        elif lengths:
            if not re.match(rb"^(0|[1-9][0-9]{0,18})$", lengths[0]):
                self.defects.append("Content-Length %r" % lengths[0])
            if not re.match(rb"^[0-9]+\s*$", lengths[0]):
                return
            self.framing, self._body = "length", BodyReader(self, "length", int(lengths[0]))
        else:
            self._body = BodyReader(self, None)


class Answer(Message):
    """An answer as the client saw it, with the interim ones before it."""

    def __init__(self):
        super().__init__()
        self.status = None
        self.version = None
        self.interim = []  # [(status, fields)]
        self.broken = None
        self.head_at = None
        self.complete_at = None

    @property
    def announces_close(self):
        return b"close" in self.tokens(b"connection")


class AnswerReader:
    """Takes one final answer, and the interim ones before it, off a buffer."""

    def __init__(self, method=b"GET"):
        self.method = method
        self.answer = Answer()
        self._body = None

    def feed(self, buffer, ended, now):
        answer = self.answer
        while answer.status is None and not answer.broken:
            match = END_OF_HEAD.search(buffer)
            if not match:
                return
            head = bytes(buffer[: match.end()])
            del buffer[: match.end()]
            self._read_head(head, now)
        if answer.broken or answer.complete:
            return
        self._body.feed(buffer)
        if self._body.broken:
            answer.broken = self._body.broken
        elif self._body.done or (answer.framing == "close" and ended == "FIN"):
            answer.complete, answer.complete_at = True, now

    def _read_head(self, head, now):
        answer = self.answer
        if re.search(rb"(?<!\r)\n|\r(?!\n)", head):
            answer.defects.append("bare CR or LF in the answer's head")
        lines = re.split(rb"\r?\n", head.rstrip(b"\r\n"))
        match = re.match(rb"^HTTP/(1\.[01]) ([1-5][0-9][0-9])(?: |$)", lines[0])
        if not match:
            answer.broken = "status line %r" % lines[0][:80]
            return
        status = int(match.group(2))
        fields, defects = split_fields(lines[1:])
        answer.defects += defects
        if 100 <= status < 200 and status != 101:
            answer.interim.append((status, fields))
            return
        answer.raw_head, answer.head_at = head, now
        answer.status, answer.version, answer.fields = status, match.group(1), fields
        lengths, codings = answer.all(b"content-length"), answer.all(b"transfer-encoding")
        if len(lengths) + len(codings) > 1:
            answer.defects.append("answer framed more than once: %r %r" % (lengths, codings))
        length = 0
        if self.method == b"HEAD" or status in (101, 204, 304):
            answer.framing = None
        elif codings:
            answer.framing = "chunked"
        elif lengths:
            if not re.match(rb"^[0-9]+$", lengths[0]):
                answer.broken = "Content-Length %r" % lengths[0]
                return
            answer.framing, length = "length", int(lengths[0])
        else:
            answer.framing = "close"
        self._body = BodyReader(answer, answer.framing, length)
