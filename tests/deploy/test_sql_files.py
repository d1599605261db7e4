"""The SQL file that an operator runs by hand after a restore."""

import contextlib
import json
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from conftest import ROOT, free_port

RUN = "/v1/projects/p/domains/d/runs/r"


class Service:
    """A runtree with a PostgreSQL of its own."""

    def __init__(self, folder):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.connection = ["--host", str(folder / "run"), "--username", "runtree"]

    def open(self, path, body=None, headers={}):
        request = urllib.request.Request(self.url + path, data=body, headers=dict(headers))
        return urllib.request.urlopen(request, timeout=20)

    def read(self, path):
        with self.open(path) as response:
            return json.load(response)

    def post(self, *names):
        run = {"project": "p", "domain": "d", "runName": "r", "phase": "RUNNING"}
        parents = {name: None if name == "a0" else "a0" for name in names}
        events = [{**run, "name": name, "parent": parent} for name, parent in parents.items()]
        with self.open("/v1/events", json.dumps({"events": events}).encode()) as response:
            return [result["status"] for result in json.load(response)["results"]]

    def watch(self, last_event_id=None):
        """The kinds of the records of a watch up to the live part, and its last id."""
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        kinds, last_id = [], None
        with self.open(f"{RUN}/watch", headers=headers) as response:
            while last_id is None:
                name, _, value = response.readline().decode().rstrip("\n").partition(": ")
                if name == "event":
                    kinds.append(value)
                elif name == "id":
                    last_id = value
        return kinds, last_id

    def sql(self, *arguments):
        command = ["psql", *self.connection, "--quiet", "--no-align", "--tuples-only"]
        return run(*command, "--set=ON_ERROR_STOP=1", *arguments, "runtree")


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


@contextlib.contextmanager
def serving(binary, folder):
    service = Service(folder)
    address = service.url.removeprefix("http://")
    process = subprocess.Popen(
        [binary, "serve", "--listen", address, "--data-dir", folder], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError, urllib.error.HTTPError):
                service.open("/readyz").close()
                break
            assert time.monotonic() < deadline, "not ready"
            time.sleep(0.1)
        yield service
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder that PostgreSQL's user can enter, too."""
    folder = tmp_path_factory.mktemp("home")
    for each in (folder, folder.parent, folder.parent.parent):
        each.chmod(0o755)
    return folder


def test_restored_runs_are_the_same_and_watchers_start_anew(binary, home):
    dump = home / "runtree.dump"
    with serving(binary, home / "before") as before:
        before.post("a0", "a1")
        tree = before.read(f"{RUN}/tree")
        run("pg_dump", *before.connection, "--format=custom", f"--file={dump}", "runtree")
        before.post("lost")
        last_id = before.watch()[1]
        assert before.watch(last_id)[0] == ["synced"]
    with serving(binary, home / "after") as after:
        restore = ["pg_restore", *after.connection, "--clean", "--if-exists", "--no-owner"]
        run(*restore, "--single-transaction", "--dbname=runtree", str(dump))
        after.sql("--single-transaction", f"--file={ROOT / 'sql' / 'after_restore.sql'}")
    with serving(binary, home / "after") as after:
        assert after.read(f"{RUN}/tree") == tree
        assert after.post("other", "a1") == ["applied", "duplicate"]
        kinds, _ = after.watch(last_id)
        assert kinds == ["reset", *["nodeUpdate"] * 3, "synced"]
