"""A database of an older version is migrated in place and read back.

tests/data/schema_of_cf37a9c.sql was made by that version, from tests/data/reports: its runs are
compared with the same events as this version records them.
"""

import json
import pathlib

import httpx
import psycopg
import pytest

from client import until
from inventions import RunKey

DATA = pathlib.Path(__file__).parents[1] / "data"
RUNS = {
    "retried": ("03-retry-five-hours-later", None),
    "retrying": ("03-retry-five-hours-later", 6),
    "zombie": ("04-zombie-step", None),
    "paused": ("05-pause-resume-without-version", None),
    "deferred": ("06-deferred-task", 3),
    "late": ("07-late-terminal", None),
    "jobs": ("08-jobs-without-a-root", None),
    "jobs-going-on": ("08-jobs-without-a-root", 4),
    "lost": ("09-lost-parent", None),
}
# What it decided by its own rules stays so until the action's next event.
DECIDED_THEN = {"deferred", "late"}
# Of when it was recorded, and how often it moved.
OF_RECORDING = {"incarnation", "revision", "firstSeenAt", "lastEventAt"}


def run_of(name):
    return RunKey("hunt", "dev", name)


def events_of(name, first=0, last=None):
    lines = (DATA / f"reports/{RUNS[name][0]}.ndjson").read_text().splitlines()
    return [json.loads(line) | {"runName": name} for line in lines][first:last]


def restore(url):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((DATA / "schema_of_cf37a9c.sql").read_text())


@pytest.fixture
def migrated(postgres, start_runtree, open_api):
    url = postgres.new_database()
    restore(url)
    return url, open_api(start_runtree("--abandoned-after-s", "0", database_url=url))


@pytest.fixture
def fresh(postgres, start_runtree, open_api):
    url = postgres.new_database()
    api = open_api(start_runtree("--abandoned-after-s", "0", database_url=url))
    for name, (_, last) in RUNS.items():
        api.post_all(events_of(name, last=last))
    return url, api


def said(api, name):
    """All that is said of a run, but for what is of its recording."""
    summary = api.read(run_of(name).path)
    actions = [
        {**action, "revision": None}
        for action in api.read(f"{run_of(name).path}/actions")["actions"]
    ]
    documents = [
        {**api.read(f"{run_of(name).path}/actions/{action['name']}"), "revision": None}
        for action in actions
    ]
    return {k: v for k, v in summary.items() if k not in OF_RECORDING}, actions, documents


@pytest.mark.parametrize("name", sorted(RUNS.keys() - DECIDED_THEN))
def test_every_run_is_what_it_would_be_now(migrated, fresh, name):
    assert said(migrated[1], name) == said(fresh[1], name)


def test_columns_that_came_later_have_their_values(postgres, migrated, fresh):
    """As of a database that never was an old one, for every run and action."""
    names = sorted(RUNS.keys() - DECIDED_THEN)
    for statement in (
        "SELECT run_name, root_counts, waiting_count, phase, started_at, ended_at FROM runs"
        " WHERE run_name = ANY (%s) ORDER BY 1",
        "SELECT run_name, name, coalesce(furthest_at, ended_at), running_version, wait_phase,"
        " wait_version, wait_at, started_at FROM actions WHERE run_name = ANY (%s) ORDER BY 1, 2",
        "SELECT run_name FROM open_ends WHERE run_name = ANY (%s) ORDER BY 1",
    ):
        old, new = (
            postgres.execute(url, statement, names) for url, _ in (migrated, fresh)
        )
        assert old == new
    last = "SELECT run_name FROM runs WHERE last_event_at IS NULL"
    assert postgres.execute(migrated[0], last) == []


def test_what_was_decided_then_stays_until_the_next_event(migrated):
    _, api = migrated
    late, deferred = run_of("late"), run_of("deferred")
    assert api.read(f"{late.path}/actions/t")["phase"] == "FAILED"
    assert api.read(f"{deferred.path}/actions/wait")["phase"] == "RUNNING"
    assert api.read(deferred.path)["phaseCounts"] == {"RUNNING": 1}
    api.post_one(deferred.event("wait", "QUEUED", updatedTime="2026-03-01T08:00:01Z", version=1))
    assert api.read(f"{deferred.path}/actions/wait")["phase"] == "WAITING_FOR_RESOURCES"
    assert api.read(deferred.path)["phaseCounts"] == {"WAITING_FOR_RESOURCES": 1}
    api.post_all(events_of("deferred", 3))
    assert api.read(f"{deferred.path}/actions/wait")["phase"] == "SUCCEEDED"


def test_migrated_runs_go_on(migrated):
    _, api = migrated
    jobs, lost, waiting = run_of("jobs"), run_of("lost"), run_of("only-waiting")
    assert api.read(waiting.path)["waiting"] == {
        "count": 2,
        "for": [{"parent": "a0", "count": 1}, {"parent": None, "count": 1}],
    }
    assert api.read(waiting.path)["lastEventAt"] == api.read(waiting.path)["firstSeenAt"]
    api.post_one(lost.event("lost", "SUCCEEDED", parent="root"))
    assert api.read(lost.path)["waiting"]["count"] == 0
    assert api.read(lost.path)["actionCount"] == 3
    retry = {"attempt": 2, "updatedTime": "2026-03-01T09:00:00Z"}
    api.post_one(jobs.event("lint", "RUNNING", **retry))
    summary = api.read(jobs.path)
    assert (summary["phase"], summary["startedAt"]) == ("RUNNING", "2026-03-01T08:00:01.000Z")
    assert summary["endedAt"] is None
    for event in events_of("retried"):
        assert api.post_one(event)["identical"] is True


def test_older_version_that_still_runs_writes_no_more(postgres, migrated):
    """As it prepares its statement."""
    columns = "project, domain, run_name, name, attempt, phase, version, revision, error_kind"
    with pytest.raises(psycopg.errors.UndefinedColumn):
        postgres.execute(
            migrated[0], f"INSERT INTO action_events ({columns}) SELECT {columns} FROM action_events"
        )


def test_old_open_ends_are_given_up(migrated, start_runtree, open_api):
    url, _ = migrated
    api = open_api(start_runtree("--abandoned-after-s", "1", database_url=url))
    until(lambda: api.read(run_of("zombie").path)["phaseCounts"] == {"FAILED": 1, "ABORTED": 1})
    step = api.read(f"{run_of('zombie').path}/actions/step")
    assert (step["abandoned"], step["endedAt"]) == (True, "2026-03-01T08:01:00.000Z")


def test_transactions_of_another_server(postgres, start_runtree, open_api):
    """As in a backup of one that had come further: the list's watch would be told of no change."""
    url = postgres.new_database()
    first = start_runtree(database_url=url)
    open_api(first).post_all(events_of("retried"))
    first.stop()
    postgres.execute(url, "UPDATE runs SET changed_xid = 1000000000000")
    runtree = start_runtree(database_url=url, until="/healthz")
    until(lambda: "after_restore.sql" in httpx.get(runtree.url + "/readyz").json()["detail"])
    script = (pathlib.Path(__file__).parents[2] / "sql/after_restore.sql").read_text()
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(script)
    runtree.wait_until_ready()


def test_commands_are_sent_one_by_one(postgres, start_runtree):
    """A schema that is sharded as a whole takes no message of several."""
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("CREATE TABLE seen (xid xid8, query text)")
        session.execute(
            "CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS"
            " 'BEGIN INSERT INTO seen VALUES (pg_current_xact_id(), current_query()); END'"
        )
        session.execute("CREATE EVENT TRIGGER see ON ddl_command_start EXECUTE FUNCTION see()")
    start_runtree(database_url=url)
    seen = postgres.execute(url, "SELECT xid::text, query FROM seen")
    assert len(seen) > 20 and len(set(seen)) == len(seen)
