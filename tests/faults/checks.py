"""The database against what was acknowledged, answers against the database, and leaks."""

import json
import pathlib
import time

import httpx
import psycopg

from ledger import HOSTILE_DOMAIN, document_of
from tree_oracle import PHASES, TreeOracle, comparable
from watchers import difference

HELD = ("streams", "hubs", "views", "nodes", "list_views", "write_queue_bytes", "read_queue")
NAMES_OF_PHASES = {number: name for name, number in PHASES.items()}

RSS_GROWTH_MAX_KIB = 8 * 1024  # over a lap of load
RSS_GROWTH_HOSTILE_MAX_KIB = 128 * 1024  # of hostile clients the allocator keeps small blocks
RSS_MAX_KIB = 256 * 1024  # twice --memory-max-bytes, whatever hostile clients do
HELD_AT_REST_MAX_BYTES = 1 << 20  # the list of runs knows what moved lately


def query(pair, statement, *parameters, seconds=60):
    """Rows of both cells, of the pair from whichever is the primary, once they can be reached."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            rows = []
            for url in pair.urls():
                with psycopg.connect(url + " connect_timeout=3", autocommit=True) as connection:
                    rows += connection.execute(statement, parameters).fetchall()
            return rows
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def stored_events(pair, run=None):
    """Every stored event as it was posted, its key and `updatedTime` from the columns, and the
    revision."""
    condition, parameters = "WHERE project = 'faults' AND domain <> %s", (HOSTILE_DOMAIN,)
    if run:
        condition = "WHERE project = %s AND domain = %s AND run_name = %s"
        parameters = (run.project, run.domain, run.name)
    rows = query(
        pair,
        "SELECT project, domain, run_name, name, attempt, phase, version, info, revision,"
        """ to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
        f" FROM action_events {condition}",
        *parameters,
    )
    for project, domain, run_name, name, attempt, phase, version, info, revision, updated in rows:
        key = (project, domain, run_name, name, attempt, NAMES_OF_PHASES[phase], version)
        yield key, json.loads(info), updated, revision


def read_oracle(pair, run):
    """What the run must look like, from its stored events alone."""
    events = [
        document | {"name": key[3], "attempt": key[4], "phase": key[5], "version": key[6]}
        | {"updatedTime": updated}
        for key, document, updated, _ in stored_events(pair, run)
    ]  # fmt: skip
    return TreeOracle(events)


def check_database(pair, ledger):
    """Every acknowledged event is stored once, as it was sent, and nothing else is (the table's
    key forbids a second row; here that is looked at, not believed)."""
    stored = {}
    revisions = {}
    for key, document, _, revision in stored_events(pair):
        assert key not in stored, f"stored twice: {key}"
        stored[key] = document_of(document)
        revisions.setdefault(key[:3], []).append(revision)
    lost = ledger.acknowledged.keys() - stored.keys()
    assert not lost, f"{len(lost)} acknowledged events are lost, such as {sorted(lost)[:3]}"
    surplus = stored.keys() - ledger.acknowledged.keys()
    assert not surplus, f"stored, but acknowledged to nobody: {sorted(surplus)[:3]}"
    for key, document in ledger.acknowledged.items():
        assert stored[key] == document, f"{key} was sent as {document}, is {stored[key]}"
    rows = query(
        pair,
        "SELECT project, domain, run_name, revision FROM runs"
        " WHERE project = 'faults' AND domain <> %s",
        HOSTILE_DOMAIN,
    )
    for *run, revision in rows:
        seen = revisions[tuple(run)]
        assert max(seen) == revision, f"{run}: revision {revision}, of events {max(seen)}"
        assert min(seen) > 0, f"{run}: an event waits for ever"


def check_answers(service, pair, ledger, runs, list_watcher=None):
    """What each runtree says of each run is what is stored."""
    oracles = [(run, read_oracle(pair, run)) for run in runs]
    oracles = [(run, oracle, oracle.nodes()) for run, oracle in oracles]
    for runtree in service.runtrees:
        for run, oracle, expected in oracles:
            tree = comparable(read(runtree, f"{run.path}/tree")["nodes"])
            assert tree == expected, f"{run.path}: " + difference(tree, expected)
            summary = read(runtree, run.path)
            assert summary["actionCount"] == len(oracle.actions), summary
            assert summary["phaseCounts"] == oracle.count_phases(oracle.actions), summary
            listed = list_watcher and list_watcher.runs.get((run.project, run.domain, run.name))
            if list_watcher:
                assert listed == summary, f"the watched list has {listed}, not {summary}"
            ledger.count("trees and summaries compared at rest")


def read(runtree, path):
    response = httpx.get(runtree.url + path, timeout=30)
    assert response.status_code == 200, f"{path}: {response.status_code} {response.text}"
    return response.json()


class Footprint:
    """Memory and descriptors of the runtrees at rest."""

    def __init__(self, service):
        self.pids = [runtree.process.pid for runtree in service.runtrees]
        self.descriptors = [settled_descriptors(pid) for pid in self.pids]
        self.rss_kib = [rss_kib(pid) for pid in self.pids]

    def check_since(self, before, growth_max_kib):
        """Nothing was kept between then and now."""
        for number, pid in enumerate(self.pids):
            was, now = before.descriptors[number], self.descriptors[number]
            assert now <= was, f"runtree {number} at rest: {was} descriptors, then {now}"
            assert self.rss_kib[number] < RSS_MAX_KIB, f"runtree {number}: {self.rss_kib} KiB"
            if before.pids[number] == pid:
                growth = self.rss_kib[number] - before.rss_kib[number]
                assert growth < growth_max_kib, f"runtree {number} grew by {growth} KiB"


def settled_descriptors(pid):
    """How many descriptors a process keeps, once what is on its way out is gone."""
    fewest = len(descriptors(pid))
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        fewest = min(fewest, len(descriptors(pid)))
        time.sleep(0.02)
    return fewest


def descriptors(pid):
    return list(pathlib.Path(f"/proc/{pid}/fd").iterdir())


def rss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has no VmRSS")


def wait_until_at_rest(service, seconds=20):
    """Until no runtree holds anything for a client, whatever the clients did."""
    deadline = time.monotonic() + seconds
    while True:
        held = {name: service.metric(f"runtree_{name}") for name in HELD}
        memory = service.metric("runtree_memory_bytes")
        if not any(held.values()) and memory < HELD_AT_REST_MAX_BYTES:
            return
        assert time.monotonic() < deadline, f"at rest there are {held} and {memory} bytes"
        time.sleep(0.1)
