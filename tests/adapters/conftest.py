"""Fixtures: runtrees on a PostgreSQL of their own, and tokens for the one that wants some."""

import pytest

from client import Api
from postgres import Postgres
from runtree import Runtree
from tokens import CHECKS, KEYS, token_for, write_jwks


@pytest.fixture(scope="session")
def database():
    postgres = Postgres()
    postgres.start()
    yield postgres.new_database()
    postgres.remove()


@pytest.fixture(scope="session")
def runtree(database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runtree")
    keys = write_jwks(folder / "keys.json", KEYS.values())
    options = ("--auth", "jwt", "--auth-keys", str(keys), *CHECKS)
    server = Runtree(folder, *options, database_url=database)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def open_runtree(database, tmp_path_factory):
    """One that asks for no token, on the same database: for tools that can send none."""
    server = Runtree(tmp_path_factory.mktemp("open"), database_url=database)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def token():
    """One that may report to the project `data`, and no more."""
    return token_for(write=["data/*"])


@pytest.fixture
def api(runtree):
    """A client that may read everything."""
    client = Api(runtree.url, headers={"Authorization": f"Bearer {token_for(read=['*/*'])}"})
    yield client
    client.close()
