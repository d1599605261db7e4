"""A PostgreSQL of the tests' own: made by initdb in a temporary folder, killed at will."""

import contextlib
import itertools
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import psycopg


def free_port():
    """A TCP port on loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find_binary(name):
    """The newest installed server binary: the usual Debian folders first, then PATH."""
    folders = sorted(
        pathlib.Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda folder: int(folder.parent.name),
        reverse=True,
    )
    for folder in folders:
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    assert found, f"PostgreSQL's {name} is not installed"
    return found


def unprivileged_account():
    """Arguments for subprocess that leave root behind, which PostgreSQL refuses to run as."""
    if os.geteuid() != 0:
        return {}
    for account in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(account)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise AssertionError("run as root there must be an account `postgres` or `nobody`")


def child_processes(parent_pid):
    """The pids of a process's direct children, from /proc."""
    children = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            after_name = stat.read_text().rpartition(")")[2].split()
            if int(after_name[1]) == parent_pid:
                children.append(int(stat.parent.name))
    return children


def wait_until_gone(pids, seconds=60):
    deadline = time.monotonic() + seconds
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, f"processes {pids} do not end"
        time.sleep(0.01)


def is_running(pid):
    """Whether the process exists and is more than a zombie."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def kill_cluster(postmaster_pid):
    """SIGKILL for a postmaster and every process of its cluster, none of which it may add to."""
    os.kill(postmaster_pid, signal.SIGSTOP)
    pids = [postmaster_pid, *child_processes(postmaster_pid)]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until_gone(pids)


# How many databases each runtree of the fixtures has (`RUNTREE_TEST_CELLS=2 pytest …`), and those
# beside the first, by its connection string.
CELLS = int(os.environ.get("RUNTREE_TEST_CELLS", "1"))
OTHER_CELLS = {}


class Postgres:
    """One cluster. `durable` keeps fsync on, which only the tests that kill it need."""

    def __init__(self, durable=False):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="runtree-pg-"))
        self.port = free_port()
        self.process = None
        self._account = unprivileged_account()
        self._durable = durable
        self._numbers = itertools.count(1)
        if self._account:
            os.chown(self.folder, self._account["user"], self._account["group"])
        self._run(
            "initdb",
            "-D",
            str(self.data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        )

    @property
    def data(self):
        return self.folder / "data"

    def start(self):
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "max_connections": 100,
            "shared_buffers": "32MB",
            "fsync": "on" if self._durable else "off",
            "synchronous_commit": "on" if self._durable else "off",
            "recovery_init_sync_method": "syncfs",
        }
        arguments = [f"-c{name}={value}" for name, value in settings.items()]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [find_binary("postgres"), "-D", str(self.data), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                **self._account,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=60).close()
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, "PostgreSQL does not come up"
                time.sleep(0.03)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """Fast shutdown: sessions are cut off, everything committed is kept."""
        if self.is_running():
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def kill(self):
        """As when the power fails: every process of the cluster at once, with SIGKILL."""
        kill_cluster(self.process.pid)
        self.process.wait(60)

    def remove(self):
        if self.is_running():
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database, over_tcp=False):
        host = "127.0.0.1" if over_tcp else self.folder
        return f"host={host} port={self.port} user=postgres dbname={database}"

    def new_database(self):
        """Makes an empty database and gives its connection string."""
        name = f"test{next(self._numbers)}"
        names = [name, *(f"{name}_cell{cell}" for cell in range(2, CELLS + 1))]
        for each in names:
            self.execute("postgres", f"CREATE DATABASE {each}")
        OTHER_CELLS[self.url(name)] = [self.url(other) for other in names[1:]]
        return self.url(name)

    def execute(self, database, statement, *parameters):
        """Runs one statement; its rows, if it gives any. `database` is a name or a URL."""
        url = database if "=" in database else self.url(database)
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def _run(self, name, *arguments):
        done = subprocess.run(
            [find_binary(name), *arguments],
            cwd="/",
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **self._account,
        )
        assert done.returncode == 0, done.stdout
