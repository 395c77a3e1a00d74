"""C. Fields."""

from catalog import RAW, case, sweep, wire
from expect import Forwarded, Refused, refused_or_forwarded
from messages import CANARY_LINE, TAIL, get

C400 = Refused(400)
CONTROLS = [*range(0x01, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F]

wire("C01", "space before the colon", get(b"Foo : x"), C400)
wire("C01x1", "tab before the colon", get(b"Foo\t: x"), C400)
wire("C02", "line folding", get(b"Foo: a\r\n b"), C400)
wire("C02x1", "line folding by a tab", get(b"Foo: a\r\n\tb"), C400)
wire("C02x2", "folding of Host", b"GET / HTTP/1.1\r\nHost:\r\n a\r\n" + CANARY_LINE + b"\r\n", C400)
wire("C02x3", "a line of white space only", get(b"Foo: a\r\n "), C400)
wire("C03", "white space before the first field", b"GET / HTTP/1.1\r\n " + TAIL, C400)
wire("C03x1", "tab before the first field", b"GET / HTTP/1.1\r\n\t" + TAIL, C400)
wire("C04.1", "empty field name", get(b": x"), C400)
wire("C04.1x1", "nothing but a colon", get(b":"), C400)
wire("C05.1", "no colon", get(b"NoColonHere"), C400)
wire("C05.1x1", "no colon, in the first field line", b"GET / HTTP/1.1\r\nNoColonHere\r\n" + TAIL, C400)
wire("C06", "bare LF between two fields", get(b"Foo: a\nBar: b"), C400)
wire("C06x1", "bare LF hiding a request", get(b"Foo: a\n\nGET /evil HTTP/1.1\r\nHost: a"), C400)
wire("C08", "bare CR line ends throughout", (b"GET / HTTP/1.1\r\n" + TAIL).replace(b"\r\n", b"\r"), C400)
wire("C08x1", "bare CR between two fields", get(b"Foo: a\rBar: b"), C400)
wire("C08x2", "CR CR LF", get(b"Foo: a\r"), C400)
wire("C09", "NUL in a value", get(b"Foo: a\x00b"), C400)
sweep(
    "C10",
    "each control byte in a value",
    [("byte 0x%02x" % c, get(b"Foo: a%cb" % c), C400) for c in CONTROLS],
)
sweep(
    "C10x1",
    "each control byte at either end of a value",
    [
        ("byte 0x%02x %s" % (c, where), get(line % c), C400)
        for c in [0, *CONTROLS]
        for where, line in (("first", b"Foo:%cb"), ("last", b"Foo: b%c"))
    ],
)
wire("C10x2", "tab inside a value", get(b"Foo: a\tb"), Forwarded(present=[(b"Foo", b"a\tb")]))
sweep(
    "C11.1",
    "each separator in a name",
    [(repr(chr(c)), get(b"Fo%co: x" % c), C400) for c in b'(),/;<=>?@[\\]{}" \t'],
)
sweep(
    "C11.1x1",
    "control and high bytes in a name",
    [("byte 0x%02x" % c, get(b"Fo%co: x" % c), C400) for c in [0, *CONTROLS, *range(0x80, 0x100, 9), 0xFF]],
)
wire(
    "C11.1x2",
    "each other token byte in a name",
    get(b"!#$%&'*+-.^_`|~09AZaz: x"),
    refused_or_forwarded(400, present=[(b"!#$%&'*+-.^_`|~09AZaz", b"x")]),
)
HIGH = bytes(range(0x80, 0x100))
wire("C12.1", "a value of all high bytes", get(b"Foo: " + HIGH), Forwarded(present=[(b"Foo", HIGH)]))
wire("C12.1x1", "an empty value", get(b"Foo:"), Forwarded(present=[(b"Foo", b"")]))
wire(
    "C12.1x2",
    "white space around a value",
    get(b"Foo: \t b c \t "),
    Forwarded(check=lambda r: None if r.field(b"foo") == b"b c" else "Foo upstream is %r" % r.all(b"foo")),
)
wire("C13.1", "high byte before chunked", get(b"Transfer-Encoding: \x85chunked"), Refused(400, 501))
wire("C13.1x1", "no-break space before chunked", get(b"Transfer-Encoding:\xa0chunked"), Refused(400, 501))
wire("C13.3", "no-break space before a length", get(b"Content-Length: \xa05"), C400)
wire("C13.3x1", "no-break space behind a length", get(b"Content-Length: 5\xa0"), C400)
wire(
    "C14.1",
    "Transfer_Encoding",
    get(b"Transfer_Encoding: chunked"),
    refused_or_forwarded(400, absent=[b"Transfer_Encoding"]),
)
wire(
    "C14.3",
    "X_Forwarded_For",
    get(b"X_Forwarded_For: 1.2.3.4"),
    refused_or_forwarded(400, absent=[b"X_Forwarded_For"]),
)
sweep(
    "C14x1",
    "other names that CGI confuses with framing and trust",
    [
        (n.decode(), get(n + b": 5"), refused_or_forwarded(400, absent=[n]))
        for n in (
            b"Content_Length",
            b"content_length",
            b"X_Real_IP",
            b"X_Forwarded_Host",
            b"TRANSFER_ENCODING",
        )
    ],
)


def many(count):
    """A request of `count` fields; Host and the canary are two of them."""
    return get(*[b"X-%d: y" % n for n in range(count - 2)])


wire("C15.1", "101 fields", many(101), Forwarded())
wire("C15.1x1", "150 fields, above the limit of 128", many(150), Refused(431))


@case("C15.2", "10 000 fields", **RAW)
def ten_thousand_fields(lane):
    with lane.burden():
        for _ in range(5):
            lane.judge([many(10_000)], Refused(431))


@case("C16.1", "one field of 100 KB", **RAW)
def one_field_of_100_KB(lane):
    with lane.burden():
        for _ in range(5):
            lane.judge([get(b"Foo: " + b"a" * 100_000)], Refused(431))


wire(
    "C16.1x1",
    "a field of 24 KB, within the limit of 32 KiB",
    get(b"Foo: " + b"a" * 24_000),
    Forwarded(present=[(b"Foo", b"a" * 24_000)]),
)
wire("C16.1x2", "a field of 33 KB", get(b"Foo: " + b"a" * 33_000), Refused(431))
wire("C16.1x3", "a name of 100 KB", get(b"F" * 100_000 + b": a"), Refused(431))
wire("C16.1x4", "a name without end", get()[:-2] + b"F" * 100_000, Refused(400, 431))
wire(
    "C16.1x5",
    "fields of 33 KB together",
    get(*[b"X-%d: %s" % (n, b"a" * 500) for n in range(66)]),
    Refused(431),
)


@case("C16.1x6", "128 KB behind a refusal do not destroy it", **RAW)
def refusal_survives_a_sender(lane):
    """The client writes on without reading; a close() that does not drain loses the answer."""
    for sent in (get(b"Foo : x"), get(b"Foo: " + b"a" * 40_000), b"GET / HTTP/9.9\r\n" + TAIL):
        lane.judge([sent + b"x" * 128_000], Refused(400, 431, 505))
