"""dbt-ol of openlineage-dbt builds a project on DuckDB."""

import shutil

import pytest

from tools import HERE, actions_of, ended_run, program, run


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
