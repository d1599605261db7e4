"""A run that somebody else changes between a writer's read and its write: decided again, not lost."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from client import metric


@pytest.fixture
def database(postgres):
    """Its writers wait for a lock as long as the test holds it."""
    return postgres.new_database() + " options=-clock_timeout=20s"


@pytest.fixture
def server(start_runtree, database):
    return start_runtree(database_url=database)


@pytest.fixture
def twin(start_runtree, database):
    return start_runtree(database_url=database)


def conflicts(api):
    return metric(api.url, "runtree_write_conflicts_total")


def wait_for_writers(connection, count):
    """Until so many writers have read, and wait for the run's lock to write."""
    deadline = time.monotonic() + 60
    statement = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'runtree writer'"
        " AND datname = current_database() AND wait_event_type = 'Lock'"
    )
    while connection.execute(statement).fetchone() != (count,):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lock_run(database):
    blocker = psycopg.connect(database)
    blocker.execute("SELECT 1 FROM runs FOR UPDATE")
    return blocker


@pytest.mark.parametrize("same", [False, True], ids=["two events", "one event twice"])
def test_two_processes_write_at_once(twin, api, open_api, database, run, same):
    other = open_api(twin)
    api.post_one(run.event("a0", "RUNNING", parent=None))
    other.post_one(run.event("a0", version=1))
    with lock_run(database) as blocker, ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(api.post, run.event("b0", parent="a0"))]
        wait_for_writers(blocker, 1)
        answers += [pool.submit(other.post, run.event("b0" if same else "b1", parent="a0"))]
        wait_for_writers(blocker, 2)
        blocker.rollback()
        results = [answer.result(20).json() for answer in answers]
    assert [result["status"] for result in results].count("applied") == (1 if same else 2)
    assert sorted(result["revision"] for result in results) == ([3, 3] if same else [3, 4])
    assert api.read(run.path)["revision"] == (3 if same else 4)
    assert conflicts(api) + conflicts(other) == 1


def test_every_change_counts(api, database, run):
    """Also where another server of a cluster gave out higher numbers than this one: a number that
    came twice would hide a change from who has read the run."""
    ahead = 10**12
    api.post_all(
        [
            run.event("a0", "RUNNING", parent=None),
            run.event("a1", "RUNNING", parent="a0"),
            run.event("w0", parent="nobody"),
            run.event("w1", parent="nobody"),
        ]
    )
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("UPDATE runs SET changed_xid = %s", [ahead])
        for number, change in enumerate(
            [
                lambda: api.post_one(run.event("a2", parent="a0")),
                lambda: api.post_one(run.event("w0", "RUNNING", parent="nobody")),
                lambda: api.post({}, path=f"{run.path}/actions/a1/abort"),
                lambda: api.post({}, path=f"{run.path}/abort"),
                lambda: api.request("DELETE", f"{run.path}/actions/w1"),
                lambda: api.request("DELETE", f"{run.path}/actions/a2"),
            ],
            1,
        ):
            change()
            found = session.execute("SELECT changed_xid FROM runs").fetchone()[0]
            assert found == ahead + number


def test_run_is_deleted_meanwhile(api, database, run):
    """What is recorded then is of a new run, not of one without its past."""
    api.post_all([run.event("a0", "RUNNING", parent=None), run.event("a1", parent="a0")])
    before = api.read(run.path)["incarnation"]
    with lock_run(database) as blocker, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(api.post, run.event("a1", "RUNNING", parent="a0"))
        wait_for_writers(blocker, 1)
        for table in ("runs", "actions", "action_events"):
            blocker.execute(f"DELETE FROM {table}")
        blocker.commit()
        result = answer.result(20).json()
    assert result["status"] == "waiting"
    assert api.read(run.path)["incarnation"] != before
    assert conflicts(api) == 1


def test_run_is_deleted_before_its_lock(api, database, run):
    """Where a conflict was, the run is seen, then locked, and may be gone between the two."""
    api.post_one(run.event("a0", "RUNNING", parent=None))
    before = api.read(run.path)["incarnation"]
    for statements in (
        ["UPDATE runs SET changed_xid = pg_current_xact_id()::text::int8"],
        ["DELETE FROM runs", "DELETE FROM actions", "DELETE FROM action_events"],
    ):
        with lock_run(database) as blocker, ThreadPoolExecutor(1) as pool:
            event = run.event("a0", "RUNNING", version=len(statements), parent=None)
            answer = pool.submit(api.post, event)
            wait_for_writers(blocker, 1)
            for statement in statements:
                blocker.execute(statement)
            blocker.commit()
            assert answer.result(20).status_code == 201
    assert answer.result().json() == {"status": "applied", "revision": 1}
    assert api.read(run.path)["incarnation"] != before
    assert conflicts(api) == 1


def test_where_a_conflict_was_locks_come_first(api, database, run):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    for version in (1, 2):
        with lock_run(database) as blocker, ThreadPoolExecutor(1) as pool:
            answer = pool.submit(api.post, run.event("a0", "RUNNING", version=version))
            wait_for_writers(blocker, 1)
            blocker.execute("UPDATE runs SET changed_xid = pg_current_xact_id()::text::int8")
            blocker.commit()
            assert answer.result(20).json() == {"status": "applied", "revision": version + 1}
    assert conflicts(api) == 1
