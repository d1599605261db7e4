"""What a process knows of the runs that it wrote last saves it the reading, and never changes what
it answers or records: also where others wrote in between, heard or not."""

import random

import psycopg
import pytest

from client import metric, until
from inventions import RunKey


@pytest.fixture
def database(postgres):
    return postgres.new_database()


@pytest.fixture
def server(start_runtree, database):
    return start_runtree(database_url=database)


@pytest.fixture
def other(start_runtree, database, open_api):
    """Another process on the same database."""
    return open_api(start_runtree(database_url=database))


def unread(api):
    return metric(api.url, "runtree_write_batches_unread_total")


def test_what_was_written_is_not_read(api, run):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    api.post_one(run.event("a1", parent="a0"))
    api.post_one(run.event("a1", "RUNNING"))
    api.post_all([run.event("a1", "SUCCEEDED"), run.event("a2", "SUCCEEDED", parent="a1")])
    assert unread(api) == 3
    assert api.post_one(run.event("a1", "RUNNING")) == {
        "status": "duplicate",
        "revision": 3,
        "identical": True,
    }
    assert metric(api.url, 'runtree_memory_bytes{kind="runs"}') > 0
    assert api.read(run.path)["phaseCounts"] == {"RUNNING": 1, "SUCCEEDED": 2}


def test_a_run_ahead_of_the_server_is_known(api, other, database, run):
    """Its changes count on from where they are, those of others from the transaction's number."""
    keys = [run, RunKey(run.project, run.domain, "r2")]
    other.post_all([key.event("a0", "RUNNING", parent=None) for key in keys])
    with psycopg.connect(database, autocommit=True) as session:
        session.execute(
            "UPDATE runs SET changed_xid = changed_xid + 1000000 WHERE run_name = %s", [run.name]
        )
    for version in range(1, 5):
        api.post_all([key.event("a0", "RUNNING", version=version) for key in keys])
    assert metric(api.url, "runtree_write_conflicts_total") == 0
    assert unread(api) == 3


def test_no_memory_for_it(start_runtree, open_api, database, run):
    api = open_api(start_runtree("--memory-max-bytes", "800", database_url=database))
    api.post_one(run.event("a0", "RUNNING", parent=None))
    assert metric(api.url, 'runtree_memory_bytes{kind="runs"}') == 0
    api.post_one(run.event("a0", "RUNNING", version=1))
    assert unread(api) == 0


def test_two_processes_write_in_turns(api, other, run):
    """In random turns, events of the same actions: each counts on top of what the other did."""
    seed = random.randrange(10**9)
    print("seed", seed)
    turns = random.Random(seed)
    apis = (api, other)
    api.post_one(run.event("n0", "RUNNING", parent=None))
    versions, late, revision = {"n0": 0}, set(), 1
    for step in range(150):
        name = f"n{turns.randrange(12)}"
        version = versions[name] = versions.get(name, -1) + 1
        said = {}
        if not version:
            said = {"parent": turns.choice([known for known in versions if known != name])}
        who = turns.choice(apis)
        if version and name not in late:  # behind the state
            late.add(name)
            assert who.post_one(run.event(name, "QUEUED"))["status"] == "recorded"
            revision += 1
        result = who.post_one(run.event(name, "RUNNING", version=version, **said))
        revision += 1
        assert result == {"status": "applied", "revision": revision}, (step, name)
    for who in apis:
        actions = who.read_all(f"{run.path}/actions", "actions")
        assert {a["name"]: a["version"] for a in actions} == versions
        assert who.read(run.path)["revision"] == revision
        assert who.read(run.path)["phaseCounts"] == {"RUNNING": len(versions)}


def test_changed_by_a_process_that_was_not_heard(api, database, run):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    api.post_one(run.event("a1", "RUNNING", parent="a0"))
    with psycopg.connect(database, autocommit=True) as session:
        session.execute(
            "WITH changed AS (UPDATE runs SET revision = 3, phase_counts[4] = 1,"
            " phase_counts[5] = 1, changed_xid = pg_current_xact_id()::text::int8)"
            " UPDATE actions SET phase = 5, revision = 3, ended_at = now(), furthest_at = NULL"
            " WHERE name = 'a1'"
        )
    late = api.post_one(run.event("a1", "RUNNING", version=1))
    assert late == {"status": "recorded", "revision": 4}
    assert metric(api.url, "runtree_write_conflicts_total") == 1
    assert api.read(f"{run.path}/actions/a1")["phase"] == "SUCCEEDED"
    assert api.read(run.path)["phaseCounts"] == {"RUNNING": 1, "SUCCEEDED": 1}


def test_refused_only_by_what_was_read(api, database, run):
    """Where nothing is written, nothing else would find out that the run is another by now."""
    api.post_one(run.event("a0", "RUNNING", parent=None))
    api.post_all([run.event("a1", parent="a0"), run.event("b", parent="a0")])
    with psycopg.connect(database, autocommit=True) as session:
        session.execute(
            "WITH changed AS (UPDATE runs SET changed_xid = pg_current_xact_id()::text::int8)"
            " UPDATE actions SET parent = 'b' WHERE name = 'a1'"
        )
    assert api.post_one(run.event("a1", "RUNNING", parent="b"))["status"] == "applied"
    assert metric(api.url, "runtree_write_conflicts_total") == 0


def test_another_run_under_the_same_numbers(api, database, run):
    """As from a server of a cluster that gives out the same transaction numbers."""
    api.post_one(run.event("a0", "RUNNING", parent=None))
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("UPDATE runs SET incarnation = 'another'")
    api.post_one(run.event("a1", parent="a0"))
    assert metric(api.url, "runtree_write_conflicts_total") == 1


def test_deleted_by_another_process(api, other, run):
    for version in range(3):
        api.post_one(run.event("a0", "RUNNING", parent=None))
        assert api.post_one(run.event("a1", parent="a0"))["revision"] == 2
        before = api.read(run.path)["incarnation"]
        assert other.request("DELETE", run.path).status_code == 204
        again = api.post_one(run.event("a1", "RUNNING", version=version))
        assert again["status"] == "waiting"
        assert api.read(run.path)["incarnation"] != before
        assert other.request("DELETE", run.path).status_code == 204


def test_an_action_is_taken_out_by_another_process(api, other, run):
    api.post_all(
        [
            run.event("a0", "RUNNING", parent=None),
            run.event("a1", parent="a0"),
            run.event("a2", parent="a1"),
        ]
    )
    assert other.request("DELETE", f"{run.path}/actions/a1").status_code == 204
    assert api.post_one(run.event("a2", "RUNNING"))["status"] == "waiting"
    assert api.post_one(run.event("a3", parent="a1"))["status"] == "waiting"
    assert api.read(run.path)["actionCount"] == 1


def test_an_end_that_was_asked_for_at_another_process(api, other, run):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    api.post_one(run.event("a1", "RUNNING", parent="a0"))
    other.post({}, path=f"{run.path}/actions/a1/abort")
    assert api.post_one(run.event("a1", "RUNNING", version=1))["abortRequested"]
    assert api.post_one(run.event("a1", "RUNNING", version=2))["abortRequested"]


def test_sessions_that_are_lost(api, database, run):
    """Whatever became of what was on the way, it is read."""
    api.post_one(run.event("a0", "RUNNING", parent=None))
    with psycopg.connect(database, autocommit=True) as session:
        for version in range(1, 4):
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'runtree writer' AND datname = current_database()"
            )
            event = run.event("a0", "RUNNING", version=version)
            until(lambda event=event: api.post(event).status_code == 200)
            assert api.post_one(event)["revision"] == version + 1
