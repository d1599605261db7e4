"""Further names of an action, which a `parent` may use."""

import itertools

import pytest

from client import assert_problem, assert_problem_document, until
from inventions import RunKey
from watching import snapshot, watch


def parents(api, run):
    nodes = api.read(f"{run.path}/tree")["nodes"]
    return {node["action"]["name"]: node["action"]["parent"] for node in nodes}


def events_of_a_try(run):
    """A task, a try of it that has an id of its own, a step below the try, and one below that."""
    return [
        run.event("task / a", "RUNNING", parent=None, aliases=["try-1", "0f3e-uuid"]),
        run.event("step", "RUNNING", parent="try-1"),
        run.event("inner", "RUNNING", parent="step"),
        run.event("other", "RUNNING", parent="0f3e-uuid"),
    ]


EXPECTED = {"task / a": None, "step": "task / a", "inner": "step", "other": "task / a"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_children_of_an_alias_are_the_actions_in_any_order(api, run, order):
    events = events_of_a_try(run)
    for index in order:
        api.post_one(events[index])
    assert parents(api, run) == EXPECTED
    summary = api.read(run.path)
    assert (summary["actionCount"], summary["waiting"]["count"]) == (4, 0)
    again = RunKey(run.project, run.domain, "r2")
    events = events_of_a_try(again)
    api.post_all([events[index] for index in order])
    assert parents(api, again) == EXPECTED


def test_watchers_see_the_actions_name(api, open_stream, run):
    events = events_of_a_try(run)
    api.post_all(events[1:])
    watcher, stream = snapshot(open_stream, watch(run))
    assert watcher.nodes == {}
    api.post_one(events[0])
    watcher.follow_until(stream, lambda nodes: len(nodes) == 4)
    assert watcher.nodes["step"]["action"]["parent"] == "task / a"


def test_a_later_event_may_bring_an_alias(api, run):
    api.post_one(run.event("a", "QUEUED", parent=None))
    assert api.post_one(run.event("b", parent="try-1"))["status"] == "waiting"
    api.post_one(run.event("a", "RUNNING", aliases=["try-1"]))
    assert parents(api, run) == {"a": None, "b": "a"}
    api.post_one(run.event("c", parent="try-1"))
    api.post_one(run.event("b", "RUNNING", parent="try-1"))
    api.post_one(run.event("b", "SUCCEEDED", parent="a"))
    assert parents(api, run) == {"a": None, "b": "a", "c": "a"}


def test_the_action_of_an_alias_may_wait_itself(api, run):
    api.post_one(run.event("b", parent="try-1"))
    result = api.post_one(run.event("a", parent="root", aliases=["try-1"]))
    assert result["status"] == "waiting"
    assert api.post_one(run.event("c", parent="try-1"))["status"] == "waiting"
    waiting = api.read(run.path)["waiting"]
    assert waiting == {
        "count": 3, "for": [{"parent": "a", "count": 2}, {"parent": "root", "count": 1}],
    }
    api.post_one(run.event("root", parent=None))
    assert parents(api, run) == {"root": None, "a": "root", "b": "a", "c": "a"}


def test_an_alias_is_no_action(api, run):
    api.post_one(run.event("a", parent=None, aliases=["x"]))
    assert api.get(run.action_path("x")).status_code == 404
    assert [action["name"] for action in api.read(f"{run.path}/actions")["actions"]] == ["a"]
    assert api.read(f"{run.path}/actions", waiting="true")["actions"] == []
    assert api.read(run.path)["waiting"]["count"] == 0


def test_a_name_is_of_the_action_whose_event_came_first(api, run):
    api.post_one(run.event("a", parent=None, aliases=["x"]))
    api.post_one(run.event("b", parent=None))
    taken = [
        (run.event("b", "RUNNING", aliases=["y", "x"]), "/aliases/1"),
        (run.event("b", "RUNNING", aliases=["a"]), "/aliases/0"),
        (run.event("x", "RUNNING", parent=None), "/name"),
    ]
    for event, pointer in taken:
        assert_problem(api.post(event), 409, "alias-conflict", pointer)
    api.post_one(run.event("a", "RUNNING", aliases=["x", "y", "a"]))
    assert_problem(api.post(run.event("b", "RUNNING", aliases=["y"])), 409, "alias-conflict",
                   "/aliases/0")
    batch = [
        run.event("c", parent=None, aliases=["z"]),
        run.event("z", parent=None),
        run.event("d", parent=None, aliases=["z"]),
    ]
    results = api.post({"events": batch}).json()["results"]
    assert [result["status"] for result in results] == ["applied", "rejected", "rejected"]
    assert_problem_document(results[1]["problem"], 409, "alias-conflict", "/name")
    assert set(parents(api, run)) == {"a", "b", "c"}


def test_no_action_is_its_own_parent_by_an_alias(api, run):
    event = run.event("a", parent="x", aliases=["x"])
    assert_problem(api.post(event), 400, "invalid-field", "/aliases/0")
    api.post_one(run.event("a", aliases=["x"]))
    assert_problem(api.post(run.event("a", "RUNNING", parent="x")), 400, "invalid-field", "/parent")
    api.post_one(run.event("b", parent="y"))
    assert_problem(
        api.post(run.event("b", "RUNNING", aliases=["y"])), 400, "invalid-field", "/aliases/0"
    )


def test_thousands_that_wait_for_an_alias_join(api, run):
    """More than join in one transaction."""
    api.post_one(run.event("a", parent=None))
    api.post_all([run.event(f"c{number}", parent="try-1") for number in range(2500)])
    api.post_one(run.event("a", "RUNNING", aliases=["try-1"]))
    until(lambda: api.read(run.path)["actionCount"] == 2501)
    assert set(parents(api, run).values()) == {None, "a"}
    assert api.read(run.path)["waiting"]["count"] == 0


def test_an_alias_on_the_other_runtree(api, twin, open_api, run):
    other = open_api(twin)
    api.post_one(run.event("a", parent=None, aliases=["x"]))
    other.post_one(run.event("b", parent="x"))
    assert_problem(other.post(run.event("x", parent=None)), 409, "alias-conflict", "/name")
    assert parents(api, run) == {"a": None, "b": "a"}


def test_the_tree_as_it_was_has_the_actions_name(api, run):
    for event in events_of_a_try(run):
        api.post_one(event)
    nodes = api.read(f"{run.path}/tree", at=2)["nodes"]
    assert {node["action"]["name"]: node["action"]["parent"] for node in nodes} == {
        "task / a": None, "step": "task / a",
    }
