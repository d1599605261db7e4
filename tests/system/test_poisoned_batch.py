"""An event that PostgreSQL refuses fails the one request that brought it, not those beside it: with
503, for it is not the event's fault, and with what PostgreSQL said."""

import concurrent.futures

import psycopg
import pytest

from client import assert_problem
from inventions import RunKey


@pytest.fixture
def database(postgres):
    return postgres.new_database()


@pytest.fixture
def server(start_runtree, postgres, database):
    runtree = start_runtree(database_url=database)
    postgres.execute(database, "ALTER TABLE action_events ADD CHECK (name NOT LIKE 'poison%')")
    return runtree


@pytest.mark.parametrize("where", [0, 13, 29])
def test_only_the_poisoned_request_fails(api, run, database, where):
    """A lock on the run's row holds the writer up: all requests gather in one transaction."""
    api.post_one(run.event("a0", parent=None))
    names = [f"a{number}" for number in range(1, 30)]
    names.insert(where, "poison")
    with (
        concurrent.futures.ThreadPoolExecutor(len(names) + 1) as pool,
        psycopg.connect(database) as blocker,
    ):
        blocker.execute("SELECT FROM runs WHERE project = %s FOR UPDATE", [run.project])
        held = pool.submit(api.post, run.event("first", parent="a0"))
        futures = [pool.submit(api.post, run.event(name, parent="a0")) for name in names]
        concurrent.futures.wait(futures, timeout=0.5)
        assert not any(future.done() for future in futures)
        blocker.rollback()
        statuses = {name: future.result().status_code for name, future in zip(names, futures)}
        assert held.result().status_code == 201
    assert statuses.pop("poison") == 503
    assert set(statuses.values()) == {201}
    actions = api.read(f"{run.path}/actions")["actions"]
    assert {action["name"] for action in actions} == {"a0", "first", *statuses}
    assert api.read(run.path)["revision"] == len(actions)


def test_poison_inside_a_request_of_many(api, run):
    """The others are recorded, and the answer says which one was not."""
    api.post_one(run.event("a0", parent=None))
    events = [run.event(name, parent="a0") for name in ("a1", "poison", "a2")]
    response = api.post({"events": events})
    assert_problem(response, 503, "unavailable")
    assert "action poison" in response.json()["detail"] and "23514" in response.json()["detail"]
    assert "Retry-After" in response.headers
    assert api.read(run.path)["actionCount"] == 3
    assert api.post_one(run.event("a3", parent="a0"))["status"] == "applied"


def test_poison_in_another_run(api, run):
    """Nothing sticks: the same writer goes on with the next batch."""
    for number in range(3):
        assert api.post(run.event(f"poison{number}", parent=None)).status_code == 503
        assert api.post_one(run.event(f"a{number}", parent=None))["status"] == "applied"
    assert api.read(run.path)["actionCount"] == 3


def test_a_run_that_is_refused_as_a_whole_stops_no_other(api, run, postgres, database):
    """A request with hundreds of events of such a run between those of others."""
    postgres.execute(database, "ALTER TABLE action_events ADD CHECK (run_name <> 'bad')")
    good = [RunKey(run.project, run.domain, f"good{number}") for number in range(40)]
    bad = RunKey(run.project, run.domain, "bad")
    events = []
    for number in range(10):
        events += [key.event(f"a{number}", parent=None) for key in good]
        events += [bad.event(f"a{number}-{i}", parent=None) for i in range(30)]
    response = api.post({"events": events})
    assert_problem(response, 503, "unavailable")
    assert f"{run.project}/{run.domain}/bad" in response.json()["detail"]
    assert [api.read(key.path)["actionCount"] for key in good] == [10] * len(good)
    assert api.get(bad.path).status_code == 404
