"""Who may do what: tokens, rights, sessions, and pages of other sites."""

import json
import os
import pathlib
import time

import jwt
import pytest

import contract
from client import assert_problem, assert_problem_document
from many import path_of, run_of
from sse import EventStream
from tokens import COOKIE, KEYS, STRANGER, claims, token_for

ES = KEYS["ES256"]
TOKEN = token_for(admin=["*/*"], seconds=86400)
METHODS = ("get", "put", "post", "delete")


# The matrix: every operation of openapi.yaml, every kind of token


OPERATIONS = [
    (method, template)
    for template, item in contract.document()["paths"].items()
    for method in METHODS
    if method in item
]


def tokens_of_matrix(project):
    return {
        "no token": None,
        "wrong signature": STRANGER.sign(claims(admin=["*/*"])),
        "expired": KEYS["ES256"].sign(claims(admin=["*/*"], seconds=-1)),
        "other project": token_for(admin=["other-project/*"]),
        "read": token_for(read=[f"{project}/*"]),
        "write": token_for(write=[f"{project}/*"]),
        "admin": token_for(admin=["*/*"]),
    }


def expected_status(method, template, kind):
    """401, 403, or None for an answer that is neither."""
    operation = contract.document()["paths"][template][method]
    needed = operation.get("x-access")
    is_list = "{project}" not in template and method == "get"
    is_list &= template not in ("/metrics", "/v1/watch")
    if needed is None:
        assert operation["security"] == [], "an operation is open, or says what it needs"
        return None
    if kind in ("no token", "wrong signature", "expired"):
        return 401
    if needed == "any" or is_list or kind == "admin" or kind == needed:
        return None
    return 403


@pytest.fixture(scope="session")
def matrix():
    """The statuses seen; written as a table where $RUNTREE_ACCESS_MATRIX says."""
    seen = {}
    yield seen
    path = os.environ.get("RUNTREE_ACCESS_MATRIX")
    if path and seen:
        kinds = list(tokens_of_matrix(""))
        rows = [["Operation", "Needs", *kinds], ["---"] * (len(kinds) + 2)]
        for method, template in OPERATIONS:
            needs = contract.document()["paths"][template][method].get("x-access", "nothing")
            cells = [str(seen.get((method, template, kind), "")) for kind in kinds]
            rows.append([f"`{method.upper()} {template}`", needs, *cells])
        pathlib.Path(path).write_text("".join(f"| {' | '.join(row)} |\n" for row in rows))


@pytest.mark.parametrize("kind", tokens_of_matrix(""))
@pytest.mark.parametrize("method, template", OPERATIONS)
def test_matrix(ask, guarded_run, matrix, method, template, kind):
    path = template.format(
        project=guarded_run.project,
        domain=guarded_run.domain,
        run=guarded_run.name,
        action="a0",
        attempt=1,
        phase="SUCCEEDED",
        version=0,
        name="forbidden",
        tool="cloudevents",
        rest="events",
    )
    if template == "/v1/watch":
        path = path_of([run_of(guarded_run)])
    document = guarded_run.event("a0", "SUCCEEDED", parent=None)
    options = {"json": document} if template == "/v1/events" else {}
    response = ask(method.upper(), path, tokens_of_matrix(guarded_run.project)[kind], **options)
    matrix[method, template, kind] = response.status_code
    expected = expected_status(method, template, kind)
    if expected is None:
        assert response.status_code in (200, 201, 204), response.status_code
    else:
        assert_problem(response, expected, {401: "unauthorized", 403: "forbidden"}[expected])
        if expected == 401:
            assert response.headers["www-authenticate"].startswith('Bearer realm="runtree"')


def test_write_does_not_include_read_nor_read_write(ask, guarded_run):
    writer = token_for(write=[f"{guarded_run.project}/{guarded_run.domain}"])
    assert ask("GET", guarded_run.path, writer).status_code == 403
    assert ask("POST", "/v1/events", writer, json=guarded_run.event("a1")).status_code == 201


@pytest.mark.parametrize(
    "pattern, status",
    [
        ("{project}/{domain}", 200),
        ("{project}/*", 200),
        ("*/{domain}", 200),
        ("*/*", 200),
        ("{project}/other", 403),
        ("other/{domain}", 403),
        ("*/other", 403),
    ],
)
def test_patterns(ask, guarded_run, pattern, status):
    pattern = pattern.format(project=guarded_run.project, domain=guarded_run.domain)
    assert ask("GET", guarded_run.path, token_for(read=[pattern])).status_code == status


@pytest.mark.parametrize("pattern", ["ml", "ml/", "/ml", "ml*/x", "ml//y", "ml/../y", "**/x", "", 7, None])
def test_pattern_that_is_none(ask, pattern):
    token = KEYS["ES256"].sign(claims(runtree={"read": [pattern]}))
    assert_problem(ask("GET", "/v1/runs", token), 401, "unauthorized")


def test_number_of_patterns(ask):
    for count, status in ((100, 200), (101, 401)):
        patterns = [f"p{number}/d" for number in range(count)]
        assert ask("GET", "/v1/runs", token_for("HS256", read=patterns)).status_code == status


def test_a_run_that_is_not_there_looks_like_one_of_another_project(ask, guarded_run):
    stranger = token_for(read=["other/*"])
    missing = guarded_run.path + "-missing"
    answers = [ask("GET", path, stranger).json() for path in (guarded_run.path, missing)]
    assert answers[0] == answers[1]


# Lists and batches


def test_lists_show_what_may_be_read(ask, run, master):
    events = [
        run.event("a0", parent=None) | {"project": f"{run.project}-{letter}", "runName": f"r{i}"}
        for i in range(3)
        for letter in "ab"
    ]
    assert ask("POST", "/v1/events", master, json={"events": events}).status_code == 200
    token = token_for(read=[f"{run.project}-a/*"])
    names, cursor = [], None
    while True:
        page = ask(
            "GET", "/v1/runs", token, params={"limit": 2} | ({"cursor": cursor} if cursor else {})
        ).json()
        assert {found["project"] for found in page["runs"]} <= {f"{run.project}-a"}
        names += [found["runName"] for found in page["runs"]]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
    assert sorted(names) == ["r0", "r1", "r2"]
    projects = ask("GET", "/v1/projects", token).json()["projects"]
    assert [found["project"] for found in projects] == [f"{run.project}-a"]
    other = ask("GET", "/v1/runs", token, params={"project": f"{run.project}-b"})
    assert other.json()["runs"] == []


def test_watch_of_the_list_shows_what_may_be_read(guarded, ask, run, master):
    def post(letter, name):
        event = run.event("a0", parent=None) | {"project": f"{run.project}-{letter}"}
        assert ask("POST", "/v1/events", master, json=event | {"runName": name}).status_code == 201

    post("a", "before")
    post("b", "before")
    token = token_for(read=[f"{run.project}-a/*"])
    headers = {"Authorization": f"Bearer {token}"}
    with EventStream(guarded.url, "/v1/runs/watch", headers=headers) as stream:
        frames = stream.read_until("synced")
        post("b", "after")
        post("a", "after")
        frames += stream.read_until(
            lambda frame: frame.event == "runUpdate" and frame.data["runName"] == "after"
        )
    updates = [frame.data for frame in frames if frame.event == "runUpdate"]
    assert {update["project"] for update in updates} == {f"{run.project}-a"}
    assert {update["runName"] for update in updates} == {"before", "after"}
    other = token_for(read=[f"{run.project}-b/*"])
    with EventStream(
        guarded.url, "/v1/runs/watch", frames[-1].id, headers={"Authorization": f"Bearer {other}"}
    ) as stream:
        frames = stream.read_until("synced")
        assert "reset" in [frame.event for frame in frames], "an id of other rights is of no use"
        projects = {frame.data["project"] for frame in frames if frame.event == "runUpdate"}
        assert projects == {f"{run.project}-b"}


@pytest.mark.parametrize("form", ["batch", "lines"])
def test_events_of_other_projects_are_rejected_one_by_one(ask, run, master, form):
    own, foreign = run.event("a0", parent=None), run.event("b0", parent=None)
    foreign["project"] += "-other"
    token = token_for(write=[f"{run.project}/{run.domain}"])
    if form == "batch":
        response = ask("POST", "/v1/events", token, json={"events": [foreign, own, foreign]})
    else:
        lines = "\n".join(json.dumps(event) for event in (foreign, own, foreign))
        headers = {"Content-Type": "application/x-ndjson"}
        response = ask("POST", "/v1/events", token, headers=headers, content=lines)
    assert response.status_code == 207
    results = response.json()["results"]
    assert [result["status"] for result in results] == ["rejected", "applied", "rejected"]
    assert_problem_document(results[0]["problem"], 403, "forbidden")
    path = f"/v1/projects/{foreign['project']}/domains/{run.domain}/runs/{run.name}"
    assert ask("GET", path, master).status_code == 404


# Sessions


def cookie_of(response):
    value, *attributes = response.headers["set-cookie"].split("; ")
    name, _, content = value.partition("=")
    assert name == COOKIE
    return content, attributes


def test_session(ask, guarded_run):
    token = token_for(read=[f"{guarded_run.project}/*"])
    response = ask("POST", "/v1/session", token)
    assert response.status_code == 200
    value, attributes = cookie_of(response)
    assert value == token
    ages = [int(part.removeprefix("Max-Age=")) for part in attributes if "Max-Age" in part]
    assert 590 <= ages[0] <= 600
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} < set(attributes)
    assert not [part for part in attributes if part.startswith("Domain")], "what __Host- asks for"
    assert ask("GET", guarded_run.path, cookie=value).status_code == 200
    assert ask("GET", "/v1/session", cookie=value).json() == response.json()
    assert ask("POST", "/v1/session", cookie=value).status_code == 401, "it does not prolong itself"


def test_end_of_a_session(ask):
    response = ask("DELETE", "/v1/session")
    assert response.status_code == 204
    value, attributes = cookie_of(response)
    assert value == "" and "Max-Age=0" in attributes


def test_bearer_comes_before_the_cookie(ask, master):
    assert ask("GET", "/v1/runs", "bad", cookie=master).status_code == 401
    assert ask("GET", "/v1/runs", master, cookie="bad").status_code == 200


def test_cookie_beside_another_scheme(ask, master):
    headers = {"Authorization": "Basic eDp5"}
    assert ask("GET", "/v1/runs", cookie=master, headers=headers).status_code == 200
    assert ask("GET", "/v1/runs", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "cookies",
    [
        [f"runtree_session={TOKEN}"],
        [f"{COOKIE.lower()}={TOKEN}"],
        [f"{COOKIE}={TOKEN}; {COOKIE}={TOKEN}"],
        [f"{COOKIE}={TOKEN}; a=b; {COOKIE}=planted"],
        [f"{COOKIE}=planted; {COOKIE}={TOKEN}"],
        [f"{COOKIE}=; {COOKIE}={TOKEN}"],
        [f"{COOKIE}={TOKEN}", f"{COOKIE}=planted"],
        [f"{COOKIE}=planted", f"{COOKIE}={TOKEN}"],
        [f"{COOKIE}={TOKEN}.x"],
        [f"{COOKIE}={TOKEN * 40}"],
        [f"x{COOKIE}={TOKEN}"],
        [f'a="{COOKIE}={TOKEN}"'],
    ],
    ids=range(12),
)
def test_session_that_is_nobodys(ask, cookies):
    """A sibling subdomain can plant cookies, but none with this very name; of two, one is planted."""
    response = ask("GET", "/v1/runs", headers=[("Cookie", cookie) for cookie in cookies])
    assert_problem(response, 401, "unauthorized")


@pytest.mark.parametrize(
    "cookies",
    [
        [f"{COOKIE}={TOKEN}"],
        [f"a=b; {COOKIE}={TOKEN};c=d"],
        ["a=b", f"{COOKIE}={TOKEN}"],
        [f"runtree_session=planted; {COOKIE}={TOKEN}; {COOKIE.lower()}=planted"],
    ],
    ids=range(4),
)
def test_session_among_other_cookies(ask, cookies):
    response = ask("GET", "/v1/runs", headers=[("Cookie", cookie) for cookie in cookies])
    assert response.status_code == 200


def test_token_that_does_not_fit_into_a_cookie(ask):
    token = ES.sign(claims(admin=["*/*"], extra="x" * 4000))
    assert ask("GET", "/v1/session", token).status_code == 200
    assert_problem(ask("POST", "/v1/session", token), 400, "bad-request")


def test_session_where_no_token_is_asked_for(api):
    expected = {
        "auth": "off",
        "subject": None,
        "expiresAt": None,
        "access": {right: ["*/*"] for right in ("read", "write", "admin")},
    }
    assert api.read("/v1/session") == expected
    response = api.request("POST", "/v1/session")
    assert response.json() == expected and "set-cookie" not in response.headers


# Streams


@pytest.mark.parametrize("carrier", ["bearer", "cookie"])
def test_stream_ends_when_its_token_expires(guarded, guarded_run, carrier):
    token = ES.sign(claims(read=[f"{guarded_run.project}/*"], seconds=4))
    headers = (
        {"Authorization": f"Bearer {token}"}
        if carrier == "bearer"
        else {"Cookie": f"other=1; {COOKIE}={token}"}
    )
    path = f"{guarded_run.path}/watch?follow=true"
    with EventStream(guarded.url, path, headers=headers) as stream:
        assert stream.status == 200
        stream.read_until("synced")
        expires_at = jwt.decode(token, options={"verify_signature": False})["exp"]
        frames = stream.read_to_end()
        assert frames[-1].retry is not None
        assert time.time() - expires_at > -0.1
    with EventStream(guarded.url, path, headers=headers) as stream:
        assert stream.status == 401


def test_stream_needs_a_token(guarded, guarded_run):
    with EventStream(guarded.url, f"{guarded_run.path}/watch") as stream:
        assert stream.status == 401
    stranger = {"Authorization": f"Bearer {token_for(read=['other/*'])}"}
    with EventStream(guarded.url, f"{guarded_run.path}/watch", headers=stranger) as stream:
        assert stream.status == 403
