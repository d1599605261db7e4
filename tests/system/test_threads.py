"""--threads 2: two loops that share nothing but the port and the numbers."""

import re

import httpx
import pytest

from client import until
from runtree import Runtree
from sse import EventStream


@pytest.fixture(scope="module")
def runtrees(database, tmp_path_factory):
    """Instead of the shared ones: one with two loops."""
    runtree = Runtree(tmp_path_factory.mktemp("threads"), "--threads", "2", database_url=database)
    yield [runtree.start()]
    runtree.stop()


def metrics(server):
    """All samples, by name with labels."""
    text = httpx.get(f"{server.url}/metrics").text
    return {
        name: float(value)
        for name, value in re.findall(r"^(\S+(?:\{.*\})?) (\S+)$", text, re.M)
        if not name.startswith("#")
    }


def hubs_of(server):
    """Of both loops; each brings its gauges up to date four times a second."""
    return metrics(server)["runtree_hubs"]


def test_both_loops_serve_and_see_what_is_posted_to_the_other(api, run, server):
    """Which loop the kernel hands a connection to is chance: of 24 streams both get some (but for
    one time in eight million), which shows in one run having a hub on each."""
    api.post_all([run.event("a0", "RUNNING", parent=None), run.event("a1", "QUEUED", parent="a0")])
    hubs = hubs_of(server)
    streams = [EventStream(server.url, f"{run.path}/watch") for _ in range(24)]
    try:
        for stream in streams:
            stream.read_until("synced")
        until(lambda: hubs_of(server) - hubs == 2)
        for version in range(1, 13):
            with httpx.Client() as poster:  # a new connection: either loop
                poster.post(
                    f"{server.url}/v1/events", json=run.event("a1", "RUNNING", version=version)
                )
            for stream in streams:
                actions = [frame.data["action"] for frame in stream.read_flush()]
                assert actions[-1]["version"] == version
    finally:
        for stream in streams:
            stream.close()


def test_metrics_add_up(api, run, server):
    """Whichever loop answers the scrape, it knows what the other has."""
    before = metrics(server)
    api.post_one(run.event("a0", "RUNNING", parent=None))
    for number in range(1, 21):
        httpx.post(f"{server.url}/v1/events", json=run.event(f"a{number}", "QUEUED", parent="a0"))
    streams = [EventStream(server.url, f"{run.path}/watch") for _ in range(10)]
    for stream in streams:
        stream.read_until("synced")

    def have_grown():
        after = metrics(server)
        grown = {name: after[name] - before.get(name, 0) for name in after}
        return (
            grown["runtree_events_applied_total"],
            grown["runtree_streams_opened_total"],
            after["runtree_streams"],
        ) == (21, 10, 10)

    until(have_grown)
    assert all(have_grown() for _ in range(6))
    for stream in streams:
        stream.close()
    until(lambda: metrics(server)["runtree_streams"] == 0)


def test_repeats_are_found_whichever_loop_gets_them(api, run, server):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    event = run.event("a1", "RUNNING", parent="a0")
    statuses = [
        httpx.post(f"{server.url}/v1/events", json=event).json()["status"] for _ in range(12)
    ]
    assert statuses == ["applied"] + ["duplicate"] * 11
    assert api.read(run.path)["revision"] == 2


def test_a_clean_stop_of_both(database, run, start_runtree):
    runtree = start_runtree("--threads", "2", database_url=database)
    httpx.post(f"{runtree.url}/v1/events", json=run.event("a0", "RUNNING", parent=None))
    streams = [EventStream(runtree.url, f"{run.path}/watch") for _ in range(12)]
    for stream in streams:
        stream.read_until("synced")
    runtree.stop()
    for stream in streams:
        assert stream.read_to_end()[-1].retry is not None


def test_ready_is_who_has_all_connections_on_all_loops(start_runtree, postgres, open_api, run):
    """Of both loops one lacks one, that for deletions: neither says that it is ready."""
    url = postgres.new_database()
    postgres.execute(url, "CREATE ROLE counted LOGIN CONNECTION LIMIT 14")
    postgres.execute(url, f"ALTER DATABASE {url.rpartition('=')[2]} OWNER TO counted")
    own = url.replace("user=postgres", "user=counted")
    runtree = start_runtree("--threads", "2", database_url=own)
    open_api(runtree).post_one(run.event("a0", "RUNNING", parent=None))
    postgres.execute(url, "ALTER ROLE counted CONNECTION LIMIT 13")
    ended = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
    ended += " WHERE datname = current_database() AND application_name = 'runtree remover' LIMIT 1"
    assert postgres.execute(url, ended) == [(True,)]
    until(lambda: "too many connections" in " ".join(readiness(runtree)))
    said = readiness(runtree)
    assert "ready" not in said and "another event loop" in " ".join(said)
    postgres.execute(url, "ALTER ROLE counted CONNECTION LIMIT 14")
    runtree.wait_until_ready()
    assert readiness(runtree) == {"ready"}
    assert httpx.delete(runtree.url + run.path).status_code == 204


def readiness(runtree):
    """All that is said, each on a connection of its own, which either loop takes."""
    answers = [httpx.get(f"{runtree.url}/readyz").json() for _ in range(24)]
    return {answer.get("detail", "ready") for answer in answers}
