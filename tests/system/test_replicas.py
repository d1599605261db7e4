"""Two runtrees on one database: one service."""

import itertools
import random
import threading

import pytest

from client import metric
from sse import EventStream, TreeWatcher


def test_the_other_runtree_serves_the_same_stream(server, twin, api, run):
    watchers = [TreeWatcher(f"{run.path}/watch") for _ in range(2)]
    api.post_one(run.event("a0", "RUNNING", parent=None))
    streams = [watcher.connect(runtree.url) for watcher, runtree in zip(watchers, (server, twin))]
    for number in range(10):
        api.post_all(
            [run.event(f"a{number}-{child}", "RUNNING", parent="a0") for child in range(3)]
        )
    for watcher, stream in zip(watchers, streams):
        watcher.follow_until(stream, lambda nodes: len(nodes) == 31)
        stream.close()
    assert watchers[0].nodes == watchers[1].nodes


def test_a_tree_is_the_same_whether_written_here_or_read(server, twin, api, open_api, run):
    """The one runtree takes what it wrote itself into its tree, the other reads it."""
    path = f"{run.path}/tree"
    long = {"kind": "USER", "message": "ä" * 5000, "code": "E1"}
    steps = [
        [run.event("a0", "RUNNING", parent=None, labels={"team": "x"})],
        [
            run.event("a1", "QUEUED", parent="a0", group="g", task={"name": "t.n", "shortName": "n"}),
            run.event("a2", "RUNNING", parent="a1", aliases=["try-1"]),
        ],
        [run.event("w1", "QUEUED", parent="later"), run.event("w2", "RUNNING", parent="w1")],
        [run.event("a1", "FAILED", errorInfo=long), run.event("b1", "QUEUED", parent="try-1")],
        [run.event("later", "RUNNING", parent="a0", title="Späte", attributes={"gpu": 2})],
        [run.event("a1", "RUNNING", attempt=2, logInfo=[{"name": "n", "uri": "u"}])],
        [run.event("a1", "QUEUED", attempt=2, task={"name": "too late"})],
        "abort",
        [run.event("a1", "SUCCEEDED", attempt=2), run.event("a2", "ABORTED")],
        "remove",
        [run.event("a2", "RUNNING", parent="a0"), run.event("a0", "SUCCEEDED")],
    ]
    other = open_api(twin)
    for step in steps:
        if step == "abort":
            api.post({"reason": "enough"}, path=f"{run.path}/actions/a2/abort")
        elif step == "remove":
            assert api.request("DELETE", f"{run.path}/actions/a2").status_code == 204
        else:
            api.post_all(step)
        assert api.get(path).text == other.get(path).text


def test_what_a_runtree_wrote_itself_it_need_not_read(server, api, run):
    """Unless the notification overtakes the answer to the commit."""
    api.post_one(run.event("a0", "RUNNING", parent=None))
    watcher = TreeWatcher(f"{run.path}/watch")
    stream = watcher.connect(server.url)
    watcher.follow(stream, "synced")
    before = metric(server.url, "runtree_hub_reads_total")
    for version in range(1, 31):
        api.post_one(run.event("a0", "RUNNING", version=version))
        watcher.follow(stream, lambda frame: frame.id)
    stream.close()
    assert metric(server.url, "runtree_hub_reads_total") - before < 30


def test_reads_on_the_other_see_what_was_accepted(twin, api, open_api, run):
    other = open_api(twin)
    for number in range(10):
        api.post_one(run.event(f"a{number}", parent=None))
        assert other.read(run.path)["revision"] == number + 1
        assert other.post(run.event(f"a{number}", parent=None)).json()["status"] == "duplicate"


@pytest.mark.parametrize("query", ["", "?phase=FAILED"])
def test_resume_on_the_other(server, twin, api, run, query):
    api.post_all([run.event("a0", "RUNNING", parent=None), run.event("a1", "FAILED", parent="a0")])
    watcher = TreeWatcher(f"{run.path}/watch{query}")
    for number, runtree in zip(range(6), itertools.cycle((server, twin))):
        stream = watcher.connect(runtree.url)
        watcher.follow(stream, "synced")
        api.post_one(run.event("a1", "RUNNING" if number % 2 else "FAILED", attempt=number + 2))
        if number % 3 == 0:
            watcher.follow(stream, lambda frame: frame.id)
        stream.close()
    stream = watcher.connect(twin.url)
    expected = set() if query else {"a0", "a1"}
    watcher.follow_until(stream, lambda nodes: set(nodes) == expected)
    stream.close()
    assert watcher.resets == 0


def test_204_from_the_other_after_the_end(server, twin, api, run):
    api.post_one(run.event("a0", "SUCCEEDED", parent=None))
    last_id = EventStream(server.url, f"{run.path}/watch").read_to_end()[-1].id
    assert EventStream(twin.url, f"{run.path}/watch", last_id).status == 204


def test_resume_with_what_the_other_does_not_know_yet(server, twin, api, run):
    """The id of a revision that was committed a moment ago is no id from the future."""
    api.post_one(run.event("a0", "RUNNING", parent=None))
    keeps_hub = EventStream(twin.url, f"{run.path}/watch")
    stream = EventStream(server.url, f"{run.path}/watch")
    stream.read_until("synced")
    for version in range(1, 40):
        api.post_one(run.event("a0", "RUNNING", version=version))
        last_id = stream.read_flush()[-1].id
        with EventStream(twin.url, f"{run.path}/watch", last_id) as resumed:
            assert [frame.event for frame in resumed.read_until("synced")] == [None, "synced"]
    keeps_hub.close()
    stream.close()


def test_revisions_are_unique_and_seen_in_order(server, twin, open_api, run):
    """Two events of one run posted through two runtrees at the same time get different revisions,
    and whoever has seen revision N has seen all before it."""
    posters, each = 4, 40
    clients = [open_api(runtree) for _ in range(posters // 2) for runtree in (server, twin)]
    clients[0].post_one(run.event("a0", "RUNNING", parent=None))
    streams = [
        EventStream(runtree.url, f"{run.path}/watch")
        for runtree in (server, twin)
        for _ in range(2)
    ]
    revisions = {"a0": 1}

    def post(poster):
        rng = random.Random(poster)
        number = 0
        while number < each:
            events = [
                run.event(f"p{poster}-{number + offset}", parent="a0")
                for offset in range(min(rng.choice((1, 1, 3)), each - number))
            ]
            for event, result in zip(events, clients[poster].post_all(events)):
                revisions[event["name"]] = result["revision"]
            number += len(events)

    threads = [threading.Thread(target=post, args=(poster,)) for poster in range(posters)]
    for thread in threads:
        thread.start()
    total = posters * each + 1
    for stream in streams:
        seen = set()
        while len(seen) < total:
            frame = stream.next(15)
            if frame.event == "nodeUpdate":
                seen.add(frame.data["action"]["revision"])
            if frame.id is not None:
                assert seen == set(range(1, max(seen) + 1)), "a revision was skipped"
        stream.close()
    for thread in threads:
        thread.join()
    assert sorted(revisions.values()) == list(range(1, total + 1))


def test_waiting_children_posted_to_one_and_their_parents_to_the_other(api, twin, open_api, run):
    other = open_api(twin)
    chain = [
        run.event(f"a{level}", parent=f"a{level - 1}" if level else None) for level in range(60)
    ]
    upper = threading.Thread(target=lambda: [api.post_one(event) for event in chain[::2]])
    lower = threading.Thread(target=lambda: [other.post_one(event) for event in chain[::-1][::2]])
    upper.start(), lower.start()
    upper.join(), lower.join()
    nodes = api.read(f"{run.path}/tree")["nodes"]
    assert [node["action"]["name"] for node in nodes] == [f"a{level}" for level in range(60)]
    assert other.read(f"{run.path}/tree")["nodes"] == nodes
