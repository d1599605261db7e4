"""The limits of what waits: past each a clear refusal or a wait, and nothing lost."""

import concurrent.futures
import socket
import time

import httpx
import psycopg

from client import metric, until
from sse import EventStream

QUEUE_BYTES = 1 << 20  # the least that --write-queue-bytes takes
NOTE_BYTES = 200 * 1024


def post_note(url, run, number):
    """A root with an event of some 200 KiB."""
    event = run.event(f"a{number}", parent=None, note="x" * NOTE_BYTES)
    return httpx.post(f"{url}/v1/events", json=event, timeout=60)


def sessions_that_wait(database):
    with psycopg.connect(database) as connection:
        return connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchone()[0]


def test_write_queue(start_runtree, database, run):
    waits = f"{database} options=-clock_timeout=60s"  # for the lock below, which else is given up
    url = start_runtree("--write-queue-bytes", str(QUEUE_BYTES), database_url=waits).url
    with (
        psycopg.connect(database) as blocker,
        concurrent.futures.ThreadPoolExecutor(12) as posters,
    ):
        blocker.execute("LOCK TABLE action_events IN ACCESS EXCLUSIVE MODE")
        # The first is on its way to the database; of the others as many wait as there is room for.
        first = posters.submit(post_note, url, run, 0)
        until(lambda: sessions_that_wait(database) == 1)
        others = [posters.submit(post_note, url, run, number) for number in range(1, 11)]
        too_many = 10 - QUEUE_BYTES // NOTE_BYTES
        until(lambda: sum(answer.done() for answer in others) >= too_many)
        blocker.rollback()
        answers = [answer.result() for answer in (first, *others)]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert too_many <= len(refused) < 10
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    accepted = [answer for answer in answers if answer.status_code == 201]
    assert len(accepted) + len(refused) == 11
    assert httpx.get(f"{url}{run.path}").json()["actionCount"] == len(accepted)


def test_connections(start_runtree, database):
    server = start_runtree("--connections-max", "10", database_url=database)
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def connect():
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        connection.sendall(ask)
        return connection

    held = [connect() for _ in range(10)]
    assert all(connection.recv(4096).startswith(b"HTTP/1.1 200") for connection in held)
    with connect() as waiting:
        waiting.settimeout(1)
        try:
            early = waiting.recv(4096)
        except TimeoutError:
            early = b""
        assert early == b""
        for connection in held:
            connection.close()
    assert httpx.get(server.url + "/healthz").status_code == 200


def test_stream_that_takes_nothing(start_runtree, database, run):
    server = start_runtree("--stall-ms", "500", database_url=database)
    error = {"kind": "USER", "message": "x" * 1024}
    for start in range(0, 12_000, 2_000):  # 16 MB: more than the kernel takes for one socket
        events = [
            run.event(f"a{number}", "FAILED", parent="a0" if number else None, errorInfo=error)
            for number in range(start, start + 2_000)
        ]
        assert httpx.post(f"{server.url}/v1/events", json={"events": events}).status_code == 200
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as silent:
        silent.sendall(f"GET {run.path}/watch HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        began = time.monotonic()
        while metric(server.url, "runtree_streams_stalled_total") == 0:
            assert time.monotonic() < began + 60
            time.sleep(0.05)
        assert time.monotonic() > began + 0.5
    assert metric(server.url, "runtree_streams") == 0


def test_read_queue(start_runtree, database, run):
    server = start_runtree("--read-queue-max", "2", database_url=database)
    with (
        psycopg.connect(database) as blocker,
        concurrent.futures.ThreadPoolExecutor(12) as readers,
    ):
        blocker.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        reads = [readers.submit(httpx.get, server.url + run.path, timeout=30) for _ in range(10)]
        until(lambda: sum(read.done() for read in reads) >= 5)
        blocker.rollback()
        answers = [read.result() for read in reads]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert 5 <= len(refused) < 10
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    assert {answer.status_code for answer in answers} == {404, 503}
