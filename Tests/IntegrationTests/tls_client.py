"""Clients that the stories about TLS need and no command is. Standard library only.

usage: tls_client.py STORY PORT CA [...]
"""

import concurrent.futures
import socket
import ssl
import sys
import time

HOST = "front.example"


def context(ca):
    made = ssl.create_default_context(cafile=ca)
    made.set_alpn_protocols(["http/1.1"])
    return made


def connect(port, ca, made=None):
    raw = socket.create_connection(("127.0.0.1", port), timeout=30)
    return (made or context(ca)).wrap_socket(raw, server_hostname=HOST)


def get(path="/"):
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def read_all(tls):
    pieces = []
    while piece := tls.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def byte_by_byte(port, ca):
    """A request in records of one byte each, and two requests in one record."""
    tls = connect(port, ca)
    for byte in get():
        tls.sendall(bytes([byte]))
    assert tls.recv(65536).startswith(b"HTTP/1.1 200 "), "byte by byte"
    tls.sendall(get() + get())
    seen = b""
    while seen.count(b"HTTP/1.1 200 ") < 2 or not seen.endswith(b"ok\n"):
        seen += tls.recv(65536)
    # The server must say that it is done, or a cut answer could not be told from a whole one.
    tls.sendall(get().replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert read_all(tls).endswith(b"ok\n"), "close_notify"
    print("good")


def half_records(port, ca):
    """Ciphertext that comes in drops: records arrive in pieces."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(ca).wrap_bio(incoming, outgoing, server_hostname=HOST)
    raw = socket.create_connection(("127.0.0.1", port), timeout=30)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def flush():
        for byte in outgoing.read():
            raw.sendall(bytes([byte]))

    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            flush()
            incoming.write(raw.recv(65536))
    tls.write(get())
    flush()
    while True:
        try:
            answer = tls.read(65536)
            break
        except ssl.SSLWantReadError:
            incoming.write(raw.recv(65536))
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    print("good")


def proxied(port, ca):
    """A PROXY protocol header before TLS, whole and in two parts."""
    for parts in [[b"PROXY TCP4 9.8.7.6 1.2.3.4 5 6\r\n"], [b"PROXY TCP4 9.8", b".7.6 1.2.3.4 5 6\r\n"]]:
        raw = socket.create_connection(("127.0.0.1", port), timeout=30)
        for part in parts:
            raw.sendall(part)
            time.sleep(0.05)
        tls = context(ca).wrap_socket(raw, server_hostname=HOST)
        tls.sendall(get())
        assert tls.recv(65536).startswith(b"HTTP/1.1 200 ")
        tls.close()
    raw = socket.create_connection(("127.0.0.1", port), timeout=30)
    raw.sendall(b"HELLO TCP4 9.8.7.6 1.2.3.4 5 6\r\n")
    assert raw.recv(100) == b""
    print("good")


def slow(port, ca, size):
    """Reads a large answer slowly; the caller watches the server's memory meanwhile."""
    tls = connect(port, ca)
    tls.sendall(get("/large"))
    time.sleep(1.5)
    print("waiting", flush=True)
    time.sleep(0.5)
    seen = 0
    head = b""
    while b"\r\n\r\n" not in head:
        head += tls.recv(1)
    while seen < int(size):
        piece = tls.recv(16384)
        assert piece, f"cut after {seen}"
        assert piece == b"x" * len(piece), "other bytes"
        seen += len(piece)
        if seen < 1 << 20:
            time.sleep(0.005)
    print("good")


def upload(port, ca, size):
    tls = connect(port, ca)
    head = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {size}\r\n\r\n"
    tls.sendall(head.encode())
    tls.sendall(b"x" * int(size))
    answer = tls.recv(65536)
    assert answer.endswith(f"{size}\n".encode()), answer
    print("good")


def events(port, ca):
    """Each event must come when it is sent: the backend waits for its answer before the next."""
    tls = connect(port, ca)
    tls.sendall(get("/events"))
    seen = b""
    for number in range(5):
        wanted = f"data: {number}\n\n".encode()
        while wanted not in seen:
            piece = tls.recv(65536)
            assert piece, seen
            seen += piece
        ask = connect(port, ca)
        ask.sendall(get(f"/seen/{number}"))
        assert ask.recv(65536).startswith(b"HTTP/1.1 200 ")
        ask.close()
    print("good")


def storm(port, ca, rate, seconds):
    """New connections at a rate; prints failures and the serial numbers that were shown."""
    made = context(ca)
    serials = set()

    def one(_):
        try:
            tls = connect(port, ca, made)
            tls.sendall(get())
            answer = tls.recv(65536)
            serial = tls.getpeercert()["serialNumber"]
            tls.close()
            return None if answer.startswith(b"HTTP/1.1 200 ") else answer, serial
        except Exception as error:  # Whatever it is counts as a failure.
            return error, None

    failures = []
    count = int(rate) * int(seconds)
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        waiting = []
        for number in range(count):
            pause = begin + number / int(rate) - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            waiting.append(pool.submit(one, number))
        for answer in waiting:
            error, serial = answer.result()
            if error:
                failures.append(repr(error))
            serials.add(serial)
    print("failures", len(failures), failures[:3])
    print("serials", len(serials - {None}))
    print("made", count)


def cut(port, ca):
    """Whether an answer without a length that was cut looks cut."""
    tls = connect(port, ca)
    tls.sendall(get("/"))
    try:
        answer = read_all(tls)
    except (ssl.SSLError, ConnectionError) as error:
        print("cut:", type(error).__name__)
        return
    print("whole" if answer.endswith(b"0\r\n\r\n") else "short")


def main(story, port, *rest):
    globals()[story](int(port), *rest)


main(*sys.argv[1:])
