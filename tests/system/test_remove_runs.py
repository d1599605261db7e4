"""Runs deleted on demand, and those that ended long ago."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

from client import Api, assert_problem, until
from inventions import RunKey
from sse import StreamClosed


def rows_left(postgres, database, run):
    return [
        postgres.execute(
            database,
            f"SELECT count(*) FROM {table} WHERE project = %s AND domain = %s AND run_name = %s",
            run.project,
            run.domain,
            run.name,
        )[0][0]
        for table in ("runs", "actions", "action_events")
    ]


def wait_until_removed(postgres, database, run):
    deadline = time.monotonic() + 60
    while rows_left(postgres, database, run) != [0, 0, 0]:
        assert time.monotonic() < deadline, rows_left(postgres, database, run)
        time.sleep(0.02)


def test_delete_takes_the_whole_run_and_no_other(api, run, postgres, database):
    other = RunKey(run.project, run.domain, "other")
    for key in (run, other):
        api.post_all(
            [key.event("a0", "RUNNING", parent=None), key.event("a1", "RUNNING", parent="nobody")]
        )
    assert api.request("DELETE", run.path).status_code == 204
    wait_until_removed(postgres, database, run)
    assert rows_left(postgres, database, other) == [1, 2, 2]
    assert api.get(run.path).status_code == 404
    assert api.request("DELETE", run.path).status_code == 404


def test_watchers_of_a_deleted_run_get_reset_and_then_404(api, run, open_stream):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    stream = open_stream(f"{run.path}/watch")
    stream.read_until("synced")
    assert api.request("DELETE", run.path).status_code == 204
    assert stream.next().event == "reset"
    try:
        stream.next()
        raise AssertionError("the stream goes on behind the reset")
    except StreamClosed:
        pass
    assert open_stream(f"{run.path}/watch").status == 404


def test_a_run_made_anew_is_another_incarnation(api, run):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    before = api.read(run.path)["incarnation"]
    api.request("DELETE", run.path)
    result = api.post_one(run.event("a0", "RUNNING", parent=None))
    assert result == {"status": "applied", "revision": 1}
    assert api.read(run.path)["incarnation"] != before


def test_what_is_just_being_said_of_a_deleted_run_is_not_of_the_next(own, postgres, run):
    _, api, url = own
    api.post_one(run.event("a0", "RUNNING", parent=None))
    of_run = f"FROM runs WHERE run_name = '{run.name}'"
    key = "SELECT project, domain, run_name"
    with psycopg.connect(url) as writer, ThreadPoolExecutor(1) as pool:
        writer.execute(f"SELECT 1 {of_run} FOR UPDATE")
        answer = pool.submit(httpx.delete, api.url + run.path, timeout=30)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        until(lambda: postgres.execute(url, waiting)[0][0] or answer.done())
        said = "'title', '\"old\"', now(), 'a0', 1, 1"
        writer.execute(f"INSERT INTO run_additions {key}, {said} {of_run}")
        writer.execute(f"INSERT INTO run_labels {key}, 'of:old', now() {of_run}")
        writer.execute(f"INSERT INTO open_ends {key} {of_run}")
        writer.commit()
        assert answer.result(30).status_code == 204
        assert writer.execute("SELECT FROM open_ends").rowcount == 0
    api.post_one(run.event("a0", "RUNNING", parent=None))
    assert "title" not in api.read(run.path)
    assert api.read("/v1/runs", label="of:old")["runs"] == []


def test_retention_deletes_ended_runs_that_are_old(start_runtree, open_api, postgres):
    url = postgres.new_database()
    runtree = start_runtree(database_url=url)
    api = open_api(runtree)
    gone = ("old-ended", "old-waiting", "old-emptied")
    names = ("old-ended", "old-running", "new-ended", "old-waiting", "new-waiting", "old-emptied")
    keys = {name: RunKey("p", "d", name) for name in names}
    long_ago, just_now = "2020-01-01T00:00:00Z", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    api.post_one(
        keys["old-ended"].event("a0", "SUCCEEDED", parent=None, updatedTime=long_ago)
    )
    api.post_all(
        [
            keys["old-running"].event("a0", "SUCCEEDED", parent=None, updatedTime=long_ago),
            keys["old-running"].event("a1", "RUNNING", parent="a0", updatedTime=long_ago),
        ]
    )
    api.post_one(
        keys["new-ended"].event("a0", "SUCCEEDED", parent=None, updatedTime=just_now)
    )
    for name in ("old-waiting", "new-waiting"):
        api.post_one(keys[name].event("a1", "RUNNING", parent="a0", updatedTime=long_ago))
    api.post_one(keys["old-emptied"].event("a0", "RUNNING", parent=None))
    assert api.request("DELETE", f"{keys['old-emptied'].path}/actions/a0").status_code == 204
    runtree.stop()
    postgres.execute(url, "UPDATE runs SET first_seen_at = '2020-01-01'")
    postgres.execute(
        url,
        "UPDATE runs SET last_event_at = '2020-01-01'"
        " WHERE run_name IN ('old-waiting', 'old-emptied')",
    )
    api = open_api(start_runtree("--retention-days", "30", database_url=url))
    deadline = time.monotonic() + 60
    while {api.get(keys[name].path).status_code for name in gone} != {404}:
        assert time.monotonic() < deadline, "the old run is still there"
        time.sleep(0.05)
    assert api.get(keys["old-running"].path).status_code == 200
    assert api.get(keys["new-ended"].path).status_code == 200
    assert api.get(keys["new-waiting"].path).status_code == 200
    start_runtree("--abandoned-after-s", "1", database_url=url)
    until(lambda: "ABORTED" in api.read(keys["old-running"].path)["phaseCounts"])
    start_runtree("--retention-days", "30", database_url=url)
    until(lambda: api.get(keys["old-running"].path).status_code == 404)


PIECE = 2000


def fill(postgres, url, run, actions):
    """Rows of a run as the writers would have made them, only sooner: the run exists already."""
    key = (run.project, run.domain, run.name)
    postgres.execute(
        url,
        "INSERT INTO actions SELECT %s, %s, %s, 'b' || i, true, 'a0', i + 1, 2, 1, 4, 0, null, 0,"
        " 0, null, null, 0, 0, now(), null, null, null, i + 1 FROM generate_series(1, %s) AS i",
        *key,
        actions,
    )
    postgres.execute(
        url,
        "INSERT INTO action_events SELECT %s, %s, %s, 'b' || i, 1, 4, v, i + 1, 0, now(), null,"
        " now(), '{}' FROM generate_series(1, %s) AS i, generate_series(0, 1) AS v",
        *key,
        actions,
    )
    postgres.execute(
        url,
        "UPDATE runs SET action_count = %s, revision = %s WHERE run_name = %s",
        actions + 1,
        actions + 1,
        run.name,
    )


@pytest.fixture
def own(postgres, start_runtree, open_api):
    """A runtree of the test's own, its client and its database."""
    url = postgres.new_database()
    runtree = start_runtree(database_url=url)
    return runtree, open_api(runtree), url


def count_transactions(postgres, url):
    """Makes the database note, for each deletion from a table, how many rows it was of."""
    postgres.execute(url, "CREATE TABLE pieces (name text, removed bigint)")
    postgres.execute(
        url,
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO pieces"
        " SELECT TG_TABLE_NAME, count(*) FROM old; RETURN null; END $$",
    )
    for table in ("actions", "action_events"):
        postgres.execute(
            url,
            f"CREATE TRIGGER note AFTER DELETE ON {table} REFERENCING OLD TABLE AS old"
            " FOR EACH STATEMENT EXECUTE FUNCTION note()",
        )


def test_a_deletion_goes_in_pieces(own, postgres, run):
    _, api, url = own
    api.post_one(run.event("a0", "RUNNING", parent=None))
    fill(postgres, url, run, 9000)
    count_transactions(postgres, url)
    assert api.request("DELETE", run.path).status_code == 204
    for path in ("", "/tree", "/actions", "/actions/b1", "/actions/b1/events"):
        assert api.get(run.path + path).status_code == 404, path
    wait_until_removed(postgres, url, run)
    pieces = postgres.execute(url, "SELECT name, sum(removed), max(removed) FROM pieces GROUP BY 1")
    assert sorted(pieces) == [("action_events", 18001, PIECE), ("actions", 9001, PIECE)]


def test_what_is_left_is_removed_after_a_crash(own, postgres, run, start_runtree):
    """By whoever starts next. Until then the key is not given to another run."""
    runtree, api, url = own
    api.post_one(run.event("a0", "RUNNING", parent=None))
    fill(postgres, url, run, 5000)
    with psycopg.connect(url) as blocker:
        blocker.execute("SELECT 1 FROM action_events WHERE name = 'b7' FOR UPDATE")
        assert api.request("DELETE", run.path).status_code == 204
        answer = api.post(run.event("a0", "RUNNING", parent=None))
        assert_problem(answer, 503, "unavailable")
        assert "is still being removed" in answer.json()["detail"]
        runtree.kill()
    start_runtree(database_url=url)
    wait_until_removed(postgres, url, run)


def test_the_key_of_a_deleted_run_waits_and_no_other_does(own, postgres, run):
    _, api, url = own
    other = RunKey(run.project, run.domain, "other")
    api.post_all([key.event("a0", "RUNNING", parent=None) for key in (run, other)])
    before = api.read(run.path)["incarnation"]
    fill(postgres, url, run, 5000)
    with psycopg.connect(url) as blocker, ThreadPoolExecutor(1) as pool:
        blocker.execute("SELECT 1 FROM action_events WHERE name = 'b7' FOR UPDATE")
        assert api.request("DELETE", run.path).status_code == 204
        answer = pool.submit(
            httpx.post, f"{api.url}/v1/events", json=run.event("b1", "RUNNING"), timeout=30
        )
        for version in range(1, 6):
            event = other.event("a0", "RUNNING", version=version)
            assert api.post_one(event)["status"] == "applied"
        assert not answer.done()
        blocker.rollback()
        assert answer.result(20).json()["status"] == "waiting"
    assert api.read(run.path)["incarnation"] != before
    assert rows_left(postgres, url, run) == [1, 1, 1]


def test_a_locked_run_does_not_hold_up_other_deletions(own, postgres, run):
    _, api, url = own
    others = [RunKey(run.project, run.domain, f"other{number}") for number in range(3)]
    api.post_all([key.event("a0", parent=None) for key in (run, *others)])
    with psycopg.connect(url) as blocker, ThreadPoolExecutor(1) as pool:
        blocker.execute("SELECT 1 FROM runs WHERE run_name = %s FOR UPDATE", [run.name])
        answer = pool.submit(httpx.delete, api.url + run.path, timeout=30)
        for key in others:
            assert api.request("DELETE", key.path).status_code == 204
        assert not answer.done()
        blocker.rollback()
        assert answer.result(20).status_code == 204


def test_no_limit_on_statements_makes_a_deletion_impossible(own, postgres, run, start_runtree):
    runtree, api, url = own
    api.post_one(run.event("a0", "RUNNING", parent=None))
    fill(postgres, url, run, 3000)
    runtree.stop()
    postgres.execute(
        url,
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.0002); RETURN old; END $$",
    )
    postgres.execute(
        url,
        "CREATE TRIGGER dawdle BEFORE DELETE ON action_events"
        " FOR EACH ROW EXECUTE FUNCTION dawdle()",
    )
    api = Api(start_runtree(database_url=url + " options=-cstatement_timeout=100ms").url)
    assert api.request("DELETE", run.path).status_code == 204
    wait_until_removed(postgres, url, run)
    api.close()


@pytest.mark.parametrize("days", ["0", "3650"])
def test_deleted_keys_are_forgotten(own, postgres, run, start_runtree, days):
    """With and without retention; what is still to be removed is not."""
    runtree, api, url = own
    for name in ("old", "new"):
        key = RunKey(run.project, run.domain, name)
        api.post_one(key.event("a0", parent=None))
        assert api.request("DELETE", key.path).status_code == 204
        wait_until_removed(postgres, url, key)
    runtree.stop()
    postgres.execute(
        url,
        "UPDATE deleted_runs SET deleted_at = now() - interval '3 days' WHERE run_name = 'old'",
    )
    start_runtree("--retention-days", days, database_url=url)
    deadline = time.monotonic() + 60
    while postgres.execute(url, "SELECT run_name FROM deleted_runs") != [("new",)]:
        assert time.monotonic() < deadline, "the old key is still there"
        time.sleep(0.05)
