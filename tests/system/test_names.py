"""Names as the tools of the world have them: recorded, read, watched, paged and deleted as they are."""

import json
import random
import unicodedata

import pytest

from client import assert_problem, until
from inventions import RunKey, segment
from sse import EventStream, TreeWatcher
from tokens import token_for
from watching import snapshot, watch

NAMES = [
    "hello-world-xf92k[0].build(1:linux,arm64)",
    "manual__2024-04-12T08:00:00.123456+00:00",
    "scheduled__2024-04-12T08:00:00+00:00",
    "_private",
    "task[0]",
    "map_index={0}",
    "NFCORE_RNASEQ:RNASEQ:ALIGN (s1)",
    "caller / job (ubuntu-latest, 3.12)",
    "order/42#retry?x=1&y=2",
    "model.proj.orders.v2",
    "a/../b",
    "...",
    "/",
    "//",
    " leading and trailing ",
    "100%",
    "%2F",
    "a%2Fb%25",
    "+plus+",
    "\"quoted\" \\ 'single' `tick`",
    "<script>alert(1)</script>",
    "caf\u00e9",
    "cafe\u0301",
    "\u05e9\u05dc\u05d5\u05dd \u202eevil",
    "\u8a13\u7df4",
    "\U0001f680\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u2028\u2029\u00a0\ufeff",
    "\ud7ff\ue000\uffff\U0010ffff",
    "-",
    "~",
    "x" * 512,
    "\u00e9" * 256,
    "\U0001f680" * 128,
]

# Of each pair nothing may make one name.
ALIKE = [
    ("caf\u00e9", "cafe\u0301"),
    ("Build", "build"),
    ("stra\u00dfe", "strasse"),
    ("\u212b", "\u00c5"),
    ("I", "\u0131"),
    ("a", "\uff41"),
    ("a b", "a%20b"),
    ("a/b", "a%2Fb"),
    ("a", "a "),
    ("a", "a\u200b"),
    ("a+b", "a b"),
    ("task[10]", "task[9]"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_and_the_same_everywhere(api, open_stream, run, name):
    """As the name of a run, of its root and of a parent."""
    run = RunKey(run.project, run.domain, name)
    child = segment("child of " + name[:20])
    lists = open_stream(f"{run.base}/runs/watch")
    lists.read_until("synced")
    assert api.post_one(run.event(name, "RUNNING", parent=None))["status"] == "applied"
    put = api.put(f"{run.action_path(child)}/events/1/QUEUED/0", {"parent": name})
    assert put.status_code == 201, put.text
    assert api.post_one(run.event(name, "RUNNING", parent=None))["status"] == "duplicate"

    assert lists.read_until("runUpdate")[-1].data["runName"] == name
    summary = api.read(run.path)
    assert (summary["runName"], summary["root"], summary["actionCount"]) == (name, name, 2)
    assert api.read(f"{run.base}/runs")["runs"] == [summary]
    assert api.read("/v1/runs", project=run.project, name=name[:50])["runs"] == [summary]
    listed = api.read_all(f"{run.path}/actions", "actions", limit=1)
    assert [action["name"] for action in listed] == [name, child]
    assert [a["name"] for a in api.read(f"{run.path}/actions", parent=name)["actions"]] == [child]
    assert api.read(run.action_path(name))["name"] == name
    events = api.read_all(f"{run.action_path(name)}/events", "events", limit=1)
    assert [(event["name"], event["runName"]) for event in events] == [(name, name)]
    tree = api.read(f"{run.path}/tree")
    assert {node["action"]["name"]: node["action"]["parent"] for node in tree["nodes"]} == {
        name: None,
        child: name,
    }
    watcher, stream = snapshot(open_stream, watch(run))
    assert set(watcher.nodes) == {name, child}
    api.post_one(run.event(child, "SUCCEEDED"))
    watcher.follow_until(stream, lambda nodes: nodes[child]["action"]["phase"] == "SUCCEEDED")

    assert api.request("DELETE", run.path).status_code == 204
    assert watcher.follow(stream, "reset").data is not None
    lists.read_until(lambda frame: bool(frame.data) and frame.data.get("deleted"))
    assert api.get(run.path).status_code == 404


@pytest.mark.parametrize("one, other", ALIKE)
def test_names_that_look_alike_are_two(api, run, one, other):
    runs = [RunKey(run.project, run.domain, name) for name in (one, other)]
    for key in runs:
        results = api.post_all([key.event(name, parent=None) for name in (one, other)])
        assert [result["revision"] for result in results] == [1, 2]
    listed = api.read_all(f"{run.base}/runs", "runs", limit=1)
    assert {summary["runName"] for summary in listed} == {one, other}
    for name in (one, other):
        assert api.read(runs[0].action_path(name))["name"] == name
    api.request("DELETE", runs[0].path)
    assert api.get(runs[1].path).status_code == 200


def test_pages_of_runs_are_in_the_order_of_bytes(start_runtree, open_api, postgres):
    """Of runs that were seen in the same moment, which only the database can be told."""
    url = postgres.new_database()
    api = open_api(start_runtree(database_url=url))
    names = [unicodedata.normalize("NFC", name) for name in NAMES] + ["A", "a", "\u00c4", "Z"]
    names = sorted(set(names), key=lambda name: name.encode())
    shuffled = random.Random(1).sample(names, len(names))
    api.post_all([RunKey("owner/repo", "ci", name).event(parent=None) for name in shuffled])
    postgres.execute(url, "UPDATE runs SET first_seen_at = '2026-01-01'")
    for limit in (1, 3):
        listed = api.read_all("/v1/projects/owner%2Frepo/domains/ci/runs", "runs", limit=limit)
        assert [summary["runName"] for summary in reversed(listed)] == names
    assert api.read_all("/v1/projects", "projects", limit=1) == [
        {"project": "owner/repo", "domain": "ci", "runs": len(names)}
    ]


def test_parts_of_a_key_that_hold_slashes_stay_apart(api, run):
    """project, domain and run of each read the same when a slash joins them."""
    keys = [
        RunKey(f"{run.project}/a/b", "c", "d"),
        RunKey(f"{run.project}/a", "b", "c/d"),
        RunKey(run.project, "a", "b/c/d"),
    ]
    for number, key in enumerate(keys):
        events = [key.event(f"a{index}", parent=None) for index in range(number + 1)]
        api.post_all(events)
    for number, key in enumerate(keys):
        assert api.read(key.path)["actionCount"] == number + 1
        assert api.read(f"{key.base}/runs")["runs"][0]["project"] == key.project
    assert api.request("DELETE", keys[1].path).status_code == 204
    assert [api.get(key.path).status_code for key in keys] == [200, 404, 200]


@pytest.mark.parametrize("name", ["order/42#x", "a\u0301 / \U0001f680 %2F", "\u00e9" * 256])
def test_a_stream_resumes_on_the_other_runtree(server, twin, api, run, name):
    run = RunKey(run.project + "/sub", run.domain, name)
    api.post_one(run.event(name, "RUNNING", parent=None))
    watcher = TreeWatcher(watch(run))
    for number, runtree in enumerate((server, twin, server, twin)):
        stream = watcher.connect(runtree.url)
        watcher.follow(stream, "synced")
        api.post_one(run.event(f"{number}/{name}"[:200], "RUNNING", parent=name))
        watcher.follow_until(stream, lambda nodes: len(nodes) == number + 2)
        stream.close()
    assert watcher.resets == 0


def test_the_list_of_runs_is_live_on_the_other_runtree(twin, api, run):
    run = RunKey(run.project + "/sub", run.domain, "a/b#\u00e9")
    with EventStream(twin.url, f"{run.base}/runs/watch") as stream:
        stream.read_until("synced")
        api.post_one(run.event(parent=None))
        assert stream.read_until("runUpdate")[-1].data["runName"] == run.name
        api.request("DELETE", run.path)
        deleted = stream.read_until(lambda frame: bool(frame.data) and frame.data.get("deleted"))
        assert deleted[-1].data["project"] == run.project


def test_a_pattern_gives_one_project_and_one_domain(ask, master, run):
    keys = {
        "whole": RunKey(f"{run.project}/repo", "ci", "a/b"),
        "owner": RunKey(run.project, "repo", "ci"),
        "other": RunKey(f"{run.project}/repo/ci", "x", "y"),
    }
    events = [key.event(parent=None) for key in keys.values()]
    assert ask("POST", "/v1/events", master, json={"events": events}).status_code == 200

    def readable(*patterns):
        token = token_for(read=list(patterns))
        listed = ask("GET", "/v1/runs?name=", token).json()["runs"]
        mine = {summary["project"] for summary in listed}
        for key in keys.values():
            allowed = ask("GET", key.path, token).status_code
            assert allowed == (200 if key.project in mine else 403), key
        return mine

    assert readable(f"{run.project}/repo/ci") == {keys["whole"].project}
    assert readable(f"{run.project}/*") == {keys["owner"].project}
    assert readable(f"{run.project}/repo/*") == {keys["whole"].project}
    token = token_for(write=[f"{run.project}/repo/ci"])
    posted = ask("POST", "/v1/events", token, json={"events": [
        key.event(phase="RUNNING") for key in keys.values()
    ]})
    assert [result["status"] for result in posted.json()["results"]] == [
        "applied", "rejected", "rejected",
    ]


def test_what_an_answer_says_of_a_name_is_json(api, run):
    """Quotes and backslashes in the name of a parent that is waited for, and in a conflict."""
    parent, other = "\"p\\", "o" * 512
    result = api.post_one(run.event("a", parent=parent))
    assert parent in result["detail"]
    api.post_one(run.event(other, parent=None))
    problem = assert_problem(
        api.post(run.event("a", "RUNNING", parent=other)), 409, "parent-conflict", "/parent"
    )
    assert parent in problem["detail"] and other in problem["detail"]


def test_a_log_line_with_a_name_is_json(start_runtree, open_api):
    runtree = start_runtree("--log-level", "debug")
    run = RunKey("owner/repo", "ci", "\"r\\ / \U0001f680")
    api = open_api(runtree)
    api.post_one(run.event(parent=None))
    with EventStream(runtree.url, watch(run)) as stream:
        stream.read_until("synced")
        api.request("DELETE", run.path)
        stream.read_until("reset")

    def lines():
        return [json.loads(line) for line in runtree.log().split("\n") if line]

    until(lambda: any(line.get("path") == run.path for line in lines()))
    until(lambda: any(line.get("run") == f"owner/repo/ci/{run.name}" for line in lines()))


def test_a_truncated_event_keeps_its_name(api, run):
    name = "\u00e9" * 256
    event = run.event(name, parent=None, outputs={"text": "x" * 300_000})
    assert api.post_one(event)["truncated"]
    assert api.read(run.action_path(name))["name"] == name


def test_a_run_that_is_called_watch(api, run, open_stream):
    """Its address is that of the watch of the list, too."""
    run = RunKey(run.project, run.domain, "watch")
    json_only = {"Accept": "application/json"}

    def ask(path, headers, method="GET"):
        return api.request(method, path, headers=headers)

    assert_problem(ask(run.path, json_only), 404, "not-found")
    api.post_one(run.event("a0", "RUNNING", parent=None))
    answer = ask(run.path, json_only)
    assert answer.json() == api.read(f"{run.base}/runs")["runs"][0]
    assert ask(run.path, json_only, "HEAD").status_code == 200
    assert_problem(ask(f"{run.path}?limit=3", json_only), 406, "not-acceptable")
    assert_problem(ask("/v1/runs/watch", json_only), 406, "not-acceptable")
    assert_problem(ask(run.path, {"Accept": "text/html"}), 406, "not-acceptable")
    for accepted in ("*/*", "application/json, text/event-stream"):
        stream = open_stream(run.path, headers={"Accept": accepted})
        assert stream.read_until("runUpdate")[-1].data["runName"] == "watch"
    assert api.request("DELETE", run.path).status_code == 204
    assert_problem(ask(run.path, json_only), 404, "not-found")
