"""The same events in any order, any batching, with any repeats, by several posters through two
runtrees: every watcher ends with the tree that the oracle computes from the bare set of events.

A failure prints its seed; RUNTREE_TEST_SEED=<seed> repeats the choices (not the threads' timing).
"""

import os
import random
import threading
import time

import pytest

from client import Api
from inventions import invent_run
from sse import Cut, StreamClosed, TreeWatcher
from tree_oracle import PHASES, TreeOracle, comparable, key

ACTIONS = 100
FILTERS = [
    ((), ""),
    (("FAILED",), ""),
    (("SUCCEEDED", "RECOVERED"), "train"),
    ((), "report"),
    (("RUNNING", "QUEUED"), ""),
    ((), "a1"),
]
SEEDS = [20260412, int(os.environ.get("RUNTREE_TEST_SEED", time.time_ns() % 10**9))]


def post_everything(rng, url, run, events, results):
    """Posts events in the given order, in whatever form; appends (key, result) to `results`."""
    client = Api(url)
    position = 0
    while position < len(events):
        time.sleep(rng.choice((0, 0, 0.01)))
        form = rng.choice(("single", "put", "batch", "lines"))
        size = 1 if form in ("single", "put") else rng.randrange(1, 30)
        chosen = events[position : position + size]
        position += size
        if form == "single":
            results.append((key(chosen[0]), client.post_one(chosen[0])))
        elif form == "put":
            event = chosen[0]
            phase = rng.choice(
                (event["phase"], "ACTION_PHASE_" + event["phase"], PHASES[event["phase"]])
            )
            path = run.put_path(event["name"], event["attempt"], phase, event["version"])
            response = client.put(
                path,
                {
                    member: value
                    for member, value in event.items()
                    if member not in ("name", "attempt", "phase", "version")
                },
            )
            assert response.status_code in (200, 201), response.text
            results.append((key(event), response.json()))
        else:
            if form == "batch":
                answers = client.post_all(chosen)
            else:
                answers = client.post_lines(chosen).json()["results"]
            results += zip(map(key, chosen), answers, strict=True)
    client.close()


class RestlessWatcher(threading.Thread):
    """Watches with one filter, now here now there, and is cut off at random bytes until `calm`."""

    def __init__(self, rng, urls, run, phases, text, follow):
        super().__init__(daemon=True)
        self.rng, self.urls = rng, urls
        query = [f"phase={phase}" for phase in phases] + [f"name={text}"] * bool(text)
        query += ["follow=true"] * follow
        self.watcher = TreeWatcher(f"{run.path}/watch?wait=true&" + "&".join(query))
        self.calm = threading.Event()
        self.expected = None
        self.failure = None

    def run(self):
        try:
            while not self._has_everything():
                self._watch_once()
        except BaseException as error:
            self.failure = error

    def _has_everything(self):
        return self.calm.is_set() and comparable(self.watcher.nodes.values()) == self.expected

    def _watch_once(self):
        cut_after = None if self.calm.is_set() else self.rng.randrange(1, 30_000)
        stream = self.watcher.connect(
            self.rng.choice(self.urls), cut_after=cut_after, id_in_query=self.rng.random() < 0.3
        )
        if stream.status == 204:
            time.sleep(0.05)
            return
        patience = self.rng.uniform(0.05, 0.6)
        give_up = time.monotonic() + (20 if self.calm.is_set() else patience)
        try:
            while not self._has_everything():
                self.watcher.apply(stream.next(max(0.001, give_up - time.monotonic())))
        except (StreamClosed, Cut):
            pass
        except TimeoutError:
            assert cut_after is not None, f"waits in vain: {self._difference()}"
        (stream.abort if self.rng.random() < 0.5 else stream.close)()

    def _difference(self):
        have = comparable(self.watcher.nodes.values())
        return {
            name: (have.get(name), self.expected.get(name))
            for name in have.keys() | self.expected.keys()
            if have.get(name) != self.expected.get(name)
        }


@pytest.mark.parametrize("seed", SEEDS, ids=["fixed", "random"])
def test_any_order_any_batching_any_repeats(server, twin, api, open_api, run, seed):
    print(f"RUNTREE_TEST_SEED={seed}")
    rng = random.Random(seed)
    urls = [server.url, twin.url]
    events = invent_run(run, rng, actions=ACTIONS)
    oracle = TreeOracle(events)
    assert len(oracle.actions) == ACTIONS, "in the end no action waits"

    watchers = [
        RestlessWatcher(random.Random(rng.random()), urls, run, phases, text, follow)
        for phases, text in FILTERS
        for follow in (True, False)
    ]
    for watcher in watchers:
        watcher.expected = oracle.nodes(*FILTERS[watchers.index(watcher) // 2])
        watcher.start()

    results = []
    posters = []
    for number in range(4):
        shuffled = rng.sample(events, len(events))
        # Everyone posts most of the events, and some of them twice: every one comes several times.
        chosen = shuffled[: len(events) * 2 // 3] + rng.choices(events, k=40)
        posters.append((random.Random(rng.random()), urls[number % 2], run, chosen, results))
    posted = {key(event) for poster in posters for event in poster[3]}
    posters[0][3].extend(event for event in events if key(event) not in posted)

    threads = [
        threading.Thread(target=post_everything, args=poster, daemon=True) for poster in posters
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for watcher in watchers:
        watcher.calm.set()

    assert len(results) == sum(len(poster[3]) for poster in posters), "a poster has failed"
    new = [event_key for event_key, result in results if result["status"] != "duplicate"]
    assert sorted(new) == sorted(map(key, events)), "every event is new exactly once"
    assert all(result["identical"] for _, result in results if result["status"] == "duplicate")

    for client in (api, open_api(twin)):
        for phases, text in FILTERS:
            tree = client.read(f"{run.path}/tree", phase=list(phases), name=text)
            assert comparable(tree["nodes"]) == oracle.nodes(phases, text)
        summary = client.read(run.path)
        assert summary["phaseCounts"] == oracle.count_phases(oracle.actions)
        assert summary["actionCount"] == len(oracle.actions)

    for watcher in watchers:
        watcher.join(30)
        if watcher.failure:
            raise watcher.failure
        assert not watcher.is_alive()
        assert watcher.watcher.resets == 0
    connections = sum(watcher.watcher.connections for watcher in watchers)
    assert connections > 3 * len(watchers), "hardly anyone was cut off"
    revisions_seen = {}
    for watcher in watchers:
        for name, node in watcher.watcher.nodes.items():
            assert revisions_seen.setdefault(name, node) == node, "two watchers differ"
