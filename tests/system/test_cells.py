"""Several databases that share the runs: which has which, and what one that is away costs."""

import concurrent.futures
import itertools
import random
import re
import threading
import time

import httpx
import psycopg
import pytest

from client import assert_problem, until
from inventions import RunKey
from postgres import Postgres
from runtree import cells, run_to_exit

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


@pytest.fixture
def two(start_runtree, databases):
    return start_runtree(*cells(databases[:2]))


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
        until(lambda: cell_metric(two.url, "runtree_database_connections", 2) == 0)
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
    two.wait_until_ready()
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
    done = run_to_exit("serve", *cells(["dbname=x"] * 65))
    assert done.returncode == 2 and "64" in done.stderr
    done = run_to_exit("serve", *cells(["dbname=x", ""]))
    assert done.returncode == 2 and "--database-url" in done.stderr


def listed(folder, *lines):
    path = folder / "cells"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_growth_leaves_runs_where_they_are(start_runtree, open_api, servers, databases):
    """From one cell to three: a run stays, whatever the list says now; new ones go everywhere."""
    old = start_runtree(database_url=databases[0])
    before = runs_of("grown")
    open_api(old).post_all(roots(before))
    old.stop()
    new = start_runtree(*cells(databases))
    api = open_api(new)
    # As events, one by one and together, in reads, in what is watched and deleted.
    assert {result["status"] for result in api.post_all(roots(before))} == {"duplicate"}
    for run in before:
        assert api.read(run.path)["actionCount"] == 1
        assert api.post_one(run.event("a1", "RUNNING", parent="a0"))["status"] == "applied"
    after = runs_of("added")
    api.post_all(roots(after))
    kept = [stored(*pair) for pair in zip(servers, databases)]
    assert kept[0] >= {run.name for run in before}
    names = [
        [name for (name,) in cluster.execute(url, "SELECT run_name FROM runs WHERE project = 'added'")]
        for cluster, url in zip(servers, databases)
    ]
    assert sorted(sum(names, [])) == sorted(run.name for run in after)
    assert all(len(there) > RUNS / 6 for there in names)
    # One that is deleted is made anew where new runs are.
    for run in before:
        assert api.request("DELETE", run.path).status_code == 204
        assert api.get(run.path).status_code == 404
    assert {result["status"] for result in api.post_all(roots(before))} == {"applied"}
    homes = [
        {name for (name,) in cluster.execute(url, "SELECT run_name FROM runs WHERE project = 'grown'")}
        for cluster, url in zip(servers, databases)
    ]
    assert set.union(*homes) == {run.name for run in before}
    assert sum(map(len, homes)) == len(before) and all(len(there) > RUNS / 6 for there in homes)
    assert {api.read(run.path)["actionCount"] for run in before} == {1}


def test_runs_that_are_deleted_while_others_are_looked_for(start_runtree, open_api, servers, databases):
    """What was known of them when the search began is forgotten when it ends."""
    old = start_runtree(database_url=databases[0])
    before, added = runs_of("grown"), runs_of("added")
    open_api(old).post_all(roots(before))
    old.stop()
    new = start_runtree(*cells(databases[:2]))
    api = open_api(new)
    api.post_all(roots(before))
    heard = cell_metric(new.url, "runtree_notifications_total", 1)
    events = roots(before, "SUCCEEDED") + roots(added)
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    waiting += " AND datname = current_database() AND query LIKE '%unnest%'"
    with psycopg.connect(databases[1]) as blocker, concurrent.futures.ThreadPoolExecutor(1) as pool:
        blocker.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        answer = pool.submit(httpx.post, f"{new.url}/v1/events", json={"events": events})
        until(lambda: servers[1].execute(databases[1], waiting))
        for run in before:
            assert api.request("DELETE", run.path).status_code == 204
        until(lambda: cell_metric(new.url, "runtree_notifications_total", 1) >= heard + RUNS)
        blocker.rollback()
        response = answer.result(60)
    assert response.status_code == 200, response.text
    assert {result["status"] for result in response.json()["results"]} == {"applied"}
    assert {api.read(run.path)["phase"] for run in before} == {"SUCCEEDED"}


def test_a_process_with_an_older_list_makes_no_runs(start_runtree, open_api, servers, databases):
    old = start_runtree(database_url=databases[0])
    before = runs_of("shared", 10)
    old_api = open_api(old)
    old_api.post_all(roots(before))
    new = start_runtree(*cells(databases[:2]))
    new_api = open_api(new)
    # What is there already goes on through both.
    assert {result["status"] for result in old_api.post_all(roots(before, "SUCCEEDED"))} == {"applied"}
    for run in runs_of("fenced", 10):
        problem = assert_problem(old_api.post(run.event("a0", "RUNNING", parent=None)), 503, "unavailable")
        assert "list of cells" in problem["detail"]
        assert new_api.post_one(run.event("a0", "RUNNING", parent=None))["status"] == "applied"
    # Also now that the old one knows that it is.
    for run in before:
        assert old_api.read(run.path)["phase"] == "SUCCEEDED"
        assert old_api.post_one(run.event("a1", parent="a0"))["status"] == "applied"
    assert servers[0].execute(
        databases[0], "SELECT number, cells FROM cell_generations ORDER BY number"
    ) == [(1, "1"), (2, "1 2")]


def test_what_waited_for_a_writer_goes_by_the_list_of_its_time(
    start_runtree, open_api, servers, databases, tmp_path
):
    """Runs that were to be made by an older list are not when the process knows a newer one by then."""
    patient = f"{databases[0]} options=-clock_timeout=30s"  # one of two writers is held up so long
    lines = f"1 active {patient}", f"2 draining {databases[1]}"
    old = start_runtree("--cells", str(listed(tmp_path, *lines)))
    held, *runs = runs_of("queued", 200)  # so many that the writers do not take turns
    open_api(old).post_one(held.event("a0", "RUNNING", parent=None))
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    waiting += " AND application_name = 'runtree writer'"

    def post(*events):
        return httpx.post(f"{old.url}/v1/events", json={"events": events})

    def is_made(run):
        try:
            return httpx.post(f"{old.url}/v1/events", json=roots([run])[0], timeout=1).is_success
        except httpx.TimeoutException:
            return False  # the writer that is held up would make it

    with (
        psycopg.connect(databases[0]) as blocker,
        concurrent.futures.ThreadPoolExecutor(2) as pool,
    ):
        blocker.execute("SELECT FROM runs FOR UPDATE")
        pool.submit(post, *(held.event(f"a{n}", parent="a0") for n in range(1, 100)))
        until(lambda: servers[0].execute(databases[0], waiting))
        answer = pool.submit(post, *roots(runs))
        until(lambda: len(stored(servers[0], databases[0])) > 1)  # those of the other writer
        new = start_runtree(*cells(databases[:2]))
        assert open_api(new).post_all(roots(runs))
        numbers = itertools.count()
        until(lambda: is_made(RunKey("later", "development", f"later{next(numbers)}")))
        blocker.rollback()
        assert answer.result(60).status_code in (200, 503)
    there = [stored(*pair) for pair in zip(servers[:2], databases[:2])]
    assert not there[0] & there[1] and there[0] | there[1] >= {run.name for run in runs}


class Posters:
    """Threads that report runs, each event until it is acknowledged, to whichever runtree is there."""

    def __init__(self, project, threads=3):
        self.project = project
        self.urls = []
        self.acknowledged = []  # runs of which every event was
        self._is_over = threading.Event()
        self._numbers = itertools.count()
        self._pool = concurrent.futures.ThreadPoolExecutor(threads)
        self._work = [self._pool.submit(self._report, random.Random(i)) for i in range(threads)]

    def end(self):
        self._is_over.set()
        for work in self._work:
            work.result()
        self._pool.shutdown()

    def wait_for(self, more):
        wanted = len(self.acknowledged) + more
        until(lambda: len(self.acknowledged) >= wanted, 60)

    def _report(self, rng):
        with httpx.Client(timeout=20) as client:
            while not self._is_over.is_set():
                run = RunKey(self.project, "development", f"r{next(self._numbers)}")
                for event in (
                    run.event("a0", "RUNNING", parent=None),
                    run.event("a1", "SUCCEEDED", parent="a0"),
                    run.event("a0", "SUCCEEDED"),
                ):
                    self._post(client, rng, event)
                self.acknowledged.append(run)

    def _post(self, client, rng, event):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                answer = client.post(f"{rng.choice(self.urls)}/v1/events", json=event)
            except (httpx.TransportError, IndexError):
                continue
            if answer.is_success:
                return
            assert answer.status_code == 503, answer.text
            time.sleep(0.01)
        raise AssertionError(f"{event} is not taken: {answer.text}")


@pytest.fixture
def posters():
    started = Posters("growing")
    yield started
    started.end()


def test_growth_under_load_loses_nothing(
    start_runtree, open_api, servers, databases, tmp_path, posters
):
    """From one cell to three with two processes of which one is always there, then the first off."""
    names = ("one", "two", "three")

    def start(name, *states):
        (tmp_path / name).mkdir()
        lines = (
            f"{cell} {state}" + ("" if state == "gone" else f" {url}")
            for cell, state, url in zip(names, states, databases)
        )
        runtree = start_runtree("--cells", str(listed(tmp_path / name, *lines)))
        posters.urls.append(runtree.url)
        return runtree

    def stop(runtree):
        posters.urls.remove(runtree.url)
        runtree.stop()

    first = start("alone", "active")
    posters.wait_for(20)
    second = start("told", "active", "draining", "draining")
    posters.wait_for(10)
    stop(first)
    third = start("grown", "active", "active", "active")
    posters.wait_for(40)
    stop(second)
    fourth = start("off", "draining", "active", "active")
    posters.wait_for(30)
    stop(third)
    posters.end()
    api = open_api(fourth)
    there = [stored(*pair) for pair in zip(servers, databases)]
    runs = posters.acknowledged
    assert sum(map(len, there)) == len(set.union(*there)), "no run is in two cells"
    assert set.union(*there) >= {run.name for run in runs} and all(there)
    for run in runs:
        found = api.read(run.path)
        assert (found["phase"], found["actionCount"], found["revision"]) == ("SUCCEEDED", 2, 3), run
    more = runs_of("later", 20)
    api.post_all(roots(more))
    assert stored(servers[0], databases[0]) == there[0], "a cell that is draining gets none"
    assert cell_metric(fourth.url, "runtree_cell_up", "one") == 1
    # Emptied, it is taken off.
    for run in api.read_all("/v1/runs", "runs"):
        key = RunKey(run["project"], run["domain"], run["runName"])
        if key.name in there[0] and key.project == posters.project:
            assert api.request("DELETE", key.path).status_code == 204
    assert not stored(servers[0], databases[0])
    fifth = start("without", "gone", "active", "active")
    until(lambda: all(cell_metric(fifth.url, "runtree_cell_runs", name) for name in names[1:]))
    assert {run["runName"] for run in open_api(fifth).read_all("/v1/runs", "runs")} == (
        there[1] | there[2] | {run.name for run in more}
    )


def test_a_list_that_does_not_fit_the_databases(start_runtree, servers, databases, tmp_path):
    start_runtree(*cells(databases[:2])).stop()
    name = databases[0].rpartition("=")[2]

    def sessions():
        """That there were in the first database."""
        query = "SELECT sessions FROM pg_stat_database WHERE datname = %s"
        return servers[0].execute("postgres", query, name)[0][0]

    def refused(*arguments):
        runtree = start_runtree(*arguments, until=None)
        until(lambda: "detail" in readiness(runtree) and "cell" in readiness(runtree)["detail"])
        before = sessions()
        until(lambda: sessions() >= before + 3)  # it has asked again, and again
        detail = readiness(runtree)["detail"]
        runtree.stop()
        return detail

    detail = refused(*cells(databases[1::-1]))
    assert "this database is cell 2, the list of cells says 1" in detail
    assert "this database is cell 1, the list of cells says 2" in detail
    assert "cell 2, which ours has not, not even as gone" in refused(*cells(databases[:1]))
    listed_once = listed(tmp_path, f"1 active {databases[0]}", "2 gone")
    start_runtree("--cells", str(listed_once)).stop()
    servers[2].stop()
    try:
        runtree = start_runtree(*cells(databases), until=None)
        until(lambda: "begun when all of them are up" in readiness(runtree).get("detail", ""))
    finally:
        servers[2].start()
    runtree.wait_until_ready()


def test_an_empty_database_in_the_place_of_a_cell(start_runtree, open_api, servers, databases, tmp_path):
    """What it had would be forgotten without a word. What is taken is a copy, or a name of its own."""
    runs = runs_of("lost", 12)
    first = start_runtree(*cells(databases[:2]))
    open_api(first).post_all(roots(runs))
    first.stop()
    missing = stored(servers[1], databases[1])
    lost = servers[1].new_database()
    runtree = start_runtree(*cells([databases[0], lost]), until=None)
    until(lambda: readiness(runtree).get("unavailableCells") == ["2"])
    for run in runs:
        status = httpx.get(runtree.url + run.path).status_code
        assert status == (503 if run.name in missing else 200)
    assert "cell 2 has had another database" in runtree.log()
    runtree.stop()
    name = databases[1].rpartition("=")[2]
    servers[1].execute("postgres", f"CREATE DATABASE copied TEMPLATE {name}")
    with_copy = start_runtree(*cells([databases[0], servers[1].url("copied")]))
    assert {httpx.get(with_copy.url + run.path).status_code for run in runs} == {200}
    with_copy.stop()
    lines = f"1 active {databases[0]}", "2 gone", f"2b active {lost}"
    api = open_api(start_runtree("--cells", str(listed(tmp_path, *lines))))
    assert {run.name for run in runs if api.get(run.path).status_code == 404} == missing
    statuses = {result["status"] for result in api.post_all(roots(runs))}
    assert statuses == {"applied", "duplicate"}


def readiness(runtree):
    try:
        return httpx.get(f"{runtree.url}/readyz").json()
    except httpx.TransportError:
        return {}
