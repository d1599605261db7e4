"""Database sessions that end at the worst moment: a read between its rows and the word that it is
done, and a write whose commit comes after its client has gone."""

import contextlib
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

from client import metric

ROW, READY = b"D", b"Z"


def receive(source, count):
    received = b""
    while len(received) < count:
        chunk = source.recv(count - len(received))
        if not chunk:
            raise ConnectionError
        received += chunk
    return received


class CuttingRelay:
    """Passes sessions of one application on to a Postgres, message by message. Once `is_armed`, it
    ends the next session that is sent rows, right before the ReadyForQuery behind them."""

    def __init__(self, target_port, application):
        self.is_armed = False
        self.cuts = 0
        self.gate = threading.Event()  # clear: what stands behind rows is held back
        self.gate.set()
        self._clients = []
        self._target_port = target_port
        self._application = application
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def lose_clients(self):
        """Ends its sessions as the clients see them; Postgres goes on with what it was sent."""
        lost, self._clients = self._clients, []
        for client in lost:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self._target_port)) as server:
            length = receive(client, 4)
            startup = length + receive(client, struct.unpack("!I", length)[0] - 4)
            is_ours = self._application.encode() in startup
            if is_ours:
                self._clients.append(client)
            server.sendall(startup)
            back = threading.Thread(target=self._pass_on, args=(client, server), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                self._pass_back(server, client, is_ours)
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()

    @staticmethod
    def _pass_on(client, server):
        with contextlib.suppress(OSError):
            while chunk := client.recv(65536):
                server.sendall(chunk)

    def _pass_back(self, server, client, may_cut):
        has_rows = False
        while True:
            head = receive(server, 5)
            body = receive(server, struct.unpack("!I", head[1:])[0] - 4)
            kind = head[:1]
            has_rows |= kind == ROW
            if kind == READY:
                if may_cut and has_rows:
                    self.gate.wait()
                if may_cut and self.is_armed and has_rows:
                    self.is_armed = False
                    self.cuts += 1
                    return
                has_rows = False
            client.sendall(head + body)


@pytest.fixture
def relays(postgres):
    opened = []

    def open_one(application):
        opened.append(CuttingRelay(postgres.port, application))
        return opened[-1]

    yield open_one
    for relay in opened:
        relay.close()


@pytest.fixture
def start_behind(postgres, start_runtree, open_api):
    """Starts a runtree on this database whose sessions go through the relay."""

    def start(relay, database):
        name = database.rpartition("=")[2]
        url = f"host=127.0.0.1 port={relay.port} user=postgres dbname={name} sslmode=disable"
        url += " gssencmode=disable options=-clock_timeout=20s"  # else the writers go on sooner
        return open_api(start_runtree(database_url=url))

    return start


def test_rows_are_handed_out_once(postgres, relays, start_behind, run):
    relay = relays("runtree reader")
    api = start_behind(relay, postgres.new_database())
    api.post_all([run.event("a0", "RUNNING", parent=None), run.event("a1", parent="a0")])
    for path in (
        "/v1/runs",
        "/v1/projects",
        f"{run.path}/actions",
        f"{run.path}/actions/a0",
        f"{run.path}/actions/a0/events",
        f"{run.path}/tree",
    ):
        expected = api.read(path)
        relay.is_armed = True
        assert api.read(path) == expected, path
    assert relay.cuts == 6


def wait_for_sessions(postgres, database, count, condition):
    """Waits until so many of the writers' sessions are in this state."""
    statement = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'runtree writer' AND " + condition
    )
    deadline = time.monotonic() + 60
    while postgres.execute(database, statement) != [(count,)]:
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("name", "parent", "revision"),
    [("a0", None, {"revision": 2}), ("a1", "a9", {})],
    ids=["in the tree", "waiting"],
)
def test_commit_that_comes_late_is_found(
    postgres, relays, start_behind, run, name, parent, revision
):
    """The repeated try waits for the first one's lock, and then finds its event."""
    relay, database = relays("runtree writer"), postgres.new_database()
    api = start_behind(relay, database)
    api.post_one(run.event("a0", parent=None))
    with psycopg.connect(database) as blocker, ThreadPoolExecutor(1) as pool:
        blocker.execute("LOCK TABLE actions IN SHARE MODE")
        answer = pool.submit(api.post, run.event(name, "RUNNING", parent=parent))
        wait_for_sessions(postgres, database, 1, "wait_event_type = 'Lock'")
        relay.lose_clients()
        wait_for_sessions(postgres, database, 2, "wait_event_type = 'Lock'")
        blocker.rollback()
        response = answer.result(20)
    expected = {"status": "duplicate", "identical": True} | revision
    assert (response.status_code, response.json()) == (200, expected)


def test_events_that_lose_every_connection_are_given_up(postgres, relays, start_behind, run):
    """They may be why it is lost. Told so, a client repeats them, and they are stored once."""
    relay, database = relays("runtree writer"), postgres.new_database()
    api = start_behind(relay, database)
    api.post_one(run.event("a0", parent=None))
    with psycopg.connect(database) as blocker, ThreadPoolExecutor(1) as pool:
        blocker.execute("LOCK TABLE actions IN SHARE MODE")
        answer = pool.submit(api.post, run.event("a0", "RUNNING"))
        for losses in range(1, 5):
            wait_for_sessions(postgres, database, losses, "wait_event_type = 'Lock'")
            relay.lose_clients()
        response = answer.result(20)
        assert response.status_code == 503 and "Retry-After" in response.headers
        blocker.rollback()
    deadline = time.monotonic() + 60
    while response.status_code == 503:
        assert time.monotonic() < deadline, response.text
        time.sleep(0.1)
        response = api.post(run.event("a0", "RUNNING"))
    assert response.json()["revision"] == 2
    assert api.read(run.path)["phaseCounts"] == {"RUNNING": 1}


def test_run_made_anew_between_two_parts_of_its_tree(postgres, relays, start_behind, run):
    """The next part is of another run, and behind its end: the tree is not empty for that."""
    relay = relays("runtree reader")
    api = start_behind(relay, postgres.new_database())
    api.post_all([run.event("a0", parent=None)])
    api.post_all([run.event(f"b{number}", parent="a0") for number in range(600)])
    relay.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(api.read, f"{run.path}/tree")
        time.sleep(0.5)
        with httpx.Client(base_url=api.url) as other:
            assert other.delete(run.path).status_code == 204
            assert other.post("/v1/events", json=run.event("c0", parent=None)).status_code == 201
        relay.gate.set()
        tree = answer.result(20)
    assert [node["action"]["name"] for node in tree["nodes"]] == ["c0"]


@pytest.mark.parametrize("ordinal", [1, 2])
def test_tree_with_a_gap_is_not_read_without_end(postgres, relays, start_behind, run, ordinal):
    """Such rows are not ours, but a tree that cannot be built must not keep the database busy."""
    database = postgres.new_database()
    api = start_behind(relays("runtree reader"), database)
    api.post_all([run.event("a0", parent=None), run.event("a1", parent="a0")])
    postgres.execute(database, f"UPDATE actions SET ordinal = 5 WHERE ordinal = {ordinal}")
    assert api.get(f"{run.path}/tree").status_code == 503
    # The notifications of the posts, the listener's start and the poll may each ask for a read more.
    time.sleep(1)
    assert metric(api.url, "runtree_hub_reads_total") < 10
    postgres.execute(database, f"UPDATE actions SET ordinal = {ordinal} WHERE ordinal = 5")
    assert len(api.read(f"{run.path}/tree")["nodes"]) == 2
