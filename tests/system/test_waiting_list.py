"""What waits to join the tree, and why."""

import pytest

from client import assert_problem, until


def waiting(api, run, **parameters):
    return api.read_all(f"{run.path}/actions", "actions", waiting="true", **parameters)


def reasons(actions):
    return {
        action["name"]: (action["waitsFor"]["reason"], action["waitsFor"]["name"])
        for action in actions
    }


@pytest.fixture
def waiting_run(api, run):
    api.post_all(
        [
            run.event("root", "SUCCEEDED", parent=None),
            run.event("child", "FAILED", parent="lost / é", errorInfo={"message": "no disk"}),
            run.event("below", parent="child"),
            run.event("p", parent="q"),
            run.event("q", parent="p"),
            run.event("under-q", "RUNNING", parent="q"),
            run.event("shy", task={"name": "pkg.shy"}),
            run.event("under-shy", parent="shy"),
        ]
    )
    return run


def test_each_says_why_it_waits(api, waiting_run):
    listed = waiting(api, waiting_run)
    assert reasons(listed) == {
        "below": ("parent-absent", "lost / é"),
        "child": ("parent-absent", "lost / é"),
        "q": ("circle", "p"),
        "p": ("circle", "q"),
        "under-q": ("circle", "q"),
        "under-shy": ("parent-not-named", "shy"),
        "shy": ("parent-not-named", "shy"),
    }
    assert [action["name"] for action in listed] == list(reasons(listed))
    for limit in range(1, 9):
        assert waiting(api, waiting_run, limit=limit) == listed
    assert all(action["revision"] is None for action in listed)
    assert listed[1]["parent"] == "lost / é" and listed[1]["phase"] == "FAILED"
    names = [action["name"] for action in api.read(f"{waiting_run.path}/actions")["actions"]]
    assert names == ["root"]


def test_the_longest_names_go_through_pages(api, run):
    names = [letter * 512 for letter in "abc"]
    api.post_all([run.event(name, parent="p" + name[1:]) for name in names])
    assert [action["name"] for action in waiting(api, run, limit=1)] == names


def test_filters(api, waiting_run):
    def names(**filters):
        return [action["name"] for action in waiting(api, waiting_run, limit=1, **filters)]

    assert names(parent="q") == ["p", "under-q"]
    assert names(parent="q", phase="RUNNING") == ["under-q"]
    assert names(parent="nobody") == []
    assert names(name="SHY") == ["under-shy", "shy"]
    assert names(name="pkg.") == ["shy"]
    assert names(error="disk") == ["child"]
    assert names(phase="FAILED,RUNNING") == ["child", "under-q"]


def test_none_is_left_when_the_parent_comes(api, waiting_run):
    api.post_one(waiting_run.event("lost / é", parent="root"))
    assert [action["name"] for action in waiting(api, waiting_run)] == [
        "q",
        "p",
        "under-q",
        "under-shy",
        "shy",
    ]
    api.post_all([waiting_run.event("shy", "RUNNING", parent="root")])
    assert {action["waitsFor"]["reason"] for action in waiting(api, waiting_run)} == {"circle"}


def test_child_of_an_event_that_was_lost(api, run, report):
    report.post("09-lost-parent")
    (child,) = waiting(api, run)
    assert (child["name"], child["phase"]) == ("child", "FAILED")
    assert child["waitsFor"] == {"name": "lost", "reason": "parent-absent"}
    assert api.read(run.path)["waiting"]["count"] == 1


def test_who_waits_for_an_alias_waits_for_its_action(api, run):
    api.post_one(run.event("child", parent="id-7"))
    assert reasons(waiting(api, run)) == {"child": ("parent-absent", "id-7")}
    api.post_one(run.event("step", parent="lost", aliases=["id-7"]))
    expected = {"child": ("parent-absent", "lost"), "step": ("parent-absent", "lost")}
    assert reasons(waiting(api, run)) == expected


def test_empty_and_wrong(api, run):
    path = f"{run.path}/actions"
    assert_problem(api.get(path, waiting="true"), 404, "not-found")
    api.post_one(run.event("a0", parent=None))
    assert api.read(path, waiting="true") == {"actions": []}
    assert api.read(path, waiting="false") == api.read(path)
    assert_problem(api.get(path, waiting="yes"), 400, "invalid-field")
    for order in ({"sort": "name"}, {"desc": "true"}):
        assert_problem(api.get(path, waiting="true", **order), 400, "invalid-field")
    cursor = api.read(path, limit=1, sort="name").get("nextCursor", "61")
    assert_problem(api.get(path, waiting="true", cursor=cursor), 400, "invalid-field")


def chain(run, names):
    return [run.event(name, parent=parent) for parent, name in zip(names, names[1:])]


def test_what_would_be_below_the_last_level(api, run):
    names = [f"a{level}" for level in range(1, 1001)]
    api.post_all([run.event("a1", parent=None)] + chain(run, names))
    answer = api.post({"events": [run.event("a1001", parent="a1000")]}).json()
    assert answer["rejected"] == 1
    api.post_all([run.event("b2", parent="b1"), run.event("b1", parent="b0")])
    assert {reason for reason, _ in reasons(waiting(api, run)).values()} == {"parent-absent"}
    api.post_one(run.event("b0", parent="a999"))
    assert reasons(waiting(api, run)) == {
        "b1": ("too-deep", "b0"),
        "b2": ("too-deep", "b0"),
    }


def test_a_chain_of_more_than_can_be_read_at_once(api, run):
    """Each reason is right, and pages go on, where 25,000 actions are above one."""
    for first in range(0, 25000, 5000):
        names = [f"c{number}" for number in range(first, first + 5001)]
        api.post_all(chain(run, names))
    listed, cursor = [], {}
    for _ in range(20):
        page = api.read(f"{run.path}/actions", waiting="true", limit=1000, **cursor)
        assert page["actions"]
        listed += page["actions"]
        cursor = {"cursor": page["nextCursor"]}
    listed += waiting(api, run, name="c99", parent="c998")
    assert len(reasons(listed)) == len(listed)
    for action in listed:
        number = int(action["name"][1:])
        expected = "parent-absent" if number < 1000 else "too-deep"
        assert action["waitsFor"]["reason"] == expected, action
    assert {reason for reason, _ in reasons(listed).values()} == {"parent-absent", "too-deep"}


def test_those_that_are_about_to_join(start_runtree, postgres, open_api, run):
    """3,000 children of a parent that has just come: whoever is still listed says that it joins."""
    server = start_runtree(database_url=postgres.new_database())
    api = open_api(server)
    api.post_all([run.event(f"c{number}", parent="late") for number in range(3000)])
    assert len(waiting(api, run, limit=1000)) == 3000
    api.post_one(run.event("late", parent=None))
    seen = set()

    def is_empty():
        left = waiting(api, run, limit=1000)
        seen.update(reasons(left).values())
        return not left

    until(is_empty)
    assert seen <= {("joining", "late")}
