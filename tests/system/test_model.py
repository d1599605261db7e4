"""What is said after the sequences of events that tools and their users really had (docs/model.md).

The inputs are in tests/data/reports, one file for each report.
"""

import contextlib
import datetime
import random

import pytest

from client import metric, until
from inventions import RunKey, at
from reports import Report
from sse import EventStream
from watching import names_of


def test_retry_five_hours_later_lasts_as_long_as_it_ran(report):
    report.post("03-retry-five-hours-later", last=6)
    for name in ("root", "train"):
        queued = report.in_tree(name)
        assert (queued["phase"], queued["attempt"]) == ("QUEUED", 2)
        assert (queued["startedAt"], queued["endedAt"], queued["durationMs"]) == (None, None, None)
        assert queued["createdAt"].startswith("2026-03-01T08:00:0")
    assert report.summary()["startedAt"] is None
    report.post("03-retry-five-hours-later", first=6)
    for name in ("root", "train"):
        action = report.action(name)
        assert action["startedAt"] == "2026-03-01T14:00:01.000Z"
        assert action["durationMs"] == 3_599_000
        first, second = action["attempts"]
        assert (first["durationMs"], second["durationMs"]) in (
            (3_600_000, 3_599_000),
            (3_599_000, 3_599_000),
        )
    summary = report.summary()
    assert (summary["createdAt"], summary["durationMs"]) == ("2026-03-01T08:00:00.000Z", 3_599_000)


def test_resume_without_a_version_is_told_how_it_is_done(report):
    report.post("05-pause-resume-without-version", last=2)
    resumed = report.events("05-pause-resume-without-version")[2]
    result = report.api.post_one(resumed)
    assert (result["status"], result["identical"]) == ("duplicate", False)
    assert "updatedTime" in result["detail"]
    assert "greater version" in result["detail"]
    assert report.action("gate")["phase"] == "PAUSED"
    assert report.api.post_one(resumed | {"version": 1})["status"] == "applied"
    assert report.action("gate")["phase"] == "RUNNING"


def test_a_gate_that_opens_is_told_how_that_is_said(api, run):
    api.post_one(run.event("gate", "PAUSED", parent=None, updatedTime=at(1000)))
    before = api.post_one(run.event("gate", "RUNNING", updatedTime=at(999), version=0))
    assert (before["status"], before.get("detail")) == ("recorded", None)
    api.post_one(run.event("door", "PAUSED", parent=None, updatedTime=at(1000)))
    opened = run.event("door", "RUNNING", updatedTime=at(2000))
    result = api.post_one(opened)
    assert result["status"] == "recorded"
    assert "PAUSED" in result["detail"] and "greater" in result["detail"]
    assert api.read(f"{run.path}/actions/door")["phase"] == "PAUSED"
    assert "detail" not in api.post_one(opened | {"attempt": 2})
    late = api.post_one(run.event("door", "RUNNING", version=1, updatedTime=at(3000)))
    assert (late["status"], late.get("detail")) == ("recorded", None)
    resumed = api.post_one(run.event("gate", "RUNNING", version=1, updatedTime=at(3000)))
    assert resumed["status"] == "applied"


def transitions(action):
    """Of the latest attempt: phase, from, to."""
    return [
        (step["phase"], step["startTime"][11:19], step["endTime"] and step["endTime"][11:19])
        for step in action["attempts"][-1]["phaseTransitions"]
    ]


def test_deferred_task_waits_and_goes_on(report):
    name = "06-deferred-task"
    report.post(name, last=2)
    assert [result["status"] for result in report.post(name, 2, 3)] == ["applied"]
    waiting = report.in_tree("wait")
    assert (waiting["phase"], waiting["version"]) == ("WAITING_FOR_RESOURCES", 1)
    assert report.summary()["phase"] == "WAITING_FOR_RESOURCES"
    assert report.summary()["phaseCounts"] == {"WAITING_FOR_RESOURCES": 1}
    assert transitions(report.action("wait")) == [
        ("QUEUED", "08:00:00", "08:00:05"),
        ("RUNNING", "08:00:05", "08:00:06"),
        ("WAITING_FOR_RESOURCES", "08:00:06", None),
    ]
    report.post(name, 3, 4)
    assert report.in_tree("wait")["phase"] == "RUNNING"
    report.post(name, 4)
    done = report.action("wait")
    assert (done["phase"], done["attempts"][0]["phase"]) == ("SUCCEEDED", "SUCCEEDED")
    assert transitions(done) == [
        ("QUEUED", "08:00:00", "08:00:05"),
        ("RUNNING", "08:00:05", "08:00:06"),
        ("WAITING_FOR_RESOURCES", "08:00:06", "09:00:00"),
        ("RUNNING", "09:00:00", "09:00:05"),
        ("SUCCEEDED", "09:00:05", "09:00:05"),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_first_end_stands_in_any_order_of_arrival(report, seed):
    events = report.events("07-late-terminal")
    random.Random(seed).shuffle(events)
    for event in events:
        report.api.post_one(event)
    assert (report.action("t")["phase"], report.action("t")["endedAt"]) == (
        "SUCCEEDED",
        "2026-03-01T08:00:10.000Z",
    )
    assert report.action("u")["phase"] == "FAILED"
    zombie = report.action("t")
    assert (zombie["errorInfo"], zombie["attempts"][0]["errorInfo"]) == (None, None)
    assert transitions(zombie)[-1] == ("SUCCEEDED", "08:00:10", "08:00:10")
    assert len(report.api.read(f"{report.run.path}/actions/t/events")["events"]) == 3
    assert report.summary()["phaseCounts"] == {"RUNNING": 1, "SUCCEEDED": 1, "FAILED": 1}


def test_end_of_a_greater_version_overrides(report, run):
    report.post("07-late-terminal")
    report.api.post_one(run.event("t", "FAILED", version=1, updatedTime="2026-03-01T08:09:00Z"))
    assert report.action("t")["phase"] == "FAILED"


def test_clocks_that_differ_make_no_negative_time(api, run):
    api.post_all(
        [
            run.event("a0", "QUEUED", parent=None, updatedTime=at(40_000)),
            run.event("a0", "RUNNING", updatedTime=at(30_000)),
        ]
    )
    steps = api.read(f"{run.path}/actions/a0")["attempts"][0]["phaseTransitions"]
    assert [(step["phase"], step["startTime"], step["endTime"]) for step in steps] == [
        ("RUNNING", at(30_000), at(40_000)),
        ("QUEUED", at(40_000), None),
    ]
    api.post_one(run.event("a0", "SUCCEEDED", updatedTime=at(20_000)))
    attempt = api.read(f"{run.path}/actions/a0")["attempts"][0]
    assert (attempt["startedAt"], attempt["endedAt"], attempt["durationMs"]) == (
        at(30_000),
        at(20_000),
        0,
    )
    assert [
        (step["phase"], step["startTime"], step["endTime"]) for step in attempt["phaseTransitions"]
    ] == [
        ("QUEUED", at(20_000), at(20_000)),
        ("RUNNING", at(20_000), at(20_000)),
        ("SUCCEEDED", at(20_000), at(20_000)),
    ]


@pytest.mark.parametrize(
    "zero",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "0000-12-31T19:03:58-04:56",
        "1970-01-01T00:00:00Z",
        "1970-01-01T01:00:00+01:00",
    ],
)
def test_zero_time_is_the_time_of_receipt(api, run, zero):
    api.post_all(
        [
            run.event("a0", "RUNNING", parent=None, updatedTime=zero, reportedTime=zero),
            run.event("a1", "SUCCEEDED", parent="a0", updatedTime="2026-03-01T00:00:00Z"),
        ]
    )
    event = api.read(f"{run.path}/actions/a0/events")["events"][0]
    received, recorded = map(
        datetime.datetime.fromisoformat, (event["updatedTime"], event["recordedAt"])
    )
    assert recorded - datetime.timedelta(minutes=1) < received <= recorded
    summary = api.read(run.path)
    assert summary["createdAt"] == summary["startedAt"] == event["updatedTime"]


def test_times_in_other_formats_are_refused_by_name(report):
    response = report.api.post({"events": report.events("15-time-formats")})
    results = response.json()["results"]
    assert [result["status"] for result in results] == ["applied"] + 8 * ["rejected"]
    assert {result["problem"]["pointer"] for result in results[1:]} == {"/updatedTime"}


def test_jobs_without_a_root_above_them_are_the_run(report, api, run):
    name = "08-jobs-without-a-root"
    report.post(name, last=4)
    assert report.summary()["phase"] == "RUNNING"
    assert report.summary()["endedAt"] is None
    report.post(name, first=4)
    summary = report.summary()
    assert (summary["phase"], summary["startedAt"], summary["endedAt"]) == (
        "FAILED",
        "2026-03-01T08:00:00.000Z",
        "2026-03-01T08:08:20.000Z",
    )
    assert summary["durationMs"] == 500_000
    for phase, found in (("FAILED", [run.name]), ("SUCCEEDED", []), ("ABORTED", [])):
        runs = api.read("/v1/runs", project=run.project, phase=phase)["runs"]
        assert [listed["runName"] for listed in runs] == found


@pytest.mark.parametrize(
    ("roots", "phase"),
    [
        (["QUEUED", "INITIALIZING"], "INITIALIZING"),
        (["QUEUED", "SUCCEEDED"], "RUNNING"),
        (["PAUSED", "SUCCEEDED"], "PAUSED"),
        (["PAUSED", "RUNNING"], "RUNNING"),
        (["SUCCEEDED", "ABORTED", "TIMED_OUT", "FAILED"], "FAILED"),
        (["SUCCEEDED", "ABORTED", "TIMED_OUT"], "TIMED_OUT"),
        (["SUCCEEDED", "ABORTED"], "ABORTED"),
        (["RECOVERED", "SUCCEEDED"], "SUCCEEDED"),
        (["RECOVERED"], "RECOVERED"),
        (["SKIPPED", "RECOVERED"], "RECOVERED"),
        (["SKIPPED", "SKIPPED"], "SKIPPED"),
    ],
)
def test_phase_of_several_roots(api, run, roots, phase):
    for number, root in enumerate(roots):
        api.post_one(run.event(f"a{number}", root, parent=None))
    assert api.read(run.path)["phase"] == phase


def test_times_of_several_roots_go_back_with_a_retry(api, run):
    api.post_all(
        [
            run.event("a0", "RUNNING", parent=None, updatedTime=at(1000)),
            run.event("b0", "RUNNING", parent=None, updatedTime=at(2000)),
            run.event("a0", "FAILED", updatedTime=at(9000)),
            run.event("b0", "SUCCEEDED", updatedTime=at(3000)),
        ]
    )
    api.post_one(run.event("a0", "QUEUED", attempt=2, updatedTime=at(50_000)))
    summary = api.read(run.path)
    assert (summary["phase"], summary["createdAt"]) == ("RUNNING", at(1000))
    assert (summary["startedAt"], summary["endedAt"]) == (at(2000), None)
    api.post_one(run.event("a0", "ABORTED", attempt=2, updatedTime=at(2500)))
    summary = api.read(run.path)
    assert (summary["phase"], summary["endedAt"], summary["durationMs"]) == (
        "ABORTED",
        at(3000),
        1000,
    )


def test_a_run_starts_with_the_first_root_that_is_not_skipped(api, run):
    api.post_all(
        [
            run.event("a0", "RUNNING", parent=None, updatedTime=at(1000)),
            run.event("b0", "RUNNING", parent=None, updatedTime=at(2000)),
        ]
    )
    assert api.read(run.path)["startedAt"] == at(1000)
    api.post_one(run.event("a0", "SKIPPED", updatedTime=at(1500)))
    assert api.read(run.path)["startedAt"] == at(2000)
    api.post_one(run.event("a0", "SUCCEEDED", version=1, updatedTime=at(1700)))
    assert api.read(run.path)["startedAt"] == at(1000)


def test_what_waits_is_counted(report, api, run, open_stream):
    report.post("09-lost-parent")
    api.post_all(
        [run.event("orphan", "RUNNING"), run.event("c2", "QUEUED", parent="lost")]
        + [run.event(name, "QUEUED", parent=other) for name, other in (("p", "q"), ("q", "p"))]
    )
    waiting = {
        "count": 5,
        "for": [
            {"parent": "lost", "count": 2},
            {"parent": "p", "count": 1},
            {"parent": "q", "count": 1},
            {"parent": None, "count": 1},
        ],
    }
    summary = report.summary()
    assert (summary["phase"], summary["actionCount"]) == ("SUCCEEDED", 1)
    assert summary["waiting"] == waiting
    assert api.read("/v1/runs", project=run.project)["runs"][0]["waiting"] == waiting
    frames = open_stream(f"{run.path}/watch").read_to_end()[-2:]
    assert [(frame.event, frame.data["waiting"]) for frame in frames] == [
        ("synced", waiting),
        ("end", waiting),
    ]
    api.post_one(run.event("lost", "SUCCEEDED", parent="root"))
    assert report.summary()["waiting"]["count"] == 3
    assert report.summary()["actionCount"] == 4


def test_list_of_runs_tells_what_waits_as_it_comes(api, run, open_stream):
    stream = open_stream(f"{run.base}/runs/watch")
    stream.read_until("synced")
    for name, waiting in (
        ("a1", {"count": 1, "for": [{"parent": "a0", "count": 1}]}),
        ("a2", {"count": 2, "for": [{"parent": "a0", "count": 2}]}),
    ):
        api.post_one(run.event(name, "RUNNING", parent="a0"))
        stream.read_until(
            lambda frame, waiting=waiting: frame.event == "runUpdate"
            and frame.data["waiting"] == waiting
        )


def test_last_event_is_when_something_new_was_heard(api, run):
    event = run.event("a0", "RUNNING", parent=None, updatedTime=at(0))
    api.post_one(event)
    first = api.read(run.path)["lastEventAt"]
    recorded = api.read(f"{run.path}/actions/a0/events")["events"][0]["recordedAt"]
    assert first == recorded
    api.post_one(event)
    assert api.read(run.path)["lastEventAt"] == first
    api.post_one(run.event("a1", "RUNNING", parent="nobody"))
    assert api.read(run.path)["lastEventAt"] > first


@pytest.fixture
def impatient(start_runtree, open_api, postgres):
    """Two runtrees on one database that give up after a second, and their clients."""
    url = postgres.new_database()
    pair = [start_runtree("--abandoned-after-s", "1", database_url=url) for _ in range(2)]
    return [(runtree, open_api(runtree)) for runtree in pair]


def abandoned(impatient):
    return sum(metric(runtree.url, "runtree_actions_abandoned_total") for runtree, _ in impatient)


def test_forgotten_step_is_abandoned_and_the_run_ends(impatient, run):
    (runtree, api), (twin, other) = impatient
    report = Report(api, run)
    with contextlib.ExitStack() as stack:
        report.post("04-zombie-step")
        streams = [
            stack.enter_context(contextlib.closing(EventStream(url, f"{run.path}/watch")))
            for url in (runtree.url, twin.url)
        ]
        heard = report.summary()["lastEventAt"]
        for stream in streams:
            frames = stream.read_to_end()
            assert frames[-1].event == "end"
            last = [frame for frame in frames if frame.event == "nodeUpdate"][-1].data["action"]
            assert (last["name"], last["phase"], last["abandoned"]) == ("step", "ABORTED", True)
    step = Report(other, run).action("step")
    assert step["version"] < 0
    assert (step["phase"], step["endedAt"], step["durationMs"]) == (
        "ABORTED",
        "2026-03-01T08:01:00.000Z",
        59_000,
    )
    assert "abandoned" not in report.action("root")
    summary = report.summary()
    assert summary["phaseCounts"] == {"ABORTED": 1, "FAILED": 1}
    assert (summary["phase"], summary["lastEventAt"]) == ("FAILED", heard)
    event = api.read(f"{run.path}/actions/step/events")["events"][-1]
    assert (event["phase"], event["version"], event["abandoned"]) == (
        "ABORTED",
        step["version"],
        True,
    )
    assert abandoned(impatient) == 1
    tree = api.read(f"{run.path}/tree")
    assert api.read(f"{run.path}/tree", at=tree["revision"])["nodes"] == tree["nodes"]

    lives_on = run.event("step", "RUNNING", version=1, updatedTime="2026-03-01T08:30:00Z")
    result = other.post_one(lives_on)
    assert result["status"] == "recorded" and "given up" in result["detail"]
    assert report.action("step")["phase"] == "ABORTED"

    api.post_one(run.event("step", "SUCCEEDED", updatedTime="2026-03-01T09:00:00Z"))
    step = report.action("step")
    assert (step["phase"], step["durationMs"], "abandoned" in step) == (
        "SUCCEEDED",
        3_599_000,
        False,
    )
    assert transitions(step) == [
        ("RUNNING", "08:00:01", "08:30:00"),
        ("RUNNING", "08:30:00", "09:00:00"),
        ("SUCCEEDED", "09:00:00", "09:00:00"),
    ]
    assert report.summary()["phaseCounts"] == {"SUCCEEDED": 1, "FAILED": 1}
    assert "detail" not in other.post_one(run.event("step", "RUNNING", version=2))


def test_many_are_abandoned_once_each_by_whichever_process(impatient, run):
    (_, api), (_, other) = impatient
    names = [f"a{number}" for number in range(1, 1201)]
    api.post_all([run.event("a0", "RUNNING", parent=None)])
    api.post_all([run.event(name, "QUEUED", parent="a0") for name in names])
    api.post_one(run.event("a0", "SUCCEEDED"))
    until(lambda: other.read(run.path)["phaseCounts"] == {"SUCCEEDED": 1, "ABORTED": 1200})
    assert abandoned(impatient) == 1200
    assert other.read(run.path)["revision"] == 2402


def test_nothing_is_abandoned_while_a_root_runs_or_something_is_heard(impatient, run):
    (_, api), _ = impatient
    ended = RunKey(run.project, run.domain, "ended")
    api.post_all(
        [
            run.event("a0", "RUNNING", parent=None),
            run.event("a1", "RUNNING", parent="a0"),
            run.event("b0", "SUCCEEDED", parent=None),
            ended.event("a0", "SUCCEEDED", parent=None),
            ended.event("a1", "RUNNING", parent="a0"),
        ]
    )
    until(lambda: api.read(ended.path)["phaseCounts"] == {"SUCCEEDED": 1, "ABORTED": 1})
    assert api.read(run.path)["phaseCounts"] == {"RUNNING": 2, "SUCCEEDED": 1}
    api.post_one(ended.event("a1", "RUNNING", attempt=2))
    assert api.read(ended.path)["phaseCounts"] == {"SUCCEEDED": 1, "RUNNING": 1}
    until(lambda: api.read(ended.path)["phaseCounts"] == {"SUCCEEDED": 1, "ABORTED": 1})


def test_never_is_never(start_runtree, open_api, postgres, run):
    url = postgres.new_database()
    api = open_api(start_runtree("--abandoned-after-s", "0", database_url=url))
    report = Report(api, run)
    report.post("04-zombie-step")
    assert postgres.execute(url, "SELECT run_name FROM open_ends") == [(run.name,)]
    eager = open_api(start_runtree("--abandoned-after-s", "1", database_url=url))
    until(lambda: Report(eager, run).action("step")["phase"] == "ABORTED")
    assert postgres.execute(url, "SELECT run_name FROM open_ends") == []
    assert report.summary()["endedAt"] == "2026-03-01T08:01:00.000Z"


def test_deleted_run_has_no_open_ends(start_runtree, open_api, postgres, run):
    url = postgres.new_database()
    api = open_api(start_runtree(database_url=url))
    Report(api, run).post("04-zombie-step")
    assert api.request("DELETE", run.path).status_code == 204
    assert postgres.execute(url, "SELECT run_name FROM open_ends") == []


def test_end_is_followed_by_more(report, run, open_stream):
    """01 and 02: a retry after the end, and a child that comes later than it."""
    report.post("01-retry-after-end", last=4)
    listed = open_stream(f"{run.base}/runs/watch")
    listed.read_until("synced")
    ended = open_stream(f"{run.path}/watch").read_to_end()
    assert ended[-1].event == "end"
    following = open_stream(f"{run.path}/watch?follow=true", ended[-1].id)
    following.read_until("synced")
    report.post("01-retry-after-end", first=4)
    listed.read_until(lambda frame: frame.event == "runUpdate" and frame.data["phase"] == "RUNNING")
    seen = set()
    while seen != {"root", "train", "extra"}:
        seen |= set(names_of(following.read_flush()))
    assert report.summary()["endedAt"] is None


def test_child_later_than_the_end_is_shown(report, run, open_stream):
    report.post("02-child-later-than-end", last=4)
    ended = open_stream(f"{run.path}/watch").read_to_end()
    report.post("02-child-later-than-end", first=4)
    resumed = open_stream(f"{run.path}/watch", ended[-1].id).read_to_end()
    assert [frame.event for frame in resumed[-2:]] == ["synced", "end"]
    assert "c2" in names_of(resumed)
    assert report.summary()["phase"] == "SUCCEEDED"
    assert report.summary()["phaseCounts"] == {"SUCCEEDED": 2, "FAILED": 1}
