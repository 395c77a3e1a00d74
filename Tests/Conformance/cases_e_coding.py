"""E. Transfer-Encoding."""

from catalog import sweep, wire
from expect import Forwarded, Refused
from messages import post

C400 = Refused(400)
NO = Refused(400, 501)
LAST = b"0\r\n\r\n"


def coded(*values, body=LAST, version=b"HTTP/1.1", extra=()):
    return post(*[b"Transfer-Encoding: " + v for v in values], *extra, body=body, version=version)


wire("E00x1", "control: chunked", coded(b"chunked"), Forwarded(body=b""))
wire("E01", "chunked with HTTP/1.0", coded(b"chunked", version=b"HTTP/1.0"), C400)
wire("E02.1", "identity", coded(b"identity"), Refused(501, 400))
wire("E02.2", "xchunked", coded(b"xchunked"), Refused(501, 400))
wire("E02.4", "cow", coded(b"cow"), Refused(501, 400))
sweep(
    "E02x1",
    "other codings",
    [
        (repr(v), coded(v), NO)
        for v in (
            b"chunkedx",
            b"chunke",
            b"chunked chunked",
            b"gzip",
            b"trailers",
            b"chunked, identity",
            b"identity, chunked",
            b"c hunked",
            b"chunked\xc2\xa0",
        )
    ],
)
wire("E03", "gzip, chunked", coded(b"gzip, chunked"), Refused(501))
wire("E03x1", "gzip, then chunked on another line", coded(b"gzip", b"chunked"), NO)
wire("E04.1", "chunked, gzip", coded(b"chunked, gzip"), NO)
wire("E04.2", "chunked, chunked", coded(b"chunked, chunked"), NO)
wire("E05.1", "chunked on two lines", coded(b"chunked", b"chunked"), NO)
wire("E05.1x1", "chunked, then identity", coded(b"chunked", b"identity"), NO)
wire(
    "E05.1x2",
    "chunked on two lines, in different case",
    post(b"Transfer-Encoding: chunked", b"X: y", b"tRANSFER-eNCODING: chunked", body=LAST),
    NO,
)
wire("E06.1", "comma before chunked", coded(b",chunked"), NO)
wire("E06.3", "comma and space before chunked", coded(b", chunked"), NO)
wire("E06.5", "comma behind chunked, with a length", coded(b"chunked,", extra=[b"Content-Length: 5"]), NO)
wire("E06.5x1", "comma behind chunked", coded(b"chunked,"), NO)
wire("E07.1", "quoted chunked", coded(b'"chunked"'), NO)
wire("E07.3", "chunked with a parameter", coded(b"chunked;q=1"), NO)
wire("E07.3x1", "chunked with an empty parameter", coded(b"chunked;"), NO)
wire("E08.1", "vertical tab before chunked", coded(b"\x0bchunked"), NO)
wire("E08.3", "NUL behind chunked", coded(b"chunked\x00"), NO)
wire("E09", "empty value", coded(b""), NO)
wire("E09x1", "a value of white space", coded(b" \t "), NO)
wire("E09x2", "an empty value before chunked", coded(b"", b"chunked"), NO)
wire("E10.1", "space before the colon", post(b"Transfer-Encoding : chunked", body=LAST), C400)
wire("E10.4", "high byte in the name", post(b"Transf\x82r-Encoding: chunked", body=LAST), C400)
wire("E11.1", "folded value", post(b"Transfer-Encoding:\r\n chunked", body=LAST), C400)
wire("E11.1x1", "folded by a tab", post(b"Transfer-Encoding:\r\n\tchunked", body=LAST), C400)
wire(
    "E11.1x2",
    "folded behind a good value",
    post(b"Transfer-Encoding: chunked\r\n , identity", body=LAST),
    C400,
)
wire("E12.1", "bare CR before the name", post(b"X: y\rTransfer-Encoding: chunked", body=LAST), C400)
wire("E12.1x1", "bare LF before the name", post(b"X: y\nTransfer-Encoding: chunked", body=LAST), C400)
wire("E12.1x2", "NUL before the name", post(b"\x00Transfer-Encoding: chunked", body=LAST), C400)
wire(
    "E13",
    "chunked in mixed case",
    coded(b"ChUnKeD", body=b"5\r\nhello\r\n0\r\n\r\n"),
    Forwarded(body=b"hello"),
)
wire(
    "E13x1",
    "name in mixed case",
    post(b"tRaNsFeR-eNcOdInG: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
    Forwarded(body=b"hello"),
)

ODD = [*range(0x01, 0x21), *range(0x7F, 0x100)]
sweep(
    "E14.2",
    "each odd byte between the name and the colon",
    [("byte 0x%02x" % c, post(b"Transfer-Encoding%c: chunked" % c, body=LAST), C400) for c in ODD],
)
sweep(
    "E14.3",
    "each odd byte between the colon and chunked",
    [
        (
            "byte 0x%02x" % c,
            post(b"Transfer-Encoding:%cchunked" % c, body=LAST),
            Forwarded(body=b"") if c in b" \t" else NO,
        )
        for c in ODD
    ],
)
sweep(
    "E14x1",
    "odd bytes behind chunked",
    [
        (
            "byte 0x%02x" % c,
            post(b"Transfer-Encoding: chunked%c" % c, body=LAST),
            Forwarded(body=b"") if c in b" \t" else NO,
        )
        for c in [*range(0x00, 0x21), 0x7F, 0x80, 0x85, 0xA0, 0xFF]
        if c != 0x0D
    ],
)
