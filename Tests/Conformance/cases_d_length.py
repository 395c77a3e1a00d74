"""D. Content-Length."""

from catalog import RAW_CLIENT, SLOW, Failed, case, check, sweep, wire
from expect import Forwarded, NeverComplete, Refused, RefusedInBody, refused_or_forwarded
from messages import HalfClose, get, post

C400 = Refused(400)


def sized(*values, body=b"hello"):
    return post(*[b"Content-Length: " + v for v in values], body=body)


wire("D00x1", "control: length 5", sized(b"5"), Forwarded(body=b"hello", method=b"POST"))
wire("D00x2", "length 0", sized(b"0", body=b""), Forwarded(body=b""))
wire("D00x3", "POST without a length", post(), Forwarded(body=b""))
wire("D01", "length +5", sized(b"+5"), C400)
wire("D04", "length 0x5", sized(b"0x5"), C400)
wire("D07", "length abc", sized(b"abc"), C400)
wire("D08", "empty length", sized(b""), C400)
sweep(
    "D08x1",
    "other lengths that are none",
    [
        (repr(v), sized(v), C400)
        for v in (
            b"-5",
            b"5.0",
            b"5e0",
            b"5_0",
            b"5 5",
            b'"5"',
            b"5;",
            b"five",
            b"5\x00",
            b"5\x0b",
            b"\x0c5",
            b"0b101",
            b"0o5",
            b"-0",
            b"\xd9\xa5",
            b"5h",
        )
    ],
)
wire("D09", "length 5, 5", sized(b"5, 5"), C400)
wire("D09x1", "length 5,", sized(b"5,"), C400)
wire("D09x2", "length ,5", sized(b",5"), C400)
wire("D10", "length 5, 6", sized(b"5, 6"), C400)
wire("D11", "length 5 on two lines", sized(b"5", b"5"), C400)
wire("D11x1", "length 0 and an empty one", sized(b"0", b"", body=b""), C400)
wire("D12.1", "length 5, then 6", sized(b"5", b"6"), C400)
wire(
    "D12.1x1",
    "length 6, then 5, in different case",
    post(b"Content-Length: 6", b"X: y", b"cONTENT-lENGTH: 5", body=b"hello"),
    C400,
)
wire("D13.1", "length 99999999999999999999", sized(b"99999999999999999999"), C400)
sweep(
    "D13.1x1",
    "lengths around the powers of two",
    [(str(v), sized(b"%d" % v), Refused(400, 413)) for v in (2**64, 2**64 + 5, 2**65, 10**30, 10**200)],
)
wire("D14.1", "length 05", sized(b"05"), refused_or_forwarded(400, body=b"hello"))
wire(
    "D14.1x1",
    "length 010 with ten bytes: never octal",
    sized(b"010", body=b"0123456789"),
    refused_or_forwarded(400, body=b"0123456789"),
)


def canonical_five(request):
    lines = [line for line in request.raw_head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    if lines and lines[0].split(b":", 1)[1].lstrip(b" ") != b"5":
        return "the length upstream is %r" % lines[0]


wire(
    "D15", "length 5, space and tab behind it", sized(b"5 \t"), Forwarded(body=b"hello", check=canonical_five)
)
wire(
    "D15x1",
    "length 5, spaces and tabs before it",
    sized(b" \t 5"),
    Forwarded(body=b"hello", check=canonical_five),
)
wire("D17", "length 10, three bytes, FIN", [sized(b"10", body=b"abc"), HalfClose()], NeverComplete())
wire("D17x1", "length 10, no byte, FIN", [sized(b"10", body=b""), HalfClose()], NeverComplete())
wire(
    "D17x2",
    "length 1 000 000, half of it, FIN",
    [sized(b"1000000", body=b"a" * 500_000), HalfClose()],
    NeverComplete(),
)
wire(
    "D18x1",
    "GET with a length and a body",
    get(b"Content-Length: 5") + b"hello",
    refused_or_forwarded(400, body=b"hello"),
)


@case("D17x3", "length 10, three bytes, then a reset", **RAW_CLIENT)
def reset_inside_a_body(lane):
    canary = lane.canary()
    connection = lane.connect()
    connection.play([sized(b"10", body=b"abc")], canary)
    lane.backend.wait(lambda: lane.backend.of(canary), 0.3)
    connection.reset()
    for request in lane.backend.of(canary):
        check(lane.backend.wait_gone(request), "the request was not aborted upstream within a second")
        check(not request.complete, "the request became complete upstream")
    lane.fresh_canary()


def too_long(lane, length):
    """Either 413 at once, or 408 when the body does not come."""
    limit = lane.proxy.timers.limit
    seen = lane.observe([sized(b"%d" % length, body=b"")], patience=limit + 1)
    for expected in (RefusedInBody(408, limit=limit), Refused(413)):
        problem = expected.problem(seen)
        if problem is None:
            return
        if seen.answer is not None and seen.answer.status in expected.statuses:
            break
    raise Failed("%s; %s" % (problem, seen.raw()))


@case("D19", "length 2^62 and no body", SLOW, 60, **RAW_CLIENT)
def length_of_2_to_the_62(lane):
    too_long(lane, 2**62)


@case("D19x1", "length 2^63 - 1 and no body", SLOW, 60, **RAW_CLIENT)
def length_of_2_to_the_63_minus_1(lane):
    too_long(lane, 2**63 - 1)


@case("D19x2", "length 10 and no body", SLOW, 60, **RAW_CLIENT)
def length_of_10(lane):
    too_long(lane, 10)
