#!/usr/bin/env python3
"""Black-box HTTP conformance of a front door. See README.md beside this file.

Starts recording backends and proxies, runs the cases of the table for each pair of
protocols, prints a line per case and exits with 0 only when none failed.
"""

import argparse
import importlib
import itertools
import os
import queue
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import catalog
import proxies
import settings
from backend import Backend
from catalog import FAST, OWN, PAIRS, QUIET, SLOW, Failed, Skipped
from lane import Lane

# Each group registers its cases when it is imported.
for _group in (
    "a_request_line", "b_host", "c_fields", "d_length", "e_coding", "f_both", "g_chunks",
    "h_connection", "i_trust", "j_slow", "k_floods", "l_downgrade", "m_backends", "m_h2_backends",
    "o_websocket", "p_inference", "q_grpc", "r_drain", "s_h2spec",
):  # fmt: skip
    importlib.import_module("cases_" + _group)

# Lanes for fast cases. More of them only make each other late on a small machine.
FAST_LANES = 4
# What runs unless the command line says otherwise: TLS only where a case asks for it.
DEFAULT_PAIRS = "h1-h1,h2-h1,h1-h2,h2-h2,h2s-h1"
# A run that is longer than this has hung; the shell's patience is not ours to spend.
RUN_LIMIT, SLOW_RUN_LIMIT = 240.0, 420.0


# A proxy that dies or hangs more often has nothing to say about the cases that are left.
RESTART_LIMIT = 5


def one_line(text):
    return text.strip().replace("\n", " / ")


class Result:
    def __init__(self, verdict, note=""):
        self.verdict = verdict  # "ok", "FAIL" or "skip".
        self.note = note


class Job:
    """A case for one pair of protocols."""

    def __init__(self, case, client, backend):
        self.case, self.client, self.backend = case, client, backend
        self.where = case.where
        pair = "%s-%s" % (client, backend)
        self.id = case.id if pair == "h1-h1" else "%s/%s" % (case.id, pair)


class Run:
    """All lanes, all cases, and the lines about them in the order of the table."""

    def __init__(self, arguments, jobs):
        self.arguments = arguments
        self.jobs = jobs
        self.results = {}
        self.lanes = []
        self.folder = tempfile.mkdtemp(prefix="conformance-")
        self.certificate = proxies.make_certificate(self.folder)
        self._printed = 0
        self._lock = threading.Lock()
        self._sockets = []
        self._own_numbers = itertools.count()

    # Lanes.

    def lane(self, name, version="h1", timers=proxies.NORMAL):
        a = self.arguments
        kind, binary = proxies.PEERS[a.peer] if a.peer else (proxies.Portico, os.path.abspath(a.portico))
        backend = Backend(version)
        dead, deaf = self._dead_port(), self._deaf_port()
        folder = os.path.join(self.folder, name)
        proxy = kind(a.binary or binary, folder, backend, dead, deaf, self.certificate, timers)
        lane = Lane(name, backend, proxy, judge_drain=not a.no_drain)
        with self._lock:
            self.lanes.append(lane)
        proxy.start()
        return lane

    def lanes_for(self, name, jobs, timers=proxies.NORMAL):
        """A lane for each kind of backend that these jobs need."""
        return {v: self.lane(name + v[1], v, timers) for v in sorted({job.backend for job in jobs})}

    def _dead_port(self):
        """Bound and not listening: refuses, and nobody else can take it."""
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        self._sockets.append(sock)
        return sock.getsockname()[1]

    def _deaf_port(self):
        """A full accept queue: the next SYN is not answered."""
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        self._sockets.append(sock)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
            self._sockets.append(filler)
        return sock.getsockname()[1]

    # Cases.

    def perform(self):
        """Fast cases over their lanes while the slow ones wait; then the quiet ones alone."""
        fast = [j for j in self.jobs if j.where in (FAST, OWN)]
        slow = [j for j in self.jobs if j.where == SLOW]
        quiet = [j for j in self.jobs if j.where == QUIET]
        threads = []
        lanes = self.lanes_for("slow", slow, proxies.NORMAL if self.arguments.slow else proxies.SHORT)
        for job in slow:
            threads.append(threading.Thread(target=self.one, args=(job, lanes[job.backend]), daemon=True))
        waiting = queue.SimpleQueue()
        for one in fast:
            waiting.put(one)
        for number in range(min(self.arguments.lanes, len(fast))):
            lanes = self.lanes_for("fa%02d" % number, fast)
            threads.append(threading.Thread(target=self._work, args=(lanes, waiting), daemon=True))
        deadline = time.monotonic() + (SLOW_RUN_LIMIT if self.arguments.slow else RUN_LIMIT)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))
        if quiet and time.monotonic() < deadline:
            lanes = self.lanes_for("quie", quiet)
            worker = threading.Thread(
                target=lambda: [self.one(job, lanes[job.backend]) for job in quiet], daemon=True
            )
            worker.start()
            worker.join(max(0, deadline - time.monotonic()))
        for one in self.jobs:
            if one.id not in self.results:
                self.report(one, Result("FAIL", "did not finish"))

    def _work(self, lanes, waiting):
        while True:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            if job.where == OWN:
                self._own(job)
            else:
                self.one(job, lanes[job.backend])

    def _own(self, job):
        """A proxy for this case alone, which it may end."""
        try:
            lane = self.lane("ow%03d" % next(self._own_numbers), job.backend, proxies.SHORT)
        except RuntimeError as error:
            self.report(job, Result("FAIL", one_line(str(error))))
            return
        self.one(job, lane)
        lane.proxy.stop()
        lane.backend.stop()

    def one(self, job, lane):
        """Runs one case. What happened to the proxy is part of the verdict."""
        started = time.monotonic()
        case, lane = job.case, lane.seen_by(job.client)
        evil_before = len(lane.evil_seen())
        result = self._attempt(case, lane)
        if result.verdict != "skip" and case.where != OWN:
            suffering = self._after(case, lane, result)
            if suffering:
                result = Result("FAIL", "%s; %s" % (suffering, result.note))
            elif case.where != SLOW and len(lane.evil_seen()) > evil_before:
                result = Result("FAIL", "SMUGGLED: /evil came upstream; %s" % result.note)
            elif result.verdict == "ok" and time.monotonic() - started > case.deadline:
                result = Result("FAIL", "took %.0f s" % (time.monotonic() - started))
        if self.arguments.verbose:
            result.note = ("%s [%.2f s]" % (result.note, time.monotonic() - started)).strip()
        self.report(job, result)

    def _attempt(self, case, lane):
        try:
            if lane.health.restarts > RESTART_LIMIT:
                return Result("FAIL", "not tried: the proxy died or hung %d times" % lane.health.restarts)
            return Result("ok", case.run(lane) or "")
        except Failed as failed:
            return Result("FAIL", str(failed))
        except Skipped as skipped:
            return Result("skip", str(skipped))
        except OSError as error:
            return Result("FAIL", "cannot talk to the proxy: %s" % error)
        except Exception:
            return Result("FAIL", "the harness failed: %s" % one_line(traceback.format_exc()))

    def _after(self, case, lane, result):
        """Says how the proxy is worse than before the case, and starts another one."""
        suffering = None
        if result.verdict == "FAIL" and lane.proxy.ends_soon(0.02) or not lane.proxy.alive():
            suffering = "THE PROXY DIED (%s): %s" % (
                lane.proxy.process.returncode,
                one_line(lane.proxy.log_tail(400)),
            )
        elif result.verdict == "FAIL" and case.where != SLOW:
            try:
                lane.fresh_canary()
            except (Failed, OSError) as failed:
                suffering = "THE PROXY NO LONGER SERVES: %s" % failed
        if suffering and case.where != SLOW and lane.health.restarts <= RESTART_LIMIT:
            lane.health.restarts += 1
            try:
                lane.proxy.stop()
                lane.proxy.start()
            except RuntimeError as error:
                lane.health.restarts = RESTART_LIMIT + 1
                suffering += "; it does not start again: %s" % one_line(str(error))
        return suffering

    # Lines.

    def report(self, job, result):
        """Prints lines in the order of the table, as soon as all before them are there."""
        with self._lock:
            self.results.setdefault(job.id, result)
            while self._printed < len(self.jobs) and self.jobs[self._printed].id in self.results:
                one = self.jobs[self._printed]
                print(self.line(one, self.results[one.id]), flush=True)
                self._printed += 1

    def line(self, job, result):
        if result.verdict == "ok":
            return "ok %s%s" % (
                job.id,
                "  %s; %s" % (job.case.title, result.note) if self.arguments.verbose else "",
            )
        if result.verdict == "skip":
            return "skip %s: %s" % (job.id, result.note)
        limit = 20_000 if self.arguments.verbose else 1_200
        note = result.note if len(result.note) <= limit else result.note[:limit] + " ... (-v shows all)"
        return "FAIL %s: %s: %s" % (job.id, job.case.title, note)

    def summary(self):
        counts = {v: sum(r.verdict == v for r in self.results.values()) for v in ("ok", "FAIL", "skip")}
        return counts["ok"], counts["FAIL"], counts["skip"]

    def h2spec(self, binary):
        """The public suite against both listeners; True when it passes wholly."""
        lane, passed = self.lane("h2spc"), True
        for client in ("h2", "h2s"):
            host, port = lane.proxy.only_h2(client)
            tls = ["-t", "-k"] if client == "h2s" else []
            print("h2spec %s" % ("over TLS" if tls else "in clear"), flush=True)
            passed = subprocess.call([binary, "-h", host, "-p", str(port), *tls]) == 0 and passed
        return passed

    def clean(self):
        for lane in self.lanes:
            lane.proxy.closed = True
            if lane.proxy.alive():
                lane.proxy.process.terminate()
        for lane in self.lanes:
            lane.proxy.stop()
            lane.backend.stop()
        for sock in self._sockets:
            sock.close()
        if self.arguments.keep:
            print("configurations and logs: %s" % self.folder)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--portico", help="the binary under test")
    parser.add_argument(
        "--peer", choices=sorted(proxies.PEERS), help="test this proxy instead, to check the harness"
    )
    parser.add_argument("--binary", help="where the peer's binary is, if not in /usr/sbin")
    parser.add_argument("--only", help="ids, globs and groups: A01,G*,M")
    parser.add_argument(
        "--pairs", default=DEFAULT_PAIRS, help="protocols of client and backend, s for TLS: h1-h1,h2s-h2"
    )
    parser.add_argument("--list", action="store_true", help="name the cases and stop, with why one is left out")
    parser.add_argument(
        "--slow", action="store_true", help="the timers and silences of the table in full length"
    )
    parser.add_argument("--no-drain", action="store_true", help="forgive an RST around a refusal")
    parser.add_argument(
        "--lanes", type=int, default=FAST_LANES, help="proxies side by side for the fast cases"
    )
    parser.add_argument("--h2spec", metavar="BINARY", help="run the public suite h2spec instead, see README")
    parser.add_argument("-v", "--verbose", action="store_true", help="titles, times and whole failures")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs")
    arguments = parser.parse_args()

    chosen = catalog.select(arguments.only)
    pairs = [tuple(pair.split("-")) for pair in arguments.pairs.split(",")]
    if unknown := [pair for pair in pairs if pair not in PAIRS]:
        parser.error("no pair is called %s" % "-".join(unknown[0]))
    if arguments.list:
        for one in chosen:
            print("%-16s %s" % (one.id, one.title))
            for client, backend in pairs:
                if reason := one.why_not(client, backend):
                    print("%-16s   not %s-%s: %s" % ("", client, backend, reason))
        return 0
    if not arguments.portico and not arguments.peer:
        parser.error("say --portico PATH, or --peer haproxy|nginx")
    if not chosen:
        parser.error("no case is called %s" % arguments.only)
    if arguments.slow:
        settings.silence_seconds = 65.0
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # P08 needs 4 400 on our side.
    sys.setswitchinterval(0.0005)  # Hundreds of threads that measure milliseconds.
    threading.stack_size(512 * 1024)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    spoken = proxies.PEERS[arguments.peer][0].backends if arguments.peer else catalog.BACKENDS
    jobs = [
        Job(one, client, backend)
        for one in chosen
        for client, backend in pairs
        if backend in spoken and one.why_not(client, backend) is None
    ]
    run = Run(arguments, jobs)
    try:
        if arguments.h2spec:
            return 0 if run.h2spec(arguments.h2spec) else 1
        run.perform()
    except RuntimeError as error:
        print("cannot start: %s" % error, file=sys.stderr)
        return 2
    finally:
        run.clean()
    passed, failed, skipped = run.summary()
    print("%d passed, %d failed%s" % (passed, failed, ", %d skipped" % skipped if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # Threads that still wait for a broken peer are not waited for.
