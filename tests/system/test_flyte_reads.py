"""What Flyte 2's clients read: lists, details, projects, in both forms."""

import dataclasses
import json

import pytest

from flyte import (
    action_id,
    answer,
    assert_error,
    call,
    path_of,
    recorded,
    run_id,
)
from tokens import token_for

SERVICES = ("RunService", "TrackedRunService")


def post_run(api, run):
    task = {"name": "pkg.train", "shortName": "train"}
    error = {"kind": "USER", "message": "boom"}
    api.post_all(
        [
            run.event("a0", parent=None, task={"name": "pkg.root", "shortName": "root"}),
            run.event("a0", "RUNNING"),
            run.event("a1", parent="a0", group="map", task=task),
            run.event("a1", "RUNNING", version=0),
            run.event("a1", "RUNNING", version=1, logInfo=[{"name": "out", "uri": "http://l"}]),
            run.event("a1", "FAILED", errorInfo=error, cluster="c1"),
            run.event("a1", "RUNNING", attempt=2),
            run.event("a2", parent="a0"),
        ]
    )


def project_id(run):
    return {"organization": "acme", "name": run.project, "domain": run.domain}


def list_runs(api, run, service="RunService", **request):
    return answer(api, "ListRuns", {"request": request, "projectId": project_id(run)}, service)


def list_actions(api, run, **request):
    return answer(api, "ListActions", {"request": request, "runId": run_id(run)})


def names(actions):
    return [action["id"]["name"] for action in actions["actions"]]


def phase_filter(*values):
    return {"function": "VALUE_IN", "field": "phase", "values": list(values)}


@pytest.mark.parametrize("service", SERVICES)
def test_runs_are_listed_with_their_root(api, run, service):
    post_run(api, run)
    runs = list_runs(api, run, service, limit=100)["runs"]
    assert len(runs) == 1
    action = runs[0]["action"]
    assert action["id"] == action_id(run, "a0")
    assert action["status"]["phase"] == "ACTION_PHASE_RUNNING"
    assert action["status"]["attempts"] == 1
    assert action["metadata"]["task"]["id"]["name"] == "pkg.root"


def test_runs_without_a_root_and_pages(api, run):
    others = [dataclasses.replace(run, name=name) for name in ("r2", "r3")]
    for each in (run, *others):
        api.post_one(each.event("a0", "RUNNING", parent=None))
    waiting = dataclasses.replace(run, name="r4")
    api.post_one(waiting.event("a1", parent="a0"))
    seen, token = [], ""
    while True:
        page = list_runs(api, run, limit=1, token=token)
        seen += [each["action"]["id"]["run"]["name"] for each in page.get("runs", [])]
        token = page.get("token", "")
        if not token:
            break
    assert sorted(seen) == sorted(each.name for each in (run, waiting, *others))


def test_runs_are_filtered(api, run):
    post_run(api, run)
    assert "runs" not in list_runs(api, run, filters=[phase_filter("6")])
    assert list_runs(api, run, filters=[phase_filter("ACTION_PHASE_RUNNING", "5")])["runs"]
    named = {"function": "CONTAINS", "field": "name", "values": [run.name.upper()]}
    assert list_runs(api, run, filters=[named])["runs"]


def test_actions_are_listed_in_the_order_of_the_tree(api, run):
    post_run(api, run)
    assert names(list_actions(api, run)) == ["a0", "a1", "a2"]
    page = list_actions(api, run, limit=2)
    assert names(page) == ["a0", "a1"]
    assert names(list_actions(api, run, limit=2, token=page["token"])) == ["a2"]
    failed = list_actions(api, run)["actions"][1]
    assert failed["metadata"]["parent"] == "a0"
    assert failed["metadata"]["group"] == "map"
    assert failed["status"]["attempts"] == 2


def test_actions_are_filtered(api, run):
    post_run(api, run)
    parent = {"field": "parent_name", "values": ["a0"]}
    assert names(list_actions(api, run, filters=[parent])) == ["a1", "a2"]
    assert names(list_actions(api, run, filters=[phase_filter("1")])) == ["a2"]
    conditions = {"field": "action_type", "values": ["3"]}
    assert list_actions(api, run, filters=[conditions]) == {}


def test_runs_are_filtered_by_label(api, run):
    for name, value in (("r1", "ml"), ("r2", "web")):
        message = {"runId": run_id(run) | {"name": name}, "labels": {"team": value, "x": "a:b"}}
        answer(api, "CreateRun", message, "TrackedRunService")

    def found(*labels):
        filters = [{"field": f"labels.{name}", "values": [value]} for name, value in labels]
        return [
            each["action"]["id"]["run"]["name"]
            for each in list_runs(api, run, filters=filters).get("runs", [])
        ]

    assert found(("team", "ml")) == ["r1"]
    assert sorted(found(("x", "a:b"))) == ["r1", "r2"]
    assert found(("team", "web"), ("x", "a:b")) == ["r2"]
    assert not found(("team", "other"))


@pytest.mark.parametrize(
    ("method", "filters"),
    [
        ("ListActions", [{"field": "labels.team", "values": ["ml"]}]),
        ("ListActions", [{"field": "phase", "function": "NOT_EQUAL", "values": ["1"]}]),
        ("ListActions", [{"field": "phase", "values": ["DONE"]}]),
        ("ListRuns", [{"field": "parent_name", "values": ["a0"]}]),
        ("ListRuns", [{"field": "labels.a:b", "values": ["c"]}]),
        ("ListRuns", [{"field": "labels.team", "function": "EXISTS"}]),
        ("ListRuns", [{"field": "labels.team", "values": ["x" * 9000]}]),
    ],
)
def test_unknown_filter_is_refused_in_words(api, run, method, filters):
    message = {"request": {"filters": filters}, "runId": run_id(run), "projectId": project_id(run)}
    assert_error(call(api, method, message), 400, "invalid_argument", filters[0]["field"])


def test_bad_token_and_paused_only_are_refused(api, run):
    message = {"request": {"token": "zz"}, "projectId": project_id(run)}
    assert_error(call(api, "ListRuns", message), 400, "invalid_argument", "cursor")
    message = {"pausedActionsOnly": True, "projectId": project_id(run)}
    assert_error(call(api, "ListRuns", message), 400, "invalid_argument", "paused_actions_only")


@pytest.mark.parametrize(
    ("method", "within"),
    [
        ("ListRuns", "projectId"),
        ("ListRuns", None),
        ("ListProjects", None),
        ("ListActions", "runId"),
        ("GetRunDetails", "runId"),
    ],
)
def test_organization_is_repeated_up_to_its_limit(api, run, method, within):
    post_run(api, run)

    def message(length):
        name = "organization" if within == "projectId" else "org"
        ids = {"projectId": project_id(run), "runId": run_id(run), None: {}}[within]
        said = {**ids, name: "o" * length}
        return {within: said} if within else said

    service = {}
    if method == "ListProjects":
        service = {"service": "ProjectService", "package": "flyteidl2.project"}
    assert "o" * 255 in json.dumps(answer(api, method, message(255), **service))
    assert_error(call(api, method, message(256), **service), 400, "invalid_argument", "org")


@pytest.mark.parametrize("service", SERVICES)
def test_details_have_attempts_errors_and_logs(api, run, service):
    post_run(api, run)
    message = {"actionId": action_id(run, "a1")}
    details = answer(api, "GetActionDetails", message, service)["details"]
    assert details["id"] == action_id(run, "a1")
    first, second = details["attempts"]
    assert first["errorInfo"] == {"message": "boom", "kind": "KIND_USER"}
    assert first["logInfo"] == [{"name": "out", "uri": "http://l"}]
    assert first["cluster"] == "c1"
    phases = [transition["phase"] for transition in first["phaseTransitions"]]
    assert phases == [f"ACTION_PHASE_{phase}" for phase in ("QUEUED", "RUNNING", "FAILED")]
    assert (second["attempt"], second["phase"]) == (2, "ACTION_PHASE_RUNNING")
    assert details["task"]["taskTemplate"]["id"]["name"] == "pkg.train"


@pytest.mark.parametrize("service", SERVICES)
def test_details_of_a_run_are_its_roots(api, run, service):
    post_run(api, run)
    details = answer(api, "GetRunDetails", {"runId": run_id(run)}, service)["details"]
    assert details["action"]["id"] == action_id(run, "a0")
    assert details["action"]["status"]["phase"] == "ACTION_PHASE_RUNNING"


def test_large_details_are_made_as_well(api, run):
    api.post_one(run.event("a0", parent=None))
    logs = [{"name": f"n{i}", "uri": "http://l/" + "u" * 100} for i in range(500)]
    api.post_one(run.event("a0", "RUNNING", logInfo=logs))
    message = {"actionId": action_id(run, "a0")}
    details = answer(api, "GetActionDetails", message)["details"]
    assert len(details["attempts"][0]["logInfo"]) == 500


def test_what_is_not_there_is_not_found(api, run):
    for method, message in (
        ("GetActionDetails", {"actionId": action_id(run, "a9")}),
        ("GetRunDetails", {"runId": run_id(run)}),
        ("ListActions", {"runId": run_id(run)}),
    ):
        assert_error(call(api, method, message), 404, "not_found", "There is no such")


@pytest.mark.parametrize("method", ["GetActionDetails", "GetRunDetails", "ListActions"])
def test_what_is_not_named_is_refused(api, method):
    assert_error(call(api, method, {}), 400, "invalid_argument", "run_id")


def test_projects_are_listed(api, run):
    post_run(api, run)
    found, token = [], ""
    while True:
        message = {"limit": 100, "org": "acme", "token": token}
        page = answer(api, "ListProjects", message, "ProjectService", "flyteidl2.project")
        found += page["projects"].get("projects", [])
        token = page["projects"].get("token", "")
        if not token:
            break
    project = next(each for each in found if each["id"] == run.project)
    assert run.domain in [domain["id"] for domain in project["domains"]]


@pytest.mark.parametrize("kind", ["runs", "tracked-runs"])
def test_address_that_the_sdk_prints_leads_to_the_page(api, kind):
    base = f"/v2/domain/a%2Fb/project/ml/{kind}/r 1"
    for query, place in (
        ("", "/#/runs/ml/a%2Fb/r%201"),
        ("?i=a%260", "/#/runs/ml/a%2Fb/r%201?action=a%260"),
    ):
        response = api.request("GET", base + query)
        assert (response.status_code, response.headers["location"]) == (302, place)


def test_requests_of_the_sdk_are_read(api):
    """In protocol buffers and gzip, as they were sent; of a project that is not there."""
    for name, method, status in (
        ("sdk-cli-get-run.ListRuns", "ListRuns", 200),
        ("sdk-cli-get-run-NAME.GetRunDetails", "GetRunDetails", 404),
        ("sdk-cli-get-action-RUN.ListActions", "ListActions", 404),
        ("sdk-cli-get-action-in-phase.ListActions", "ListActions", 404),
        ("sdk-cli-get-action-RUN-NAME.GetActionDetails", "GetActionDetails", 404),
    ):
        headers = {"Content-Type": "application/proto", "Content-Encoding": "gzip"}
        response = api.request("POST", path_of(method), content=recorded(name), headers=headers)
        assert response.status_code == status, (name, response.text)


def test_tokens_count_as_everywhere(guarded, run, open_api):
    api = open_api(guarded)
    writer = {"Authorization": f"Bearer {token_for(write=[f'{run.project}/*'])}"}
    reader = {"Authorization": f"Bearer {token_for(read=[f'{run.project}/*'])}"}
    answer(api, "RecordAction", {"actionId": action_id(run, "a0")}, "InternalRunService", **writer)
    for method, message in (
        ("GetActionDetails", {"actionId": action_id(run, "a0")}),
        ("GetRunDetails", {"runId": run_id(run)}),
        ("ListActions", {"runId": run_id(run)}),
        ("ListRuns", {"projectId": project_id(run)}),
    ):
        assert_error(call(api, method, message, **writer), 403, "permission_denied", "read")
        assert answer(api, method, message, **reader)
