"""What both kinds of chaos need: a front door, backends and clients that know every byte.

Each request has a canary, and every byte of its answer follows from it: a byte that
belongs to another request cannot go unnoticed. Nothing here measures how fast things are.
"""

import hashlib
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request

# Seconds. What a client waits for the next byte: far above every timer of the configuration.
PATIENCE = 25.0

CONFIGURATION = """\
loops: 2
listeners:
  - address: 127.0.0.1:{door}
    timeouts: {{request_head: 2s, idle: 1s, send: 3s, body_grace: 2s}}
admin: {{address: 127.0.0.1:{admin}}}
access_log: {{path: {log}}}
pools:
  - name: main
    backends: [{backends}]
    balance: round_robin
    breaker: {{enabled: false}}
    timeouts: {{connect: 1s, first_byte: 3s, response_head: 2s, between_chunks: 3s, total: 10s, idle: 500ms}}
routes: [{{pool: main}}]
"""


class Wrong(Exception):
    """Something that must never happen has happened."""


def free_port():
    """Below the ports that the kernel gives to clients, of whom there are many."""
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue


def content(canary, size):
    """The body of the answer to a canary: its bytes at any place say whose they are."""
    unit = b"%s|" % canary.encode()
    return (unit * (size // len(unit) + 1))[:size]


class Door:
    """`portico run` in a folder of its own."""

    def __init__(self, program, folder, backends, environment=None):
        self.port, self.admin = free_port(), free_port()
        self.access_log = os.path.join(folder, "access.log")
        self.log_path = os.path.join(folder, "log")
        path = os.path.join(folder, "portico.yaml")
        with open(path, "w") as file:
            file.write(CONFIGURATION.format(
                door=self.port, admin=self.admin, log=self.access_log,
                backends=", ".join("'127.0.0.1:%d'" % port for port in backends)))
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program, "run", "-c", path], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=dict(os.environ, SWIFT_BACKTRACE="enable=no", **(environment or {})))
        self.wait_for(lambda: " info ready " in self.log(), 60, "is not ready")

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def wait_for(self, condition, seconds, words):
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                raise Wrong("portico ended with %s\n%s" % (self.process.returncode, self.log()[-3000:]))
            if time.monotonic() > deadline:
                raise Wrong("portico %s within %d s\n%s" % (words, seconds, self.log()[-1500:]))
            time.sleep(0.05)

    def metrics(self):
        url = "http://127.0.0.1:%d/metrics" % self.admin
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return Metrics(answer.read().decode())

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def settled(self, descriptors):
        """Waits until nothing of the past is left: no connection, no request, no descriptor."""
        def at_rest():
            m = self.metrics()
            self.last = {name: m.sum(name) for name in [
                "portico_open_connections", "portico_open_streams", "portico_backend_in_flight",
                "portico_upstream_connections"]}
            self.last["descriptors"] = self.descriptors()
            left = dict(self.last)
            return left.pop("descriptors") <= descriptors + 3 and not any(left.values())

        self.last = {}
        try:
            self.wait_for(at_rest, 20, "does not come to rest")
        except Wrong as wrong:
            raise Wrong("%s: %s" % (wrong, self.last)) from None

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Metrics:
    """Prometheus text."""

    def __init__(self, text):
        self.samples = re.findall(r"^(\w+)(\{[^}]*\})? (\S+)$", text, re.M)

    def sum(self, name, *labels):
        return sum(
            float(value) for found, given, value in self.samples
            if found == name and all(label in given for label in labels))


class Backend:
    """Answers each request with what follows from its canary, and counts how often it came.

    The target says how: `/size/N` with a length, `/pieces/N` chunked. A body must be what
    follows from the canary too.
    """

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.came = {}  # canary: whole requests
        self.faults = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        buffer = bytearray()
        try:
            sock.settimeout(60)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._request(sock, buffer):
                pass
        except OSError:
            pass
        except Exception as error:  # What a proxy sent that is no request.
            self.faults.append("%r of %r" % (error, bytes(buffer[:300])))
        finally:
            sock.close()

    def _request(self, sock, buffer):
        head = read_until(sock, buffer, b"\r\n\r\n")
        if head is None:
            return False
        method, target, _ = head.split(b"\r\n")[0].split(b" ")
        fields = parse_fields(head)
        canary = fields[b"x-canary"].decode()
        if b"transfer-encoding" in fields:
            body = read_chunked(sock, buffer)
        else:
            body = read_exactly(sock, buffer, int(fields.get(b"content-length", b"0")))
        if body is None:
            return False
        if bytes(body) != content(canary, len(body)):
            self.faults.append("the body of %s came as %r" % (canary, bytes(body[:200])))
        with self.lock:
            self.came[canary] = self.came.get(canary, 0) + 1
        kind, size = target.split(b"/")[1:3]
        text = content(canary, int(size))
        start = b"HTTP/1.1 200 OK\r\nX-Canary: %s\r\n" % canary.encode()
        if kind == b"pieces":
            sock.sendall(start + b"Transfer-Encoding: chunked\r\n\r\n")
            step = max(1, len(text) // 7)
            for at in range(0, len(text), step):
                piece = text[at : at + step]
                sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            sock.sendall(b"0\r\n\r\n")
        else:
            sock.sendall(start + b"Content-Length: %d\r\n\r\n" % len(text) + text)
        return True

    def stop(self):
        self.listener.close()


# Reading from a socket; None where the peer has gone before the end.


def more(sock, buffer):
    data = sock.recv(65_536)
    buffer += data
    return bool(data)


def read_until(sock, buffer, mark):
    while mark not in buffer:
        if not more(sock, buffer):
            return None
    at = buffer.index(mark) + len(mark)
    taken = bytes(buffer[:at])
    del buffer[:at]
    return taken


def read_exactly(sock, buffer, count):
    while len(buffer) < count:
        if not more(sock, buffer):
            return None
    taken = bytes(buffer[:count])
    del buffer[:count]
    return taken


def read_chunked(sock, buffer):
    body = b""
    while True:
        line = read_until(sock, buffer, b"\r\n")
        if line is None:
            return None
        size = int(line.split(b";")[0], 16)
        chunk = read_exactly(sock, buffer, size + 2)
        if chunk is None:
            return None
        if size == 0:
            return body
        body += chunk[:-2]


def parse_fields(head):
    lines = head.split(b"\r\n")[1:]
    return {k.lower(): v.strip() for k, _, v in (line.partition(b":") for line in lines if line)}


class Outcome:
    """What became of one request: `good`, `refused` by the front door, or `cut`."""

    def __init__(self, kind, detail=""):
        self.kind, self.detail = kind, detail


class Client:
    """One after the other, on a connection for as long as it lasts."""

    def __init__(self, port, name, seed):
        self.port, self.name = port, name
        self.random = random.Random(seed)
        self.sock, self.buffer = None, bytearray()
        self.canaries = {}  # canary: may it come twice?
        self.outcomes = []

    def run(self, count):
        for number in range(count):
            canary = "%s-%d-%s" % (self.name, number, hashlib.md5(self.name.encode()).hexdigest()[:6])
            self.outcomes.append(self.ask(canary))
        self.close()

    def ask(self, canary):
        r = self.random
        method = r.choice(["GET", "GET", "POST"])
        kind, size = r.choice(["size", "pieces"]), r.choice([0, 1, 100, 3_000, 80_000])
        body = content(canary, r.choice([0, 10, 2_000, 90_000])) if method == "POST" else b""
        self.canaries[canary] = method == "GET"
        head = b"%s /%s/%d HTTP/1.1\r\nHost: a\r\nX-Canary: %s\r\n" % (
            method.encode(), kind.encode(), size, canary.encode())
        if method == "POST" and r.random() < 0.5:
            pieces = [body[at : at + 7_000] for at in range(0, len(body), 7_000)]
            wire = head + b"Transfer-Encoding: chunked\r\n\r\n"
            wire += b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
        else:
            wire = head + (b"Content-Length: %d\r\n" % len(body) if method == "POST" else b"")
            wire += b"\r\n" + body
        try:
            if self.sock is None:
                self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
                self.buffer = bytearray()
            try:
                self.sock.sendall(wire)
            except OSError:
                pass  # An answer may stand there all the same.
            return self.answer(canary, size)
        except TimeoutError:
            raise Wrong("%s: no end within %d s" % (canary, PATIENCE)) from None
        except OSError as error:
            self.close()
            return Outcome("cut", str(error))

    def answer(self, canary, size):
        head = read_until(self.sock, self.buffer, b"\r\n\r\n")
        if head is None:
            left = bytes(self.buffer)
            self.close()
            if left and not b"HTTP/1.1 200 OK\r\nX-Canary: ".startswith(left[:27]):
                raise Wrong("%s: %r came before the end" % (canary, left[:300]))
            return Outcome("cut", "before the head")
        status = int(head.split(b" ")[1])
        fields = parse_fields(head)
        wanted = content(canary, size)
        if status == 200:
            if fields.get(b"x-canary") != canary.encode():
                raise Wrong("%s: the answer of %r" % (canary, fields.get(b"x-canary")))
        else:
            wanted = None
            if b"x-canary" in fields:
                raise Wrong("%s: a status of nobody's: %r" % (canary, head))
        body = b""
        if b"transfer-encoding" in fields:
            body, whole = self.chunked()
        else:
            length = int(fields[b"content-length"])
            body = read_exactly(self.sock, self.buffer, length)
            whole = body is not None
            body = body if whole else bytes(self.buffer)
        if wanted is not None and not wanted.startswith(body):
            raise Wrong("%s: bytes of another: %r" % (canary, body[:300]))
        if not whole:
            self.close()
            return Outcome("cut", "within the body")
        if wanted is not None and body != wanted:
            raise Wrong("%s: ended well after %d of %d bytes" % (canary, len(body), size))
        if fields.get(b"connection", b"").lower() == b"close":
            self.close()
        elif self.buffer:
            raise Wrong("%s: bytes behind the answer: %r" % (canary, bytes(self.buffer[:300])))
        return Outcome("good" if status == 200 else "refused", "%d %s" % (status, body[-60:] if status != 200 else ""))

    def chunked(self):
        body = b""
        while True:
            line = read_until(self.sock, self.buffer, b"\r\n")
            if line is None:
                return body, False
            size = int(line, 16)
            chunk = read_exactly(self.sock, self.buffer, size + 2)
            if chunk is None:
                return body + bytes(self.buffer[:size]), False
            if size == 0:
                return body, True
            body += chunk[:-2]

    def close(self):
        if self.sock is not None:
            self.sock.close()
        self.sock = None


def crowd(port, name, seed, clients, requests):
    """Runs clients side by side; returns them. What one of them finds wrong is raised here."""
    all_clients = [Client(port, "%s%d" % (name, n), seed * 1_000 + n) for n in range(clients)]
    wrong = []

    def run(client):
        try:
            client.run(requests)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(client,), daemon=True) for client in all_clients]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 150
    for thread in threads:
        thread.join(max(0.1, deadline - time.monotonic()))
        if thread.is_alive():
            raise Wrong("%s: the clients have not come to an end" % name)
    if wrong:
        raise wrong[0]
    return all_clients


def tally(clients):
    kinds = {"good": 0, "refused": 0, "cut": 0}
    for client in clients:
        for outcome in client.outcomes:
            kinds[outcome.kind] += 1
    return kinds


def check_executions(clients, backends):
    """What may not be done twice was done once at most; nothing came that nobody had asked."""
    twice = {}
    for client in clients:
        twice.update(client.canaries)
    for backend in backends:
        if backend.faults:
            raise Wrong("a backend was sent: %s" % backend.faults[0])
    for canary, may_repeat in twice.items():
        times = sum(backend.came.get(canary, 0) for backend in backends)
        if times > (3 if may_repeat else 1):
            raise Wrong("%s came %d times" % (canary, times))
