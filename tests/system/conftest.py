"""Fixtures: one PostgreSQL and two runtrees on one database, shared by all tests that harm neither.

A test that stops, kills or misconfigures something starts its own with `start_runtree`. Tests share
the database by giving each its own project (`run`).
"""

import inspect
import itertools
import signal

import httpx
import pytest

import contract
from client import Api
from inventions import RunKey
from postgres import Postgres
from reports import Report
from runtree import PATIENCE_S, Runtree
from sse import EventStream
from tokens import CHECKS, COOKIE, KEYS, token_for, write_jwks

for one in (httpx.Client.__init__, httpx.get, httpx.post, httpx.put, httpx.delete, httpx.head):
    one.__kwdefaults__["timeout"] = httpx.Timeout(PATIENCE_S)

# What a shell starts in its background ignores both, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


LOOK_INTO_IT = {"postgres", "database", "cluster", "sql"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Who asks for the database itself does not know which of several has the run."""
    for item in items:
        if LOOK_INTO_IT & set(inspect.signature(item.function).parameters):
            item.add_marker(pytest.mark.one_database)


@pytest.fixture(scope="session")
def postgres():
    cluster = Postgres()
    cluster.start()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session")
def database(postgres):
    """The shared database's connection string."""
    return postgres.new_database()


@pytest.fixture(scope="session")
def runtrees(database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    pair = [Runtree(folder / name, database_url=database) for name in ("server", "twin")]
    for runtree in pair:
        runtree.start()
    yield pair
    for runtree in pair:
        runtree.stop()


@pytest.fixture
def server(runtrees):
    """The shared runtree, started anew if the test before has brought it down."""
    return running(runtrees[0])


@pytest.fixture
def twin(runtrees):
    """A second runtree on the same database."""
    return running(runtrees[1])


def running(runtree):
    return runtree if runtree.is_running() else runtree.start()


@pytest.fixture
def start_runtree(tmp_path):
    """Starts runtrees of the test's own, and holds each to a clean end. A test that has ended its
    server in another way calls `kill` itself."""
    started = []

    def start(*arguments, until="/readyz", **options):
        runtree = Runtree(tmp_path / f"runtree{len(started)}", *arguments, **options)
        started.append(runtree)
        return runtree.start(until)

    yield start
    survivors = [runtree for runtree in started if runtree.is_running()]
    try:
        for runtree in survivors:
            runtree.stop()
    finally:
        for runtree in survivors:
            if runtree.is_running():
                runtree.kill()


@pytest.fixture
def open_api():
    """Makes clients of any runtree, closed at the end of the test."""
    opened = []

    def make(runtree):
        opened.append(Api(runtree.url))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def api(server, open_api):
    return open_api(server)


@pytest.fixture
def open_stream(server):
    """Opens streams of the shared server, closed at the end of the test."""
    opened = []

    def open_one(path, last_event_id=None, **options):
        opened.append(EventStream(server.url, path, last_event_id, **options))
        return opened[-1]

    yield open_one
    for stream in opened:
        stream.close()


numbers = itertools.count(1)


@pytest.fixture
def run():
    """A run in a project that no other test has."""
    return RunKey(f"project-{next(numbers)}", "development", "r1")


@pytest.fixture
def report(api, run):
    return Report(api, run)


@pytest.fixture(scope="session")
def guarded(database, tmp_path_factory):
    """A runtree that wants tokens, on the shared database."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = write_jwks(folder / "keys.json", KEYS.values())
    runtree = Runtree(
        folder, "--auth", "jwt", "--auth-keys", str(keys), *CHECKS, database_url=database
    )
    runtree.start()
    yield runtree
    runtree.stop()


@pytest.fixture
def ask(guarded):
    """Asks the guarded runtree; every answer must be one that openapi.yaml allows."""
    with httpx.Client(base_url=guarded.url, timeout=PATIENCE_S) as client:

        def ask(method, path, token=None, cookie=None, headers=None, **options):
            headers = httpx.Headers(headers)
            if token is not None:
                headers["Authorization"] = f"Bearer {token}"
            if cookie is not None:
                headers["Cookie"] = f"{COOKIE}={cookie}"
            with client.stream(method, path, headers=headers, **options) as response:
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    response.read()
                    contract.check_response(
                        method,
                        response.request.url.path,
                        response.status_code,
                        response.headers.get("content-type", ""),
                        response.content,
                    )
                return response

        yield ask


@pytest.fixture
def master():
    """A token that may do everything."""
    return token_for(admin=["*/*"])


@pytest.fixture
def guarded_run(ask, run, master):
    """A run with one action, made through the guarded runtree."""
    response = ask("POST", "/v1/events", master, json=run.event("a0", "RUNNING", parent=None))
    assert response.status_code == 201, response.text
    return run


@pytest.fixture
def tree(api, run):
    """a0 over a1 over a2, and a0 over b1; all RUNNING."""
    events = [
        run.event(name, "RUNNING", parent=parent)
        for name, parent in (("a0", None), ("a1", "a0"), ("a2", "a1"), ("b1", "a0"))
    ]
    api.post_all(events)
    return events
