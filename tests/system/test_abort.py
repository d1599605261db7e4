"""Asking for the end of a run or an action: who is told, and what stays."""

import threading

import psycopg

from client import assert_problem
from tokens import token_for
from watching import names_of


def ask_for_end(api, path, reason=None):
    """The answer, which must be that it is noted."""
    response = api.post({} if reason is None else {"reason": reason}, path=f"{path}/abort")
    assert response.status_code == 200, response.text
    return response.json()["abortRequested"]


def action(run, name):
    return f"{run.path}/actions/{name}"


def started(api, run, *pairs):
    """Actions that run, each given as (name, parent)."""
    api.post_all([run.event(name, "RUNNING", parent=parent) for name, parent in pairs])


def flags(api, run, *names):
    """Whether the answer to a heartbeat of each says that an end was asked for."""
    events = [run.event(name, "RUNNING", version=version) for name, version in names]
    return [result.get("abortRequested", False) for result in api.post_all(events)]


def test_an_action_and_what_is_below_it_hear_it(api, run):
    started(api, run, ("a0", None), ("a1", "a0"), ("a2", "a1"), ("a3", "a2"), ("b1", "a0"))
    noted = ask_for_end(api, action(run, "a1"), "wrong data")
    assert noted["reason"] == "wrong data" and noted["by"] is None
    heard = flags(api, run, ("a0", 1), ("a1", 1), ("a2", 1), ("a3", 1), ("b1", 1))
    assert heard == [False, True, True, True, False]
    assert api.read(action(run, "a1"))["abortRequested"] == noted
    assert "abortRequested" not in api.read(action(run, "a2"))
    assert "abortRequested" not in api.read(run.path)
    # said again, in a single event, by an end, and by what is new below it
    assert api.post_one(run.event("a1", "RUNNING", version=1))["abortRequested"] is True
    assert api.post_one(run.event("c1", "QUEUED", parent="a3"))["abortRequested"] is True
    assert api.post_one(run.event("a3", "ABORTED"))["abortRequested"] is True
    assert "abortRequested" not in api.post_one(run.event("a0", "RUNNING", version=2))


def test_a_run_and_all_of_it_hear_it(api, run):
    started(api, run, ("a0", None), ("a1", "a0"), ("r2", None), ("w", "nobody"))
    api.post_one(run.event("r2", "SUCCEEDED"))
    noted = ask_for_end(api, run.path)
    assert noted["reason"] is None
    assert flags(api, run, ("a0", 1), ("a1", 1), ("w", 1)) == [True, True, True]
    assert api.read(run.path)["abortRequested"] == noted
    listed = {a["name"]: a.get("abortRequested") for a in api.read(f"{run.path}/actions")["actions"]}
    assert listed == {"a0": noted, "a1": None, "r2": None}
    assert api.post_one(run.event("late", "QUEUED", parent="a1"))["abortRequested"] is True


def test_the_first_who_asks_stands(api, run):
    started(api, run, ("a0", None), ("a1", "a0"))
    first = ask_for_end(api, action(run, "a1"), "first")
    revision = api.read(run.path)["revision"]
    assert ask_for_end(api, action(run, "a1"), "second") == first
    of_run = ask_for_end(api, run.path, "third")
    assert ask_for_end(api, run.path) == of_run
    assert ask_for_end(api, action(run, "a1")) == first
    assert api.read(action(run, "a0"))["abortRequested"] == of_run
    assert api.read(run.path)["revision"] == revision + 1


def test_what_has_ended_is_not_aborted(api, run):
    started(api, run, ("a0", None), ("a1", "a0"))
    api.post_one(run.event("a1", "FAILED"))
    response = api.post({}, path=f"{action(run, 'a1')}/abort")
    assert "FAILED" in assert_problem(response, 409, "already-ended")["detail"]
    assert "abortRequested" not in api.read(action(run, "a1"))
    api.post_one(run.event("a1", "RUNNING", attempt=2))
    ask_for_end(api, action(run, "a1"))
    api.post_one(run.event("a0", "SUCCEEDED"))
    assert_problem(api.post({}, path=f"{run.path}/abort"), 409, "already-ended")
    assert "abortRequested" not in api.read(run.path)


def test_what_is_not_there(api, run):
    assert_problem(api.post({}, path=f"{run.path}/abort"), 404, "not-found")
    assert_problem(api.post({}, path=f"{action(run, 'a0')}/abort"), 404, "not-found")
    api.post_one(run.event("a0", "RUNNING", parent=None, aliases=["try-1"]))
    for absent in ("a1", "try-1"):
        assert_problem(api.post({}, path=f"{action(run, absent)}/abort"), 404, "not-found")


def test_a_bad_reason_names_its_field(api, run):
    started(api, run, ("a0", None))
    path = f"{run.path}/abort"
    for reason in (1, ["x"], "x" * 1001, "a\x1bb"):
        assert_problem(api.post({"reason": reason}, path=path), 400, "invalid-field", "/reason")
    assert_problem(api.post([], path=path), 400, "invalid-field")
    assert_problem(api.post(b"{", path=path), 400, "invalid-json")
    assert "abortRequested" not in api.read(run.path)
    assert ask_for_end(api, run.path, "x" * 1000)["reason"] == "x" * 1000


def test_no_body_is_no_reason(api, run):
    started(api, run, ("a0", None))
    response = api.request("POST", f"{run.path}/abort")
    assert response.status_code == 200 and response.json()["abortRequested"]["reason"] is None


def test_watchers_see_it(api, run, open_stream):
    started(api, run, ("a0", None), ("a1", "a0"))
    stream = open_stream(f"{run.path}/watch")
    frames = stream.read_until("synced")
    last = frames[-1].id
    noted = ask_for_end(api, action(run, "a1"), "stop")
    seen = {f.data["action"]["name"]: f.data["action"] for f in stream.read_flush()}["a1"]
    assert seen["abortRequested"] == noted and seen["phase"] == "RUNNING"
    resumed = open_stream(f"{run.path}/watch", last_event_id=last).read_until("synced")
    assert "a1" in names_of(resumed)


def test_watchers_of_the_list_see_it(api, run, open_stream):
    started(api, run, ("a0", None))
    stream = open_stream(f"{run.base}/runs/watch")
    stream.read_until("synced")
    noted = ask_for_end(api, run.path, "stop")
    update = stream.read_flush()[-1].data
    assert update["runName"] == run.name and update["abortRequested"] == noted


def test_circles_of_waiting_actions_have_an_end(api, run):
    started(api, run, ("a0", None), ("x", "y"), ("y", "x"), ("z", "x"))
    ask_for_end(api, action(run, "x"))
    assert flags(api, run, ("a0", 1), ("y", 1), ("z", 1)) == [False, True, True]


def test_a_run_that_somebody_holds_is_asked_when_it_is_free(api, run, postgres, database):
    started(api, run, ("a0", None))
    with psycopg.connect(database) as session:
        session.execute("UPDATE runs SET revision = revision WHERE run_name = %s", (run.name,))
        answers = []
        asking = threading.Thread(target=lambda: answers.append(ask_for_end(api, run.path)))
        asking.start()
        asking.join(0.5)
        assert answers == []
        session.rollback()
        asking.join(60)
    assert len(answers) == 1


def test_who_asks_is_noted_and_needs_write(ask, guarded_run):
    path = f"{guarded_run.path}/abort"
    read = token_for(read=[f"{guarded_run.project}/*"])
    write = token_for(write=[f"{guarded_run.project}/*"], sub="ada")
    assert ask("POST", path, token=read).status_code == 403
    response = ask("POST", path, token=write, json={"reason": "why"})
    assert response.status_code == 200, response.text
    assert response.json()["abortRequested"]["by"] == "ada"
