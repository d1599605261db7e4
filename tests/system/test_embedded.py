"""The PostgreSQL that runtree starts by itself, in a folder of its own."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from inventions import RunKey
from postgres import free_port, is_running, kill_cluster, wait_until_gone
from runtree import Runtree, run_to_exit

RUN = RunKey("ml", "production", "r1")


def new_folder():
    """A folder that another user may enter, as the database's has to be."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="runtree-data-"))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def open_folder():
    folder = new_folder()
    yield folder
    for file in folder.rglob("postmaster.pid"):  # left running by a test that has failed
        kill_cluster(int(file.read_text().split()[0]))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def used_folder():
    """A data folder that a runtree has used and left, to be copied."""
    folder = new_folder()
    runtree = Runtree(folder, "--data-dir", str(folder / "data")).start()
    runtree.stop()
    yield folder / "data"
    shutil.rmtree(folder)


def postmaster(folder):
    """What postmaster.pid says: the pid, and the address that it listens on beside its socket."""
    files = list(pathlib.Path(folder).rglob("postmaster.pid"))
    assert len(files) == 1, files
    lines = files[0].read_text().splitlines()
    return int(lines[0]), lines[5].strip()


@pytest.fixture
def start_embedded(open_folder, start_runtree, used_folder):
    """Starts runtrees on `data` in the open folder, where one has been before. Asks for the folder
    first, so that it is removed last."""
    subprocess.run(["cp", "-a", used_folder, open_folder / "data"], check=True)
    return lambda *arguments: start_runtree("--data-dir", str(open_folder / "data"), *arguments)


def test_embedded_database(start_embedded, open_folder, open_api):
    runtree = start_embedded()
    open_api(runtree).post_one(RUN.event(parent=None))
    pid, address = postmaster(open_folder)
    assert address == "", "a Unix socket only"
    assert os.stat(f"/proc/{pid}").st_uid != 0
    runtree.stop()
    assert not is_running(pid)
    again = start_embedded()
    assert open_api(again).read(RUN.path)["revision"] == 1
    pid, _ = postmaster(open_folder)
    again.stop(by=signal.SIGINT)
    assert not is_running(pid)


def test_embedded_database_in_the_folder_where_runtree_stands(open_folder):
    runtree = Runtree(open_folder)
    runtree.start()
    pid, _ = postmaster(open_folder / "runtree-data")
    runtree.stop()
    assert not is_running(pid)


def test_embedded_database_survives_the_kill_of_runtree(start_embedded, open_folder, open_api):
    runtree = start_embedded()
    for number in range(3):
        client = open_api(runtree)
        client.post_one(RUN.event(f"a{number}", parent=None))
        runtree.kill()
        runtree = start_embedded()
    assert open_api(runtree).read(RUN.path)["actionCount"] == 3
    pid, _ = postmaster(open_folder)
    runtree.stop()
    wait_until_gone([pid])


@pytest.mark.parametrize("left", ["stopped", "running"])
def test_embedded_database_has_a_connection_for_every_loop(
    start_embedded, open_folder, open_api, left
):
    """Also in a folder of before, and where a database of before, with less room, still runs."""
    runtree = start_embedded()
    open_api(runtree).post_one(RUN.event(parent=None))
    (runtree.stop if left == "stopped" else runtree.kill)()
    runtree = start_embedded("--threads", "24")
    assert open_api(runtree).read(RUN.path)["revision"] == 1


def test_embedded_database_that_was_killed_too(start_embedded, open_folder, open_api):
    runtree = start_embedded()
    open_api(runtree).post_one(RUN.event(parent=None))
    pid, _ = postmaster(open_folder)
    runtree.kill()
    kill_cluster(pid)
    runtree = start_embedded()
    assert open_api(runtree).read(RUN.path)["revision"] == 1


def test_embedded_database_that_dies_under_runtree_comes_back(
    start_embedded, open_folder, open_api
):
    runtree = start_embedded()
    client = open_api(runtree)
    client.post_one(RUN.event(parent=None))
    pid, _ = postmaster(open_folder)
    kill_cluster(pid)
    deadline = time.monotonic() + 60
    while client.post(RUN.event("a1", parent="a0")).status_code not in (200, 201):
        assert time.monotonic() < deadline, runtree.log()
        time.sleep(0.1)
    runtree.wait_for(RUN.path, 200)
    assert client.read(RUN.path)["actionCount"] == 2


def test_two_runtrees_on_one_folder_are_refused(start_embedded, open_folder, open_api):
    first = start_embedded()
    done = run_to_exit(
        "serve", "--listen", f"127.0.0.1:{free_port()}", "--data-dir", str(open_folder / "data")
    )
    assert done.returncode not in (0, None), done
    assert str(open_folder / "data") in done.stderr + done.stdout
    assert open_api(first).post(RUN.event(parent=None)).status_code == 201
    pid, _ = postmaster(open_folder)
    assert is_running(pid)


def test_folder_that_cannot_be_written(open_folder):
    (open_folder / "file").write_text("not a folder")
    done = run_to_exit(
        "serve", "--listen", f"127.0.0.1:{free_port()}", "--data-dir", str(open_folder / "file")
    )
    assert done.returncode != 0
    assert str(open_folder / "file") in done.stderr + done.stdout
