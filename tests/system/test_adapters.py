"""/v1/adapters/: the HTTP side of it, which is the same for all tools."""

import base64
import gzip
import json
import urllib.parse

import httpx
import pytest

from adapters import adapter_path, unmapped
from client import assert_problem
from inventions import at
from tokens import token_for


def cloudevent(**data):
    return {"specversion": "1.0", "id": "1", "source": "/t", "type": "action", "data": data}


ROOT = {"runName": "r1", "name": "a0", "phase": "RUNNING", "parent": None}


def basic(password, user="anybody"):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_events_go_to_the_project_and_domain_of_the_url(api, run):
    event = cloudevent(**ROOT, project="elsewhere", domain="too")
    response = api.post(event, path=adapter_path("cloudevents", run))
    assert response.status_code == 200
    assert response.json() == {"events": 1, "rejected": 0, "unmapped": 0}
    assert api.read(run.path)["phase"] == "RUNNING"


@pytest.mark.parametrize("rest", ["", "/", "/a", "/a/b/c?d=e&d=f"])
def test_rest_of_the_url_is_the_tools(api, run, rest):
    path = f"/v1/adapters/cloudevents/{run.project}/{run.domain}{rest}"
    assert api.post(cloudevent(**ROOT), path=path).json()["events"] == 1


@pytest.mark.parametrize("size", [1, 200_000])
def test_body_may_be_packed_and_large(api, run, size):
    body = gzip.compress(json.dumps(cloudevent(**ROOT, cluster="c" * size)).encode())
    response = api.request(
        "POST",
        adapter_path("cloudevents", run),
        content=body,
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )
    assert response.json() == {"events": 1, "rejected": 0, "unmapped": 0}
    assert api.read(run.path)["actionCount"] == 1


def test_unknown_tool_and_bad_project_are_told(api, run):
    path = f"/v1/adapters/abacus/{run.project}/{run.domain}/x"
    assert_problem(api.post({}, path=path), 404, "not-found")
    response = api.post({}, path="/v1/adapters/cloudevents/-/development/x")
    assert_problem(response, 400, "invalid-field")
    assert "project" in response.json()["detail"]


def test_what_is_not_mapped_is_answered_counted_and_logged_once(start_runtree, database, run):
    runtree = start_runtree(database_url=database)
    url = runtree.url + adapter_path("cloudevents", run)
    for body in (b"no JSON", b"\xff", b""):
        response = httpx.post(url, content=body)
        assert response.status_code == 200
        assert response.json() == {"events": 0, "rejected": 0, "unmapped": 1}
    assert httpx.get(url).status_code == 200
    assert unmapped(runtree.url, "cloudevents", "body") == 3
    assert unmapped(runtree.url, "cloudevents", "path") == 1
    lines = [json.loads(line) for line in runtree.log().splitlines() if '"not mapped"' in line]
    assert [(line["tool"], line["kind"]) for line in lines] == [
        ("cloudevents", "body"),
        ("cloudevents", "path"),
    ]
    assert lines[0]["project"] == run.project and "line 1" in lines[0]["detail"]


def test_rejected_event_is_answered_and_counted_too(start_runtree, database, run):
    runtree = start_runtree(database_url=database)
    response = httpx.post(
        runtree.url + adapter_path("cloudevents", run), json=cloudevent(**ROOT | {"phase": "LOST"})
    )
    assert response.status_code == 200
    assert response.json() == {"events": 1, "rejected": 1, "unmapped": 0}
    assert unmapped(runtree.url, "cloudevents", "rejected") == 1


def test_body_over_the_limit_is_refused(api, run):
    response = api.post(b" " * (4 * 1024 * 1024 + 1), path=adapter_path("cloudevents", run))
    assert_problem(response, 413, "payload-too-large")


def test_token_may_be_the_password_of_basic(ask, run):
    path = adapter_path("cloudevents", run)
    writer = token_for(write=[f"{run.project}/{run.domain}"])
    stranger = token_for(write=["other/development"])
    for authorization, status in (
        (f"Bearer {writer}", 200),
        (basic(writer), 200),
        (basic(writer, user=""), 200),
        (basic(stranger), 403),
        (basic("no token"), 401),
        (basic(""), 401),
        ("Basic !", 401),
        (None, 401),
    ):
        headers = {"Authorization": authorization} if authorization else {}
        response = ask("POST", path, headers=headers, json=cloudevent(**ROOT))
        assert response.status_code == status, (authorization, response.text)


def test_basic_is_for_tools_only(ask, run, master):
    headers = {"Authorization": basic(master)}
    assert ask("GET", "/v1/runs", headers=headers).status_code == 401
    assert ask("POST", "/v1/events", headers=headers, json=run.event()).status_code == 401


def test_rate_limit_counts_the_events(start_runtree, database, run):
    runtree = start_runtree("--rate-limit-events", "1", database_url=database)
    batch = [cloudevent(**ROOT | {"version": version}) for version in range(11)]
    url = runtree.url + adapter_path("cloudevents", run)
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    assert httpx.post(url, json=batch, headers=headers).status_code == 200
    assert httpx.post(url, json=batch, headers=headers).status_code == 429


BATCH = "application/cloudevents-batch+json"


def test_events_are_answered_as_cloudevents(api, run, twin, open_api):
    """A page at a time; and another service takes them as they are."""
    name = "ALIGN (s1)/é"
    events = [
        run.event(name, "QUEUED", parent=None, updatedTime=at(0), note={"revision": 1}),
        run.event(name, "RUNNING", updatedTime=at(1)),
        run.event(name, "SUCCEEDED", updatedTime=at(2), recordedAt="on tape"),
    ]
    api.post_all(events)
    path = f"{run.path}/actions/{urllib.parse.quote(name, safe='')}/events"
    listed = api.read(path)["events"]
    found, target = [], f"{path}?limit=2&attempt=1"
    while target:
        response = api.request("GET", target, headers={"Accept": f"text/html, {BATCH};q=1"})
        assert response.headers["content-type"] == BATCH
        found += response.json()
        link = response.links.get("next", {}).get("url")
        target = link and path + link
    assert [it["data"] for it in found] == listed
    assert [it["id"] for it in found] == [f"{name}/1/{it['phase']}/0" for it in listed]
    assert found[0] | {"data": {}} == {
        "specversion": "1.0",
        "id": f"{name}/1/QUEUED/0",
        "source": run.path,
        "type": "runtree.action-event",
        "subject": name,
        "time": at(0),
        "datacontenttype": "application/json",
        "data": {},
    }
    copy = type(run)(f"{run.project}-copy", run.domain, run.name)
    answer = open_api(twin).post(found, BATCH, adapter_path("cloudevents", copy))
    assert answer.json() == {"events": 3, "rejected": 0, "unmapped": 0}
    copied = api.read(path.replace(run.project, copy.project))["events"]
    own = ("project", "revision", "recordedAt", "asReceived")
    assert [{k: v for k, v in it.items() if k not in own} for it in copied] == [
        {k: v for k, v in it.items() if k not in own} for it in listed
    ]
    assert copied[2]["asReceived"]["recordedAt"] == "on tape"


@pytest.mark.parametrize("accept", ["*/*", "application/json", f"{BATCH}x", "application/*"])
def test_events_are_answered_as_they_are_to_others(api, run, accept):
    api.post_one(run.event())
    response = api.request("GET", f"{run.path}/actions/a0/events", headers={"Accept": accept})
    assert response.headers["content-type"] == "application/json"


def test_no_such_action_for_who_wants_cloudevents(api, run):
    headers = {"Accept": BATCH}
    response = api.request("GET", f"{run.path}/actions/a0/events", headers=headers)
    assert_problem(response, 404, "not-found")


def test_one_request_may_become_more_events_than_a_batch_has(api, run):
    """The start of a DAG queues its 6,000 tasks."""
    tasks = {f"t{number}": {} for number in range(6000)}
    dag = {
        "eventType": "START",
        "eventTime": at(0),
        "run": {"runId": "01a21405-68bf-7002-b061-20ff6e971d03"},
        "job": {"name": "etl", "facets": {"airflow": {"tasks": tasks}}},
    }
    response = api.post(dag, path=adapter_path("openlineage", run))
    assert response.json() == {"events": 6001, "rejected": 0, "unmapped": 0}
    assert api.read(f"{run.base}/runs/etl-20ff6e971d03")["phaseCounts"] == {
        "QUEUED": 6000,
        "RUNNING": 1,
    }


def test_message_that_is_not_mapped_is_kept_with_its_run(api, run):
    path = adapter_path("openlineage", run)
    event = {
        "eventType": "START",
        "eventTime": at(0),
        "run": {"runId": "01a21405-68bf-7002-b061-20ff6e971d03"},
        "job": {"name": "etl"},
    }
    odd = event | {"eventType": "PONDERING", "of": ["this", 1.5]}
    for message in (odd, event, odd, event | {"eventType": "COMPLETE"}):
        assert api.post(message, path=path).status_code == 200
    tree = f"{run.base}/runs/etl-20ff6e971d03"
    assert api.read(tree)["phase"] == "SUCCEEDED"
    kept = api.read(f"{tree}/actions/unmapped:openlineage")
    assert (kept["phase"], kept["parent"]) == ("SKIPPED", "etl")
    assert kept["createdAt"] == kept["endedAt"] == at(0)  # its own, whenever it came
    (only,) = api.read(f"{tree}/actions/unmapped:openlineage/events")["events"]
    assert json.loads(only["unmapped"]["message"]) == odd
    assert only["unmapped"]["kind"] == "type" and "PONDERING" in only["unmapped"]["detail"]


def test_message_that_cannot_be_kept_is_answered_all_the_same(api, run):
    """The action that would keep it is somebody's own, and stands elsewhere."""
    etl = type(run)(run.project, run.domain, "etl-20ff6e971d03")
    api.post_all([etl.event("unmapped:openlineage", "RUNNING", parent=None)])
    odd = {
        "eventType": "PONDERING",
        "run": {"runId": "01a21405-68bf-7002-b061-20ff6e971d03"},
        "job": {"name": "etl"},
    }
    answer = api.post(odd, path=adapter_path("openlineage", run))
    assert answer.json() == {"events": 1, "rejected": 1, "unmapped": 1}


@pytest.mark.parametrize("end", ["", "/"])
def test_url_without_a_domain_is_told(api, run, end):
    response = api.post({}, path=f"/v1/adapters/openlineage/{run.project}/api/v1/lineage{end}")
    assert_problem(response, 404, "not-found")
    assert "must end with a slash" in response.json()["detail"]


def test_tool_is_told_to_come_again_without_a_database(start_runtree, run):
    runtree = start_runtree(database_url="postgresql://127.0.0.1:1/none", until="/healthz")
    url = runtree.url + adapter_path("cloudevents", run)
    response = httpx.post(url, json=cloudevent(**ROOT))
    assert response.status_code == 503 and "Retry-After" in response.headers


def test_event_that_is_rejected_is_kept_with_its_run(api, run):
    """A task that another message puts under another parent."""
    path = adapter_path("openlineage", run)
    dag, task = "01a21405-68bf-7002-b061-20ff6e971d03", "01a21405-68bf-7e3f-be86-7a4fb8f9b85f"

    def message(parent, time=0):
        root = {"run": {"runId": dag}, "job": {"name": "etl"}}
        family = {"run": {"runId": parent}, "job": {"name": "etl"}, "root": root}
        return {
            "eventType": "RUNNING",
            "eventTime": at(time),
            "run": {"runId": task, "facets": {"parent": family}},
            "job": {"name": "save"},
        }

    start = {"eventType": "START", "run": {"runId": dag}, "job": {"name": "etl"}}
    for sent, events in ((start, 1), (message(dag), 2)):  # it tells of its root, too
        assert api.post(sent, path=path).json() == {"events": events, "rejected": 0, "unmapped": 0}
    odd = message(task[:-1] + "0", time=1)
    for _ in range(2):
        answer = api.post(odd, path=path)
        assert answer.json() == {"events": 1, "rejected": 1, "unmapped": 0}
    tree = f"{run.base}/runs/etl-20ff6e971d03"
    (only,) = api.read(f"{tree}/actions/unmapped:openlineage/events")["events"]
    assert only["unmapped"]["kind"] == "rejected" and "parent" in only["unmapped"]["detail"]
    assert only["updatedTime"][:23] == at(1)[:23]
    kept = json.loads(only["unmapped"]["message"])
    assert kept["name"] == "save-7a4fb8f9b85f" and kept["openLineage"] == odd


def test_event_whose_alias_is_another_actions_is_recorded_without(api, run):
    """Two jobs that say the same run id; and what names it as its parent is below the first."""
    path = adapter_path("openlineage", run)
    dag, shared = "01a21405-68bf-7002-b061-20ff6e971d03", "01a21405-68bf-7e3f-be86-7a4fb8f9b85f"

    def message(kind, job, run_id, parent, name):
        family = {"run": {"runId": parent}, "job": {"name": name}}
        family["root"] = {"run": {"runId": dag}, "job": {"name": "etl"}}
        return {
            "eventType": kind,
            "eventTime": at(1),
            "run": {"runId": run_id, "facets": {"parent": family}},
            "job": {"name": job},
        }

    below = message("START", "below", shared[:-1] + "0", shared, "one")
    kinds, jobs = ("START", "COMPLETE"), ("one", "two")
    sent = [message(kind, job, shared, dag, "etl") for kind in kinds for job in jobs]
    for _ in range(2):
        answers = [api.post(it, path=path).json() for it in (*sent, below)]
        assert [it["unmapped"] for it in answers] == [0] * 5
    actions = api.read_all(f"{run.base}/runs/etl-20ff6e971d03/actions", "actions")
    assert {it["name"]: (it["parent"], it["phase"]) for it in actions} == {
        "etl": (None, "RUNNING"),
        "one-7a4fb8f9b85f": ("etl", "SUCCEEDED"),
        "two-7a4fb8f9b85f": ("etl", "SUCCEEDED"),
        "below-7a4fb8f9b850": ("one-7a4fb8f9b85f", "RUNNING"),
    }
