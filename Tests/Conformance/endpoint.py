"""One end of a TCP connection, as the harness needs to see it.

Client and backend share this class because both judge the same thing: which
bytes came, when, and how the peer ended: politely (FIN) or not (RST). Python's
own file objects hide exactly that difference.
"""

import select
import socket
import ssl
import struct
import time

FIN = "FIN"  # The peer half-closed or closed; everything before it was read.
RST = "RST"  # The peer reset, or closed while bytes of ours were unread.
CLOSED = "closed"  # We closed.

# Bytes kept per connection for messages. 256 KiB: any head that is judged byte by
# byte fits, and a 20 MB upload does not stay in memory twice.
LOG_LIMIT = 256 * 1024
# Plaintext given to TLS at once: one record.
RECORD = 16_384


class Endpoint:
    """A non-blocking socket with a receive buffer, a log and a known end."""

    def __init__(self, sock):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.buffer = bytearray()  # Received, not yet consumed by a parser.
        self.log = bytearray()  # Received, for messages; see LOG_LIMIT.
        self.ended = None  # None, FIN, RST or CLOSED.
        self.ended_at = None
        self.peer_ended = None  # None, FIN or RST: what the peer did, whatever we did after.
        self.tls = None

    def secure(self, alpn, timeout=2.0):
        """Makes a TLS client of this connection. Whom it talks to is not its subject.

        TLS stands in memory beside the socket, so that FIN and RST stay visible.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(list(alpn))
        self._sealed_in, self._sealed_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self._sealed_in, self._sealed_out, server_hostname="a")
        deadline = time.monotonic() + timeout
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._send(self._sealed_out.read(), deadline)
                if time.monotonic() > deadline or not self._poll(select.POLLIN, deadline - time.monotonic()):
                    raise TimeoutError("no TLS handshake within %.0f s" % timeout)
                data = self.sock.recv(65536)
                if not data:
                    raise ConnectionError("closed within the TLS handshake")
                self._sealed_in.write(data)
        self.tls = tls
        self._send(self._sealed_out.read(), deadline)
        return tls.selected_alpn_protocol()

    # What happened.

    def receive(self, timeout):
        """Waits for bytes or the end. True when either came."""
        if self.ended:
            return False
        if not self._poll(select.POLLIN, timeout):
            return False
        try:
            data = self.sock.recv(262144)
        except BlockingIOError:
            return False
        except OSError:
            self._end(RST)
            return True
        if not data:
            self._end(FIN)
            return True
        data = self._open(data) if self.tls else data
        self.buffer += data
        self._note(data)
        return True

    def until(self, condition, timeout):
        """Receives until `condition()` holds; says whether it does."""
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            if self.ended or left <= 0:
                return bool(condition())
            self.receive(left)
        return True

    def wait_end(self, timeout):
        """Receives until the peer ends; says how, or None when it did not."""
        self.until(lambda: self.ended, timeout)
        return self.ended

    def was_reset_later(self):
        """True when an RST came after the FIN that `receive` reported.

        The kernel lets a reader finish first, so only the pending error tells.
        """
        if self.ended == RST:
            return True
        try:
            return self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        except OSError:
            return True

    # What we do.

    def send(self, data, timeout=5.0):
        """Sends while still reading, so that neither side can block the other.

        Returns the number of bytes the kernel took. Sending after the peer's
        FIN is allowed: a peer that half-closed and drains must accept it.
        """
        deadline = time.monotonic() + timeout
        if not self.tls:
            return self._send(data, deadline)
        sent = 0
        while sent < len(data):
            piece = bytes(data[sent : sent + RECORD])
            self.tls.write(piece)
            sealed = self._sealed_out.read()
            if self._send(sealed, deadline) < len(sealed):
                break
            sent += len(piece)
        return sent

    def _send(self, data, deadline):
        view = memoryview(bytes(data))
        sent = 0
        while sent < len(view):
            if self.ended in (RST, CLOSED):
                break
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                sent += self.sock.send(view[sent : sent + 262144])
                continue
            except BlockingIOError:
                pass
            except OSError:
                # EPIPE and ECONNRESET on send both mean that an RST came: after a
                # mere FIN the kernel would have taken the bytes. What came before
                # the RST may still lie in the receive queue; it tells what happened.
                while self.receive(0):
                    pass
                self._end(RST)
                break
            wanted = select.POLLOUT if self.ended else select.POLLOUT | select.POLLIN
            if self._poll(wanted, left) & select.POLLIN:
                self.receive(0)
        return sent

    def half_close(self):
        """FIN: we send no more, and still read."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def reset(self):
        """RST: linger of zero makes close() abortive."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.close()

    def close(self):
        if self.ended != CLOSED:
            self._end(CLOSED)
            self.sock.close()

    # Helpers.

    def _note(self, data):
        """Keeps what came, for messages."""
        if len(self.log) < LOG_LIMIT:
            self.log += data[: LOG_LIMIT - len(self.log)]

    def _open(self, data):
        """Plaintext of what came; none when a record is not whole."""
        self._sealed_in.write(data)
        opened = bytearray()
        while True:
            try:
                piece = self.tls.read(262144)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                break  # close_notify: the FIN behind it is what counts.
            except ssl.SSLError:
                self._end(RST)  # An alert: as rude as a reset.
                break
            if not piece:
                break
            opened += piece
        return bytes(opened)

    def _end(self, how):
        if self.ended is None:
            self.ended_at = time.monotonic()
        if self.ended is None or how in (RST, CLOSED):
            self.ended = how
        if how != CLOSED:
            self.peer_ended = how

    def _poll(self, events, timeout):
        """poll, not select: P08 holds more than 1 024 descriptors."""
        if self.ended == CLOSED:
            return 0
        poller = select.poll()
        poller.register(self.sock, events)
        ready = poller.poll(max(0, timeout) * 1000)
        return ready[0][1] if ready else 0
