"""Limits by client: what is left is said in headers, past it 429 and nothing recorded."""

import time

import httpx
import pytest

from client import assert_problem, metric
from sse import EventStream
from tokens import KEYS, claims, write_jwks

WINDOW = 10
KEY = KEYS["ES256"]


def rate(response, kind):
    """{q, w, r, t} of a kind of thing, from the headers."""
    found = {}
    for header in ("RateLimit-Policy", "RateLimit"):
        for item in response.headers[header].split(", "):
            name, *parameters = item.split(";")
            if name == f'"{kind}"':
                found |= {key: int(value) for key, value in (p.split("=") for p in parameters)}
    return found


def post(runtree, run, count, first=0, token=None):
    events = [
        run.event(f"a{number}", parent="a0" if number else None)
        for number in range(first, first + count)
    ]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.post(f"{runtree.url}/v1/events", json={"events": events}, headers=headers)


def count_limited(runtree, **options):
    return metric(runtree.url, "runtree_rate_limited_total", **options)


def test_events(start_runtree, database, run):
    runtree = start_runtree("--rate-limit-events", "5", database_url=database)
    response = post(runtree, run, 45)
    assert response.status_code == 200
    left = rate(response, "events")
    assert left["q"] == 5 * WINDOW and left["w"] == WINDOW
    assert 5 <= left["r"] <= 10 and 8 <= left["t"] <= 9
    refused = post(runtree, run, 40, first=45)
    assert_problem(refused, 429, "too-many-requests")
    assert 4 <= int(refused.headers["Retry-After"]) <= 7
    assert httpx.get(runtree.url + run.path).json()["actionCount"] == 45, "nothing of it"
    assert count_limited(runtree) == 1
    time.sleep(int(refused.headers["Retry-After"]))
    assert post(runtree, run, 40, first=45).status_code == 200


def test_batch_beyond_the_quota_is_owed(start_runtree, database, run):
    runtree = start_runtree("--rate-limit-events", "10", database_url=database)
    assert rate(post(runtree, run, 300), "events")["r"] == 0
    refused = post(runtree, run, 1)
    assert_problem(refused, 429, "too-many-requests")
    assert 15 <= int(refused.headers["Retry-After"]) <= 26


def test_requests(start_runtree, database):
    runtree = start_runtree("--rate-limit-requests", "2", database_url=database)
    with httpx.Client(base_url=runtree.url) as client:
        first = client.get("/v1/projects")
        assert rate(first, "requests") == {"q": 2 * WINDOW, "w": WINDOW, "r": 19, "t": 1}
        allowed = 1
        while (answer := client.get("/v1/projects")).status_code == 200:
            allowed += 1
            assert allowed < 200
        assert allowed >= 2 * WINDOW
        assert_problem(answer, 429, "too-many-requests")
        assert answer.headers["Retry-After"] == "1"
        for _ in range(30):
            assert client.get("/healthz").status_code == 200, "who watches over it is not limited"
        time.sleep(1.1)
        assert client.get("/v1/projects").status_code == 200


@pytest.fixture
def by_subject(start_runtree, database, tmp_path):
    keys = write_jwks(tmp_path / "keys.json", [KEY])
    arguments = ("--auth", "jwt", "--auth-keys", str(keys), "--rate-limit-events", "1")
    return start_runtree(*arguments, database_url=database)


def test_each_subject_has_its_own(by_subject, run):
    ada, again, bob = (
        KEY.sign(claims(admin=["*/*"], aud=None, sub=name, jti=number))
        for number, name in enumerate(("ada", "ada", "bob"))
    )
    assert post(by_subject, run, 10, token=ada).status_code == 200
    assert post(by_subject, run, 1, token=again).status_code == 429, "another token, the same one"
    assert post(by_subject, run, 10, token=bob).status_code == 200
    headers = {"Authorization": f"Bearer {ada}"}
    assert count_limited(by_subject, headers=headers) == 1


def test_events_that_are_refused_anyway_do_not_count(by_subject, run):
    writer = KEY.sign(claims(write=["other/*"], aud=None))
    for _ in range(3):
        response = post(by_subject, run, 10, token=writer)
        assert response.status_code == 207 and response.json()["rejected"] == 10


def test_streams(start_runtree, database, run):
    runtree = start_runtree("--streams-per-client-max", "3", database_url=database)
    assert post(runtree, run, 1).status_code == 200
    paths = (f"{run.path}/watch?follow=true", "/v1/runs/watch", f"{run.path}/watch?follow=true")
    open_streams = [EventStream(runtree.url, path) for path in paths]
    for stream in open_streams:
        assert stream.status == 200
        stream.read_until("synced")
    for path in paths:
        with EventStream(runtree.url, path) as refused:
            assert refused.status == 429
            assert int(refused.headers["retry-after"]) > 0
    open_streams.pop().close()
    deadline = time.monotonic() + 60
    while (again := EventStream(runtree.url, paths[0])).status == 429:
        assert time.monotonic() < deadline
    for stream in [again, *open_streams]:
        stream.close()


def test_no_headers_without_limits(api):
    assert "ratelimit" not in api.get("/v1/runs").headers
