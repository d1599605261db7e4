"""Health, readiness, metrics, problem pages, methods, CORS: what operators and browsers rely on."""

import contextlib
import re
import socket

import httpx
import pytest

from client import assert_problem
from runtree import Runtree

ORIGIN = "https://dashboard.example"
FROM_PAGE = {"Origin": ORIGIN}

GET_PATHS = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/v1/runs",
    "/v1/projects",
    "{base}/runs",
    "{path}",
    "{path}/actions",
    "{path}/actions/a0",
    "{path}/actions/a0/events",
    "{path}/tree",
]


@pytest.fixture(scope="module")
def runtrees(database, tmp_path_factory):
    """Instead of the shared ones: a runtree that browsers of one foreign page may call."""
    runtree = Runtree(
        tmp_path_factory.mktemp("cors"), "--cors-origins", ORIGIN, database_url=database
    )
    yield [runtree.start()]
    runtree.stop()


@pytest.fixture
def known_run(api, run):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    return run


def test_health_and_readiness(api):
    assert api.get("/healthz").status_code == 200
    assert api.get("/readyz").status_code == 200


@pytest.mark.parametrize("path", GET_PATHS)
def test_head_is_get_without_a_body(api, known_run, path):
    path = path.format(base=known_run.base, path=known_run.path)
    got, head = api.get(path), api.request("HEAD", path)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":  # none where an answer is packed in pieces
        assert head.headers.get("content-length") == got.headers.get("content-length")


def test_head_of_what_does_not_exist(api, run):
    response = api.request("HEAD", run.path)
    assert (response.status_code, response.content) == (404, b"")


def test_head_of_a_stream_ends(api, known_run):
    response = api.request("HEAD", f"{known_run.path}/watch")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("GET", "/v1/events", {"POST"}),
        ("PUT", "/v1/events", {"POST"}),
        ("PATCH", "{path}", {"GET", "HEAD", "DELETE"}),
        ("POST", "{path}/tree", {"GET", "HEAD"}),
        ("PATCH", "{path}/watch", {"GET", "HEAD"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
        ("DELETE", "/v1/runs", {"GET", "HEAD"}),
        ("GET", "{path}/actions/a0/events/1/QUEUED/0", {"PUT"}),
        ("POST", "{path}/actions/a0/events/1/QUEUED/0", {"PUT"}),
        ("BREW", "/v1/runs", {"GET", "HEAD"}),
    ],
)
def test_other_method_is_405_with_allow(api, known_run, method, path, allowed):
    response = api.request(method, path.format(path=known_run.path))
    assert_problem(response, 405, "method-not-allowed")
    listed = {name.strip() for name in response.headers["allow"].split(",")}
    assert listed - {"OPTIONS"} == allowed


@pytest.mark.parametrize("path, allowed", [("/v1/events", {"POST"}), ("/v1/runs", {"GET", "HEAD"})])
def test_options_names_the_methods(api, path, allowed):
    response = api.request("OPTIONS", path)
    assert response.status_code in (200, 204)
    listed = {name.strip() for name in response.headers["allow"].split(",")}
    assert listed - {"OPTIONS"} == allowed


def test_options_of_an_unknown_path(api):
    assert api.request("OPTIONS", "/nothing").status_code == 404


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/v1/events"),
        ("GET", "/v1/runs"),
        ("GET", "{path}/watch"),
        ("PUT", "{path}/actions/a/events/1/QUEUED/0"),
    ],
)
def test_preflight_of_a_browser(api, known_run, method, path):
    response = api.request(
        "OPTIONS",
        path.format(path=known_run.path),
        headers=FROM_PAGE
        | {
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "content-type,last-event-id",
        },
    )
    assert response.status_code in (200, 204)
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert method in response.headers["access-control-allow-methods"]
    allowed = response.headers["access-control-allow-headers"].lower()
    assert "content-type" in allowed and "last-event-id" in allowed


@pytest.mark.parametrize(
    "path, status", [("{path}", 200), ("/v1/runs?limit=0", 400), ("/nothing", 404)]
)
def test_browser_may_read_every_answer(api, known_run, path, status):
    response = api.request("GET", path.format(path=known_run.path), headers=FROM_PAGE)
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == ORIGIN


def test_browser_may_read_streams_and_results(api, open_stream, known_run):
    stream = open_stream(f"{known_run.path}/watch", headers=FROM_PAGE)
    assert stream.headers["access-control-allow-origin"] == ORIGIN
    response = api.request(
        "POST", "/v1/events", json=known_run.event("a0", "FAILED"), headers=FROM_PAGE
    )
    assert response.headers["access-control-allow-origin"] == ORIGIN


def test_page_of_another_origin_may_not_read(api, known_run):
    for method in ("GET", "OPTIONS"):
        response = api.request(
            method,
            known_run.path,
            headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"},
        )
        assert "access-control-allow-origin" not in response.headers


def test_caches_are_told_that_the_answer_depends_on_the_origin(api, known_run):
    response = api.request("GET", known_run.path, headers=FROM_PAGE)
    assert "origin" in response.headers["vary"].lower()


PROBLEMS = [
    "bad-request",
    "invalid-json",
    "invalid-field",
    "unknown-parameter",
    "not-found",
    "method-not-allowed",
    "payload-too-large",
    "unsupported-media-type",
    "alias-conflict",
    "parent-conflict",
    "too-deep",
    "already-ended",
    "too-many-events",
    "unavailable",
    "overloaded",
]


@pytest.mark.parametrize("name", PROBLEMS)
def test_problem_explains_itself(api, name):
    response = api.get(f"/problems/{name}")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/")
    assert len(response.text) > 80


def test_unknown_problem(api):
    assert_problem(api.get("/problems/no-such-problem"), 404, "not-found")


SAMPLE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)"
    r"(?:\{(?P<labels>[a-zA-Z_][a-zA-Z0-9_]*=\"(?:[^\"\\\n]|\\[\\\"n])*\""
    r"(?:,[a-zA-Z_][a-zA-Z0-9_]*=\"(?:[^\"\\\n]|\\[\\\"n])*\")*,?)?\})?"
    r" (?P<value>[-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|Inf)|NaN)(?: \d+)?"
)


def parse_metrics(text):
    """{series: value} of Prometheus' text format, read strictly: families announced, none twice."""
    assert text.endswith("\n")
    types, helps, series = {}, set(), {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types and kind in ("counter", "gauge", "histogram", "summary"), line
            types[name] = kind
        elif line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in helps and len(line.split(" ", 3)) == 4, line
            helps.add(name)
        elif line and not line.startswith("#"):
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            name = sample["name"]
            family = name if name in types else re.sub("_(bucket|sum|count)$", "", name)
            assert family in types and family in helps, f"{line}: no TYPE or no HELP"
            assert list(types)[-1] == family, f"{line}: not beside its family"
            if types[family] == "counter":
                assert name.endswith("_total"), line
            key = f"{name}{{{sample['labels'] or ''}}}"
            assert key not in series, f"{key} twice"
            series[key] = float(sample["value"])
    for family in (name for name, kind in types.items() if kind == "histogram"):
        check_histogram(family, series)
    return series


def check_histogram(family, series):
    buckets, counts = {}, {}
    for key, value in series.items():
        if key.startswith(family + "_bucket{"):
            labels = re.sub(r',?le="[^"]*"', "", key[len(family + "_bucket{") : -1]).strip(",")
            buckets.setdefault(labels, []).append(
                (float(re.search(r'le="([^"]*)"', key)[1]), value)
            )
        elif key.startswith(family + "_count{"):
            counts[key[len(family + "_count{") : -1]] = value
    assert buckets.keys() == counts.keys(), family
    for labels, found in buckets.items():
        assert found == sorted(found) and [value for _, value in found] == sorted(
            value for _, value in found
        ), f"{family}: buckets must grow"
        assert found[-1] == (float("inf"), counts[labels]), family


def test_metrics_are_prometheus_text(api, known_run):
    response = api.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    series = parse_metrics(response.text)
    assert any(name.startswith("runtree_") for name in series)


def test_metrics_count_events_and_streams(api, known_run, open_stream):
    def read():
        return parse_metrics(api.get("/metrics").text)

    before = read()
    api.post_all([known_run.event("a0", "RUNNING", version=version) for version in range(1, 8)])
    stream = open_stream(f"{known_run.path}/watch")
    stream.read_until("synced")
    after = read()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert any(
        "event" in name and "applied" in name and growth == 7 for name, growth in grown.items()
    )
    assert any(re.search("watcher|stream", name) and growth == 1 for name, growth in grown.items())


def test_one_connection_serves_many_requests(server):
    with httpx.Client(base_url=server.url, http1=True) as client:
        ports = {
            client.get("/healthz").extensions["network_stream"].get_extra_info("client_addr")[1]
            for _ in range(5)
        }
    assert len(ports) == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{}",
        b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    ],
)
def test_nonsense_on_the_socket_harms_nobody(server, api, request_bytes):
    """Whether it is refused, cut off or left to wait for the rest that never comes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=1) as connection:
        answer = b""
        with contextlib.suppress(OSError):
            connection.sendall(request_bytes)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            answer = connection.recv(65536)
        assert api.get("/healthz").status_code == 200
    assert not answer or re.match(b"HTTP/1.1 [45]", answer), answer
