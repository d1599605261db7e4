"""What PostgreSQL cannot do at the moment is not the fault of an event: 503, and later it goes in."""

import time

import pytest

from client import assert_problem, until


@pytest.fixture
def database(postgres):
    return postgres.new_database()


@pytest.fixture
def server(start_runtree, database):
    return start_runtree(database_url=database)


def taken(api, events):
    """The answer to the events, or None while it is 503."""
    response = api.post({"events": events})
    return None if response.status_code == 503 else response


@pytest.mark.parametrize(
    "sqlstate",
    [
        "53100",  # the disk is full
        "40001",  # others are in the way, again and again
        "54000",  # the notification queue is full
        "55P03",  # others hold a lock
        "58030",  # an input or output error
        "42501",  # the right to write was taken away
        "P0001",  # somebody's trigger
        "22P05",  # a text that its encoding does not have
        "XX001",  # a damaged page
    ],
)
def test_events_are_taken_once_the_database_can(api, run, postgres, database, sqlstate):
    postgres.execute(
        database,
        f"""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{sqlstate}'; END $$""",
    )
    postgres.execute(
        database,
        "CREATE TRIGGER refuse BEFORE INSERT ON action_events EXECUTE FUNCTION refuse()",
    )
    events = [run.event(name, parent=None) for name in ("a0", "a1", "a2")]
    response = api.post({"events": events})
    assert response.status_code == 503
    assert "Retry-After" in response.headers
    postgres.execute(database, "DROP TRIGGER refuse ON action_events")
    response = until(lambda: taken(api, events))  # 503: it is to be repeated
    assert [result["status"] for result in response.json()["results"]] == ["applied"] * 3



@pytest.mark.parametrize(
    ("broken", "mended", "reason"),
    [
        (
            "ALTER TABLE action_events RENAME TO gone",
            "ALTER TABLE gone RENAME TO action_events",
            'relation "action_events" does not exist',
        ),
        (
            "ALTER TABLE runs RENAME phase TO gone",
            "ALTER TABLE runs RENAME gone TO phase",
            'phase does not exist',
        ),
    ],
    ids=["a table", "a column"],
)
def test_not_ready_while_something_is_missing(
    server, api, run, postgres, database, broken, mended, reason
):
    api.post_one(run.event("a0", parent=None))
    postgres.execute(database, broken)
    event = run.event("a1", parent="a0")
    assert_problem(api.post({"events": [event, run.event("a2", parent="a0")]}), 503, "unavailable")
    server.wait_for("/readyz", 503)
    assert reason in api.get("/readyz").json()["detail"]
    postgres.execute(database, mended)
    server.wait_until_ready()
    assert api.post_one(event)["status"] == "applied"


def test_rights_that_are_taken_away(postgres, start_runtree, open_api, database, run):
    server = start_runtree(database_url=database)
    postgres.execute(database, "CREATE ROLE writer LOGIN")
    postgres.execute(database, "GRANT ALL ON ALL TABLES IN SCHEMA public TO writer")
    server = start_runtree(database_url=database.replace("user=postgres", "user=writer"))
    api = open_api(server)
    api.post_one(run.event("a0", parent=None))
    postgres.execute(database, "REVOKE INSERT ON action_events FROM writer")
    assert_problem(api.post(run.event("a1", parent="a0")), 503, "unavailable")
    server.wait_for("/readyz", 503)
    assert "permission denied" in api.get("/readyz").json()["detail"]
    postgres.execute(database, "GRANT INSERT ON action_events TO writer")
    server.wait_until_ready()
    assert api.post_one(run.event("a1", parent="a0"))["status"] == "applied"


def test_a_node_behind_the_database_is_away(postgres, start_runtree, open_api, run):
    """As a server says it that has the rows on others: nobody is at fault, it is to be repeated."""
    url = postgres.new_database()
    start_runtree(database_url=url)
    postgres.execute(url, "CREATE ROLE far LOGIN")
    postgres.execute(url, "GRANT ALL ON ALL TABLES IN SCHEMA public TO far")
    server = start_runtree(database_url=url.replace("user=postgres", "user=far"))
    api = open_api(server)
    api.post_one(run.event("a0", parent=None))
    postgres.execute(
        url,
        """CREATE FUNCTION is_here() RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'connection to the node failed' USING ERRCODE = '08006'; END $$""",
    )
    postgres.execute(url, "CREATE POLICY far ON runs USING (is_here())")
    postgres.execute(url, "ALTER TABLE runs ENABLE ROW LEVEL SECURITY")
    for path in (run.path, f"{run.base}/runs", f"{run.path}/actions"):
        assert_problem(api.get(path), 503, "unavailable")
    response = api.post(run.event("a1", parent="a0"))
    assert_problem(response, 503, "unavailable")
    assert "cannot take anything" in response.json()["detail"]
    postgres.execute(url, "ALTER TABLE runs DISABLE ROW LEVEL SECURITY")
    until(lambda: taken(api, [run.event("a1", parent="a0")]))
    assert api.read(run.path)["actionCount"] == 2


def test_a_migration_under_a_running_process_heals_by_itself(api, run, postgres, database):
    """0A000, cached plan must not change result type: nobody hears of it."""
    api.post_one(run.event("a0", "RUNNING", parent=None))
    postgres.execute(database, "ALTER TABLE runs ALTER incarnation TYPE varchar(100)")
    postgres.execute(database, "ALTER TABLE actions ALTER error_info TYPE varchar")
    assert api.post_one(run.event("a1", parent="a0"))["status"] == "applied"
    assert api.read(f"{run.path}/actions")["actions"][1]["name"] == "a1"


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_of_another_encoding_is_refused(postgres, start_runtree, encoding):
    name = f"other_{encoding.lower()}"
    postgres.execute(
        "postgres", f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"
    )
    server = start_runtree(database_url=postgres.url(name), until="/healthz")
    server.wait_for("/readyz", 503)
    deadline = time.monotonic() + 60
    while f"the database's encoding is {encoding}" not in server.log():
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.05)
