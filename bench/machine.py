"""What a case runs on: a PostgreSQL of its own, runtree processes, and the load generators."""

import contextlib
import dataclasses
import glob
import http.client
import json
import os
import pathlib
import platform
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
SCRIPTS = REPOSITORY / "bench"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def build(folder):
    """Builds the release preset and the load generators into `folder`."""
    configure = ["cmake", "--preset", "release", "-B", str(folder), "-DRUNTREE_BENCH=ON"]
    for command in (configure, ["cmake", "--build", str(folder), "-j", "2"]):
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def describe():
    """The machine, as the report names it."""
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1),
        "kernel": platform.release(),
        "commit": commit.stdout.strip(),
        "load_average_at_start": os.getloadavg()[0],
    }


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Postgres:
    """A cluster with PostgreSQL's default settings: durable, 128 MB of shared buffers."""

    def __init__(self):
        folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda f: int(f.split("/")[4]))
        if not folders:
            raise SystemExit("PostgreSQL's server binaries are not installed (apt: postgresql)")
        self.binaries = pathlib.Path(folders[-1])
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="runtree-bench-"))
        self.account = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            self.account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self.url = f"host={self.folder} dbname=postgres user=postgres"
        self.process = None

    def start(self):
        data = self.folder / "data"
        subprocess.run(
            [
                self.binaries / "initdb",
                "-D",
                data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-instructions",
            ],
            check=True,
            capture_output=True,
            cwd="/",
            **self.account,
        )
        self.process = subprocess.Popen(
            [self.binaries / "postgres", "-D", data, "-k", self.folder, "-c", "listen_addresses="],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **self.account,
        )
        deadline = time.monotonic() + 30
        while (
            subprocess.run(
                [self.binaries / "pg_isready", "-q", "-h", self.folder], check=False
            ).returncode
            != 0
        ):
            if time.monotonic() > deadline:
                raise SystemExit("PostgreSQL does not start")
            time.sleep(0.05)

    def query(self, sql):
        """The rows as lines, columns by a bar."""
        return subprocess.run(
            [self.binaries / "psql", "-X", "-At", "-h", self.folder, "-U", "postgres", "-c", sql],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def clear(self):
        """Empty tables and a finished checkpoint: every measurement starts from the same place."""
        self.query("TRUNCATE runs, actions, action_events")
        self.query("CHECKPOINT")

    def cpu_seconds(self):
        """Of all its processes, those that have ended included."""
        postmaster = str(self.process.pid)
        ticks = 0
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if stat.parent.name == postmaster:
                    ticks += sum(int(field) for field in fields[11:15])
                elif fields[1] == postmaster:
                    ticks += sum(int(field) for field in fields[11:13])
        return ticks / CLOCK_TICKS

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Runtree:
    """One `runtree serve` on the bench's database, or with a cell on each of several."""

    def __init__(self, binary, clusters, *arguments):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [
                binary,
                "serve",
                "--listen",
                f"127.0.0.1:{self.port}",
                *(part for cluster in clusters for part in ("--database-url", cluster.url)),
                "--log-level",
                "error",
                *arguments,
            ],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while self._status("/readyz") != 200:
            if time.monotonic() > deadline:
                raise SystemExit("runtree does not get ready")
            time.sleep(0.03)

    def _status(self, path):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.request("GET", path)[0]
        return None

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def post(self, events):
        status, body = self.request("POST", "/v1/events", json.dumps({"events": events}))
        if status != 200:
            raise SystemExit(f"POST answered {status}: {body[:300]!r}")

    def metric(self, name):
        """The sum over its labels."""
        _, text = self.request("GET", "/metrics")
        found = re.findall(rf"^{name}(?:{{.*}})? (\S+)", text.decode(), re.MULTILINE)
        return sum(float(value) for value in found)

    def new_events(self):
        """Recorded so far, whether they are their actions' state or only in the history."""
        statuses = ("applied", "recorded")
        return sum(self.metric(f"runtree_events_{status}_total") for status in statuses)

    def user_memory_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s*(\d+)", status).group(1)) * 1024

    def user_memory_peak_bytes(self):
        """Of all its life; shared pages of the program count in, before and after alike."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s*(\d+)", status).group(1)) * 1024

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
        return sum(int(ticks) for ticks in fields.split()[11:13]) / CLOCK_TICKS

    def stop(self):
        self.process.terminate()
        self.process.wait()


@dataclasses.dataclass(eq=False)
class Bench:
    """Handed to every case. `seconds` is how long one measurement of a rate takes."""

    folder: pathlib.Path
    postgres: Postgres
    seconds: float

    def shorter(self, seconds):
        return Bench(self.folder, self.postgres, seconds)

    @contextlib.contextmanager
    def runtrees(self, count=1, *arguments, keep=False):
        """Fresh processes, on empty tables unless these are to be kept."""
        started = [
            Runtree(self.folder / "runtree", [self.postgres], *arguments) for _ in range(count)
        ]
        try:
            if not keep:
                self.postgres.clear()
            yield started
        finally:
            for runtree in started:
                runtree.stop()

    @contextlib.contextmanager
    def cells(self, count):
        """A process with cells on as many new PostgreSQL servers: (runtree, servers)."""
        clusters = [Postgres() for _ in range(count)]
        try:
            for cluster in clusters:
                cluster.start()
            runtree = Runtree(self.folder / "runtree", clusters)
            try:
                yield runtree, clusters
            finally:
                runtree.stop()
        finally:
            for cluster in clusters:
                cluster.stop()

    def tool(self, name, *arguments):
        """Runs a load generator to its end: its JSON."""
        command = [self.folder / "bench" / name, *map(str, arguments)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout.strip().splitlines()[-1])

    def database(self, mode, *arguments):
        return self.tool("bench_database", mode, self.postgres.url, *arguments)

    def watchers(self, port, run, streams, **options):
        return self.tool(
            "bench_watchers",
            port,
            run,
            streams,
            *(f"{name}={value}" for name, value in options.items()),
        )

    @contextlib.contextmanager
    def waiting_watchers(self, port, run, streams, **options):
        """Watchers that are synced and stay; yields a function that lets them go on and gives their
        JSON."""
        command = [
            self.folder / "bench" / "bench_watchers",
            str(port),
            run,
            str(streams),
            "wait=1",
            *(f"{name}={value}" for name, value in options.items()),
        ]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            if process.stdout.readline() != "synced\n":
                raise SystemExit("the watchers were not synced")

            def go_on():
                process.stdin.write("go\n")
                process.stdin.flush()
                return json.loads(process.stdout.readline())

            yield go_on
            process.stdin.close()

    def bare_send(self, streams, frame_bytes):
        """Bytes a second that a bare send() loop brings to as many watchers."""
        sender = subprocess.Popen(
            [
                self.folder / "bench" / "bench_sender",
                str(streams),
                str(frame_bytes),
                str(self.seconds),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        port = int(sender.stdout.readline())
        seen = self.watchers(port, "bare", streams, post="none", seconds=self.seconds + 0.7)
        sender.wait()
        return seen["bytes"] / seen["seconds"]

    def wrk(self, runtrees, connections, events_per_request, runs, prefixes, *script):
        """Posts to each of the processes at once; the events that are new, a second. `script`: what
        posts, and what it is told beside the rest."""
        script, *told = script or ("post_events.lua",)
        before = [runtree.new_events() for runtree in runtrees]
        started = [
            subprocess.Popen(
                [
                    "wrk",
                    "-t",
                    "2" if len(runtrees) == 1 else "1",
                    "-c",
                    str(connections),
                    "-d",
                    f"{self.seconds:.0f}s",
                    "-s",
                    SCRIPTS / script,
                    runtree.url,
                    "--",
                    str(events_per_request),
                    str(runs),
                    prefix,
                    *told,
                ],
                stdout=subprocess.PIPE,
                text=True,
                cwd=SCRIPTS,
            )
            for runtree, prefix in zip(runtrees, prefixes, strict=True)
        ]
        results = [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]
        if any(result["refused"] or result["broken"] for result in results):
            raise SystemExit(f"wrk: requests failed: {results}")
        after = [runtree.new_events() for runtree in runtrees]
        applied = sum(after) - sum(before)
        return applied / max(result["seconds"] for result in results)
