"""Other tools, by their recordings or as they would say it: each request comes once and again, in some
disorder, until it is answered. However that went, the trees are the same."""

import time
import urllib.parse

import httpx

import flyte
from adapters import recorded, sending
from inventions import RunKey
from posters import LATER, PATIENCE_SECONDS

RECORDINGS = {"airflow-dbt": "openlineage", "dbt-end": "openlineage", "nextflow": "nextflow",
              "github": "github", "snakemake": "snakemake", "snakemake-7": "snakemake",
              "snakemake-8": "snakemake",
              "ray": "ray"}
PROJECT = "emitters"
VARYING = ("domain", "revision", "ordinal", "incarnation", "firstSeenAt", "lastEventAt")


def emit_all(url, ledger, rng, lap):
    """One recording after the other, each twice: the trees of both must be the same."""
    for recording in (*RECORDINGS, "flyte"):
        trees = []
        for delivery in ("one", "another"):
            scope = RunKey(PROJECT, f"lap{lap}-{recording}-{delivery}", "r1")
            requests = requests_of(recording, scope)
            with httpx.Client(base_url=url, timeout=10) as client:
                for where, what in rng.sample(requests * 2, 2 * len(requests)):
                    answer = ask(client, ledger, *where, **what).json()
                    assert not answer.get("rejected") and not answer.get("unmapped"), answer
                    if recording == "flyte":
                        assert not answer.get("status", {}).get("code"), answer
                trees.append(read_tree(client, ledger, scope))
        assert trees[0] == trees[1], f"{recording}: {trees}"
        ledger.count("recorded runs emitted and compared")


def requests_of(recording, scope):
    """(method, path) of each, and what is sent there."""
    if recording == "flyte":
        return flyte_requests(scope)
    return [sending(RECORDINGS[recording], scope, it) for it in recorded(recording)]


def flyte_requests(scope):
    """An executor's, of an action below the root that fails and is tried again."""

    def event(name, attempt, phase, second, **members):
        time = f"2026-04-12T08:00:{second:02}Z"
        key = {"id": flyte.action_id(scope, name), "attempt": attempt, "phase": phase}
        return key | {"updatedTime": time} | members

    def status(name, phase, **members):
        message = {"actionId": flyte.action_id(scope, name), "status": {"phase": phase, **members}}
        return "UpdateActionStatus", message

    a1 = {"actionId": flyte.action_id(scope, "a1"), "parent": "a0", "group": "map"}
    calls = [
        ("RecordAction", {"actionId": flyte.action_id(scope, "a0")}),
        ("RecordAction", a1 | {"task": {"id": {"name": "pkg.train"}}}),
        status("a0", 4, startTime="2026-04-12T08:00:00Z"),
        status("a1", 6, attempts=1, endTime="2026-04-12T08:00:05Z"),
        status("a0", 5, attempts=1, endTime="2026-04-12T08:00:20Z"),
    ]
    events = [
        event("a0", 1, 1, 0),
        event("a0", 1, 4, 1),
        event("a1", 1, 1, 2),
        event("a1", 1, 4, 3, version=1, cluster="c"),
        event("a1", 1, 6, 5, errorInfo={"message": "boom", "kind": "KIND_USER"}),
        event("a1", 2, 4, 7),
        event("a1", 2, 5, 9),
        event("a0", 1, 5, 20),
    ]
    calls += [("RecordActionEvents", {"events": events[i : i + 3]}) for i in range(0, 8, 2)]
    return [
        (("POST", flyte.path_of(method, "InternalRunService")), {"json": message})
        for method, message in calls
    ]


def ask(client, ledger, method, path, **options):
    """Repeats it, as these tools do and more patiently, until it is answered."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            response = client.request(method, path, **options)
        except httpx.TransportError:
            ledger.count("requests without an answer")
        else:
            if response.status_code not in LATER:
                assert response.status_code == 200, f"{path}: {response.text}"
                return response
            ledger.count(f"requests answered {response.status_code}")
        assert time.monotonic() < deadline, f"{path}: no answer for {PATIENCE_SECONDS} s"
        time.sleep(0.1)


def read_tree(client, ledger, scope):
    """The runs of the scope and their actions, without what differs from one delivery to the next."""
    found = []
    for run in ask(client, ledger, "GET", f"{scope.base}/runs").json()["runs"]:
        name = urllib.parse.quote(run["runName"], safe="")
        path = f"{scope.base}/runs/{name}/actions"
        actions = ask(client, ledger, "GET", path, params={"limit": 1000}).json()["actions"]
        found.append((plain(run), sorted((plain(it) for it in actions), key=lambda it: it["name"])))
    return found


def plain(record):
    return {member: value for member, value in record.items() if member not in VARYING}
