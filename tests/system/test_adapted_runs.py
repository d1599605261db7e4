"""Recorded runs of other tools: what their tree is, and that it is the same however they arrive."""

import random
import urllib.parse

import pytest

from adapters import recorded, sending

# tool, recording, its run, how many actions it has, and some of them: name, parent, phase, attempt,
# group.
RUNS = [
    (
        "openlineage",
        "airflow",
        "etl-20ff6e971d03",
        12,
        [
            ("etl", None, "RUNNING", 1, None),
            ("extract", "etl", "SUCCEEDED", 1, None),
            ("transform", "etl", "RUNNING", 1, None),
            ("transform.1", "transform", "SUCCEEDED", 1, None),
            ("load.check.b", "etl", "QUEUED", 1, "load/check"),
        ],
    ),
    (
        "openlineage",
        "airflow-dbt",
        "etl-1b38383331d6",
        27,
        [
            ("etl", None, "FAILED", 1, None),
            ("transform", "etl", "SUCCEEDED", 1, None),
            ("transform.1", "transform", "SUCCEEDED", 2, None),
            ("load.broken", "etl", "FAILED", 1, "load"),
            ("load.check.a", "etl", "SUCCEEDED", 1, "load/check"),
            ("after", "etl", "SKIPPED", 1, None),  # upstream_failed
            ("wait", "etl", "SUCCEEDED", 1, None),  # deferred, and resumed
            ("choose", "etl", "SKIPPED", 1, None),  # by itself
            ("nothing", "etl", "SKIPPED", 1, None),  # with it, and it sends no events
            ("dbt-run-shop-c0ff08245535", "dbt", "FAILED", 1, None),
            (
                "model.shop.mart_bad-27a116b6f5cb",
                "dbt-run-shop-c0ff08245535",
                "FAILED",
                1,
                "model",
            ),
            (
                "model.shop.after_bad-51cf6c2f4fa2",
                "dbt-run-shop-c0ff08245535",
                "SKIPPED",
                1,
                "model",
            ),
            (
                "model.shop.mart_good.sql.1-42891c65c71b",
                "model.shop.mart_good-e5bab2e123b2",
                "SUCCEEDED",
                1,
                None,
            ),
        ],
    ),
    (
        "openlineage",
        "airflow-2",  # 2.10.5, whose provider, 1.14.0, has one run id for all of a mapped task
        "etl-53c3dfc201bb",
        22,
        [
            ("etl", None, "FAILED", 1, None),
            ("transform", "etl", "SUCCEEDED", 1, None),
            ("transform.0", "transform", "SUCCEEDED", 1, None),
            ("transform.1", "transform", "SUCCEEDED", 2, None),
            ("transform.2", "transform", "SUCCEEDED", 1, None),
            ("load.broken", "etl", "FAILED", 1, "load"),
            ("skipme", "etl", "SKIPPED", 1, None),  # by itself
            ("after", "etl", "SKIPPED", 1, None),  # upstream_failed
            ("never", "etl", "SKIPPED", 1, None),  # behind a short circuit
            ("left", "etl", "SUCCEEDED", 1, None),  # and it sends no events
        ],
    ),
    (
        "openlineage",
        "dbt-live",
        "dbt-run-shop-f31486b638f6",
        20,
        [
            ("dbt-run-shop", None, "RUNNING", 1, None),
            ("seed.shop.raw", "dbt-run-shop", "SUCCEEDED", 1, "seed"),
            ("seed.shop.raw.sql.2", "seed.shop.raw", "SUCCEEDED", 1, None),
            ("model.shop.stg_2", "dbt-run-shop", "SUCCEEDED", 1, "model"),
        ],
    ),
    (
        "openlineage",
        "dbt-end",
        "dbt-run-shop-91e0d4e80934",
        16,
        [
            ("dbt-run-shop", None, "FAILED", 1, None),
            ("model.shop.mart_bad", "dbt-run-shop", "FAILED", 1, "model"),
            ("shop.main.shop.mart_a.build.test", "dbt-run-shop", "FAILED", 1, "test"),
        ],
    ),
    (
        "nextflow",
        "nextflow",
        "amazing_mirzakhani-b1599c6d",
        26,
        [
            ("amazing_mirzakhani", None, "SUCCEEDED", 1, None),
            ("ALIGN (s3)", "amazing_mirzakhani", "SUCCEEDED", 2, "ALIGN"),
            ("QC:STATS (4)", "amazing_mirzakhani", "FAILED", 1, "QC/STATS"),
        ],
    ),
    (
        "github",
        "github",
        "17800000001",
        13,
        [
            ("17800000001", None, "ABORTED", 2, None),
            ("test (3.9, ubuntu)", "17800000001", "SUCCEEDED", 1, "test"),
            ("test (3.13, ubuntu)", "17800000001", "SUCCEEDED", 2, "test"),
            ("test (3.13, ubuntu)#3", "test (3.13, ubuntu)", "SUCCEEDED", 2, None),
            ("deploy / staging", "17800000001", "ABORTED", 2, "deploy"),
            ("deploy / staging#3", "deploy / staging", "SKIPPED", 2, None),
        ],
    ),
    (
        "snakemake",
        "snakemake",
        "1",
        31,
        [
            ("workflow", None, "SUCCEEDED", 1, None),
            ("job-13", "workflow", "SUCCEEDED", 1, "prep"),
            ("job-9", "workflow", "SUCCEEDED", 1, "align"),  # at its second try
            ("job-0", "workflow", "SUCCEEDED", 1, "all"),
        ],
    ),
    (
        "snakemake",
        "snakemake-7",
        "shop-7",
        7,
        [
            ("workflow", None, "SUCCEEDED", 1, None),
            ("job-4", "workflow", "SUCCEEDED", 1, "align"),
        ],
    ),
    (
        "snakemake",
        "snakemake-8",
        "shop-8",
        13,
        [
            ("workflow", None, "SUCCEEDED", 1, None),
            ("job-3", "workflow", "SUCCEEDED", 1, "align"),  # at its second try
            ("job-13", "workflow", "SUCCEEDED", 1, "y"),  # behind a checkpoint
        ],
    ),
    (
        "ray",
        "ray",
        "session_2026-11-25_18-42-23_940882_17423-01000000",
        22,
        [
            ("driver", None, "RUNNING", 1, None),
            ("c2668a65bda616c1ffffffffffffffffffffffff01000000", "driver", "SUCCEEDED", 1, "branch"),
            (
                "bb8113f8d01334a8ffffffffffffffffffffffff01000000",
                "c2668a65bda616c1ffffffffffffffffffffffff01000000",
                "SUCCEEDED",
                2,
                "leaf",
            ),
            ("e0dc174c835990346d3d137535b44354e82fe66701000000", "driver", "SUCCEEDED", 1, "Counter"),
            ("f4402ec78d3a2607ffffffffffffffffffffffff01000000", "driver", "FAILED", 1, "bad"),
        ],
    ),
]
IDS = [f"{tool}-{recording}" for tool, recording, *_ in RUNS]
TIMES = ("createdAt", "startedAt", "endedAt", "durationMs")


def deliver(api, run, tool, requests):
    """Posts them; each must be mapped whole."""
    for request in requests:
        where, what = sending(tool, run, request)
        response = api.request(*where, **what)
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer.get("rejected", 0) == answer.get("unmapped", 0) == 0, answer


def tree(api, run, name):
    """The run and its actions by name, without what differs from one delivery to the next."""
    path = f"{run.base}/runs/{urllib.parse.quote(name, safe='')}"
    summary = api.read(path)
    actions = api.read_all(f"{path}/actions", "actions")
    return {member: summary[member] for member in ("phase", "phaseCounts", *TIMES)}, {
        action["name"]: {
            member: value
            for member, value in action.items()
            if member not in ("revision", "ordinal", "project")
        }
        for action in actions
    }


@pytest.mark.parametrize("tool, recording, name, count, some", RUNS, ids=IDS)
def test_tree(api, run, tool, recording, name, count, some):
    deliver(api, run, tool, recorded(recording))
    _, actions = tree(api, run, name)
    assert len(actions) == count
    for action, *wanted in some:
        seen = actions[action]
        assert [seen[it] for it in ("parent", "phase", "attempt", "group")] == wanted, action


@pytest.mark.parametrize("tool, recording, name, count, some", RUNS, ids=IDS)
def test_tree_is_the_same_when_requests_repeat_and_come_in_disorder(
    api, run, tool, recording, name, count, some
):
    requests = recorded(recording)
    deliver(api, run, tool, requests)
    wanted = tree(api, run, name)
    deliver(api, run, tool, requests)
    assert tree(api, run, name) == wanted
    for seed in range(3):
        other = type(run)(f"{run.project}-{seed}", run.domain, run.name)
        shuffled = random.Random(seed).sample(requests * 2, 2 * len(requests))
        deliver(api, other, tool, shuffled)
        assert tree(api, other, name) == wanted, f"seed {seed}"
