"""Every operation of openapi.yaml with generated requests, good and bad, against a runtree on a
PostgreSQL of its own. All of schemathesis' checks are on; what it is told stands in its .toml."""

import argparse
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import httpx

from inventions import RunKey, invent_run
from postgres import Postgres
from relay import Relay
from runtree import Runtree

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = pathlib.Path(sys.executable).with_name("st")
EXAMPLE_RUN = RunKey("ml", "production", "r1")  # the document's examples speak of it


def run_schemathesis(url, folder, arguments):
    command = [PROGRAM, "--config-file", HERE / "schemathesis.toml", "run", f"{url}/openapi.json",
               "--continue-on-failure", "--request-timeout", "10",
               "--max-time", str(arguments.seconds)]  # fmt: skip
    if arguments.seed is not None:
        command += ["--seed", str(arguments.seed)]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def report(done):
    """Prints what schemathesis says, less of it when all is well. The number of failures."""
    summary = done.stdout[done.stdout.find("=== SUMMARY ===") :]
    print(done.stdout if done.returncode else summary, flush=True)
    generated = re.search(r"(\d+) generated", summary)
    problems = re.search(r"(\d+) unique failures?", summary)
    errors = re.search(r"(\d+) errored", summary)
    failed = sum(int(found[1]) for found in (problems, errors) if found)
    failed = failed or int(done.returncode != 0)
    passed = int(generated[1]) - failed if generated else 0
    print(f"{passed} passed, {failed} failed")
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="about how long (default 60)")
    parser.add_argument("--seed", type=int, help="of schemathesis, which prints it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="runtree-contract-") as folder:
        postgres = Postgres()
        postgres.start()
        runtree = Runtree(f"{folder}/runtree", database_url=postgres.new_database())
        try:
            runtree.start()
            events = list(invent_run(EXAMPLE_RUN, random.Random(1)))
            httpx.post(f"{runtree.url}/v1/events", json={"events": events}).raise_for_status()
            relay = Relay(runtree.port)
            failed = report(run_schemathesis(f"http://127.0.0.1:{relay.port}", folder, arguments))
            relay.close()
            runtree.stop()
        finally:
            if runtree.is_running():
                runtree.kill()
            postgres.remove()
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
