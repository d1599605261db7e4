"""What watched runs hold: nothing for a run that is not there, no more than the account allows, and
nothing once their watchers are gone."""

import dataclasses

import httpx
import psycopg

from client import held, metric, until
from sse import EventStream

ERROR_BYTES = 240 * 1024


def post_children(url, run, count, **members):
    """A root and so many children of it, all running."""
    events = [run.event("a0", parent=None)]
    events += [run.event(f"n{number}", parent="a0", **members) for number in range(count)]
    for start in range(0, len(events), 4000):
        part = {"events": events[start : start + 4000]}
        assert httpx.post(f"{url}/v1/events", json=part, timeout=200).status_code == 200


def test_an_absent_run_leaves_no_hub(start_runtree, database, run):
    server = start_runtree(database_url=database)
    for number in range(20):
        absent = dataclasses.replace(run, name=f"absent{number}")
        for path in ("watch", "tree", "tree?name=x"):
            assert httpx.get(f"{server.url}{absent.path}/{path}").status_code == 404
    assert metric(server.url, "runtree_hubs") == 0
    with (
        EventStream(server.url, f"{run.path}/watch?wait=true") as first,
        EventStream(server.url, f"{run.path}/watch?wait=true&name=x") as second,
    ):
        assert first.status == second.status == 200
        assert metric(server.url, "runtree_hubs") == 1
        assert metric(server.url, "runtree_views") == 2
    until(lambda: metric(server.url, "runtree_hubs") == 0)
    assert metric(server.url, "runtree_views") == 0


def test_a_tree_is_forgotten_in_its_time(start_runtree, database, run):
    """However often it is polled meanwhile."""
    server = start_runtree("--hub-linger-ms", "7000", database_url=database)
    post_children(server.url, run, 10)
    assert httpx.get(f"{server.url}{run.path}/tree").status_code == 200
    assert metric(server.url, "runtree_hubs") == 1
    until(lambda: metric(server.url, "runtree_hubs") == 0, seconds=15)
    assert metric(server.url, "runtree_nodes") == 0
    assert held(server.url, "trees") == 0


def test_views_past_the_limit(start_runtree, database, run):
    """500 filters over 20,000 actions want 160 MB: the first are served, the others refused, those
    who watch go on, and all is given back when they leave."""
    server = start_runtree(
        "--memory-max-bytes", str(64 << 20), "--hub-linger-ms", "500", database_url=database
    )
    post_children(server.url, run, 20_000)
    streams, refusals = [], []
    for number in range(500):
        stream = EventStream(server.url, f"{run.path}/watch?name=zz{number}")
        if stream.status == 200:
            stream.read_until("synced")
            streams.append(stream)
        else:
            refusals.append(stream)
    assert len(streams) > 50
    assert len(refusals) > 100
    assert {refusal.status for refusal in refusals} == {503}
    assert all("--memory-max-bytes" in str(refusal.body) for refusal in refusals)
    assert httpx.get(f"{server.url}{run.path}/tree?name=other").status_code == 503
    assert held(server.url, "views") > len(streams) * 20_000 * 16
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    task = {"name": "zz0"}
    post = httpx.post(f"{server.url}/v1/events", json=run.event("zz0", parent="a0", task=task))
    assert post.status_code == 201
    assert streams[0].read_until("nodeUpdate")[-1].data["action"]["name"] == "a0"
    for stream in [*streams, *refusals]:
        stream.close()
    until(lambda: metric(server.url, "runtree_views") == 0)
    assert held(server.url, "views") == 0
    until(lambda: held(server.url, "trees") == 0)
    until(lambda: held(server.url, "frames") == 0)
    assert httpx.get(f"{server.url}{run.path}/tree?name=other").status_code == 200


def test_a_tree_that_nobody_watches_makes_room(start_runtree, database, run):
    """One that is watched does not."""
    server = start_runtree("--memory-max-bytes", str(14 << 20), database_url=database)
    first, second, third = (dataclasses.replace(run, name=f"r{number}") for number in range(3))
    for key in (first, second, third):
        post_children(server.url, key, 20_000)
    assert httpx.get(f"{server.url}{first.path}/tree").status_code == 200
    with EventStream(server.url, f"{second.path}/watch") as stream:
        assert stream.status == 200
        stream.read_until("synced")
        for path in (f"{third.path}/watch", f"{third.path}/tree"):
            refused = httpx.get(server.url + path)
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
    until(lambda: httpx.get(f"{server.url}{third.path}/tree").status_code == 200)


def test_an_error_is_shown_by_a_kibibyte_of_it(start_runtree, database, run):
    server = start_runtree(database_url=database)
    error = {"kind": "USER", "message": "x" * ERROR_BYTES, "code": 7, "trace": ["t" * 2000]}
    message = "x" * 512 + "\n[...]\n" + "x" * 505
    shown = {"kind": "USER", "message": message, "code": 7, "truncated": True}
    for number in range(200):
        event = run.event(f"a{number}", "FAILED", parent="a0" if number else None, errorInfo=error)
        assert httpx.post(f"{server.url}/v1/events", json=event).status_code == 201
    with EventStream(server.url, f"{run.path}/watch") as stream:
        assert stream.read_until("nodeUpdate")[-1].data["action"]["errorInfo"] == shown
        stream.read_until("synced")
        assert held(server.url, "trees") < 200 * 4096
    listed = httpx.get(f"{server.url}{run.path}/actions?limit=1").json()["actions"][0]
    assert listed["errorInfo"] == shown
    document = httpx.get(f"{server.url}{run.path}/actions/a0").json()
    assert document["errorInfo"] == shown
    assert document["attempts"][0]["errorInfo"] == error


def test_an_error_that_an_older_version_kept_whole(start_runtree, database, run):
    server = start_runtree(database_url=database)
    event = run.event("a0", "FAILED", parent=None, errorInfo={"kind": "USER", "message": "m"})
    assert httpx.post(f"{server.url}/v1/events", json=event).status_code == 201
    with psycopg.connect(database) as connection:
        connection.execute(
            "UPDATE actions SET error_info ="
            " json_build_object('message', repeat('名', 20000), 'kind', 'USER')::text"
            " WHERE project = %s",
            [run.project],
        )
    tree = httpx.get(f"{server.url}{run.path}/tree").json()
    shown = tree["nodes"][0]["action"]["errorInfo"]
    assert shown == {"kind": "USER", "message": "名" * 1024, "truncated": True}
