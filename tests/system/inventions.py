"""Events that never happened: single ones for the tests by hand, whole runs from a seed."""

import dataclasses
import datetime
import itertools
import urllib.parse

START = datetime.datetime(2026, 4, 12, 8, 0, tzinfo=datetime.timezone.utc)


def at(milliseconds):
    """A time so long after the start of all invented runs, as answers write it."""
    moment = START + datetime.timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def segment(name):
    """A name as one segment of a path."""
    return urllib.parse.quote(name, safe="")


@dataclasses.dataclass(frozen=True)
class RunKey:
    project: str
    domain: str
    name: str

    @property
    def base(self):
        return f"/v1/projects/{segment(self.project)}/domains/{self.domain}"

    @property
    def path(self):
        return f"{self.base}/runs/{segment(self.name)}"

    def action_path(self, name):
        return f"{self.path}/actions/{segment(name)}"

    def event(self, name="a0", phase="QUEUED", **members):
        """An event of this run; `key` members have their defaults, the rest comes as given."""
        return {
            "project": self.project,
            "domain": self.domain,
            "runName": self.name,
            "name": name,
            "phase": phase,
        } | members

    def put_path(self, name="a0", attempt=1, phase="QUEUED", version=0):
        return f"{self.path}/actions/{name}/events/{attempt}/{phase}/{version}"


def invent_run(run, rng, actions=40):
    """All events of a finished run in the order of their time: retries, failures, pauses, groups,
    actions without a task, sub-workflows up to eight levels deep, parents named late."""
    clock = itertools.count(0, 7)
    names = [f"a{number}" for number in range(actions)]
    levels, histories = {None: 0}, []
    for number, name in enumerate(names):
        open_parents = [parent for parent in names[:number] if levels[parent] < 8]
        parent = rng.choice(open_parents) if open_parents else None
        levels[name] = levels[parent] + 1
        histories.append(_history(run, rng, name, parent))
    return list(_interleave(rng, histories, clock))


def _history(run, rng, name, parent):
    """One action's events without times."""
    steps = []
    attempts = rng.choice((1, 1, 1, 2, 3))
    for attempt in range(1, attempts + 1):
        phases = ["QUEUED"]
        phases += rng.sample(("WAITING_FOR_RESOURCES", "INITIALIZING"), rng.randrange(3))
        phases += ["RUNNING"]
        if rng.random() < 0.2:
            phases += ["PAUSED", "RUNNING"]
        last = attempt == attempts
        phases.append(
            rng.choice(
                ("SUCCEEDED", "SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT", "RECOVERED")
                if last
                else ("FAILED", "TIMED_OUT")
            )
        )
        seen = {}
        for phase in phases:
            version = seen[phase] = seen.get(phase, -1) + 1
            steps.append(run.event(name, phase, attempt=attempt, version=version))
    naming = rng.choice((0, 0, 0, rng.randrange(len(steps))))
    steps[naming]["parent"] = parent
    if rng.random() < 0.8:
        task = {"name": f"pkg.{rng.choice(('ingest', 'train', 'report'))}{rng.randrange(4)}"}
        if rng.random() < 0.6:
            task["shortName"] = rng.choice(("Ingest", "train", "Report_é", "map"))
        steps[rng.randrange(len(steps))]["task"] = task
    if rng.random() < 0.3:
        steps[rng.randrange(len(steps))]["group"] = rng.choice(("map", "fan-out"))
    for step in steps:
        if step["phase"] in ("FAILED", "TIMED_OUT"):
            step["errorInfo"] = {
                "kind": rng.choice(("USER", "SYSTEM")),
                "message": f'"{name}" failed\nat {rng.randrange(99)} °C',
            }
    return steps


def _interleave(rng, histories, clock):
    waiting = [iter(history) for history in histories]
    while waiting:
        history = rng.choice(waiting)
        event = next(history, None)
        if event is None:
            waiting.remove(history)
        else:
            yield event | {"updatedTime": at(next(clock))}
