"""Clients' reads that take long: nobody's stream waits for them, and they end with their client or
their time. Made slow by a function that stands before PostgreSQL's own in the reader's path."""

import os
import select
import signal
import socket
import time

import psycopg
import pytest

from client import Api, assert_problem
from inventions import RunKey
from postgres import wait_until_gone
from sse import EventStream

READERS = 2
READ_SECONDS = 10  # that a read may take


@pytest.fixture
def slow_database(postgres):
    """Where lower() of a text takes a minute: what filters by name calls it for each action."""
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA slow")
        connection.execute(
            "CREATE FUNCTION slow.lower(text) RETURNS text LANGUAGE sql VOLATILE"
            " AS 'SELECT $1 FROM pg_sleep(60)'"
        )
    return url


@pytest.fixture
def slow_server(start_runtree, slow_database):
    options = "options='-c search_path=slow,pg_catalog,public'"
    return start_runtree(database_url=f"{slow_database} {options}")


def running_sleeps(database):
    with psycopg.connect(database, autocommit=True) as connection:
        return connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        ).fetchone()[0]


def wait_for_sleeps(database, count):
    deadline = time.monotonic() + 60
    while running_sleeps(database) != count:
        assert time.monotonic() < deadline, f"{running_sleeps(database)} reads run, not {count}"
        time.sleep(0.02)


def send_get(server, path):
    """A request whose client may leave at any time."""
    client = socket.create_connection(("127.0.0.1", server.port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return client


@pytest.fixture
def posted(slow_server):
    run = RunKey("p", "d", "r")
    api = Api(slow_server.url)
    api.post_all([run.event("a0", parent=None), run.event("a1", parent="a0")])
    yield api, run
    api.close()


def test_streams_go_on_beside_slow_reads(slow_server, slow_database, posted):
    api, run = posted
    slow = [send_get(slow_server, f"{run.path}/actions?name=x") for _ in range(READERS + 1)]
    wait_for_sleeps(slow_database, READERS)
    stream = EventStream(slow_server.url, f"{run.path}/watch")
    lists = EventStream(slow_server.url, "/v1/runs/watch")
    stream.read_until("synced")
    lists.read_until("synced")
    for version in range(3):
        api.post_one(run.event("a1", "RUNNING", version=version))
        stream.read_flush()
        lists.read_flush()
    assert running_sleeps(slow_database) == READERS
    for client in slow:
        client.close()
    stream.close()
    lists.close()


def test_a_read_ends_with_its_client(slow_server, slow_database, posted):
    """Those that run and those that wait, so that the next one has its turn at once."""
    api, run = posted
    clients = [send_get(slow_server, f"{run.path}/actions?name=x") for _ in range(20)]
    wait_for_sleeps(slow_database, READERS)
    for client in clients:
        client.close()
    assert [action["name"] for action in api.read(f"{run.path}/actions")["actions"]] == ["a0", "a1"]
    wait_for_sleeps(slow_database, 0)


def test_a_read_ends_after_its_time(slow_server, slow_database, posted):
    api, run = posted
    assert_problem(api.get(f"{run.path}/actions", name="x"), 503, "overloaded")
    assert running_sleeps(slow_database) == 0
    assert api.read(f"{run.path}/actions")["actions"]


def test_a_read_whose_time_is_over_is_not_done_again(slow_server, slow_database, posted):
    """Its connection is lost before it hears that it is cancelled."""
    _, run = posted
    client = send_get(slow_server, f"{run.path}/actions?name=x")
    wait_for_sleeps(slow_database, 1)
    with psycopg.connect(slow_database, autocommit=True) as connection:
        (pid,) = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        ).fetchone()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(READ_SECONDS + 1)
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGCONT)
    wait_until_gone([pid])
    while not select.select([client], [], [], 0)[0]:
        assert running_sleeps(slow_database) == 0
    assert client.recv(4096).startswith(b"HTTP/1.1 503 ")
    client.close()
