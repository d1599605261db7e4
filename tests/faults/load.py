"""The load: runs, one after the other on each track, posted by several and watched by several."""

import itertools
import random
import threading
import time
import traceback

import checks
from emitters import emit_all
from inventions import RunKey, invent_run
from posters import Poster
from watchers import ListWatcher, RunWatcher, SleepyWatcher

TRACKS = 4
POSTERS = 2  # for each track
ACTIONS = 100  # of each run
WINDOW = 15  # events within so many of each other may come in any order
AT_REST_SECONDS = 60
PAUSE_SECONDS = 3  # between emitters' runs: the list's watcher takes 1,000 runs
FILTERS = (
    ("", {}),
    ("&phase=RUNNING,PAUSED", {"phases": ("RUNNING", "PAUSED")}),
    ("&phase=FAILED&phase=TIMED_OUT&follow=true", {"phases": ("FAILED", "TIMED_OUT")}),
    ("&name=tra&follow=true", {"text": "tra"}),
)


class Load:
    """Threads that post and watch until stop(), and then come to rest."""

    def __init__(self, service, pair, ledger, seed, lap, fail_overs):
        self.runs = []
        self.list_watcher = ListWatcher(ledger)
        self._service, self._pair, self._ledger = service, pair, ledger
        self._seed, self._lap = seed, lap
        self._fail_overs = fail_overs
        self._is_stopped = threading.Event()
        self._is_at_rest = threading.Event()
        self._newest_run = RunKey("faults", f"lap{lap}", "track0-1")
        self._tracks = [self._start(self._run_track, number) for number in range(TRACKS)]
        self._tracks.append(self._start(self._run_emitters))
        is_over = self._is_at_rest.is_set
        sleepy = SleepyWatcher(ledger)
        self._others = [
            self._start(self.list_watcher.watch, service.url, is_over),
            self._start(sleepy.sleep, service.url, self._path_of_newest_run, is_over),
            self._start(sleepy.sleep, service.runtrees[0].url, ListWatcher.path, is_over),
        ]

    def _path_of_newest_run(self):
        return f"{self._newest_run.path}/watch?wait=true"

    def _start(self, function, *arguments):
        def guarded():
            try:
                function(*arguments)
            except BaseException as error:
                text = traceback.format_exc(limit=-4)
                self._ledger.report_problem(f"{error or type(error).__name__}\n{text}")

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        return thread

    def stop(self):
        """No more runs. Returns when what is under way was posted, watched to its end and checked;
        the watcher of the list gets a moment more."""
        self._is_stopped.set()
        self._wait_for(self._tracks)
        time.sleep(1.5)
        self._is_at_rest.set()
        self._wait_for(self._others)

    def abandon(self):
        self._is_stopped.set()
        self._is_at_rest.set()

    def _wait_for(self, threads, seconds=600):
        deadline = time.monotonic() + seconds
        while any(thread.is_alive() for thread in threads):
            self._ledger.check()
            assert time.monotonic() < deadline, "the load does not come to rest"
            time.sleep(0.05)
        self._ledger.check()

    def _run_emitters(self):
        for number in itertools.count(1):
            rng = random.Random(f"{self._seed} emitters {self._lap} {number}")
            emit_all(self._service.url, self._ledger, rng, f"{self._lap}-{number}")
            if self._is_stopped.wait(PAUSE_SECONDS):
                return

    def _run_track(self, track):
        for number in itertools.count(1):
            run = RunKey("faults", f"lap{self._lap}", f"track{track}-{number}")
            self._newest_run = run
            self._play(run, random.Random(f"{self._seed} {run.path}"))
            self.runs.append(run)
            self._ledger.count("runs posted, watched and compared")
            if self._is_stopped.is_set():
                return

    def _play(self, run, rng):
        """One run from its first event to the moment when all watchers have what is stored."""
        events = disorder(invent(run, rng), rng)
        watchers = [
            (
                RunWatcher(
                    run, query, random.Random(rng.random()), self._ledger, self._fail_overs
                ),
                wanted,
            )
            for query, wanted in FILTERS
        ]
        watching = [
            self._start(watcher.watch, self._service.url, AT_REST_SECONDS)
            for watcher, _ in watchers
        ]
        posting = []
        for number in range(POSTERS):
            share = events[number::POSTERS]
            poster = Poster(
                self._service.url, self._ledger, random.Random(rng.random()), self._hurries
            )
            posting.append(self._start(poster.post_all, run, share))
        for thread in posting:
            thread.join()
        oracle = checks.read_oracle(self._pair, run)
        for watcher, wanted in watchers:
            watcher.expected = oracle.nodes(**wanted)
        for thread in watching:
            thread.join()

    def _hurries(self):
        return self._is_stopped.is_set()


def invent(run, rng):
    """A run's events; some leave the time to the server, whose clock may jump."""
    events = invent_run(run, rng, ACTIONS)
    for event in events:
        if event["phase"] == "QUEUED" and rng.random() < 0.3:
            del event["updatedTime"]
    return events


def disorder(events, rng):
    places = sorted(range(len(events)), key=lambda place: place + rng.uniform(0, WINDOW))
    return [events[place] for place in places]
