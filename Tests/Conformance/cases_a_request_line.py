"""A. Request line."""

import re
import urllib.parse

from catalog import RAW, case, sweep, wire
from expect import Answered, Either, Forwarded, Refused, refused_or_forwarded
from messages import CANARY_LINE, TAIL

GET = b"GET %s HTTP/1.1\r\n" + TAIL
C400 = Refused(400)

wire(
    "A00x1",
    "control: a plain GET",
    GET % b"/plain?x=1",
    Forwarded(method=b"GET", target=b"/plain?x=1", host=b"a"),
)
wire("A01", "bare LF line ends throughout", (GET % b"/").replace(b"\r\n", b"\n"), C400)
wire("A01x1", "bare LF behind the request line only", b"GET / HTTP/1.1\n" + TAIL, C400)
wire("A01x2", "bare LF for the empty line only", b"GET / HTTP/1.1\r\n" + TAIL[:-2] + b"\n", C400)
wire("A02.1", "one empty line before the request", b"\r\n" + GET % b"/", Forwarded(target=b"/"))
wire(
    "A02.1x1",
    "one thousand empty lines before the request",
    b"\r\n" * 1000 + GET % b"/",
    refused_or_forwarded(400, 431),
)
wire("A02.1x2", "bare LF before the request", b"\n" + GET % b"/", refused_or_forwarded(400))
wire("A02.1x3", "a space before the method", b" " + GET % b"/", C400)
wire("A03", "two spaces behind the method", b"GET  / HTTP/1.1\r\n" + TAIL, C400)
wire("A03x1", "two spaces before the version", b"GET /  HTTP/1.1\r\n" + TAIL, C400)
wire("A03x2", "tab behind the method", b"GET\t/ HTTP/1.1\r\n" + TAIL, C400)
wire("A03x3", "space behind the version", b"GET / HTTP/1.1 \r\n" + TAIL, C400)
wire("A05", "NUL in the target", GET % b"/a\x00b", C400)
sweep(
    "A05x1",
    "each control byte in the target",
    [("byte 0x%02x" % c, GET % (b"/a%cb" % c), C400) for c in [*range(1, 0x20), 0x7F] if c not in b"\n"],
)
wire("A06.1", "byte 0xff in the target", GET % b"/\xff", C400)
sweep(
    "A06.1x1",
    "other high bytes in the target",
    [("byte 0x%02x" % c, GET % (b"/a%cb?%c" % (c, c)), C400) for c in (0x80, 0x85, 0xA0, 0xC3, 0xFE)],
)
wire("A07", "fragment in the target", GET % b"/#f", C400)
wire("A07x1", "fragment behind a query", GET % b"/?q#f", C400)
wire("A08", "space in the target", GET % b"/a b", C400)
sweep(
    "A08x1",
    "bytes that a URI does not know: refused, or forwarded exactly",
    [
        (repr(c), GET % (b"/a%sb" % c), refused_or_forwarded(400, target=b"/a%sb" % c))
        for c in (b'"', b"<", b">", b"^", b"`", b"{", b"|", b"}", b"[", b"]")
    ],
)
wire("A09", "HTTP/0.9", b"GET /\r\n\r\n", C400)
wire("A09x1", "HTTP/0.9 with fields", b"GET /\r\n" + TAIL, C400)
for number, version in (("10.1", b"HTTP/2.0"), ("10.2", b"HTTP/9.9"), ("10.1x1", b"HTTP/3.0")):
    wire("A" + number, version.decode(), b"GET / %s\r\n" % version + TAIL, Refused(505))
for number, version in (
    ("10.4", b"HTTP/01.1"),
    ("10.6", b"http/1.1"),
    ("10.6x1", b"HTTP/1"),
    ("10.6x2", b"HTTP/1."),
    ("10.6x3", b"HTTP/1.1x"),
    ("10.6x4", b"HTTP/1.10"),
    ("10.6x5", b"HTTPS/1.1"),
    ("10.6x6", b"HTTP/1,1"),
    ("10.6x7", b"HTTP/-1.1"),
    ("10.6x8", b"HTTP /1.1"),
):
    wire("A" + number, version.decode(), b"GET / %s\r\n" % version + TAIL, C400)
wire("A10.1x2", "two digits of major version", b"GET / HTTP/11.1\r\n" + TAIL, Refused(400, 505))
wire(
    "A10.1x3",
    "HTTP/1.2: a minor version that nobody knows",
    b"GET / HTTP/1.2\r\n" + TAIL,
    refused_or_forwarded(400, 505),
)
wire("A12", "no target", b"GET HTTP/1.1\r\n" + TAIL, C400)
wire("A12x1", "method only", b"GET\r\n" + TAIL, C400)
wire("A13.1", "GET *", GET % b"*", C400)
wire("A13.1x1", "POST *", b"POST * HTTP/1.1\r\nContent-Length: 0\r\n" + TAIL, C400)
wire(
    "A14",
    "OPTIONS *",
    b"OPTIONS * HTTP/1.1\r\n" + TAIL,
    Either(Answered(200, 204), Forwarded(method=b"OPTIONS", target=b"*")),
)
wire("A15.1", "target without a slash", GET % b"admin", C400)
wire("A15.1x1", "target of only a query", GET % b"?x", C400)
wire("A15.1x2", "authority form with GET", GET % b"a:80", C400)


def forwarded_to_b(path=b"/"):
    """Absolute form becomes origin form, or stays; Host is the target's either way."""

    def check(request):
        if request.target not in (path, b"http://b" + path):
            return "target upstream is %r" % request.target

    return Either(C400, Forwarded(host=b"b", check=check))


wire("A16", "absolute form naming another host than Host", GET % b"http://b/", forwarded_to_b())
wire("A16x1", "absolute form without a path", GET % b"http://b", forwarded_to_b())
wire("A16x2", "absolute form with user info", GET % b"http://u@b/", C400)
wire("A16x3", "absolute form without a host", GET % b"http:///x", C400)
wire("A16x4", "absolute form with a bad port", GET % b"http://b:99999/", C400)
wire("A16x5", "absolute form without Host", b"GET http://b/ HTTP/1.1\r\n" + CANARY_LINE + b"\r\n", C400)
wire("A16x6", "absolute form with two Hosts", b"GET http://b/ HTTP/1.1\r\nHost: b\r\n" + TAIL, C400)
wire("A16x7", "absolute form to /admin, which a rule refuses", GET % b"http://b/admin", Answered(400, 403))
wire("A16x8", "absolute form of a scheme that is not ours", GET % b"ftp://b/", C400)
for number, target in (("18", b"a:443"), ("18x1", b"a"), ("18x2", b"http://a/")):
    wire(
        "A" + number,
        "CONNECT " + target.decode(),
        b"CONNECT %s HTTP/1.1\r\n" % target + TAIL,
        Refused(405, 501) if number == "18" else Refused(400, 405, 501),
    )
wire("A19.1", "CONNECT /", b"CONNECT / HTTP/1.1\r\n" + TAIL, Refused(400, 405, 501))
wire("A20", "TRACE", b"TRACE / HTTP/1.1\r\n" + TAIL, Answered(405))
wire("A21.1", "method with a colon and a parenthesis", b"G:E(T / HTTP/1.1\r\n" + TAIL, C400)
sweep(
    "A21.1x1",
    "each byte that a method may not have",
    [
        ("byte 0x%02x" % c, b"G%cT / HTTP/1.1\r\n" % c + TAIL, C400)
        for c in [*b'(),/:;<=>?@[\\]{}"', 0x00, 0x01, 0x1F, 0x7F, 0x80, 0xFF]
    ],
)
wire("A21.1x2", "empty method", b" / HTTP/1.1\r\n" + TAIL, C400)
wire(
    "A22",
    "method in lower case",
    b"get / HTTP/1.1\r\n" + TAIL,
    Either(Answered(405, 501), Forwarded(method=b"get")),
)
wire(
    "A22x1",
    "a method that nobody knows",
    b"BREW / HTTP/1.1\r\n" + TAIL,
    Either(Answered(405, 501), Forwarded(method=b"BREW")),
)
wire(
    "A22x2",
    "a method of 100 000 bytes",
    b"G" * 100_000 + b" / HTTP/1.1\r\n" + TAIL,
    Refused(400, 414, 431, 501),
)
wire(
    "A24x1",
    "target of 8 000 bytes, within the limit",
    GET % (b"/" + b"a" * 7999),
    Forwarded(target=b"/" + b"a" * 7999),
)
wire("A24x2", "target of 9 000 bytes", GET % (b"/" + b"a" * 8999), Refused(414))
wire("A24x3", "query of 9 000 bytes", GET % (b"/?" + b"a" * 8999), Refused(414))


@case("A24", "target of 100 000 bytes", **RAW)
def target_of_100_000_bytes(lane):
    with lane.burden():
        for _ in range(5):
            lane.judge([GET % (b"/" + b"a" * 99_999)], Refused(414))


@case("A24x4", "target without end: 1 MB and no space", **RAW)
def target_without_end(lane):
    with lane.burden():
        lane.judge([b"GET /" + b"a" * 200_000], Refused(414))


def resolves_to_admin(target):
    """As the most obliging server would read it: decoded once, \\ as /, dots resolved."""
    path = re.split(rb"[?#]", target)[0]
    path = urllib.parse.unquote_to_bytes(path).replace(b"\\", b"/")
    out = []
    for segment in path.split(b"/"):
        if segment == b"..":
            out = out[:-1]
        elif segment not in (b"", b"."):
            out.append(segment)
    return bool(out) and out[0] == b"admin"


class NotAdmin:
    """Refused, or forwarded to what is not /admin."""

    def problem(self, seen):
        if seen.reset or seen.goaway:
            return "U=%d for a request that was reset" % len(seen.requests) if seen.requests else None
        if seen.answer is None or seen.answer.status not in (200, 400, 403, 404):
            return "no decision: %s" % (seen.answer and seen.answer.status)
        for request in seen.requests:
            if resolves_to_admin(request.target or b""):
                return "%r went upstream, which resolves to /admin" % request.target
        if seen.answer.status == 200 and len(seen.requests) != 1:
            return "U=%d" % len(seen.requests)


wire("A25x1", "control: /admin itself is refused", GET % b"/admin", Answered(403))
wire("A25x2", "control: below /admin, and with a query", GET % b"/admin/x?y", Answered(403))
for number, target in (
    ("25.1", b"/a/../admin"),
    ("25.2", b"/%2e%2e/admin"),
    ("25.3", b"//admin"),
    ("25.6", b"\\admin"),
):
    wire("A" + number, "%s where a rule refuses /admin" % target.decode(), GET % target, NotAdmin())
sweep(
    "A25x3",
    "other ways to write /admin",
    [
        (target.decode(), GET % target, NotAdmin())
        for target in (
            b"/./admin",
            b"/../admin",
            b"/../../admin",
            b"/a/./../admin",
            b"/a/%2e%2e/admin",
            b"/a/.%2E/admin",
            b"/%2e/admin",
            b"/%61dmin",
            b"/adm%69n",
            b"///admin",
            b"/a//../admin",
            b"/a/..//admin",
            b"/admin/../admin",
            b"/x/../admin?y",
            b"/?/../admin",
            b"/a/b/../../admin/x",
            b"/admin/.",
            b"/admin//",
            b"/admin?",
            b"http://a/x/../admin",
            b"http://a//admin",
        )
    ],
)
sweep(
    "A25x4",
    "/admin behind an encoded slash or a backslash",
    [
        (target.decode(), GET % target, NotAdmin())
        for target in (
            b"/%2fadmin",
            b"/a/..%2fadmin",
            b"/a%2f..%2fadmin",
            b"/a/..%5cadmin",
            b"/%5cadmin",
            b"/a\\..\\admin",
            b"/\\admin",
        )
    ],
)


def still_encoded(expected):
    return Either(C400, Forwarded(target=expected))


wire("A26.1", "encoded CR LF in the path", GET % b"/%0d%0aX:%20y", still_encoded(b"/%0d%0aX:%20y"))
sweep(
    "A26.1x1",
    "other encodings that must stay or be refused",
    [
        (t.decode(), GET % t, still_encoded(t))
        for t in (b"/%00", b"/%0a", b"/a%20b", b"/%7f", b"/%ff", b"/?a=%0d%0aX:%20y", b"/%3f", b"/%23")
    ],
)
sweep(
    "A26.1x2",
    "broken percent signs",
    [(t.decode(), GET % t, still_encoded(t)) for t in (b"/%", b"/%2", b"/%zz", b"/%u0041", b"/%-1")],
)
