"""Actions taken out of a run that goes on."""

import random
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

from client import assert_problem, until
from inventions import RunKey
from sse import EventStream
from watching import last_id, snapshot, watch


def action(run, name):
    return f"{run.path}/actions/{name}"


def remove(api, run, name):
    response = api.request("DELETE", action(run, name))
    assert response.status_code == 204, response.text


def start(api, run, *pairs):
    api.post_all([run.event(name, "RUNNING", parent=parent) for name, parent in pairs])


def listed(api, run, **parameters):
    return [a["name"] for a in api.read_all(f"{run.path}/actions", "actions", **parameters)]


def tree_of(api, run):
    nodes = api.read(f"{run.path}/tree")["nodes"]
    return {n["action"]["name"]: (n["action"]["parent"], n["childPhaseCounts"]) for n in nodes}


def removed_of(frames):
    updates = [f.data for f in frames if f.event == "nodeUpdate"]
    return [data["action"]["name"] for data in updates if not data["meetsFilter"]]


def test_an_action_goes_with_what_is_below_it(api, tree, run):
    remove(api, run, "a1")
    assert listed(api, run) == ["a0", "b1"]
    assert listed(api, run, sort="name") == ["a0", "b1"]
    for name in ("a1", "a2"):
        assert api.get(action(run, name)).status_code == 404
        assert api.get(f"{action(run, name)}/events").status_code == 404
    summary = api.read(run.path)
    assert summary["actionCount"] == 2 and summary["phaseCounts"] == {"RUNNING": 2}
    assert tree_of(api, run) == {"a0": (None, {"RUNNING": 1}), "b1": ("a0", {})}
    assert_problem(api.request("DELETE", action(run, "a1")), 404, "not-found")
    assert_problem(api.request("DELETE", action(run, "nobody")), 404, "not-found")


def test_watchers_see_each_leave(api, tree, run, open_stream):
    watcher, stream = snapshot(open_stream, watch(run))
    filtered, stream_of_filtered = snapshot(open_stream, watch(run, name="a2"))
    assert set(filtered.nodes) == {"a0", "a1", "a2"}
    remove(api, run, "a1")
    watcher.follow_until(stream, lambda nodes: set(nodes) == {"a0", "b1"})
    assert watcher.nodes["a0"]["childPhaseCounts"] == {"RUNNING": 1}
    filtered.follow_until(stream_of_filtered, lambda nodes: not nodes)


@pytest.mark.parametrize("parameters", [{}, {"name": "a2"}])
def test_a_resume_from_before_sees_it_on_any_replica(api, tree, run, open_stream, twin, parameters):
    path = watch(run, **parameters)
    watcher, stream = snapshot(open_stream, path)
    before = watcher.last_event_id
    stream.close()
    remove(api, run, "a1")
    api.post_one(run.event("b2", "RUNNING", parent="a0"))
    for url in (api.url, twin.url):
        with EventStream(url, path, before) as stream:
            frames = stream.read_until("synced")
        assert set(removed_of(frames)) >= {"a1", "a2"}, url
        with EventStream(url, path, last_id(frames)) as stream:
            again = stream.read_until("synced")
        assert not [f for f in again if f.event in ("nodeUpdate", "reset")]


def test_a_new_event_makes_it_anew(api, tree, run, open_stream):
    watcher, stream = snapshot(open_stream, watch(run))
    before = watcher.last_event_id
    remove(api, run, "a1")
    assert api.post_one(run.event("a2", "RUNNING", version=1))["status"] == "waiting"
    assert api.post_one(run.event("a2", "RUNNING", parent="a1"))["status"] == "waiting"
    assert api.post_one(run.event("a1", "RUNNING", parent="b1"))["status"] == "applied"
    watcher.follow_until(stream, lambda nodes: set(nodes) == {"a0", "b1", "a1", "a2"})
    assert watcher.nodes["a1"]["action"]["parent"] == "b1"
    assert listed(api, run) == ["a0", "b1", "a1", "a2"]
    resumed, _ = snapshot(open_stream, watch(run), before)
    assert set(resumed.nodes) >= {"a1", "a2"}
    events = api.read(f"{action(run, 'a1')}/events")["events"]
    assert len(events) == 1
    remove(api, run, "a1")
    assert listed(api, run) == ["a0", "b1"]
    api.post_one(run.event("a1", "RUNNING", parent="a0"))
    assert listed(api, run) == ["a0", "b1", "a1"]


def test_without_a_root_the_run_is_what_the_others_are(api, run):
    start(api, run, ("a0", None), ("r2", None), ("c", "r2"))
    api.post_one(run.event("a0", "SUCCEEDED"))
    remove(api, run, "r2")
    summary = api.read(run.path)
    assert (summary["root"], summary["phase"], summary["actionCount"]) == ("a0", "SUCCEEDED", 1)
    assert summary["endedAt"] is not None
    remove(api, run, "a0")
    summary = api.read(run.path)
    assert (summary["root"], summary["phase"], summary["actionCount"]) == (None, None, 0)
    assert summary["phaseCounts"] == {} and summary["endedAt"] is None
    assert api.read(f"{run.path}/tree")["nodes"] == []
    api.post_one(run.event("a0", "RUNNING", parent=None))
    assert api.read(run.path)["phase"] == "RUNNING"


def test_what_waits_goes_on_waiting_and_can_be_taken_out(api, run):
    start(api, run, ("a0", None), ("w1", "nobody"), ("w2", "w1"))
    remove(api, run, "w1")
    assert api.read(run.path)["waiting"] == {"count": 1, "for": [{"parent": "w1", "count": 1}]}
    api.post_one(run.event("w1", "RUNNING", parent="a0"))
    assert listed(api, run) == ["a0", "w1", "w2"]
    assert api.read(run.path)["waiting"]["count"] == 0


def test_the_end_comes_when_what_is_left_has_ended(api, run, open_stream):
    start(api, run, ("a0", None), ("a1", "a0"), ("b1", "a0"))
    api.post_all([run.event("b1", "SUCCEEDED"), run.event("a0", "SUCCEEDED")])
    stream = open_stream(watch(run))
    stream.read_until("synced")
    remove(api, run, "a1")
    assert stream.read_until("end")[-1].event == "end"


def test_a_large_subtree_leaves_in_pieces(api, run, open_stream):
    count = 5200
    start(api, run, ("a0", None), ("top", "a0"), ("keep", "a0"))
    for at in range(0, count, 2000):
        api.post_all(
            [
                run.event(f"n{i}", "RUNNING", parent="top" if i < 10 else f"n{i // 10}")
                for i in range(at, min(at + 2000, count))
            ]
        )
    watcher, stream = snapshot(open_stream, watch(run))
    assert len(watcher.nodes) == count + 3
    remove(api, run, "top")
    watcher.follow_until(stream, lambda nodes: set(nodes) == {"a0", "keep"})
    assert api.read(run.path)["actionCount"] == 2
    assert watcher.nodes["a0"]["childPhaseCounts"] == {"RUNNING": 1}


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_events_and_deletions_is_the_same_for_all(
    api, twin, open_api, run, open_stream, seed
):
    """Against an oracle of names and parents; a live watcher, one that resumes and the other
    replica have the same."""
    rng = random.Random(seed)
    oracle = {"a0": None}
    start(api, run, ("a0", None))
    watcher, stream = snapshot(open_stream, watch(run))
    ids = [watcher.last_event_id]
    for step in range(60):
        if rng.random() < 0.3 and len(oracle) > 1:
            name = rng.choice([name for name in oracle if name != "a0"])
            remove(api, run, name)
            gone = {name}
            while more := {n for n, parent in oracle.items() if parent in gone} - gone:
                gone |= more
            oracle = {n: parent for n, parent in oracle.items() if n not in gone}
        else:
            name, parent = f"n{rng.randrange(25)}", rng.choice(list(oracle))
            if name not in oracle:
                api.post_one(run.event(name, "RUNNING", parent=parent))
                oracle[name] = parent
        if step % 7 == 0:
            watcher.follow_until(stream, lambda nodes: set(nodes) == set(oracle))
            ids.append(watcher.last_event_id)
    watcher.follow_until(stream, lambda nodes: set(nodes) == set(oracle))
    other = open_api(twin)
    for one in (api, other):
        until(lambda one=one: {n: p for n, (p, _) in tree_of(one, run).items()} == oracle)
        assert api.read(run.path)["actionCount"] == len(oracle)
        assert sorted(listed(one, run)) == sorted(oracle)
    assert tree_of(api, run) == tree_of(other, run)
    for last in ids:
        for url in (api.url, twin.url):
            with EventStream(url, watch(run), last) as resumed:
                frames = resumed.read_until("synced")
            shown = {}
            for frame in frames:
                if frame.event == "nodeUpdate":
                    shown[frame.data["action"]["name"]] = frame.data["meetsFilter"]
            assert {n for n, is_there in shown.items() if is_there} <= set(oracle)
            assert not {n for n, is_there in shown.items() if not is_there} & set(oracle)


def test_its_aliases_go_with_it(api, run):
    start(api, run, ("a0", None))
    api.post_one(run.event("a1", "RUNNING", parent="a0", aliases=["try-1"]))
    api.post_one(run.event("c", "RUNNING", parent="try-1"))
    assert_problem(api.request("DELETE", action(run, "try-1")), 404, "not-found")
    remove(api, run, "a1")
    assert listed(api, run) == ["a0"]
    api.post_one(run.event("try-1", "RUNNING", parent="a0"))
    assert listed(api, run) == ["a0", "try-1"]


@pytest.fixture
def meanwhile(api, run, postgres, database):
    """Deletes an action while the run is locked, and executes statements behind the lock."""
    of_run = f"project = '{run.project}' AND run_name = '{run.name}'"
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

    def remove_meanwhile(name, *statements):
        with psycopg.connect(database) as other, ThreadPoolExecutor(1) as pool:
            other.execute(f"SELECT 1 FROM runs WHERE {of_run} FOR UPDATE")
            answer = pool.submit(httpx.delete, api.url + action(run, name), timeout=30)
            until(lambda: postgres.execute(database, waiting)[0][0] or answer.done())
            for statement in statements:
                other.execute(f"{statement} WHERE {of_run} AND name = '{name}'")
            other.commit()
            return answer.result(30).status_code

    return remove_meanwhile


@pytest.mark.one_database
def test_an_event_that_is_just_being_written_goes_with_its_action(api, run, meanwhile):
    """Else its row is left, without an action, and the event is a duplicate for good."""
    late = run.event("w", "RUNNING", parent="lost", updatedTime="2026-04-12T08:00:00Z")
    start(api, run, ("a0", None))
    api.post_one(late | {"phase": "QUEUED"})
    another = """(jsonb_populate_record(e, '{"phase": 4}')).* FROM action_events e"""
    assert meanwhile("w", f"INSERT INTO action_events SELECT {another}") == 204
    assert_problem(api.get(f"{action(run, 'w')}/events"), 404, "not-found")
    assert api.post_one(late)["status"] == "waiting"


@pytest.mark.one_database
def test_what_took_the_name_meanwhile_stays(api, run, meanwhile):
    """Somebody else takes the action out first, and it is made anew."""
    start(api, run, ("a0", None), ("a1", "a0"))
    removed = """'{"name": "a1_2", "removed": true}'"""
    meanwhile(
        "a1",
        f"INSERT INTO actions SELECT (jsonb_populate_record(a, {removed})).* FROM actions a",
        "UPDATE actions SET ordinal = 3",
    )
    assert len(api.read(f"{action(run, 'a1')}/events")["events"]) == 1


def test_nobody_else_is_touched(api, tree, run):
    other = RunKey(run.project, run.domain, "other")
    start(api, other, ("a0", None), ("a1", "a0"), ("a2", "a1"))
    remove(api, run, "a1")
    assert listed(api, other) == ["a0", "a1", "a2"]


def test_a_deleted_run_takes_removed_actions_with_it(api, tree, run, postgres, database):
    remove(api, run, "a1")
    assert api.request("DELETE", run.path).status_code == 204

    def left():
        return postgres.execute(
            database, "SELECT count(*) FROM actions WHERE project = %s", run.project
        )[0][0]

    until(lambda: left() == 0)
