"""The tree as it was, at a revision or at a time."""

import random

import pytest

from client import assert_problem, until
from inventions import at, invent_run
from watching import snapshot, watch


def tree(api, run, moment, **filters):
    return api.read(f"{run.path}/tree", at=str(moment), **filters)


def phases(document):
    return {node["action"]["name"]: node["action"]["phase"] for node in document["nodes"]}


def mixed(events, rng):
    """The first, and then the others, each up to some thirty places from where it belongs."""
    places = {id(event): place + rng.uniform(0, 30) for place, event in enumerate(events[1:])}
    return events[:1] + sorted(events[1:], key=lambda event: places[id(event)])


@pytest.mark.parametrize("seed", range(3))
def test_tree_at_each_revision_is_what_there_was(api, run, seed):
    """In batches of any size, in an order in which much waits."""
    rng = random.Random(seed)
    events = mixed(invent_run(run, rng, actions=25), rng)
    seen = {}
    while events:
        size = rng.choice((1, 1, 1, 5))
        api.post_all(events[:size])
        del events[:size]
        document = api.read(f"{run.path}/tree")
        seen[document["revision"]] = document
    assert len(seen) > 10
    for revision, document in seen.items():
        assert tree(api, run, revision) == document
        filtered = tree(api, run, revision, phase="RUNNING", name="a")
        assert filtered["revision"] == revision
        shown = [node for node in document["nodes"] if node in filtered["nodes"]]
        assert filtered["nodes"] == shown
    last = seen[max(seen)]
    for filters in ({"phase": "FAILED"}, {"name": "1"}, {"error": "e"}):
        expected = api.read(f"{run.path}/tree", **filters)
        assert tree(api, run, last["revision"], **filters) == expected


def test_tree_at_a_revision_is_what_a_watcher_saw(api, run, open_stream):
    rng = random.Random(7)
    events = mixed(invent_run(run, rng, actions=15), rng)
    events.append(run.event("a0", "RUNNING", attempt=99))
    api.post_one(events.pop(0))
    watcher, stream = snapshot(open_stream, watch(run, follow="true"))
    seen = {}

    def is_last(frame):
        if frame.id is not None:
            seen[int(frame.id.rsplit(".", 1)[1])] = dict(watcher.nodes)
        return frame.id is not None and watcher.nodes["a0"]["action"]["attempt"] == 99

    for event in events:
        api.post_one(event)
    watcher.follow(stream, is_last)
    assert len(seen) > 1
    for revision, nodes in seen.items():
        replayed = tree(api, run, revision)["nodes"]
        assert {node["action"]["name"]: node for node in replayed} == nodes


@pytest.fixture
def recorded_late(api, run):
    """What happened at 1 to 8 s, recorded afterwards and in another order; b's parent is heard of
    only at 5 s, by a clock that differs, and the retry at 7 s came first."""
    api.post_all(
        [
            run.event("b1", "RUNNING", parent="b", updatedTime=at(4000)),
            run.event("a", "RUNNING", parent="root", attempt=2, updatedTime=at(7000)),
            run.event("root", "RUNNING", parent=None, updatedTime=at(1000)),
            run.event("b", "QUEUED", parent="root", updatedTime=at(5000)),
            run.event("a", "QUEUED", updatedTime=at(2000), group="g"),
            run.event("a", "FAILED", updatedTime=at(6000), errorInfo={"message": "no disk"}),
            run.event("a", "RUNNING", updatedTime=at(3000)),
            run.event("root", "SUCCEEDED", updatedTime=at(8000)),
            run.event("lost child", "RUNNING", parent="lost", updatedTime=at(1000)),
        ]
    )
    return run


def test_tree_at_a_time_is_of_what_had_happened(api, recorded_late):
    """Whenever it was recorded; below a parent of which nothing had happened it waits."""
    run, shown = recorded_late, {}
    for second in range(10):
        document = tree(api, run, at(1000 * second))
        assert document["at"] == at(1000 * second)
        shown[second] = phases(document)
    both = {"root": "RUNNING", "a": "RUNNING"}
    assert shown == {
        0: {},
        1: {"root": "RUNNING"},
        2: {"root": "RUNNING", "a": "QUEUED"},
        3: both,
        4: both,
        5: both | {"b": "QUEUED", "b1": "RUNNING"},
        6: both | {"a": "FAILED", "b": "QUEUED", "b1": "RUNNING"},
        7: both | {"b": "QUEUED", "b1": "RUNNING"},
        8: both | {"root": "SUCCEEDED", "b": "QUEUED", "b1": "RUNNING"},
        9: both | {"root": "SUCCEEDED", "b": "QUEUED", "b1": "RUNNING"},
    }
    (root, a, *_) = tree(api, run, at(6000))["nodes"]
    assert root["childPhaseCounts"] == {"FAILED": 1, "QUEUED": 1, "RUNNING": 1}
    assert (a["action"]["attempt"], a["action"]["endedAt"]) == (1, at(6000))
    assert a["action"]["durationMs"] == 3000 and a["action"]["group"] == "g"
    assert phases(tree(api, run, at(6000), error="DISK")) == {"root": "RUNNING", "a": "FAILED"}
    assert phases(tree(api, run, at(7000), error="DISK")) == {}


def test_tree_at_a_time_that_an_answer_has(api, run):
    """Events have microseconds, answers do not."""
    api.post_one(run.event("a0", "RUNNING", parent=None, updatedTime="2026-04-12T08:00:01.000900Z"))
    api.post_one(run.event("a0", "SUCCEEDED", updatedTime="1969-12-31T23:59:59.000900Z", attempt=2))
    created, started = "1969-12-31T23:59:59.000Z", "2026-04-12T08:00:01.000Z"
    (first, second) = api.read(f"{run.path}/actions/a0")["attempts"]
    assert (first["startedAt"], second["endedAt"]) == (started, created)
    assert phases(tree(api, run, "1969-12-31T23:59:58.999Z")) == {}
    assert phases(tree(api, run, created)) == {"a0": "SUCCEEDED"}
    api.post_one(run.event("a0", "QUEUED", attempt=3, updatedTime="2026-04-12T08:00:01.000999Z"))
    assert phases(tree(api, run, "2026-04-12T08:00:00.999999Z")) == {"a0": "SUCCEEDED"}
    assert phases(tree(api, run, started)) == {"a0": "QUEUED"}


def test_run_before_and_after_its_retry(api, run, report):
    report.post("01-retry-after-end")
    failed = {"root": "FAILED", "train": "FAILED"}
    assert phases(tree(api, run, "2026-03-01T08:00:59.999Z")) == dict.fromkeys(failed, "RUNNING")
    assert phases(tree(api, run, "2026-03-01T08:01:30Z")) == failed
    assert phases(tree(api, run, "2026-03-01T09:02:00+01:00")) == dict.fromkeys(failed, "RUNNING")
    assert "extra" in phases(tree(api, run, "2026-03-01T08:02:01Z"))


def test_moments_as_they_are_written(api, recorded_late):
    run = recorded_late
    path = f"{run.path}/tree"
    now = api.read(path)
    assert tree(api, run, 0) == {"revision": 0, "nodes": []}
    assert tree(api, run, now["revision"]) == now
    before = tree(api, run, "2000-01-01T00:00:00Z")
    assert (before["revision"], before["nodes"]) == (now["revision"], [])
    later = tree(api, run, "2100-01-01T00:00:00+01:00")
    assert later["at"] == "2099-12-31T23:00:00.000Z"
    assert (later["revision"], later["nodes"]) == (now["revision"], now["nodes"])
    for wrong in ("", "-1", "1.5", "yesterday", "2026-01-01", "2026-01-01T00:00:00"):
        assert_problem(api.get(path, at=wrong), 400, "invalid-field")
    problem = assert_problem(api.get(path, at=str(now["revision"] + 1)), 400, "invalid-field")
    assert str(now["revision"]) in problem["detail"]
    assert_problem(api.get(f"{run.base}/runs/r9/tree", at="0"), 404, "not-found")


def test_what_was_asked_for_is_part_of_the_history(api, run):
    """The end of an action, of another that waits, and of the run."""
    seen = {}

    def ask(path):
        response = api.request("POST", f"{run.path}{path}/abort", json={"reason": "too dear"})
        assert response.status_code < 300, response.text

    def see():
        document = api.read(f"{run.path}/tree")
        seen[document["revision"]] = document

    for event in (
        run.event("root", "RUNNING", parent=None),
        run.event("other", "RUNNING", parent=None),
        run.event("a", "RUNNING", parent="root"),
        run.event("w", "RUNNING", parent="late"),
    ):
        api.post_one(event)
        see()
    for path in ("/actions/a", "/actions/w", "/actions/other", ""):
        ask(path)
        see()
        api.post_one(run.event("a", "RUNNING", version=len(seen), group="g"))
        see()
    for event in (
        run.event("late", "RUNNING", parent="root"),
        run.event("a", "ABORTED"),
        run.event("root", "ABORTED", errorInfo={"message": "asked"}),
    ):
        api.post_one(event)
        see()
    assert len(seen) > 10
    for revision, document in seen.items():
        assert tree(api, run, revision) == document
    now = seen[max(seen)]
    asked = {node["action"]["name"] for node in now["nodes"] if "abortRequested" in node["action"]}
    assert asked == {"root", "other", "a", "w"}
    assert tree(api, run, "2100-01-01T00:00:00Z")["nodes"] == now["nodes"]


def test_what_was_given_up_is_part_of_the_history(start_runtree, postgres, open_api, run):
    server = start_runtree("--abandoned-after-s", "1", database_url=postgres.new_database())
    api = open_api(server)
    api.post_all(
        [
            run.event("root", "RUNNING", parent=None),
            run.event("step", "RUNNING", parent="root"),
            run.event("root", "FAILED"),
        ]
    )
    before = api.read(f"{run.path}/tree")
    until(lambda: api.read(f"{run.path}/actions/step")["phase"] == "ABORTED")
    now = api.read(f"{run.path}/tree")
    assert now["nodes"][1]["action"]["abandoned"]
    assert tree(api, run, now["revision"]) == now
    assert tree(api, run, before["revision"]) == before


def test_what_was_taken_out_is_not_in_the_past_either(api, run):
    """Its name may come again; sorted lists and what waits know of the new one only."""
    for event in (
        run.event("root", "RUNNING", parent=None, updatedTime=at(0)),
        run.event("a", "RUNNING", parent="root", updatedTime=at(1000)),
        run.event("a1", "FAILED", parent="a", updatedTime=at(2000)),
        run.event("b", "RUNNING", parent="root", updatedTime=at(3000)),
    ):
        api.post_one(event)
    before = api.read(f"{run.path}/tree")
    response = api.request("DELETE", f"{run.path}/actions/a")
    assert response.status_code < 300, response.text
    after = api.read(f"{run.path}/tree")
    assert phases(after) == {"root": "RUNNING", "b": "RUNNING"}
    assert tree(api, run, after["revision"]) == after
    assert phases(tree(api, run, before["revision"])) == phases(after)
    assert phases(tree(api, run, at(2500))) == {"root": "RUNNING"}
    api.post_one(run.event("a", "QUEUED", parent="b", updatedTime=at(4000)))
    again = api.read(f"{run.path}/tree")
    assert tree(api, run, again["revision"]) == again
    assert phases(tree(api, run, at(4000))) == phases(again)
    listed = api.read(f"{run.path}/actions", sort="name")["actions"]
    assert [(action["name"], action["parent"]) for action in listed] == [
        ("a", "b"),
        ("b", "root"),
        ("root", None),
    ]
    assert api.read(f"{run.path}/actions", waiting="true")["actions"] == []


def test_history_of_many_events_and_large_ones(api, run):
    """More than is read at once, by number and by bytes; one action that waited with 2,500 events."""
    text = "x" * 200_000
    api.post_all([run.event("w", "RUNNING", parent="p", version=n) for n in range(2500)])
    api.post_one(run.event("root", "RUNNING", parent=None))
    api.post_one(run.event("p", "RUNNING", parent="root"))
    joined = api.read(f"{run.path}/tree")
    for number in range(12):
        event = run.event(f"a{number}", "RUNNING", parent="p", outputs={"text": text})
        api.post_one(event)
    large = api.read(f"{run.path}/tree")
    api.post_all([run.event("w", "SUCCEEDED", version=n) for n in range(1500)])
    assert tree(api, run, joined["revision"]) == joined
    assert tree(api, run, large["revision"]) == large
    now = api.read(f"{run.path}/tree")
    assert tree(api, run, now["revision"]) == now
    assert [node["action"]["name"] for node in joined["nodes"]] == ["root", "p", "w"]


def test_history_of_a_large_tree(api, run):
    """Its document is made in pieces."""
    api.post_one(run.event("root", "RUNNING", parent=None))
    for first in range(0, 25000, 5000):
        api.post_all(
            [run.event(f"a{number}", parent="root") for number in range(first, first + 5000)]
        )
    now = api.read(f"{run.path}/tree")
    api.post_one(run.event("root", "FAILED"))
    assert tree(api, run, now["revision"]) == now
    found = tree(api, run, now["revision"], name="a24999")
    assert [node["action"]["name"] for node in found["nodes"]] == ["root", "a24999"]
