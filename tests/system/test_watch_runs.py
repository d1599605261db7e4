"""The stream of the list of runs."""

import random
import time
import urllib.parse

import httpx
import psycopg
import pytest

import contract
from client import assert_problem, until
from inventions import at
from postgres import Postgres
from sse import Cut, EventStream, StreamClosed


def updates(frames):
    return [frame.data["runName"] for frame in frames if frame.event == "runUpdate"]


def events(frames):
    return [frame.event for frame in frames]


class RunsWatcher:
    """Keeps what a page would show of the list, over many connections, and checks the promises."""

    def __init__(self, path, phases=()):
        self.path = path
        self.phases = set(phases)
        self.runs = {}  # (project, domain, name) -> the run's summary
        self.last_event_id = None
        self.resets = 0
        self._sent = 0
        self._is_synced = False

    def connect(self, url, **options):
        self._sent = 0
        self._is_synced = False
        stream = EventStream(url, self.path, self.last_event_id, **options)
        assert stream.status == 200, stream.body
        return stream

    def apply(self, frame):
        if frame.event == "runUpdate":
            self._apply_update(frame.data)
        elif frame.event == "reset":
            assert not self._is_synced and frame.id is None
            self.resets += 1
            self.runs.clear()
        elif frame.event == "synced":
            assert not self._is_synced, "synced twice"
            assert frame.data == {"runs": self._sent} and frame.id
            self._is_synced = True
        elif frame.event == "heartbeat":
            assert frame.data == {} and frame.id is None
        else:
            assert frame.event is None and frame.retry
        self.last_event_id = frame.id or self.last_event_id

    def _apply_update(self, data):
        if self._sent < 100:
            contract.check_schema("RunUpdate", data)
        self._sent += 1
        key = (data["project"], data["domain"], data["runName"])
        if "deleted" in data or (self.phases and data["phase"] not in self.phases):
            self.runs.pop(key, None)
            return
        shown = self.runs.get(key)
        if shown and shown["incarnation"] == data["incarnation"]:
            assert data["revision"] >= shown["revision"], "a run went back in time"
        self.runs[key] = data

    def follow(self, stream, event):
        while True:
            frame = stream.next()
            self.apply(frame)
            if frame.event == event:
                return

    def follow_until(self, url, stream, expected, seconds=60):
        """Reads, and comes back whenever the stream ends, until the list is what it should be."""
        deadline = time.monotonic() + seconds
        while {key: run["revision"] for key, run in self.runs.items()} != expected():
            assert time.monotonic() < deadline, (self.runs.keys(), expected())
            try:
                self.apply(stream.next(1))
            except TimeoutError:
                continue
            except StreamClosed:
                time.sleep(0.05)
                stream = self.connect(url)
        stream.close()


def listed(api, run, **filters):
    """What the list answers, as the watcher keeps it."""
    runs = api.read_all("/v1/runs", "runs", project=run.project, limit=1000, **filters)
    return {(r["project"], r["domain"], r["runName"]): r["revision"] for r in runs}


def delete_run(database, run, name):
    """Deletes a run as whoever deletes runs has to."""
    key = (run.project, run.domain, name)
    where = "WHERE project = %s AND domain = %s AND run_name = %s"
    statements = [(f"DELETE FROM {table} {where}", key) for table in ("action_events", "actions")]
    statements += [
        (f"DELETE FROM runs {where}", key),
        (
            "INSERT INTO deleted_runs"
            " VALUES (%s, %s, %s, pg_current_xact_id()::text::int8, now())"
            " ON CONFLICT (project, domain, run_name) DO UPDATE"
            " SET deleted_xid = excluded.deleted_xid, deleted_at = excluded.deleted_at",
            key,
        ),
        ("SELECT pg_notify('runtree', %s)", ("/".join(key) + "/0",)),
    ]
    with psycopg.connect(database) as connection:
        for statement, parameters in statements:
            connection.execute(statement, parameters)


def test_snapshot_live_and_resume(open_stream, api, run):
    for name in ("r1", "r2"):
        api.post_one(dict(run.event(parent=None), runName=name))
    stream = open_stream(f"{run.base}/runs/watch")
    frames = stream.read_until("synced")
    assert sorted(updates(frames)) == ["r1", "r2"]
    assert frames[-1].data == {"runs": 2}
    for frame in frames:
        if frame.event == "runUpdate":
            contract.check_schema("Run", frame.data)
    api.post_one(dict(run.event(phase="RUNNING"), runName="r1"))
    moved = api.read(f"{run.base}/runs/r1")
    live = stream.read_flush()
    while moved not in [frame.data for frame in live]:  # a notification may come after its read
        assert set(updates(live)) <= {"r1", "r2"}
        live = stream.read_flush()
    stream.close()
    api.post_one(dict(run.event(parent=None), runName="r3"))
    resumed = open_stream(f"{run.base}/runs/watch", live[-1].id).read_until("synced")
    assert "r3" in updates(resumed)
    assert "reset" not in [frame.event for frame in resumed]


def test_id_in_the_query(open_stream, api, run):
    path = f"{run.base}/runs/watch"
    last_id = open_stream(path).read_until("synced")[-1].id
    api.post_one(run.event(parent=None))
    resumed = open_stream(f"{path}?lastEventId={urllib.parse.quote(last_id)}")
    assert updates(resumed.read_until("synced")) == ["r1"]


def test_filters(open_stream, api, run):
    stream = open_stream(f"/v1/runs/watch?project={run.project}&phase=FAILED&name=Night")
    assert updates(stream.read_until("synced")) == []
    api.post_one(dict(run.event(phase="FAILED", parent=None), runName="daily"))
    api.post_one(dict(run.event(phase="RUNNING", parent=None), runName="nightly-1"))
    api.post_one(dict(run.event(phase="FAILED", parent=None), runName="nightly-2"))
    frames = stream.read_until(lambda frame: "nightly-2" in updates([frame]))
    assert updates(frames) == ["nightly-1", "nightly-2"]


def test_domain_filter(open_stream, api, run):
    stream = open_stream(f"/v1/runs/watch?project={run.project}&domain=other")
    stream.read_until("synced")
    api.post_one(run.event(parent=None))
    api.post_one(dict(run.event(parent=None), domain="other", runName="there"))
    assert updates(stream.read_flush()) == ["there"]


def test_every_move_is_told_whatever_its_phase(open_stream, api, run):
    """Behind the snapshot the client applies the filter by phase."""
    stream = open_stream(f"{run.base}/runs/watch?phase=RUNNING,PAUSED")
    stream.read_until("synced")
    api.post_one(run.event(phase="RUNNING", parent=None))
    assert [frame.data["phase"] for frame in stream.read_flush()] == ["RUNNING"]
    api.post_one(run.event(phase="FAILED"))
    assert [frame.data["phase"] for frame in stream.read_flush()] == ["FAILED"]
    api.post_one(run.event(phase="ABORTED", version=1, attempt=2))
    assert [frame.data["phase"] for frame in stream.read_flush()] == ["ABORTED"]


def test_run_that_leaves_the_filter_before_the_service_knew_of_it(
    start_runtree, database, open_api, run
):
    """A snapshot shows it in a phase in which the change feed never sees it."""
    runtree = start_runtree("--flush-interval-ms", "2000", database_url=database)
    api = open_api(runtree)
    with EventStream(runtree.url, f"{run.base}/runs/watch") as observer:
        observer.read_until("synced")
        time.sleep(0.5)
        api.post_one(run.event(phase="RUNNING", parent=None))
        with EventStream(runtree.url, f"{run.base}/runs/watch?phase=RUNNING") as stream:
            assert updates(stream.read_until("synced")) == ["r1"]
            api.post_one(run.event(phase="SUCCEEDED"))
            told = stream.read_until(
                lambda frame: frame.event == "runUpdate" and frame.data["phase"] != "RUNNING"
            )
            assert told[-1].data["phase"] == "SUCCEEDED"


def test_run_that_left_the_filter_meanwhile_is_told_at_the_resume(open_stream, twin, api, run):
    path = f"{run.base}/runs/watch?phase=RUNNING"
    api.post_one(run.event(phase="RUNNING", parent=None))
    frames = open_stream(path).read_until("synced")
    assert updates(frames) == ["r1"]
    api.post_one(run.event(phase="SUCCEEDED"))
    with EventStream(twin.url, path, frames[-1].id) as resumed:
        told = [frame.data for frame in resumed.read_until("synced") if frame.event == "runUpdate"]
    assert [(data["runName"], data["phase"]) for data in told] == [("r1", "SUCCEEDED")]


def test_limit(open_stream, api, run):
    api.post_all([dict(run.event(parent=None), runName=f"r{number}") for number in range(105)])
    path = f"{run.base}/runs/watch"
    assert len(updates(open_stream(path).read_until("synced"))) == 100
    assert len(updates(open_stream(path + "?limit=1000").read_until("synced"))) == 105
    assert len(updates(open_stream(path + "?limit=3").read_until("synced"))) == 3


def test_snapshot_is_the_list_after_an_event_that_came_late(open_stream, api, run):
    """Which moves its run's time: live streams are told, new ones begin with the others."""

    def snapshot(stream):
        frames = stream.read_until("synced")
        return [frame.data["runName"] for frame in frames if frame.event == "runUpdate"]

    for number in (1, 2, 3):
        event = run.event(parent=None, updatedTime=at(1000 * number))
        api.post_one(dict(event, runName=f"r{number}"))
    path = f"{run.base}/runs/watch?limit=2"
    live = open_stream(path)
    assert snapshot(live) == ["r3", "r2"]
    api.post_one(dict(run.event(phase="RUNNING", updatedTime=at(0)), runName="r3"))
    live.read_until(
        lambda frame: frame.event == "runUpdate"
        and (frame.data["runName"], frame.data["createdAt"]) == ("r3", at(0))
    )
    assert snapshot(open_stream(path)) == ["r2", "r1"]


def test_runs_are_told_by_their_titles(open_stream, api, run):
    """To who looks for them by name; that one was deleted, to all: its title is gone."""
    titles = {"r1": "Nightly build", "r2": "weekly"}
    for name, title in titles.items():
        api.post_one(dict(run.event(parent=None), runName=name, run={"title": title}))
    stream = open_stream(f"/v1/runs/watch?project={run.project}&name=NIGHT")
    assert updates(stream.read_until("synced")) == ["r1"]
    for name in ("r2", "r1"):
        api.post_one(dict(run.event(phase="RUNNING"), runName=name))
    told = stream.read_until(lambda frame: frame.event == "runUpdate")
    assert updates(told) == ["r1"]
    api.request("DELETE", f"{run.base}/runs/r1")
    told = stream.read_until(
        lambda frame: frame.event == "runUpdate" and frame.data.get("deleted", False)
    )
    assert updates(told)[-1] == "r1"


def test_runs_that_move_together_are_one_flush(open_stream, api, run):
    stream = open_stream(f"{run.base}/runs/watch")
    stream.read_until("synced")
    api.post_all([dict(run.event(parent=None), runName=f"r{number}") for number in range(50)])
    frames = []
    while len(updates(frames)) < 50:
        frames += stream.read_flush()
    assert len([frame for frame in frames if frame.id]) <= 4, "as many flushes as writers, about"


def test_heartbeat(start_runtree, database, run):
    runtree = start_runtree("--heartbeat-ms", "150", database_url=database)
    with EventStream(runtree.url, f"{run.base}/runs/watch") as stream:
        stream.read_until("synced")
        frame = stream.next(2)
    assert (frame.event, frame.data, frame.id) == ("heartbeat", {}, None)


@pytest.mark.parametrize(
    "last_id",
    [
        "nonsense",
        "1.0.5",
        "1.0.5.6.7",
        "-1.0.5.6",
        "1.0.99999999999999999999.5",
        "1..5.6",
        "x" * 500,
    ],
)
def test_id_that_none_of_us_gave(open_stream, api, run, last_id):
    api.post_one(run.event(parent=None))
    frames = open_stream(f"{run.base}/runs/watch", last_id).read_until("synced")
    assert events(frames) == [None, "reset", "runUpdate", "synced"]


def test_id_of_another_filter(open_stream, api, run):
    api.post_one(run.event(parent=None))
    last_id = open_stream(f"{run.base}/runs/watch?name=r").read_until("synced")[-1].id
    frames = open_stream(f"{run.base}/runs/watch", last_id).read_until("synced")
    assert events(frames) == [None, "reset", "runUpdate", "synced"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({0: lambda timeline: timeline + 1}, id="of another timeline"),
        pytest.param({2: lambda xid: xid + 1_000_000}, id="from the future"),
        pytest.param({3: lambda second: second - 2 * 86400}, id="two days old"),
    ],
)
def test_id_that_is_of_no_use(open_stream, api, run, change):
    api.post_one(run.event(parent=None))
    path = f"{run.base}/runs/watch"
    parts = open_stream(path).read_until("synced")[-1].id.split(".")
    changed = [
        str(change[number](int(part))) if number in change else part
        for number, part in enumerate(parts)
    ]
    frames = open_stream(path, ".".join(changed)).read_until("synced")
    assert events(frames) == [None, "reset", "runUpdate", "synced"]


def test_deletion_is_told(open_stream, api, database, run):
    for name in ("r1", "r2"):
        api.post_one(dict(run.event(parent=None), runName=name))
    stream = open_stream(f"{run.base}/runs/watch?phase=QUEUED")
    stream.read_until("synced")
    delete_run(database, run, "r1")
    frames = stream.read_until(lambda frame: "deleted" in frame.data)
    assert frames[-1].data == {
        "project": run.project,
        "domain": run.domain,
        "runName": "r1",
        "deleted": True,
    }
    api.post_one(run.event(phase="QUEUED", parent=None))
    frames = stream.read_until(lambda frame: frame.data["runName"] == "r1")
    assert frames[-1].data["revision"] == 1


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_deletion_meanwhile_is_told_at_the_resume(
    open_stream, twin, api, database, run, is_made_anew
):
    path = f"{run.base}/runs/watch"
    for name in ("r1", "r2"):
        api.post_one(dict(run.event(parent=None), runName=name))
    last_id = open_stream(path).read_until("synced")[-1].id
    delete_run(database, run, "r1")
    if is_made_anew:
        api.post_one(run.event("b0", "RUNNING", parent=None))
    with EventStream(twin.url, path, last_id) as stream:
        frames = stream.read_until("synced")
    told = {frame.data["runName"]: frame.data for frame in frames if frame.event == "runUpdate"}
    assert ("deleted" in told["r1"]) != is_made_anew and "reset" not in events(frames)


def test_waiting_run_is_told_when_it_joins(open_stream, api, run):
    stream = open_stream(f"{run.base}/runs/watch")
    stream.read_until("synced")
    api.post_one(run.event("a1", "RUNNING"))
    assert [frame.data["phase"] for frame in stream.read_flush()] == [None]
    api.post_one(run.event("a1", "RUNNING", version=1, parent=None))
    frames = stream.read_flush()
    assert frames[-1].data == api.read(run.path)


def test_head(api, run):
    response = api.request("HEAD", f"{run.base}/runs/watch")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    "query, name",
    [
        ("limit=0", "invalid-field"),
        ("limit=1001", "invalid-field"),
        ("phase=LATER", "invalid-field"),
        ("domain=-", "invalid-field"),
        ("wait=true", "unknown-parameter"),
        ("cursor=00", "unknown-parameter"),
    ],
)
def test_wrong_parameter(api, query, name):
    assert_problem(api.get(f"/v1/runs/watch?{query}"), 400, name)


def test_streams_are_limited(start_runtree, database, open_api, run):
    runtree = start_runtree("--streams-max", "2", database_url=database)
    path = f"{run.base}/runs/watch"
    streams = [EventStream(runtree.url, path) for _ in range(2)]
    assert_problem(open_api(runtree).get(path), 503, "overloaded")
    for stream in streams:
        stream.read_until("synced")
        stream.close()


def test_resume_wherever_it_lands(server, twin, open_api, run):
    """Runs move all the time, watchers are cut off in the middle and come back on either runtree:
    in the end each has what the list has."""
    rng = random.Random(run.project)
    clients = [open_api(runtree) for runtree in (server, twin)]
    base = f"{run.base}/runs/watch"
    watchers = [
        (RunsWatcher(base + "?limit=1000"), {}),
        (RunsWatcher(base + "?limit=1000&phase=RUNNING", ["RUNNING"]), {"phase": "RUNNING"}),
        (RunsWatcher(base + "?limit=1000&name=R1"), {"name": "r1"}),
    ]
    streams = [None] * len(watchers)
    attempts = {}
    for _ in range(60):
        batch = []
        for name in {f"r{rng.randrange(40)}" for _ in range(rng.choice((1, 3, 20)))}:
            attempts[name] = attempts.get(name, 0) + 1
            phase = rng.choice(("QUEUED", "RUNNING", "RUNNING", "FAILED"))
            event = run.event("a0", phase, attempt=attempts[name], parent=None)
            batch.append(dict(event, runName=name))
        rng.choice(clients).post_all(batch)
        for number, (watcher, _) in enumerate(watchers):
            stream = streams[number] or watcher.connect(
                rng.choice((server, twin)).url, cut_after=rng.choice((None, 300, 3000, 30000))
            )
            streams[number] = stream
            try:
                while rng.random() < 0.95:
                    watcher.apply(stream.next(0.02))
            except TimeoutError:
                pass
            except (Cut, StreamClosed):
                stream.close()
                streams[number] = None
    for stream, (watcher, filters) in zip(streams, watchers, strict=True):
        if stream:
            stream.close()
        stream = watcher.connect(twin.url)
        watcher.follow(stream, "synced")
        stream.close()
        shown = {key: data["revision"] for key, data in watcher.runs.items()}
        assert shown == listed(clients[0], run, **filters)
        assert watcher.resets == 0


def test_more_runs_than_can_be_told(server, api, run):
    """A client who was away while more than 10,000 runs moved gets a reset and the newest ones; one
    who is connected and slow to read gets all, or is sent back for a reset and the newest ones."""
    sleeper = RunsWatcher(f"{run.base}/runs/watch")
    stream = sleeper.connect(server.url, receive_buffer=4096)
    sleeper.follow(stream, "synced")
    away = RunsWatcher(f"{run.base}/runs/watch")
    away.last_event_id = sleeper.last_event_id
    for first in range(0, 12000, 4000):
        api.post_all(
            [
                dict(run.event("a0", "RUNNING", parent=None), runName=f"r{number}")
                for number in range(first, first + 4000)
            ]
        )
    newest = api.read(f"{run.base}/runs")["runs"]
    expected = {(r["project"], r["domain"], r["runName"]) for r in newest}
    stream_of_away = away.connect(server.url)
    away.follow(stream_of_away, "synced")
    assert away.resets == 1 and away.runs.keys() == expected
    stream_of_away.close()
    while sleeper.runs.keys() != expected and len(sleeper.runs) < 12000:
        try:
            sleeper.apply(stream.next())
        except StreamClosed:
            stream = sleeper.connect(server.url)
    assert sleeper.resets == (len(sleeper.runs) < 12000)
    stream.close()


# -------- what fails --------


@pytest.fixture(scope="module")
def own_cluster():
    cluster = Postgres()
    cluster.start()
    yield cluster
    cluster.remove()


@pytest.fixture
def cluster(own_cluster):
    if not own_cluster.is_running():
        own_cluster.start()
    return own_cluster


def test_lost_notification_costs_no_update(start_runtree, cluster, open_api, run):
    url = cluster.new_database()
    runtree = start_runtree(database_url=url)
    client = open_api(runtree)
    watcher = RunsWatcher(f"{run.base}/runs/watch")
    stream = watcher.connect(runtree.url)
    watcher.follow(stream, "synced")
    for number in range(5):
        until(
            lambda: cluster.execute(
                url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'runtree listener'",
            )
        )
        client.post_one(dict(run.event(parent=None), runName=f"r{number}"))
        while len(watcher.runs) <= number:
            watcher.apply(stream.next(15))
        runtree.wait_until_ready()
    stream.close()
    assert watcher.resets == 0


def test_deaf_listener_costs_no_update(start_runtree, cluster, open_api, run):
    """A notification that never comes (here because nobody sends it) is covered by the poll."""
    url = cluster.new_database()
    runtree = start_runtree(database_url=url)
    open_api(runtree).post_one(run.event(parent=None))
    with EventStream(runtree.url, f"{run.base}/runs/watch") as stream:
        stream.read_until("synced")
        cluster.execute(
            url, "UPDATE runs SET action_count = 77, changed_xid = pg_current_xact_id()::text::int8"
        )
        assert [frame.data["actionCount"] for frame in stream.read_flush(15)] == [77]


def test_restart_of_the_database(start_runtree, cluster, open_api, run):
    """The stream stays open while the database is away, a new one is refused; then all is well."""
    url = cluster.new_database()
    runtree = start_runtree(database_url=url)
    client = open_api(runtree)
    watcher = RunsWatcher(f"{run.base}/runs/watch")
    client.post_one(run.event(parent=None))
    stream = watcher.connect(runtree.url)
    watcher.follow(stream, "synced")
    for number in range(2, 4):
        cluster.stop()
        runtree.wait_for(f"{run.base}/runs", 503)
        with EventStream(runtree.url, watcher.path, watcher.last_event_id) as refused:
            assert refused.status == 503 and "retry-after" in refused.headers
        cluster.start()
        runtree.wait_until_ready()
        client.post_one(dict(run.event(parent=None), runName=f"r{number}"))
        while len(watcher.runs) < number:
            watcher.apply(stream.next(15))
    assert watcher.resets == 0
    stream.close()


def test_restart_of_the_server(start_runtree, cluster, open_api, run):
    url = cluster.new_database()
    runtree = start_runtree(database_url=url)
    watcher = RunsWatcher(f"{run.base}/runs/watch")
    stream = watcher.connect(runtree.url)
    open_api(runtree).post_one(run.event(parent=None))
    runtree.stop()
    with pytest.raises(StreamClosed):
        while True:
            watcher.apply(stream.next())
    runtree.start()
    httpx.post(runtree.url + "/v1/events", json=dict(run.event(parent=None), runName="r2"))
    stream = watcher.connect(runtree.url)
    watcher.follow(stream, "synced")
    assert {name for _, _, name in watcher.runs} == {"r1", "r2"} and watcher.resets == 0
    stream.close()


def test_two_loops(start_runtree, cluster, open_api, run):
    """Each loop has a hub of its own; all tell the same."""
    url = cluster.new_database()
    runtree = start_runtree("--threads", "2", database_url=url)
    client = open_api(runtree)
    watchers = [RunsWatcher(f"{run.base}/runs/watch") for _ in range(8)]
    streams = [watcher.connect(runtree.url) for watcher in watchers]
    client.post_all([dict(run.event(parent=None), runName=f"r{n}") for n in range(10)])
    for watcher, stream in zip(watchers, streams, strict=True):
        watcher.follow_until(runtree.url, stream, lambda: listed(client, run))
