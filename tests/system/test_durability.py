"""What a 2xx promises when runtree, PostgreSQL or the listener dies, and what is said meanwhile.

On a cluster of its own with fsync on, which is killed and stopped again and again.
"""

import threading
import time

import httpx
import pytest

from client import assert_problem, metric, until
from postgres import Postgres
from sse import EventStream, StreamClosed, TreeWatcher


@pytest.fixture(scope="module")
def durable_cluster():
    cluster = Postgres(durable=True)
    yield cluster
    cluster.remove()


@pytest.fixture
def cluster(durable_cluster):
    """The cluster, up."""
    if not durable_cluster.is_running():
        durable_cluster.start()
    return durable_cluster


@pytest.fixture
def url(cluster):
    return cluster.new_database()


class Posters:
    """Threads that post events of one run, each again and again until it is accepted."""

    def __init__(self, run, target, threads=4):
        self.accepted = []  # names, in no order
        self._run, self._target = run, target
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._post, args=(number,), daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, accepted):
        deadline = time.monotonic() + 60
        while len(self.accepted) < accepted:
            assert time.monotonic() < deadline, f"only {len(self.accepted)} accepted"
            time.sleep(0.005)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _post(self, thread):
        number = 0
        with httpx.Client(base_url=self._target.url, timeout=20) as client:
            while not self._stop.is_set():
                name = f"w{thread}-{number}"
                event = self._run.event(name, "RUNNING", parent="a0")
                try:
                    status = client.post("/v1/events", json=event).status_code
                except httpx.TransportError:
                    status = None
                if status in (200, 201):
                    self.accepted.append(name)
                    number += 1
                else:
                    assert status in (None, 503), status
                    time.sleep(0.02)


@pytest.fixture
def start_posters():
    """Starts posters, which stop with the test at the latest."""
    started = []

    def start(run, target):
        started.append(Posters(run, target))
        return started[-1]

    yield start
    for posters in started:
        posters.stop()


def stored_names(cluster, url):
    return {name for (name,) in cluster.execute(url, "SELECT name FROM action_events")}


def test_accepted_events_survive_the_kill_of_runtree(
    start_runtree, start_posters, cluster, url, open_api, run
):
    runtree = start_runtree(database_url=url)
    open_api(runtree).post_one(run.event("a0", "RUNNING", parent=None))
    posters = start_posters(run, runtree)
    for kill in range(1, 4):
        posters.wait_for(kill * 40)
        runtree.kill()
        accepted = list(posters.accepted)
        assert set(accepted) <= stored_names(cluster, url)
        runtree.start()
    posters.wait_for(200)
    posters.stop()
    actions = open_api(runtree).read_all(f"{run.path}/actions", "actions", limit=1000)
    assert {action["name"] for action in actions} == stored_names(cluster, url)
    assert set(posters.accepted) <= {action["name"] for action in actions}
    assert len(posters.accepted) == len(set(posters.accepted))


def test_accepted_events_survive_the_kill_of_postgres(
    start_runtree, start_posters, cluster, url, open_api, run
):
    runtree = start_runtree(database_url=url)
    open_api(runtree).post_one(run.event("a0", "RUNNING", parent=None))
    posters = start_posters(run, runtree)
    watcher = TreeWatcher(f"{run.path}/watch")
    stream = watcher.connect(runtree.url, timeout=30)
    for kill in range(1, 4):
        posters.wait_for(kill * 40)
        cluster.kill()
        accepted = list(posters.accepted)
        cluster.start()
        assert set(accepted) <= stored_names(cluster, url)
    posters.wait_for(200)
    posters.stop()
    runtree.wait_for(run.path, 200)
    expected = stored_names(cluster, url)
    assert set(posters.accepted) <= expected
    summary = open_api(runtree).read(run.path)
    assert summary["actionCount"] == summary["revision"] == len(expected)
    while set(watcher.nodes) != expected:
        try:
            watcher.apply(stream.next())
        except StreamClosed:
            stream = watcher.connect(runtree.url, timeout=30)
    assert watcher.nodes["a0"]["childPhaseCounts"] == {"RUNNING": len(expected) - 1}
    assert watcher.resets == 0
    stream.close()


def test_while_the_database_is_away(start_runtree, cluster, url, open_api, run):
    runtree = start_runtree(database_url=url)
    client = open_api(runtree)
    client.post_one(run.event("a0", "RUNNING", parent=None))
    stream = EventStream(runtree.url, f"{run.path}/watch")
    stream.read_until("synced")
    cluster.stop()
    runtree.wait_for("/readyz", 503)
    assert_problem(client.get("/readyz"), 503, "unavailable")
    assert client.get("/healthz").status_code == 200
    for response in (
        client.post(run.event("a1", parent="a0")),
        client.post({"events": [run.event("a1", parent="a0")]}),
        client.put(run.put_path("a1"), {"parent": "a0"}),
    ):
        assert_problem(response, 503, "unavailable")
        assert int(response.headers["retry-after"]) >= 1
    assert_problem(client.get(run.path), 503, "unavailable")
    cluster.start()
    runtree.wait_until_ready()
    assert client.read(run.path)["actionCount"] == 1
    client.post_one(run.event("a1", parent="a0"))
    frames = stream.read_flush()
    assert [frame.data["action"]["name"] for frame in frames] == ["a0", "a1"]
    stream.close()


def test_started_before_the_database(start_runtree, cluster, url, open_api, run):
    cluster.stop()
    runtree = start_runtree(database_url=url, until="/healthz")
    assert httpx.get(runtree.url + "/readyz").status_code == 503
    cluster.start()
    runtree.wait_until_ready()
    assert open_api(runtree).post(run.event(parent=None)).status_code == 201


def cut_off_listener(cluster, url):
    """Ends the session that has said LISTEN, as an impatient administrator or a proxy does."""
    until(
        lambda: cluster.execute(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'runtree listener'",
        )
    )


def test_lost_notification_costs_no_update(start_runtree, cluster, url, open_api, run):
    runtree = start_runtree(database_url=url)
    client = open_api(start_runtree(database_url=url))  # what it writes itself it need not hear
    client.post_one(run.event("a0", "RUNNING", parent=None))
    watcher = TreeWatcher(f"{run.path}/watch")
    stream = watcher.connect(runtree.url)
    watcher.follow(stream, "synced")
    for count in (2, 3, 4):
        cut_off_listener(cluster, url)
        client.post_one(run.event(f"b{count}", "RUNNING", parent="a0"))
        watcher.follow_until(stream, lambda nodes, count=count: len(nodes) == count, timeout=15)
        runtree.wait_until_ready()
    stream.close()


def test_when_the_listener_is_back_every_hub_reads(start_runtree, cluster, url, open_api, run):
    """What moved before it had said LISTEN was notified to nobody, and is not left to the poll."""
    runtree = start_runtree(database_url=url)
    open_api(runtree).post_one(run.event("a0", "RUNNING", parent=None))

    def counts():
        return [
            metric(runtree.url, f"runtree_{name}_total")
            for name in ("hub_reads", "hub_polled", "list_reads")
        ]

    with (
        EventStream(runtree.url, f"{run.path}/watch") as tree,
        EventStream(runtree.url, f"{run.base}/runs/watch") as runs,
    ):
        tree.read_until("synced")
        runs.read_until("synced")
        read, polled, listed = counts()
        cut_off_listener(cluster, url)
        deadline = time.monotonic() + 60
        while runtree.log().count("listening to the database") < 2:
            assert time.monotonic() < deadline, runtree.log()
            time.sleep(0.02)
        read_now, polled_now, listed_now = counts()
    assert read_now > read and polled_now == polled
    assert listed_now > listed


def test_every_session_cut_off_at_once(start_runtree, start_posters, cluster, url, open_api, run):
    """A fail-over as the clients see it: nothing is lost, nothing is recorded twice."""
    runtree = start_runtree(database_url=url)
    open_api(runtree).post_one(run.event("a0", "RUNNING", parent=None))
    posters = start_posters(run, runtree)
    for number in range(1, 6):
        posters.wait_for(number * 20)
        cluster.execute(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
    posters.wait_for(150)
    posters.stop()
    runtree.wait_for(run.path, 200)
    summary = open_api(runtree).read(run.path)
    assert summary["revision"] == summary["actionCount"] == len(stored_names(cluster, url))
    assert set(posters.accepted) <= stored_names(cluster, url)
