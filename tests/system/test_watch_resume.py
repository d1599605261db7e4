"""The stream of a run for who comes back: resume by id, and reset where the id is of no use."""

import time

import pytest

import contract
from inventions import RunKey
from sse import EventStream, StreamClosed
from watching import NOTHING_WAITS, last_id, names_of, post_and_see, snapshot, watch


def test_resume_sends_only_what_changed(open_stream, api, run, tree):
    watcher, observer = snapshot(open_stream, watch(run))
    post_and_see(api, observer, run.event("b1", "SUCCEEDED"), run.event("c1", parent="b1"))
    frames = open_stream(watch(run), watcher.last_event_id).read_until("synced")
    assert names_of(frames) == ["a0", "b1", "c1"]
    assert frames[-1].data == {
        "revision": 6,
        "actions": 5,
        "visible": 5,
        "waiting": NOTHING_WAITS,
    }
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


def test_resume_from_before_the_first_action(open_stream, api, run):
    api.post_one(run.event("a1", parent="a0"))
    watcher, stream = snapshot(open_stream, watch(run, phase="QUEUED"))
    api.post_one(run.event("a0", parent=None))
    watcher.apply(stream.next())
    stream.abort()
    assert set(watcher.nodes) == {"a0"}, "cut off inside the first flush"
    api.post_all([run.event("a0", "SUCCEEDED"), run.event("a1", "SUCCEEDED")])
    watcher.follow(watcher.connect(api.url), "synced")
    assert watcher.nodes == {}
    assert watcher.resets == 0


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
    deadline = time.monotonic() + 60
    while set(watcher.nodes) != {"z0"}:
        assert time.monotonic() < deadline, watcher.nodes
        try:
            watcher.apply(stream.next())
        except StreamClosed:
            stream = watcher.connect(api.url)
    assert watcher.resets == 1


def test_run_deleted_while_its_tree_cannot_be_read(
    open_stream, api, run, tree, postgres, database
):
    """Its watchers have been told to forget it, and now that no tree will follow."""
    _, stream = snapshot(open_stream, watch(run))
    postgres.execute(
        database,
        "UPDATE actions SET ordinal = 50 WHERE name = 'b1' AND project = %s AND run_name = %s",
        run.project,
        run.name,
    )
    api.post_one(run.event("b1", "PAUSED"))
    stream.read_until("reset")
    assert api.request("DELETE", run.path).status_code == 204
    assert [frame.event for frame in stream.read_to_end()] == ["reset"]
