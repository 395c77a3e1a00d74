#!/usr/bin/env python3
"""Bad networks on both sides of the real portico, from a seed.

A proxy of our own stands between the clients and portico, and one before each backend. By
seed it makes of each connection one that is slow, comes in single bytes, breaks off, ends too
early, stalls, or is in order. Whatever happens, no byte reaches a client that is not its own,
nothing is done twice that must not be, and afterwards all is as before.

toxics.py --portico .build/debug/portico [--seed 0] [--rounds 3]
"""

import argparse
import random
import select
import socket
import struct
import sys
import tempfile
import threading
import time

from faults import check_counters
from stage import Backend, Door, Wrong, check_executions, crowd, tally

# What may be wrong with one direction of a connection; the number is its weight.
TOXICS = {
    "none": 6,
    "latency": 3,  # Each piece comes a few milliseconds late.
    "slicer": 3,  # Single bytes, as far as a connection of ours takes them: the first 3,000.
    "reset_peer": 2,  # RST after some bytes.
    "truncate": 2,  # FIN after some bytes, in the middle of what they are.
    "slow_close": 2,  # FIN comes late.
    "stall": 1,  # Silence after some bytes, and no end.
    "bandwidth": 1,  # 200 KB/s.
}


class Pipe:
    """One direction of a connection with its toxic."""

    def __init__(self, source, sink, toxic, r):
        self.source, self.sink, self.toxic = source, sink, toxic
        self.left = r.choice([0, 1, 20, 150, 400, 5_000, 60_000])
        self.pause = r.choice([0.001, 0.005, 0.02])
        self.passed = 0

    def run(self, link):
        try:
            while not link.over:
                ready, _, _ = select.select([self.source], [], [], 0.5)
                if not ready:
                    continue
                data = self.source.recv(16_384)
                if not data:
                    if self.toxic == "slow_close":
                        link.stopped.wait(0.3)
                    self.sink.shutdown(socket.SHUT_WR)
                    return
                if not self.pass_on(data, link):
                    return
        except (OSError, ValueError):
            link.end()
        finally:
            link.finished()

    def pass_on(self, data, link):
        if self.toxic == "latency":
            link.stopped.wait(self.pause)
        elif self.toxic == "bandwidth":
            link.stopped.wait(len(data) / 200_000)
        elif self.toxic == "slicer":
            alone = max(0, min(len(data), 3_000 - self.passed))
            for at in range(alone):
                self.sink.sendall(data[at : at + 1])
            self.passed += len(data)
            data = data[alone:]
        elif self.toxic in ("reset_peer", "truncate", "stall") and len(data) >= self.left:
            self.sink.sendall(data[: self.left])
            if self.toxic == "reset_peer":
                # Both ends, so that each side sees its connection reset.
                link.end(reset=True)
            elif self.toxic == "truncate":
                link.end()
            else:
                # Until whoever waits gives up.
                while not link.over and self.source.recv(65_536):
                    pass
                link.end()
            return False
        self.left -= len(data)
        self.sink.sendall(data)
        return True


class Link:
    """A connection through the bad network."""

    def __init__(self, client, port, r):
        self.stopped = threading.Event()
        self.client = client
        self.server = socket.create_connection(("127.0.0.1", port), timeout=10)
        for sock in (client, self.server):
            sock.settimeout(60)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kinds, weights = list(TOXICS), list(TOXICS.values())
        toxics = r.choices(kinds, weights, k=2)
        self.pipes = [
            Pipe(client, self.server, toxics[0], r), Pipe(self.server, client, toxics[1], r)]
        self.running = 2
        self.lock = threading.Lock()
        for pipe in self.pipes:
            threading.Thread(target=pipe.run, args=(self,), daemon=True).start()

    @property
    def over(self):
        return self.stopped.is_set()

    def end(self, reset=False):
        self.stopped.set()
        for sock in (self.client, self.server):
            try:
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.close()
                else:
                    sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def finished(self):
        with self.lock:
            self.running -= 1
            if self.running == 0:
                self.client.close()
                self.server.close()


class Network:
    """Listens for one side and connects to the other. Without a seed it changes nothing."""

    def __init__(self, port):
        self.port_behind = port
        self.random = None
        self.counts = {}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def turn_bad(self, seed):
        self.random = random.Random(seed)

    def turn_good(self):
        self.random = None

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            r = self.random or Harmless()
            try:
                link = Link(client, self.port_behind, r)
            except OSError:
                client.close()
                continue
            for pipe in link.pipes:
                self.counts[pipe.toxic] = self.counts.get(pipe.toxic, 0) + 1

    def stop(self):
        self.listener.close()


class Harmless(random.Random):
    def choices(self, population, weights=None, *, cum_weights=None, k=1):
        return ["none"] * k


def story(portico, seed, clients, requests):
    backends = [Backend(), Backend()]
    behind = [Network(backend.port) for backend in backends]
    with tempfile.TemporaryDirectory() as folder:
        door = Door(portico, folder, [network.port for network in behind])
        before = Network(door.port)
        try:
            calm = crowd(before.port, "before", seed, 2, 8)
            for number, network in enumerate([before, *behind]):
                network.turn_bad(seed * 10 + number)
            storm = crowd(before.port, "storm", seed, clients, requests)
            for network in [before, *behind]:
                network.turn_good()
            # Connections from the storm that still wait in a pool are of the storm.
            door.settled(10_000)
            descriptors = door.descriptors()
            calm += crowd(before.port, "after", seed, 3, 8)
            if tally(calm) != {"good": 40, "refused": 0, "cut": 0}:
                raise Wrong("it does not serve as before: %s" % tally(calm))
            check_executions(calm + storm, backends)
            door.settled(descriptors)
            check_counters(door, calm + storm, cut_outside=True)
            toxics = sum(n for network in [before, *behind] for k, n in network.counts.items() if k != "none")
            return "%d toxics, %s" % (toxics, tally(storm))
        finally:
            door.stop()
            for one in [before, *behind, *backends]:
                one.stop()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--portico", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--requests", type=int, default=12)
    options = parser.parse_args()
    failures = 0
    for seed in range(options.seed, options.seed + options.rounds):
        start = time.monotonic()
        try:
            words = story(options.portico, seed, options.clients, options.requests)
            print("ok   seed %d: %s, %.1f s" % (seed, words, time.monotonic() - start), flush=True)
        except Wrong as wrong:
            failures += 1
            print("FAIL seed %d: %s" % (seed, wrong), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
