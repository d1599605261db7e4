"""Invents a run that looks like one: a nightly forecast with some 300 actions.

    for event in sample_run.events(seed=1, run_name="nightly-1", start=datetime.now(UTC)):

Sub-workflows five levels deep, mapped tasks in groups, attempts that fail and are tried again,
trials that fail, time out, are aborted or recovered, a step that pauses for approval. The same
seed gives the same run. Some twenty minutes pass in it.
"""

import heapq
import random
from collections import namedtuple
from datetime import timedelta

PROJECT, DOMAIN = "demo", "development"
CLUSTERS = ("cpu-eu-1", "cpu-eu-2", "gpu-eu-1")
USER_ERRORS = (
    "ValueError: found 3 NaN in column 'price'",
    "KeyError: 'store_id'\n  File \"forecast/features.py\", line 88, in join_calendar",
    "AssertionError: loss diverged (inf) at step 1200",
)
SYSTEM_ERRORS = (
    "OOMKilled: container 'primary' used more than 16Gi",
    "Evicted: the node was low on ephemeral-storage",
    "Spot instance was reclaimed",
)

Outcome = namedtuple("Outcome", "end phase")  # seconds since the start; a terminal phase


def events(seed, run_name, start):
    """The run's events in order of `updatedTime`. `start` is when it was queued, in UTC."""
    run = SampleRun(seed, run_name, start)
    run.workflow(None, "a0", "forecast.nightly", 0.0, nightly)
    return [event for _, event in sorted(run.reported, key=lambda reported: reported[0])]


def nightly(run, me, at):
    at = run.workflow(me, "ingest", "forecast.ingest", at, ingest).end
    at = run.workflow(me, "features", "forecast.features", at, features).end
    at = run.workflow(me, "tune", "forecast.tune", at, tune).end
    return run.workflow(me, "publish", "forecast.publish", at, publish)


def ingest(run, me, at):
    def source(name):
        def body(run, me, at):
            at = run.task(me, "list", "forecast.io.list_objects", at, 4).end
            at = run.map(me, "fetch", "forecast.io.fetch_shard", 12, at, seconds=25, width=6).end
            return run.task(me, "validate", "forecast.io.validate_schema", at, 12)

        return lambda at: run.workflow(me, name, f"forecast.ingest.{name}", at, body)

    names = ("sales", "prices", "stock", "weather", "holidays", "promotions")
    return run.parallel(at, 3, [source(name) for name in names])


def features(run, me, at):
    def region(name):
        def body(run, me, at):
            return run.parallel(at, 3, [table(me, kind) for kind in ("lags", "calendar", "joins")])

        return lambda at: run.workflow(me, name, f"forecast.features.{name}", at, body)

    def table(me, kind):
        def body(run, me, at):
            task = f"forecast.features.{kind}"
            at = run.map(me, "part", f"{task}.compute", 4, at, seconds=30, width=2).end
            return run.task(me, "write", f"{task}.write", at, 8)

        return lambda at: run.workflow(me, kind, f"forecast.features.{kind}", at, body)

    return run.parallel(at, 2, [region(name) for name in ("north", "east", "south", "west")])


def tune(run, me, at):
    """24 trials, of which some do not work out; the best of the others is taken."""
    endings = ["SUCCEEDED"] * 14 + ["RECOVERED"] * 4 + ["ABORTED"] * 3 + ["FAILED"] * 2
    endings.append("TIMED_OUT")
    run.random.shuffle(endings)

    def trial(number, ending):
        def body(run, me, at):
            at = run.task(me, "sample", "forecast.tune.sample_parameters", at, 3).end
            train = run.task(me, "train", "forecast.models.train", at, 70, ending)
            if train.phase not in ("SUCCEEDED", "RECOVERED"):
                return train
            return run.task(me, "evaluate", "forecast.models.evaluate", train.end, 20)

        name = f"trial-{number:02}"
        return lambda at: run.workflow(me, name, "forecast.tune.trial", at, body, group="trials")

    trials = run.parallel(at, 6, [trial(*numbered) for numbered in enumerate(endings, 1)])
    return run.task(me, "select", "forecast.tune.select_best", trials.end, 6)


def publish(run, me, at):
    at = run.task(me, "fit", "forecast.models.fit_final", at, 120).end
    at = run.map(me, "predict", "forecast.models.predict_store", 30, at, seconds=18, width=10).end
    at = run.approval(me, "approve", "forecast.publish.approve", at, 60).end
    return run.parallel(
        at,
        3,
        [
            lambda at, name=name: run.task(me, name, f"forecast.publish.{name}", at, 10)
            for name in ("upload", "report", "notify")
        ],
    )


class SampleRun:
    """What happens to the run's actions. Every method says when its action ends, and how."""

    def __init__(self, seed, run_name, start):
        self.random = random.Random(seed)
        self.run_name = run_name
        self.start = start
        self.reported = []  # (seconds since the start, event)

    def time(self, at):
        moment = self.start + timedelta(seconds=at)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def report(self, name, attempt, phase, at, version=0, **members):
        event = {
            "project": PROJECT,
            "domain": DOMAIN,
            "runName": self.run_name,
            "name": name,
            "attempt": attempt,
            "phase": phase,
            "version": version,
            "updatedTime": self.time(at),
            **members,
        }
        self.reported.append((at, event))

    def about(self, parent, task, group):
        members = {"parent": parent, "task": {"name": task, "shortName": task.rpartition(".")[2]}}
        return {**members, "group": group} if group else members

    def workflow(self, parent, name, task, at, body, group=None):
        me = name if parent in (None, "a0") else f"{parent}.{name}"
        self.report(me, 1, "QUEUED", at, **self.about(parent, task, group))
        self.report(me, 1, "RUNNING", at + 0.2)
        end, phase = body(self, me, at + 0.3)
        members = {}
        if phase in ("FAILED", "TIMED_OUT"):
            members["errorInfo"] = {"kind": "USER", "message": f"An action of it ended {phase}"}
        self.report(me, 1, phase, end + 0.2, **members)
        return Outcome(end + 0.2, phase)

    def task(self, parent, name, task, at, seconds, ending="SUCCEEDED", group=None):
        """Takes about `seconds`. One in twelve fails once and is tried again."""
        me = f"{parent}.{name}"
        about = self.about(parent, task, group)
        if ending == "RECOVERED":
            self.report(me, 1, "QUEUED", at, **about)
            self.report(me, 1, "RECOVERED", at + 0.4, outputs=self.outputs(me))
            return Outcome(at + 0.4, ending)
        attempt = 1
        if self.random.random() < 1 / 12:
            at = (
                self.attempt(
                    me, 1, at, seconds * self.random.uniform(0.1, 0.6), "FAILED", about, "SYSTEM"
                )
                + 1.5
            )
            attempt, about = 2, {}
        return Outcome(self.attempt(me, attempt, at, seconds, ending, about, "USER"), ending)

    def attempt(self, me, attempt, at, seconds, ending, about, error_kind):
        draw = self.random
        cluster = draw.choice(CLUSTERS)
        self.report(me, attempt, "QUEUED", at, **about)
        at += draw.uniform(0.1, 0.5)
        if draw.random() < 0.6:
            self.report(me, attempt, "WAITING_FOR_RESOURCES", at, cluster=cluster)
            at += draw.expovariate(1 / 4)
        self.report(
            me,
            attempt,
            "INITIALIZING",
            at,
            cluster=cluster,
            clusterEvents=[
                {"occurredAt": self.time(at), "message": f"Assigned to {cluster}"},
                {"occurredAt": self.time(at + 0.2), "message": "Pulling image forecast:4.2"},
            ],
        )
        at += draw.uniform(0.5, 3)
        logs = [{"name": "stdout", "uri": f"https://logs.example/{self.run_name}/{me}/{attempt}"}]
        self.report(me, attempt, "RUNNING", at, logInfo=logs)
        seconds *= draw.lognormvariate(0, 0.35)
        if seconds > 60:
            self.report(
                me,
                attempt,
                "RUNNING",
                at + seconds / 2,
                version=1,
                clusterEvents=[
                    {"occurredAt": self.time(at + seconds / 2), "message": "Checkpoint saved"},
                ],
            )
        at += seconds
        self.report(me, attempt, ending, at, **self.ending(me, ending, error_kind))
        return at

    def ending(self, me, phase, error_kind):
        if phase == "SUCCEEDED":
            return {"outputs": self.outputs(me)}
        if phase == "TIMED_OUT":
            return {"errorInfo": {"kind": "SYSTEM", "message": "Ran longer than its timeout"}}
        if phase == "FAILED":
            messages = USER_ERRORS if error_kind == "USER" else SYSTEM_ERRORS
            return {"errorInfo": {"kind": error_kind, "message": self.random.choice(messages)}}
        return {}

    def outputs(self, me):
        path = f"s3://forecast/{self.run_name}/{me}.parquet"
        return {"uri": path, "rows": self.random.randrange(1_000, 5_000_000)}

    def approval(self, parent, name, task, at, seconds):
        """Runs, pauses until somebody has approved, and runs on."""
        me = f"{parent}.{name}"
        self.report(me, 1, "QUEUED", at, **self.about(parent, task, None))
        self.report(me, 1, "RUNNING", at + 1)
        self.report(me, 1, "PAUSED", at + 2, version=1)
        self.report(me, 1, "RUNNING", at + seconds, version=2)
        self.report(me, 1, "SUCCEEDED", at + seconds + 1, outputs={"approvedBy": "ana"})
        return Outcome(at + seconds + 1, "SUCCEEDED")

    def map(self, parent, name, task, count, at, seconds, width):
        """`count` tasks in a group of that name."""
        return self.parallel(
            at,
            width,
            [
                lambda at, number=number: self.task(
                    parent, f"{name}-{number:02}", task, at, seconds, group=name
                )
                for number in range(count)
            ],
        )

    def parallel(self, at, width, children):
        """Starts each child as soon as fewer than `width` are running."""
        slots = [at] * width
        for child in children:
            heapq.heappush(slots, child(heapq.heappop(slots)).end)
        return Outcome(max(slots), "SUCCEEDED")
