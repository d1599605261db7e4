"""The stream of a run: snapshot, live changes, filters, resume, reset, heartbeat, end."""

import contextlib
import threading
import time

import httpx
import pytest

import contract
from client import assert_problem
from inventions import RunKey
from sse import EventStream, StreamClosed, TreeWatcher
from tree_oracle import TreeOracle, comparable


@pytest.fixture
def tree(api, run):
    """a0 over a1 over a2, and a0 over b1; all RUNNING."""
    events = [
        run.event(name, "RUNNING", parent=parent)
        for name, parent in (("a0", None), ("a1", "a0"), ("a2", "a1"), ("b1", "a0"))
    ]
    api.post_all(events)
    return events


@pytest.fixture(scope="module", autouse=True)
def silent_streams(runtrees):
    """Streams on which nothing happens, opened early; read by the test of the heartbeat."""
    run = RunKey("project-silent", "development", "r1")
    httpx.post(f"{runtrees[0].url}/v1/events", json=run.event("a0", "RUNNING", parent=None))
    paths = (
        f"{run.path}/watch",
        f"{run.path}/watch?phase=FAILED",
        f"{run.base}/runs/not-yet/watch?wait=true",
    )
    streams = {path: EventStream(runtrees[0].url, path) for path in paths}
    opened_at = time.monotonic()
    yield streams, opened_at
    for stream in streams.values():
        stream.close()


def watch(run, **parameters):
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"{run.path}/watch" + ("?" + query if query else "")


def snapshot(open_stream, path, last_event_id=None):
    """Opens a stream and reads up to `synced`; the watcher and the stream."""
    watcher = TreeWatcher(path)
    stream = open_stream(path, last_event_id)
    watcher.follow(stream, "synced")
    return watcher, stream


def names_of(frames):
    return [frame.data["action"]["name"] for frame in frames if frame.event == "nodeUpdate"]


def post_and_see(api, observer, *events):
    """Posts events one by one, each until a live stream without a filter has it: from then on every
    new stream has it in what comes before `synced`."""
    for event in events:
        api.post_one(event)
        observer.read_flush()


def last_id(frames):
    return [frame.id for frame in frames if frame.id][-1]


def test_headers(open_stream, run, tree):
    stream = open_stream(watch(run))
    assert stream.status == 200
    assert stream.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert stream.headers["cache-control"] == "no-store, no-transform"
    assert stream.headers["x-accel-buffering"] == "no"
    assert stream.headers["connection"].lower() == "close"
    assert "content-length" not in stream.headers


def test_snapshot(open_stream, api, run, tree):
    frames = open_stream(watch(run)).read_until("synced")
    assert [frame.event for frame in frames] == [None] + ["nodeUpdate"] * 4 + ["synced"]
    assert frames[0].retry > 0
    assert [frame.data for frame in frames[1:-1]] == api.read(f"{run.path}/tree")["nodes"]
    assert frames[-1].data == {"revision": 4, "actions": 4, "visible": 4}
    assert [frame.id is not None for frame in frames] == [False] * 5 + [True]


def test_records_are_what_the_openapi_document_says(open_stream, api, run, tree):
    stream = open_stream(watch(run))
    frames = stream.read_until("synced")
    api.post_all(
        [
            run.event(name, "FAILED", errorInfo={"kind": "USER", "message": "x"})
            for name in ("a0", "a1", "a2", "b1")
        ]
    )
    frames += stream.read_to_end()
    schemas = {"nodeUpdate": "NodeUpdate", "synced": "Synced", "end": "End"}
    assert {frame.event for frame in frames[1:]} == set(schemas)
    for frame in frames[1:]:
        contract.check_schema(schemas[frame.event], frame.data)


def test_live_change_comes_with_its_ancestors(open_stream, api, run, tree):
    _, stream = snapshot(open_stream, watch(run))
    api.post_one(run.event("a2", "SUCCEEDED"))
    frames = stream.read_flush()
    assert names_of(frames) == ["a0", "a1", "a2"]
    assert [frame.data["childPhaseCounts"] for frame in frames] == [
        {"RUNNING": 2, "SUCCEEDED": 1},
        {"SUCCEEDED": 1},
        {},
    ]
    assert frames[-1].data["action"]["revision"] == 5


def test_live_change_is_fast(open_stream, api, run, tree):
    _, stream = snapshot(open_stream, watch(run))
    delays = []
    for version in range(1, 6):
        time.sleep(0.2)
        api.post_one(run.event("a2", "RUNNING", version=version))
        answered = time.monotonic()
        delays.append(stream.read_flush()[-1].received_at - answered)
    assert sorted(delays)[2] < 0.2, delays


def test_nothing_visible_changed_nothing_is_sent(open_stream, api, run, tree):
    _, stream = snapshot(open_stream, watch(run))
    api.post_one(run.event("a2", "RUNNING"))  # a duplicate
    api.post_one(run.event("waits", "RUNNING", parent="nobody"))
    assert stream.is_silent(0.4)


def test_only_the_last_record_of_a_flush_has_an_id(open_stream, api, run, tree):
    _, stream = snapshot(open_stream, watch(run))
    api.post_all([run.event(f"c{number}", parent="a0") for number in range(30)])
    frames = stream.read_until(lambda frame: names_of([frame]) == ["c29"])
    if frames[-1].id is None:
        frames += stream.read_flush()
    ids = [index for index, frame in enumerate(frames) if frame.id is not None]
    assert ids == [len(frames) - 1]
    assert names_of(frames) == ["a0"] + [f"c{number}" for number in range(30)]


def test_new_actions_come_parents_first(open_stream, api, run, tree):
    watcher, stream = snapshot(open_stream, watch(run))
    api.post_all(
        [run.event("d3", parent="d2"), run.event("d1", parent="a2"), run.event("d2", parent="d1")]
    )
    watcher.follow_until(stream, lambda nodes: "d3" in nodes)
    assert watcher.nodes["a0"]["childPhaseCounts"] == {"RUNNING": 3, "QUEUED": 3}


def test_waiting_action_is_seen_when_it_joins(open_stream, api, run, tree):
    watcher, stream = snapshot(open_stream, watch(run))
    api.post_one(run.event("e2", "RUNNING", parent="e1"))
    assert stream.is_silent(0.3)
    api.post_one(run.event("e1", "SUCCEEDED", parent="b1"))
    frames = stream.read_flush()
    assert names_of(frames) == ["a0", "b1", "e1", "e2"]
    assert frames[2].data["childPhaseCounts"] == {"RUNNING": 1}


def test_filter_shows_ancestors_and_prunes_them(open_stream, api, run, tree):
    watcher, stream = snapshot(open_stream, watch(run, phase="FAILED"))
    assert watcher.nodes == {}
    api.post_one(run.event("a2", "FAILED"))
    watcher.follow(stream, lambda frame: frame.id)
    assert set(watcher.nodes) == {"a0", "a1", "a2"}
    api.post_one(run.event("b1", "FAILED"))
    watcher.follow(stream, lambda frame: frame.id)
    assert set(watcher.nodes) == {"a0", "a1", "a2", "b1"}
    api.post_one(run.event("a2", "QUEUED", attempt=2))
    frames = stream.read_flush()
    assert {frame.data["action"]["name"]: frame.data["meetsFilter"] for frame in frames} == {
        "a0": True,
        "a1": False,
        "a2": False,
    }
    api.post_one(run.event("b1", "QUEUED", attempt=2))
    frames = stream.read_flush()
    assert {frame.data["action"]["name"]: frame.data["meetsFilter"] for frame in frames} == {
        "a0": False,
        "b1": False,
    }


def test_hidden_nodes_that_stay_hidden_are_not_sent(open_stream, api, run, tree):
    _, stream = snapshot(open_stream, watch(run, phase="FAILED"))
    api.post_one(run.event("a2", "SUCCEEDED"))
    assert stream.is_silent(0.4)


def test_change_below_a_shown_ancestor_is_sent_with_its_counts(open_stream, api, run, tree):
    api.post_one(run.event("a2", "FAILED"))
    _, stream = snapshot(open_stream, watch(run, phase="FAILED"))
    api.post_one(run.event("b1", "SUCCEEDED"))
    frames = stream.read_flush()
    assert names_of(frames) == ["a0"]
    assert frames[0].data["childPhaseCounts"] == {"RUNNING": 1, "FAILED": 1, "SUCCEEDED": 1}


@pytest.mark.parametrize(
    "query",
    [
        "phase=RUNNING,FAILED",
        "phase=RUNNING&phase=FAILED",
        "phase=FAILED,RUNNING,FAILED",
        "phase=FAILED&phase=RUNNING,RUNNING",
    ],
)
def test_spellings_of_the_phase_filter(open_stream, api, run, tree, query):
    api.post_all([run.event("b1", "SUCCEEDED"), run.event("a2", "FAILED")])
    watcher, _ = snapshot(open_stream, f"{run.path}/watch?{query}")
    assert set(watcher.nodes) == {"a0", "a1", "a2"}


def test_name_filter(open_stream, api, run, tree):
    api.post_all(
        [
            run.event("t1", parent="a2", task={"name": "pkg.Train", "shortName": "Fit%20it"}),
            run.event("t2", parent="b1", task={"name": "pkg.Train"}),
        ]
    )
    watcher, stream = snapshot(open_stream, watch(run, name="TRAIN"))
    assert set(watcher.nodes) == {"a0", "b1", "t2"}
    watcher, _ = snapshot(open_stream, watch(run, name="fit%2520"))
    assert set(watcher.nodes) == {"a0", "a1", "a2", "t1"}
    api.post_one(run.event("t3", parent="a1", task={"name": "train"}))
    assert names_of(stream.read_flush()) == ["a0", "a1", "t3"]


def test_a_task_named_late_changes_what_a_name_filter_shows(open_stream, api, run, tree):
    watcher, stream = snapshot(open_stream, watch(run, name="b1"))
    assert set(watcher.nodes) == {"a0", "b1"}
    api.post_one(run.event("b1", "QUEUED", task={"name": "pkg.other"}))
    watcher.follow(stream, lambda frame: frame.id)
    assert watcher.nodes == {}


def test_both_filters_must_hold_of_one_action(open_stream, api, run, tree):
    api.post_one(run.event("a2", "FAILED"))
    assert snapshot(open_stream, watch(run, phase="FAILED", name="b1"))[0].nodes == {}
    assert set(snapshot(open_stream, watch(run, phase="RUNNING", name="b1"))[0].nodes) == {
        "a0",
        "b1",
    }


def test_resume_sends_only_what_changed(open_stream, api, run, tree):
    watcher, observer = snapshot(open_stream, watch(run))
    post_and_see(api, observer, run.event("b1", "SUCCEEDED"), run.event("c1", parent="b1"))
    frames = open_stream(watch(run), watcher.last_event_id).read_until("synced")
    assert names_of(frames) == ["a0", "b1", "c1"]
    assert frames[-1].data == {"revision": 6, "actions": 5, "visible": 5}
    again = open_stream(watch(run), frames[-1].id).read_until("synced")
    assert [frame.event for frame in again] == [None, "synced"]


def test_resume_from_a_live_record(open_stream, api, run, tree):
    _, observer = snapshot(open_stream, watch(run))
    _, stream = snapshot(open_stream, watch(run))
    post_and_see(api, observer, run.event("b1", "PAUSED"))
    seen = last_id(stream.read_flush())
    stream.abort()
    post_and_see(api, observer, run.event("a1", "PAUSED"))
    frames = open_stream(watch(run), seen).read_until("synced")
    assert names_of(frames) == ["a0", "a1"]


def test_resume_with_a_filter_removes_what_was_hidden_meanwhile(open_stream, api, run, tree):
    api.post_one(run.event("a2", "FAILED"))
    watcher, stream = snapshot(open_stream, watch(run, phase="FAILED"))
    _, observer = snapshot(open_stream, watch(run))
    assert set(watcher.nodes) == {"a0", "a1", "a2"}
    stream.close()
    post_and_see(api, observer, run.event("a2", "QUEUED", attempt=2))
    watcher.follow(watcher.connect(api.url), "synced")
    assert watcher.nodes == {}
    assert watcher.resets == 0


def test_resume_after_a_node_came_and_went(open_stream, api, run, tree):
    watcher, stream = snapshot(open_stream, watch(run, phase="FAILED"))
    _, observer = snapshot(open_stream, watch(run))
    stream.close()
    events = [
        run.event("a2", "FAILED"),
        run.event("a2", "QUEUED", attempt=2),
        run.event("b1", "FAILED"),
    ]
    post_and_see(api, observer, *events)
    watcher.follow(watcher.connect(api.url), "synced")
    assert set(watcher.nodes) == {"a0", "b1"}


def test_last_event_id_in_the_query(open_stream, api, run, tree):
    watcher, stream = snapshot(open_stream, watch(run))
    stream.close()
    frames = open_stream(watch(run, lastEventId=watcher.last_event_id)).read_until("synced")
    assert [frame.event for frame in frames] == [None, "synced"]


def test_last_event_id_in_the_header_wins(open_stream, api, run, tree):
    watcher, stream = snapshot(open_stream, watch(run))
    api.post_one(run.event("b1", "PAUSED"))
    newer = last_id(stream.read_flush())
    older = watcher.last_event_id
    frames = open_stream(watch(run, lastEventId=older), newer).read_until("synced")
    assert names_of(frames) == []
    frames = open_stream(watch(run, lastEventId=newer), older).read_until("synced")
    assert names_of(frames) == ["a0", "b1"]


def test_same_filter_spelled_otherwise_may_resume(open_stream, run, tree):
    watcher, _ = snapshot(open_stream, watch(run, phase="FAILED,RUNNING", name="B1"))
    path = f"{run.path}/watch?name=b1&phase=RUNNING&phase=FAILED"
    frames = open_stream(path, watcher.last_event_id).read_until("synced")
    assert [frame.event for frame in frames] == [None, "synced"]


def assert_reset_then_snapshot(frames, names):
    assert [frame.event for frame in frames[:2]] == [None, "reset"]
    contract.check_schema("Reset", frames[1].data)
    assert names_of(frames) == names
    assert frames[-1].event == "synced" and frames[-1].data["visible"] == len(names)


@pytest.mark.parametrize("other", [{"phase": "FAILED"}, {"name": "a"}])
def test_id_of_another_filter_is_a_reset(open_stream, run, tree, other):
    watcher, _ = snapshot(open_stream, watch(run, **other))
    frames = open_stream(watch(run), watcher.last_event_id).read_until("synced")
    assert_reset_then_snapshot(frames, ["a0", "a1", "a2", "b1"])


def test_id_of_another_run_is_a_reset(open_stream, api, run, tree):
    other = RunKey(run.project, run.domain, "other")
    api.post_one(other.event("x0", "RUNNING", parent=None))
    watcher, _ = snapshot(open_stream, watch(run))
    frames = open_stream(watch(other), watcher.last_event_id).read_until("synced")
    assert_reset_then_snapshot(frames, ["x0"])


def test_id_from_the_future_is_a_reset(open_stream, run, tree):
    watcher, _ = snapshot(open_stream, watch(run))
    head, _, revision = watcher.last_event_id.rpartition(".")
    future = f"{head}.{int(revision) + 1000}"
    frames = open_stream(watch(run), future).read_until("synced")
    assert_reset_then_snapshot(frames, ["a0", "a1", "a2", "b1"])


@pytest.mark.parametrize(
    "nonsense",
    [
        "x",
        "1.2.3",
        "....",
        "-1",
        "é",
        "k3f9a2.1.0.17",
        "0" * 200,
        "a.1.0.99999999999999999999999",
        "' OR 1=1 --",
    ],
)
def test_id_that_makes_no_sense_is_a_reset(open_stream, run, tree, nonsense):
    frames = open_stream(watch(run), nonsense).read_until("synced")
    assert_reset_then_snapshot(frames, ["a0", "a1", "a2", "b1"])


def test_empty_id_is_none(open_stream, run, tree):
    for stream in (open_stream(watch(run), ""), open_stream(watch(run, lastEventId=""))):
        frames = stream.read_until("synced")
        assert [frame.event for frame in frames[:2]] == [None, "nodeUpdate"]


def delete_run(postgres, database, run):
    for table in ("action_events", "actions", "runs"):
        postgres.execute(
            database,
            f"DELETE FROM {table} WHERE project = %s AND run_name = %s",
            run.project,
            run.name,
        )


def test_run_deleted_and_made_anew_is_a_reset(open_api, twin, open_stream, run, postgres, database):
    """For a service that has not watched this run yet, at once."""
    api = open_api(twin)
    api.post_one(run.event("a0", "RUNNING", parent=None))
    watcher, stream = snapshot(open_stream, watch(run))
    stream.close()
    delete_run(postgres, database, run)
    api.post_all([run.event("z0", "RUNNING", parent=None), run.event("a1", "RUNNING", parent="z0")])
    frames = EventStream(twin.url, watch(run), watcher.last_event_id).read_until("synced")
    assert_reset_then_snapshot(frames, ["z0", "a1"])


@pytest.mark.parametrize("versions", [1, 9], ids=["behind", "ahead"])
def test_run_deleted_and_made_anew_under_an_open_stream(
    open_stream, api, run, tree, postgres, database, versions
):
    """Either on this connection or on the next, the watcher learns that its tree is worthless,
    whether the new run's revision is behind what it knew or ahead of it."""
    watcher, stream = snapshot(open_stream, watch(run))
    delete_run(postgres, database, run)
    api.post_all(
        [run.event("z0", "RUNNING", parent=None, version=version) for version in range(versions)]
    )
    deadline = time.monotonic() + 15
    while set(watcher.nodes) != {"z0"}:
        assert time.monotonic() < deadline, watcher.nodes
        try:
            watcher.apply(stream.next(timeout=5))
        except StreamClosed:
            stream = watcher.connect(api.url)
    assert watcher.resets == 1


def finish(api, run):
    api.post_all([run.event(name, "SUCCEEDED") for name in ("a2", "a1", "b1", "a0")])


def test_end_closes_the_stream(open_stream, api, run, tree):
    watcher, stream = snapshot(open_stream, watch(run))
    api.post_one(run.event("a0", "SUCCEEDED"))
    watcher.follow(stream, lambda frame: frame.id)
    assert stream.is_silent(0.3), "not every action is terminal yet"
    finish(api, run)
    watcher.follow(stream)
    assert watcher.has_ended
    assert stream.frames[-1].event == "end" and stream.frames[-1].data == {"revision": 8}
    assert {node["action"]["phase"] for node in watcher.nodes.values()} == {"SUCCEEDED"}


def test_end_of_a_run_that_is_over_already(open_stream, api, run, tree):
    finish(api, run)
    frames = open_stream(watch(run)).read_to_end()
    assert [frame.event for frame in frames] == [None] + ["nodeUpdate"] * 4 + ["synced", "end"]
    assert frames[-1].id is not None


def test_end_comes_whatever_the_filter_shows(open_stream, api, run, tree):
    _, stream = snapshot(open_stream, watch(run, phase="FAILED"))
    finish(api, run)
    assert [frame.event for frame in stream.read_to_end()] == ["end"]


def test_waiting_actions_do_not_keep_a_stream_open(open_stream, api, run, tree):
    api.post_one(run.event("never", "RUNNING", parent="nobody"))
    finish(api, run)
    assert open_stream(watch(run)).read_to_end()[-1].event == "end"


def test_reconnect_after_the_end_is_204(open_stream, api, run, tree):
    finish(api, run)
    ended = last_id(open_stream(watch(run)).read_to_end())
    for stream in (open_stream(watch(run), ended), open_stream(watch(run, lastEventId=ended))):
        assert (stream.status, stream.body) == (204, b"")


def test_reconnect_after_the_end_when_something_changed(open_stream, api, run, tree):
    finish(api, run)
    ended = last_id(open_stream(watch(run)).read_to_end())
    api.post_one(run.event("b1", "RUNNING", attempt=2))
    stream = open_stream(watch(run), ended)
    frames = stream.read_until("synced")
    assert names_of(frames) == ["a0", "b1"]
    api.post_one(run.event("b1", "SUCCEEDED", attempt=2))
    assert stream.read_to_end()[-1].event == "end"


def test_resume_just_before_the_end_gets_the_end(open_stream, api, run, tree):
    finish(api, run)
    frames = open_stream(watch(run)).read_to_end()
    synced = next(frame.id for frame in frames if frame.event == "synced")
    resumed = open_stream(watch(run), synced)
    if resumed.status == 200:
        assert [frame.event for frame in resumed.read_to_end()] == [None, "synced", "end"]
    else:
        assert resumed.status == 204


def test_follow_keeps_the_stream_open(open_stream, api, run, tree):
    finish(api, run)
    watcher, stream = snapshot(open_stream, watch(run, follow="true"))
    assert stream.is_silent(0.4)
    api.post_one(run.event("b1", "RUNNING", attempt=2))
    watcher.follow(stream, lambda frame: frame.id)
    assert watcher.nodes["b1"]["action"]["phase"] == "RUNNING"
    api.post_one(run.event("b1", "FAILED", attempt=2))
    watcher.follow(stream, lambda frame: frame.id)
    assert stream.is_silent(0.4)
    resumed = open_stream(watch(run, follow="true"), watcher.last_event_id)
    assert [frame.event for frame in resumed.read_until("synced")] == [None, "synced"]


def test_unknown_run_is_404(api, open_stream, run):
    assert_problem(api.get(watch(run)), 404, "not-found")
    assert_problem(api.get(watch(run, wait="false")), 404, "not-found")
    assert open_stream(watch(run), "k3f9a2.1.0.17").status == 404


def test_wait_for_the_first_event_of_a_run(open_stream, api, run):
    stream = open_stream(watch(run, wait="true"))
    assert stream.status == 200
    assert stream.next().retry > 0
    api.post_all([run.event("a0", parent=None), run.event("a1", parent="a0")])
    watcher = TreeWatcher(watch(run, wait="true"))
    watcher.apply(stream.frames[0])
    while set(watcher.nodes) != {"a0", "a1"}:
        watcher.apply(stream.next())
    if not any(frame.event == "synced" for frame in stream.frames):
        watcher.follow(stream, "synced")
    api.post_all([run.event("a0", "FAILED"), run.event("a1", "FAILED")])
    watcher.follow(stream)
    assert watcher.has_ended


def test_wait_for_a_run_that_exists_changes_nothing(open_stream, run, tree):
    watcher, _ = snapshot(open_stream, watch(run, wait="true"))
    assert set(watcher.nodes) == {"a0", "a1", "a2", "b1"}


def test_run_of_which_only_waiting_actions_are_known(open_stream, api, run):
    api.post_one(run.event("a1", parent="a0"))
    watcher, stream = snapshot(open_stream, watch(run))
    assert watcher.nodes == {}
    api.post_one(run.event("a0", parent=None))
    watcher.follow(stream, lambda frame: frame.id)
    assert set(watcher.nodes) == {"a0", "a1"}


def test_retry_is_drawn_at_random(open_stream, run, tree):
    drawn = {open_stream(watch(run)).next().retry for _ in range(12)}
    assert len(drawn) > 3
    assert all(100 <= retry <= 60_000 for retry in drawn), drawn


def test_browser_that_accepts_no_event_stream(api, run, tree):
    assert_problem(
        api.request("GET", watch(run), headers={"Accept": "application/json"}),
        406,
        "not-acceptable",
    )


def test_slow_watcher_gets_the_newest_state(open_stream, api, run, tree):
    """It reads nothing for a while, skips what it missed, and holds nobody else up."""
    slow = TreeWatcher(watch(run, follow="true"))
    stream = open_stream(slow.path, receive_buffer=2048)
    fast, fast_stream = snapshot(open_stream, watch(run, follow="true"))
    message = {"kind": "USER", "message": "m" * 20_000}
    versions = 300
    for version in range(1, versions + 1):
        api.post_one(run.event("b1", "RUNNING", version=version, errorInfo=message))

    def newest(watcher):
        node = watcher.nodes.get("b1")
        return node and node["action"]["version"] == versions

    fast.follow(fast_stream, lambda frame: newest(fast))
    slow.follow(stream, lambda frame: frame.id and newest(slow))
    assert len(stream.frames) < versions * 2, "what is outdated need not be sent"
    assert comparable(slow.nodes.values()) == comparable(fast.nodes.values())


def test_many_watchers_see_the_same(open_stream, api, run, tree):
    queries = ["", "phase=RUNNING", "phase=FAILED,SUCCEEDED", "name=a", "name=1&phase=SUCCEEDED"]
    watchers = [TreeWatcher(f"{run.path}/watch?{query}") for query in queries * 8]
    streams = [open_stream(watcher.path) for watcher in watchers]
    threads = [
        threading.Thread(target=watcher.follow, args=(stream,))
        for watcher, stream in zip(watchers, streams)
    ]
    for thread in threads:
        thread.start()
    events = [
        run.event("a2", "FAILED"),
        run.event("a1", "SUCCEEDED"),
        run.event("b1", "FAILED"),
        run.event("b1", "SUCCEEDED", attempt=2),
        run.event("a0", "SUCCEEDED"),
    ]
    for event in events:
        api.post_one(event)
    for thread in threads:
        thread.join(20)
    final = api.read(f"{run.path}/tree")["nodes"]
    oracle = TreeOracle(
        [
            {"attempt": 1, "version": 0, "updatedTime": final[0]["action"]["createdAt"], **event}
            for event in tree + events
        ]
    )
    assert oracle.visible() == {"a0", "a1", "a2", "b1"}
    shown = {
        "": oracle.visible(),
        "phase=RUNNING": set(),
        "phase=FAILED,SUCCEEDED": {"a0", "a1", "a2", "b1"},
        "name=a": {"a0", "a1", "a2"},
        "name=1&phase=SUCCEEDED": {"a0", "a1", "b1"},
    }
    for watcher in watchers:
        assert watcher.has_ended
        assert set(watcher.nodes) == shown[watcher.path.partition("?")[2]], watcher.path
        for name, node in watcher.nodes.items():
            assert node == next(update for update in final if update["action"]["name"] == name)


def test_stream_through_a_client_that_shuts_down_its_sending_side(open_stream, api, run, tree):
    """Half-closed is not closed, or it is; the server must survive both readings."""
    stream = open_stream(watch(run))
    stream.read_until("synced")
    stream.half_close()
    api.post_one(run.event("b1", "PAUSED"))
    with contextlib.suppress(StreamClosed):
        assert names_of(stream.read_flush()) == ["a0", "b1"]
    assert api.get("/healthz").status_code == 200


def test_heartbeat_after_15_s_of_silence(silent_streams):
    """Last in the file, so that most of the 15 s have passed while the other tests ran."""
    streams, opened_at = silent_streams
    for path, stream in streams.items():
        frames = stream.read_until("heartbeat", timeout=max(1, opened_at + 20 - time.monotonic()))
        assert [frame.event for frame in frames if frame.event != "nodeUpdate"] in (
            [None, "synced", "heartbeat"],
            [None, "heartbeat"],
        ), path
        assert frames[-1].id is None
        if "/r1/" in path:
            assert frames[-1].data == {"revision": 1}
