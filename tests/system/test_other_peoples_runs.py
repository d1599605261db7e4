"""A run that somebody holds locked is nobody else's trouble: its events wait, for a while, and all
other runs are written."""

import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from client import assert_problem, metric, until
from inventions import RunKey

OTHERS = 12


@pytest.fixture
def database(postgres):
    return postgres.new_database()


@pytest.fixture
def server(start_runtree, database):
    return start_runtree(database_url=database)


@pytest.fixture
def others(run):
    """Runs that both writers have some of."""
    return [RunKey(run.project, run.domain, f"other{number}") for number in range(OTHERS)]


def post_to(url, key, number):
    event = json.dumps(key.event(f"b{number}", parent=None)).encode()
    with urllib.request.urlopen(f"{url}/v1/events", event, timeout=30) as answer:
        return answer.status


LOCKS = {
    "its row": "SELECT 1 FROM runs WHERE run_name = %s FOR UPDATE",
    "a row of an action": "SELECT 1 FROM actions WHERE run_name = %s FOR UPDATE",
    "being made": "INSERT INTO runs (project, domain, run_name, incarnation, first_seen_at)"
    " SELECT project, domain, 'made', 'x', now() FROM runs WHERE run_name = %s",
}


@pytest.mark.parametrize("lock", LOCKS)
def test_others_are_written_while_a_run_is_locked(server, api, run, others, database, lock):
    api.post_all([run.event("a0", parent=None)] + [key.event("a0", parent=None) for key in others])
    locked = RunKey(run.project, run.domain, "made") if lock == "being made" else run
    with psycopg.connect(database) as blocker, ThreadPoolExecutor(OTHERS) as pool:
        blocker.execute(LOCKS[lock], [run.name])
        held = [
            pool.submit(api.post, locked.event("a0", "RUNNING", parent=None)),
            pool.submit(post_to, server.url, locked, 1),
        ]
        for number in range(5):
            statuses = pool.map(lambda key, n=number: post_to(server.url, key, n), others)
            assert list(statuses) == [201] * OTHERS
        assert not held[0].done()
        blocker.rollback()
        assert held[0].result(20).status_code == 201
        assert held[1].result(20) == 201
    assert api.read(locked.path)["actionCount"] == 2
    assert [api.read(key.path)["actionCount"] for key in others] == [6] * OTHERS


def test_events_of_a_locked_run_are_given_up_alone(server, api, run, others, database):
    """Together with others in one request, too: those are recorded."""
    api.post_one(run.event("a0", parent=None))
    with psycopg.connect(database) as blocker:
        blocker.execute("SELECT 1 FROM runs FOR UPDATE")
        answer = api.post(
            {"events": [key.event("a0", "RUNNING", parent=None) for key in [run, *others]]}
        )
        assert_problem(answer, 503, "unavailable")
        assert f"{run.project}/{run.domain}/{run.name} is locked" in answer.json()["detail"]
        assert "Retry-After" in answer.headers
        assert [api.read(key.path)["actionCount"] for key in others] == [1] * OTHERS
    assert api.post_one(run.event("a0", "RUNNING"))["status"] == "applied"


def grown(server, queued):
    """The bytes that wait for a writer, if they are more by now; else 0."""
    found = metric(server.url, "runtree_write_queue_bytes")
    return found if found > queued else 0


def test_events_that_waited_are_written_in_their_order(server, api, run, database):
    api.post_one(run.event("a0", parent=None))
    with psycopg.connect(database) as blocker, ThreadPoolExecutor(20) as pool:
        blocker.execute("SELECT 1 FROM runs FOR UPDATE")
        answers, queued = [], 0
        for number in range(20):
            answers.append(pool.submit(post_to, server.url, run, number))
            queued = until(lambda: grown(server, queued))
        blocker.rollback()
        assert [answer.result(20) for answer in answers] == [201] * 20
    names = [action["name"] for action in api.read(f"{run.path}/actions")["actions"]]
    assert names == ["a0"] + [f"b{number}" for number in range(20)]


def test_a_locked_table_holds_up_no_event_for_longer(server, api, others, database):
    """Each of many runs would else be waited for, one after the other."""
    events = [
        RunKey(key.project, key.domain, f"{key.name}-{number}").event("a0", parent=None)
        for key in others
        for number in range(20)
    ]
    with psycopg.connect(database) as blocker, ThreadPoolExecutor(1) as pool:
        blocker.execute("LOCK TABLE actions IN SHARE MODE")
        assert_problem(api.post({"events": events}), 503, "unavailable")
        answer = pool.submit(api.post, {"events": events})
        time.sleep(1)
        blocker.rollback()
        assert {result["status"] for result in answer.result(20).json()["results"]} == {"applied"}
