"""GET …/tree: the run as it was at one revision, made while the client takes it."""

import contextlib
import json
import socket
import time
from collections import Counter

import httpx
import pytest

from client import held, metric
from runtree import SMALL_QUARANTINE
from sse import EventStream

CHILDREN = 12_000  # of more than 1 KiB each: more than the kernel takes for one socket
SILENT = 8
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
def large(start_runtree, database, run):
    """A runtree of its own and a large run."""
    server = start_runtree(
        "--hub-linger-ms", "500", database_url=database, environment=SMALL_QUARANTINE
    )
    events = [run.event("a0", "QUEUED", parent=None)]
    for number in range(CHILDREN):
        task = {"name": "t" * 512, "shortName": f"n{number}"}
        events.append(run.event(f"n{number}", "QUEUED", parent="a0", task=task, group="g" * 512))
    for start in range(0, len(events), 2000):
        post(server, events[start : start + 2000])
    return server


def post(server, events):
    response = httpx.post(f"{server.url}/v1/events", json={"events": events}, timeout=60)
    assert response.status_code == 200


def ask(server, path, version="1.1"):
    """A connection that has asked for a document, and takes little of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(f"GET {path} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
    return connection


def check_document(document, children=CHILDREN):
    """Each node once, parents first, and all of them of one moment."""
    nodes = document["nodes"]
    names = [node["action"]["name"] for node in nodes]
    assert names[0] == "a0" and len(names) == len(set(names)) == children + 1
    phases = Counter(node["action"]["phase"] for node in nodes[1:])
    assert nodes[0]["childPhaseCounts"] == phases
    assert max(node["action"]["revision"] for node in nodes) == document["revision"]


def test_a_document_in_pieces(large, run):
    with httpx.Client(base_url=large.url, timeout=60) as client:
        for _ in range(2):  # the connection goes on behind it
            answer = client.get(f"{run.path}/tree")
            assert answer.headers["transfer-encoding"] == "chunked"
            check_document(answer.json())
        few = client.get(f"{run.path}/tree?name=n1199").json()["nodes"]
        assert [node["action"]["name"] for node in few] == ["a0", "n1199"] + [
            f"n1199{digit}" for digit in range(10)
        ]
        assert client.head(f"{run.path}/tree").status_code == 200
    with ask(large, f"{run.path}/tree", version="1.0") as connection:
        answer = b"".join(iter(lambda: connection.recv(1 << 20), b""))
    check_document(json.loads(answer.partition(b"\r\n\r\n")[2]))


def test_a_slow_client_gets_one_revision(large, run):
    """Whatever happens to the run while it reads: a document of before, to the last node."""
    with (
        httpx.Client(base_url=large.url, timeout=60) as client,
        client.stream("GET", f"{run.path}/tree", headers=PLAIN) as answer,
        EventStream(large.url, f"{run.path}/watch?name=joined", timeout=30) as live,
    ):
        parts = answer.iter_bytes(4096)
        document = [next(parts)]
        live.read_until("synced")
        for version in range(3):
            moved = range(0, CHILDREN, 40)
            post(large, [run.event(f"n{i}", "RUNNING", version=version) for i in moved])
        post(large, [run.event(f"n{CHILDREN - 1}", "FAILED")])
        post(large, [run.event("joined", "QUEUED", parent="a0")])
        live.read_until("nodeUpdate")
        assert held(large.url, "answers") < 1 << 20
        document = json.loads(b"".join([*document, *parts]))
    check_document(document)
    assert document["revision"] == CHILDREN + 1
    assert document["nodes"][-1]["action"]["phase"] == "QUEUED"
    now = httpx.get(f"{large.url}{run.path}/tree", timeout=60).json()
    assert now["nodes"][0]["childPhaseCounts"] == {
        "QUEUED": CHILDREN - len(moved),
        "RUNNING": len(moved),
        "FAILED": 1,
    }
    assert now["revision"] > document["revision"]


def test_clients_that_ask_and_read_nothing(large, run):
    """Each costs about a piece, and they cost nobody else anything."""
    check_document(httpx.get(f"{large.url}{run.path}/tree", timeout=60).json())
    with contextlib.ExitStack() as silent:
        live = silent.enter_context(EventStream(large.url, f"{run.path}/watch?name=joined"))
        live.read_until("synced")
        before = large.resident_bytes()
        for _ in range(SILENT):
            silent.enter_context(ask(large, f"{run.path}/tree"))
        deadline = time.monotonic() + 60
        while metric(large.url, "runtree_connections") < SILENT or not held(large.url, "answers"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1)
        assert held(large.url, "answers") < SILENT * 256 * 1024
        assert large.resident_bytes() - before < 32 << 20
        post(large, [run.event("joined", parent="a0")])
        live.read_until("nodeUpdate")
    while held(large.url, "answers") > 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_that_is_deleted_under_a_document(large, run):
    """The client learns that what it has is not the whole."""
    with (
        httpx.stream("GET", f"{large.url}{run.path}/tree", headers=PLAIN, timeout=20) as answer,
        EventStream(large.url, f"{run.path}/watch?name=a0", timeout=30) as live,
    ):
        parts = answer.iter_bytes(4096)
        next(parts)
        live.read_until("synced")
        assert httpx.delete(f"{large.url}{run.path}", timeout=60).status_code in (202, 204)
        live.read_until("reset")
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in parts:
                pass
    assert httpx.get(f"{large.url}{run.path}/tree").status_code == 404


def test_the_end_of_the_service_under_documents(large, run):
    with contextlib.ExitStack() as silent:
        for _ in range(SILENT):
            silent.enter_context(ask(large, f"{run.path}/tree"))
        time.sleep(0.5)
        large.stop(seconds=20)
