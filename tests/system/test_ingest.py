"""POST and PUT of events: what is recorded, once, and what the answers say about it."""

import pytest

from client import assert_problem, assert_problem_document, until
from inventions import at

TERMINAL = ("SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT", "RECOVERED", "SKIPPED")


def stored(api, run, name="a0"):
    return api.read(f"{run.path}/actions/{name}/events")["events"]


def state(api, run, name="a0"):
    action = api.read(f"{run.path}/actions/{name}")
    return action["attempt"], action["phase"], action["version"]


def test_single_event_is_201_when_new_and_200_when_repeated(api, run):
    event = run.event(parent=None)
    first, second = api.post(event), api.post(event)
    assert (first.status_code, first.json()["status"]) == (201, "applied")
    assert first.json()["revision"] == 1
    assert (second.status_code, second.json()["status"]) == (200, "duplicate")
    assert second.json()["identical"] is True
    assert len(stored(api, run)) == 1


def test_first_write_wins_over_a_different_document(api, run):
    api.post_one(run.event(parent=None, outputs={"first": True}))
    result = api.post_one(run.event(parent=None, outputs={"first": False}))
    assert (result["status"], result["identical"]) == ("duplicate", False)
    assert stored(api, run)[0]["outputs"] == {"first": True}


def test_identical_is_judged_by_meaning_not_by_bytes(api, run):
    api.post_one(run.event(parent=None, outputs={"a": 1, "b": [2]}))
    respelled = (
        f'{{ "outputs": {{"b": [2], "a": 1}}, "parent": null, "version": 0, "attempt": 1,'
        f'"phase": "ACTION_PHASE_QUEUED", "name": "a0", "runName": "{run.name}",'
        f'"domain": "{run.domain}", "project": "{run.project}" }}'
    ).encode()
    response = api.post(respelled)
    assert response.status_code == 200, response.text
    assert response.json()["identical"] is True


def test_batch_answers_in_the_order_of_the_request(api, run):
    results = api.post_all(
        [
            run.event("a0", parent=None),
            run.event("a1", parent="a0"),
            run.event("a0", "RUNNING"),
            run.event("a1", parent="a0"),
            run.event("a0", "QUEUED", version=1),
        ]
    )
    assert [result["status"] for result in results] == [
        "applied",
        "applied",
        "applied",
        "duplicate",
        "recorded",
    ]
    assert [results[index]["revision"] for index in (0, 1, 2, 4)] == [1, 2, 3, 4]


def test_batch_with_a_rejected_event_is_207_and_keeps_the_others(api, run):
    response = api.post(
        {
            "events": [
                run.event("a0", parent=None),
                run.event("a1", phase="DONE", parent="a0"),
                run.event("a2", parent="a0"),
            ]
        }
    )
    assert response.status_code == 207
    body = response.json()
    assert body["rejected"] == 1
    assert [result["status"] for result in body["results"]] == ["applied", "rejected", "applied"]
    assert_problem_document(body["results"][1]["problem"], 400, "invalid-field", "/phase")
    assert api.read(run.path)["actionCount"] == 2


def test_rejected_in_a_batch_has_the_problem_of_a_single_event(api, run):
    event = run.event(attempt=0)
    single = api.post(event).json()
    in_batch = api.post({"events": [event]}).json()["results"][0]["problem"]
    assert in_batch == single


def test_ndjson(api, run):
    response = api.post_lines(
        [run.event("a0", parent=None), b'{"project": "cut off', run.event("a1", parent="a0")]
    )
    assert response.status_code == 207
    results = response.json()["results"]
    assert [result["status"] for result in results] == ["applied", "rejected", "applied"]
    assert_problem_document(results[1]["problem"], 400, "invalid-json")


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_ndjson_needs_no_particular_ending(api, run, ending):
    lines = [
        f'{{"project":"{run.project}","domain":"{run.domain}","runName":"r1","name":"a0",'
        f'"phase":{number},"parent":null}}'.encode()
        for number in (1, 4)
    ]
    response = api.post((ending or b"\n").join(lines) + ending, "application/x-ndjson")
    assert response.status_code == 200, response.text
    assert response.json()["rejected"] == 0
    assert len(response.json()["results"]) == 2


def test_batch_of_one_answers_as_a_batch(api, run):
    for response in (
        api.post({"events": [run.event(parent=None)]}),
        api.post_lines([run.event(parent=None)]),
    ):
        assert response.status_code == 200
        assert len(response.json()["results"]) == 1


def test_empty_batch(api):
    for response in (api.post({"events": []}), api.post(b"", "application/x-ndjson")):
        assert response.status_code == 200
        assert response.json() == {"results": [], "rejected": 0}


def test_put_takes_the_key_from_the_path(api, run):
    first = api.put(run.put_path(phase="RUNNING", attempt=2, version=3), {"parent": None})
    assert (first.status_code, first.json()["status"]) == (201, "applied")
    assert state(api, run) == (2, "RUNNING", 3)
    again = api.put(
        run.put_path(phase="ACTION_PHASE_RUNNING", attempt=2, version=3), {"parent": None}
    )
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    by_number = api.put(run.put_path(phase="4", attempt=2, version=3), {"parent": None})
    assert by_number.json()["status"] == "duplicate"


def test_put_and_post_of_one_event_are_the_same(api, run):
    api.post_one(run.event(parent=None, group="g"))
    result = api.put(run.put_path(), {"parent": None, "group": "g"}).json()
    assert result["status"] == "duplicate"
    assert result["identical"] is True


def test_put_body_may_be_empty(api, run):
    api.post_one(run.event(parent=None))
    response = api.put(run.put_path(phase="SUCCEEDED"))
    assert (response.status_code, response.json()["status"]) == (201, "applied")
    assert state(api, run) == (1, "SUCCEEDED", 0)


def test_put_body_may_repeat_the_key_but_not_contradict_it(api, run):
    assert api.put(run.put_path(), run.event(parent=None)).status_code == 201
    response = api.put(run.put_path(phase="RUNNING"), {"phase": "FAILED"})
    assert_problem(response, 400, "invalid-field", "/phase")
    response = api.put(run.put_path(phase="RUNNING"), {"runName": "other"})
    assert_problem(response, 400, "invalid-field", "/runName")
    assert len(stored(api, run)) == 1


@pytest.mark.parametrize("spelling", ["FAILED", "ACTION_PHASE_FAILED", 6])
def test_phase_spellings(api, run, spelling):
    api.post_one(run.event(phase=spelling, parent=None))
    assert state(api, run) == (1, "FAILED", 0)
    assert stored(api, run)[0]["phase"] == "FAILED"


def test_every_phase_by_number_and_in_order(api, run):
    api.post_all([run.event(phase=number, parent=None) for number in range(1, 11)])
    assert [event["phase"] for event in stored(api, run)] == [
        "QUEUED",
        "WAITING_FOR_RESOURCES",
        "INITIALIZING",
        "RUNNING",
        "SUCCEEDED",
        "FAILED",
        "ABORTED",
        "TIMED_OUT",
        "PAUSED",
        "RECOVERED",
    ]
    assert state(api, run) == (1, "SUCCEEDED", 0)


def test_defaults_of_attempt_version_and_time(api, run):
    before = at(0)
    api.post_one(run.event(parent=None))
    event = stored(api, run)[0]
    assert (event["attempt"], event["version"]) == (1, 0)
    assert event["updatedTime"] > before
    assert api.read(f"{run.path}/actions/a0")["createdAt"] == event["updatedTime"]


@pytest.mark.parametrize("terminal", TERMINAL)
def test_a_late_running_never_reopens_a_terminal_one_but_a_new_attempt_does(api, run, terminal):
    api.post_one(run.event(phase=terminal, parent=None))
    late = api.post_one(run.event(phase="RUNNING", version=99))
    assert late["status"] == "recorded"
    assert state(api, run) == (1, terminal, 0)
    retry = api.post_one(run.event(phase="QUEUED", attempt=2))
    assert retry["status"] == "applied"
    assert state(api, run) == (2, "QUEUED", 0)


def test_order_is_attempt_then_rank_then_version(api, run):
    ascending = [
        (1, "QUEUED", 5),
        (1, "WAITING_FOR_RESOURCES", 0),
        (1, "INITIALIZING", 0),
        (1, "RUNNING", 0),
        (1, "PAUSED", 0),
        (1, "RUNNING", 1),
        (1, "PAUSED", 1),
        (1, "FAILED", 0),
        (1, "SUCCEEDED", 1),
        (2, "QUEUED", 0),
    ]
    for attempt, phase, version in ascending:
        result = api.post_one(run.event(phase=phase, attempt=attempt, version=version, parent=None))
        assert result["status"] == "applied", (attempt, phase, version)
    other = [
        run.event("b0", phase, attempt=attempt, version=version, parent=None)
        for attempt, phase, version in reversed(ascending)
    ]
    statuses = [result["status"] for result in api.post_all(other)]
    assert statuses == ["applied"] + ["recorded"] * (len(ascending) - 1)


def test_waiting_until_an_event_names_the_parent(api, run):
    api.post_one(run.event("a0", parent=None))
    waiting = api.post(run.event("a1", "RUNNING"))
    assert waiting.status_code == 201
    assert waiting.json()["status"] == "waiting"
    assert waiting.json().get("revision") is None
    assert "parent" in waiting.json()["detail"]
    assert api.read(run.path)["actionCount"] == 1
    assert "a1" not in {action["name"] for action in api.read(f"{run.path}/actions")["actions"]}
    assert api.read(f"{run.path}/actions/a1")["waiting"] is True
    assert [event["revision"] for event in stored(api, run, "a1")] == [None]
    named = api.post_one(run.event("a1", "QUEUED", parent="a0"))
    assert named["status"] == "recorded"
    assert state(api, run, "a1") == (1, "RUNNING", 0)
    revisions = [event["revision"] for event in stored(api, run, "a1")]
    assert all(revision and revision > 1 for revision in revisions), revisions


def test_waiting_for_a_parent_that_is_not_in_the_tree(api, run):
    grandchild = api.post_one(run.event("a2", parent="a1"))
    assert grandchild["status"] == "waiting"
    assert "a1" in grandchild["detail"]
    assert api.post_one(run.event("a1", parent="a0"))["status"] == "waiting"
    assert api.post_one(run.event("a0", parent=None))["status"] == "applied"
    names = [action["name"] for action in api.read(f"{run.path}/actions")["actions"]]
    assert names == ["a0", "a1", "a2"]
    assert api.post_one(run.event("a2", "RUNNING"))["status"] == "applied"


def test_repeated_waiting_event_is_a_duplicate(api, run):
    event = run.event("a1", parent="a0")
    api.post_one(event)
    assert api.post(event).json()["status"] == "duplicate"


def test_children_before_their_parent_in_one_batch(api, run):
    api.post_all(
        [run.event("a2", parent="a1"), run.event("a1", parent="a0"), run.event("a0", parent=None)]
    )
    nodes = api.read(f"{run.path}/tree")["nodes"]
    assert [node["action"]["name"] for node in nodes] == ["a0", "a1", "a2"]


def test_parent_may_be_repeated_but_not_changed(api, run):
    api.post_all([run.event("a0", parent=None), run.event("a1", parent="a0")])
    assert api.post_one(run.event("a1", "RUNNING", parent="a0"))["status"] == "applied"
    for changed in (None, "a9"):
        response = api.post(run.event("a1", "FAILED", parent=changed))
        assert_problem(response, 409, "parent-conflict", "/parent")
    assert_problem(
        api.post(run.event("a0", "RUNNING", parent="a1")), 409, "parent-conflict", "/parent"
    )
    assert state(api, run, "a1") == (1, "RUNNING", 0)
    assert len(stored(api, run, "a1")) == 2


def test_parent_conflict_inside_one_batch(api, run):
    response = api.post(
        {
            "events": [
                run.event("a0", parent=None),
                run.event("a1", parent="a0"),
                run.event("a1", "RUNNING", parent="a7"),
                run.event("a1", "SUCCEEDED"),
            ]
        }
    )
    assert response.status_code == 207
    results = response.json()["results"]
    assert [result["status"] for result in results] == ["applied", "applied", "rejected", "applied"]
    assert_problem_document(results[2]["problem"], 409, "parent-conflict", "/parent")


def test_parent_conflict_of_a_waiting_action(api, run):
    api.post_one(run.event("a1", parent="a0"))
    assert_problem(
        api.post(run.event("a1", "RUNNING", parent="b0")), 409, "parent-conflict", "/parent"
    )


def test_an_action_cannot_come_under_itself(api, run):
    """Whatever is answered to a circle, nobody sees it and the run goes on."""
    api.post_one(run.event("a0", parent=None))
    api.post(run.event("x", parent="x"))
    api.post({"events": [run.event("y", parent="z"), run.event("z", parent="y")]})
    assert api.read(run.path)["actionCount"] == 1
    assert api.post_one(run.event("a0", "RUNNING"))["status"] == "applied"


def test_a_run_may_have_several_roots(api, run):
    api.post_all([run.event("a0", parent=None), run.event("b0", "RUNNING", parent=None)])
    summary = api.read(run.path)
    assert (summary["root"], summary["phase"], summary["actionCount"]) == ("a0", "RUNNING", 2)


def test_batch_may_hold_events_of_many_runs(api, run):
    events = [
        dict(run.event(parent=None), runName=f"r{number % 7}", version=number)
        for number in range(70)
    ]
    results = api.post_all(events)
    assert {result["status"] for result in results} == {"applied"}
    runs = api.read(f"{run.base}/runs")["runs"]
    assert sorted((item["runName"], item["revision"]) for item in runs) == [
        (f"r{number}", 10) for number in range(7)
    ]


def test_other_members_are_kept_as_they_came(api, run):
    extras = {
        "cluster": "gpu-7",
        "outputs": {"rows": 12345678901234, "share": 0.1, "none": None},
        "logInfo": [{"uri": "s3://logs/é"}],
        "clusterEvents": [{"message": "pulled"}],
        "x-owner": {"team": "Größe 🌳"},
        "reportedTime": at(5),
    }
    api.post_one(run.event(parent=None, **extras))
    event = stored(api, run)[0]
    assert {member: event[member] for member in extras} == extras


def test_null_is_as_good_as_absent_except_for_the_parent(api, run):
    optional = (
        "group",
        "task",
        "updatedTime",
        "reportedTime",
        "errorInfo",
        "cluster",
        "outputs",
        "logInfo",
        "clusterEvents",
    )
    event = run.event("a0", parent=None) | dict.fromkeys(optional)
    assert api.post(event).status_code == 201
    action = api.read(f"{run.path}/actions/a0")
    assert (action["group"], action["taskName"], action["errorInfo"]) == (None, None, None)
    assert action["attempts"][0]["logInfo"] == []
    later = run.event("a0", "RUNNING", group="g", task={"name": "t", "shortName": None})
    api.post_one(later)
    action = api.read(f"{run.path}/actions/a0")
    assert (action["group"], action["taskName"], action["shortName"]) == ("g", "t", None)


def test_escaped_strings_come_back_as_they_were(api, run):
    message = 'quote " backslash \\ newline \n tab \t bell \x07 é 日本 🌳 </script> \u2028'
    api.post_one(
        run.event(phase="FAILED", parent=None, errorInfo={"kind": "USER", "message": message})
    )
    assert api.read(f"{run.path}/actions/a0")["errorInfo"]["message"] == message
    assert api.read(f"{run.path}/tree")["nodes"][0]["action"]["errorInfo"]["message"] == message


def test_names_with_every_allowed_character(api, run):
    name = "0aZ.9_x:y-z"
    api.post_one(run.event(name, parent=None))
    assert state(api, run, name) == (1, "QUEUED", 0)
    assert api.put(run.put_path(name, phase="RUNNING")).status_code == 201


def test_revision_counts_each_new_event_of_the_tree_once(api, run):
    api.post_one(run.event("a0", parent=None))
    for version in range(1, 6):
        api.post_one(run.event("a0", version=version))
        api.post_one(run.event("a0", version=version))
    assert api.read(run.path)["revision"] == 6


@pytest.mark.parametrize("phase", ["SKIPPED", "ACTION_PHASE_SKIPPED", 64, "64"])
def test_a_skipped_action_has_ended_and_never_ran(api, run, phase):
    api.post_all(
        [
            run.event("a0", "SUCCEEDED", parent=None),
            run.event("a1", "QUEUED", parent="a0", updatedTime=at(0)),
            run.event("a1", phase, updatedTime=at(5000)),
            run.event("a2", "RUNNING", parent="a0", updatedTime=at(0)),
            run.event("a2", phase, updatedTime=at(5000)),
        ]
    )
    assert api.read(run.path)["phaseCounts"] == {"SUCCEEDED": 1, "SKIPPED": 2}
    for name in ("a1", "a2"):
        action = api.read(run.action_path(name))
        for record in (action, action["attempts"][0]):
            assert record["phase"] == "SKIPPED"
            assert record["endedAt"] == at(5000)
            assert (record["startedAt"], record["durationMs"]) == (None, None)
    for wanted in ("SKIPPED", "64", "FAILED,ACTION_PHASE_SKIPPED"):
        listed = api.read(f"{run.path}/actions", phase=wanted)["actions"]
        assert [action["name"] for action in listed] == ["a1", "a2"]


def test_a_run_of_skipped_roots_is_skipped(api, run):
    api.post_all([run.event(name, "SKIPPED", parent=None) for name in ("a", "b")])
    summary = api.read(run.path)
    assert (summary["phase"], summary["durationMs"]) == ("SKIPPED", None)
    assert api.read(f"{run.base}/runs", phase="SKIPPED")["runs"] == [summary]
    api.put(f"{run.action_path('c')}/events/1/64/0", {"parent": None})
    assert api.read(run.path)["phaseCounts"] == {"SKIPPED": 3}


def test_the_spelling_of_flyte_is_kept_as_ours(api, run):
    event = {
        "project": run.project, "domain": run.domain, "run_name": run.name, "name": "a0",
        "phase": "ACTION_PHASE_FAILED", "parent": None, "updated_time": at(0),
        "task": {"name": "pkg.train", "short_name": "train"},
        "error_info": {"kind": "KIND_USER", "message": "no"}, "log_info": [{"message_format": 1}],
    }  # fmt: skip
    assert api.post_one(event)["status"] == "applied"
    action = api.read(run.action_path("a0"))
    assert (action["shortName"], action["endedAt"]) == ("train", at(0))
    assert action["errorInfo"] == {"kind": "USER", "message": "no"}
    assert action["attempts"][0]["errorInfo"] == {"kind": "USER", "message": "no"}
    assert action["attempts"][0]["logInfo"] == [{"message_format": 1}]
    (kept,) = api.read(f"{run.action_path('a0')}/events")["events"]
    assert kept["errorInfo"]["kind"] == "USER" and "error_info" not in kept
    ours = run.event(
        "a0", "FAILED", parent=None, updatedTime=at(0), logInfo=[{"message_format": 1}],
        task={"name": "pkg.train", "shortName": "train"},
        errorInfo={"kind": "USER", "message": "no"},
    )  # fmt: skip
    assert api.post_one(ours)["identical"]


def test_an_actions_events_touch_no_index(postgres, start_runtree, open_api, run):
    """PostgreSQL updates a row in place as long as no index covers what changes."""
    url = postgres.new_database()
    api = open_api(start_runtree(database_url=url))
    phases = ["QUEUED", "RUNNING", "FAILED"]
    for attempt in (1, 2):
        for phase in phases:
            api.post_one(run.event("a0", phase, parent=None, attempt=attempt))
    updates = 2 * len(phases) - 1

    def updates_told():
        (told,) = postgres.execute(
            url,
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'actions'",
        )
        return told if told[0] >= updates else None

    assert until(updates_told) == (updates, updates)
