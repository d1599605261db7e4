"""What Flyte 2's clients report: tracked runs, executors, errors in Connect's words."""

import gzip
import json

import httpx
import pytest

from flyte import (
    action_id,
    answer,
    assert_error,
    call,
    path_of,
    recorded,
    run_id,
    send_recorded,
)
from tokens import token_for

TRACKED = [
    ("sdk-run-tracked.1.CreateRun", "CreateRun"),
    ("sdk-run-tracked.2.ReportActions-root", "ReportActions"),
    ("sdk-run-tracked.3.ReportActions-children-and-trace", "ReportActions"),
    ("sdk-run-tracked.4.ReportActions-failure", "ReportActions"),
    ("sdk-run-tracked.5.ReportActions-retry", "ReportActions"),
    ("sdk-run-tracked.6.ReportActions-end", "ReportActions"),
]
TRACKED_RUN = "/v1/projects/ml/domains/production/runs/local-6e931ac8"


@pytest.fixture
def ml(start_runtree, postgres, open_api):
    """A service of its own: the recordings name their project."""
    return open_api(start_runtree(database_url=postgres.new_database()))


def post_tracked(api, calls):
    for name, method in calls:
        response = send_recorded(api, name, method, "TrackedRunService")
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/proto"


def tree_of(api, path):
    nodes = api.read(f"{path}/tree")["nodes"]
    return {
        node["action"]["name"]: (
            node["action"]["parent"],
            node["action"]["phase"],
            node["action"]["attempt"],
            node["action"]["group"],
            node["action"]["taskName"],
        )
        for node in nodes
    }


def test_tracked_run_is_a_tree(ml):
    post_tracked(ml, TRACKED)
    tree = tree_of(ml, TRACKED_RUN)
    assert tree["a0"] == (None, "SUCCEEDED", 1, None, "demo.root")
    leaves = [action for action in tree.values() if action[4] == "demo.leaf"]
    assert {leaf[0] for leaf in leaves} == {"a0"}
    assert {leaf[3] for leaf in leaves} == {"map"}
    trace = tree["a6gifflajq5yybu7sfqy9lubh"]
    assert trace == ("aaxhoakc99xwwqxijgxvt30e8", "RUNNING", 1, None, "fetch")
    retried = ml.read(f"{TRACKED_RUN}/actions/b60mohq9esrt6i81tz9o0nif9")
    assert [attempt["phase"] for attempt in retried["attempts"]] == ["FAILED", "FAILED"]
    assert "boom" in retried["attempts"][0]["errorInfo"]["message"]
    assert ml.read(TRACKED_RUN)["phase"] == "SUCCEEDED"


def test_repeats_and_disorder_end_in_the_same_tree(ml):
    post_tracked(ml, reversed(TRACKED[1:]))
    post_tracked(ml, TRACKED)
    post_tracked(ml, TRACKED)
    assert tree_of(ml, TRACKED_RUN)["a0"] == (None, "SUCCEEDED", 1, None, "demo.root")
    assert len(ml.read(f"{TRACKED_RUN}/actions/a0/events")["events"]) == 4


def test_executor_reports_in_both_forms(ml):
    def send(name, method, service="InternalRunService"):
        form = "json" if name.startswith("go-json") else "proto"
        response = ml.request(
            "POST",
            path_of(method, service),
            content=recorded(f"{name}-{service}.{method}"),
            headers={"Content-Type": f"application/{form}"},
        )
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == f"application/{form}"
        return response.content

    for form, first in (("go-proto", 1), ("go-json", 9)):
        numbers = [f"{form}.{number:03}" for number in range(first, first + 6)]
        assert send(numbers[0], "RecordAction")
        send(numbers[1], "RecordAction")
        send(numbers[2], "UpdateActionStatus")
        send(numbers[3], "UpdateActionStatus")
        assert send(numbers[4], "Record", "EventsProxyService") in (b"", b"{}")
        send(numbers[5], "RecordActionEvents")
        run = "/v1/projects/ml/domains/production/runs/rcap1"
        action = ml.read(f"{run}/actions/a1")
        assert (action["phase"], action["attempt"]) == ("RUNNING", 2)
        assert action["createdAt"] == "2026-04-12T08:00:00.123Z"
        assert (action["group"], action["parent"]) == ("map", "a0")
        first = action["attempts"][0]
        assert first["errorInfo"]["message"] == "boom"
        assert first["logInfo"][0]["uri"] == "http://logs/x"


def test_what_has_no_version_takes_no_key_of_an_event(api, run):
    a1 = action_id(run, "a1")
    queued = {"id": a1, "attempt": 1, "phase": "ACTION_PHASE_QUEUED"}
    queued["updatedTime"] = "2026-04-12T08:00:00.123Z"
    answer(api, "RecordAction", {"actionId": action_id(run, "a0")}, "InternalRunService")
    answer(api, "RecordAction", {"actionId": a1, "parent": "a0"}, "InternalRunService")
    status = {"phase": "ACTION_PHASE_QUEUED", "attempts": 1}
    message = {"actionId": a1, "status": status}
    assert answer(api, "UpdateActionStatus", message, "InternalRunService") == {
        "actionId": a1,
        "status": {},
    }
    answer(api, "RecordActionEvents", {"events": [queued]}, "InternalRunService")
    events = api.read_all(f"{run.path}/actions/a1/events", "events", limit=1)
    assert [event["version"] for event in events] == [-4, -2, 0]
    action = api.read(f"{run.path}/actions/a1")
    assert (action["version"], action["createdAt"]) == (0, "2026-04-12T08:00:00.123Z")


def test_status_without_a_version_does_not_stand_over_an_event(api, run):
    api.post_one(run.event("a0", "FAILED", parent=None, errorInfo={"message": "boom"}))
    status = {"phase": "ACTION_PHASE_SUCCEEDED", "endTime": "2026-04-12T08:00:00Z"}
    message = {"actionId": action_id(run, "a0"), "status": status}
    answer(api, "UpdateActionStatus", message, "InternalRunService")
    assert api.read(run.path)["phase"] == "FAILED"


def test_status_alone_moves_the_action(api, run):
    def say(phase, **status):
        message = {"actionId": action_id(run, "a0"), "status": {"phase": phase, **status}}
        answer(api, "UpdateActionStatus", message, "InternalRunService")
        return api.read(f"{run.path}/actions/a0")

    assert say("ACTION_PHASE_RUNNING", startTime="2026-04-12T08:00:00Z")["phase"] == "RUNNING"
    failed = say("ACTION_PHASE_FAILED", attempts=2, endTime="2026-04-12T08:01:00Z")
    assert (failed["phase"], failed["attempt"]) == ("FAILED", 2)
    assert failed["endedAt"] == "2026-04-12T08:01:00.000Z"


def test_abort_reason_is_the_error(api, run):
    message = {"actionId": action_id(run, "a0"), "status": {"phase": "ACTION_PHASE_ABORTED"}}
    answer(api, "UpdateActionStatus", message | {"abortReason": "by hand"}, "InternalRunService")
    assert api.read(f"{run.path}/actions/a0")["errorInfo"]["message"] == "by hand"


def test_rejected_report_is_told_where_its_client_reads_it(api, run):
    good = {"id": action_id(run, "a0"), "phase": 4}
    bad = {"id": action_id(run, "a1"), "phase": 0}
    updates = [{"event": good}, {"event": bad, "parentName": "a0"}]
    statuses = answer(
        api, "ReportActions", {"runId": run_id(run), "updates": updates}, "TrackedRunService"
    )["statuses"]
    assert statuses[0] == {}
    assert statuses[1]["code"] == 3
    assert "phase" in statuses[1]["message"]
    message = {"actionId": action_id(run, "a1"), "status": {}}
    status = answer(api, "UpdateActionStatus", message, "InternalRunService")["status"]
    assert status["code"] == 3
    # An executor would send the whole of such a batch again, for ever.
    events = {"events": [good, bad]}
    assert answer(api, "RecordActionEvents", events, "InternalRunService") == {"status": {}}
    assert answer(api, "Record", events, "EventsProxyService") == {}
    assert api.read(run.path)["actionCount"] == 1


def test_created_run_has_labels_and_answers_with_its_root(api, run):
    message = {"runId": run_id(run), "labels": {"team": "ml"}}
    message["taskSpec"] = {"shortName": "root", "taskTemplate": {"id": {"name": "pkg.root"}}}
    created = answer(api, "CreateRun", message, "TrackedRunService")
    assert created["run"]["action"]["id"] == action_id(run, "a0")
    action = api.read(f"{run.path}/actions/a0")
    assert (action["phase"], action["taskName"]) == ("QUEUED", "pkg.root")
    assert api.read(run.path)["labels"] == {"team": "ml"}
    project = {"name": run.project, "domain": run.domain}
    (listed,) = answer(api, "ListRuns", {"projectId": project})["runs"]
    assert listed["labels"] == {"team": "ml"}


@pytest.mark.parametrize("message", [{}, {"runId": {"name": "r"}}, {"runId": {"project": "a b"}}])
def test_run_without_a_name_is_refused_in_words(api, message):
    response = call(api, "CreateRun", message, "TrackedRunService")
    assert_error(response, 400, "invalid_argument", "project")


def test_large_batch_is_recorded(api, run):
    events = [
        {"id": action_id(run, f"a{i}"), "attempt": 1, "phase": 4, "cluster": "c" * 100}
        for i in range(400)
    ]
    answer(api, "RecordAction", {"actionId": action_id(run, "a0")}, "InternalRunService")
    body = gzip.compress(json.dumps({"events": events}).encode())
    response = api.request(
        "POST",
        path_of("RecordActionEvents", "InternalRunService"),
        content=body,
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )
    assert response.status_code == 200
    assert len(api.read(f"{run.path}/actions/a399/events")["events"]) == 1


@pytest.mark.parametrize(
    ("content_type", "body", "status", "text"),
    [
        ("application/proto", b"\x0a\x7f", 400, "no RecordActionRequest"),
        ("application/proto", b"\x2a\x02\xff\xfe", 400, "group: is not valid UTF-8"),
        ("application/json", b"{", 400, "Line 1"),
        ("application/json", b'{"actionId": 7}', 400, "action_id: must be an object"),
        ("text/plain", b"{}", 400, "application/proto"),
    ],
)
def test_bad_request_is_refused_in_words(api, content_type, body, status, text):
    path = path_of("RecordAction", "InternalRunService")
    response = api.request("POST", path, content=body, headers={"Content-Type": content_type})
    assert_error(response, status, "invalid_argument", text)


def test_what_runtree_does_not_do_is_unimplemented(api):
    assert_error(call(api, "CreateRun", {}), 501, "unimplemented", "RunService/CreateRun")
    response = call(api, "ListTasks", {}, "TaskService", "flyteidl2.task")
    assert_error(response, 501, "unimplemented")
    assert_error(api.get(path_of("ListRuns")), 501, "unimplemented")


def test_tokens_count_as_everywhere(guarded, run, open_api):
    api = open_api(guarded)

    def status(token):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        message = {"actionId": action_id(run, "a0")}
        return call(api, "RecordAction", message, "InternalRunService", **headers)

    assert_error(status(None), 401, "unauthenticated")
    assert_error(status(token_for(read=["*/*"])), 403, "permission_denied", "write")
    assert status(token_for(write=[f"{run.project}/*"])).status_code == 200
    headers = {"Authorization": f"Bearer {token_for(read=['*/*'])}"}
    response = call(api, "AbortRun", {"runId": run_id(run)}, **headers)
    assert_error(response, 403, "permission_denied", "write")


# Aborts


@pytest.mark.parametrize("service", ["RunService", "TrackedRunService"])
def test_abort_of_a_run_is_noted_for_who_executes_it(api, run, service):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    message = {"runId": run_id(run), "reason": "by hand"}
    assert answer(api, "AbortRun", message, service) == {}
    assert api.read(run.path)["abortRequested"]["reason"] == "by hand"
    assert api.read(run.path)["phase"] == "RUNNING"


def test_abort_of_an_action_is_noted(api, run):
    api.post_all([run.event("a0", "RUNNING", parent=None), run.event("a1", parent="a0")])
    assert answer(api, "AbortAction", {"actionId": action_id(run, "a1")}) == {}
    assert api.read(f"{run.path}/actions/a1")["abortRequested"]["reason"] is None


def test_what_cannot_be_aborted(api, run):
    message = {"runId": run_id(run)}
    assert_error(call(api, "AbortRun", message), 404, "not_found")
    assert_error(call(api, "AbortRun", {}), 400, "invalid_argument", "run_id")
    assert_error(call(api, "AbortAction", {}), 400, "invalid_argument", "action_id")
    api.post_one(run.event("a0", "SUCCEEDED", parent=None))
    assert answer(api, "AbortRun", message) == {}
    too_long = message | {"reason": "r" * 1001}
    assert_error(call(api, "AbortRun", too_long), 400, "invalid_argument", "reason")


# Inputs and outputs


def upload_location(api, run, **headers):
    message = {"project": run.project, "domain": run.domain, "filename": "inputs.pb"}
    message["filenameRoot"] = f"tracked-runs/{run.name}/a0"
    return answer(
        api,
        "CreateUploadLocation",
        message,
        "DataProxyService",
        "flyteidl2.dataproxy",
        **headers,
    )


def test_inputs_are_taken_and_said_not_to_be_kept(api, run):
    message = {"operation": "OPERATION_TRACKED_RUN_DATA"}
    assert answer(api, "SelectCluster", message, "ClusterService", "flyteidl2.cluster") == {}
    location = upload_location(api, run)
    assert location["nativeUrl"] == f"not-kept:tracked-runs/{run.name}/a0/inputs.pb"
    assert location["signedUrl"].startswith(api.url)
    assert httpx.put(location["signedUrl"], content=b"x" * 100_000).status_code == 200


def test_upload_needs_the_token_that_asked_for_it(guarded, run, open_api):
    token = f"Bearer {token_for(write=[f'{run.project}/*'])}"
    location = upload_location(open_api(guarded), run, Authorization=token)
    url = location["signedUrl"]
    assert location["headers"] == {"Authorization": token}
    assert httpx.put(url, content=b"x").status_code == 401
    assert httpx.put(url, content=b"x", headers=location["headers"]).status_code == 200
