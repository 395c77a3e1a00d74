#!/usr/bin/env python3
"""System calls that fail: the real portico under strace, which injects errors while clients run.

Whatever fails, the process lives, each request ends once (with its own answer, with a refusal, or
with a cut that its client can tell), nothing is left over, the counters agree, and afterwards it
serves as before. strace attaches when the storm begins and leaves when it ends.

faults.py --portico .build/debug/portico [--seed 0] [--only accept]
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time

from stage import Backend, Door, Wrong, check_executions, crowd, tally

CANNOT_TRACE = 77

# Name, and what strace injects: an error in the n-th call of a thread and each m-th behind it.
FAULTS = [
    ("accept-emfile", ["accept4:error=EMFILE:when=3+3"]),
    ("accept-enomem", ["accept4:error=ENOMEM:when=2+4"]),
    ("accept-aborted", ["accept4:error=ECONNABORTED:when=2+3"]),
    ("accept-again", ["accept4:error=EAGAIN:when=2+2"]),
    ("receive-reset", ["recvfrom:error=ECONNRESET:when=5+17"]),
    ("receive-enomem", ["recvfrom:error=ENOMEM:when=5+19"]),
    ("receive-again", ["recvfrom:error=EAGAIN:when=5+41"]),
    ("send-reset", ["sendto,sendmsg:error=ECONNRESET:when=3+13"]),
    ("send-pipe", ["sendto,sendmsg:error=EPIPE:when=4+13"]),
    ("send-enobufs", ["sendto,sendmsg:error=ENOBUFS:when=4+17"]),
    ("send-again", ["sendto,sendmsg:error=EAGAIN:when=4+37"]),
    ("connect-refused", ["connect:error=ECONNREFUSED:when=2+3"]),
    ("connect-address", ["connect:error=EADDRNOTAVAIL:when=2+3"]),
    ("connect-again", ["connect:error=EAGAIN:when=2+3"]),
    ("socket-emfile", ["socket:error=EMFILE:when=2+3"]),
    ("socket-enobufs", ["socket:error=ENOBUFS:when=2+3"]),
    ("watch", "fail_watch.c"),  # See there.
    ("wait-interrupted", ["epoll_wait:error=EINTR:when=2+2"]),
    ("options", ["setsockopt,getsockopt:error=ENOMEM:when=2+3"]),
    ("log-full", ["write,writev,pwrite64:error=ENOSPC:when=1+1"]),
    ("mixed", [
        "accept4:error=ENFILE:when=4+9", "recvfrom:error=ECONNRESET:when=9+47",
        "sendmsg:error=EPIPE:when=9+31", "connect:error=ECONNREFUSED:when=3+7"]),
]


class Trace:
    """strace on a running process, from its start to `end`."""

    def __init__(self, pid, faults, log, only_path=None):
        words = ["strace", "-f", "-q", "-o", log, "-p", str(pid)]
        calls = ",".join(fault.split(":")[0] for fault in faults)
        words += ["-e", "trace=" + calls]
        for fault in faults:
            words += ["-e", "inject=" + fault]
        if only_path:
            words += ["-P", only_path]
        self.log = log
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        # Attached is who has a tracer.
        deadline = time.monotonic() + 20
        while not self.traced(pid):
            if self.process.poll() is not None:
                raise Wrong("strace ended: %s" % self.process.stderr.read())
            if time.monotonic() > deadline:
                raise Wrong("strace does not attach")
            time.sleep(0.02)

    @staticmethod
    def traced(pid):
        for task in os.listdir("/proc/%d/task" % pid):
            try:
                with open("/proc/%d/task/%s/status" % (pid, task)) as status:
                    if "TracerPid:\t0\n" in status.read():
                        return False
            except FileNotFoundError:
                continue
        return True

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        with open(self.log, errors="replace") as file:
            return sum(line.count("(INJECTED)") for line in file)


class Preloaded:
    """A library that fails while a file is there."""

    def __init__(self, path):
        self.path = path
        open(path, "w").close()

    def end(self):
        os.unlink(self.path)
        return 1


def may_trace():
    """Whether a running process may be attached to here, which containers often forbid."""
    sleeper = subprocess.Popen(["sleep", "30"])
    try:
        with tempfile.TemporaryDirectory() as folder:
            trace = Trace(sleeper.pid, ["getppid:error=EPERM"], os.path.join(folder, "t"))
            trace.end()
        return None
    except (Wrong, OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        sleeper.kill()
        sleeper.wait()


def story(portico, name, faults, seed, clients, requests):
    backends = [Backend(), Backend()]
    with tempfile.TemporaryDirectory() as folder:
        environment = {}
        if isinstance(faults, str):
            library = os.path.join(folder, "fail.so")
            subprocess.run(
                ["gcc", "-shared", "-fPIC", "-O1", "-o", library, "-ldl",
                 os.path.join(os.path.dirname(os.path.abspath(__file__)), faults)], check=True)
            environment = {"LD_PRELOAD": library, "FAIL_WATCH": os.path.join(folder, "on")}
        door = Door(portico, folder, [backend.port for backend in backends], environment)
        try:
            calm = crowd(door.port, "before", seed, 2, 10)
            door.settled(10_000)
            descriptors = door.descriptors()
            path = door.access_log if name.startswith("log") else None
            if environment:
                trace = Preloaded(environment["FAIL_WATCH"])
            else:
                trace = Trace(door.process.pid, faults, os.path.join(folder, "trace"), path)
            try:
                storm = crowd(door.port, "storm", seed, clients, requests)
                # The log is written some lines at a time: a short storm may fit into one write, made
                # before strace looked.
                for more in range(4 if path else 0):
                    time.sleep(0.5)
                    storm += crowd(door.port, "storm%d" % more, seed, clients, requests)
            finally:
                injected = trace.end()
            if not injected:
                raise Wrong("nothing was injected")
            calm += crowd(door.port, "after", seed, 3, 10)
            if tally(calm) != {"good": 50, "refused": 0, "cut": 0}:
                raise Wrong("it does not serve as before: %s" % tally(calm))
            check_executions(calm + storm, backends)
            door.settled(descriptors)
            check_counters(door, calm + storm)
            words = "faults" if environment else "%d faults" % injected
            return "%s, %s" % (words, tally(storm))
        finally:
            door.stop()
            for backend in backends:
                backend.stop()


def check_counters(door, clients, cut_outside=False):
    """`cut_outside`: what a client calls cut may have gone out whole, or never have come in."""
    m = door.metrics()
    kinds = tally(clients)
    asked = sum(kinds.values())
    counted = m.sum("portico_requests_total")
    completed = m.sum("portico_terminations_total", 'reason="completed"')
    # Once each, with one reason.
    ended = m.sum("portico_terminations_total")
    if counted != ended:
        raise Wrong("%d requests counted, %d have ended" % (counted, ended))
    if not kinds["good"] <= completed <= asked:
        raise Wrong("%d asked, %s, %d completed" % (asked, kinds, completed))
    if not cut_outside and not kinds["good"] + kinds["refused"] <= ended:
        raise Wrong("%s, but %d have ended" % (kinds, ended))
    if m.sum("portico_terminations_total", 'reason="internal_error"'):
        raise Wrong("internal errors")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--portico", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--requests", type=int, default=12)
    options = parser.parse_args()
    cannot = may_trace()
    failures = ran = 0
    for name, faults in FAULTS:
        if options.only not in name or cannot and not isinstance(faults, str):
            continue
        ran += 1
        start = time.monotonic()
        try:
            words = story(options.portico, name, faults, options.seed, options.clients, options.requests)
            print("ok   %s: %s, %.1f s" % (name, words, time.monotonic() - start), flush=True)
        except Wrong as wrong:
            failures += 1
            print("FAIL %s: %s" % (name, wrong), flush=True)
    if cannot:
        print("SKIP: strace may not attach to a process here: %s" % cannot)
        return 1 if failures else 0 if ran else CANNOT_TRACE
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
