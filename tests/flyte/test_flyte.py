"""What docs/flyte.md promises, with the real thing."""

import json
import time

import pytest

from conftest import DOMAIN, HERE, PROJECT

RUNS = f"/v1/projects/{PROJECT}/domains/{DOMAIN}/runs"
RUNNING, SUCCEEDED = 4, 5


def finish(process):
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


@pytest.fixture(scope="module")
def tracked(flyte, api):
    """The tree of a whole run: {name: action}."""
    code, output = finish(flyte.run("local-whole", "root", "--number", "3"))
    assert code == 0, output
    nodes = api.read(f"{RUNS}/local-whole/tree")["nodes"]
    return {node["action"]["name"]: node["action"] for node in nodes}


def of_task(tracked, name):
    return [action for action in tracked.values() if action["taskName"] == name]


def test_whole_run_is_reported(tracked, api):
    assert tracked["a0"]["taskName"] == "demo.root"
    assert {action["phase"] for action in tracked.values()} == {"SUCCEEDED", "FAILED"}
    run = api.read(f"{RUNS}/local-whole")
    assert (run["phase"], run["root"], run["waiting"]["count"]) == ("SUCCEEDED", "a0", 0)


def test_groups_and_traces_have_their_place(tracked):
    leaves = of_task(tracked, "demo.leaf")
    assert [(leaf["parent"], leaf["group"]) for leaf in leaves] == [("a0", "map")] * 3
    traces = of_task(tracked, "look")
    assert {trace["parent"] for trace in traces} == {leaf["name"] for leaf in leaves}


def test_retries_are_attempts_and_failures_have_their_error(tracked, api):
    (flaky,) = of_task(tracked, "demo.flaky")
    attempts = api.read(f"{RUNS}/local-whole/actions/{flaky['name']}")["attempts"]
    assert [attempt["phase"] for attempt in attempts] == ["FAILED", "FAILED", "SUCCEEDED"]
    assert "try 2" in attempts[1]["errorInfo"]["message"]
    (broken,) = of_task(tracked, "demo.broken")
    assert (broken["phase"], broken["errorInfo"]["kind"]) == ("FAILED", "USER")
    assert "no more" in broken["errorInfo"]["message"]


def test_inputs_and_outputs_are_said_not_to_be_kept(tracked, api):
    events = api.read(f"{RUNS}/local-whole/actions/a0/events")["events"]
    uris = [event["offloadedInputData"]["uri"] for event in events if "offloadedInputData" in event]
    assert uris == ["not-kept:tracked-runs/local-whole/a0/inputs.pb"]
    outputs = api.read(f"{RUNS}/local-whole/actions/a0")["attempts"][0]["outputs"]
    assert outputs["outputUri"].startswith("not-kept:")


def test_run_without_inputs_is_reported(flyte, api):
    code, output = finish(flyte.run("local-plain", "plain"))
    assert code == 0, output
    assert api.read(f"{RUNS}/local-plain")["phase"] == "SUCCEEDED"


def test_run_that_fails_says_so(flyte, api):
    finish(flyte.run("local-failing", "failing", "--text", "a b ü"))
    root = api.read(f"{RUNS}/local-failing/actions/a0")
    assert root["phase"] == "FAILED"
    assert "a b ü" in root["errorInfo"]["message"]


def test_commands_show_what_is_there(tracked, flyte):
    runs = {run["action"]["id"]["run"]["name"]: run["action"] for run in flyte.read("run")}
    assert runs["local-whole"]["metadata"]["task"]["id"]["name"] == "demo.root"
    actions = flyte.read("action", "local-whole")
    assert {action["id"]["name"] for action in actions} == tracked.keys()
    (flaky,) = of_task(tracked, "demo.flaky")
    details = flyte.read("action", "local-whole", flaky["name"])
    assert "'attempt': 3" in details
    assert "ValueError" in details
    assert "'phase': 'ACTION_PHASE_SUCCEEDED'" in flyte.read("run", "local-whole")
    assert PROJECT in [project["id"] for project in flyte.read("project")]


def test_what_is_not_there_is_said_in_words(tracked, flyte):
    code, output = flyte.command("get", "logs", "local-whole")
    assert (code, "runtree keeps no logs" in output) == (1, True), output
    code, output = flyte.command("get", "run", "local-none")
    assert code == 1, output
    assert "no such run" in output.lower() or "not found" in output.lower()


def test_sdk_waits_and_watches_while_it_runs(flyte, api):
    may_end = flyte.folder / "may-end"
    process = flyte.run("local-slow", "slow", "--until", str(may_end))
    deadline = time.monotonic() + 30
    while api.get(f"{RUNS}/local-slow").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    follower = flyte.start("python", str(HERE / "follow.py"), "local-slow")
    said = []
    while {"waiting": "running"} not in said or not any("seen" in line for line in said):
        line = follower.stdout.readline()
        assert line, "the follower has ended"
        said += [json.loads(line)] if line.startswith("{") else []
    (run,) = [
        run for run in flyte.read("run") if run["action"]["id"]["run"]["name"] == "local-slow"
    ]
    assert run["action"]["status"]["phase"] in ("ACTION_PHASE_RUNNING", "ACTION_PHASE_QUEUED")
    code, output = flyte.command("abort", "run", "local-slow", "--reason", "enough")
    assert code == 0, output
    assert api.read(f"{RUNS}/local-slow")["abortRequested"]["reason"] == "enough"
    may_end.touch()
    code, output = finish(process)
    assert code == 0, output
    code, output = finish(follower)
    assert code == 0, output
    said += [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert [line["seen"] for line in said if "seen" in line][0] == RUNNING
    assert [line["seen"] for line in said if "seen" in line][-1] == SUCCEEDED
    assert {"waited": "succeeded"} in said
