"""dbt-ol of openlineage-dbt builds a project on DuckDB, by itself and as if in an Airflow task."""

import json
import shutil

import httpx
import pytest

from adapters import recorded
from tools import HERE, actions_of, ended_run, program, run, runs_of


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dbt")
    return shutil.copytree(HERE / "dbt", folder / "shop")


def build(runtree, project, token, domain, **environment):
    return run(
        [program("dbt", "dbt-ol"), "--consume-structured-logs", "build"],
        project,
        OPENLINEAGE_URL=f"{runtree.url}/v1/adapters/openlineage/data/{domain}/",
        OPENLINEAGE_API_KEY=token,
        OPENLINEAGE_NAMESPACE="shop",
        DBT_PROFILES_DIR=".",
        DBT_SEND_ANONYMOUS_USAGE_STATS="false",
        PATH=str(HERE.parents[1] / "build/tools/dbt/bin") + ":/usr/bin:/bin",
        **environment,
    )


def test_by_itself(runtree, api, project, token):
    said = build(runtree, project, token, "alone")
    done = ended_run(api, "alone")
    assert done["runName"].startswith("dbt-run-shop-"), said
    assert done["phase"] == "FAILED"
    actions = actions_of(api, done)
    seen = {
        name: (action["parent"], action["phase"], action["group"])
        for name, action in actions.items()
        if ".sql." not in name
    }
    (test,) = (name for name in seen if name.startswith("test.shop.not_null_mart_good_v."))
    root = "dbt-run-shop"
    assert seen == {
        root: (None, "FAILED", None),
        "seed.shop.raw": (root, "SUCCEEDED", "seed"),
        "model.shop.stg_orders": (root, "SUCCEEDED", "model"),
        "model.shop.mart_good": (root, "SUCCEEDED", "model"),
        "model.shop.mart_bad": (root, "FAILED", "model"),
        "model.shop.after_bad": (root, "SKIPPED", "model"),
        test: (root, "FAILED", "test"),
    }
    queries = [action for name, action in actions.items() if ".sql." in name]
    assert len(queries) > 10
    for query in queries:
        assert query["parent"] == query["name"].partition(".sql.")[0]
    assert "nothing_like_this" in actions["model.shop.mart_bad"]["errorInfo"]["message"]


def test_in_the_tree_of_the_task_that_started_it(runtree, api, project, token):
    """What Airflow recorded of a DAG and its task, and dbt told of both by its environment."""
    url = f"{runtree.url}/v1/adapters/openlineage/data/in-a-task/api/v1/lineage"
    requests = [request["json"] for request in recorded("airflow")]
    headers = {"Authorization": f"Bearer {token}"}
    for request in requests:
        httpx.post(url, json=request, headers=headers).raise_for_status()
    task = next(it for it in requests if it["job"]["name"] == "etl.extract")
    parent = task["run"]["facets"]["parent"]
    build(
        runtree,
        project,
        token,
        "in-a-task",
        OPENLINEAGE_PARENT_ID=f"team-a/etl.extract/{task['run']['runId']}",
        OPENLINEAGE_ROOT_PARENT_ID=f"team-a/etl/{parent['run']['runId']}",
    )
    (only,) = runs_of(api, "in-a-task")
    actions = actions_of(api, only)
    (command,) = (it for it in actions.values() if it["parent"] == "extract")
    assert command["phase"] == "FAILED" and command["name"].startswith("dbt-run-shop-")
    models = [it for it in actions.values() if it["parent"] == command["name"]]
    assert sorted(it["phase"] for it in models) == sorted(
        ["SUCCEEDED"] * 3 + ["FAILED"] * 2 + ["SKIPPED"]
    ), json.dumps(models)
    names = {it["name"] for it in models}
    assert sum(it["parent"] in names for it in actions.values()) > 10
