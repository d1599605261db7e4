"""A fail-over that loses commits: the standby was behind when the primary died.

Nobody can bring back what only the dead primary had. What can be promised: exactly the events
after the standby fell behind are gone, and no watcher goes on as if they were there.
"""

import itertools
import random
import threading
import time

import checks
from inventions import RunKey
from ledger import key_of
from posters import Poster
from watchers import RunWatcher

QUERIES = ("", "&phase=RUNNING&follow=true")
BEFORE, AFTER = 40, 25  # actions on both, and on the primary only


def fail_over_with_loss(service, pair, ledger):
    """Raises what is not as promised; else counts it."""
    run = run_of_pair(service, pair, ledger)
    kept = [event_of(run, f"a{number}") for number in range(BEFORE)]
    lost = [event_of(run, f"b{number}") for number in range(AFTER)]
    fail_overs = []
    watchers = [
        RunWatcher(run, query, random.Random(query), ledger, lambda: len(fail_overs))
        for query in QUERIES
    ]
    threads = [threading.Thread(target=guard, args=(ledger, watcher, service.url), daemon=True)
               for watcher in watchers]  # fmt: skip
    for thread in threads:
        thread.start()
    post(service, ledger, run, kept)
    pair.set_synchronous("")
    pair.wait_for_standby()
    pair.replication.stall()
    post(service, ledger, run, lost)
    wait_for_nodes(watchers, ledger, BEFORE + AFTER)
    fail_overs.append(True)
    pair.promote()
    pair.replication.restore()
    service.wait_until_ready()

    stored = {key for key, _, _, _ in checks.stored_events(pair)}
    gone = ledger.acknowledged.keys() - stored
    assert gone == {key_of(event) for event in lost}, f"{len(gone)} events gone, not {AFTER}"
    ledger.forget(gone)
    ledger.count("acknowledged events lost with the primary, all after the stall", len(gone))
    wait_for_nodes(watchers, ledger, BEFORE)
    later = [event_of(run, f"c{number}") for number in range(AFTER)]
    post(service, ledger, run, later)
    oracle = checks.read_oracle(pair, run)
    assert len(oracle.actions) == BEFORE + AFTER
    for watcher in watchers:
        watcher.expected = oracle.nodes()
    for thread in threads:
        thread.join(60)
    ledger.check()
    for watcher in watchers:
        assert watcher.resets == 1, f"{watcher.path} was reset {watcher.resets} times"
    checks.check_database(pair, ledger)
    checks.check_answers(service, pair, ledger, [run])
    ledger.count("fault: standby promoted that was behind")


def run_of_pair(service, pair, ledger):
    """A run that is in the pair's cell."""
    for number in itertools.count(1):
        run = RunKey("faults", "lossy", f"r{number}")
        post(service, ledger, run, [event_of(run, "a0")])
        if pair.primary.ask(
            "SELECT count(*) = 1 FROM runs WHERE domain = 'lossy' AND run_name = %s", run.name
        ):
            return run


def event_of(run, name):
    parent = None if name == "a0" else "a0"
    return run.event(
        name, "RUNNING", attempt=1, version=0, parent=parent, updatedTime="2026-04-12T08:00:00.000Z"
    )


def guard(ledger, watcher, url):
    try:
        watcher.watch(url, 60)
    except BaseException as error:
        ledger.report_problem(str(error) or type(error).__name__)


def post(service, ledger, run, events):
    poster = Poster(service.url, ledger, random.Random(len(events)), lambda: True)
    poster.post_all(run, events)


def wait_for_nodes(watchers, ledger, count, seconds=45):
    deadline = time.monotonic() + seconds
    while any(len(watcher.nodes) != count for watcher in watchers):
        ledger.check()
        seen = [len(watcher.nodes) for watcher in watchers]
        assert time.monotonic() < deadline, f"watchers have {seen} nodes, not {count}"
        time.sleep(0.05)
