"""The cases, in the order of docs/benchmarks.md. Each yields rows of the table."""

import dataclasses
import functools
import hashlib
import statistics
import time

import snapshot


@dataclasses.dataclass
class Row:
    """`ratio` is what the goal is about, if there is one; `at_least` tells which way."""

    case: str
    what: str
    figure: str
    limit: str
    ratio: float
    goal: float | None
    at_least: bool

    @property
    def is_met(self):
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.at_least else self.ratio <= self.goal


def at_least(case, what, figure, limit, ratio, goal):
    return Row(case, what, figure, limit, ratio, goal, True)


def at_most(case, what, figure, limit, ratio, goal):
    return Row(case, what, figure, limit, ratio, goal, False)


# -------- writing --------


def seed_runs(runtree, prefix, runs):
    """Every run with its root, which the events of post_events.lua name as their parent."""
    runtree.post(
        [
            {
                "project": "bench",
                "domain": "load",
                "runName": f"{prefix}-{number:04}",
                "name": "root",
                "phase": "RUNNING",
                "parent": None,
            }
            for number in range(runs)
        ]
    )


@dataclasses.dataclass
class Ingest:
    per_second: float
    events_per_batch: float


def ingest(bench, processes, connections, events_per_request, runs, *arguments, repeats=False):
    """Durable events a second, all new: of `processes` runtrees at once on one database. With
    `repeats` all of them are sent the same events. `arguments`: of each process."""
    with bench.runtrees(processes, *arguments) as runtrees:
        prefixes = ["same"] * processes if repeats else [f"p{i}" for i in range(processes)]
        for prefix in sorted(set(prefixes)):
            seed_runs(runtrees[0], prefix, runs)
        batches = sum(runtree.metric("runtree_write_batches_total") for runtree in runtrees)
        rate = bench.wrk(runtrees, connections // processes, events_per_request, runs, prefixes)
        batches = sum(r.metric("runtree_write_batches_total") for r in runtrees) - batches
        return Ingest(rate, rate * bench.seconds / max(batches, 1))


def bare_ingest(bench, connections, events_per_request, requests_per_batch, runs, notify=1):
    bench.postgres.clear()
    done = bench.database(
        "ingest",
        bench.seconds,
        connections,
        events_per_request,
        max(1, min(100, round(requests_per_batch))),
        runs,
        notify,
    )
    return done["events_per_second"]


MANY_RUNS = 200


@functools.cache
def hundreds(bench, runs):
    """Case 2 and its limit: (ours, bare events a second)."""
    ours = ingest(bench, 1, 16, 100, runs)
    # A run's row is locked until the commit: one hot run is one connection's work.
    bare = bare_ingest(bench, 1 if runs == 1 else 2, 100, ours.events_per_batch / 100, runs)
    return ours, bare


def rate_text(per_second, unit="events/s"):
    return f"{per_second:,.0f} {unit}"


def case_1(bench):
    ours = ingest(bench, 1, 64, 1, MANY_RUNS)
    naive = max(bare_ingest(bench, connections, 1, 1, MANY_RUNS) for connections in (1, 8))
    yield at_least(
        "1a",
        "one event a POST, against a transaction with NOTIFY for each event",
        rate_text(ours.per_second),
        rate_text(naive),
        ours.per_second / naive,
        6,
    )
    _, bare = hundreds(bench, MANY_RUNS)
    yield at_least(
        "1b",
        "one event a POST, against the limit of 2a",
        rate_text(ours.per_second),
        rate_text(bare),
        ours.per_second / bare,
        0.5,
    )
    same = bare_ingest(bench, 2, 1, ours.events_per_batch, MANY_RUNS)
    yield at_least(
        "1c",
        f"one event a POST, against the bare loop with its batches"
        f" ({ours.events_per_batch:.0f} events)",
        rate_text(ours.per_second),
        rate_text(same),
        ours.per_second / same,
        0.8,
    )


def case_2(bench):
    for name, runs, what in (("2a", MANY_RUNS, "many runs"), ("2b", 1, "one hot run")):
        ours, bare = hundreds(bench, runs)
        yield at_least(
            name,
            f"100 events a POST, {what}, against the bare loop",
            rate_text(ours.per_second),
            rate_text(bare),
            ours.per_second / bare,
            0.8,
        )


def case_3(bench):
    one, three = [], []
    for _ in range(2):  # in turns, for the machine is not the same a minute later
        one.append(ingest(bench, 1, 64, 1, MANY_RUNS))
        three.append(ingest(bench, 3, 64, 1, MANY_RUNS))
    batch = statistics.mean(run.events_per_batch for run in one)
    one, three = (statistics.mean(run.per_second for run in runs) for runs in (one, three))
    yield at_least(
        "3a",
        "as 1, three processes on one database, against one",
        rate_text(three),
        rate_text(one),
        three / one,
        0.95,
    )
    with_notify, without = [], []
    for _ in range(3):
        with_notify.append(bare_ingest(bench, 2, 1, batch, MANY_RUNS, notify=1))
        without.append(bare_ingest(bench, 2, 1, batch, MANY_RUNS, notify=0))
    with_notify, without = statistics.median(with_notify), statistics.median(without)
    yield at_most(
        "3b",
        f"time that NOTIFY costs the bare loop with batches of {batch:.0f} events",
        rate_text(with_notify),
        rate_text(without),
        without / with_notify - 1,
        0.05,
    )


def row_versions(postgres):
    """Changes when any row of any table gets a new version."""
    tables = ("runs", "actions", "action_events")
    rows = "".join(
        postgres.query(f"SELECT ctid, xmin, xmax FROM {table} ORDER BY ctid") for table in tables
    )
    return hashlib.sha256(rows.encode()).hexdigest()


def case_4(bench):
    repeated, plain = [], []
    for _ in range(2):
        plain.append(ingest(bench, 3, 64, 1, MANY_RUNS).per_second)
        repeated.append(ingest(bench, 3, 64, 1, MANY_RUNS, repeats=True).per_second)
    repeated, plain = statistics.mean(repeated), statistics.mean(plain)
    yield at_least(
        "4a",
        "every event sent to three processes at once: new events, against events sent once",
        rate_text(repeated),
        rate_text(plain),
        repeated / plain,
        0.6,
    )
    with bench.runtrees(3) as runtrees:
        seed_runs(runtrees[0], "again", 1)
        events = [
            {
                "project": "bench",
                "domain": "load",
                "runName": "again-0000",
                "name": f"a{i}",
                "phase": "RUNNING",
                "parent": "root",
            }
            for i in range(3000)
        ]
        runtrees[0].post(events)
        before = row_versions(bench.postgres)
        heard = [runtree.metric("runtree_notifications_total") for runtree in runtrees]
        for runtree in runtrees[1:]:
            runtree.post(events)
        time.sleep(0.5)
        changed = int(row_versions(bench.postgres) != before)
        changed += sum(
            runtree.metric("runtree_notifications_total") - count
            for runtree, count in zip(runtrees, heard, strict=True)
        )
    yield at_most(
        "4b",
        "repeats that made a row version, a revision or a NOTIFY",
        f"{changed:.0f} of 6,000",
        "0",
        changed,
        0,
    )


# -------- watching --------


def watched_run(runtree, name="watched", actions=10):
    """A run with a root and the actions that bench_watchers changes in its clocked mode."""
    runtree.post(
        [
            {
                "project": "bench",
                "domain": "load",
                "runName": name,
                "name": "root",
                "phase": "RUNNING",
                "parent": None,
            }
        ]
        + [
            {
                "project": "bench",
                "domain": "load",
                "runName": name,
                "name": f"e{i}",
                "phase": "QUEUED",
                "parent": "root",
            }
            for i in range(actions)
        ]
    )


@dataclasses.dataclass
class Fanout:
    bytes_per_second: float
    updates_per_second: float
    frame_bytes: float
    flushes_per_second: float


def fanout(bench, streams, *arguments):
    """With a flush interval that does not matter: sending is what limits."""
    with bench.runtrees(1, "--flush-interval-ms", "2", *arguments) as (runtree,):
        watched_run(runtree)
        seen = bench.watchers(
            runtree.port, "watched", streams, post="clocked", seconds=bench.seconds
        )
    flushes = seen["probe_records"] / 10
    frame = seen["probe_bytes"] / flushes
    per_second = seen["bytes"] / seen["seconds"]
    return Fanout(per_second, per_second / frame * 10, frame, per_second / frame / streams)


@functools.cache
def fanout_and_limit(bench, streams):
    """Three times in turns, for the machine is not the same a minute later: the median fan-out, and
    the median of the bare loop's bytes a second."""
    ours, bare = [], []
    for _ in range(3):
        ours.append(fanout(bench, streams))
        bare.append(bench.bare_send(streams, round(ours[-1].frame_bytes)))
    return sorted(ours, key=lambda run: run.bytes_per_second)[1], statistics.median(bare)


FLUSHES_MAX = 95  # a second, of a run; by default it is 100, and more events would wait for them


def half_load(bench, streams):
    """Events a second that make half of the flushes that so many watchers can be sent."""
    half = fanout_and_limit(bench, streams)[0].flushes_per_second / 2
    return min(max(1, half), FLUSHES_MAX)


def case_5(bench):
    rate = half_load(bench, 1000)
    seconds = 3 * bench.seconds  # so that 1 % are more than three or four events
    bench.postgres.clear()
    bare = bench.database("notify", seconds, rate)["latency_us"]
    with bench.runtrees() as (runtree,):
        watched_run(runtree, actions=0)
        seen = bench.watchers(
            runtree.port, "watched", 1000, post="paced", rate=rate, seconds=seconds
        )
    ours = seen["latency_us"]
    yield at_most(
        "5",
        f"POST to record, 1,000 watchers, {rate:.0f} events/s: p99 against bare"
        " commit to notification",
        f"{ours['p99'] / 1000:.1f} ms (p50 {ours['p50'] / 1000:.1f})",
        f"{bare['p99'] / 1000:.1f} ms (p50 {bare['p50'] / 1000:.1f})",
        ours["p99"] / bare["p99"],
        6,
    )


def case_6(bench):
    for name, streams in (("6a", 1000), ("6b", 9000)):
        ours, bare = fanout_and_limit(bench, streams)
        yield at_least(
            name,
            f"fan-out to {streams:,} watchers, 10 changes a flush of {ours.frame_bytes:,.0f} bytes",
            f"{ours.bytes_per_second / 1e6:,.0f} MB/s, {ours.updates_per_second:,.0f} updates/s",
            f"{bare / 1e6:,.0f} MB/s",
            ours.bytes_per_second / bare,
            0.8,
        )


def wake_us(bench, idle):
    """Median time from a POST to the one watcher of its run, beside `idle` watchers of another. The
    POSTs are further apart than flushes must be, so that none waits for the interval's end."""
    with bench.runtrees() as (runtree,):
        watched_run(runtree, actions=0)
        watched_run(runtree, "idle", actions=0)
        seen = bench.watchers(
            runtree.port,
            "watched",
            1,
            idle=idle,
            idle_run="idle",
            post="paced",
            rate=40,
            seconds=bench.seconds,
        )
    return seen["latency_us"]["p50"]


def case_7(bench):
    few, many = [], []
    for _ in range(3):
        few.append(wake_us(bench, 100))
        many.append(wake_us(bench, 9000))
    few, many = statistics.median(few), statistics.median(many)
    yield at_most(
        "7",
        "waking one watcher beside 9,000 idle ones, against 100",
        f"{many / 1000:.2f} ms",
        f"{few / 1000:.2f} ms",
        many / few,
        1.3,
    )


def case_8(bench):
    for name, gzip, what in (("8a", 0, ""), ("8b", 1, ", compressed")):
        with bench.runtrees() as (runtree,):
            watched_run(runtree)
            before = runtree.user_memory_bytes()
            with bench.waiting_watchers(
                runtree.port, "watched", 9000, post="none", seconds=0, gzip=gzip
            ):
                time.sleep(1)
                each = (runtree.user_memory_bytes() - before) / 9000
        yield at_most(
            name,
            f"resident memory for each of 9,000 idle watchers{what}",
            f"{each:,.0f} bytes",
            "1,024 bytes",
            each / 1024,
            1,
        )


BIG_RUN = 100_000


def fill_run(runtree, actions, name="big"):
    """A run of so many actions, 50 children to a parent, all RUNNING."""
    for first in range(0, actions, 5000):
        runtree.post(
            [
                {
                    "project": "bench",
                    "domain": "load",
                    "runName": name,
                    "name": f"a{i}",
                    "phase": "RUNNING",
                    "parent": f"a{(i - 1) // 50}" if i else None,
                    "task": {"name": "pkg.module.train", "shortName": "train"},
                    "updatedTime": f"2026-04-12T08:{i % 3600 // 60:02}:{i % 60:02}.{i % 1000:03}Z",
                }
                for i in range(first, min(first + 5000, actions))
            ]
        )


def open_us(bench, runtree, name="big"):
    """From the first connect to `synced`."""
    return bench.watchers(runtree.port, name, 1, post="none", seconds=0)["opened_us"]


def case_9(bench):
    opened, blocked, worked = [], [], []
    with bench.runtrees() as (runtree,):
        fill_run(runtree, BIG_RUN)
    for _ in range(5):
        with bench.runtrees(keep=True) as (runtree,):
            opened.append(open_us(bench, runtree))
            blocked.append(runtree.metric("runtree_loop_blocked_max_microseconds"))
            worked.append(runtree.metric("runtree_loop_cpu_max_microseconds"))
    copied = bench.database("copy", 5, "bench", "load", "big")["copy_us"]["p50"]
    ours = statistics.median(opened)
    yield at_most(
        "9a",
        "opening a run of 100,000 actions until synced, against COPY of its rows",
        f"{ours / 1000:.0f} ms",
        f"{copied / 1000:.0f} ms",
        ours / copied,
        1.5,
    )
    blocked_us, worked_us = statistics.median(blocked), statistics.median(worked)
    yield at_most(
        "9b",
        f"longest turn of the loop meanwhile ({worked_us / 1000:.1f} ms of processor time)",
        f"{blocked_us / 1000:.1f} ms",
        "5 ms",
        blocked_us / 5000,
        1,
    )


def case_10(bench):
    alone, seen = [], []
    for _ in range(5):  # in turns, for the machine is not the same a minute later
        alone.append(bench.tool("bench_tree", 100_000, 0))
        seen.append(bench.tool("bench_tree", 100_000, 8))
    alone, seen = (sorted(runs, key=lambda run: run["upsert_ns"])[2] for runs in (alone, seen))
    yield at_most(
        "10a",
        "upsert in a tree of 100,000 nodes, depth 5",
        f"{alone['upsert_ns']} ns",
        "500 ns",
        alone["upsert_ns"] / 500,
        1,
    )
    yield at_most(
        "10b",
        "the same with 8 filters over it",
        f"{seen['upsert_ns']} ns",
        f"{alone['upsert_ns']} ns",
        seen["upsert_ns"] / alone["upsert_ns"],
        1.1,
    )
    yield at_most(
        "10c",
        "bytes a node without its strings",
        f"{alone['bytes_per_node']} bytes",
        "300 bytes",
        alone["bytes_per_node"] / 300,
        1,
    )


def case_11(bench):
    with bench.runtrees() as (runtree,):
        fill_run(runtree, BIG_RUN)
        plain = snapshot.read(runtree.port, "big", gzip=False)
        packed = snapshot.read(runtree.port, "big", gzip=True)
    yield at_most(
        "11a",
        "snapshot of 100,000 actions over gzip, against the plain bytes",
        f"{packed / 1e6:.2f} MB",
        f"{plain / 1e6:.2f} MB",
        packed / plain,
        1 / 8,
    )
    with bench.runtrees() as (runtree,):
        watched_run(runtree)
        sent = runtree.metric("runtree_stream_frames_total")
        seen = bench.watchers(
            runtree.port, "watched", 1000, gzip=1, post="paced", rate=50, seconds=bench.seconds
        )
        sent = runtree.metric("runtree_stream_frames_total") - sent
        made = runtree.metric("runtree_stream_frames_compressed_total")
    yield at_most(
        "11b",
        "frames compressed, of the frames that 1,000 watchers were sent",
        f"{made:,.0f}",
        f"{sent:,.0f}",
        made / sent,
        0.01,
    )
    assert seen["closed"] == 0


def slow_watchers(bench, silent, rate):
    """Latencies of those who read, the most memory that runtree took, and how many were cut off."""
    with bench.runtrees() as (runtree,):
        watched_run(runtree, actions=0)
        before = runtree.user_memory_peak_bytes()
        seen = bench.watchers(
            runtree.port,
            "watched",
            2000,
            silent=silent,
            post="paced",
            rate=rate,
            events=10,
            seconds=20,
        )
        stalled = runtree.metric("runtree_streams_stalled_total")
        return seen["latency_us"], runtree.user_memory_peak_bytes() - before, stalled


def case_12(bench):
    rate = max(5, half_load(bench, 1000) / 2)
    alone, quiet_bytes, _ = slow_watchers(bench, 0, rate)
    beside, slow_bytes, stalled = slow_watchers(bench, 400, rate)
    yield at_most(
        "12a",
        f"2,000 watchers, {rate:.0f} POSTs/s of 10, 400 never read: p99 of the others,"
        " against none",
        f"{beside['p99'] / 1000:.1f} ms",
        f"{alone['p99'] / 1000:.1f} ms",
        beside["p99"] / alone["p99"],
        1.1,
    )
    each = max(0, slow_bytes - quiet_bytes) / 400
    yield at_most(
        "12b",
        "memory of one that never reads, at the peak",
        f"{each / 1024:.1f} KiB",
        "64 KiB",
        each / 65536,
        1,
    )
    yield at_least("12c", "of them cut off in 20 s", f"{stalled:.0f}", "400", stalled / 400, 1)


def executor_reports(bench, form, runs, actions):
    """Events a second in requests of as many as a run has actions."""
    with bench.runtrees() as (runtree,):
        for number in range(runs):
            run = {"project": "bench", "domain": "load", "runName": f"executor-{number:04}"}
            names = [f"a{i}" for i in range(actions)]
            runtree.post(
                [run | {"name": name, "phase": "QUEUED", "parent": None} for name in names]
            )
        return bench.wrk((runtree,), 8, actions, runs, ["executor"], "record_events.lua", form)


def case_13(bench):
    rates = {"json": [], "flyte": []}
    for _ in range(2):  # in turns, for the machine is not the same a minute later
        for form, measured in rates.items():
            measured.append(executor_reports(bench, form, 50, 400))
    json_rate, flyte_rate = (statistics.mean(measured) for measured in rates.values())
    yield at_least(
        "13",
        "Flyte's RecordActionEvents of 400, against the same as batches in JSON",
        rate_text(flyte_rate),
        rate_text(json_rate),
        flyte_rate / json_rate,
        0.7,
    )


TWO_THREADS = ("--threads", "2")


def beside_one_thread(measure):
    """The medians of measure() and measure("--threads", "2"), three times in turns."""
    one, two = [], []
    for _ in range(3):
        one.append(measure())
        two.append(measure(*TWO_THREADS))
    return statistics.median(one), statistics.median(two)


def case_14(bench):
    for name, runs, what in (("14a", MANY_RUNS, "many runs"), ("14b", 1, "one hot run")):
        one, two = beside_one_thread(
            lambda *arguments, runs=runs: ingest(bench, 1, 16, 100, runs, *arguments).per_second
        )
        yield at_least(
            name,
            f"100 events a POST, {what}, two threads against one",
            rate_text(two),
            rate_text(one),
            two / one,
            None,
        )
    for name, streams in (("14c", 1000), ("14d", 9000)):
        one, two = beside_one_thread(
            lambda *arguments, streams=streams: fanout(bench, streams, *arguments).bytes_per_second
        )
        yield at_least(
            name,
            f"fan-out to {streams:,} watchers, two threads against one",
            rate_text(two / 1e6, "MB/s"),
            rate_text(one / 1e6, "MB/s"),
            two / one,
            None,
        )


def cpu_of_an_event(bench, cells, connections, events_per_request):
    """Microseconds of processor time, runtree's and PostgreSQL's, for each new event."""
    with bench.cells(cells) as (runtree, clusters):
        seed_runs(runtree, "p0", MANY_RUNS)
        events, spent = runtree.new_events(), runtree.cpu_seconds()
        spent += sum(cluster.cpu_seconds() for cluster in clusters)
        bench.wrk((runtree,), connections, events_per_request, MANY_RUNS, ["p0"])
        events = runtree.new_events() - events
        spent = runtree.cpu_seconds() + sum(c.cpu_seconds() for c in clusters) - spent
        return spent / events * 1e6


def case_15(bench):
    for name, connections, events, what in (
        ("15a", 64, 1, "one event a POST"),
        ("15b", 16, 100, "100 events a POST"),
    ):
        one, two = [], []
        for _ in range(2):  # in turns, for the machine is not the same a minute later
            one.append(cpu_of_an_event(bench, 1, connections, events))
            two.append(cpu_of_an_event(bench, 2, connections, events))
        one, two = statistics.mean(one), statistics.mean(two)
        yield at_most(
            name,
            f"two cells on two PostgreSQL servers against one, {what}: processor time of an event",
            f"{two:.0f} µs",
            f"{one:.0f} µs",
            two / one,
            1.1,
        )


CASES = {
    "1": case_1,
    "2": case_2,
    "3": case_3,
    "4": case_4,
    "5": case_5,
    "6": case_6,
    "7": case_7,
    "8": case_8,
    "9": case_9,
    "10": case_10,
    "11": case_11,
    "12": case_12,
    "13": case_13,
    "14": case_14,
    "15": case_15,
}
