"""What /metrics says of the database, and of the way from a change to those who watch."""

import time

import psycopg
import pytest

from client import metric, until

WRITERS, OTHERS = 2, 5  # three that read, listener, remover


@pytest.fixture
def database(postgres):
    return postgres.new_database()


@pytest.fixture
def server(start_runtree, database):
    return start_runtree(database_url=database)


def test_lag_is_observed_where_somebody_watches(api, run, server, open_stream):
    api.post_one(run.event("a0", parent=None))
    assert metric(server.url, "runtree_flush_lag_seconds_count") == 0
    stream = open_stream(f"{run.path}/watch")
    stream.read_until("synced")
    began = time.monotonic()
    for version in range(1, 4):
        api.post_one(run.event("a0", "RUNNING", version=version))
        stream.read_flush()
    took = time.monotonic() - began
    assert 1 <= metric(server.url, "runtree_flush_lag_seconds_count") <= 3
    assert 0 < metric(server.url, "runtree_flush_lag_seconds_sum") < took


def test_lag_of_the_list_of_runs(api, run, server, open_stream):
    stream = open_stream("/v1/runs/watch")
    stream.read_until("synced")
    api.post_one(run.event("a0", parent=None))
    stream.read_until("runUpdate")
    assert metric(server.url, "runtree_list_flush_lag_seconds_count") == 1
    assert 0 < metric(server.url, "runtree_list_flush_lag_seconds_sum") < 5


def test_resets_of_all_who_watch_a_run(api, run, server, open_stream):
    api.post_one(run.event("a0", parent=None))
    stream = open_stream(f"{run.path}/watch")
    stream.read_until("synced")
    assert metric(server.url, "runtree_hub_resets_total") == 0
    assert api.request("DELETE", run.path).status_code == 204
    stream.read_until("reset")
    assert metric(server.url, "runtree_hub_resets_total") == 1


def test_connections_that_are_usable(server, database, postgres):
    def usable():
        return metric(server.url, "runtree_database_connections")

    until(lambda: usable() == WRITERS + OTHERS)
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    postgres.execute("postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    postgres.execute(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
        name,
    )
    until(lambda: usable() == 0)


def test_notification_queue_that_fills(server, database, postgres):
    """A session that listens and sits in a transaction holds the queue."""
    with psycopg.connect(database, autocommit=True) as sleeper:
        sleeper.execute("LISTEN runtree")
        sleeper.execute("BEGIN")
        postgres.execute(
            database,
            "SELECT pg_notify('elsewhere', repeat('x', 7000) || i) FROM generate_series(1, 1000) i",
        )
        until(lambda: 0 < metric(server.url, "runtree_notification_queue_usage_ratio") < 0.1)
    until(lambda: metric(server.url, "runtree_notification_queue_usage_ratio") == 0)
