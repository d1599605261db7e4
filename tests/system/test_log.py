"""The log: whoever does not read it stops nothing, and what is missing in it is counted."""

import collections
import fcntl
import json
import os
import threading

import httpx
import pytest

from client import ask_many, metric
from postgres import free_port
from runtree import Runtree

PIPE_BYTES = 4096  # the least that Linux makes
QUEUE_BYTES = 1 << 20
ALIKE_A_SECOND = 100
DROPPED = "runtree_log_lines_dropped_total"


@pytest.fixture
def pipe():
    """A pipe as small as it gets, both ends."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield ends
    for end in ends:
        os.close(end)


def away():
    """The address of a database that is not there: every /readyz is 503, and a line of the log."""
    return f"host=127.0.0.1 port={free_port()} dbname=none connect_timeout=2"


class Reader:
    """Reads a pipe to its end, line by line."""

    def __init__(self, end):
        self.lines = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(end,), daemon=True)
        self._thread.start()

    def _read(self, end):
        with open(os.dup(end)) as text:
            for line in text:
                with self._changed:
                    self.lines.append(json.loads(line))
                    self._changed.notify_all()

    def wait_for(self, message):
        """The first line with this message."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._find(message), 30), message
            return self._find(message)

    def _find(self, message):
        return next((line for line in self.lines if line["message"] == message), None)


def test_stderr_that_nobody_reads_stops_nothing(tmp_path, pipe):
    runtree = Runtree(tmp_path, database_url=away(), stderr=pipe[1]).start(until="/healthz")
    try:
        assert set(ask_many(runtree.port, "/readyz", 1500)) == {503}
        assert httpx.get(runtree.url + "/healthz").status_code == 200
        assert metric(runtree.url, DROPPED) > 0
        runtree.stop()
    finally:
        runtree.kill()


def test_lines_are_dropped_past_the_queue_and_the_next_one_says_how_many(tmp_path, pipe):
    runtree = Runtree(tmp_path, "--log-level=debug", database_url=away(), stderr=pipe[1])
    runtree.start(until="/healthz")
    try:
        ask_many(runtree.port, "/healthz", 10_000)
        dropped = metric(runtree.url, DROPPED)
        assert dropped > 0
        reader = Reader(pipe[0])
        while sum(line.get("lines", 0) for line in reader.lines) < dropped:
            assert httpx.get(runtree.url + "/healthz").status_code == 200
        names = [line.get("requestId", "dropped" if "lines" in line else "") for line in reader.lines]
        kept = [int(name) for name in names if name.isdigit()]
        assert kept == sorted(kept)
        whole = [int(name) for name in names[: names.index("dropped")] if name.isdigit()]
        assert whole == list(range(len(whole))), "none is dropped before that is said"
        assert QUEUE_BYTES // 2 < sum(len(json.dumps(line)) for line in reader.lines)
        runtree.stop()
        reader.wait_for("stopped")
    finally:
        runtree.kill()


def test_lines_that_are_alike_are_counted_beyond_100_a_second(tmp_path, pipe):
    runtree = Runtree(tmp_path, database_url=away(), stderr=pipe[1]).start(until="/healthz")
    try:
        reader = Reader(pipe[0])
        ask_many(runtree.port, "/readyz", 4000)
        runtree.stop()
        reader.wait_for("stopped")
    finally:
        runtree.kill()
    failed = [line for line in reader.lines if line["message"] == "request failed"]
    seconds = collections.Counter(line["time"][:19] for line in failed)
    assert max(seconds.values()) <= 2 * ALIKE_A_SECOND  # its seconds are not those of the clock
    dropped = sum(line["lines"] for line in reader.lines if line["message"] == "log lines dropped")
    assert dropped == 4000 - len(failed) > 0


def test_a_start_that_fails_ends_with_a_full_stderr(tmp_path, pipe, server):
    os.write(pipe[1], b"x" * PIPE_BYTES)
    runtree = Runtree(tmp_path, database_url=away(), port=server.port, stderr=pipe[1])
    runtree.start(until=None)
    try:
        assert runtree.process.wait(60) == 1
    finally:
        runtree.kill()
