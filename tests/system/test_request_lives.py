"""Each request ends once, whatever its client does: what it held is given back."""

import json
import os
import random
import resource
import select
import socket
import struct
import time

import httpx
import pytest

from client import metric

HELD = ("runtree_hubs", "runtree_views", "runtree_streams")
AT_ONCE = 250


def leave(connection, way):
    """Ends the connection by FIN, by RST, or by FIN after a half-close."""
    if way == "rst":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif way == "half":
        connection.shutdown(socket.SHUT_WR)
    connection.close()


def ask_and_leave(port, request):
    """Sends requests on many connections, and leaves them in no order at random moments: before
    the request is read, while it waits for the database, in its answer."""
    connections = []
    for number in range(AT_ONCE):
        connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        connection.sendall(request())
        connections.append((connection, ("fin", "rst", "half")[number % 3]))
        if random.random() < 0.5:
            leave(*connections.pop(random.randrange(len(connections))))
    for connection, way in connections:
        leave(connection, way)


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def wait_until_given_back(server, before):
    """Nothing that watches hold is left, and as many descriptors are open as before. What is left
    may take its time on a busy machine, as long as it gets less."""
    least, patience = float("inf"), 0
    while any(held := [metric(server.url, name) for name in HELD]) or descriptors(server) > before:
        left = sum(held) + descriptors(server)
        patience = 0 if left < least else patience + 1
        least = min(least, left)
        assert patience < 100, (dict(zip(HELD, held)), descriptors(server), before)
        time.sleep(0.1)


def get(path, headers=""):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()


def post(event):
    body = json.dumps(event)
    head = f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def test_watchers_that_leave_at_any_moment_leave_nothing(start_runtree, database, run):
    server = start_runtree("--hub-linger-ms", "10", database_url=database)
    metric(server.url, HELD[0])
    before = descriptors(server)
    numbers = iter(range(1_000_000))
    for _ in range(80):
        ask_and_leave(server.port, lambda: get(f"{run.path}{next(numbers)}/watch?wait=true"))
    wait_until_given_back(server, before)


REQUESTS = {
    "list watch": lambda run, number: get(f"{run.base}/runs/watch?name={number}"),
    "tree": lambda run, number: get(f"{run.path}/tree"),
    "packed tree": lambda run, number: get(f"{run.path}/tree", "Accept-Encoding: gzip\r\n"),
    "event": lambda run, number: post(run.event(f"b{number}", parent="a0")),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_clients_that_leave_at_any_moment_leave_nothing(start_runtree, database, run, name):
    server = start_runtree("--hub-linger-ms", "10", database_url=database)
    events = [run.event("a0", parent=None)]
    events += [run.event(f"a{number}", parent="a0") for number in range(1, 2001)]
    assert httpx.post(f"{server.url}/v1/events", json={"events": events}).status_code == 200
    before = descriptors(server)
    numbers = iter(range(1_000_000))
    for _ in range(4):
        ask_and_leave(server.port, lambda: REQUESTS[name](run, next(numbers)))
    wait_until_given_back(server, before)


def test_watch_without_a_descriptor_is_answered(start_runtree, database, run):
    """A stream needs a descriptor of its own; there is none when the limit is reached."""
    server = start_runtree("--hub-linger-ms", "10", database_url=database)
    metric(server.url, HELD[0])
    before = descriptors(server)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (before + 20, before + 20))
    # More than there is room for: the last ones wait in the kernel.
    connections = [
        socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(40)
    ]
    answers = []
    try:
        for number, connection in enumerate(connections):
            connection.sendall(get(f"{run.path}x{number}/watch?wait=true"))
        while readable := select.select(connections, [], [], 1)[0]:
            for connection in readable:
                answers.append(connection.recv(65536))
                connections.remove(connection)
                connection.close()
    finally:
        for connection in connections:
            connection.close()
    statuses = {answer[:12] for answer in answers}
    assert b"HTTP/1.1 503" in statuses and statuses <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}, answers
    assert all(b"Retry-After: " in answer for answer in answers if b" 503 " in answer[:13])
    wait_until_given_back(server, before)
