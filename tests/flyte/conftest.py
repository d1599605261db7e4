"""Flyte 2's own command and SDK, from PyPI, against a runtree."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from client import Api
from runtree import REPOSITORY, Runtree

HERE = pathlib.Path(__file__).resolve().parent
VENV = pathlib.Path(os.environ.get("FLYTE_VENV", REPOSITORY / ".venv-flyte"))
PROJECT, DOMAIN = "ml", "production"


class Flyte:
    """The command, in a folder with the configuration that docs/flyte.md shows."""

    def __init__(self, folder, port):
        self.folder = folder
        config = (
            f"admin:\n  endpoint: dns:///localhost:{port}\n  insecure: true\n"
            f"task:\n  org: any\n  project: {PROJECT}\n  domain: {DOMAIN}\n"
        )
        (folder / "config.yaml").write_text(config, encoding="utf-8")
        shutil.copy(HERE / "workflow.py", folder)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "COLUMNS": "1000000",
            "NO_COLOR": "1",
            "TERM": "dumb",
            "DO_NOT_TRACK": "1",
        }

    def start(self, program, *arguments):
        return subprocess.Popen(
            [VENV / "bin" / program, *arguments],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def command(self, *arguments):
        """(exit code, output) of `flyte …`."""
        process = self.start("flyte", "-c", "config.yaml", *arguments)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def run(self, name, task, *arguments):
        """Starts a tracked run of a task of workflow.py."""
        options = ["--tracked", "--tracked-strict", "--name", name]
        return self.start(
            "flyte", "-c", "config.yaml", "run", *options, "workflow.py", task, *arguments
        )

    def read(self, *arguments):
        """What `flyte get …` prints: a list as JSON, the details of one thing as text."""
        code, output = self.command("-of", "json-raw", "get", *arguments)
        assert code == 0, output
        try:
            return json.loads(output)
        except json.JSONDecodeError:
            return output


@pytest.fixture(scope="session")
def runtree(tmp_path_factory):
    runtree = Runtree(tmp_path_factory.mktemp("runtree")).start()
    yield runtree
    runtree.stop()


@pytest.fixture(scope="session")
def api(runtree):
    api = Api(runtree.url)
    yield api
    api.close()


@pytest.fixture(scope="session")
def flyte(runtree, tmp_path_factory):
    return Flyte(tmp_path_factory.mktemp("flyte"), runtree.port)
