"""What PostgreSQL cannot do at the moment is not the fault of an event: 503, and later it goes in."""

import pytest


@pytest.fixture
def database(postgres):
    return postgres.new_database()


@pytest.fixture
def server(start_runtree, database):
    return start_runtree(database_url=database)


@pytest.mark.parametrize(
    "sqlstate",
    [
        "53100",  # the disk is full
        "40001",  # others are in the way, again and again
        "54000",  # the notification queue is full
        "55P03",  # others hold a lock
        "58030",  # an input or output error
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
    response = api.post({"events": events})
    assert [result["status"] for result in response.json()["results"]] == ["applied"] * 3
