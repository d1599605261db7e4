"""tools/sample_run.py: the invented run is whole, and rich enough to look at."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import sample_run

START = datetime(2026, 4, 12, 8, tzinfo=UTC)
TERMINAL = {"SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT", "RECOVERED"}
PHASES = TERMINAL | {"QUEUED", "WAITING_FOR_RESOURCES", "INITIALIZING", "RUNNING", "PAUSED"}


@pytest.fixture(params=range(5))
def events(request):
    return sample_run.events(request.param, "nightly-1", START)


def parents(events):
    return {event["name"]: event["parent"] for event in events if "parent" in event}


def test_the_seed_decides():
    assert sample_run.events(7, "r", START) == sample_run.events(7, "r", START)
    assert sample_run.events(7, "r", START) != sample_run.events(8, "r", START)


def test_events_come_in_order_and_parents_first(events):
    times = [event["updatedTime"] for event in events]
    assert times == sorted(times)
    assert datetime.fromisoformat(times[0]) == START
    assert timedelta(minutes=10) < datetime.fromisoformat(times[-1]) - START < timedelta(hours=1)
    known = {None}
    for event in events:
        assert event.get("parent") in known
        known.add(event["name"])


def test_keys_are_unique_and_valid(events):
    keys = [(event["name"], event["attempt"], event["phase"], event["version"]) for event in events]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,254}", name) for name, *_ in keys)


def test_every_action_ends_after_all_below_it(events):
    parent_of = parents(events)
    last = {event["name"]: index for index, event in enumerate(events)}
    assert set(parent_of) == set(last)
    for name, parent in parent_of.items():
        assert events[last[name]]["phase"] in TERMINAL
        assert parent is None or last[parent] > last[name]


def test_there_is_something_to_see(events):
    parent_of = parents(events)

    def level(name):
        return 1 if parent_of[name] is None else 1 + level(parent_of[name])

    assert [name for name, parent in parent_of.items() if parent is None] == ["a0"]
    assert 200 <= len(parent_of) <= 500
    assert max(map(level, parent_of)) >= 5
    assert {event["phase"] for event in events} == PHASES
    assert max(Counter(event["group"] for event in events if "group" in event).values()) >= 24
    assert any(event["attempt"] == 2 for event in events)
    for member in ("outputs", "logInfo", "clusterEvents", "cluster"):
        assert any(member in event for event in events), member
    kinds = Counter(event["errorInfo"]["kind"] for event in events if "errorInfo" in event)
    assert set(kinds) == {"USER", "SYSTEM"}
    failed = [event for event in events if event["phase"] in ("FAILED", "TIMED_OUT")]
    assert all("errorInfo" in event for event in failed)


def test_the_start_changes_nothing_but_the_times():
    def order(start):
        return [
            (event["name"], event["attempt"], event["phase"], event["version"])
            for event in sample_run.events(5, "r", start)
        ]

    expected = order(START)
    for microsecond in range(1, 2000, 250):
        assert order(START + timedelta(microseconds=microsecond)) == expected
