"""Many actions that wait for one parent: what they cost while it is absent, and how they join."""

import time

import pytest

from inventions import RunKey

JOINS_MAX = 1000  # in one transaction


@pytest.fixture
def database(postgres):
    return postgres.new_database()


@pytest.fixture
def server(start_runtree, database):
    return start_runtree(database_url=database)


def post_fan(api, run, count, parent="p", prefix="c"):
    names = [f"{prefix}{number}" for number in range(count)]
    for first in range(0, count, 5000):
        events = [run.event(name, "RUNNING", parent=parent) for name in names[first : first + 5000]]
        assert {result["status"] for result in api.post_all(events)} == {"waiting"}


def wait_for_actions(api, run, count):
    deadline = time.monotonic() + 60
    while (found := api.read(run.path)["actionCount"]) != count:
        assert time.monotonic() < deadline, f"{found} of {count} have joined"
        time.sleep(0.05)


def assert_parents_first(api, run):
    """Each action of the tree comes behind its parent, and has another revision than all others."""
    seen, revisions = set(), set()
    for action in api.read_all(f"{run.path}/actions", "actions", limit=1000):
        assert action["parent"] is None or action["parent"] in seen
        seen.add(action["name"])
        revisions.add(action["revision"])
    assert len(revisions) == len(seen) == api.read(run.path)["revision"]


def rows_read(postgres, database):
    return postgres.execute(
        database, "SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'actions'"
    )[0][0]


def test_waiting_siblings_are_not_read_again(api, run, postgres, database):
    """PostgreSQL counts the rows that the writers fetch; a session tells once a second at most."""
    post_fan(api, run, 3000)
    time.sleep(1.1)
    api.post_one(run.event("c0", "RUNNING", version=1))
    before = rows_read(postgres, database)
    for version in range(2, 12):
        answer = api.post_one(run.event("c1", "RUNNING", version=version, parent="p"))
        assert answer["status"] == "waiting"
    time.sleep(1.1)
    api.post_one(run.event("c0", "RUNNING", version=2))
    assert 0 < rows_read(postgres, database) - before < 1000


def note_joins(postgres, database):
    """Makes the database note how many actions joined in each transaction."""
    postgres.execute(database, "CREATE TABLE joined (transaction bigint, actions bigint)")
    postgres.execute(
        database,
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO joined"
        " SELECT txid_current(), count(*) FROM now_so n JOIN before b USING (run_name, name)"
        " WHERE n.ordinal > 0 AND b.ordinal = 0; RETURN null; END $$",
    )
    postgres.execute(
        database,
        "CREATE TRIGGER note AFTER UPDATE ON actions REFERENCING OLD TABLE AS before"
        " NEW TABLE AS now_so FOR EACH STATEMENT EXECUTE FUNCTION note()",
    )


def test_a_fan_joins_in_pieces(api, run, postgres, database):
    """Whose members have waiting children, too. The parent is answered with the first piece."""
    post_fan(api, run, 3500)
    for number in range(3):
        post_fan(api, run, 400, parent=f"c{number * 1000}", prefix=f"d{number}-")
    note_joins(postgres, database)
    assert api.post_one(run.event("p", "RUNNING", parent=None)) == {
        "status": "applied",
        "revision": 1,
    }
    wait_for_actions(api, run, 1 + 3500 + 3 * 400)
    assert_parents_first(api, run)
    pieces = postgres.execute(
        database,
        "SELECT sum(actions)::int FROM joined GROUP BY transaction HAVING sum(actions) > 0",
    )
    assert sum(count for (count,) in pieces) == 4700
    assert max(count for (count,) in pieces) == JOINS_MAX
    assert postgres.execute(database, "SELECT count(*) FROM pending_joins") == [(0,)]
    assert postgres.execute(
        database, "SELECT count(*) FROM action_events WHERE revision = 0"
    ) == [(0,)]


def test_other_runs_are_written_between_the_pieces(api, run):
    post_fan(api, run, 20_000)
    other = RunKey(run.project, run.domain, "other")
    api.post_one(other.event("a0", "RUNNING", parent=None))
    api.post_one(run.event("p", "RUNNING", parent=None))
    for version in range(1, 6):
        assert api.post_one(other.event("a0", "RUNNING", version=version))["status"] == "applied"
    assert api.post_one(run.event("late", "RUNNING", parent="p"))["status"] == "applied"
    assert api.read(run.path)["actionCount"] < 20_002, "they joined first"
    wait_for_actions(api, run, 20_002)
    assert_parents_first(api, run)


def test_a_crash_between_the_pieces_heals(
    server, start_runtree, open_api, api, run, postgres, database
):
    post_fan(api, run, 10_000)
    api.post_one(run.event("p", "RUNNING", parent=None))
    server.kill()
    assert postgres.execute(database, "SELECT parent FROM pending_joins") == [("p",)]
    postgres.execute(database, "UPDATE pending_joins SET worked_at = '2020-01-01'")
    api = open_api(start_runtree(database_url=database))
    wait_for_actions(api, run, 10_001)
    assert_parents_first(api, run)


def test_a_run_that_is_deleted_meanwhile(api, run, postgres, database):
    """Nothing is left of the join, and the run made anew has none of it."""
    post_fan(api, run, 5000)
    api.post_one(run.event("p", "RUNNING", parent=None))
    assert api.request("DELETE", run.path).status_code == 204
    assert api.post_one(run.event("p", "RUNNING", parent=None))["status"] == "applied"
    assert api.read(run.path)["actionCount"] == 1
    for table in ("actions", "action_events"):
        assert postgres.execute(database, f"SELECT count(*) FROM {table}") == [(1,)]
    assert postgres.execute(database, "SELECT count(*) FROM pending_joins") == [(0,)]


def test_too_deep_is_told(api, run):
    """To an action that was recorded before its parent was found to be on the last level."""
    api.post_one(run.event("w", "QUEUED", parent="level1000"))
    chain = [
        run.event(f"level{level}", parent=f"level{level - 1}" if level > 1 else None)
        for level in range(1, 1001)
    ]
    api.post_all(chain)
    for event in (run.event("w", "RUNNING"), run.event("w", "SUCCEEDED")):
        answer = api.post_one(event)
        assert answer["status"] == "waiting"
        assert answer["detail"] == (
            "The action cannot join: its parent level1000 is on the last level"
            " that a tree may have."
        )
    assert api.read(run.path)["actionCount"] == 1000
