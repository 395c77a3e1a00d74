"""G. Chunks."""

from catalog import RAW, case, sweep, wire
from expect import Either, Forwarded, NeverComplete, RefusedInBody
from messages import CANARY, HalfClose, Pause, evil, post

BROKEN = RefusedInBody(400)
LAST = b"0\r\n\r\n"
HELLO = b"5\r\nhello\r\n"


def chunked(body):
    return post(b"Transfer-Encoding: chunked", body=body)


def broken(id, title, body):
    wire(id, title, chunked(body), BROKEN)


wire("G01.1", "one chunk", chunked(HELLO + LAST), Forwarded(body=b"hello"))
wire(
    "G01.2",
    "sizes A and a",
    chunked(b"A\r\n0123456789\r\na\r\n0123456789\r\n" + LAST),
    Forwarded(body=b"0123456789" * 2),
)
wire(
    "G01.2x1",
    "size with leading zeros",
    chunked(b"0005\r\nhello\r\n000\r\n\r\n"),
    Either(Forwarded(body=b"hello"), BROKEN),
)
wire(
    "G01.2x2",
    "many sizes",
    chunked(b"".join(b"%x\r\n%s\r\n" % (n, b"x" * n) for n in range(1, 40)) + LAST),
    Forwarded(body=b"x" * sum(range(1, 40))),
)
wire("G01.3", "extension", chunked(b"5;n=v\r\nhello\r\n" + LAST), Forwarded(body=b"hello"))
wire(
    "G01.3x1",
    "quoted extension, and one on the last chunk",
    chunked(b'5;n="v;w"\r\nhello\r\n0;x=y\r\n\r\n'),
    Either(Forwarded(body=b"hello"), BROKEN),
)
wire(
    "G01.3x2",
    "extension without a value",
    chunked(b"5;n\r\nhello\r\n" + LAST),
    Either(Forwarded(body=b"hello"), BROKEN),
)
broken("G02", "empty extension", b"5;\r\nhello\r\n" + LAST)
broken("G03.1", "bare CR in an extension", b"5;a\rX\r\nhello\r\n" + LAST)
broken("G03.1x1", "bare LF in an extension", b"5;a\nX\r\nhello\r\n" + LAST)
broken("G03.1x2", "NUL in an extension", b"5;a\x00\r\nhello\r\n" + LAST)
broken("G05.1", "size ended by LF", b"5\nhello\r\n" + LAST)
broken("G05.1x1", "size ended by CR", b"5\rhello\r\n" + LAST)
broken("G06.1", "data ended by LF", b"5\r\nhello\n" + LAST)
broken("G06.3", "data ended by other bytes", b"5\r\nhelloXX" + LAST)
broken("G06.3x1", "data ended by CR and another byte", b"5\r\nhello\rX" + LAST)
broken("G07.1", "data ended by nothing", b"5\r\nhello" + LAST)
broken("G07.1x1", "more data than the size says", b"4\r\nhello\r\n" + LAST)
for number, size in (("08.1", b"+5"), ("08.3", b"0x5"), ("08.5", b"5 "), ("08.7", b"5z"), ("08.8", b"")):
    broken("G" + number, "size %r" % size.decode(), size + b"\r\nhello\r\n" + LAST)
sweep(
    "G08x1",
    "other sizes that are none",
    [
        (repr(s), chunked(s + b"\r\nhello\r\n" + LAST), BROKEN)
        for s in (
            b"-5",
            b" 5",
            b"\t5",
            b"5\t",
            b"5h",
            b"5_0",
            b'"5"',
            b"5,5",
            b"5.0",
            b"G",
            b"\x005",
            b"5\x00",
            b"\xb25",
            b"5 5",
            b"0X5",
            b";n=v",
        )
    ],
)
broken("G09.1", "size FFFFFFFFFFFFFFFF", b"FFFFFFFFFFFFFFFF\r\nhello\r\n" + LAST)
sweep(
    "G09.1x1",
    "sizes that wrap around",
    [
        (s.decode(), chunked(s + b"\r\nhello\r\n" + LAST), BROKEN)
        for s in (
            b"10000000000000005",
            b"FFFFFFFFFFFFFFFB",
            b"8000000000000005",
            b"100000000000000000000000000000005",
            b"7FFFFFFFFFFFFFFF0",
        )
    ],
)
broken("G10", "size of forty zeros and a 5", b"0" * 40 + b"5\r\nhello\r\n" + LAST)
broken("G10x1", "last chunk of forty zeros", HELLO + b"0" * 40 + b"\r\n\r\n")


@case("G11.1", "extension of 64 KB", **RAW)
def long_extension(lane):
    with lane.burden():
        for _ in range(5):
            lane.judge([chunked(b"5;a=" + b"b" * 65_536 + b"\r\nhello\r\n" + LAST)], BROKEN)


@case("G11.1x1", "extension without end", **RAW)
def endless_extension(lane):
    with lane.burden():
        lane.judge([chunked(b"5;a=" + b"b" * 200_000)], BROKEN)


@case("G11.1x2", "a short extension on each of 20 000 chunks of one byte: forwarded without them, or refused", **RAW)
def many_extensions(lane):
    body = b"1;a=bcdefghijklmnop\r\nx\r\n" * 20_000 + LAST
    with lane.burden():
        lane.judge([chunked(body)], Either(Forwarded(body=b"x" * 20_000), BROKEN))


broken("G12.1", "last chunk ended by LF", b"5\r\nhello\r\n0\n\r\n")
broken("G12.1x1", "empty line of the trailers ended by LF", b"5\r\nhello\r\n0\r\n\n")
broken("G12.1x2", "last chunk followed by a bare CR", b"5\r\nhello\r\n0\r\n\rX\r\n\r\n")


def trailer(line):
    return chunked(HELLO + b"0\r\n" + line + b"\r\n\r\n")


wire(
    "G13.1",
    "trailer Content-Length",
    trailer(b"Content-Length: 7"),
    Forwarded(
        body=b"hello",
        check=lambda r: (
            "Content-Length went upstream as a trailer"
            if b"7" in b"".join(r.trailers) + b"".join(r.all(b"content-length"))
            else None
        ),
    ),
)
wire(
    "G13.3",
    "trailer Host",
    trailer(b"Host: evil"),
    Forwarded(
        body=b"hello",
        host=b"a",
        check=lambda r: "Host went upstream as a trailer" if b"evil" in b"".join(r.trailers) else None,
    ),
)
wire(
    "G13.5",
    "trailer :path",
    trailer(b":path: /evil"),
    Either(
        Forwarded(
            body=b"hello",
            check=lambda r: "it went upstream" if b"/evil" in r.raw_head + b"".join(r.trailers) else None,
        ),
        BROKEN,
    ),
)
sweep(
    "G13x1",
    "other trailers that must not reach the head",
    [
        (
            line.decode(),
            trailer(line),
            Either(
                Forwarded(
                    body=b"hello",
                    check=lambda r, n=line.split(b":")[0].lower(): (
                        "merged into the head"
                        if any(v == b"evil" for v in r.all(n))
                        else (
                            "went upstream as a trailer"
                            if any(t.lower().startswith(n + b":") for t in r.trailers)
                            else None
                        )
                    ),
                ),
                BROKEN,
            ),
        )
        for line in (
            b"Transfer-Encoding: evil",
            b"Authorization: evil",
            b"X-Forwarded-For: evil",
            b"Connection: evil",
            b"Cookie: evil",
            b"Content-Type: evil",
        )
    ],
)
wire("G13x2", "an ordinary trailer", trailer(b"X-Checksum: 1"), Forwarded(body=b"hello"))
for number, title, line in (
    ("3", "with NUL", b"X: a\x00b"),
    ("4", "with a space before the colon", b"X : a"),
    ("5", "folded", b"X: a\r\n b"),
):
    wire(
        "G13x" + number,
        "trailer " + title + ": dropped or refused",
        trailer(line),
        Either(Forwarded(body=b"hello", check=lambda r: "it went upstream" if r.trailers else None), BROKEN),
    )
wire(
    "G13x6",
    "trailers of 100 KB",
    chunked(HELLO + b"0\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 100) for n in range(1000)) + b"\r\n"),
    RefusedInBody(400, 431),
)
broken("G14.1", "trailer line ended by LF", HELLO + b"0\r\nX: y\n\r\n")
wire("G15", "a chunk, then FIN", [chunked(HELLO), HalfClose()], NeverComplete())
wire("G15x1", "inside a chunk, then FIN", [chunked(b"5\r\nhe"), HalfClose()], NeverComplete())
wire("G15x2", "inside a size, then FIN", [chunked(HELLO + b"1"), HalfClose()], NeverComplete())
wire(
    "G15x3",
    "last chunk without its empty line, then FIN",
    [chunked(HELLO + b"0\r\n"), HalfClose()],
    NeverComplete(),
)
wire(
    "G16",
    "size 5z, then a pipelined request for /evil",
    chunked(b"5z\r\nhello\r\n" + LAST + evil(CANARY)),
    BROKEN,
)


@case("G17", "a valid chunked request, one byte per write", **RAW)
def byte_by_byte(lane):
    raw = chunked(b"5;n=v\r\nhello\r\n" + LAST)
    sent = []
    for i in range(len(raw)):
        sent += [raw[i : i + 1], Pause(0.001)]
    # The canary's placeholder is filled in per step, so it must stay in one piece.
    at = raw.index(CANARY)
    sent[2 * at : 2 * (at + len(CANARY))] = [CANARY, Pause(0.001)]
    lane.judge(sent, Forwarded(body=b"hello"))
