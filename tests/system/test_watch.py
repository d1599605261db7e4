"""The stream of a run: snapshot, live changes, filters, heartbeat, end."""

import contextlib
import threading
import time

import httpx
import pytest

import contract
from client import assert_problem, metric
from inventions import RunKey
from sse import EventStream, StreamClosed, TreeWatcher
from tree_oracle import TreeOracle, comparable
from watching import NOTHING_WAITS, last_id, names_of, snapshot, watch


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
    assert frames[-1].data == {
        "revision": 4,
        "actions": 4,
        "visible": 4,
        "waiting": NOTHING_WAITS,
    }
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


def test_a_change_is_heard_by_notification(start_runtree, database, twin, open_api, run):
    """The poll, which would find it, too, is for those that are lost; one may come just between a
    commit and its notification."""
    server = start_runtree(database_url=database)
    api = open_api(twin)
    api.post_one(run.event("a0", "RUNNING", parent=None))
    watcher = TreeWatcher(f"{run.path}/watch")
    stream = watcher.connect(server.url)
    watcher.follow(stream, "synced")
    for version in range(1, 6):
        api.post_one(run.event("a0", "RUNNING", version=version))
        watcher.follow(stream, lambda frame: frame.id)
    stream.close()
    assert metric(server.url, "runtree_notifications_total") >= 5
    assert metric(server.url, "runtree_hub_polled_total") <= 1


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
    assert set(watcher.nodes) == {"a0", "a1", "a2", "b1", "t1", "t2"}
    watcher, _ = snapshot(open_stream, watch(run, name="fit%2520"))
    assert set(watcher.nodes) == {"a0", "a1", "a2", "t1"}
    api.post_one(run.event("t3", parent="a1", task={"name": "train"}))
    assert names_of(stream.read_flush()) == ["a0", "a1", "t3"]


def test_a_task_named_late_changes_what_a_name_filter_shows(open_stream, api, run, tree):
    watcher, stream = snapshot(open_stream, watch(run, name="other"))
    assert watcher.nodes == {}
    api.post_one(run.event("b1", "QUEUED", task={"name": "pkg.other"}))
    watcher.follow(stream, lambda frame: frame.id)
    assert set(watcher.nodes) == {"a0", "b1"}


def test_both_filters_must_hold_of_one_action(open_stream, api, run, tree):
    api.post_one(run.event("a2", "FAILED"))
    assert snapshot(open_stream, watch(run, phase="FAILED", name="b1"))[0].nodes == {}
    assert set(snapshot(open_stream, watch(run, phase="RUNNING", name="b1"))[0].nodes) == {
        "a0",
        "b1",
    }


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
    assert stream.frames[-1].event == "end" and stream.frames[-1].data == {
        "revision": 8,
        "waiting": NOTHING_WAITS,
    }
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


def test_slow_watcher_gets_the_newest_state(start_runtree, database, api, run, tree):
    """It reads nothing for a while, skips what it missed, and holds nobody else up."""
    url = start_runtree("--stall-ms", "100000", database_url=database).url
    slow, fast = TreeWatcher(watch(run, follow="true")), TreeWatcher(watch(run, follow="true"))
    stream = EventStream(url, slow.path, receive_buffer=2048)
    fast_stream = EventStream(url, fast.path)
    fast.follow(fast_stream, "synced")
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
    for opened in (stream, fast_stream):
        opened.close()


def test_many_watchers_see_the_same(open_stream, api, run, tree):
    queries = ["", "phase=RUNNING", "phase=FAILED,SUCCEEDED", "name=a", "name=1&phase=SUCCEEDED"]
    watchers = [TreeWatcher(f"{run.path}/watch?{query}") for query in queries * 8]
    streams = [open_stream(watcher.path) for watcher in watchers]
    threads = [
        threading.Thread(target=watcher.follow, args=(stream,))
        for watcher, stream in zip(watchers, streams, strict=True)
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


def test_live_update_does_not_read_the_history(start_runtree, postgres, open_api, run):
    """What a change costs does not grow with what the run has behind it, also on a table of which
    the planner knows nothing yet."""
    database = postgres.new_database()
    server = start_runtree(database_url=database)
    postgres.execute(database, "ALTER TABLE action_events SET (autovacuum_enabled = off)")
    api = open_api(server)
    history = [run.event("a0", "RUNNING", version=version, parent=None) for version in range(2000)]
    api.post_all(history)
    watcher = TreeWatcher(f"{run.path}/watch")
    stream = watcher.connect(server.url)
    watcher.follow(stream, "synced")
    for version in range(2000, 2020):
        api.post_one(run.event("a0", "RUNNING", version=version))
        watcher.follow(stream, lambda frame: frame.id)
    stream.close()
    server.stop()  # its sessions hand in what they counted when they end
    statement = (
        "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'action_events_pkey'"
    )
    assert postgres.execute(database, statement)[0][0] < 2000
