"""F. Content-Length and Transfer-Encoding together."""

from catalog import wire
from expect import Either, Forwarded, Refused, RefusedInBody
from messages import CANARY, chunk, evil, get, post

C400 = Refused(400)
TE = b"Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"
SMUGGLED = evil(CANARY)


def chunked_wins(body=b""):
    return Either(C400, Forwarded(body=body, closes=True))


def no_trailer(request):
    """A proxy that holds the whole body may send its length; never the one in the trailer."""
    if request.trailers or request.all(b"content-length") not in ([], [b"5"]):
        return "the trailer went upstream"


wire(
    "F01",
    "length 6 and chunked: 0 CR LF CR LF G",
    post(b"Content-Length: 6", TE, body=LAST + b"G"),
    chunked_wins(),
)
wire(
    "F01x1",
    "the same with a request for /evil behind",
    post(b"Content-Length: 6", TE, body=LAST + SMUGGLED),
    chunked_wins(),
)
wire(
    "F02",
    "chunked and length 4, a chunk that is a request for /evil",
    post(TE, b"Content-Length: 4", body=chunk(SMUGGLED) + LAST),
    C400,
)
wire("F02x1", "chunked and length 0", post(TE, b"Content-Length: 0", body=chunk(SMUGGLED) + LAST), C400)
wire(
    "F02x2", "chunked and two lengths", post(TE, b"Content-Length: 4", b"Content-Length: 5", body=LAST), C400
)
wire(
    "F02x3",
    "a length and an unknown coding",
    post(b"Content-Length: 5", b"Transfer-Encoding: cow", body=b"hello"),
    Refused(400, 501),
)
wire("F02x4", "a broken length and chunked", post(b"Content-Length: abc", TE, body=LAST), C400)
wire("F05", "F01 with HTTP/1.0", post(b"Content-Length: 6", TE, body=LAST + b"G", version=b"HTTP/1.0"), C400)
wire("F06.1", "GET with both", get(b"Content-Length: 5", TE) + LAST, C400)
wire(
    "F06.1x1",
    "DELETE with both",
    post(b"Content-Length: 5", TE, body=LAST).replace(b"POST", b"DELETE", 1),
    C400,
)
wire(
    "F07",
    "chunked with a length as a trailer",
    post(TE, body=b"5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n"),
    Either(Forwarded(body=b"hello", check=no_trailer), RefusedInBody(400)),
)
wire(
    "F07x1",
    "chunked with chunked as a trailer",
    post(TE, body=b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    Either(Forwarded(body=b"hello", check=no_trailer), RefusedInBody(400)),
)
