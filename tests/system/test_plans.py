"""Each row is looked up by an index, whatever the planner was told of the tables: nothing that is
written or watched takes longer the more is stored. By the plans that PostgreSQL logs."""

import re

import pytest

from client import until
from inventions import RunKey
from sse import EventStream

SCAN = re.compile(r"-> +(?:Seq Scan|Index (?:Only )?Scan using \w+) on")


@pytest.fixture
def planned(postgres, start_runtree):
    """A runtree whose sessions begin when all tables are known to be empty, and a function that
    gives the plans of all that it has run: (statement, lines)."""
    url = postgres.new_database()
    database = url.rpartition("=")[2]
    start_runtree(database_url=url).stop()
    postgres.execute(url, "VACUUM ANALYZE")
    for name, value in (
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("log_parameter_max_length", "0"),
    ):
        postgres.execute(url, f"ALTER DATABASE {database} SET {name} = {value}")
    log = postgres.folder / "log"
    start = log.stat().st_size

    def plans():
        text = log.read_bytes()[start:].decode(errors="replace")
        for entry in re.findall(r" plan:\n\tQuery Text: (.*\n(?:\t.*\n)*)", text):
            statement, _, plan = entry.partition("\n")
            yield statement, plan.splitlines()

    return start_runtree(database_url=url), plans


# Statements that look up what another set of rows names.
OF_MANY = re.compile(r" AS k\b| FROM (gone|taken)\b|deleted_runs f|\) l CROSS JOIN")


def searched(lines):
    """The nodes of a plan that go through a table, or an index from its beginning."""
    for line, following in zip(lines, [*lines[1:], ""]):
        if SCAN.search(line) and "Index Cond:" not in following:
            yield line.strip()


def report_all(api, runs):
    """Events of every kind: many runs with labels, actions that join late, aliases, repeats, ends,
    requests to abort, removals."""
    said = {"title": "t", "labels": {"team": "ml"}}
    first = [run.event("a0", "RUNNING", parent=None, run=said) for run in runs]
    waiting = [run.event(f"a{n}", "RUNNING", parent=f"a{n - 1}") for run in runs for n in (2, 3)]
    joining = [run.event("a1", "RUNNING", parent="a0", aliases=["one"]) for run in runs]
    below = [run.event("a4", "RUNNING", parent="one") for run in runs]
    for events in (first, waiting, joining, below, first + joining):
        api.post_all(events)
    assert api.post({}, path=f"{runs[0].path}/abort").status_code == 200
    assert api.post({}, path=f"{runs[1].path}/actions/a1/abort").status_code == 200
    labels = {"labels": {"team": "data"}}
    api.post_all([run.event("a0", "SUCCEEDED", run=labels) for run in runs])
    api.post_all([run.event(f"a{n}", "SUCCEEDED") for run in runs for n in (1, 2, 3)])
    api.post_all([run.event("a0", "RUNNING", attempt=2) for run in runs])
    assert api.request("DELETE", f"{runs[2].path}/actions/a1").status_code == 204
    assert api.request("DELETE", runs[3].path).status_code == 204


def test_every_row_is_looked_up(planned, open_api, run):
    server, plans = planned
    api = open_api(server)
    runs = [RunKey(run.project, run.domain, f"r{number}") for number in range(20)]
    with (
        EventStream(server.url, f"{run.base}/runs/watch") as listed,
        EventStream(server.url, f"{runs[5].path}/watch?wait=true") as watched,
    ):
        listed.read_until("synced")
        report_all(api, runs)
        watched.read_until("synced")

        assert len(api.read_all("/v1/runs", "runs", label="team:ml")) == len(runs) - 1
        # The last: a look after the watched run, every 5 s.
        until(lambda: any(statement.startswith("SELECT k.i - 1 FROM") for statement, _ in plans()))
    wrong = [
        (statement, found)
        for statement, plan in plans()
        if OF_MANY.search(statement) and (found := list(searched(plan)))
    ]
    assert not wrong


def test_what_is_removed_is_gone_through_once(planned, open_api, run):
    """A piece of a run's rows from the key before it to its last, and of its actions by their names:
    not by the run's key alone, as a planner likes it that takes the run for a small one."""
    server, plans = planned
    api = open_api(server)
    api.post_all([run.event("a0", parent=None), run.event("a1", parent="a0")])
    assert api.request("DELETE", f"{run.path}/actions/a1").status_code == 204
    assert api.request("DELETE", run.path).status_code == 204
    until(lambda: any(statement.startswith("UPDATE deleted_runs") for statement, _ in plans()))
    written = [
        f"{line.strip()} {condition.strip()}"
        for statement, plan in plans()
        if "AS MATERIALIZED" in statement and "(SELECT FROM gone)" not in statement
        for line, condition in zip(plan, plan[1:])
        if re.search(r"Index Scan using (action_events|actions|pending_joins)_pkey", line)
    ]
    by_name = r"actions?(_events)? [ae] .*\bname = "
    by_range = r"(action_events|actions|pending_joins) t_1 .* > .* <= "
    assert sum(bool(re.search(by_name, one)) for one in written) == 2, written
    assert sum(bool(re.search(by_range, one)) for one in written) == 3, written
