"""An endpoint that speaks frames: what client and backend share of HTTP/2.

It does what a polite peer does (acknowledges, opens windows, counts what it may send)
unless a case switches that off, and never refuses to send raw bytes.
"""

import time

import compression
import frames
from endpoint import LOG_LIMIT, Endpoint

# Ours: wide enough that flow control never slows a case that is not about it.
OWN_WINDOW = 1 << 20
CONNECTION_WINDOW = 16 << 20
# Frames kept per connection for judging; floods are longer.
FRAMES_KEPT = 20_000


class Flow:
    """How much may be sent on a stream, and what has become of it."""

    def __init__(self, number, window):
        self.number = number
        self.window = window
        self.reset = None  # The code of the peer's RST_STREAM.
        self.reset_at = None
        self.peer_ended = False


class Session(Endpoint):
    def __init__(self, sock):
        super().__init__(sock)
        self.acks_settings = self.acks_pings = self.opens_windows = True
        self.peer_settings = {}
        self.settings_seen = self.settings_acked = 0
        self.window = frames.WINDOW
        self.flows = {}
        self.frames = []
        self.counts = {}
        self.goaways = []  # (last stream, code, when).
        self.pongs = []
        self.defects = []  # What the peer sent and should not have.
        self._decoder = compression.Decoder()
        self._block = None  # (frame of its beginning, bytes so far).
        self._taking = False
        self._credit = {}  # Bytes taken and not yet given back, by stream; 0 is the connection.

    # What comes.

    def receive(self, timeout):
        came = super().receive(timeout)
        if came:
            self.take_frames()
        return came

    def _note(self, data):
        """Frames are noted as text instead."""

    def take_frames(self):
        if self._taking:
            return  # Within an answer to a frame: the outer loop goes on.
        self._taking = True
        try:
            while (one := frames.take(self.buffer)) is not None:
                self.counts[one.type] = self.counts.get(one.type, 0) + 1
                if len(self.frames) < FRAMES_KEPT:
                    self.frames.append(one)
                if len(self.log) < LOG_LIMIT:
                    self.log += str(one).encode() + b"; "
                self._on_frame(one)
        finally:
            self._taking = False

    def _on_frame(self, one):
        if self._block and one.type != frames.CONTINUATION:
            self.defects.append("%s inside a header block" % one)
        if one.type == frames.SETTINGS:
            self._on_settings(one)
        elif one.type == frames.PING:
            if one.ack:
                self.pongs.append(one.payload)
            elif self.acks_pings:
                self.send(frames.ping(one.payload, ack=True))
        elif one.type == frames.WINDOW_UPDATE and len(one.payload) == 4:
            if one.stream == 0:
                self.window += one.word()
            elif one.stream in self.flows:
                self.flows[one.stream].window += one.word()
        elif one.type == frames.GOAWAY and len(one.payload) >= 8:
            self.goaways.append((one.word() & 0x7FFFFFFF, one.word(4), time.monotonic()))
        elif one.type == frames.RST_STREAM and len(one.payload) == 4:
            if flow := self.flows.get(one.stream):
                flow.reset, flow.reset_at = one.word(), time.monotonic()
                self.on_reset(flow)
        elif one.type == frames.HEADERS:
            self._block = one, one.content()
            self._end_block(one)
        elif one.type == frames.CONTINUATION:
            if self._block is None or self._block[0].stream != one.stream:
                self.defects.append("CONTINUATION out of place")
                return
            self._block = self._block[0], self._block[1] + one.payload
            self._end_block(one)
        elif one.type == frames.DATA:
            self._on_data(one)
        elif one.type == frames.PUSH_PROMISE:
            self.defects.append("PUSH_PROMISE")

    def _on_settings(self, one):
        if one.ack:
            self.settings_acked += 1
            return
        for name, value in one.settings():
            if name == frames.INITIAL_WINDOW_SIZE:
                change = value - self.peer_settings.get(name, frames.WINDOW)
                for flow in list(self.flows.values()):
                    flow.window += change
            self.peer_settings[name] = value
        self.settings_seen += 1
        if self.acks_settings:
            self.send(frames.settings(ack=True))

    def _end_block(self, one):
        if not one.flags & frames.END_HEADERS:
            return
        first, block = self._block
        self._block = None
        try:
            fields = self._decoder.decoded(block)
        except compression.CompressionError as error:
            self.defects.append("header block: %s" % error)
            return
        self.on_head(first.stream, fields, first.ends)

    def _on_data(self, one):
        content = one.content()
        self.on_body(one.stream, content, one.ends)
        if not self.opens_windows or not one.payload:
            return
        updates = b""
        for stream in (0, one.stream):
            owed = self._credit.get(stream, 0) + len(one.payload)
            if owed >= OWN_WINDOW // 4 and not (stream and one.ends):
                updates += frames.window_update(stream, owed)
                owed = 0
            self._credit[stream] = owed
        if one.ends:
            self._credit.pop(one.stream, None)
        if updates:
            self.send(updates)

    # For each side.

    def on_head(self, stream, fields, ends):
        raise NotImplementedError

    def on_body(self, stream, content, ends):
        raise NotImplementedError

    def on_reset(self, flow):
        pass

    # What goes.

    @property
    def initial_window(self):
        return self.peer_settings.get(frames.INITIAL_WINDOW_SIZE, frames.WINDOW)

    def flow(self, stream):
        return self.flows.setdefault(stream, Flow(stream, self.initial_window))

    def room(self, flow):
        """Bytes of DATA that may be sent now."""
        return max(0, min(self.window, flow.window, self.peer_settings.get(frames.MAX_FRAME_SIZE, frames.FRAME_SIZE)))

    def send_data(self, stream, content, end=False, timeout=5.0):
        """DATA within the peer's windows; the number of bytes that went out."""
        flow, sent = self.flow(stream), 0
        deadline = time.monotonic() + timeout
        while True:
            if flow.reset is not None or self.ended:
                return sent
            size = min(self.room(flow), len(content) - sent)
            if size > 0 or (sent == len(content)):
                last = end and sent + size == len(content)
                if size or last:
                    self.window -= size
                    flow.window -= size
                    left = max(0.01, deadline - time.monotonic())
                    raw = frames.data(stream, content[sent : sent + size], last)
                    if self.send(raw, left) < len(raw):
                        return sent
                sent += size
                if sent == len(content):
                    return sent
                continue
            if not self.wait_for(lambda: self.room(flow) > 0 or flow.reset is not None, deadline - time.monotonic()):
                return sent

    def wait_for(self, condition, timeout):
        """Waits for something that only a frame can bring."""
        return timeout > 0 and self.until(condition, timeout) and not self.ended
