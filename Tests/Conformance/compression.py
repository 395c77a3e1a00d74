"""HPACK (RFC 7541) for both ends: writes what it is told, also what nobody should write.

The encoder has no table of its own: every field is a literal unless a case asks for
another representation byte by byte, so a block means the same in any order. The decoder
is complete, because a proxy may use all of it.
"""

import functools

# RFC 7541, appendix A. Names stand alone where the value is empty.
STATIC = [tuple(line.partition("=")[::2]) for line in """
:authority :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https :status=200
:status=204 :status=206 :status=304 :status=400 :status=404 :status=500 accept-charset
accept-encoding=gzip,|deflate accept-language accept-ranges accept access-control-allow-origin age allow
authorization cache-control content-disposition content-encoding content-language content-length
content-location content-range content-type cookie date etag expect expires from host if-match
if-modified-since if-none-match if-range if-unmodified-since last-modified link location max-forwards
proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie
strict-transport-security transfer-encoding user-agent vary via www-authenticate
""".split()]  # fmt: skip
STATIC = [(name.encode(), value.replace("|", " ").encode()) for name, value in STATIC]
assert len(STATIC) == 61

# RFC 7541, appendix B: bits of each symbol's code, 0 to 256 (end of string). The code is canonical,
# so its lengths say everything.
HUFFMAN_BITS = [int(w, 36) for w in """
d n s s s s s s s o u s s u s s s s s s s s u s s s s s s s s s 6 a a c d 6 8 b a a 8 b 8 6 6 6 5 5 5 6
6 6 6 6 6 6 7 8 f 6 c a d 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 d j d e 6 f 5 6 5 6 5 6 6
6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 f b e d s k m k k m m m n m n n n n n o n o o m n o n n n n l m n
m n n o m l k m m n n l n m m o l m n n l l m l n m n n k m m m n m m n q q k j m n m p q q q r r q o p
j l q r r q r o l l q q s r r r k o k l m l l n m m p p o o q n q r q q r r r r r s r r r r r q u
""".split()]  # fmt: skip
assert len(HUFFMAN_BITS) == 257


class CompressionError(Exception):
    """The block cannot be decoded."""


def _codes():
    codes, code, before = {}, 0, 0
    for bits, symbol in sorted((bits, symbol) for symbol, bits in enumerate(HUFFMAN_BITS)):
        code <<= bits - before
        before = bits
        codes[bits, code] = symbol
        code += 1
    return codes


_DECODE = _codes()
_ENCODE = {symbol: pair for pair, symbol in _DECODE.items()}


@functools.lru_cache(4096)
def huffman_decoded(data):
    out, bits, code = bytearray(), 0, 0
    for byte in data:
        for shift in range(7, -1, -1):
            code = code << 1 | byte >> shift & 1
            bits += 1
            symbol = _DECODE.get((bits, code))
            if symbol is None:
                continue
            if symbol == 256:
                raise CompressionError("end of string inside a string")
            out.append(symbol)
            bits = code = 0
    if bits > 7 or code != (1 << bits) - 1:
        raise CompressionError("padding of %d bits" % bits)
    return bytes(out)


def huffman_encoded(data):
    bits, length = 0, 0
    for byte in data:
        size, code = _ENCODE[byte]
        bits, length = bits << size | code, length + size
    fill = -length % 8
    return (bits << fill | (1 << fill) - 1).to_bytes((length + fill) // 8, "big")


# Writing.


def integer(value, prefix, flags=0):
    """An integer whose first byte has `prefix` bits of it, below `flags`."""
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([flags | value])
    out, value = bytearray([flags | limit]), value - limit
    while value >= 128:
        out.append(128 | value & 127)
        value >>= 7
    out.append(value)
    return bytes(out)


def string(data, huffman=False):
    return integer(len(coded := huffman_encoded(data)), 7, 0x80) + coded if huffman else integer(len(data), 7) + data


WITHOUT_INDEXING, NEVER_INDEXED, WITH_INDEXING = 0x00, 0x10, 0x40


def literal(name, value, kind=WITHOUT_INDEXING, huffman=False):
    return bytes([kind]) + string(name, huffman) + string(value, huffman)


def indexed(index):
    return integer(index, 7, 0x80)


def table_size(size):
    return integer(size, 5, 0x20)


def block(fields, huffman=False):
    """A list of fields, whatever they hold."""
    return b"".join(literal(name, value, huffman=huffman) for name, value in fields)


# Reading.


class Decoder:
    def __init__(self, limit=4096):
        self.limit = limit  # What our SETTINGS allow.
        self._size = limit
        self._table = []  # The newest first.

    def decoded(self, data):
        """All fields of a block."""
        fields, at = [], 0
        try:
            while at < len(data):
                at = self._step(data, at, fields)
        except IndexError:
            raise CompressionError("the block ends within a field")
        return fields

    def _step(self, data, at, fields):
        first = data[at]
        if first & 0x80:
            index, at = self._integer(data, at, 7)
            fields.append(self._entry(index))
            return at
        if first & 0xE0 == 0x20:
            size, at = self._integer(data, at, 5)
            if size > self.limit:
                raise CompressionError("table size %d above %d" % (size, self.limit))
            self._size = size
            self._evict()
            return at
        indexing = first & 0x40
        index, at = self._integer(data, at, 6 if indexing else 4)
        if index:
            name = self._entry(index)[0]
        else:
            name, at = self._string(data, at)
        value, at = self._string(data, at)
        fields.append((name, value))
        if indexing:
            self._table.insert(0, (name, value))
            self._evict()
        return at

    def _integer(self, data, at, prefix):
        limit = (1 << prefix) - 1
        value, at = data[at] & limit, at + 1
        if value < limit:
            return value, at
        shift = 0
        while True:
            value += (data[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if not data[at - 1] & 128:
                return value, at
            if shift > 28:
                raise CompressionError("an integer without end")

    def _string(self, data, at):
        huffman = data[at] & 0x80
        length, at = self._integer(data, at, 7)
        if at + length > len(data):
            raise CompressionError("a string that is longer than its block")
        raw = bytes(data[at : at + length])
        return huffman_decoded(raw) if huffman else raw, at + length

    def _entry(self, index):
        if index == 0 or index > len(STATIC) + len(self._table):
            raise CompressionError("index %d" % index)
        return STATIC[index - 1] if index <= len(STATIC) else self._table[index - len(STATIC) - 1]

    def _evict(self):
        while sum(len(n) + len(v) + 32 for n, v in self._table) > self._size:
            self._table.pop()
