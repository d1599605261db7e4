"""What stands between runtree and its tables: PgBouncer, a schema of its own, a listener that is
deaf. What works, and what is refused in a sentence."""

import contextlib
import itertools
import os
import shutil
import subprocess

import httpx
import psycopg
import pytest

from client import metric, until
from inventions import RunKey
from postgres import free_port, unprivileged_account
from sse import EventStream


class PgBouncer:
    """In front of `postgres`, all its databases, in the folder of the cluster."""

    numbers = itertools.count(1)

    def __init__(self, postgres, mode):
        self.port = free_port()
        self.process = None
        self._folder = postgres.folder / f"pgbouncer{next(self.numbers)}"
        self._folder.mkdir()
        self._settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "admin_users": "admin",
            "pool_mode": mode,
            "default_pool_size": 40,
        }
        self._database = f"* = host={postgres.folder} port={postgres.port} user=postgres"

    def start(self):
        account = unprivileged_account()
        file = self._folder / "pgbouncer.ini"
        lines = [f"{name} = {value}" for name, value in self._settings.items()]
        file.write_text("\n".join(["[databases]", self._database, "[pgbouncer]", *lines, ""]))
        if account:
            os.chown(self._folder, account["user"], account["group"])
        binary = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        assert binary, "pgbouncer is not installed (apt: pgbouncer)"
        with open(self._folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [binary, str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **account
            )
        until(self._answers)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)

    def url(self, database):
        name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={name}"

    def change_mode(self, mode):
        """Of the running one: sessions go back to the pool with their next transaction's end."""
        url = f"host=127.0.0.1 port={self.port} user=admin dbname=pgbouncer"
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"SET pool_mode = '{mode}'")

    def _answers(self):
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url("dbname=postgres"), connect_timeout=5).close()
            return True
        return False


@pytest.fixture
def start_pooler(postgres):
    started = []

    def start(mode):
        pooler = PgBouncer(postgres, mode)
        started.append(pooler)
        pooler.start()
        return pooler

    yield start
    for pooler in started:
        pooler.stop()


def not_ready_because(runtree):
    return httpx.get(runtree.url + "/readyz").json().get("detail", "")


def test_session_pooling(start_pooler, start_runtree, open_api, postgres, run):
    """All there is, through sessions that somebody else may have had before."""
    pooler = start_pooler("session")
    url = pooler.url(postgres.new_database())
    for number in range(2):
        runtree = start_runtree(database_url=url)
        client = open_api(runtree)
        client.post_one(run.event(f"a{number}", parent=None))
        with EventStream(runtree.url, f"{run.path}/watch") as stream:
            stream.read_until("synced")
            client.post_one(run.event(f"a{number}", "RUNNING", parent=None))
            (update,) = stream.read_flush()
            assert update.data["action"]["phase"] == "RUNNING"
        assert metric(runtree.url, "runtree_notifications_total") >= 2
        runtree.stop()


def test_transaction_pooling_is_refused(start_pooler, start_runtree, open_api, postgres, run):
    """In a sentence, until the pooler is told otherwise."""
    pooler = start_pooler("transaction")
    runtree = start_runtree(database_url=pooler.url(postgres.new_database()), until="/healthz")
    until(lambda: "pool_mode = session" in not_ready_because(runtree))
    assert runtree.log().count("pool_mode = session") == 1
    pooler.change_mode("session")
    runtree.wait_until_ready()
    open_api(runtree).post_one(run.event(parent=None))


def test_listener_finds_itself_deaf(postgres, start_runtree, open_api, run):
    """Once is made good, twice is said, and none counts as ready until it hears again. A function
    of ours in the place of PostgreSQL's tells it so."""
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(
            """CREATE SCHEMA ours; CREATE TABLE ours.state (is_deaf bool);
            INSERT INTO ours.state VALUES (false);
            CREATE FUNCTION ours.pg_listening_channels() RETURNS SETOF text LANGUAGE sql AS
            'SELECT c FROM pg_catalog.pg_listening_channels() c
            WHERE NOT (SELECT is_deaf FROM ours.state)'"""
        )
        runtree = start_runtree(database_url=f"{url} options='-csearch_path=ours,pg_catalog'")
        session.execute("UPDATE ours.state SET is_deaf = true")
        until(lambda: "must work in session mode" in not_ready_because(runtree))
        assert runtree.log().count("has stopped listening") == 1
        session.execute("UPDATE ours.state SET is_deaf = false")
        runtree.wait_until_ready()
    with EventStream(runtree.url, f"{run.path}/watch?wait=true") as stream:
        open_api(runtree).post_one(run.event(parent=None))
        stream.read_until("synced")


def test_a_worker_of_a_cluster_is_no_way_in(postgres, start_runtree, open_api, run):
    """As it starts, and when a session later ends up there. A function of ours in the place of
    Citus's says where it is."""
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(
            """CREATE TABLE state (is_coordinator bool); INSERT INTO state VALUES (false);
            CREATE FUNCTION citus_is_coordinator() RETURNS bool LANGUAGE sql AS
            'SELECT is_coordinator FROM state'"""
        )
        runtree = start_runtree(database_url=url, until="/healthz")
        until(lambda: "runtree needs its coordinator" in not_ready_because(runtree))
        assert session.execute("SELECT to_regclass('runs')").fetchall() == [(None,)]
        session.execute("UPDATE state SET is_coordinator = true")
        runtree.wait_until_ready()
        open_api(runtree).post_one(run.event(parent=None))
        session.execute("UPDATE state SET is_coordinator = false")
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'runtree listener'"
        )
        until(lambda: "runtree needs its coordinator" in runtree.log().partition("ready")[2])
        runtree.wait_for("/readyz", 503)
        session.execute("UPDATE state SET is_coordinator = true")
        runtree.wait_until_ready()


def _hears_of(stream, name):
    """The runs that the stream tells of until it tells of this one; what a snapshot had may come again."""
    names = set()
    while name not in names:
        names |= {frame.data["runName"] for frame in stream.read_flush()}
    return names


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "beside another"])
def test_schema_of_its_own(postgres, start_runtree, open_api, run, shared):
    """Two runtrees of one database, each with a schema, have nothing of each other's: not the runs,
    nor word of them."""
    url = postgres.new_database()
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    schemas = ["cell3", "public" if shared else "cell4"]
    postgres.execute(url, f"CREATE SCHEMA IF NOT EXISTS {schemas[1]}")
    postgres.execute(url, f"CREATE SCHEMA {schemas[0]}")
    runtrees = [
        start_runtree(
            database_url=f"postgresql:///{name}?host={postgres.folder}&port={postgres.port}"
            f"&user=postgres&options=-csearch_path%3D{schema}"
        )
        for schema in schemas
    ]
    clients = [open_api(runtree) for runtree in runtrees]
    clients[0].post_one(run.event("a0", parent=None))
    clients[1].post_one(run.event("b0", parent=None))
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(EventStream(runtree.url, f"{run.base}/runs/watch"))
            for runtree in runtrees
        ]
        for stream in streams:
            stream.read_until("synced")
        heard = metric(runtrees[1].url, "runtree_notifications_total")
        clients[0].post_one(RunKey(run.project, run.domain, "r2").event("a0", parent=None))
        assert _hears_of(streams[0], "r2") <= {run.name, "r2"}
        clients[1].post_one(RunKey(run.project, run.domain, "r3").event("a0", parent=None))
        assert _hears_of(streams[1], "r3") <= {run.name, "r3"}
        assert metric(runtrees[1].url, "runtree_notifications_total") == heard + 1
    for client, root in zip(clients, ["a0", "b0"], strict=True):
        names = [action["name"] for action in client.read(f"{run.path}/actions")["actions"]]
        assert names == [root]
