"""What a run must look like after a set of events: the contract in the plainest Python there is.

Nothing is kept up to date here. Every question is answered from the events alone, so that no order
of arrival can matter.
"""

import datetime

PHASES = {
    "QUEUED": 1,
    "WAITING_FOR_RESOURCES": 2,
    "INITIALIZING": 3,
    "RUNNING": 4,
    "SUCCEEDED": 5,
    "FAILED": 6,
    "ABORTED": 7,
    "TIMED_OUT": 8,
    "PAUSED": 9,
    "RECOVERED": 10,
}
TERMINAL = {"SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT", "RECOVERED"}
RANKS = {"QUEUED": 1, "WAITING_FOR_RESOURCES": 2, "INITIALIZING": 3, "RUNNING": 4, "PAUSED": 4}
LEVELS_MAX = 1000


def order(event):
    """Where an event stands in the history of its action; the first that has a group gives it."""
    phase = event["phase"]
    return (event["attempt"], RANKS.get(phase, 5), event["version"], PHASES[phase])


def moment(event):
    return datetime.datetime.fromisoformat(event["updatedTime"])


def furthest(events):
    """The event that stands over all others: of two ends of one version the earlier does."""
    ends = order(max(events, key=order))[:3]
    level = [event for event in events if order(event)[:3] == ends]
    if level[0]["phase"] in TERMINAL:
        return min(level, key=lambda event: (moment(event), PHASES[event["phase"]]))
    return max(level, key=order)


def shown(events):
    """The furthest event, or a wait that came behind a RUNNING or PAUSED by time and by version."""
    last = furthest(events)
    waits = [
        event
        for event in events
        if event["attempt"] == last["attempt"]
        and event["version"] > 0
        and RANKS.get(event["phase"], 5) < RANKS["RUNNING"]
    ]
    if last["phase"] not in ("RUNNING", "PAUSED") or not waits:
        return last
    wait = max(waits, key=lambda event: (moment(event), event["version"], PHASES[event["phase"]]))
    is_behind = wait["version"] > last["version"] and moment(wait) > moment(last)
    return wait if is_behind else last


def key(event):
    return (event["name"], event["attempt"], event["phase"], event["version"])


def milliseconds(earlier, later):
    parse = datetime.datetime.fromisoformat
    return round((parse(later) - parse(earlier)).total_seconds() * 1000)


class TreeOracle:
    """One run's events, each with `attempt`, `phase` by name, `version`, `updatedTime` in UTC."""

    def __init__(self, events):
        first_wins = {}
        for event in events:
            first_wins.setdefault(key(event), event)
        self.by_name = {}
        for event in first_wins.values():
            self.by_name.setdefault(event["name"], []).append(event)
        self.parents = {
            name: next(event["parent"] for event in events if "parent" in event)
            for name, events in self.by_name.items()
            if any("parent" in event for event in events)
        }
        self.actions = {name: self._action(name) for name in self.by_name if self._level(name)}

    def _level(self, name):
        """1 for a root; 0 if the action waits, because it or one above it has no named parent."""
        level = 1
        while self.parents.get(name, name) not in (None, name) and level <= LEVELS_MAX:
            name, level = self.parents[name], level + 1
        reaches_root = self.parents.get(name, name) is None
        return level if reaches_root and level <= LEVELS_MAX else 0

    def _action(self, name):
        """The members of a nodeUpdate's `action` but `revision`, which depends on the arrival."""
        events = sorted(self.by_name[name], key=order)
        last, state = furthest(events), shown(events)
        created = min(event["updatedTime"] for event in events)
        running = [
            event["updatedTime"]
            for event in events
            if event["phase"] == "RUNNING" and event["attempt"] == last["attempt"]
        ]
        started = min(running, default=None)
        ended = last["updatedTime"] if last["phase"] in TERMINAL else None
        task = next((event["task"] for event in events if "task" in event), {})
        return {
            "name": name,
            "parent": self.parents[name],
            "phase": state["phase"],
            "attempt": state["attempt"],
            "version": state["version"],
            "group": next((event["group"] for event in events if "group" in event), None),
            "taskName": task.get("name"),
            "shortName": task.get("shortName"),
            "createdAt": created,
            "startedAt": started,
            "endedAt": ended,
            "durationMs": max(0, milliseconds(started, ended)) if started and ended else None,
            "errorInfo": last.get("errorInfo"),
        }

    def children(self, name):
        return [child for child in self.actions if self.parents[child] == name]

    def descendants(self, name):
        found = []
        for child in self.children(name):
            found += [child, *self.descendants(child)]
        return found

    def child_phase_counts(self, name):
        return self.count_phases(self.descendants(name))

    def count_phases(self, names):
        counts = {}
        for name in names:
            phase = self.actions[name]["phase"]
            counts[phase] = counts.get(phase, 0) + 1
        return counts

    def matches(self, name, phases=(), text=""):
        action = self.actions[name]
        names = [name, *(action[member] or "" for member in ("taskName", "shortName", "group"))]
        is_named = any(text.lower() in name.lower() for name in names)
        return (not phases or action["phase"] in phases) and is_named

    def visible(self, phases=(), text=""):
        """Names that a filter shows: those that match, and everything above them."""
        shown = set()
        for name in self.actions:
            if self.matches(name, phases, text):
                while name is not None:
                    shown.add(name)
                    name = self.parents[name]
        return shown

    def nodes(self, phases=(), text=""):
        """name -> (action, childPhaseCounts) for what a watcher with this filter must have."""
        return {
            name: (self.actions[name], self.child_phase_counts(name))
            for name in self.visible(phases, text)
        }


def comparable(node_updates):
    """nodeUpdates in the form of TreeOracle.nodes()."""
    return {
        update["action"]["name"]: (
            {member: value for member, value in update["action"].items() if member != "revision"},
            update["childPhaseCounts"],
        )
        for update in node_updates
    }
