"""Clients that mean harm, or are broken, each with runs of its own that nobody checked looks at.

What they do must cost nobody else anything: while they do it events of other runs are accepted
(Faults sees to that), watchers of other runs see what they should (the watchers do), and no process
holds more memory than it may. That nothing of them is left is looked at when all is at rest.
"""

import asyncio
import concurrent.futures
import contextlib
import json
import random
import socket
import threading
import time

import httpx
import psycopg

import checks
from client import ask_many, metric
from inventions import RunKey
from ledger import HOSTILE_DOMAIN
from network import reset

KINDS = (
    "watches aborted",
    "fan posted before its parent",
    "run locked",
    "stderr unread",
    "trees unread",
    "errors huge",
    "bodies unfinished",
)

WATCHES = 3000
WATCHES_AT_ONCE = 200
FAN = 20_000
EVENTS_IN_REQUEST = 5000
PROBES = 1500
TREE_ACTIONS = 10_000
TREE_READERS = 80
ERRORS, ERROR_BYTES = 400, 200_000
ERRORS_IN_REQUEST = 15
BODIES, BODY_BYTES = 80, 4 << 20
PATIENCE_SECONDS = 60
SETTLING_RUNS = 6  # whose keys hash to all writers, but once in 32


class HostileClients:
    """One method for each kind. `expect_progress(seconds)` raises unless events of other runs are
    accepted within so long."""

    def __init__(self, pair, service, ledger, expect_progress):
        self._pair, self._service, self._ledger = pair, service, ledger
        self._expect_progress = expect_progress
        self._numbers = iter(range(1, 1_000_000))

    def do(self, fault):
        self._settle()
        getattr(self, "_" + fault.kind.replace(" ", "_"))(fault)

    # -------- one for each kind --------

    def _watches_aborted(self, fault):
        """Streams and trees of runs that do not exist, left at any moment by FIN or RST."""
        rng = random.Random(fault.seconds)
        port = self._service.runtrees[fault.number].port
        paths = [f"{self._new_run().path}/{rng.choice(('watch?wait=true', 'watch', 'tree'))}"
                 for _ in range(WATCHES)]  # fmt: skip
        asyncio.run(abort_all(port, paths, rng))
        self._ledger.count("requests left at any moment by hostile clients", WATCHES)

    def _fan_posted_before_its_parent(self, _):
        """Children wait for a parent, more come one by one, and then the parent does."""
        run = self._new_run()
        children = [run.event(f"a{number}", parent="a") for number in range(FAN)]
        for at in range(0, FAN, EVENTS_IN_REQUEST):
            self._post(children[at : at + EVENTS_IN_REQUEST])
        for number in range(20):
            self._post([run.event(f"b{number}", parent="a")])
        self._expect_progress(20)
        self._post([run.event("a", parent=None)])
        self._expect_progress(20)
        self._wait_for(run, "actionCount", FAN + 21)
        self._delete(run)

    def _run_locked(self, fault):
        """Somebody holds the lock of one run's row, and others post to it meanwhile."""
        run = self._new_run()
        self._post([run.event("a0", parent=None)])
        until = time.monotonic() + 10 + fault.seconds
        with concurrent.futures.ThreadPoolExecutor(3) as posters:
            with contextlib.ExitStack() as stack:
                connections = [
                    stack.enter_context(psycopg.connect(url)) for url in self._pair.urls()
                ]
                locked = [
                    connection.execute(
                        "SELECT FROM runs WHERE project = %s AND domain = %s AND run_name = %s"
                        " FOR UPDATE",
                        (run.project, run.domain, run.name),
                    ).rowcount
                    for connection in connections
                ]
                assert sum(locked) == 1, f"the run is in {locked} cells"
                posted = [
                    posters.submit(self._post, [run.event(f"a{number}", parent="a0")], runtree.url)
                    for number, runtree in enumerate(self._service.runtrees, 1)
                ]
                while time.monotonic() < until:
                    self._expect_progress(8)
                for connection in connections:
                    connection.rollback()
            for done in posted:
                done.result()
        self._wait_for(run, "actionCount", 4)
        self._delete(run)

    def _stderr_unread(self, fault):
        """Nobody reads the log of a runtree that has much to say: its database is away."""
        runtree, log = self._service.runtrees[fault.number], self._service.logs[fault.number]
        links = self._service.links[fault.number]
        log.pause()
        try:
            for link in links:
                link.cut()
            runtree.wait_for("/readyz", 503)
            ask_many(runtree.port, "/readyz", PROBES)
            assert httpx.get(runtree.url + "/healthz", timeout=10).status_code == 200
            assert metric(runtree.url, "runtree_log_lines_dropped_total") > 0
            self._expect_progress(20)
            if fault.coin:
                runtree.stop(seconds=20)
                runtree.start(until="/healthz")
        finally:
            for link in links:
                link.restore()
            log.resume()

    def _trees_unread(self, fault):
        """Clients ask for a large tree and read a few bytes of it now and then."""
        run = self._new_run()
        self._post([run.event("a0", parent=None)])
        events = [run.event(f"a{number}", parent="a0", shortName="x" * 200)
                  for number in range(1, TREE_ACTIONS)]  # fmt: skip
        for at in range(0, len(events), EVENTS_IN_REQUEST):
            self._post(events[at : at + EVENTS_IN_REQUEST])
        runtree = self._service.runtrees[fault.number]
        with contextlib.ExitStack() as stack:
            readers = [
                stack.enter_context(slow_reader(runtree.port, f"{run.path}/tree"))
                for _ in range(TREE_READERS)
            ]
            self._sip(readers, 2 + fault.seconds)
            self._check_memory(runtree)
            self._expect_progress(20)
        self._delete(run)

    def _errors_huge(self, fault):
        """A run whose every action has failed with a long text, watched by clients that do not
        read."""
        run = self._new_run()
        self._post([run.event("a0", parent=None)])
        events = [
            run.event(f"a{number}", "FAILED", parent="a0",
                      errorInfo={"kind": "USER", "message": "x" * ERROR_BYTES})
            for number in range(1, ERRORS)
        ]  # fmt: skip
        for at in range(0, len(events), ERRORS_IN_REQUEST):
            self._post(events[at : at + ERRORS_IN_REQUEST])
        runtree = self._service.runtrees[fault.number]
        with contextlib.ExitStack() as stack:
            readers = [
                stack.enter_context(slow_reader(runtree.port, f"{run.path}/{what}"))
                for what in ("watch", "watch?name=a", "tree", "actions?limit=1000")
            ]
            self._sip(readers, 2 + fault.seconds)
            self._check_memory(runtree)
            self._expect_progress(20)
        self._delete(run)

    def _bodies_unfinished(self, fault):
        """Bodies as large as they may be, but for their last byte."""
        runtree = self._service.runtrees[fault.number]
        with contextlib.ExitStack() as stack:
            threads = [
                threading.Thread(target=send_unfinished, args=(runtree.port, stack), daemon=True)
                for _ in range(BODIES)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            self._check_memory(runtree)
            self._expect_progress(20)
            time.sleep(fault.seconds)

    # -------- what they have in common --------

    def _settle(self):
        """Every writer of every runtree has got over the fault before, which may have left one
        waiting for an answer that never comes, until its limit."""
        for runtree in self._service.runtrees:
            for run in (self._new_run() for _ in range(SETTLING_RUNS)):
                self._post([run.event("a0", parent=None)], runtree.url)
                self._delete(run)

    def _new_run(self):
        return RunKey("faults", HOSTILE_DOMAIN, f"h{next(self._numbers)}")

    def _ask(self, method, path, url=None, **options):
        """Asks until there is an answer that is not "later"."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.request(
                    method, (url or self._service.url) + path, timeout=30, **options
                )
                if answer.status_code not in (429, 502, 503, 504):
                    return answer
            assert time.monotonic() < deadline, f"{method} {path}: no for {PATIENCE_SECONDS} s"
            time.sleep(0.1)

    def _post(self, events, url=None):
        lines = b"\n".join(json.dumps(event).encode() for event in events)
        headers = {"Content-Type": "application/x-ndjson"}
        answer = self._ask("POST", "/v1/events", url, content=lines, headers=headers)
        assert answer.status_code in (200, 201), f"{answer.status_code} {answer.text}"
        results = answer.json().get("results", [])
        assert not any(result["status"] == "rejected" for result in results), answer.text[:1000]

    def _wait_for(self, run, member, value):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (seen := self._ask("GET", run.path).json()[member]) != value:
            assert time.monotonic() < deadline, f"{run.path}: {member} {seen}, not {value}"
            time.sleep(0.1)

    def _delete(self, run):
        """So that their rows do not fill the disk."""
        assert self._ask("DELETE", run.path).status_code in (204, 404)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._ask("GET", run.path).status_code != 404:
            assert time.monotonic() < deadline, f"{run.path} is not deleted"
            time.sleep(0.1)

    def _sip(self, readers, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for reader in readers:
                with contextlib.suppress(OSError):
                    reader.recv(512)
            time.sleep(0.2)

    def _check_memory(self, runtree):
        kib = checks.rss_kib(runtree.process.pid)
        assert kib < checks.RSS_MAX_KIB, f"a runtree has {kib} KiB"


async def abort_all(port, paths, rng):
    places = asyncio.Semaphore(WATCHES_AT_ONCE)

    async def abort_one(path):
        async with places:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                await asyncio.sleep(rng.choice((0, 0.002, 0.02, 0.2)) * rng.random())
                if rng.random() < 0.5:
                    reset(writer)
                else:
                    writer.close()

    await asyncio.gather(*(abort_one(path) for path in paths))


def slow_reader(port, path):
    """A connection with the smallest of windows that has asked for `path`."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    connection.setblocking(False)
    return connection


def send_unfinished(port, stack):
    """A request whose body lacks its last byte, or as much of it as is taken; open until `stack`
    is left."""
    with contextlib.suppress(OSError):
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n"
        connection.sendall(f"{head}Content-Length: {BODY_BYTES}\r\n\r\n".encode())
        connection.sendall(b" " * (BODY_BYTES - 1))
