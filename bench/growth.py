"""How cost grows: the three curves of docs/benchmarks.md."""

import cases


def events_per_batch(bench):
    """Durable events a second by events in a POST, 16 connections."""
    short = bench.shorter(3)
    return [
        (count, cases.ingest(short, 1, 16, count, cases.MANY_RUNS).per_second)
        for count in (1, 3, 10, 30, 100, 300, 1000)
    ]


def watchers(bench):
    """Milliseconds from a POST to the record on half of the watchers, and on all but 1 %."""
    points = []
    for streams in (1, 10, 100, 1000, 3000, 9000):
        with bench.runtrees() as (runtree,):
            cases.watched_run(runtree, actions=0)
            seen = bench.watchers(
                runtree.port, "watched", streams, post="paced", rate=5, seconds=4
            )["latency_us"]
        points.append((streams, seen["p50"] / 1000, seen["p99"] / 1000))
    return points


def actions(bench, largest):
    """Milliseconds from the first connect to `synced`, by actions of the run."""
    points = []
    for count in (1000, 10_000, 100_000, 300_000, 1_000_000):
        if count > largest:
            break
        with bench.runtrees() as (runtree,):
            cases.fill_run(runtree, count)
        with bench.runtrees(keep=True) as (runtree,):
            points.append((count, cases.open_us(bench, runtree) / 1000))
    return points
