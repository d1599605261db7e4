"""Runs deleted on demand, and those that ended long ago."""

import time

from inventions import RunKey
from sse import StreamClosed


def rows_left(postgres, database, run):
    return [
        postgres.execute(
            database,
            f"SELECT count(*) FROM {table} WHERE project = %s AND domain = %s AND run_name = %s",
            run.project,
            run.domain,
            run.name,
        )[0][0]
        for table in ("runs", "actions", "action_events")
    ]


def test_delete_takes_the_whole_run_and_no_other(api, run, postgres, database):
    other = RunKey(run.project, run.domain, "other")
    for key in (run, other):
        api.post_all(
            [key.event("a0", "RUNNING", parent=None), key.event("a1", "RUNNING", parent="nobody")]
        )
    assert api.request("DELETE", run.path).status_code == 204
    assert rows_left(postgres, database, run) == [0, 0, 0]
    assert rows_left(postgres, database, other) == [1, 2, 2]
    assert api.get(run.path).status_code == 404
    assert api.request("DELETE", run.path).status_code == 404


def test_watchers_of_a_deleted_run_get_reset_and_then_404(api, run, open_stream):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    stream = open_stream(f"{run.path}/watch")
    stream.read_until("synced")
    assert api.request("DELETE", run.path).status_code == 204
    assert stream.next().event == "reset"
    try:
        stream.next()
        raise AssertionError("the stream goes on behind the reset")
    except StreamClosed:
        pass
    assert open_stream(f"{run.path}/watch").status == 404


def test_a_run_made_anew_is_another_incarnation(api, run):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    before = api.read(run.path)["incarnation"]
    api.request("DELETE", run.path)
    result = api.post_one(run.event("a0", "RUNNING", parent=None))
    assert result == {"status": "applied", "revision": 1}
    assert api.read(run.path)["incarnation"] != before


def test_retention_deletes_ended_runs_that_are_old(start_runtree, open_api, postgres):
    url = postgres.new_database()
    runtree = start_runtree(database_url=url)
    api = open_api(runtree)
    keys = {name: RunKey("p", "d", name) for name in ("old-ended", "old-running", "new-ended")}
    long_ago, just_now = "2020-01-01T00:00:00Z", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    api.post_one(
        keys["old-ended"].event("a0", "SUCCEEDED", parent=None, updatedTime=long_ago)
    )
    api.post_all(
        [
            keys["old-running"].event("a0", "SUCCEEDED", parent=None, updatedTime=long_ago),
            keys["old-running"].event("a1", "RUNNING", parent="a0", updatedTime=long_ago),
        ]
    )
    api.post_one(
        keys["new-ended"].event("a0", "SUCCEEDED", parent=None, updatedTime=just_now)
    )
    runtree.stop()
    postgres.execute(url, "UPDATE runs SET first_seen_at = '2020-01-01'")
    api = open_api(start_runtree("--retention-days", "30", database_url=url))
    deadline = time.monotonic() + 10
    while api.get(keys["old-ended"].path).status_code != 404:
        assert time.monotonic() < deadline, "the old run is still there"
        time.sleep(0.05)
    assert api.get(keys["old-running"].path).status_code == 200
    assert api.get(keys["new-ended"].path).status_code == 200
