"""Several databases that share the runs: which has which, and what one that is away costs."""

import re

import httpx
import pytest

from client import assert_problem, until
from inventions import RunKey
from postgres import Postgres
from runtree import run_to_exit

RUNS = 40


@pytest.fixture(scope="module")
def servers():
    """Three PostgreSQL servers; a test that stops one starts it again."""
    clusters = [Postgres() for _ in range(3)]
    for cluster in clusters:
        cluster.start()
    yield clusters
    for cluster in clusters:
        cluster.remove()


@pytest.fixture
def databases(servers):
    """An empty database on each of them."""
    return [cluster.new_database() for cluster in servers]


def flags(urls):
    return [argument for url in urls for argument in ("--database-url", url)]


@pytest.fixture
def two(start_runtree, databases):
    return start_runtree(*flags(databases[:2]))


@pytest.fixture
def api(two, open_api):
    return open_api(two)


def runs_of(project, count=RUNS):
    return [RunKey(project, "development", f"r{number}") for number in range(count)]


def stored(cluster, url):
    return {name for (name,) in cluster.execute(url, "SELECT run_name FROM runs")}


def roots(runs, phase="RUNNING"):
    return [run.event("a0", phase, parent=None) for run in runs]


def cell_metric(url, name, cell):
    text = httpx.get(f"{url}/metrics").text
    return float(re.search(rf'^{name}{{cell="{cell}"}} (\S+)$', text, re.MULTILINE)[1])


def test_a_batch_goes_to_the_cells_of_its_runs_and_is_answered_in_its_order(
    two, api, servers, databases
):
    runs = runs_of("spread")
    events = [event for run in runs for event in (run.event("a0", "RUNNING", parent=None),)]
    events.insert(7, runs[0].event("a1", "NO SUCH PHASE"))
    response = api.post({"events": events})
    assert response.status_code == 207
    results = response.json()["results"]
    assert [result["status"] for result in results] == ["applied"] * 7 + ["rejected"] + [
        "applied"
    ] * (RUNS - 7)
    first, second = (stored(*pair) for pair in zip(servers[:2], databases[:2]))
    assert first | second == {run.name for run in runs} and not first & second
    assert len(first) > RUNS / 4 and len(second) > RUNS / 4
    for run in runs:
        assert api.read(run.path)["actionCount"] == 1
        assert len(api.read(f"{run.path}/tree")["nodes"]) == 1
    assert {result["status"] for result in api.post_all(roots(runs))} == {"duplicate"}
    for run in runs[::3]:
        assert api.post(b"", path=f"{run.path}/abort").status_code == 200
        assert api.read(f"{run.path}/actions/a0")["abortRequested"]
        assert api.request("DELETE", run.path).status_code == 204
        assert api.get(run.path).status_code == 404
    committed = [cell_metric(two.url, "runtree_write_batches_total", cell) for cell in "12"]
    assert all(committed)
    assert [cell_metric(two.url, "runtree_cell_up", cell) for cell in "12"] == [1, 1]


def test_a_cell_that_is_away_costs_only_its_runs(two, api, servers, databases):
    runs = runs_of("away")
    api.post_all(roots(runs))
    there = stored(servers[0], databases[0])
    servers[1].stop()
    try:
        # One of two is half of them.
        until(lambda: api.read("/readyz").get("unavailableCells") == ["2"])
        for run in runs:
            assert api.get(run.path).status_code == (200 if run.name in there else 503)
        response = api.post({"events": roots(runs, "SUCCEEDED")})
        problem = assert_problem(response, 503, "unavailable")
        assert problem["detail"] == "Cell 2: The database cannot be reached."
        assert until(lambda: cell_metric(two.url, "runtree_cell_up", 2) == 0)
        for run in runs:
            if run.name in there:
                assert api.read(run.path)["phase"] == "SUCCEEDED"
                assert api.post_one(run.event("a1", parent="a0"))["status"] == "applied"
        servers[0].stop()
        two.wait_for("/readyz", 503)
        response = httpx.get(f"{two.url}/readyz")
        assert re.search("cell 1: .*cell 2: ", response.json()["detail"])
        servers[0].start()
    finally:
        servers[1].start()
    until(lambda: api.get("/readyz").status_code == 200)
    until(lambda: api.read("/readyz") == {"status": "ok"})
    assert {result["status"] for result in api.post_all(roots(runs, "SUCCEEDED"))} == {
        "applied",
        "duplicate",
    }
    assert {api.read(run.path)["phase"] for run in runs} == {"SUCCEEDED"}


def test_a_list_of_cells_that_cannot_be(tmp_path):
    listed = tmp_path / "cells"
    listed.write_text("a active dbname=x\nb asleep dbname=y\n")
    done = run_to_exit("serve", "--cells", str(listed))
    assert done.returncode == 2
    assert done.stderr == (
        f"runtree: --cells (RUNTREE_CELLS): {listed}, line 2: behind the name there must be active,"
        ' draining or gone, not "asleep"\n'
    )
    done = run_to_exit("serve", "--cells", str(listed), "--database-url", "dbname=z")
    assert done.returncode == 2 and "one of them" in done.stderr
    done = run_to_exit("serve", *flags(["dbname=x"] * 65))
    assert done.returncode == 2 and "64" in done.stderr
    done = run_to_exit("serve", *flags(["dbname=x", ""]))
    assert done.returncode == 2 and "--database-url" in done.stderr
