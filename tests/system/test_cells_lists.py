"""Lists over several cells: one order, added up, and a cell that is away is named."""

import random

import pytest

from client import Api, assert_problem, until
from inventions import RunKey
from postgres import Postgres
from runtree import Runtree, cells
from tokens import CHECKS, KEYS, token_for, write_jwks

CELLS = ("1", "2", "3")
DOMAINS = (("ml", "development"), ("ml", "production"), ("acme/etl", "production"), ("zoo", "x"))
RUNS = 90


@pytest.fixture(scope="module")
def away():
    """A PostgreSQL that tests stop and start again."""
    cluster = Postgres()
    cluster.start()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="module")
def clusters(postgres, away):
    return (postgres, postgres, away)


@pytest.fixture(scope="module")
def databases(clusters):
    """The connection strings of three cells; the last is of a PostgreSQL of its own."""
    return [cluster.new_database() for cluster in clusters]


@pytest.fixture(scope="module")
def joint(databases, tmp_path_factory):
    """A runtree with these cells that wants tokens."""
    folder = tmp_path_factory.mktemp("joint")
    keys = write_jwks(folder / "keys.json", KEYS.values())
    runtree = Runtree(folder, "--auth", "jwt", "--auth-keys", str(keys), *CHECKS, *cells(databases))
    runtree.start()
    yield runtree
    runtree.stop()


def client_with(joint, **rights):
    return Api(joint.url, headers={"Authorization": f"Bearer {token_for(**rights)}"})


@pytest.fixture(scope="module")
def joint_api(joint):
    client = client_with(joint, read=["*/*"], write=["*/*"])
    yield client
    client.close()


@pytest.fixture(scope="module")
def runs(joint_api, clusters, databases):
    """What is in the databases: (project, domain, name, cell) in the order of the list. Many have
    the same time."""
    numbers = random.Random(15)
    events = []
    for i in range(RUNS):
        run = RunKey(*numbers.choice(DOMAINS), f"r{i}")
        time = f"2026-01-01T00:00:{numbers.randrange(8):02}Z"
        event = run.event("a0", "RUNNING", parent=None, updatedTime=time)
        events.append({**event, "run": {"labels": {"half": str(i % 2)}}})
    joint_api.post_all(events)
    found = []
    for cell, url, cluster in zip(CELLS, databases, clusters):
        rows = cluster.execute(url, "SELECT shown_at, project, domain, run_name FROM runs")
        found += [(*row, cell) for row in rows]
    assert {row[-1] for row in found} == set(CELLS)
    assert len(found) == RUNS
    return [row[1:] for row in sorted(found, reverse=True)]


def keys_of(listed):
    return [(run["project"], run["domain"], run["runName"]) for run in listed]


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_runs_of_all_cells_are_one_list(joint_api, runs, limit):
    listed = joint_api.read_all("/v1/runs", "runs", limit=limit)
    assert keys_of(listed) == [run[:3] for run in runs]


@pytest.mark.parametrize("limit", [3, 1000])
def test_scopes_and_filters(joint_api, runs, limit):
    listed = joint_api.read_all("/v1/projects/ml/domains/production/runs", "runs", limit=limit)
    assert keys_of(listed) == [run[:3] for run in runs if run[:2] == ("ml", "production")]
    listed = joint_api.read_all("/v1/runs", "runs", limit=limit, label="half:1")
    assert keys_of(listed) == [run[:3] for run in runs if int(run[2][1:]) % 2]
    listed = joint_api.read_all("/v1/runs", "runs", limit=limit, name="R1")
    assert keys_of(listed) == [run[:3] for run in runs if "r1" in run[2]]


@pytest.mark.parametrize("limit", [2, 1000])
def test_who_may_read_one_project_sees_its_runs_alone(joint, runs, limit):
    client = client_with(joint, read=["acme/etl/*"])
    listed = client.read_all("/v1/runs", "runs", limit=limit)
    projects = client.read_all("/v1/projects", "projects", limit=limit)
    client.close()
    assert keys_of(listed) == [run[:3] for run in runs if run[0] == "acme/etl"]
    assert [project["project"] for project in projects] == ["acme/etl"]


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_projects_are_added_up(joint_api, runs, limit):
    listed = joint_api.read_all("/v1/projects", "projects", limit=limit)
    pairs = [run[:2] for run in runs]
    assert [(p["project"], p["domain"], p["runs"]) for p in listed] == [
        (*pair, pairs.count(pair)) for pair in sorted(set(pairs))
    ]


def test_a_cell_that_is_away_is_named(joint, joint_api, runs, away):
    rest = [run[:3] for run in runs if run[3] != "3"]
    away.stop()
    try:
        until(lambda: "unavailableCells" in joint_api.read("/v1/runs"))
        first = joint_api.read("/v1/runs", limit=1)
        assert first["unavailableCells"] == ["3"]
        assert keys_of(joint_api.read_all("/v1/runs", "runs", limit=4)) == rest
        projects = joint_api.read("/v1/projects")
        assert projects["unavailableCells"] == ["3"]
        assert sum(project["runs"] for project in projects["projects"]) == len(rest)
        flyte = joint_api.post({}, path="/flyteidl2.workflow.RunService/ListRuns")
        assert flyte.headers["Runtree-Unavailable-Cells"] == "3"
        assert len(flyte.json()["runs"]) == len(rest)
    finally:
        away.start()
    joint.wait_until_ready()
    assert "unavailableCells" not in joint_api.read("/v1/runs")
    assert keys_of(joint_api.read_all("/v1/runs", "runs")) == [run[:3] for run in runs]


def test_all_cells_away(start_runtree, open_api):
    """As with one cell: nothing can be said."""
    gone = Postgres()
    gone.start()
    try:
        urls = (gone.new_database(), gone.new_database())
        runtree = start_runtree(*cells(urls))
        client = open_api(runtree)
        assert client.read("/v1/runs") == {"runs": []}
        gone.stop()
        until(lambda: client.get("/v1/runs").status_code == 503)
        assert_problem(client.get("/v1/projects"), 503, "unavailable")
    finally:
        gone.remove()
