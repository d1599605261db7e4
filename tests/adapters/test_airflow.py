"""Airflow runs a DAG with all that a run of it can show: ./dev adapters airflow."""

import json
import os
import shutil
import signal
import subprocess

import pytest

from client import until
from postgres import free_port
from tools import HERE, actions_of, program, runs_of


@pytest.fixture
def airflow(runtree, token, tmp_path):
    """`airflow standalone`, which finds the DAG, and its one run due at once."""
    port = free_port()
    transport = {
        "type": "http",
        "url": f"{runtree.url}/v1/adapters/openlineage/data/airflow/",
        "auth": {"type": "api_key", "apiKey": token},
    }
    settings = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(HERE / "airflow" / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "team-a",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "DBT_PROJECT": str(shutil.copytree(HERE / "dbt", tmp_path / "shop")),
        "DBT_PROFILES_DIR": ".",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "OPENLINEAGE_URL": transport["url"],
        "OPENLINEAGE_API_KEY": token,
        "OPENLINEAGE_NAMESPACE": "shop",
        "PATH": os.pathsep.join(
            [
                os.path.dirname(program("airflow", "airflow")),
                os.environ["PATH"],
                os.path.dirname(program("dbt", "dbt-ol")),
            ]
        ),
    }
    with open(tmp_path / "said", "wb") as said:
        process = subprocess.Popen(
            [program("airflow", "airflow"), "standalone"],
            cwd=tmp_path,
            env=os.environ | settings,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield tmp_path / "said"
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        pass
    os.killpg(process.pid, signal.SIGKILL)


def test_dag(airflow, api):
    def ended():
        runs = runs_of(api, "airflow")
        return runs if runs and all(run["endedAt"] for run in runs) else None

    try:
        (run,) = until(ended, 500)
    except AssertionError:
        raise AssertionError(airflow.read_text(errors="replace")[-20_000:]) from None
    assert run["phase"] == "FAILED"
    actions = actions_of(api, run)
    (command,) = (name for name in actions if name.startswith("dbt-run-shop-"))
    seen = {
        name: (action["parent"], action["phase"], action["attempt"], action["group"])
        for name, action in actions.items()
        if not name.startswith(("dbt-run-", "model.", "seed.", "test."))
    }
    errors = {name: action["errorInfo"] for name, action in actions.items() if action["errorInfo"]}
    assert seen == {
        "etl": (None, "FAILED", 1, None),
        "extract": ("etl", "SUCCEEDED", 1, None),
        "transform": ("etl", "SUCCEEDED", 1, None),
        "transform.0": ("transform", "SUCCEEDED", 1, None),
        "transform.1": ("transform", "SUCCEEDED", 2, None),
        "transform.2": ("transform", "SUCCEEDED", 1, None),
        "load.to_db": ("etl", "SUCCEEDED", 1, "load"),
        "load.broken": ("etl", "FAILED", 1, "load"),
        "load.check.a": ("etl", "SUCCEEDED", 1, "load/check"),
        "load.check.b": ("etl", "SUCCEEDED", 1, "load/check"),
        "after": ("etl", "SKIPPED", 1, None),
        "notify": ("etl", "SUCCEEDED", 1, None),
        "wait": ("etl", "SUCCEEDED", 1, None),
        "choose": ("etl", "SKIPPED", 1, None),
        "nothing": ("etl", "SKIPPED", 1, None),
        "dbt": ("etl", "FAILED", 1, None),
    }, errors
    assert actions["load.broken"]["errorInfo"]["message"].startswith("broken for good")
    assert actions["after"]["errorInfo"]["message"] == "upstream_failed"
    assert actions[command]["parent"] == "dbt"
    assert any(action["parent"] == command for action in actions.values())
