"""Watchers that resume wherever the proxy sends them, and check every promise on the way."""

import contextlib
import random
import time

from sse import Cut, EventStream, StreamClosed, TreeWatcher
from tree_oracle import comparable

CHECK_SECONDS = 0.5
CUT_AFTER_MAX = 100_000  # bytes of a stream whose watcher leaves it anywhere
LATER = {502, 503, 504}


class NotNow(Exception):
    """No stream was to be had; try again later."""


class FragileStream(EventStream):
    """A stream that may break off anywhere: in its head, or inside a record."""

    def _read_head(self):
        try:
            super()._read_head()
        except AssertionError as error:
            if "no response" in str(error) or "cut off" in str(error):
                raise NotNow from None
            raise

    def _receive(self, deadline):
        try:
            super()._receive(deadline)
        except AssertionError as error:
            if "inside a record" in str(error):
                raise StreamClosed from None
            raise


def open_stream(url, path, last_event_id, **options):
    """A stream that is open (200) or not wanted any more (204)."""
    try:
        stream = FragileStream(url, path, last_event_id, timeout=10, **options)
    except OSError:
        raise NotNow from None
    if stream.status in LATER:
        raise NotNow
    assert stream.status in (200, 204), f"{path}: {stream.status} {stream.body}"
    return stream


class RunWatcher(TreeWatcher):
    """Watches one run with one filter, until its tree is what it has to be in the end. Leaves every
    other stream in the middle of whatever it is being told."""

    def __init__(self, run, query, rng, ledger, fail_overs):
        super().__init__(f"{run.path}/watch?wait=true{query}")
        self._rng = rng
        self._ledger = ledger
        self._fail_overs = fail_overs  # gives how many there have been
        self._fail_overs_before = fail_overs()
        self._revisions = {}  # by action; under "" the stream's own
        self.expected = None  # what the tree must be in the end, once that is known

    def watch(self, url, seconds):
        """Returns when the tree is as expected; `seconds` is how long that may take at most."""
        deadline = None
        while not self._is_done():
            if self.expected is not None and deadline is None:
                deadline = time.monotonic() + seconds
            assert deadline is None or time.monotonic() < deadline, self._difference()
            try:
                self._watch_once(url)
            except Cut:
                self._ledger.count("streams left inside a flush or between two")
            except (NotNow, StreamClosed):
                time.sleep(self._rng.uniform(0.02, 0.2))

    def _watch_once(self, url):
        if self.last_event_id is None:
            self.nodes.clear()  # a snapshot follows that says nothing of what is gone
            self._revisions.clear()
        self.connections += 1
        self._synced = False
        self._records = 0
        cut_after = self._rng.choice((None, self._rng.randrange(1, CUT_AFTER_MAX)))
        stream = open_stream(url, self.path, self.last_event_id, cut_after=cut_after)
        if stream.status == 204:
            assert self.has_ended, "204 for a run whose end this client has not seen"
            raise NotNow
        self.has_ended = False
        self._ledger.count("connections of watchers")
        with stream:
            while not self._is_done():
                with contextlib.suppress(TimeoutError):
                    self.apply(stream.next(CHECK_SECONDS))

    def apply(self, frame):
        if frame.retry is not None and self._records > 0:
            return  # the farewell of a runtree that was told to end: when to come back
        super().apply(frame)
        if frame.event == "nodeUpdate":
            self._ledger.count("updates checked")
            self._check_revision(frame.data["action"]["name"], frame.data["action"]["revision"])
        elif frame.event in ("synced", "heartbeat"):
            self._check_revision("", frame.data["revision"])

    def _check_revision(self, name, revision):
        before = self._revisions.get(name, 0)
        assert revision >= before, f"{self.path}: {name!r} went from {before} back to {revision}"
        self._revisions[name] = revision

    def _apply_reset(self, frame):
        super()._apply_reset(frame)
        self._revisions.clear()
        self._ledger.count("resets of watchers")
        allowed = self._fail_overs() - self._fail_overs_before
        assert self.resets <= allowed, f"{self.path}: reset {self.resets}, fail-overs {allowed}"

    def _is_done(self):
        return self.expected is not None and comparable(self.nodes.values()) == self.expected

    def _difference(self):
        seen = comparable(self.nodes.values())
        return f"{self.path}: the tree at rest is not the database's: " + difference(
            seen, self.expected
        )


def difference(seen, expected):
    """Where two trees differ, for people."""
    missing = sorted(expected.keys() - seen.keys())
    surplus = sorted(seen.keys() - expected.keys())
    other = [name for name in seen.keys() & expected.keys() if seen[name] != expected[name]]
    shown = [(seen[name], expected[name]) for name in other[:2]]
    return f"missing {missing}, surplus {surplus}, different {len(other)}, such as {shown}"


class ListWatcher:
    """Keeps the list of all runs: a resume may repeat an update, it never misses one."""

    def __init__(self, ledger):
        self.runs = {}  # (project, domain, run) -> summary
        self._cells = {}  # the same -> which cell it is of
        self._ledger = ledger
        self._last_event_id = None

    @staticmethod
    def path():
        return "/v1/runs/watch?limit=1000"

    def watch(self, url, is_over):
        while not is_over():
            try:
                self._watch_once(url, is_over)
            except (NotNow, StreamClosed):
                time.sleep(random.uniform(0.02, 0.2))

    def _watch_once(self, url, is_over):
        if self._last_event_id is None:
            self.runs.clear()
        with open_stream(url, self.path(), self._last_event_id) as stream:
            while not is_over():
                with contextlib.suppress(TimeoutError):
                    self._apply(stream.next(CHECK_SECONDS))

    def _apply(self, frame):
        if frame.event == "runUpdate":
            self._ledger.count("updates checked")
            update = frame.data
            key = update["project"], update["domain"], update["runName"]
            self._cells[key] = update.pop("cell")
            self.runs[key] = update
        elif frame.event == "reset":
            cell = frame.data.get("cell")
            for key in [key for key in self.runs if cell in (None, self._cells[key])]:
                del self.runs[key]
            if cell is None:
                self._last_event_id = None
        if frame.id is not None:
            self._last_event_id = frame.id


class SleepyWatcher:
    """Opens a stream with the smallest of windows, never reads from it, and does so again."""

    NAP_SECONDS = 20

    def __init__(self, ledger):
        self._ledger = ledger

    def sleep(self, url, path, is_over):
        while not is_over():
            try:
                with open_stream(url, path(), None, receive_buffer=2048):
                    self._ledger.count("streams that nobody read")
                    awake_at = time.monotonic() + self.NAP_SECONDS
                    while time.monotonic() < awake_at and not is_over():
                        time.sleep(0.1)
            except NotNow:
                time.sleep(0.2)
