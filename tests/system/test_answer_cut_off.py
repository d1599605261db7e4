"""A database session that ends between a statement's rows and the word that it is done: the read is
done again, and must not hand the same rows out twice."""

import contextlib
import socket
import struct
import threading

import pytest

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
        self._target_port = target_port
        self._application = application
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self._target_port)) as server:
            length = receive(client, 4)
            startup = length + receive(client, struct.unpack("!I", length)[0] - 4)
            server.sendall(startup)
            back = threading.Thread(target=self._pass_on, args=(client, server), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                self._pass_back(server, client, self._application.encode() in startup)
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()

    @staticmethod
    def _pass_on(client, server):
        with contextlib.suppress(OSError):
            while chunk := client.recv(65536):
                server.sendall(chunk)
            server.shutdown(socket.SHUT_WR)

    def _pass_back(self, server, client, may_cut):
        has_rows = False
        while True:
            head = receive(server, 5)
            body = receive(server, struct.unpack("!I", head[1:])[0] - 4)
            kind = head[:1]
            has_rows |= kind == ROW
            if kind == READY:
                if may_cut and self.is_armed and has_rows:
                    self.is_armed = False
                    self.cuts += 1
                    return
                has_rows = False
            client.sendall(head + body)


@pytest.fixture
def relay(postgres):
    relay = CuttingRelay(postgres.port, "runtree reader")
    yield relay
    relay.close()


@pytest.fixture
def cut_api(relay, postgres, start_runtree, open_api):
    """A runtree whose reads go through the relay."""
    postgres.execute("postgres", "CREATE DATABASE cut_off")
    url = f"host=127.0.0.1 port={relay.port} user=postgres dbname=cut_off sslmode=disable"
    yield open_api(start_runtree(database_url=url + " gssencmode=disable"))


def test_rows_are_handed_out_once(cut_api, relay, run):
    cut_api.post_all(
        [run.event("a0", "RUNNING", parent=None), run.event("a1", "RUNNING", parent="a0")]
    )
    for path in (
        "/v1/runs",
        "/v1/projects",
        f"{run.path}/actions",
        f"{run.path}/actions/a0",
        f"{run.path}/actions/a0/events",
        f"{run.path}/tree",
    ):
        expected = cut_api.read(path)
        relay.is_armed = True
        assert cut_api.read(path) == expected, path
    assert relay.cuts == 6
