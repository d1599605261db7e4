"""What keeps strangers out besides tokens: pages of other sites, the address, headers, secrets."""

import json
import pathlib
import time

import httpx
import pytest

from client import assert_problem, until
from runtree import run_to_exit
from tokens import STRANGER, claims

# Pages of other sites


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/v1/events", "/v1/session"])
def test_page_of_another_origin_must_not_write(ask, run, master, path, headers):
    body = run.event("a0", parent=None)
    response = ask("POST", path, cookie=master, headers=headers, json=body)
    assert_problem(response, 403, "forbidden")
    assert ask("GET", run.path, master).status_code == 404


@pytest.mark.parametrize("headers", FOREIGN)
def test_nor_where_no_token_is_asked_for(api, run, headers):
    response = api.request("POST", "/v1/events", headers=headers, json=run.event("a0", parent=None))
    assert_problem(response, 403, "forbidden")
    response = api.request("PUT", run.put_path(), headers=headers, json={"parent": None})
    assert_problem(response, 403, "forbidden")


def test_page_of_another_site_must_not_read_with_the_cookie(ask, master):
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert ask("GET", "/v1/runs", cookie=master, headers=headers).status_code == 403


def test_own_page_may_write(server, api, run):
    for headers in (
        {"Origin": server.url},
        {"Origin": "http://localhost", "Host": "localhost"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"},
        {"Sec-Fetch-Site": "none"},
        {},
    ):
        response = api.request(
            "POST", "/v1/events", headers=headers, json=run.event("a0", parent=None)
        )
        assert response.status_code in (200, 201), headers


def test_listed_page_may_write_with_the_cookie(start_runtree, postgres):
    origin = "https://pages.example"
    runtree = start_runtree("--cors-origins", origin, database_url=postgres.new_database())
    for allowed, status in ((origin, 204), (origin + ".evil", 403), ("https://page", 403)):
        response = httpx.delete(runtree.url + "/v1/session", headers={"Origin": allowed})
        assert response.status_code == status
        if status == 204:
            assert response.headers["access-control-allow-origin"] == origin
            assert response.headers["access-control-allow-credentials"] == "true"
        else:
            assert "access-control-allow-origin" not in response.headers


def test_any_page_may_read_but_not_with_the_cookie(start_runtree, postgres):
    runtree = start_runtree("--cors-origins", "*", database_url=postgres.new_database())
    response = httpx.get(runtree.url + "/v1/runs", headers={"Origin": "https://any.example"})
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    "host, status",
    [
        ("127.0.0.1", 200),
        ("localhost:8080", 200),
        ("[::1]:8080", 200),
        ("10.1.2.3:80", 200),
        ("evil.example", 403),
        ("evil.example:8080", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
def test_name_that_was_made_to_point_here(api, host, status):
    """DNS rebinding: to the browser the page is of the same origin."""
    assert api.request("GET", "/v1/runs", headers={"Host": host}).status_code == status


# Starting


@pytest.mark.parametrize("address", ["0.0.0.0:8080", "*:8080", "[::]:8080", "192.0.2.1:80", "x:1"])
def test_open_to_the_network_without_auth_is_refused(address):
    done = run_to_exit("serve", "--listen", address)
    assert done.returncode == 2
    assert "--insecure-listen-anywhere" in done.stderr and "--auth" in done.stderr


def test_open_to_the_network_on_purpose(start_runtree, postgres):
    runtree = start_runtree("--insecure-listen-anywhere", database_url=postgres.new_database())
    response = httpx.get(runtree.url + "/v1/runs", headers={"Host": "runtree.example"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [["--auth", "jwt"], ["--auth", "basic"], ["--auth", "jwt", "--auth-keys", ""]],
)
def test_auth_that_cannot_be(arguments):
    assert run_to_exit("serve", *arguments).returncode == 2


# What every answer says, and what none does


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/healthz"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/problems/forbidden"),
        ("GET", "/v1/runs"),
        ("GET", "/v1/runs?x=y"),
        ("GET", "/nothing"),
        ("PATCH", "/v1/runs"),
        ("OPTIONS", "/v1/runs"),
        ("DELETE", "/v1/session"),
        ("POST", "/v1/events"),
        ("GET", "{path}/watch"),
    ],
)
@pytest.mark.parametrize("with_token", [False, True])
def test_security_headers(ask, guarded_run, master, method, path, with_token):
    response = ask(method, path.format(path=guarded_run.path), master if with_token else None)
    headers = response.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "no-store" in headers["cache-control"]
    assert headers["x-request-id"]


def test_request_id_is_taken_over_or_made(ask, master):
    given = ask("GET", "/v1/runs", master, headers={"X-Request-Id": "abc-1.2"})
    assert given.headers["x-request-id"] == "abc-1.2"
    for bad in ("x" * 65, "a b", "a\tb", 'a"b', ""):
        made = ask("GET", "/v1/runs", master, headers={"X-Request-Id": bad}).headers["x-request-id"]
        assert made != bad and len(made) == 16
    made = {ask("GET", "/healthz").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3


def test_log_line_of_a_failed_request(start_runtree, tmp_path):
    runtree = start_runtree(database_url=f"host={tmp_path} dbname=none", until="/healthz")
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Request-Id": "id-1", "traceparent": trace}
    assert httpx.get(runtree.url + "/v1/runs?name=q", headers=headers).status_code == 503
    until(lambda: "id-1" in runtree.log())
    lines = [json.loads(line) for line in runtree.log().splitlines() if "id-1" in line]
    assert len(lines) == 1
    assert lines[0]["traceparent"] == trace and lines[0]["status"] == 503
    assert lines[0]["path"] == "/v1/runs"


def test_password_of_the_database_is_nowhere(start_runtree, tmp_path, postgres):
    secret = "very-secret-word"
    url = f"postgresql://ada:{secret}@127.0.0.1:1/none"
    runtrees = [
        start_runtree("--database-url", url, until="/healthz"),
        start_runtree(f"--database-url={url}", until="/healthz"),
        start_runtree(environment={"RUNTREE_DATABASE_URL": url}, until="/healthz"),
    ]
    time.sleep(1)
    for runtree in runtrees:
        command = pathlib.Path(f"/proc/{runtree.process.pid}/cmdline").read_bytes()
        assert b"serve" in command and secret.encode() not in command
        shown = [httpx.get(runtree.url + path).text for path in ("/readyz", "/metrics", "/v1/runs")]
        assert secret not in "".join(shown) + runtree.log()


def test_token_is_nowhere(ask, guarded, master):
    bad = STRANGER.sign(claims())
    seen = [ask("GET", path, bad).text for path in ("/v1/runs", "/nothing")]
    seen += [ask("GET", "/metrics", master).text, guarded.log()]
    assert bad not in "".join(seen) and master not in "".join(seen)
