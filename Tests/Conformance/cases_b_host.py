"""B. Host."""

from catalog import sweep, wire
from expect import Either, Forwarded, Refused, refused_or_forwarded
from messages import CANARY_LINE, CRLF

C400 = Refused(400)


def with_host(*lines, version=b"HTTP/1.1"):
    return b"GET / " + version + CRLF + CANARY_LINE + b"".join(line + CRLF for line in lines) + CRLF


wire("B00x1", "control: one Host", with_host(b"Host: a.example:8080"), Forwarded(host=b"a.example:8080"))
wire("B01", "HTTP/1.1 without Host", with_host(), C400)
wire("B02", "two different Hosts", with_host(b"Host: a", b"Host: b"), C400)
wire("B03", "the same Host twice", with_host(b"Host: a", b"Host: a"), C400)
wire("B03x1", "two Hosts in different case", with_host(b"Host: a", b"X: y", b"hOST: b"), C400)
wire("B05", "empty Host", with_host(b"Host: "), C400)
wire("B05x1", "Host of white space", with_host(b"Host:  \t "), C400)
wire("B05x2", "Host of nothing but a port", with_host(b"Host: :80"), C400)
wire("B06.1", "Host with a slash", with_host(b"Host: a/b"), C400)
wire("B06.2", "Host with user info", with_host(b"Host: u@a"), C400)
wire("B06.5", "Host with port 99999", with_host(b"Host: a:99999"), C400)
sweep(
    "B06x1",
    "other Hosts that are none",
    [
        (repr(value), with_host(b"Host: " + value), C400)
        for value in (
            b"a b",
            b"a\tb",
            b"a,b",
            b"a?b",
            b"a#b",
            b"a\\b",
            b"a:8x",
            b"a:-1",
            b"a:+80",
            b"a:65536",
            b"a:80:80",
            b"http://a",
            b"[::1",
            b"::1]",
            b"[::1]x",
            b"[zz]",
            b"[]",
            b"a\x00b",
            b"a\x01",
            b"a\x7f",
            b"a\xffb",
            b"a@",
            b"<a>",
            b'"a"',
            b"a^b",
            b"a|b",
            b"a%",
            b"a%zz",
        )
    ],
)
sweep(
    "B06x2",
    "Hosts that are fine",
    [
        (repr(value), with_host(b"Host: " + value), Forwarded(host=value))
        for value in (
            b"a:80",
            b"a:65535",
            b"127.0.0.1",
            b"[::1]",
            b"[2001:db8::1]:443",
            b"xn--bcher-kva.example",
            b"a-b.c",
            b"A.Example",
        )
    ],
)
sweep(
    "B06x3",
    "Hosts that RFC 3986 allows and few need",
    [
        (repr(value), with_host(b"Host: " + value), refused_or_forwarded(400, host=value))
        for value in (b"a:", b"a_b", b"a~b", b"a!b", b"a%41", b"a.")
    ],
)


def some_host(request):
    if request.version == b"HTTP/1.1" and not request.host:
        return "HTTP/1.1 upstream without Host"
    if request.all(b"host") and not request.host:
        return "an empty Host upstream"


wire("B08", "HTTP/1.0 without Host", with_host(version=b"HTTP/1.0"), Either(C400, Forwarded(check=some_host)))
wire("B08x1", "HTTP/1.0 with Host", with_host(b"Host: a", version=b"HTTP/1.0"), Forwarded(host=b"a"))
wire("B08x2", "HTTP/1.0 with two Hosts", with_host(b"Host: a", b"Host: b", version=b"HTTP/1.0"), C400)
