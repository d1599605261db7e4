"""Two cells: one is two PostgreSQLs, primary and standby, each on a disk of its own that can be
filled, the other is a single one."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

import psycopg

from postgres import Postgres, child_processes, free_port, unprivileged_account, wait_until_gone

DISK = "512m"

SETTINGS = """
max_wal_size = 64MB
min_wal_size = 32MB
wal_keep_size = 128MB
wal_recycle = off                     # a full disk is felt at the next segment
wal_retrieve_retry_interval = 200ms
wal_receiver_timeout = 10s
wal_sender_timeout = 10s
max_connections = 100
autovacuum_naptime = 5s               # the rows of runs that were deleted make room soon
"""


class Disk:
    """A small file system in memory; just a folder where this account may not mount one."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "runtree-faults", self.folder],
            capture_output=True,
            text=True,
        )
        self.why_not_full = None if mounted.returncode == 0 else mounted.stderr.strip()
        self._ballast = self.folder / "ballast"

    def fill(self):
        """Takes every byte that is left."""
        with contextlib.suppress(OSError), open(self._ballast, "ab", buffering=0) as ballast:
            space = os.statvfs(self.folder)
            os.posix_fallocate(ballast.fileno(), 0, space.f_bavail * space.f_frsize)
            while True:
                ballast.write(b"\0" * 4096)

    def free(self):
        self._ballast.unlink(missing_ok=True)

    def close(self):
        if self.why_not_full is None:
            subprocess.run(["umount", "--lazy", self.folder], check=True)


class Node(Postgres):
    """One PostgreSQL, its log not on its disk. Without `source` initdb makes it, else it is a
    standby that follows the primary behind the port `source`."""

    def __init__(self, disk, port=None, source=None):
        self.disk = disk
        self.folder = disk.folder.with_name(disk.folder.name + "-log")
        self.folder.mkdir(exist_ok=True)
        self.port = port or free_port()
        self.process = None
        self._account = unprivileged_account()
        self._durable = True
        if self._account:
            for folder in (self.folder, disk.folder):
                os.chown(folder, self._account["user"], self._account["group"])
        if source is None:
            self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8",
                      "--locale=C", "--wal-segsize=1", "--no-instructions")  # fmt: skip
            self._configure("postgresql.conf", SETTINGS)
        else:
            self._run("pg_basebackup", "-D", str(self.data), "-X", "stream", "-c", "fast", "-R",
                      "-d", f"host=127.0.0.1 port={source} user=postgres")  # fmt: skip
            # A promoted standby has no standby of its own yet, and must not wait for one.
            self._configure("postgresql.auto.conf", "synchronous_standby_names = ''\n")

    @property
    def data(self):
        return self.disk.folder / "data"

    def log_count(self, text):
        """How often the log says that."""
        return (self.folder / "log").read_text(errors="replace").count(text)

    def _configure(self, file, text):
        with open(self.data / file, "a") as out:
            out.write(text)

    def kill_postmaster(self):
        """SIGKILL for the postmaster alone; its children notice, and are waited for."""
        children = child_processes(self.process.pid)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        wait_until_gone(children, 30)

    def restart(self):
        """Brings up what was killed, or has given up by itself."""
        if not self.is_running():
            self.start()

    def ask(self, statement, *parameters):
        """One value from the database of the tests, over TCP."""
        url = self.url(Pair.DATABASE, over_tcp=True) + " connect_timeout=5"
        with psycopg.connect(url, autocommit=True) as connection:
            return connection.execute(statement, parameters or None).fetchone()[0]


class Pair:
    """A primary and the standby that it waits for: what is acknowledged is on both. And `other`, the
    second cell."""

    DATABASE = "faults"

    def __init__(self, folder, network):
        self._network = network
        self.disks = [Disk(folder / name) for name in ("disk-a", "disk-b", "disk-c")]
        self.primary, self.other = Node(self.disks[0]), Node(self.disks[2])
        for node in (self.primary, self.other):
            node.start()
            node.execute("postgres", f"CREATE DATABASE {self.DATABASE}")
        self.ports = [self.primary.port, free_port()]
        self.replication = None
        self.standby = None
        self._attach_standby(self.disks[1], self.ports[1])

    def _attach_standby(self, disk, port):
        self.replication = self._network.link(self.primary.port)
        self.standby = Node(disk, port, self.replication.port)
        self.standby.start()
        self.wait_for_standby()
        self.set_synchronous("*")

    def set_synchronous(self, names):
        """For which standbys a commit waits. Returns once the primary does it."""
        self.primary.execute("postgres", f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.primary.execute("postgres", "SELECT pg_reload_conf()")
        expected = "sync" if names else "async"
        self._wait_for_primary(
            "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = %s", expected
        )
        # The checkpointer tells the other processes; it has its own turn to read the settings.
        time.sleep(0.5)

    def wait_for_standby(self):
        """Until the standby streams, and has all that the primary has."""
        position = self.primary.ask("SELECT pg_current_wal_lsn()::text")
        self._wait_for_primary(
            "SELECT count(*) = 1 FROM pg_stat_replication"
            " WHERE state = 'streaming' AND replay_lsn >= %s::pg_lsn",
            position,
        )

    def _wait_for_primary(self, statement, *parameters, seconds=30):
        deadline = time.monotonic() + seconds
        while not self.primary.ask(statement, *parameters):
            assert time.monotonic() < deadline, f"the standby does not follow: {statement}"
            time.sleep(0.05)

    def promote(self):
        """The primary dies, the standby takes over, and the old primary's place is empty."""
        self.primary.kill()
        self.standby.execute("postgres", "SELECT pg_promote(true, 30)")
        self.primary, self.standby = self.standby, self.primary

    def rebuild_standby(self):
        """A new standby in the place of the old primary."""
        disk, port = self.standby.disk, self.standby.port
        shutil.rmtree(self.standby.data)
        self._attach_standby(disk, port)

    def urls(self):
        """Of both cells, as they are reached now."""
        return [node.url(self.DATABASE, over_tcp=True) for node in (self.primary, self.other)]

    def close(self):
        for node in (self.primary, self.standby, self.other):
            if node is not None and node.is_running():
                node.kill()
        for disk in self.disks:
            disk.close()
