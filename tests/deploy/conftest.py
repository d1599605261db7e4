"""What the tests of deploy/ share: the program, and what a running one says of itself."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def binary():
    path = ROOT / os.environ.get("RUNTREE_BIN", "build/runtree")
    assert path.exists(), f"{path} is not there: build it first"
    return str(path)


@pytest.fixture(scope="session")
def metrics(binary, tmp_path_factory):
    """The names of all metrics of a running service; it needs no database to tell them."""
    port = free_port()
    process = subprocess.Popen(
        [binary, "serve", "--listen", f"127.0.0.1:{port}", "--database-url", "host=/nowhere"],
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
                    text = response.read().decode()
                break
            except OSError:
                assert time.monotonic() < deadline, "no answer"
                time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)
    return set(re.findall(r"^# TYPE (\w+)", text, re.M))
