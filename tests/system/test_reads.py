"""Lists, cursors, filters, times, details and the tree as a document."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import assert_problem
from inventions import at, invent_run
from tree_oracle import TreeOracle, comparable
from watching import names_of


@pytest.fixture
def small_tree(api, run):
    """a0 (root) over a1 (over a2, a3) and b1, in different phases."""
    api.post_all(
        [
            run.event("a0", "RUNNING", parent=None, task={"name": "pkg.flows.Main"}),
            run.event(
                "a1", "RUNNING", parent="a0", task={"name": "pkg.train", "shortName": "Training"}
            ),
            run.event("a2", "SUCCEEDED", parent="a1", task={"name": "pkg.load_DATA"}),
            run.event("a3", "FAILED", parent="a1"),
            run.event("b1", "QUEUED", parent="a0", task={"name": "plain"}),
        ]
    )


def names(api, path, **parameters):
    return [action["name"] for action in api.read(path, **parameters)["actions"]]


def tree_names(api, run, **parameters):
    return [node["action"]["name"] for node in api.read(f"{run.path}/tree", **parameters)["nodes"]]


def test_run_summary(api, run):
    api.post_all(
        [
            run.event("a0", "QUEUED", parent=None, updatedTime=at(0)),
            run.event("a0", "RUNNING", updatedTime=at(1000)),
            run.event("a1", "SUCCEEDED", parent="a0", updatedTime=at(1500)),
            run.event("a2", "RUNNING", parent="a0", updatedTime=at(1600)),
        ]
    )
    summary = api.read(run.path)
    assert summary["incarnation"] and summary.pop("firstSeenAt") > at(0)
    summary.pop("incarnation")
    assert summary.pop("lastEventAt") > at(0)
    assert summary == {
        "project": run.project,
        "domain": run.domain,
        "runName": run.name,
        "revision": 4,
        "phase": "RUNNING",
        "root": "a0",
        "actionCount": 3,
        "phaseCounts": {"RUNNING": 2, "SUCCEEDED": 1},
        "createdAt": at(0),
        "startedAt": at(1000),
        "endedAt": None,
        "durationMs": None,
        "waiting": {"count": 0, "for": []},
    }
    api.post_all([run.event("a2", "ABORTED"), run.event("a0", "FAILED", updatedTime=at(9000))])
    summary = api.read(run.path)
    assert (summary["phase"], summary["endedAt"], summary["durationMs"]) == (
        "FAILED",
        at(9000),
        8000,
    )
    assert summary["phaseCounts"] == {"FAILED": 1, "SUCCEEDED": 1, "ABORTED": 1}


def test_run_without_a_root(api, run):
    api.post_one(run.event("a1", parent="a0"))
    summary = api.read(run.path)
    assert (summary["root"], summary["phase"], summary["actionCount"]) == (None, None, 0)
    assert api.read(f"{run.path}/tree")["nodes"] == []


@pytest.mark.parametrize(
    "path", ["", "/actions", "/tree", "/watch", "/actions/a0", "/actions/a0/events"]
)
def test_unknown_run(api, run, path):
    assert_problem(api.get(run.path + path), 404, "not-found")


@pytest.mark.parametrize("path", ["/actions/nobody", "/actions/nobody/events"])
def test_unknown_action(api, run, path):
    api.post_one(run.event(parent=None))
    assert_problem(api.get(run.path + path), 404, "not-found")


def test_unknown_path(api):
    for path in ("/v1", "/v2/runs", "/v1/projects/p", "/v1/runs/", "/nothing"):
        assert_problem(api.get(path), 404, "not-found")


def test_empty_lists(api, run):
    assert api.read(f"{run.base}/runs") == {"runs": []}
    assert api.read("/v1/runs", project="no-such-project") == {"runs": []}


def test_runs_newest_first(api, run):
    for number in range(5):
        api.post_one(dict(run.event(parent=None), runName=f"r{number}"))
        time.sleep(0.003)
    api.post_one(dict(run.event(phase="RUNNING"), runName="r0"))
    expected = ["r4", "r3", "r2", "r1", "r0"]
    assert [item["runName"] for item in api.read(f"{run.base}/runs")["runs"]] == expected
    assert [
        item["runName"] for item in api.read("/v1/runs", project=run.project)["runs"]
    ] == expected


def listed_runs(api, run, **parameters):
    return [item["runName"] for item in api.read(f"{run.base}/runs", **parameters)["runs"]]


def test_runs_are_sorted_by_the_time_that_they_show(api, run):
    """Of history that is recorded late, too; a run without a root shows when it was first seen."""

    def post(name, seconds, action="a0", **members):
        members = {"parent": None, "updatedTime": at(1000 * seconds)} | members
        api.post_one(dict(run.event(action, **members), runName=name))

    for name, seconds in (("b", 20), ("c", 30), ("a", 10), ("old", -10**9)):
        post(name, seconds)
    post("rootless", 25, "a1", parent="a0")
    assert listed_runs(api, run) == ["rootless", "c", "b", "a", "old"]
    post("rootless", 25)
    assert listed_runs(api, run) == ["c", "rootless", "b", "a", "old"]
    post("c", 5, phase="RUNNING")
    expected = ["rootless", "b", "a", "c", "old"]
    assert listed_runs(api, run) == expected
    for parameters in ({"project": run.project}, {"project": run.project, "domain": run.domain}):
        found = api.read_all("/v1/runs", "runs", limit=1, **parameters)
        assert [item["runName"] for item in found] == expected
    shown = [item["createdAt"] for item in api.read(f"{run.base}/runs")["runs"]]
    assert shown == sorted(shown, reverse=True)


def test_run_that_moves_back_while_somebody_pages(api, run):
    """It comes where it was or where it is, or at both; the others come once."""
    for number in range(9):
        event = run.event(parent=None, updatedTime=at(1000 * number))
        api.post_one(dict(event, runName=f"r{number}"))
    seen, parameters = [], {"limit": 2}
    for page in range(7):
        answer = api.read(f"{run.base}/runs", **parameters)
        seen += [item["runName"] for item in answer["runs"]]
        if page == 1:
            for name, time_ms in (("r8", 500), ("r3", 1500)):
                event = run.event(phase="RUNNING", updatedTime=at(time_ms))
                api.post_one(dict(event, runName=name))
        if "nextCursor" not in answer:
            break
        parameters["cursor"] = answer["nextCursor"]
    assert seen == ["r8", "r7", "r6", "r5", "r4", "r2", "r3", "r1", "r8", "r0"]


def test_filters_of_the_list_of_runs(api, run):
    for number, phase in enumerate(["RUNNING", "FAILED", "SUCCEEDED"]):
        api.post_one(dict(run.event(phase=phase, parent=None), runName=f"Nightly-{number}"))
    api.post_one(dict(run.event(phase="FAILED", parent=None), runName="hourly", domain="staging"))

    def listed(**parameters):
        found = api.read("/v1/runs", **parameters)["runs"]
        return {item["runName"] for item in found if item["project"] == run.project}

    def of_domain(query):
        return {item["runName"] for item in api.read(f"{run.base}/runs{query}")["runs"]}

    assert of_domain("?phase=FAILED") == {"Nightly-1"}
    assert of_domain("?phase=FAILED,RUNNING") == {"Nightly-0", "Nightly-1"}
    assert of_domain("?phase=FAILED&phase=RUNNING") == {"Nightly-0", "Nightly-1"}
    assert listed(project=run.project, domain="staging") == {"hourly"}
    assert listed(project=run.project, phase="FAILED") == {"Nightly-1", "hourly"}
    assert listed(project=run.project, name="NIGHT") == {"Nightly-0", "Nightly-1", "Nightly-2"}
    assert listed(name="ourl", project=run.project) == {"hourly"}
    titled = {"title": 'Retraining "7"'}
    api.post_one(dict(run.event(parent=None), runName="r7", run=titled))
    assert listed(name='training "', project=run.project) == {"r7"}
    assert (
        listed(name="%", project=run.project)
        == listed(name="_ightly", project=run.project)
        == set()
    )


def test_projects(api, run):
    for name, domain in (("r1", "staging"), ("r2", "staging"), ("r1", "production")):
        api.post_one(dict(run.event(parent=None), runName=name, domain=domain))
    found = api.read_all("/v1/projects", "projects", limit=1)
    assert [item for item in found if item["project"] == run.project] == [
        {"project": run.project, "domain": "production", "runs": 1},
        {"project": run.project, "domain": "staging", "runs": 2},
    ]


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_paging_of_runs_while_runs_are_added(api, run, limit):
    def add(number):
        api.post_one(dict(run.event(parent=None), runName=f"r{number}"))

    for number in range(10):
        add(number)
    seen, parameters = [], {"limit": limit}
    while True:
        page = api.read(f"{run.base}/runs", **parameters)
        assert len(page["runs"]) <= limit
        seen += [item["runName"] for item in page["runs"]]
        add(100 + len(seen))
        api.post_one(dict(run.event(phase="RUNNING", version=len(seen)), runName="r0"))
        if "nextCursor" not in page:
            break
        parameters["cursor"] = page["nextCursor"]
    assert seen == [f"r{number}" for number in reversed(range(10))]


def test_paging_of_actions_while_actions_are_added(api, run):
    api.post_all(
        [run.event("a0", parent=None)]
        + [run.event(f"a{number}", parent="a0") for number in range(1, 20)]
    )
    seen, parameters = [], {"limit": 4}
    while len(seen) < 60:
        page = api.read(f"{run.path}/actions", **parameters)
        seen += [action["name"] for action in page["actions"]]
        api.post_one(run.event(f"late-{len(seen)}", parent="a0"))
        api.post_one(run.event("a3", "RUNNING", version=len(seen)))
        if "nextCursor" not in page:
            break
        parameters["cursor"] = page["nextCursor"]
    assert seen[:20] == [f"a{number}" for number in range(20)]
    assert len(seen) == len(set(seen))


def test_paging_of_events(api, run):
    expected = [
        (attempt, phase, version)
        for attempt in (1, 2)
        for phase in ("QUEUED", "RUNNING", "PAUSED")
        for version in (0, 1, 2)
    ]
    events = [
        run.event(phase=phase, attempt=attempt, version=version, parent=None)
        for attempt, phase, version in expected
    ]
    random.Random(7).shuffle(events)
    api.post_all(events)
    for limit in (1, 5, 18, 100):
        listed = api.read_all(f"{run.path}/actions/a0/events", "events", limit=limit)
        assert [
            (event["attempt"], event["phase"], event["version"]) for event in listed
        ] == expected
    second = api.read(f"{run.path}/actions/a0/events", attempt=2)["events"]
    assert [event["attempt"] for event in second] == [2] * 9


def test_actions_are_in_tree_order(api, run):
    api.post_all([run.event("c", parent="b"), run.event("z", parent=None)])
    api.post_all([run.event("b", parent="z"), run.event("a", parent="z")])
    listed = names(api, f"{run.path}/actions")
    assert listed == [node["action"]["name"] for node in api.read(f"{run.path}/tree")["nodes"]]
    assert listed.index("z") < listed.index("b") < listed.index("c")
    assert listed[0] == "z"


def test_filters_of_actions(api, run, small_tree):
    path = f"{run.path}/actions"
    assert names(api, path) == ["a0", "a1", "a2", "a3", "b1"]
    assert names(api, path, phase="RUNNING") == ["a0", "a1"]
    assert names(api, path, phase="FAILED,QUEUED") == ["a3", "b1"]
    assert names(api, path + "?phase=FAILED&phase=QUEUED") == ["a3", "b1"]
    assert names(api, path, parent="a1") == ["a2", "a3"]
    assert names(api, path, parent="a1", phase="FAILED") == ["a3"]
    assert names(api, path, parent="nobody") == []
    assert names(api, path, limit=2, phase="FAILED,QUEUED,SUCCEEDED") == ["a2", "a3"]


def test_names_that_the_name_filter_looks_at(api, run, small_tree):
    """Of the action, of its task, in short, and its group."""
    api.post_one(run.event("b2", parent="a0", group="Map over shards", title='Say "hi" in É'))
    path = f"{run.path}/actions"
    for found, expected in {
        "TRAIN": ["a1"],
        "pkg": ["a0", "a1", "a2"],
        "flows.main": ["a0"],
        "data": ["a2"],
        "A3": ["a3"],
        "a1": ["a1"],
        "plain": ["b1"],
        "over SHARDS": ["b2"],
        'y "HI" in É': ["b2"],
        "": ["a0", "a1", "a2", "a3", "b1", "b2"],
        "%": [],
        "_ain": [],
        "a1pkg": [],
    }.items():
        assert names(api, path, name=found) == expected, found
        shown = [] if not expected else tree_names(api, run, name=found)
        assert set(shown) >= set(expected), found
    assert tree_names(api, run, name="a1pkg") == []


def test_one_of_twenty_maps_is_found_by_its_name(api, run, report):
    """As the one who looks for it sees it in its row."""
    report.post("18-search")
    assert names(api, f"{run.path}/actions", name="a17") == ["a17"]
    assert tree_names(api, run, name="a17") == ["root", "a17"]
    assert len(names(api, f"{run.path}/actions", name="pkg")) == 20
    by_name = names(api, f"{run.path}/actions", sort="name", name="a1")
    assert by_name == ["a1", *(f"a{number}" for number in range(10, 20))]


def test_first_line_of_errors_is_searched(api, run):
    message = 'CUDA out of memory: "tried" 2 GiB\\x\nTraceback: gpu 7\n'
    blank = "\n\nOOMKilled\rsecond"
    api.post_all(
        [
            run.event("a0", "RUNNING", parent=None),
            run.event("a1", "FAILED", parent="a0", errorInfo={"kind": "USER", "message": message}),
            run.event("a2", "FAILED", parent="a0", errorInfo={"message": blank}),
            run.event("a3", "FAILED", parent="a0", errorInfo={"kind": "SYSTEM"}),
            run.event("cuda", "FAILED", parent="a0"),
        ]
    )
    path = f"{run.path}/actions"
    for found, expected in {
        "Cuda OUT": ["a1"],
        '"tried" 2 GiB\\X': ["a1"],
        "traceback": [],
        "GiB\\x\n": [],
        "oomkilled": ["a2"],
        "second": [],
        "USER": [],
        "": ["a0", "a1", "a2", "a3", "cuda"],
    }.items():
        assert names(api, path, error=found) == expected, found
        shown = ["a0", *expected] if found and expected else expected
        assert tree_names(api, run, error=found) == shown, found
    assert names(api, path, error="o", phase="FAILED", name="a2") == ["a2"]
    assert_problem(api.get(path, error="x" * 256), 400, "invalid-field")
    assert_problem(api.get("/v1/runs", error="x"), 400, "unknown-parameter")


def test_stream_filtered_by_error(api, run, open_stream):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    stream = open_stream(f"{run.path}/watch?error=memory")
    assert stream.read_flush()[-1].data["visible"] == 0
    api.post_one(run.event("a1", "FAILED", parent="a0", errorInfo={"message": "no Memory"}))
    assert names_of(stream.read_flush()) == ["a0", "a1"]


def test_name_filter_folds_only_ascii(api, run):
    api.post_one(run.event(parent=None, task={"name": "t", "shortName": "GRÖSSE"}))
    assert names(api, f"{run.path}/actions", name="grÖsse") == ["a0"]
    assert names(api, f"{run.path}/actions", name="größe") == []
    assert names(api, f"{run.path}/actions", name="grösse") == []


SORTED = {
    ("order", False): ["root", "a10", "a2", "b", "a02", "a1"],
    ("order", True): ["a1", "a02", "b", "a2", "a10", "root"],
    ("started", False): ["root", "a1", "a10", "a02", "a2", "b"],
    ("started", True): ["a10", "a02", "a1", "root", "a2", "b"],
    ("duration", False): ["a02", "a10", "root", "a2", "b", "a1"],
    ("duration", True): ["a10", "a02", "root", "a2", "b", "a1"],
    ("name", False): ["a1", "a02", "a2", "a10", "b", "root"],
    ("name", True): ["root", "b", "a10", "a2", "a02", "a1"],
}


@pytest.fixture
def sorted_run(api, run):
    """Joined in the order of their names here; a2 and b never started, and b, a1, root go on."""
    for name, phases in {
        "root": {"RUNNING": 0},
        "a10": {"RUNNING": 500, "SUCCEEDED": 900},
        "a2": {"QUEUED": 400, "ABORTED": 700},
        "b": {"QUEUED": 400},
        "a02": {"RUNNING": 500, "FAILED": 800},
        "a1": {"RUNNING": 450},
    }.items():
        parent = None if name == "root" else "root"
        for phase, time_ms in phases.items():
            api.post_one(run.event(name, phase, parent=parent, updatedTime=at(time_ms)))
    return run


@pytest.mark.parametrize("sort, descending", SORTED)
def test_actions_are_sorted(api, sorted_run, sort, descending):
    path = f"{sorted_run.path}/actions"
    parameters = {"sort": sort, "desc": "true" if descending else "false"}
    expected = SORTED[(sort, descending)]
    for limit in (1, 2, 5, 6, 1000):
        listed = api.read_all(path, "actions", limit=limit, **parameters)
        assert [action["name"] for action in listed] == expected
    assert listed == sorted(
        api.read(path)["actions"], key=lambda action: expected.index(action["name"])
    )
    below = [name for name in expected if name.startswith("a")]
    assert names(api, path, parent="root", name="a", **parameters) == below
    assert names(api, path, phase="RUNNING", **parameters) == [
        name for name in expected if name in ("root", "a1")
    ]


def test_cursors_of_names_are_exact_whatever_happens(api, sorted_run):
    path, seen, parameters = f"{sorted_run.path}/actions", [], {"sort": "name", "limit": 2}
    for late in ("a3/é x", "a0", "z"):
        page = api.read(path, **parameters)
        seen += [action["name"] for action in page["actions"]]
        api.post_one(sorted_run.event(late, "RUNNING", parent="root"))
        api.post_one(sorted_run.event("b", "RUNNING", version=len(seen)))
        parameters["cursor"] = page["nextCursor"]
    seen += [action["name"] for action in api.read(path, **parameters)["actions"]]
    assert seen == ["a1", "a02", "a2", "a3/é x", "a10", "b", "root", "z"]


def test_cursor_is_of_one_order(api, sorted_run):
    path = f"{sorted_run.path}/actions"
    orders = [dict(sort=sort, desc=desc) for sort, desc in SORTED]
    cursors = [api.read(path, limit=1, **order)["nextCursor"] for order in orders]
    assert len(set(cursors)) == len(orders)
    for order in orders:
        for other, cursor in zip(orders, cursors):
            if other != order:
                assert_problem(api.get(path, cursor=cursor, **order), 400, "invalid-field")
    for wrong in ({"sort": "size"}, {"sort": ""}, {"desc": "1"}):
        assert_problem(api.get(path, **wrong), 400, "invalid-field")
    nowhere = dict(sort="name", desc="true")
    assert_problem(api.get(f"{sorted_run.base}/runs/r9/actions", **nowhere), 404, "not-found")


def test_tree_shows_ancestors_of_matches(api, run, small_tree):
    assert tree_names(api, run) == ["a0", "a1", "a2", "a3", "b1"]
    assert tree_names(api, run, phase="FAILED") == ["a0", "a1", "a3"]
    assert tree_names(api, run, phase="QUEUED") == ["a0", "b1"]
    assert tree_names(api, run, phase="SUCCEEDED", name="data") == ["a0", "a1", "a2"]
    assert tree_names(api, run, phase="FAILED", name="data") == []
    tree = api.read(f"{run.path}/tree", phase="FAILED")
    assert tree["revision"] == 5
    assert all(node["meetsFilter"] for node in tree["nodes"])
    assert tree["nodes"][0]["childPhaseCounts"] == {
        "RUNNING": 1,
        "SUCCEEDED": 1,
        "FAILED": 1,
        "QUEUED": 1,
    }


def test_counts_of_all_descendants_follow_a_change_up_to_the_root(api, run):
    chain = ["a0", "a1", "a2", "a3", "a4"]
    api.post_all([run.event(name, parent=parent) for name, parent in zip(chain, [None, *chain])])
    api.post_one(run.event("a4", "RUNNING"))
    nodes = {
        node["action"]["name"]: node["childPhaseCounts"]
        for node in api.read(f"{run.path}/tree")["nodes"]
    }
    assert nodes == {
        "a0": {"QUEUED": 3, "RUNNING": 1},
        "a1": {"QUEUED": 2, "RUNNING": 1},
        "a2": {"QUEUED": 1, "RUNNING": 1},
        "a3": {"RUNNING": 1},
        "a4": {},
    }


@pytest.mark.parametrize(
    "written, read",
    [
        ("2026-04-12T08:00:00Z", "2026-04-12T08:00:00.000Z"),
        ("2026-04-12T10:00:00.5+02:00", "2026-04-12T08:00:00.500Z"),
        ("2026-04-12T00:30:00.123999-07:30", "2026-04-12T08:00:00.123Z"),
        ("2026-04-12t08:00:00.123456789z", "2026-04-12T08:00:00.123Z"),
        ("2024-02-29T23:59:59.999Z", "2024-02-29T23:59:59.999Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ("0002-01-01T00:00:00Z", "0002-01-01T00:00:00.000Z"),
    ],
)
def test_times_come_back_in_utc_with_milliseconds(api, run, written, read):
    api.post_one(run.event(phase="RUNNING", parent=None, updatedTime=written))
    action = api.read(f"{run.path}/actions/a0")
    assert (action["createdAt"], action["startedAt"]) == (read, read)
    assert api.read(f"{run.path}/tree")["nodes"][0]["action"]["createdAt"] == read
    assert api.read(f"{run.path}/actions/a0/events")["events"][0]["updatedTime"] == read


def test_durations(api, run):
    api.post_all(
        [
            run.event("never-started", "QUEUED", parent=None, updatedTime=at(100)),
            run.event("never-started", "ABORTED", updatedTime=at(350)),
            run.event("started", "QUEUED", parent=None, updatedTime=at(0)),
            run.event("started", "RUNNING", version=1, updatedTime=at(200)),
            run.event("started", "RUNNING", updatedTime=at(150)),
            run.event("started", "SUCCEEDED", updatedTime=at(1151)),
            run.event("retried", "RUNNING", parent=None, updatedTime=at(10)),
            run.event("retried", "FAILED", updatedTime=at(20)),
            run.event("retried", "QUEUED", attempt=2, updatedTime=at(30)),
        ]
    )
    times = {
        action["name"]: (
            action["createdAt"],
            action["startedAt"],
            action["endedAt"],
            action["durationMs"],
        )
        for action in api.read(f"{run.path}/actions")["actions"]
    }
    assert times == {
        "never-started": (at(100), None, at(350), None),
        "started": (at(0), at(150), at(1151), 1001),
        "retried": (at(10), None, None, None),
    }


def test_task_and_group_are_those_of_the_first_event_that_has_them(api, run):
    """First in the order of events, so that the order of arrival does not matter."""
    events = [
        run.event(phase="QUEUED", parent=None, group="", task={"name": "", "shortName": None}),
        run.event(phase="INITIALIZING", group="second", task={"name": "second.task"}),
        run.event(phase="RUNNING", group="third", task={"name": "third", "shortName": "t"}),
        run.event(phase="SUCCEEDED", attempt=2, group="last"),
    ]
    for name, arrival in (("forwards", events), ("backwards", events[::-1])):
        api.post_all([event | {"name": name} for event in arrival])
        action = api.read(f"{run.path}/actions/{name}")
        assert (action["group"], action["taskName"], action["shortName"]) == (
            "second",
            "second.task",
            None,
        )


def test_error_info_is_that_of_the_current_state(api, run):
    error = {"kind": "SYSTEM", "message": "node lost", "code": "E7"}
    api.post_one(run.event(phase="FAILED", parent=None, errorInfo=error))
    assert api.read(f"{run.path}/actions/a0")["errorInfo"] == error
    api.post_one(run.event(phase="QUEUED", attempt=2))
    assert api.read(f"{run.path}/actions/a0")["errorInfo"] is None
    assert api.read(f"{run.path}/tree")["nodes"][0]["action"]["errorInfo"] is None


def test_action_detail_is_merged_from_its_events(api, run):
    error = {"kind": "USER", "message": "bad input"}
    log = {"name": "stdout", "uri": "s3://logs/1"}
    other_log = {"name": "stderr", "uri": "s3://logs/2"}
    api.post_all(
        [
            run.event("a0", parent=None),
            run.event(
                "a1",
                "QUEUED",
                parent="a0",
                updatedTime=at(0),
                cluster="small",
                clusterEvents=[{"message": "scheduled"}],
            ),
            run.event("a1", "RUNNING", updatedTime=at(100), cluster="gpu", logInfo=[log]),
            run.event(
                "a1", "FAILED", updatedTime=at(400), errorInfo=error, logInfo=[log, other_log]
            ),
            run.event("a1", "RUNNING", attempt=2, updatedTime=at(500)),
            run.event("a1", "SUCCEEDED", attempt=2, updatedTime=at(900), outputs={"rows": 3}),
        ]
    )
    action = api.read(f"{run.path}/actions/a1")
    assert (action["project"], action["runName"], action["name"], action["parent"]) == (
        run.project,
        run.name,
        "a1",
        "a0",
    )
    assert (action["attempt"], action["phase"], action["waiting"]) == (2, "SUCCEEDED", False)
    assert action["attempts"] == [
        {
            "attempt": 1,
            "phase": "FAILED",
            "createdAt": at(0),
            "startedAt": at(100),
            "endedAt": at(400),
            "durationMs": 300,
            "errorInfo": error,
            "cluster": "gpu",
            "outputs": None,
            "logInfo": [log, other_log],
            "clusterEvents": [{"message": "scheduled"}],
            "phaseTransitions": [
                {"phase": "QUEUED", "version": 0, "startTime": at(0), "endTime": at(100)},
                {"phase": "RUNNING", "version": 0, "startTime": at(100), "endTime": at(400)},
                {"phase": "FAILED", "version": 0, "startTime": at(400), "endTime": at(400)},
            ],
        },
        {
            "attempt": 2,
            "phase": "SUCCEEDED",
            "createdAt": at(500),
            "startedAt": at(500),
            "endedAt": at(900),
            "durationMs": 400,
            "errorInfo": None,
            "cluster": None,
            "outputs": {"rows": 3},
            "logInfo": [],
            "clusterEvents": [],
            "phaseTransitions": [
                {"phase": "RUNNING", "version": 0, "startTime": at(500), "endTime": at(900)},
                {"phase": "SUCCEEDED", "version": 0, "startTime": at(900), "endTime": at(900)},
            ],
        },
    ]


@pytest.mark.parametrize("seed", [11, 12])
def test_reads_of_a_whole_run_equal_the_oracle(api, run, seed):
    rng = random.Random(seed)
    events = invent_run(run, rng, actions=60)
    for start in range(0, len(events), 37):
        api.post_all(events[start : start + 37])
    oracle = TreeOracle(events)
    tree = api.read(f"{run.path}/tree")
    assert comparable(tree["nodes"]) == oracle.nodes()
    listed = api.read_all(f"{run.path}/actions", "actions", limit=9)
    assert listed == [node["action"] for node in tree["nodes"]]
    for phases, text in (((), "train"), (("FAILED", "ABORTED"), ""), (("SUCCEEDED",), "rep")):
        filtered = api.read(f"{run.path}/tree", phase=list(phases), name=text)
        assert comparable(filtered["nodes"]) == oracle.nodes(phases, text)
    summary = api.read(run.path)
    assert summary["phaseCounts"] == oracle.count_phases(oracle.actions)
    assert summary["revision"] == tree["revision"]


def test_a_big_tree_is_of_one_moment(api, open_api, server, run):
    """It is written a piece at a time, while the run goes on."""
    count = 4000
    api.post_all([run.event("a0", "RUNNING", parent=None)])
    api.post_all([run.event(f"b{number}", parent="a0") for number in range(count)])
    poster, is_done = open_api(server), threading.Event()

    def post_on():
        for number in range(count):
            if is_done.is_set():
                return
            poster.post_one(run.event(f"b{number}", "RUNNING"))

    with ThreadPoolExecutor(1) as pool:
        posting = pool.submit(post_on)
        for _ in range(5):
            tree = api.read(f"{run.path}/tree")
            nodes = [node["action"] for node in tree["nodes"]]
            running = sum(action["phase"] == "RUNNING" for action in nodes) - 1
            assert len(nodes) == count + 1
            assert tree["revision"] == 1 + count + running
            counts = tree["nodes"][0]["childPhaseCounts"]
            assert (counts.get("RUNNING", 0), counts["QUEUED"]) == (running, count - running)
        is_done.set()
        posting.result(20)
