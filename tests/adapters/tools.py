"""The tools under test, where tools/dev/packages.sh has put them, and what they have reported."""

import os
import pathlib
import subprocess
import urllib.parse

from client import until

HERE = pathlib.Path(__file__).resolve().parent
TOOLS = HERE.parents[1] / "build" / "tools"


def program(tool, name):
    """A program in a tool's virtual environment."""
    path = TOOLS / tool / "bin" / name
    assert path.exists(), f"{path} is not there: start this by ./dev"
    return str(path)


def run(command, folder, **environment):
    """Runs it to its end; what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    return done.stdout


def runs_of(api, domain):
    return api.read_all(f"/v1/projects/data/domains/{domain}/runs", "runs")


def actions_of(api, run):
    """{name: action}"""
    name = urllib.parse.quote(run["runName"], safe="")
    path = f"/v1/projects/{run['project']}/domains/{run['domain']}/runs/{name}/actions"
    return {action["name"]: action for action in api.read_all(path, "actions")}


def ended_run(api, domain, seconds=30):
    """The one run of the domain, when it is over."""

    def find():
        runs = runs_of(api, domain)
        return runs if runs and all(run["endedAt"] for run in runs) else None

    (run,) = until(find, seconds)
    return run
