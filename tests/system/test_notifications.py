"""A transaction tells every process of all the runs that it changed, with as few notifications as
hold them."""

import psycopg
import pytest

from client import metric, until
from inventions import RunKey

RUNS = 40


@pytest.fixture
def database(postgres):
    return postgres.new_database()


@pytest.fixture
def server(start_runtree, database):
    return start_runtree(database_url=database)


@pytest.fixture
def other(start_runtree, database, open_api):
    """Another process on the same database."""
    return open_api(start_runtree(database_url=database))


@pytest.fixture
def payloads(database):
    """All that is told from now on, as far as it has come when asked for it."""
    told = []
    with psycopg.connect(database, autocommit=True) as listener:
        listener.add_notify_handler(lambda notify: told.append(notify.payload))
        listener.execute("LISTEN runtree")

        def look():
            listener.execute("SELECT 1")
            return told

        yield look


def heard(api):
    return metric(api.url, "runtree_notifications_total")


@pytest.mark.parametrize("length, most", [(20, 2), (500, 4)])  # of two connections
def test_all_runs_of_a_transaction_at_once(api, other, payloads, open_stream, run, length, most):
    stream = open_stream(f"{run.base}/runs/watch")
    stream.read_until("synced")
    names = [f"{number:03}-".ljust(length, "x") for number in range(RUNS)]
    for turn, phase in enumerate(("QUEUED", "RUNNING"), start=1):
        told = len(payloads())
        api.post_all([dict(run.event(phase=phase, parent=None), runName=name) for name in names])
        until(lambda: sum(told.count(f"\x1e{turn}\x1e") for told in payloads()) == RUNS)
        assert len(payloads()) - told <= most
        for process in (api, other):
            until(lambda process=process, turn=turn: heard(process) == turn * RUNS)
    seen = set()
    while seen != set(names):
        seen |= {f.data["runName"] for f in stream.read_flush() if f.event == "runUpdate"}


def test_a_removal_and_an_abort_are_told(api, other, payloads, run):
    """And what was asked for in vain, or again, is not."""
    absent = RunKey(run.project, run.domain, "absent")
    api.post_one(run.event("a0", "RUNNING", parent=None))
    api.post_one(run.event("w0", parent="unheard-of"))
    until(lambda: heard(other) == 2)
    api.post({"reason": "enough"}, path=f"{run.path}/abort")
    until(lambda: heard(other) == 3)
    assert api.post({}, path=f"{run.path}/abort").status_code == 200
    assert api.post({}, path=f"{absent.path}/abort").status_code == 404
    assert api.request("DELETE", absent.path).status_code == 404
    assert api.request("DELETE", f"{run.path}/actions/w0").status_code == 204
    until(lambda: heard(other) == 4)
    assert api.request("DELETE", run.path).status_code == 204
    until(lambda: heard(other) == 5)
    told = [payload.split("\x1e")[:-1] for payload in payloads()]
    key = [run.project, run.domain, run.name]
    assert told == [[*key, revision] for revision in ("1", "1", "2", "2", "0")]
