"""Clients that send slowly, do not read, or hold connections: they lose, others do not notice."""

import concurrent.futures
import resource
import socket
import time

import httpx
import psycopg
import pytest

from client import metric
from runtree import Runtree

TIMEOUT_MS = 1000
IDLE_CONNECTIONS = 10_000


@pytest.fixture(scope="module")
def strict(database, tmp_path_factory):
    """A runtree that gives a request one second to arrive."""
    runtree = Runtree(
        tmp_path_factory.mktemp("strict"),
        "--request-timeout-ms",
        str(TIMEOUT_MS),
        database_url=database,
    )
    runtree.start()
    yield runtree
    runtree.stop()


def trickle(port, first, drip, seconds):
    """Sends a byte every 50 ms until the server has enough of it: what it said, and after how
    long; None for the time if it never did."""
    began = time.monotonic()
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(first)
        connection.settimeout(0.05)
        while time.monotonic() < began + seconds:
            try:
                connection.sendall(drip)
                chunk = connection.recv(4096)
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                return received, time.monotonic() - began
            received += chunk
            if not chunk:
                return received, time.monotonic() - began
    return received, None


SLOW = {
    "a header": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", b"x"),
    "headers": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n"),
    "a body": (b"POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\n", b" "),
    "chunks": (
        b"POST /v1/events HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\n \r\n",
    ),
    "a body that nobody wants": (
        b"POST /nothing HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\n",
        b" ",
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_slow_sender_is_cut_off(strict, name):
    first, drip = SLOW[name]
    answer, seconds = trickle(strict.port, first, drip, 6)
    assert seconds is not None, "still listened to"
    assert TIMEOUT_MS / 1000 - 0.1 < seconds < TIMEOUT_MS / 1000 + 3
    assert answer.startswith(b"HTTP/1.1 408 ") or answer == b""
    assert metric(strict.url, "runtree_requests_timed_out_total") > 0


def test_slow_senders_do_not_hinder_others(strict, run):
    """200 of them, all the time, while events are posted and a run is read."""
    first, drip = SLOW["a header"]
    with concurrent.futures.ThreadPoolExecutor(16) as senders:
        slow = [socket.create_connection(("127.0.0.1", strict.port), timeout=60) for _ in range(200)]
        for connection in slow:
            connection.sendall(first)
        sending = [senders.submit(trickle, strict.port, first, drip, 2) for _ in range(16)]
        with httpx.Client(base_url=strict.url) as client:
            took = []
            for number in range(50):
                event = run.event(f"a{number}", parent="a0" if number else None)
                began = time.monotonic()
                assert client.post("/v1/events", json=event).status_code == 201
                took.append(time.monotonic() - began)
            assert client.get(run.path).json()["actionCount"] == 50
        assert sorted(took)[25] < TIMEOUT_MS / 1000, "the median of one event"
        for future in sending:
            future.result()
    for connection in slow:
        connection.close()


def test_request_that_waits_for_the_database_is_not_a_slow_one(strict, database, run):
    with psycopg.connect(database) as blocker, concurrent.futures.ThreadPoolExecutor(1) as poster:
        blocker.execute("LOCK TABLE action_events IN ACCESS EXCLUSIVE MODE")
        posted = poster.submit(
            httpx.post, f"{strict.url}/v1/events", json=run.event("a0", parent=None), timeout=30
        )
        time.sleep(3 * TIMEOUT_MS / 1000)
        blocker.rollback()
        assert posted.result().status_code == 201


def test_idle_connections_do_not_hinder_others(server, api, run):
    """10,000 that say nothing, some of which die without a word."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(IDLE_CONNECTIONS, hard - 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle = []
    try:
        for number in range(wanted):
            connection = socket.socket()
            connection.connect(("127.0.0.1", server.port))
            idle.append(connection)
            if number % 10 == 0:
                connection.sendall(b"GET /hea")  # half a request
        took = []
        for number in range(50):
            began = time.monotonic()
            api.post_one(run.event(f"a{number}", parent="a0" if number else None))
            took.append(time.monotonic() - began)
        assert sorted(took)[25] < 0.5, "the median of one event"
        assert api.read(run.path)["actionCount"] == 50
    finally:
        for connection in idle:
            connection.close()
    assert api.get("/healthz").status_code == 200


def test_number_of_connections_of_one_address(start_runtree, database):
    runtree = start_runtree("--connections-per-address-max", "5", database_url=database)
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    held = []
    for _ in range(5):
        held.append(socket.create_connection(("127.0.0.1", runtree.port), timeout=60))
        held[-1].sendall(ask)
        assert held[-1].recv(4096).startswith(b"HTTP/1.1 200 ")
    with socket.create_connection(("127.0.0.1", runtree.port), timeout=60) as refused:
        refused.sendall(ask)
        try:
            assert refused.recv(4096) == b""
        except ConnectionResetError:
            pass
    for connection in held:
        connection.close()
    time.sleep(0.2)
    assert metric(runtree.url, "runtree_connections_refused_total") == 1
    assert httpx.get(runtree.url + "/healthz").status_code == 200


def test_client_that_goes_away_in_the_middle(server, api):
    """At every place of a request, with and without a reset."""
    request = (
        b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 20\r\n\r\n{                  }"
    )
    for length in range(0, len(request) + 1, 3):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(request[:length])
            if length % 2:
                linger = b"\1\0\0\0\0\0\0\0"
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert api.get("/healthz").status_code == 200


def test_request_whose_head_was_refused_is_forgotten(strict):
    """Nothing looks for its connection when its time is over."""
    for head in (
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000,
        b"GET /?" + b"a&" * 600 + b" HTTP/1.1\r\n",
    ):
        with socket.create_connection(("127.0.0.1", strict.port), timeout=60) as connection:
            connection.sendall(head + b"\r\n")
    time.sleep(2 * TIMEOUT_MS / 1000)
    assert httpx.get(strict.url + "/healthz").status_code == 200
