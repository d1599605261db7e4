"""One stream of many runs and lists."""

import json
import random
import threading

import pytest

import contract
from client import assert_problem, held, metric, until
from inventions import RunKey
from many import ManyWatcher, list_of, path_of, run_of
from sse import Cut, EventStream, StreamClosed
from tokens import token_for


def another(run, name):
    return RunKey(run.project, run.domain, name)


@pytest.fixture
def pair(api, run):
    """Two runs of a root and a child each, RUNNING."""
    runs = (run, another(run, "r2"))
    for one in runs:
        api.post_all([one.event("a0", "RUNNING", parent=None),
                      one.event("a1", "RUNNING", parent="a0")])  # fmt: skip
    return runs


@pytest.fixture
def connect(server):
    """Connects watchers to the shared server; the streams are closed at the end of the test."""
    opened = []

    def open_one(watcher, **options):
        opened.append(watcher.connect(server.url, **options))
        return opened[-1]

    yield open_one
    for stream in opened:
        stream.close()


def finish(api, run):
    api.post_all([run.event(name, "SUCCEEDED") for name in ("a0", "a1")])


def test_each_record_says_whose_it_is(connect, api, pair):
    first, second = map(run_of, pair)
    runs = list_of(pair[0].project, pair[0].domain)
    watcher = ManyWatcher(first, second, runs)
    stream = connect(watcher)
    watcher.sync(stream)
    for one, text in zip(pair, (first, second)):
        nodes = [dict(node) for node in watcher.parts[text].shown.values()]
        assert all(node.pop("subscription") == text for node in nodes)
        assert nodes == api.read(f"{one.path}/tree")["nodes"]
    assert {key[2] for key in watcher.parts[runs].shown} == {"r1", "r2"}
    assert stream.frames[0].retry > 0
    for frame in stream.frames:
        if frame.event == "runUpdate":
            contract.check_schema("RunUpdate", frame.data)


def test_changes_of_each(connect, api, pair):
    first, second = map(run_of, pair)
    watcher = ManyWatcher(first, second)
    stream = connect(watcher)
    watcher.sync(stream)
    api.post_one(pair[1].event("a2", "QUEUED", parent="a1"))
    watcher.follow_until(stream, lambda it: "a2" in it.names(second))
    assert watcher.names(first) == {"a0", "a1"}
    assert watcher.parts[second].events[-3:] == ["nodeUpdate"] * 3
    api.post_one(pair[0].event("a3", "QUEUED", parent="a0"))
    watcher.follow_until(stream, lambda it: "a3" in it.names(first))


def test_one_run_with_two_filters(connect, api, pair):
    everything, failed = run_of(pair[0]), run_of(pair[0], phase="FAILED", name="a")
    watcher = ManyWatcher(everything, failed)
    stream = connect(watcher)
    watcher.sync(stream)
    assert (watcher.names(everything), watcher.names(failed)) == ({"a0", "a1"}, set())
    api.post_one(pair[0].event("a1", "FAILED"))
    watcher.follow_until(stream, lambda it: it.names(failed) == {"a0", "a1"})
    api.post_one(pair[0].event("a1", "RUNNING", attempt=2))
    watcher.follow_until(stream, lambda it: not it.names(failed))
    assert watcher.names(everything) == {"a0", "a1"}


def test_resume_sends_nothing_again(connect, api, pair):
    watcher = ManyWatcher(*map(run_of, pair), list_of(pair[0].project))
    watcher.sync(connect(watcher))
    stream = connect(watcher)
    watcher.sync(stream)
    runs = watcher.parts[list_of(pair[0].project)]
    assert {part.resets for part in watcher.parts.values()} == {0}
    # The list may repeat what moved last.
    events = {frame.event for frame in stream.frames[1:]} - {"runUpdate", "cells"}
    assert events == {"synced", "position"}
    assert len(runs.shown) == 2


def test_resume_sends_what_changed(connect, api, pair):
    first, second = map(run_of, pair)
    watcher = ManyWatcher(first, second)
    watcher.sync(connect(watcher))
    api.post_one(pair[1].event("a2", "QUEUED", parent="a0"))
    watcher.sync(connect(watcher))
    assert watcher.parts[first].events == ["synced"]
    assert watcher.parts[second].events == ["nodeUpdate", "nodeUpdate", "synced"]
    assert watcher.names(second) == {"a0", "a1", "a2"}


def test_last_event_id_in_the_query(connect, api, pair, open_stream):
    watcher = ManyWatcher(*map(run_of, pair))
    watcher.sync(connect(watcher))
    path = path_of(watcher.parts, lastEventId=watcher.last_event_id)
    stream = open_stream(path)
    frames = stream.read_until("synced") + stream.read_until("synced")
    assert {frame.event for frame in frames[1:]} - {"cells"} == {"synced", "position"}


def test_a_change_of_the_set(connect, api, pair):
    """What stays is not sent again, what is new gets its snapshot, what left is gone."""
    first, second = map(run_of, pair)
    failed = run_of(pair[0], phase="FAILED")
    watcher = ManyWatcher(first, second)
    watcher.sync(connect(watcher))
    watcher.change(second, failed, list_of(pair[0].project))
    watcher.sync(connect(watcher))
    assert watcher.parts[second].events == ["synced"]
    assert watcher.parts[failed].events == ["reset", "synced"]
    watcher.change(first, second)
    watcher.sync(connect(watcher))
    assert watcher.parts[first].events == ["reset", "nodeUpdate", "nodeUpdate", "synced"]
    assert watcher.parts[second].events == ["synced"]
    assert {part.resets for part in watcher.parts.values()} == {0}


def test_a_set_that_is_changed_and_changed_back(connect, api, pair):
    """As soon as a connection has said anything, its id knows nothing more of what was left out."""
    first, second = map(run_of, pair)
    watcher = ManyWatcher(first, second)
    watcher.sync(connect(watcher))
    watcher.change(second)
    stream = connect(watcher)
    watcher.apply(stream.next())
    watcher.apply(stream.next())
    stream.abort()
    watcher.change(first, second)
    watcher.sync(connect(watcher))
    assert watcher.parts[first].events == ["reset", "nodeUpdate", "nodeUpdate", "synced"]
    assert watcher.parts[second].events == ["synced"]


def test_the_id_forgets_before_the_client_does(connect, api, pair):
    """A client that is cut off at a reset is told again."""
    gone, stays = map(run_of, pair)
    watcher = ManyWatcher(gone, stays)
    stream = connect(watcher)
    watcher.sync(stream)
    before = watcher.last_event_id
    assert api.request("DELETE", pair[0].path).status_code == 204
    frames = stream.read_until("reset")
    assert [frame.event for frame in frames[-2:]] == ["position", "reset"]
    assert len(frames[-2].id) < len(before)


def test_the_same_written_otherwise_goes_on(connect, api, pair):
    watcher = ManyWatcher(run_of(pair[0], phase="FAILED,RUNNING", name="A"))
    watcher.sync(connect(watcher))
    text = run_of(pair[0], name="a").replace("r1", "%721") + ";phase=RUNNING;phase=FAILED"
    part = next(iter(watcher.parts.values()))
    watcher.change(text)
    watcher.parts[text].shown, watcher.parts[text].is_known = part.shown, True
    watcher.sync(connect(watcher))
    assert watcher.parts[text].events == ["synced"]


def test_names_that_have_separators(connect, api, run):
    """What is encoded in the value comes back as it was written, and is the run's name decoded."""
    odd = RunKey(f"{run.project}/repo", run.domain, 'a/b;name=x&y %2F "ä" +')
    api.post_one(odd.event("a0", "RUNNING", parent=None))
    text = run_of(odd, name="A0")
    watcher = ManyWatcher(text, list_of(odd.project, odd.domain))
    watcher.sync(connect(watcher))
    assert watcher.names(text) == {"a0"}
    assert watcher.names(list_of(odd.project, odd.domain)) == {(odd.project, odd.domain, odd.name)}
    watcher.sync(connect(watcher))
    assert watcher.parts[text].events == ["synced"]


def test_a_run_that_does_not_exist_is_waited_for(connect, api, pair):
    there, later = run_of(pair[0]), run_of(another(pair[0], "later"))
    watcher = ManyWatcher(later, there)
    stream = connect(watcher)
    watcher.follow_until(
        stream, lambda it: it.parts[there].is_synced and it.parts[later].events == ["reset", "absent"]
    )
    api.post_one(pair[0].event("a2", parent="a0"))
    watcher.follow_until(stream, lambda it: "a2" in it.names(there))
    api.post_one(another(pair[0], "later").event("z0", parent=None))
    watcher.sync(stream)
    assert watcher.names(later) == {"z0"}
    assert watcher.parts[later].events == ["reset", "absent", "nodeUpdate", "synced"]


def test_waiting_for_a_run_goes_on_after_a_reconnect(connect, api, run):
    text = run_of(run)
    watcher = ManyWatcher(text)
    watcher.follow_until(connect(watcher), lambda it: it.parts[text].events[-1:] == ["absent"])
    stream = connect(watcher)
    watcher.follow_until(stream, lambda it: it.parts[text].events[-1:] == ["absent"])
    api.post_one(run.event("a0", parent=None))
    watcher.sync(stream)
    assert watcher.parts[text].events == ["reset", "absent", "nodeUpdate", "synced"]


def test_a_deleted_run_does_not_end_the_others(connect, api, pair):
    gone, stays = map(run_of, pair)
    watcher = ManyWatcher(gone, stays)
    stream = connect(watcher)
    watcher.sync(stream)
    assert api.request("DELETE", pair[0].path).status_code == 204
    watcher.follow_until(stream, lambda it: it.parts[gone].events[-1] == "absent")
    assert watcher.parts[gone].events[-2:] == ["reset", "absent"]
    assert watcher.names(gone) == set()
    api.post_one(pair[1].event("a2", parent="a0"))
    watcher.follow_until(stream, lambda it: "a2" in it.names(stays))
    api.post_one(pair[0].event("z0", parent=None))
    watcher.sync(stream)
    assert watcher.names(gone) == {"z0"}
    assert watcher.parts[stays].resets == 0


@pytest.mark.parametrize("is_anew", [False, True])
def test_a_run_that_was_deleted_meanwhile(connect, api, pair, is_anew):
    gone, stays = map(run_of, pair)
    watcher = ManyWatcher(gone, stays)
    watcher.sync(connect(watcher))
    assert api.request("DELETE", pair[0].path).status_code == 204
    if is_anew:
        api.post_one(pair[0].event("z0", parent=None))
    last = "synced" if is_anew else "absent"
    watcher.follow_until(
        connect(watcher),
        lambda it: it.parts[stays].is_synced and it.parts[gone].events[-1:] == [last],
    )
    assert watcher.parts[gone].events[0] == "reset"
    assert watcher.names(gone) == ({"z0"} if is_anew else set())
    assert watcher.parts[stays].events == ["synced"]


def test_a_run_that_was_deleted_behind_its_beginning(connect, api, run):
    """What the client has was sent behind an id of revision 0, which is also that of no tree."""
    text = run_of(run)
    api.post_one(run.event("a1", parent="a0"))
    watcher = ManyWatcher(text)
    stream = connect(watcher)
    watcher.sync(stream)
    api.post_one(run.event("a0", parent=None))
    while not watcher.names(text):
        watcher.apply(stream.next())
    stream.abort()
    assert api.request("DELETE", run.path).status_code == 204
    watcher.follow_until(connect(watcher), lambda it: it.parts[text].events == ["reset", "absent"])
    assert watcher.names(text) == set()


def test_the_stream_ends_when_all_have_ended(connect, api, pair):
    first, second = map(run_of, pair)
    watcher = ManyWatcher(first, second)
    stream = connect(watcher)
    watcher.sync(stream)
    finish(api, pair[0])
    watcher.follow_until(stream, lambda it: it.parts[first].has_ended)
    assert stream.is_silent(0.3)
    finish(api, pair[1])
    watcher.read_to_end(stream)
    assert all(part.has_ended for part in watcher.parts.values())
    again = connect(watcher)
    assert (again.status, again.body) == (204, b"")


def test_who_knows_all_ends_hears_of_what_happens_after_them(connect, api, pair):
    first, second = map(run_of, pair)
    for one in pair:
        finish(api, one)
    watcher = ManyWatcher(first, second)
    watcher.read_to_end(connect(watcher))
    api.post_one(pair[1].event("a1", "RUNNING", attempt=2))
    stream = connect(watcher)
    watcher.sync(stream)
    assert watcher.parts[second].shown["a1"]["action"]["phase"] == "RUNNING"
    api.post_one(pair[1].event("a1", "SUCCEEDED", attempt=2))
    watcher.read_to_end(stream)
    assert all(part.has_ended for part in watcher.parts.values())


def test_a_run_that_goes_on_after_its_end(connect, api, pair):
    ended, other = map(run_of, pair)
    finish(api, pair[0])
    watcher = ManyWatcher(ended, other)
    stream = connect(watcher)
    watcher.sync(stream)
    watcher.follow_until(stream, lambda it: it.parts[ended].has_ended)
    api.post_one(pair[0].event("a1", "RUNNING", attempt=2))
    watcher.follow_until(stream, lambda it: not it.parts[ended].has_ended)
    api.post_one(pair[0].event("a1", "FAILED", attempt=2))
    watcher.follow_until(stream, lambda it: it.parts[ended].has_ended)
    assert watcher.parts[ended].events.count("end") == 2


def test_a_list_keeps_the_stream_open(connect, api, pair):
    for one in pair:
        finish(api, one)
    first, runs = run_of(pair[0]), list_of(pair[0].project, pair[0].domain)
    watcher = ManyWatcher(first, runs)
    stream = connect(watcher)
    watcher.sync(stream)
    watcher.follow_until(stream, lambda it: it.parts[first].has_ended)
    api.post_one(another(pair[0], "r3").event(parent=None))
    watcher.follow_until(stream, lambda it: len(it.names(runs)) == 3)


def test_follow_keeps_the_stream_open(connect, api, pair):
    for one in pair:
        finish(api, one)
    watcher = ManyWatcher(*map(run_of, pair), follow="true")
    stream = connect(watcher)
    watcher.sync(stream)
    assert stream.is_silent(0.3)
    api.post_one(pair[0].event("a1", "RUNNING", attempt=2))
    text = run_of(pair[0])
    watcher.follow_until(
        stream, lambda it: it.parts[text].shown["a1"]["action"]["phase"] == "RUNNING"
    )
    assert "end" not in watcher.parts[text].events


def test_lists_beside_runs(connect, api, run):
    """Their moves, their deletions, and those that happened while nobody watched."""
    text, runs = run_of(run), list_of(run.project, run.domain)
    api.post_one(run.event("a0", "RUNNING", parent=None))
    watcher = ManyWatcher(text, runs, list_of(run.project, "*", phase="FAILED", limit=5))
    stream = connect(watcher)
    watcher.sync(stream)
    api.post_one(another(run, "r2").event(parent=None))
    watcher.follow_until(stream, lambda it: {key[2] for key in it.names(runs)} == {"r1", "r2"})
    api.post_one(another(run, "r3").event(parent=None))
    assert api.request("DELETE", another(run, "r2").path).status_code == 204
    watcher.follow_until(stream, lambda it: {key[2] for key in it.names(runs)} == {"r1", "r3"})
    stream.close()
    assert api.request("DELETE", another(run, "r3").path).status_code == 204
    watcher.sync(connect(watcher))
    assert {key[2] for key in watcher.names(runs)} == {"r1"}
    assert {part.resets for part in watcher.parts.values()} == {0}


def test_limit_and_filter_of_a_list(connect, api, run):
    for number in range(4):
        phase = "FAILED" if number % 2 else "RUNNING"
        api.post_one(another(run, f"n{number}").event("a0", phase, parent=None))
    texts = (list_of(run.project, limit=1), list_of(run.project, phase="FAILED"),
             list_of("*", run.domain, name="n3"))  # fmt: skip
    watcher = ManyWatcher(*texts)
    watcher.sync(connect(watcher))
    shown = [
        {key[2] for key in watcher.parts[text].snapshot if key[0] == run.project} for text in texts
    ]
    assert shown == [{"n3"}, {"n1", "n3"}, {"n3"}]


def test_labels_of_a_list(connect, api, run):
    for number in range(4):
        labels = {"half": str(number % 2), "a;b": "c"}
        api.post_one(another(run, f"n{number}").event(parent=None, run={"labels": labels}))
    texts = [
        f"{run.project}/*;label=half:0", f"{run.project}/*;label=half:1;label=a%3Bb:c;name=n3"
    ]
    watcher = ManyWatcher(*texts)
    stream = connect(watcher)
    watcher.sync(stream)
    assert [{key[2] for key in watcher.names(text)} for text in texts] == [{"n0", "n2"}, {"n3"}]
    api.post_one(another(run, "n4").event(parent=None, run={"labels": {"half": "0"}}))
    watcher.follow_until(stream, lambda it: len(it.names(texts[0])) == 3)


def test_a_hundred_runs(connect, api, twin, run):
    """The most that there may be, whose id fits into the head of a request."""
    runs = [another(run, f"run-{number:03}-{'x' * 40}") for number in range(100)]
    api.post_all([one.event("a0", "RUNNING", parent=None) for one in runs])
    watcher = ManyWatcher(*(run_of(one, phase="RUNNING,FAILED") for one in runs))
    watcher.sync(connect(watcher))
    assert len(watcher.last_event_id) < 2000
    api.post_all([one.event("a1", "RUNNING", parent="a0") for one in runs[::2]])
    stream = watcher.connect(twin.url)
    watcher.sync(stream)
    stream.close()
    sizes = [len(part.shown) for part in watcher.parts.values()]
    assert sizes == [2, 1] * 50
    assert all(part.resets == 0 for part in watcher.parts.values())
    response = api.get(path_of([*watcher.parts, run_of(run)]))
    assert "100" in assert_problem(response, 400, "invalid-field")["detail"]


def test_a_long_snapshot_holds_nobody_up(connect, api, run):
    big, small = run, another(run, "small")
    api.post_one(big.event("a0", "RUNNING", parent=None))
    api.post_all([big.event(f"b{number}", parent="a0", group="g" * 200) for number in range(3000)])
    api.post_one(small.event("a0", "RUNNING", parent=None))
    texts = [run_of(big), run_of(small)]
    watcher = ManyWatcher(*texts)
    watcher.sync(connect(watcher))  # both are in memory
    watcher.last_event_id = None
    stream = connect(watcher)
    watcher.sync(stream)
    synced = [frame.data["subscription"] for frame in stream.frames if frame.event == "synced"]
    assert synced == texts[::-1]
    assert any(frame.event == "position" for frame in stream.frames[10:2500]), "no id for long"


def test_heartbeat_and_head(server, start_runtree, database, api, run):
    runtree = start_runtree("--heartbeat-ms", "200", database_url=database)
    api.post_one(run.event("a0", "RUNNING", parent=None))
    with EventStream(runtree.url, path_of([run_of(run)])) as stream:
        frames = stream.read_until("heartbeat")
    assert frames[-1].data == {} and frames[-1].id is None
    response = api.request("HEAD", path_of([run_of(run)]))
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    "query, word",
    [
        ("", "at least one"),
        ("run=", "project/domain/run"),
        ("run=p/d", "project/domain/run"),
        ("run=p/d/r/x", "project/domain/run"),
        ("run=p/d/", "run must be"),
        ("run=/d/r", "project must be"),
        ("run=*/d/r", "project must be"),
        ("run=p/d/r%2500", "run must be"),
        ("run=p/d/r%25f", "run must be"),
        ("run=p/d/r%25ff", "run must be"),
        ("run=p/d/r;phase=NONE", "phase must be"),
        ("run=p/d/r;phase", "name=value"),
        ("run=p/d/r;", "name=value"),
        ("run=p/d/r;limit=3", "takes phase"),
        ("run=p/d/r;name=a;name=b", "takes phase"),
        ("run=p/d/r;name=%25", "name=value"),
        ("run=p/d/r;name=" + "x" * 256, "255"),
        ("run=p/d/r&run=p/%2564/r", "twice"),
        ("list=p", "project/domain"),
        ("list=p/d/r", "project/domain"),
        ("list=p/d;limit=0", "1 to 1000"),
        ("list=p/d;limit=1001", "1 to 1000"),
        ("list=p/d;limit=99999999999999", "1 to 1000"),
        ("list=p/d;limit=x", "1 to 1000"),
        ("list=p/d&list=p/d;limit=3", "twice"),
        ("run=p/d/r&follow=yes", "follow"),
        ("run=p/d/r;error=a;error=b", "takes phase"),
        ("list=p/d;error=a", "takes phase"),
    ],
)
def test_what_is_no_subscription(api, query, word):
    problem = assert_problem(api.get(f"/v1/watch?{query}"), 400, "invalid-field")
    assert word in problem["detail"], problem


@pytest.mark.parametrize(
    "nonsense", ["x", "w.", "w.abc", "k3f9a2.1.0.17", "w" * 5000, "w.00000000000000", "é"]
)
def test_id_that_makes_no_sense_is_a_reset_of_each(connect, api, pair, nonsense):
    watcher = ManyWatcher(*map(run_of, pair), list_of(pair[0].project))
    watcher.last_event_id = nonsense
    stream = connect(watcher)
    watcher.sync(stream)
    for part in watcher.parts.values():
        assert part.events[0] == "reset" and len(part.snapshot) == 2


def test_what_is_shown_without_an_id_is_forgotten(connect, api, pair):
    """Cut off inside the snapshot of what is new, beside something that goes on: what was shown of
    it, and is not there any more, does not stay."""
    first, second = map(run_of, pair)
    failed = run_of(pair[1], phase="FAILED")
    watcher = ManyWatcher(first)
    watcher.sync(connect(watcher))
    api.post_one(pair[1].event("a1", "FAILED"))
    watcher.change(first, failed)
    stream = connect(watcher)
    while not watcher.names(failed):
        watcher.apply(stream.next())
    stream.abort()
    api.post_one(pair[1].event("a1", "RUNNING", attempt=2))
    watcher.sync(connect(watcher))
    assert watcher.names(failed) == set()
    assert watcher.parts[first].events == ["synced"]


def test_a_stream_that_ends_in_the_middle_repeats_what_had_no_id(connect, api, pair):
    watcher = ManyWatcher(*map(run_of, pair))
    stream = connect(watcher)
    while not any(part.shown for part in watcher.parts.values()):
        watcher.apply(stream.next())
    stream.abort()
    watcher.sync(connect(watcher))
    assert [len(part.shown) for part in watcher.parts.values()] == [2, 2]


def test_access(guarded, ask, run, master):
    mine, secret = run, RunKey(f"{run.project}-secret", run.domain, "r1")
    for one in (mine, secret):
        ask("POST", "/v1/events", master, json=one.event("a0", "RUNNING", parent=None))
    token = token_for(read=[f"{mine.project}/*"])
    response = ask("GET", path_of([run_of(mine), run_of(secret)]), token)
    assert_problem(response, 403, "forbidden")
    assert f"{secret.project}/{secret.domain}" in response.json()["detail"]
    refused = path_of([run_of(mine), list_of(secret.project, secret.domain)])
    assert ask("GET", refused, token).status_code == 403
    assert ask("GET", path_of([run_of(mine)])).status_code == 401
    headers = {"Authorization": f"Bearer {token}"}
    watcher = ManyWatcher(run_of(mine), list_of(), list_of(mine.project, mine.domain))
    stream = watcher.connect(guarded.url, headers=headers)
    watcher.sync(stream)
    stream.close()
    assert {key[0] for key in watcher.names(list_of())} == {mine.project}
    assert len(watcher.names(list_of(mine.project, mine.domain))) == 1


def test_it_counts_as_one_stream(start_runtree, database, api, pair):
    runtree = start_runtree("--streams-per-client-max", "1", database_url=database)
    watcher = ManyWatcher(*map(run_of, pair), list_of(pair[0].project))
    stream = watcher.connect(runtree.url)
    watcher.sync(stream)
    assert EventStream(runtree.url, watcher.path).status == 429
    stream.close()


def test_no_room_for_one_run(start_runtree, database, api, run):
    """It is told, the others go on, and it comes when there is room."""
    first, second = another(run, "first"), another(run, "second")
    for one in (first, second):
        events = [one.event(f"n{number}", parent="a0") for number in range(20_000)]
        api.post_one(one.event("a0", parent=None))
        for start in range(0, len(events), 4000):
            api.post_all(events[start : start + 4000])
    api.post_one(run.event("a0", "RUNNING", parent=None))
    runtree = start_runtree(
        "--memory-max-bytes", str(16 << 20), "--heartbeat-ms", "500", database_url=database
    )
    holds_room = EventStream(runtree.url, f"{first.path}/watch")
    holds_room.read_until("synced")
    big, small = run_of(second), run_of(run)
    watcher = ManyWatcher(big, small)
    stream = watcher.connect(runtree.url)
    watcher.follow_until(stream, lambda it: it.parts[small].is_synced)
    while watcher.parts[big].events != ["absent"]:
        watcher.apply(stream.next())
    reasons = [frame.data["reason"] for frame in stream.frames if frame.event == "absent"]
    assert reasons == ["unavailable"]
    api.post_one(run.event("a1", parent="a0"))
    watcher.follow_until(stream, lambda it: "a1" in it.names(small))
    holds_room.close()
    watcher.follow_until(stream, lambda it: it.parts[big].is_synced, timeout=15)
    assert len(watcher.names(big)) == 20_001
    assert watcher.parts[big].events[:2] == ["absent", "reset"]
    stream.close()


def test_nothing_is_kept_of_a_stream_that_left(start_runtree, database, api, run):
    runtree = start_runtree("--hub-linger-ms", "0", database_url=database)
    api.post_one(run.event("a0", "RUNNING", parent=None))
    absent = [another(run, f"absent{number}") for number in range(20)]
    watcher = ManyWatcher(run_of(run, name="a"), *map(run_of, absent), list_of(run.project))
    for _ in range(3):
        stream = watcher.connect(runtree.url)
        watcher.follow_until(stream, lambda it: it.parts[run_of(absent[-1])].events)
        assert metric(runtree.url, "runtree_hubs") == 21
        stream.close()
        EventStream(runtree.url, watcher.path).close()  # it may leave while its runs are read
    until(lambda: metric(runtree.url, "runtree_hubs") == 0)
    until(lambda: metric(runtree.url, "runtree_list_views") == 0)
    assert metric(runtree.url, "runtree_views") == 0
    assert held(runtree.url, "views") == 0
    assert held(runtree.url, "frames") == 0


@pytest.mark.one_database
def test_more_runs_than_can_be_told(connect, api, run):
    """The list of a client that was away, or read too slowly, begins anew; its runs go on."""
    text, moves = run_of(run), list_of(run.project, run.domain)
    api.post_one(run.event("a0", "RUNNING", parent=None))
    sleeper, away = ManyWatcher(text, moves), ManyWatcher(text, moves)
    stream = connect(sleeper, receive_buffer=4096)
    for watcher, its in ((sleeper, stream), (away, connect(away))):
        watcher.sync(its)
    for first in range(0, 12000, 4000):
        api.post_all(
            [another(run, f"m{number}").event(parent=None) for number in range(first, first + 4000)]
        )
    away.sync(connect(away))
    assert away.parts[moves].resets == 1 and len(away.names(moves)) == 100
    api.post_one(run.event("a1", parent="a0"))
    while "a1" not in sleeper.names(text) or len(sleeper.names(moves)) not in (100, 12001):
        try:
            sleeper.apply(stream.next())
        except StreamClosed:
            stream = connect(sleeper)
    assert sleeper.parts[text].resets == away.parts[text].resets == 0


def test_goodbye_and_resume(start_runtree, database, api, pair):
    runtree = start_runtree(database_url=database)
    watcher = ManyWatcher(*map(run_of, pair), list_of(pair[0].project))
    stream = watcher.connect(runtree.url)
    watcher.sync(stream)
    runtree.stop()
    assert [frame.retry is not None for frame in stream.read_to_end()][-1]
    runtree.start()
    stream = watcher.connect(runtree.url)
    watcher.sync(stream)
    stream.close()
    assert {part.resets for part in watcher.parts.values()} == {0}


class Load:
    """Posts to runs, deletes some, and makes them anew, until it is told to end."""

    def __init__(self, api, runs, seed):
        self.api, self.runs, self.rng = api, runs, random.Random(seed)
        self.versions = {}
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._post)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()

    def _post(self):
        while not self._ends.is_set():
            run = self.rng.choice(self.runs)
            if self.rng.random() < 0.02:
                self.api.request("DELETE", run.path)
                continue
            name = f"a{self.rng.randrange(30)}"
            attempt = self.versions[run, name] = self.versions.get((run, name), 0) + 1
            parent = None if name == "a0" else f"a{(int(name[1:]) - 1) // 3}"
            phase = self.rng.choice(("QUEUED", "RUNNING", "FAILED", "SUCCEEDED"))
            self.api.post_one(run.event(name, phase, parent=parent, attempt=attempt))


def tree_of(api, text, run):
    """What a client should show in the end."""
    query = "".join(f"{option}&" for option in text.split(";")[1:])
    response = api.get(f"{run.path}/tree?{query}")
    if response.status_code == 404:
        return {}
    return {node["action"]["name"]: node for node in response.json()["nodes"]}


@pytest.mark.parametrize("seed", range(4))
def test_random_cuts_and_changes_of_the_set(server, twin, api, open_api, run, seed):
    """Cut at a random byte, resumed on either replica, with another set now and then: in the end
    the client shows what there is, and never showed a child without its parent."""
    rng = random.Random(seed)
    runs = [another(run, f"r{number}") for number in range(6)]
    texts = {run_of(one): one for one in runs}
    texts |= {run_of(one, phase="FAILED"): one for one in runs[:3]}
    texts |= {run_of(one, phase="RUNNING,QUEUED", name="a1"): one for one in runs[3:]}
    moves = list_of(run.project, run.domain)
    watcher = ManyWatcher(*rng.sample(sorted(texts), 6), moves, follow="true")
    with Load(open_api(server), runs, seed):
        for _ in range(40):
            stream = watcher.connect(rng.choice((server, twin)).url, cut_after=rng.randrange(60000))
            try:
                while True:
                    watcher.apply(stream.next(0.3))
            except (Cut, StreamClosed, TimeoutError):
                stream.close()
            if rng.random() < 0.3:
                watcher.change(*rng.sample(sorted(texts), 6), moves)
    stream = watcher.connect(twin.url)

    def is_right(it):
        for text, part in it.parts.items():
            if text == moves:
                listed = api.read_all(f"{run.base}/runs", "runs", limit=1000)
                shown = {key[2]: one["revision"] for key, one in part.shown.items()}
                if shown != {one["runName"]: one["revision"] for one in listed}:
                    return False
            elif strip(part.shown) != tree_of(api, text, texts[text]):
                return False
        return True

    watcher.follow_until(stream, is_right)
    stream.close()


def strip(shown):
    return {
        name: {member: value for member, value in node.items() if member != "subscription"}
        for name, node in json.loads(json.dumps(shown)).items()
    }
