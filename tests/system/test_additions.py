"""What events say of runs and actions beside their state."""

import itertools
import random

import pytest

from inventions import RunKey, at
from sse import EventStream
from watching import snapshot, watch

LINKS = [{"name": "log", "url": "https://logs.example/1"}]


def of_run(api, run):
    summary = api.read(run.path)
    return {key: summary[key] for key in ("title", "labels", "links", "params") if key in summary}


def test_an_action_without_them_shows_none(api, run):
    api.post_one(run.event(parent=None))
    assert not {"title", "links", "dependsOn"} & api.read(run.action_path("a0")).keys()
    assert of_run(api, run) == {}


def test_additions_of_an_action_are_shown_everywhere(api, open_stream, run):
    said = {"title": "Align «s1»", "links": LINKS, "dependsOn": ["b", "c / d"]}
    api.post_all([run.event(parent=None), run.event("a1", parent="a0", **said)])
    records = [
        api.read(run.action_path("a1")),
        api.read(f"{run.path}/actions")["actions"][1],
        api.read(f"{run.path}/actions", sort="name")["actions"][1],
        api.read(f"{run.path}/tree")["nodes"][1]["action"],
        snapshot(open_stream, watch(run))[0].nodes["a1"]["action"],
    ]
    for record in records:
        assert {key: record[key] for key in said} == said


def test_a_new_title_is_a_change_that_watchers_see(api, open_stream, run):
    api.post_one(run.event(phase="RUNNING", parent=None))
    watcher, stream = snapshot(open_stream, watch(run))
    api.post_one(run.event(phase="QUEUED", title="first", dependsOn=[]))
    watcher.follow_until(stream, lambda nodes: nodes["a0"]["action"].get("title") == "first")
    assert watcher.nodes["a0"]["action"]["dependsOn"] == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_each_addition_of_an_action_is_of_its_first_event_that_has_it(api, run, order):
    events = [
        run.event(phase="QUEUED", parent=None, title="queued"),
        run.event(phase="RUNNING", title="running", links=LINKS),
        run.event(phase="SUCCEEDED", title="end", links=[], dependsOn=["x"]),
    ]
    for index in order:
        api.post_one(events[index])
    record = api.read(run.action_path("a0"))
    assert (record["title"], record["links"], record["dependsOn"]) == ("queued", LINKS, ["x"])


def test_additions_of_a_run_are_shown_everywhere(api, open_stream, run):
    said = {
        "title": "Nightly «7»",
        "labels": {"team": "ml", "git/sha": "f00", "é": ""},
        "links": LINKS,
        "params": {"rate": 0.1, "n": 12345678901234567, "list": [None, {"a": "b"}]},
    }
    stream = open_stream(f"{run.base}/runs/watch")
    stream.read_until("synced")
    api.post_one(run.event(parent=None, run=said))
    (moved,) = [f for f in stream.read_flush() if f.event == "runUpdate"]
    records = [
        api.read(run.path),
        api.read(f"{run.base}/runs")["runs"][0],
        moved.data,
        EventStream(api.url, f"{run.base}/runs/watch").read_until("runUpdate")[-1].data,
    ]
    for record in records:
        assert {key: record[key] for key in said} == said


@pytest.mark.parametrize("seed", range(6))
def test_each_addition_of_a_run_is_of_the_first_event_that_says_it(api, run, seed):
    """The least time, then the least name of an action, then the order of its events; however the
    events come, one by one or together."""
    rng = random.Random(seed)
    events = [
        run.event("b", "SUCCEEDED", parent=None, updatedTime=at(2), run={"title": "late"}),
        run.event("b", "QUEUED", updatedTime=at(1), run={"title": "b", "labels": {"k": "b"}}),
        run.event("a", "RUNNING", parent="b", updatedTime=at(1), run={"title": "running"}),
        run.event("a", "QUEUED", updatedTime=at(1), run={"title": "first", "params": {"x": 1}}),
        run.event("c", "QUEUED", parent="lost", updatedTime=at(0), run={"labels": {"k": "c"}}),
        run.event("d", "QUEUED", parent="b", updatedTime=at(9), run={"links": LINKS}),
        run.event("e", "QUEUED", parent="b", updatedTime=at(0)),
    ]
    rng.shuffle(events)
    while events:
        count = rng.randint(1, len(events))
        api.post_all(events[:count])
        del events[:count]
    assert of_run(api, run) == {
        "title": "first", "labels": {"k": "c"}, "params": {"x": 1}, "links": LINKS,
    }


def test_a_duplicate_says_nothing_of_the_run(api, run):
    api.post_one(run.event(parent=None, updatedTime=at(5), run={"title": "one"}))
    result = api.post_one(run.event(parent=None, updatedTime=at(1), run={"title": "two"}))
    assert result["status"] == "duplicate"
    assert of_run(api, run) == {"title": "one"}


def test_a_deleted_run_takes_its_additions_along(api, run):
    api.post_one(run.event(parent=None, run={"title": "old", "labels": {"k": "v"}}))
    assert api.request("DELETE", run.path).status_code == 204
    api.post_one(run.event(parent=None))
    assert of_run(api, run) == {}


def test_a_page_of_heavy_runs_is_cut(api, run):
    """It has some MiB, not as many as its runs have together."""
    params = {"x": "y" * 16000}
    keys = [RunKey(run.project, run.domain, f"r{number}") for number in range(500)]
    api.post_all([key.event(parent=None, run={"params": params}) for key in keys[:250]])
    api.post_all([key.event(parent=None, run={"params": params}) for key in keys[250:]])
    page = api.read(f"{run.base}/runs", limit=1000)
    assert 1 < len(page["runs"]) < 500
    assert len(api.read_all(f"{run.base}/runs", "runs", limit=1000)) == 500


def listed(api, path, *labels, **parameters):
    runs = api.read_all(path, "runs", label=list(labels), **parameters)
    return [summary["runName"] for summary in runs]


def label_runs(api, run, count=6):
    """Run n has n % 2 and n % 3 as labels, and is the nth in time."""
    for number in range(count):
        labels = {"half": str(number % 2), "third": str(number % 3), "é:ü": "a:b"}
        key = RunKey(run.project, run.domain, f"r{number}")
        api.post_one(key.event(parent=None, updatedTime=at(number), run={"labels": labels}))
    other = RunKey(run.project, run.domain, "other")
    api.post_one(other.event(parent=None, run={"labels": {"half": "0 "}}))


def test_runs_by_label(api, run):
    label_runs(api, run)
    for limit in (1, 2, 100):
        path = f"{run.base}/runs"
        assert listed(api, path, "half:0", limit=limit) == ["r4", "r2", "r0"]
        assert listed(api, path, "half:1", "third:0", limit=limit) == ["r3"]
        assert listed(api, path, "third:0", "half:1", "é:ü:a:b", limit=limit) == ["r3"]
        assert listed(api, path, "half:2", limit=limit) == []
        assert listed(api, path, "half:1", name="R5", limit=limit) == ["r5"]
        assert listed(api, path, "half:1", phase="FAILED", limit=limit) == []
    assert listed(api, "/v1/runs", "half:0", project=run.project) == ["r4", "r2", "r0"]


@pytest.mark.parametrize("label", ["", "half", ":0", "x" * 1100 + ":y"])
def test_a_label_that_is_none(api, run, label):
    for path in (f"{run.base}/runs", f"{run.base}/runs/watch"):
        response = api.get(path, label=label)
        assert response.status_code == 400, response.text
        assert "label" in response.json()["detail"]


def test_labels_follow_the_event_that_says_them_first(api, run):
    api.post_one(run.event(phase="RUNNING", parent=None, updatedTime=at(5),
                           run={"labels": {"a": "1", "b": "1"}}))
    api.post_one(run.event(phase="QUEUED", updatedTime=at(1), run={"labels": {"a": "1", "c": "1"}}))
    path = f"{run.base}/runs"
    assert [listed(api, path, label) for label in ("a:1", "b:1", "c:1")] == [["r1"], [], ["r1"]]
    api.request("DELETE", run.path)
    api.post_one(run.event(parent=None))
    assert listed(api, path, "a:1") == []


def test_runs_by_label_are_sorted_as_shown_when_a_time_moves(api, run):
    label_runs(api, run)
    earlier = RunKey(run.project, run.domain, "r4")
    api.post_one(earlier.event(phase="RUNNING", updatedTime=at(-1)))
    assert listed(api, f"{run.base}/runs", "half:0", limit=1) == ["r2", "r0", "r4"]


@pytest.mark.one_database
def test_a_list_by_label_is_live(api, open_stream, run):
    label_runs(api, run)
    stream = open_stream(f"{run.base}/runs/watch?label=half:0&label=third:0")
    first = stream.read_until("synced")
    assert [f.data["runName"] for f in first if f.event == "runUpdate"] == ["r0"]
    new = [
        RunKey(run.project, run.domain, name).event(parent=None, run={"labels": labels})
        for name, labels in (
            ("no", {"half": "0"}), ("yes", {"half": "0", "third": "0"}), ("none", {}),
        )
    ]
    api.post_all(new)
    frames = stream.read_until(lambda frame: "yes" in (frame.data or {}).values())
    told = {frame.data["runName"] for frame in frames if frame.event == "runUpdate"}
    assert told <= {"r0", "yes"}
    if not frames[-1].id:
        stream.read_flush()
    last_id = [frame.id for frame in stream.frames if frame.id][-1]
    resumed = open_stream(f"{run.base}/runs/watch?label=half:0", last_id)
    assert resumed.read_until("synced")[1].event == "reset"
