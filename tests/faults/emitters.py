"""Other tools, by their recordings: each request comes once and again, in some disorder, until it is
answered. However that went, the trees are the same."""

import time
import urllib.parse

import httpx

from adapters import adapter_path, recorded
from inventions import RunKey
from posters import LATER, PATIENCE_SECONDS

RECORDINGS = {"airflow-dbt": "openlineage", "dbt-end": "openlineage", "nextflow": "nextflow"}
PROJECT = "emitters"
VARYING = ("domain", "revision", "ordinal", "incarnation", "firstSeenAt", "lastEventAt")


def emit_all(url, ledger, rng, lap):
    """One recording after the other, each twice: the trees of both must be the same."""
    for recording, tool in RECORDINGS.items():
        trees = []
        for delivery in ("one", "another"):
            scope = RunKey(PROJECT, f"lap{lap}-{recording}-{delivery}", "")
            requests = recorded(recording)
            with httpx.Client(base_url=url, timeout=10) as client:
                for request in rng.sample(requests * 2, 2 * len(requests)):
                    path = adapter_path(tool, scope)
                    answer = ask(client, ledger, "POST", path, json=request["json"]).json()
                    assert answer["rejected"] == answer["unmapped"] == 0, answer
                trees.append(read_tree(client, ledger, scope))
        assert trees[0] == trees[1], f"{recording}: {trees}"
        ledger.count("recorded runs emitted and compared")


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
