"""I. Hop-by-hop fields and trust."""

import socket
import struct

import messages
from catalog import RAW, case, check, sweep, wire
from client import H1Connection
from expect import Either, Forwarded, Refused, excerpt, refused_or_forwarded
from messages import get, post

wire(
    "I01.1",
    "Connection names Authorization and X-Forwarded-For",
    get(b"Connection: close, X-Forwarded-For, Authorization", b"Authorization: Bearer k"),
    Either(Refused(400), Forwarded(present=[(b"Authorization", b"Bearer k")])),
)
sweep(
    "I01x1",
    "Connection names an end-to-end field",
    [
        (
            name.decode(),
            get(b"Connection: " + name, name + b": v"),
            refused_or_forwarded(400, present=[(name, b"v")]),
        )
        for name in (b"Authorization", b"Cookie", b"Content-Type", b"Accept")
    ],
)
wire("I02.1", "Connection names Host", get(b"Connection: Host"), refused_or_forwarded(400, host=b"a"))
wire(
    "I02.3",
    "Connection names Transfer-Encoding on a chunked POST",
    post(b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
    refused_or_forwarded(400, body=b"hello"),
)
wire(
    "I02x1",
    "Connection names Content-Length",
    post(b"Connection: Content-Length", b"Content-Length: 5", body=b"hello"),
    refused_or_forwarded(400, body=b"hello"),
)
wire("I03.1", "Keep-Alive", get(b"Keep-Alive: timeout=5"), Forwarded(absent=[b"Keep-Alive"]))
wire(
    "I03x1", "Proxy-Connection", get(b"Proxy-Connection: keep-alive"), Forwarded(absent=[b"Proxy-Connection"])
)
wire(
    "I03x2",
    "a field that Connection names",
    get(b"Connection: X-Hop", b"X-Hop: v"),
    Forwarded(absent=[b"X-Hop"]),
)
wire(
    "I03x3",
    "fields that two Connection lines name, in other case",
    get(b"Connection: x-HOP", b"X-Hop: v", b"Connection: keep-alive, X-Jump", b"x-jump: w"),
    Forwarded(absent=[b"X-Hop", b"X-Jump"]),
)


def only_trailers(request):
    if set(request.tokens(b"te")) - {b"trailers"}:
        return "TE upstream is %r" % request.all(b"te")


wire(
    "I03.3",
    "TE: gzip, trailers",
    get(b"TE: gzip, trailers", b"Connection: TE"),
    Forwarded(check=only_trailers),
)
wire("I03.3x1", "TE without Connection", get(b"TE: gzip, trailers"), Forwarded(check=only_trailers))
wire("I03.4", "Upgrade without Connection", get(b"Upgrade: foo"), Forwarded(absent=[b"Upgrade"]))
wire("I03.6", "Trailer without trailers", get(b"Trailer: X-T"), Forwarded(absent=[b"Trailer"]))


def last_forwarded_for(request):
    """The client as the backend must see it: the last member of X-Forwarded-For."""
    members = request.tokens(b"x-forwarded-for")
    return members[-1] if members else None


def real_peer_last(request):
    if last_forwarded_for(request) != b"127.0.0.1":
        return "X-Forwarded-For upstream is %r" % request.all(b"x-forwarded-for")


def without(name, value):
    def check(request):
        if any(value in v for v in request.all(name)):
            return "%s upstream is %r" % (name.decode(), request.all(name))

    return Forwarded(check=check)


wire(
    "I04.1",
    "X-Forwarded-For from an untrusted peer",
    get(b"X-Forwarded-For: 6.6.6.6"),
    Forwarded(check=real_peer_last),
)
wire(
    "I04.1x1",
    "X-Forwarded-For on two lines and with odd members",
    get(b"X-Forwarded-For: 6.6.6.6", b"x-forwarded-for: 7.7.7.7, unknown, "),
    Forwarded(check=real_peer_last),
)
wire("I04.1x2", "no X-Forwarded-For: the peer is told", get(), Forwarded(check=real_peer_last))
wire(
    "I04.3",
    "X-Forwarded-Host from an untrusted peer",
    get(b"X-Forwarded-Host: evil.example"),
    without(b"x-forwarded-host", b"evil.example"),
)
wire(
    "I04.5", "X-Real-IP from an untrusted peer", get(b"X-Real-IP: 6.6.6.6"), without(b"x-real-ip", b"6.6.6.6")
)
wire(
    "I04x1",
    "X-Forwarded-Proto from an untrusted peer",
    get(b"X-Forwarded-Proto: https"),
    without(b"x-forwarded-proto", b"https"),
)
wire(
    "I04x2",
    "Forwarded from an untrusted peer",
    get(b"Forwarded: for=6.6.6.6;host=evil.example"),
    without(b"forwarded", b"6.6.6.6"),
)

# PROXY protocol. The listener trusts 127.0.0.0/8.

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1 = b"PROXY TCP4 9.8.7.6 127.0.0.1 1111 80\r\n"


def v2(command=0x21, family=0x11, addresses=None, length=None, tail=b""):
    if addresses is None:
        addresses = socket.inet_aton("9.8.7.6") + socket.inet_aton("127.0.0.1") + struct.pack("!HH", 1111, 80)
    payload = addresses + tail
    return (
        SIGNATURE + struct.pack("!BBH", command, family, len(payload) if length is None else length) + payload
    )


def accepted(lane, preface, client, pieces=None):
    """The request behind the preface is answered, and the backend sees `client`."""
    canary = lane.canary()
    connection = H1Connection(lane.proxy.proxied_address)
    connection.expect()
    for piece in pieces or [preface + messages.Request(canary).h1()]:
        connection.play([piece, messages.Pause(0.005)] if pieces else [piece], canary)
    lane.good(connection.answer(1.0), canary, "a request behind %s" % excerpt(preface))
    second = lane.canary()
    lane.good(
        lane.ask(messages.Request(second, fields=[(b"X-Forwarded-For", b"6.6.6.6")]), connection),
        second,
        "the next request on it",
    )
    connection.close()
    for one in (canary, second):
        request = lane.upstream(one)
        check(not request.defects, "not canonical upstream: %s" % request.defects)
        check(
            last_forwarded_for(request) == client,
            "X-Forwarded-For upstream is %r instead of %r" % (request.all(b"x-forwarded-for"), client),
        )


def turned_away(lane, preface, what):
    """Closed without a byte, and nothing upstream."""
    mark, canary = lane.backend.mark(), lane.canary()
    connection = H1Connection(lane.proxy.proxied_address)
    connection.play([preface + messages.Request(canary).h1()], canary)
    end = connection.wait_end(1.0)
    log = bytes(connection.log)
    connection.close()
    lane.fresh_canary()
    check(not log, "%s: answered with %s" % (what, excerpt(log)))
    check(end, "%s: not closed within a second" % what)
    seen = [r for r in lane.backend.since(mark) if r.canary() == canary or r.canary() is None]
    check(not seen, lambda: "%s: U=%d; upstream saw %s" % (what, len(seen), excerpt(seen[0].raw_head)))


@case("I06.1", "PROXY protocol v1", **RAW)
def proxy_v1(lane):
    accepted(lane, V1, b"9.8.7.6")


@case("I06.1x1", "PROXY protocol v1: TCP6", **RAW)
def proxy_v1_tcp6(lane):
    accepted(lane, b"PROXY TCP6 2001:db8::1 ::1 1111 80\r\n", b"2001:db8::1")


@case("I06.1x2", "PROXY protocol v1: UNKNOWN, whatever follows it: the real peer", **RAW)
def proxy_v1_unknown(lane):
    accepted(lane, b"PROXY UNKNOWN\r\n", b"127.0.0.1")
    accepted(lane, b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", b"127.0.0.1")


@case("I06.1x3", "PROXY protocol v1, one byte per write", **RAW)
def proxy_v1_bytewise(lane):
    accepted(lane, V1, b"9.8.7.6", [V1[i : i + 1] for i in range(len(V1))] + [messages.get()])


@case("I06.2", "PROXY protocol v2", **RAW)
def proxy_v2(lane):
    accepted(lane, v2(), b"9.8.7.6")


@case("I06.2x1", "PROXY protocol v2: TCP6", **RAW)
def proxy_v2_tcp6(lane):
    six = (
        socket.inet_pton(socket.AF_INET6, "2001:db8::1")
        + socket.inet_pton(socket.AF_INET6, "::1")
        + struct.pack("!HH", 1111, 80)
    )
    accepted(lane, v2(family=0x21, addresses=six), b"2001:db8::1")


@case("I06.2x2", "PROXY protocol v2: LOCAL, with and without addresses: the real peer", **RAW)
def proxy_v2_local(lane):
    accepted(lane, v2(command=0x20), b"127.0.0.1")
    accepted(lane, v2(command=0x20, family=0, addresses=b""), b"127.0.0.1")


@case("I06.2x3", "PROXY protocol v2: UNSPEC: the real peer", **RAW)
def proxy_v2_unspec(lane):
    accepted(lane, v2(family=0, addresses=b""), b"127.0.0.1")


@case("I06.2x4", "PROXY protocol v2 with TLVs", **RAW)
def proxy_v2_tlvs(lane):
    accepted(lane, v2(tail=b"\x04\x00\x03abc"), b"9.8.7.6")


@case("I06.2x5", "PROXY protocol v2, one byte per write", **RAW)
def proxy_v2_bytewise(lane):
    raw = v2()
    accepted(lane, raw, b"9.8.7.6", [raw[i : i + 1] for i in range(len(raw))] + [messages.get()])


@case("I06.4", "broken PROXY protocol v1", **RAW)
def broken_v1(lane):
    for what, preface in (
        ("no CR LF in 107 bytes", b"PROXY TCP4 9.8.7.6 127.0.0.1 1111 80" + b" " * 100),
        ("LF only", V1.replace(b"\r\n", b"\n")),
        ("NUL", V1.replace(b" 1111", b" 11\x0011")),
        ("port 65536", V1.replace(b"1111", b"65536")),
        ("TCP5", V1.replace(b"TCP4", b"TCP5")),
        ("address 9.8.7.600", V1.replace(b"9.8.7.6", b"9.8.7.600")),
    ):
        turned_away(lane, preface, what)


@case("I06.6", "PROXY protocol v1 with port 0111", **RAW)
def octal_port(lane):
    turned_away(lane, V1.replace(b"1111", b"0111"), "port 0111")


@case("I06x1", "other broken PROXY protocol v1", **RAW)
def broken_v1_more(lane):
    for what, preface in (
        ("two spaces", V1.replace(b" 1111", b"  1111")),
        ("tab", V1.replace(b" 1111", b"\t1111")),
        ("a field too many", V1.replace(b" 80", b" 80 1")),
        ("a field too few", V1.replace(b" 80", b"")),
        ("lower case", V1.replace(b"PROXY", b"proxy")),
        ("an address of TCP6 in TCP4", V1.replace(b"9.8.7.6", b"::1")),
        ("an address of TCP4 in TCP6", V1.replace(b"TCP4", b"TCP6")),
        ("octal address", V1.replace(b"9.8.7.6", b"9.8.7.06")),
        ("negative port", V1.replace(b"1111", b"-1")),
        ("signed port", V1.replace(b"1111", b"+1")),
        ("short address", V1.replace(b"9.8.7.6", b"9.8.7")),
        ("bare CR", V1.replace(b"\r\n", b"\r")),
        ("two CR", V1.replace(b"\r\n", b"\r\r\n")),
        ("no preface at all", b""),
    ):
        turned_away(lane, preface, what)


@case("I06x2", "broken PROXY protocol v2", **RAW)
def broken_v2(lane):
    for what, preface in (
        ("version 1", v2(command=0x11)),
        ("version 3", v2(command=0x31)),
        ("command 2", v2(command=0x22)),
        ("addresses cut short", v2(addresses=b"\x09\x08\x07\x06")),
        ("family 15", v2(family=0xF1)),
        ("signature broken at its end", SIGNATURE[:-1] + b"X" + v2()[12:]),
    ):
        turned_away(lane, preface, what)


@case("I06x3", "a PROXY line where PROXY protocol is switched off", **RAW)
def preface_where_it_is_off(lane):
    lane.judge([V1 + get()], Refused(400))
    lane.judge([v2() + get()], Refused(400))
