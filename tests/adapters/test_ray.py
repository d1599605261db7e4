"""Ray exports what its tasks live through; its token is in the URL, as aiohttp takes one."""

from client import until
from tools import HERE, actions_of, program, run, runs_of


def test_job(runtree, api, token, tmp_path):
    where = runtree.url.removeprefix("http://")
    said = run(
        [program("ray", "python"), str(HERE / "ray" / "job.py"), str(tmp_path / "tried")],
        tmp_path,
        RAY_enable_ray_event="1",
        RAY_enable_core_worker_ray_event_to_aggregator="1",
        RAY_DASHBOARD_AGGREGATOR_AGENT_MAX_EVENT_SEND_BATCH_SIZE="200",
        RAY_DASHBOARD_AGGREGATOR_AGENT_EVENTS_EXPORT_ADDR=(
            f"http://ray:{token}@{where}/v1/adapters/ray/data/ray"
        ),
        RAY_USAGE_STATS_ENABLED="0",
    )
    (found,) = until(lambda: runs_of(api, "ray"))
    assert "job.py" in found.get("title", ""), (found, said)
    actions = actions_of(api, found)
    titles = {name: action["title"] for name, action in actions.items()}
    seen = {
        (action["title"], titles.get(action["parent"]), action["phase"], action["attempt"])
        for action in actions.values()
        if action["parent"] is not None
    }
    driver = found["title"]
    assert seen == {
        ("branch", driver, "SUCCEEDED", 1),
        ("leaf-0", "branch", "SUCCEEDED", 1),
        ("leaf-1", "branch", "SUCCEEDED", 2),
        ("leaf-2", "branch", "SUCCEEDED", 1),
        ("Counter.__init__", driver, "SUCCEEDED", 1),
        ("Counter.add", driver, "SUCCEEDED", 1),
        ("bad", driver, "FAILED", 1),
    }, said
    (bad,) = (action for action in actions.values() if action["title"] == "bad")
    assert "RuntimeError: bad task" in bad["errorInfo"]["message"]
    assert "\033" not in bad["errorInfo"]["message"]
