"""Reads of much: no event, action or filter makes a read that others wait for, nor one without a
bound. By the order of answers and by what came, not by the clock."""

import json
import time

import psycopg
import pytest

from client import metric, until
from inventions import RunKey, at
from runtree import SMALL_QUARANTINE
from sse import EventStream
from turns import asked_meanwhile

PAGE_BYTES = 1024 * 1024
ROWS_LOOKED_AT = 20_000


def encoded(document):
    return json.dumps(document, separators=(",", ":")).encode()


@pytest.fixture
def sql(server, database):
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def copy_event(sql, run, name, count, phase=4, first=1, info=None):
    """Stores versions of an action's event, as many as `count`, behind the service's back."""
    sql.execute(
        "INSERT INTO action_events SELECT project, domain, run_name, name, attempt, %s,"
        " %s + i, revision, error_kind_number, updated_at + i * interval '1 s', reported_at, recorded_at,"
        " coalesce(%s, info) FROM action_events, generate_series(0, %s - 1) i"
        " WHERE project = %s AND name = %s AND version = 0 AND phase = 1",
        (phase, first, info, count, run.project, name),
    )


def test_an_event_of_many_items_holds_nobody_up(api, server, run):
    """Events of 220 KB of numbers, of each of which the pairwise comparison would take 11 s of the
    loop."""
    attempts = range(1, 13)
    for attempt in attempts:
        api.post_one(run.event(parent=None, attempt=attempt, logInfo=list(range(37_000))))
    meanwhile, action = asked_meanwhile(server.url, lambda: api.read(f"{run.path}/actions/a0"))
    assert len(action["attempts"]) > 2
    for attempt in action["attempts"]:
        assert attempt["logInfo"] == list(range(37_000))
    assert meanwhile >= 3


def test_many_events_of_different_items_hold_nobody_up(api, server, run):
    events = [
        run.event("a0", "RUNNING", parent=None, version=version)
        | {"clusterEvents": [{"message": f"{version}/{item}" + "x" * 50} for item in range(100)]}
        for version in range(500)
    ]
    for start in range(0, 500, 100):
        api.post_all(events[start : start + 100])
    meanwhile, action = asked_meanwhile(server.url, lambda: api.read(f"{run.path}/actions/a0"))
    assert len(action["attempts"][0]["clusterEvents"]) == 50_000
    assert action["attempts"][0]["clusterEvents"][0] == events[0]["clusterEvents"][0]
    assert not action["truncated"]
    assert meanwhile >= 3


def test_more_events_than_are_merged(api, run, sql):
    """What counts is the newest; the attempt has its beginning all the same."""
    api.post_one(run.event("a0", "QUEUED", parent=None, updatedTime=at(0)))
    copy_event(sql, run, "a0", 20_000)
    api.post_one(run.event("a0", "PAUSED", version=30_000, updatedTime=at(50_000_000)))
    api.post_one(
        run.event("a0", "SUCCEEDED", updatedTime=at(60_000_000), outputs={"rows": 3}, cluster="c")
    )
    action = api.read(f"{run.path}/actions/a0")
    (attempt,) = action["attempts"]
    assert action["truncated"]
    assert (action["phase"], attempt["phase"]) == ("SUCCEEDED", "SUCCEEDED")
    assert (attempt["outputs"], attempt["cluster"]) == ({"rows": 3}, "c")
    assert (attempt["createdAt"], attempt["startedAt"], attempt["endedAt"]) == (
        at(0),
        at(0),
        at(60_000_000),
    )
    seen = [(step["phase"], step["version"]) for step in attempt["phaseTransitions"]]
    assert seen[-3:] == [("RUNNING", 20_000), ("PAUSED", 30_000), ("SUCCEEDED", 0)]
    assert seen[:2] == [("QUEUED", 0), ("RUNNING", 1)]
    assert len(seen) < 20_010


def test_all_events_that_may_be_merged(api, run, sql):
    api.post_one(run.event("a0", "QUEUED", parent=None))
    copy_event(sql, run, "a0", 19_998)
    api.post_one(run.event("a0", "SUCCEEDED"))
    action = api.read(f"{run.path}/actions/a0")
    assert len(action["attempts"][0]["phaseTransitions"]) == 20_000
    assert not action["truncated"]


def test_more_attempts_than_are_merged(api, run, sql):
    api.post_one(run.event("a0", "QUEUED", parent=None))
    sql.execute(
        "INSERT INTO action_events SELECT project, domain, run_name, name, i * 3, phase, version,"
        " revision, error_kind_number, updated_at, reported_at, recorded_at, info"
        " FROM action_events, generate_series(1, 1500) i WHERE project = %s",
        (run.project,),
    )
    action = api.read(f"{run.path}/actions/a0")
    assert [attempt["attempt"] for attempt in action["attempts"]] == list(range(1503, 4501, 3))
    assert action["truncated"]


def test_big_events_are_merged_as_far_as_they_fit(api, server, run, sql):
    """20,000 events of 240 KB would be 5 GB."""
    api.post_one(run.event("a0", "QUEUED", parent=None, updatedTime=at(0)))
    big = encoded(run.event("a0", "RUNNING", note="x" * 240_000))
    copy_event(sql, run, "a0", 1000, info=big.decode())
    api.post_one(run.event("a0", "SUCCEEDED", outputs={"rows": 3}))
    server.forget_peak_memory()
    before = server.peak_memory_bytes()
    meanwhile, action = asked_meanwhile(server.url, lambda: api.read(f"{run.path}/actions/a0"))
    (attempt,) = action["attempts"]
    assert action["truncated"]
    assert (attempt["phase"], attempt["outputs"]) == ("SUCCEEDED", {"rows": 3})
    assert (attempt["createdAt"], attempt["startedAt"]) == (at(0), at(0))
    assert attempt["phaseTransitions"][-2]["version"] == 1000
    assert server.peak_memory_bytes() - before < 100_000_000
    assert meanwhile >= 3


def test_a_page_of_big_events_ends_early(start_runtree, open_api, database, run, sql):
    server = start_runtree(database_url=database, environment=SMALL_QUARANTINE)
    api = open_api(server)
    api.post_one(run.event("a0", "QUEUED", parent=None))
    big = encoded(run.event("a0", "RUNNING", note="x" * 240_000)).decode()
    copy_event(sql, run, "a0", 300, info=big)
    server.forget_peak_memory()
    before = server.peak_memory_bytes()
    meanwhile, events = asked_meanwhile(
        server.url, lambda: api.read_all(f"{run.path}/actions/a0/events", "events", limit=1000)
    )
    assert [event["version"] for event in events] == list(range(301))
    assert all(event["note"] == "x" * 240_000 for event in events[1:])
    page = api.get(f"{run.path}/actions/a0/events", limit=1000)
    assert PAGE_BYTES <= len(page.content) < PAGE_BYTES + 300_000
    assert server.peak_memory_bytes() - before < 100_000_000
    assert meanwhile >= 60


def test_a_page_of_big_actions_ends_early(api, run):
    error = {"message": "x" * 1000, "code": "y" * 1000, "name": "z" * 1000}
    api.post_one(run.event("a0", parent=None))
    names = [f"a{number}" for number in range(1, 701)]
    api.post_all([run.event(name, "FAILED", parent="a0", errorInfo=error) for name in names])
    page = api.get(f"{run.path}/actions", limit=1000)
    assert PAGE_BYTES <= len(page.content) < 2 * PAGE_BYTES
    listed = api.read_all(f"{run.path}/actions", "actions", limit=1000)
    assert [action["name"] for action in listed] == ["a0", *names]


def test_events_come_back_to_the_letter(api, run):
    """Numbers that have no exact double, spaces, escapes; and members that are called as ours."""
    outputs = '{ "a":0.1,"b":12345678901234567.125, "c":1E5,"d":-0 ,"e":"\\u00e4" }'
    body = encoded(run.event("a0", "RUNNING", parent=None))[:-1].decode()
    body += f', "outputs":{outputs},"logInfo":[ 0.10 , 0.1 ],"revision":"mine","recordedAt":[7]}}'
    assert api.post(body.encode()).status_code == 201
    listed = api.get(f"{run.path}/actions/a0/events")
    assert f'"outputs":{outputs},"logInfo":[ 0.10 , 0.1 ]' in listed.text
    assert f'"asReceived":{body}' in listed.text
    assert listed.json()["events"][0]["revision"] == 1
    action = api.get(f"{run.path}/actions/a0").text
    assert f'"outputs":{outputs},"logInfo":[0.10,0.1]' in action


def test_events_of_one_attempt(api, run):
    keys = [(attempt, version) for attempt in (1, 2, 3) for version in range(5)]
    api.post_all([run.event(attempt=a, version=v, parent=None) for a, v in keys])
    for attempt in (1, 2, 3, 4):
        for limit in (1, 2, 5, 100):
            listed = api.read_all(
                f"{run.path}/actions/a0/events", "events", attempt=attempt, limit=limit
            )
            assert [(e["attempt"], e["version"]) for e in listed] == [
                key for key in keys if key[0] == attempt
            ]


def test_a_filter_over_long_names_holds_nobody_up(api, server, run, sql):
    """As an older version stored them: 250 KB of one letter, of which each place begins to match."""
    api.post_all([run.event("a0", parent=None)])
    api.post_all([run.event(f"a{number}", parent="a0") for number in range(1, 200)])
    sql.execute(
        "UPDATE actions SET short_name = repeat('a', 250000) WHERE project = %s", (run.project,)
    )
    path = f"{run.path}/tree"
    meanwhile, tree = asked_meanwhile(server.url, lambda: api.read(path, name="a" * 254 + "b"))
    assert tree["nodes"] == []
    assert meanwhile >= 3


# -------- bounds of what is looked at --------


@pytest.fixture
def many_runs(api, run, sql):
    """45,000 runs, of which the oldest and one in the middle are called otherwise, and failed."""
    api.post_one(run.event(parent=None))
    sql.execute(
        "INSERT INTO runs (project, domain, run_name, incarnation, phase, first_seen_at)"
        " SELECT project, domain, CASE WHEN i IN (1, 20000) THEN 'needle-' ELSE 'hay-' END || i,"
        " incarnation, CASE WHEN i IN (1, 20000) THEN 6 ELSE 5 END, first_seen_at"
        " - interval '1 day' + i / 10 * interval '1 ms' FROM runs, generate_series(1, 45000) i"
        " WHERE project = %s",
        (run.project,),
    )
    return run


def pages(api, path, things, **parameters):
    found = []
    while True:
        page = api.read(path, **parameters)
        found.append(page[things])
        if "nextCursor" not in page:
            return found
        parameters["cursor"] = page["nextCursor"]


@pytest.mark.parametrize("filters", [{"name": "NEEDLE"}, {"phase": "FAILED"}])
@pytest.mark.parametrize("scope", ["project", "domain", "all"])
def test_a_page_of_runs_looks_at_a_bounded_number(api, many_runs, scope, filters):
    run = many_runs
    path = f"{run.base}/runs" if scope == "domain" else "/v1/runs"
    if scope == "project":
        filters = filters | {"project": run.project}
    found = pages(api, path, "runs", **filters)
    mine = [item["runName"] for page in found for item in page if item["project"] == run.project]
    assert mine == ["needle-20000", "needle-1"]
    assert len(found) >= 3
    none = pages(api, path, "runs", **(filters | {"name": "nosuch"}))
    assert len(none) >= 3 and not any(none)


def test_paging_over_runs_that_were_first_seen_together(api, many_runs):
    run = many_runs
    found = pages(api, f"{run.base}/runs", "runs", name="hay-", limit=999)
    names = [item["runName"] for page in found for item in page]
    assert len(names) == len(set(names)) == 44_998


def test_a_page_of_actions_looks_at_a_bounded_number(api, run, sql):
    api.post_all([run.event("a0", parent=None), run.event("b", "RUNNING", parent="a0")])
    sql.execute(
        "INSERT INTO actions SELECT project, domain, run_name, 'c' || i, parent_named,"
        " CASE i WHEN 45000 THEN 'b' ELSE parent END, i, 2, attempt,"
        " CASE i WHEN 45000 THEN 6 ELSE phase END, version, action_group, group_attempt,"
        " group_position, task_name, CASE i WHEN 45000 THEN 'Needle' END, task_attempt,"
        " task_position, created_at, started_at, ended_at, error_info, revision"
        " FROM actions, generate_series(3, 45000) i WHERE project = %s AND name = 'b'",
        (run.project,),
    )
    for filters in ({"name": "needle"}, {"phase": "FAILED"}, {"parent": "b"}):
        found = pages(api, f"{run.path}/actions", "actions", **filters)
        assert [action["name"] for page in found for action in page] == ["c45000"]
        assert len(found) == 3
    assert pages(api, f"{run.path}/actions", "actions", name="nosuch") == [[], [], []]


def test_a_sorted_page_looks_at_all_of_a_large_tree(api, run):
    """More actions than in one turn; the page is of bounded bytes."""
    api.post_one(run.event("root", parent=None))
    text = "x" * 500
    for first in range(0, 45000, 2500):
        api.post_all(
            [
                run.event(f"a{number}", parent="root", task={"name": text, "shortName": text})
                for number in range(first, first + 2500)
            ]
        )
    path = f"{run.path}/actions"
    wanted = [f"a{number}" for number in range(44999, 40000, -1)]
    page, found = {"nextCursor": None}, []
    while len(found) < 3000:
        cursor = {"cursor": page["nextCursor"]} if page["nextCursor"] else {}
        parameters = {"sort": "name", "desc": "true", "parent": "root", "limit": 1000} | cursor
        response = api.get(path, **parameters)
        page = response.json()
        assert len(response.content) < 1100000 and len(page["actions"]) < 1000
        found += [action["name"] for action in page["actions"]]
    assert found == wanted[: len(found)]


def test_projects_count_a_bounded_number_of_runs(api, many_runs):
    run = many_runs
    found = api.read_all("/v1/projects", "projects")
    assert {"project": run.project, "domain": run.domain, "runs": 1000} in found


def test_pages_of_projects(api, run):
    wanted = [f"{run.project}-{number:03}" for number in range(120)]
    api.post_all([dict(run.event(parent=None), project=project) for project in wanted])
    for limit in (7, 100, 1000):
        found = pages(api, "/v1/projects", "projects", limit=limit)
        assert all(len(page) <= min(limit, 100) for page in found)
        names = [item["project"] for page in found for item in page]
        assert [name for name in names if name.startswith(f"{run.project}-")] == wanted


def scans_of_runs(sql):
    """How often the whole table was read; `sql` tells of its own reads first."""
    sql.execute("SELECT pg_stat_force_next_flush()")
    sql.execute("SELECT pg_stat_clear_snapshot()")
    return sql.execute(
        "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'runs'"
    ).fetchone()[0]


def test_the_poll_of_the_list_is_no_scan(start_runtree, postgres, open_api):
    """Nor is the first read of one who comes back; and a run's updates stay heap-only."""
    url = postgres.new_database()
    server, run = start_runtree(database_url=url), RunKey("p", "d", "r")
    api = open_api(server)
    api.post_one(run.event(parent=None))
    with psycopg.connect(url, autocommit=True) as sql, EventStream(
        server.url, "/v1/runs/watch"
    ) as stream:
        stream.read_until("synced")
        sql.execute(
            "INSERT INTO runs (project, domain, run_name, incarnation, first_seen_at)"
            " SELECT project, domain, 'x' || i, incarnation, first_seen_at"
            " FROM runs, generate_series(1, 45000) i"
        )
        for version in range(200):
            api.post_one(run.event(phase="RUNNING", version=version))
        last_id = stream.read_flush()[-1].id
        until(lambda: scans_of_runs(sql) > 0)
        before = scans_of_runs(sql)
        reads = metric(server.url, "runtree_list_reads_total")
        until(lambda: metric(server.url, "runtree_list_reads_total") >= reads + 3)
        with EventStream(server.url, "/v1/runs/watch", last_id) as again:
            again.read_until("synced")
        time.sleep(1.5)  # until the sessions have told what they did
        assert scans_of_runs(sql) == before
        updates, in_place = sql.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'runs'"
        ).fetchone()
        assert updates >= 150 and in_place >= updates * 0.9
