"""Streams over several cells: one list of all, a part of each, and what is said when one is away."""

import concurrent.futures
import itertools
import os
import random
import re
import signal
import threading
import time

import httpx
import psycopg
import pytest

import contract
from client import held, until
from inventions import RunKey, at
from many import ManyWatcher, list_of, run_of
from postgres import Postgres, child_processes
from runtree import Runtree, cells
from sse import Cut, EventStream, StreamClosed, TreeWatcher
from tokens import CHECKS, KEYS, token_for, write_jwks

NAMES = ("1", "2", "3")
FAILED = 6  # as it is stored


class CellsWatcher:
    """Keeps what a page would show of a list over several cells, over many connections, and checks
    the promises."""

    def __init__(self, path, phases=()):
        self.path = path
        self.phases = set(phases)
        self.shown = {}  # (project, domain, name) -> the run's summary
        self.last_event_id = None
        self.away = None
        self.resets = []  # of cells; None: of all
        self.synced = []  # the same
        self.cut_early = 0  # connections that had an id and nothing whole
        self.snapshot = 0

    def connect(self, url, **options):
        self._frames = self._sent = 0
        self.cut_early += self.last_event_id is not None and not self.synced
        self.synced = []
        if self.last_event_id is None:
            self.shown = {}
        stream = EventStream(url, self.path, self.last_event_id, **options)
        assert stream.status == 200, stream.body
        return stream

    def apply(self, frame):
        self._frames += 1
        assert (self._frames == 1) == (frame.retry is not None)
        assert self._frames != 2 or frame.event == "position"
        assert self._frames != 3 or frame.event == "cells"
        if frame.event is not None:
            getattr(self, f"_apply_{frame.event}")(frame.data)
        expected = frame.event == "position" or frame.event == "synced" and "cell" not in frame.data
        assert (frame.id is not None) == expected
        self.last_event_id = frame.id or self.last_event_id

    def _apply_position(self, data):
        assert data == {}

    def _apply_heartbeat(self, data):
        assert data == {}

    def _apply_cells(self, data):
        contract.check_schema("Cells", data)
        self.away = data["unavailable"]

    def _apply_reset(self, data):
        contract.check_schema("Reset", data)
        cell = data.get("cell")
        self.resets.append(cell)
        self.shown = {key: run for key, run in self.shown.items() if cell not in (None, run["cell"])}

    def _apply_synced(self, data):
        contract.check_schema("RunsSynced", data)
        cell = data.get("cell")
        assert (cell is None) == (not self.synced), "first all, then each that comes back"
        self.synced.append(cell)
        if cell is None:
            assert data["runs"] <= self._sent, "what moves meanwhile is sent, too"
            self.snapshot = data["runs"]

    def _apply_runUpdate(self, data):
        if self._sent < 50:
            contract.check_schema("RunUpdate", data)
        self._sent += 1
        key = (data["project"], data["domain"], data["runName"])
        shown = self.shown.get(key)
        if "deleted" in data:
            if shown and shown["cell"] == data["cell"]:
                del self.shown[key]
        elif self.phases and data["phase"] not in self.phases:
            self.shown.pop(key, None)
        else:
            if shown and shown["incarnation"] == data["incarnation"]:
                assert data["revision"] >= shown["revision"], "a run went back in time"
            self.shown[key] = data

    def follow_until(self, stream, wanted, seconds=60):
        """Reads until `wanted(self)` holds."""
        deadline = time.monotonic() + seconds
        while not wanted(self):
            try:
                self.apply(stream.next(max(0.001, deadline - time.monotonic())))
            except TimeoutError:
                state = (self.away, self.resets, self.synced, sorted(self.shown))
                raise AssertionError(f"no more after {stream.frames[-3:]}; {state}") from None
        return self

    def sync(self, stream):
        return self.follow_until(stream, lambda it: it.synced)

    def read_position(self, stream):
        """Up to the next id."""
        self.apply(stream.next())
        while stream.frames[-1].event != "position":
            self.apply(stream.next())

    @property
    def names(self):
        return {name for _, _, name in self.shown}


@pytest.fixture(scope="module")
def away():
    """A PostgreSQL that tests kill and start again."""
    cluster = Postgres(durable=True)
    cluster.start()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="module")
def pair(postgres, away, tmp_path_factory):
    """Two runtrees with the same three cells, of which the second is of a PostgreSQL of its own."""
    urls = [cluster.new_database() for cluster in (postgres, away, postgres)]
    arguments = cells(urls)
    folder = tmp_path_factory.mktemp("pair")
    started = [Runtree(folder / name, *arguments) for name in ("one", "other")]
    for runtree in started:
        runtree.start()
    yield started
    for runtree in started:
        runtree.stop()


@pytest.fixture
def one(pair, away):
    """One of them, with all of its cells there."""
    if not away.is_running():
        away.start()
    for runtree in pair:
        runtree.wait_until_ready()
    return pair[0]


@pytest.fixture
def other(pair, one):
    return pair[1]


@pytest.fixture
def api(one, open_api):
    return open_api(one)


@pytest.fixture
def connect():
    """Connects watchers; the streams are closed at the end of the test."""
    opened = []

    def open_one(watcher, runtree, **options):
        opened.append(watcher.connect(runtree.url, **options))
        return opened[-1]

    yield open_one
    for stream in opened:
        stream.close()


def cells_of(runtree):
    """The options that name its cells."""
    return runtree.arguments[runtree.arguments.index("--database-url") :]


def cells_away(url):
    with EventStream(url, "/v1/runs/watch?limit=1") as stream:
        return stream.read_until("cells")[-1].data["unavailable"]


def named(run, name):
    return RunKey(run.project, run.domain, name)


def make_runs(api, run, count, first=0):
    """So many runs, each a second younger than the one before."""
    for number in range(first, first + count):
        event = run.event("a0", "RUNNING", parent=None, updatedTime=at(1000 * number))
        api.post_one(dict(event, runName=f"r{number:03}"))
    return [f"r{number:03}" for number in range(first, first + count)]


def by_cell(watcher):
    return {cell: sorted(key[2] for key, run in watcher.shown.items() if run["cell"] == cell)
            for cell in NAMES}  # fmt: skip


@pytest.fixture
def seen(connect, api, one, run):
    """A watcher of twenty runs, its stream, and the runs of each cell."""
    names = make_runs(api, run, 20)
    watcher = CellsWatcher(f"{run.base}/runs/watch")
    stream = connect(watcher, one)
    watcher.sync(stream)
    homes = by_cell(watcher)
    assert sorted(itertools.chain(*homes.values())) == names and all(homes.values())
    return watcher, stream, homes


def test_one_list_of_all(connect, api, other, run, seen):
    """What is there, what moves, what is deleted, and all of that while nobody watched."""
    watcher, stream, homes = seen
    assert (watcher.away, watcher.resets, watcher.snapshot) == ([], [], 20)
    moved = [names[0] for names in homes.values()]
    for name in moved:
        api.post_one(named(run, name).event("a0", "SUCCEEDED"))
    watcher.follow_until(
        stream,
        lambda it: all(it.shown[run.project, run.domain, n]["phase"] == "SUCCEEDED" for n in moved),
    )
    for names in homes.values():
        assert api.request("DELETE", named(run, names[1]).path).status_code == 204
    watcher.follow_until(stream, lambda it: len(it.names) == 17)
    watcher.read_position(stream)
    stream.close()
    for names in homes.values():
        assert api.request("DELETE", named(run, names[0]).path).status_code == 204
    stream = connect(watcher, other)
    watcher.sync(stream)
    watcher.follow_until(stream, lambda it: len(it.names) == 14)
    assert watcher.resets == []


def test_limit_holds_over_all(connect, one, run, seen):
    """The newest of all, not of each; also where one has most of them, or none."""
    for limit in (1, 2, 7, 19, 20, 21):
        watcher = CellsWatcher(f"{run.base}/runs/watch?limit={limit}")
        watcher.sync(connect(watcher, one))
        # What was heard of meanwhile is told, too, behind the snapshot.
        newest = {f"r{number:03}" for number in range(max(0, 20 - limit), 20)}
        assert watcher.snapshot == len(newest) and newest <= watcher.names
        text = list_of(run.project, run.domain, limit=limit)
        many = ManyWatcher(text)
        stream = many.connect(one.url)
        many.sync(stream)
        stream.close()
        assert newest <= {key[2] for key in many.names(text)}
        synced = [frame.data["runs"] for frame in stream.frames if frame.event == "synced"]
        assert synced == [len(newest)]
    empty = CellsWatcher(f"{run.base}/runs/watch?phase=FAILED")
    stream = connect(empty, one)
    empty.sync(stream)
    assert (empty.names, empty.snapshot) == (set(), 0)


def test_an_id_that_is_of_no_use(connect, one, run, seen):
    for last_id in ("nonsense", "1.0.5417.1776000000", "w", "w.000000000000001!1erq40"):
        watcher = CellsWatcher(f"{run.base}/runs/watch")
        watcher.last_event_id = last_id
        watcher.sync(connect(watcher, one))
        assert (watcher.resets, len(watcher.names)) == ([None], 20)


def test_an_id_of_another_filter_or_of_a_cell_that_is_no_more(connect, one, run, seen):
    watcher, stream, _ = seen
    for path, last_id in (
        (f"{run.base}/runs/watch?name=r", watcher.last_event_id),
        (f"{run.base}/runs/watch", watcher.last_event_id + ".000000000000001!1erq40"),
    ):
        another = CellsWatcher(path)
        another.last_event_id = last_id
        another.sync(connect(another, one))
        assert (another.resets, len(another.names)) == ([None], 20)


@pytest.mark.parametrize("change", ["timeline", "gone"])
def test_a_cell_is_reset_alone(connect, api, one, run, seen, change):
    """One of another timeline, and one that the id knows nothing of."""
    watcher, stream, homes = seen
    stream.close()
    parts = watcher.last_event_id.split(".")
    assert len(parts) == 4
    if change == "timeline":
        parts[2] = parts[2][:8] + "00000-" + parts[2][14:]
    else:
        del parts[2]
    watcher.last_event_id = ".".join(parts)
    # What the client must be told to forget, for nobody tells it that it is gone.
    watcher.shown[run.project, run.domain, "stale"] = dict(watcher.shown[run.project, run.domain, homes["2"][0]])
    stream = connect(watcher, one)
    watcher.sync(stream)
    assert watcher.resets == ["2"] and by_cell(watcher) == homes
    watcher.sync(connect(watcher, one))
    assert watcher.resets == ["2"]


def test_a_cell_goes_away_and_is_back(connect, api, one, other, away, run, seen):
    """The others go on; who was there misses nothing of it, who comes meanwhile is told. The stream of
    one run waits, and a new one is refused."""
    watcher, stream, homes = seen
    path = f"{named(run, homes['2'][0]).path}/watch"
    alone = TreeWatcher(path)
    its_stream = connect(alone, one)
    alone.follow(its_stream, "synced")
    away.kill()
    watcher.follow_until(stream, lambda it: it.away == ["2"])
    assert EventStream(one.url, path).status == 503
    api.post_one(named(run, homes["1"][0]).event("a0", "SUCCEEDED"))
    key = (run.project, run.domain, homes["1"][0])
    watcher.follow_until(stream, lambda it: it.shown[key]["phase"] == "SUCCEEDED")
    late = CellsWatcher(f"{run.base}/runs/watch")
    late_stream = connect(late, one)
    late.sync(late_stream)
    assert late.away == ["2"] and late.names == watcher.names - set(homes["2"])
    # Who comes back meanwhile has what it had.
    back = CellsWatcher(watcher.path)
    back.shown, back.last_event_id = dict(watcher.shown), watcher.last_event_id
    back_stream = connect(back, other)
    back.sync(back_stream)
    assert back.away == ["2"] and back.resets == [] and by_cell(back) == homes
    away.start()
    for each, its in ((watcher, stream), (late, late_stream), (back, back_stream)):
        each.follow_until(its, lambda it: it.away == [])
    one.wait_until_ready()
    moved = named(run, homes["2"][0])
    api.post_one(moved.event("a0", "FAILED"))
    alone.follow_until(its_stream, lambda nodes: nodes["a0"]["action"]["phase"] == "FAILED")
    assert alone.resets == 0
    key = (run.project, run.domain, moved.name)
    for each, its in ((watcher, stream), (late, late_stream), (back, back_stream)):
        each.follow_until(its, lambda it: it.names == set(itertools.chain(*homes.values())))
        each.follow_until(its, lambda it: it.shown[key]["phase"] == "FAILED")
    assert watcher.resets == back.resets == [] and set(late.resets) <= {"2"}
    late.follow_until(late_stream, lambda it: it.synced == [None, "2"])


def test_a_cell_that_hangs(connect, api, one, away, run, seen):
    """Nobody waits for it; what happened before it went on is told."""
    watcher, stream, homes = seen
    pids = [away.process.pid, *child_processes(away.process.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        watcher.follow_until(stream, lambda it: it.away == ["2"])
        late = CellsWatcher(f"{run.base}/runs/watch")
        late_stream = connect(late, one)
        late.sync(late_stream)
        assert late.away == ["2"] and late.names == watcher.names - set(homes["2"])
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    for each, its in ((watcher, stream), (late, late_stream)):
        each.follow_until(its, lambda it: it.away == [] and by_cell(it) == homes)


def test_a_cell_that_was_not_there_at_the_start(start_runtree, open_api, postgres, run):
    """Its runs are told of as unavailable, and come with it; the rest is served."""
    later = Postgres()
    try:
        urls = (postgres.new_database(), later.url("postgres", over_tcp=False))
        arguments = cells(urls)
        later.start()  # a list of cells is begun with all of them
        start_runtree(*arguments).stop()
        later.stop()
        runtree = start_runtree("--heartbeat-ms", "600000", *arguments, until=None)
        until(lambda: watches(runtree, f"{run.base}/runs/watch"))
        homes = homes_by_answers(runtree, run)
        there, missing = (named(run, homes[cell][0]) for cell in ("1", "2"))
        texts = (run_of(there), run_of(missing), list_of(run.project))
        watcher = ManyWatcher(*texts)
        stream = watcher.connect(runtree.url)
        watcher.follow_until(
            stream,
            lambda it: it.parts[texts[0]].is_synced
            and it.parts[texts[2]].is_synced
            and it.parts[texts[1]].events == ["absent"],
        )
        assert {key[2] for key in watcher.names(texts[2])} == set(homes["1"])
        watcher.follow_until(stream, lambda it: it.away == ["2"])
        # Nothing but its cell wakes this one.
        alone = ManyWatcher(texts[1])
        its_stream = alone.connect(runtree.url)
        while not alone.parts[texts[1]].events:
            alone.apply(its_stream.next())
        assert alone.parts[texts[1]].events == ["absent"]
        later.start()
        watcher.follow_until(stream, lambda it: it.away == [])
        runtree.wait_until_ready()
        open_api(runtree).post_one(missing.event("a0", "RUNNING", parent=None))
        for each, its in ((watcher, stream), (alone, its_stream)):
            each.follow_until(its, lambda it: it.names(texts[1]) == {"a0"})
        its_stream.close()
        watcher.follow_until(
            stream, lambda it: {k[2] for k in it.names(texts[2])} == {*homes["1"], missing.name}
        )
        stream.close()
    finally:
        runtree.stop()
        later.remove()


def homes_by_answers(runtree, run):
    """The names of twenty runs by the cell that they are for, of which the second is away."""

    def post(name):
        event = named(run, name).event("a0", "RUNNING", parent=None)
        return httpx.post(f"{runtree.url}/v1/events", json=event, timeout=20).is_success

    names = [f"r{number}" for number in range(20)]
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        is_there = dict(zip(names, pool.map(post, names)))
    return {"1": [name for name in names if is_there[name]],
            "2": [name for name in names if not is_there[name]]}  # fmt: skip


def watches(runtree, path):
    try:
        with EventStream(runtree.url, path) as stream:
            return stream.status == 200
    except OSError:
        return False


def test_runs_of_several_cells_on_one_stream(connect, api, one, other, run, seen):
    watcher, _, homes = seen
    texts = [run_of(named(run, names[0])) for names in homes.values()]
    many = ManyWatcher(*texts, list_of(run.project, run.domain))
    stream = connect(many, one)
    many.sync(stream)
    assert {text: many.names(text) for text in texts} == dict.fromkeys(texts, {"a0"})
    stream.close()
    for names in homes.values():
        api.post_one(named(run, names[0]).event("a1", "RUNNING", parent="a0"))
    stream = connect(many, other)
    many.sync(stream)
    many.follow_until(stream, lambda it: all(len(it.names(text)) == 2 for text in texts))
    assert {part.resets for part in many.parts.values()} == {0}


def test_runs_that_are_made_anew_in_another_cell(start_runtree, open_api, postgres, run):
    """They were there before it; who watches them or waits for them sees them where they are now."""
    urls = [postgres.new_database() for _ in range(2)]
    runs = [named(run, f"r{number}") for number in range(12)]
    old = start_runtree(database_url=urls[0])
    open_api(old).post_all([one.event("a0", "RUNNING", parent=None) for one in runs])
    old.stop()
    grown = start_runtree(*cells(urls))
    api = open_api(grown)
    moves = list_of(run.project)
    watcher = ManyWatcher(*map(run_of, runs), moves)
    stream = watcher.connect(grown.url)
    watcher.sync(stream)
    for one in runs:
        assert api.request("DELETE", one.path).status_code == 204
        api.post_one(one.event("z0", "RUNNING", parent=None))
    while not all(watcher.names(run_of(one)) == {"z0"} for one in runs):
        try:
            watcher.apply(stream.next())
        except StreamClosed:
            stream = watcher.connect(grown.url)
    watcher.follow_until(stream, lambda it: len(it.names(moves)) == len(runs))
    stream.close()
    assert {shown["cell"] for shown in watcher.parts[moves].shown.values()} == {"1", "2"}


def test_more_positions_than_an_id_may_have(one):
    """A list counts once for each cell."""
    lists = [list_of(f"p{number}") for number in range(85)]
    fits = [*lists, run_of(RunKey("p", "d", "r"))]
    stream = ManyWatcher(*fits).connect(one.url)
    stream.close()
    answer = EventStream(one.url, ManyWatcher(*fits, run_of(RunKey("p", "d", "s"))).path)
    assert answer.status == 400 and b"256" in answer.body


def test_a_token_sees_its_projects_in_every_cell(
    start_runtree, one, away, connect, run, seen, tmp_path
):
    """Also in the one that comes later."""
    keys = write_jwks(tmp_path / "keys.json", KEYS.values())
    guarded = start_runtree("--auth", "jwt", "--auth-keys", str(keys), *CHECKS, *cells_of(one))
    _, _, homes = seen
    tokens = [token_for(read=[f"{project}/*"]) for project in (run.project, "another")]
    away.kill()
    until(lambda: cells_away(one.url) == ["2"])
    watchers = [CellsWatcher("/v1/runs/watch?limit=1000") for _ in tokens]
    streams = []
    for watcher, token in zip(watchers, tokens):
        headers = {"Authorization": f"Bearer {token}"}
        streams.append(connect(watcher, guarded, headers=headers))
        watcher.follow_until(streams[-1], lambda it: it.synced and it.away == ["2"])
    away.start()
    for watcher, stream in zip(watchers, streams):
        watcher.follow_until(stream, lambda it: it.synced == [None, "2"])
    assert by_cell(watchers[0]) == homes
    assert watchers[1].shown == {}


def test_nothing_is_kept_of_a_stream_that_left(start_runtree, one, run, seen):
    """Wherever its snapshot was."""
    runtree = start_runtree("--hub-linger-ms", "0", *cells_of(one))
    for records in range(0, 12, 2):
        watcher = CellsWatcher(f"{run.base}/runs/watch?limit=7")
        many = ManyWatcher(list_of(run.project), run_of(named(run, "absent")))
        for stream in (watcher.connect(runtree.url), many.connect(runtree.url)):
            for _ in range(records):
                stream.next()
            stream.close()
    until(lambda: held(runtree.url, "views") == 0 and held(runtree.url, "frames") == 0)
    pattern = r'^runtree_list_views{cell="\d"} 0$'
    until(lambda: len(re.findall(pattern, httpx.get(f"{runtree.url}/metrics").text, re.M)) == 3)


class Load:
    """Posts to runs of all cells and deletes some, whether their cells are there or not, and lets
    one of those go away and come back, until it is told to end."""

    def __init__(self, url, away, runs, seed):
        self.url, self.away, self.runs, self.rng = url, away, runs, random.Random(seed)
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=step) for step in (self._post, self._harm)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def _post(self):
        attempts = itertools.count(1)
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not self._ends.is_set():
                run = self.rng.choice(self.runs)
                if self.rng.random() < 0.1:
                    answer = client.delete(run.path)
                else:
                    phase = self.rng.choice(("QUEUED", "RUNNING", "FAILED", "SUCCEEDED"))
                    event = run.event("a0", phase, parent=None, attempt=next(attempts))
                    answer = client.post("/v1/events", json=event)
                assert answer.status_code in (200, 201, 204, 404, 503), answer.text

    def _harm(self):
        while not self._ends.wait(1):
            self.away.kill()
            self._ends.wait(0.7)
            self.away.start()


def rows_of(urls, run):
    """What all cells together have: revision and phase of each run by its name."""
    rows = {}
    for url in urls:
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "SELECT run_name, revision, phase FROM runs WHERE project = %s", (run.project,)
            ).fetchall()
        assert not rows.keys() & {name for name, *_ in found}, "a run is in two cells"
        rows |= {name: (revision, phase) for name, revision, phase in found}
    return rows


@pytest.mark.parametrize("seed", range(2))
def test_random_cuts_while_a_cell_goes_and_comes(pair, one, away, connect, run, seed):
    """Cut at a random byte, resumed on either replica: in the end each client shows what there is,
    and only what its filter lets it."""
    rng = random.Random(seed)
    runs = [named(run, f"r{number}") for number in range(12)]
    filters = (("", ()), ("&phase=FAILED", ("FAILED",)), ("&name=r1", ()))
    watchers = [CellsWatcher(f"{run.base}/runs/watch?limit=1000{query}", phases)
                for query, phases in filters]  # fmt: skip
    many = ManyWatcher(list_of(run.project, limit=1000), run_of(runs[0]), follow="true")
    with Load(one.url, away, runs, seed):
        for _ in range(24):
            watcher = rng.choice((*watchers, many))
            stream = watcher.connect(rng.choice(pair).url, cut_after=rng.randrange(30000))
            try:
                while True:
                    watcher.apply(stream.next(0.3))
            except (Cut, StreamClosed, TimeoutError):
                stream.close()
    for runtree in pair:
        runtree.wait_until_ready()
    rows = rows_of(cells_of(one)[1::2], run)
    assert rows
    expected = (
        {name: revision for name, (revision, _) in rows.items()},
        {name: revision for name, (revision, phase) in rows.items() if phase == FAILED},
        {name: revision for name, (revision, _) in rows.items() if "r1" in name},
    )
    for watcher, wanted in zip(watchers, expected):
        watcher.follow_until(
            connect(watcher, rng.choice(pair)),
            lambda it, wanted=wanted: {k[2]: v["revision"] for k, v in it.shown.items()} == wanted,
        )
        assert watcher.resets.count(None) <= watcher.cut_early, "what was whole is resumed"
    stream = many.connect(one.url)
    many.follow_until(
        stream,
        lambda it: {k[2]: v["revision"] for k, v in it.parts[list_of(run.project, limit=1000)].shown.items()}
        == expected[0],
    )
    stream.close()
