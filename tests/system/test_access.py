"""Who may do what: tokens, rights, sessions, and pages of other sites."""

import base64
import json
import os
import pathlib
import signal
import socket
import time

import httpx
import jwt
import pytest

import contract
from client import assert_problem, assert_problem_document
from runtree import Runtree, run_to_exit
from sse import EventStream
from tokens import AUDIENCE, ISSUER, Key, claims, write_jwks

KEYS = {
    algorithm: Key(algorithm, f"key-{algorithm}")
    for algorithm in ("HS256", "RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA")
}
STRANGER = Key("ES256", KEYS["ES256"].name)  # the right name, the wrong key
CHECKS = ("--auth-issuer", ISSUER, "--auth-audience", AUDIENCE, "--auth-leeway-s", "0")
METHODS = ("get", "put", "post", "delete")


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
    with httpx.Client(base_url=guarded.url, timeout=10) as client:

        def ask(method, path, token=None, cookie=None, headers=None, **options):
            headers = dict(headers or {})
            if token is not None:
                headers["Authorization"] = f"Bearer {token}"
            if cookie is not None:
                headers["Cookie"] = f"runtree_session={cookie}"
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


def token_for(algorithm="ES256", **rights):
    return KEYS[algorithm].sign(claims(**rights))


@pytest.fixture
def master():
    """A token that may do everything."""
    return token_for(admin=["*/*"])


@pytest.fixture
def known_run(ask, run, master):
    """A run with one action."""
    response = ask("POST", "/v1/events", master, json=run.event("a0", "RUNNING", parent=None))
    assert response.status_code == 201, response.text
    return run


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
    is_list = "{project}" not in template and template != "/metrics" and method == "get"
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
def test_matrix(ask, known_run, matrix, method, template, kind):
    path = template.format(
        project=known_run.project,
        domain=known_run.domain,
        run=known_run.name,
        action="a0",
        attempt=1,
        phase="SUCCEEDED",
        version=0,
        name="forbidden",
    )
    document = known_run.event("a0", "SUCCEEDED", parent=None)
    options = {"json": document} if template == "/v1/events" else {}
    response = ask(method.upper(), path, tokens_of_matrix(known_run.project)[kind], **options)
    matrix[method, template, kind] = response.status_code
    expected = expected_status(method, template, kind)
    if expected is None:
        assert response.status_code in (200, 201, 204), response.status_code
    else:
        assert_problem(response, expected, {401: "unauthorized", 403: "forbidden"}[expected])
        if expected == 401:
            assert response.headers["www-authenticate"].startswith('Bearer realm="runtree"')


def test_write_does_not_include_read_nor_read_write(ask, known_run):
    writer = token_for(write=[f"{known_run.project}/{known_run.domain}"])
    assert ask("GET", known_run.path, writer).status_code == 403
    assert ask("POST", "/v1/events", writer, json=known_run.event("a1")).status_code == 201


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
def test_patterns(ask, known_run, pattern, status):
    pattern = pattern.format(project=known_run.project, domain=known_run.domain)
    assert ask("GET", known_run.path, token_for(read=[pattern])).status_code == status


@pytest.mark.parametrize("pattern", ["ml", "ml/", "/ml", "ml*/x", "ml/x/y", "**/x", "", 7, None])
def test_pattern_that_is_none(ask, pattern):
    token = KEYS["ES256"].sign(claims(runtree={"read": [pattern]}))
    assert_problem(ask("GET", "/v1/runs", token), 401, "unauthorized")


def test_number_of_patterns(ask):
    for count, status in ((100, 200), (101, 401)):
        patterns = [f"p{number}/d" for number in range(count)]
        assert ask("GET", "/v1/runs", token_for("HS256", read=patterns)).status_code == status


def test_a_run_that_is_not_there_looks_like_one_of_another_project(ask, known_run):
    stranger = token_for(read=["other/*"])
    missing = known_run.path + "-missing"
    answers = [ask("GET", path, stranger).json() for path in (known_run.path, missing)]
    assert answers[0] == answers[1]


# What a token must be


@pytest.mark.parametrize("algorithm", KEYS)
def test_algorithms(ask, algorithm):
    token = token_for(algorithm, read=["a/b"])
    session = ask("GET", "/v1/session", token).json()
    assert session["subject"] == "ada"
    assert session["access"] == {"read": ["a/b"], "write": [], "admin": []}
    assert ask("GET", "/v1/session", token).json() == session, "from memory"


def forged(header, payload, signature=b""):
    """A token put together by hand."""
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def flipped(token, part):
    """With one character of a part changed."""
    parts = token.split(".")
    middle = len(parts[part]) // 2
    other = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + other + parts[part][middle + 1 :]
    return ".".join(parts)


ALL = {"admin": ["*/*"]}
ES, RS, HS = KEYS["ES256"], KEYS["RS256"], KEYS["HS256"]

BAD_TOKENS = {
    "alg none": lambda: forged({"alg": "none"}, claims(**ALL)),
    "alg NONE": lambda: forged({"alg": "NONE", "typ": "JWT"}, claims(**ALL)),
    "no alg": lambda: forged({"typ": "JWT"}, claims(**ALL)),
    "no signature": lambda: ".".join(ES.sign(claims(**ALL)).split(".")[:2]) + ".",
    "public key as a secret": lambda: Key(
        "HS256", RS.name, base64.b64encode(RS.pem()) + RS.pem().replace(b"-----", b"")
    ).sign(claims(**ALL)),
    "the key's name, another algorithm": lambda: Key("HS256", RS.name, b"x" * 64).sign(
        claims(**ALL)
    ),
    "another algorithm of the same key": lambda: RS.sign(claims(**ALL), algorithm="RS512"),
    "PSS with a key for PKCS#1": lambda: RS.sign(claims(**ALL), algorithm="PS256"),
    "another key's name": lambda: ES.sign(claims(**ALL), kid=RS.name),
    "an unknown key's name": lambda: ES.sign(claims(**ALL), kid="nobody"),
    "its own key": lambda: ES.sign(claims(**ALL), kid="own", jwk=STRANGER.jwk()),
    "crit": lambda: ES.sign(claims(**ALL), crit=["exp"]),
    "zip": lambda: ES.sign(claims(**ALL), zip="DEF"),
    "header changed": lambda: flipped(ES.sign(claims(**ALL)), 0),
    "claims changed": lambda: flipped(HS.sign(claims(**ALL)), 1),
    "signature changed": lambda: flipped(ES.sign(claims(**ALL)), 2),
    "HMAC changed": lambda: flipped(HS.sign(claims(**ALL)), 2),
    "signature cut": lambda: HS.sign(claims(**ALL))[:-1],
    "four parts": lambda: ES.sign(claims(**ALL)) + ".x",
    "no exp": lambda: ES.sign(claims(**ALL, exp=None)),
    "exp is text": lambda: forged({"alg": "HS256"}, claims(**ALL, exp="never")),
    "expired": lambda: ES.sign(claims(**ALL, seconds=-1)),
    "not yet": lambda: ES.sign(claims(**ALL, nbf=int(time.time()) + 600)),
    "no issuer": lambda: ES.sign(claims(**ALL, iss=None)),
    "another issuer": lambda: ES.sign(claims(**ALL, iss=ISSUER + "/")),
    "no audience": lambda: ES.sign(claims(**ALL, aud=None)),
    "another audience": lambda: ES.sign(claims(**ALL, aud="others")),
    "other audiences": lambda: ES.sign(claims(**ALL, aud=["others", AUDIENCE + "x"])),
    "rights are a list": lambda: ES.sign(claims(runtree=["*/*"])),
    "a long subject": lambda: ES.sign(claims(**ALL, sub="x" * 256)),
    "one word": lambda: "word",
    "dots": lambda: "..",
    "three dots": lambda: "...",
    "too long": lambda: "x" * 9000,
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_bad_token(ask, known_run, name):
    token = BAD_TOKENS[name]()
    response = ask("GET", known_run.path, token)
    problem = assert_problem(response, 401, "unauthorized")
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert token not in json.dumps(problem)


@pytest.mark.parametrize(
    "members",
    [
        {"aud": ["others", AUDIENCE]},
        {"sub": None},
        {"sub": "x" * 255},
        {"nbf": 0},
        {"seconds": 60.5},
        {"scope": "openid", "extra": {"runtree": 1}},
    ],
)
def test_good_token(ask, members):
    assert ask("GET", "/v1/runs", ES.sign(claims(**ALL, **members))).status_code == 200


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_scheme_in_any_case(ask, master, scheme):
    headers = {"Authorization": f"{scheme} {master}"}
    assert ask("GET", "/v1/runs", headers=headers).status_code == 200


def test_scheme_without_a_token(guarded):
    head = b"GET /v1/runs HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=5) as connection:
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_token_without_rights_is_good_for_nothing(ask, known_run):
    token = ES.sign(claims(runtree=None))
    assert ask("GET", "/v1/session", token).status_code == 200
    assert ask("GET", known_run.path, token).status_code == 403
    assert ask("GET", "/v1/runs", token).json()["runs"] == []


@pytest.mark.parametrize("name", ["access_token", "token", "authorization"])
def test_no_token_in_a_url(ask, master, name):
    assert ask("GET", "/v1/runs", params={name: master}).status_code == 400


def start_guarded(start_runtree, postgres, folder, keys, *arguments):
    path = folder / "keys"
    path.write_bytes(keys)
    runtree = start_runtree(
        "--auth",
        "jwt",
        "--auth-keys",
        str(path),
        *arguments,
        database_url=postgres.new_database(),
    )
    return runtree, path


def session_status(runtree, token):
    return httpx.get(
        runtree.url + "/v1/session", headers={"Authorization": f"Bearer {token}"}
    ).status_code


def test_keys_in_pem_and_a_claim_of_another_name(start_runtree, postgres, tmp_path):
    keys = RS.pem() + ES.pem() + KEYS["EdDSA"].pem()
    url = "https://example.org/runtree"
    runtree, _ = start_guarded(start_runtree, postgres, tmp_path, keys, "--auth-claim", url)
    for key in (RS, ES, KEYS["EdDSA"], KEYS["PS256"]):
        token = key.sign(claims(aud=None, runtree=None, **{url: {"read": ["*/*"]}}))
        assert session_status(runtree, token) == (401 if key is KEYS["PS256"] else 200)
    any_rsa = RS.sign(claims(aud=None), algorithm="PS384")
    assert session_status(runtree, any_rsa) == 200
    confused = Key("HS256", RS.name, base64.b64encode(RS.pem())).sign(claims(aud=None))
    assert session_status(runtree, confused) == 401
    with_audience = RS.sign(claims())
    assert session_status(runtree, with_audience) == 401, "it is for somebody else"


def test_key_that_is_a_secret(start_runtree, postgres, tmp_path):
    secret = Key("HS512", "s", b"s" * 64)
    runtree, _ = start_guarded(start_runtree, postgres, tmp_path, secret.private + b"\n")
    assert session_status(runtree, secret.sign(claims(aud=None))) == 200
    assert session_status(runtree, secret.sign(claims(aud=None), algorithm="HS256")) == 200
    assert session_status(runtree, HS.sign(claims(aud=None))) == 401


@pytest.mark.parametrize(
    "keys, why",
    [
        (None, "No such file"),
        (b"", "32 bytes"),
        (b"x" * 31, "32 bytes"),
        (b'{"keys": []}', "no key"),
        (b'{"keys": [{"kty": "RSA"}]}', "malformed"),
        (b"{", "not valid JSON"),
        (RS.private_pem(), "private key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "neither"),
        (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPGUKhJoJ0y0+NfHSiVQ ada@example", "SSH"),
        (b"x" * (1024 * 1024 + 1), "too large"),
    ],
)
def test_keys_that_cannot_be_used(tmp_path, keys, why):
    path = tmp_path / "keys"
    if keys is not None:
        path.write_bytes(keys)
    done = run_to_exit("serve", "--auth", "jwt", "--auth-keys", str(path))
    assert done.returncode == 2
    assert why in done.stderr, done.stderr


def test_new_keys_at_a_sighup(start_runtree, postgres, tmp_path):
    old, new = Key("ES256", "old"), Key("EdDSA", "new")
    path = write_jwks(tmp_path / "keys.json", [old])
    runtree, path = start_guarded(
        start_runtree, postgres, tmp_path, path.read_bytes(), "--threads", "2"
    )
    tokens = [key.sign(claims(aud=None)) for key in (old, new)]

    def statuses():
        # Several connections, so that both loops are asked.
        return {tuple(session_status(runtree, token) for token in tokens) for _ in range(12)}

    def wait_until(wanted):
        deadline = time.monotonic() + 10
        while statuses() != wanted:
            assert time.monotonic() < deadline, statuses()

    assert statuses() == {(200, 401)}
    path.write_text("{")
    runtree.process.send_signal(signal.SIGHUP)
    while "cannot be used" not in runtree.log():
        time.sleep(0.05)
    assert statuses() == {(200, 401)}, "a file that is no good changes nothing"
    write_jwks(path, [new])
    runtree.process.send_signal(signal.SIGHUP)
    wait_until({(401, 200)})


def test_sighup_without_auth_is_harmless(start_runtree, postgres):
    runtree = start_runtree(database_url=postgres.new_database())
    runtree.process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert httpx.get(runtree.url + "/healthz").status_code == 200


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
    return value.removeprefix("runtree_session="), attributes


def test_session(ask, known_run):
    token = token_for(read=[f"{known_run.project}/*"])
    response = ask("POST", "/v1/session", token)
    assert response.status_code == 200
    value, attributes = cookie_of(response)
    assert value == token
    ages = [int(part.removeprefix("Max-Age=")) for part in attributes if "Max-Age" in part]
    assert 590 <= ages[0] <= 600
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} < set(attributes)
    assert ask("GET", known_run.path, cookie=value).status_code == 200
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


def test_token_that_does_not_fit_into_a_cookie(ask):
    token = ES.sign(claims(**ALL, extra="x" * 4000))
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
def test_stream_ends_when_its_token_expires(guarded, known_run, carrier):
    token = ES.sign(claims(read=[f"{known_run.project}/*"], seconds=3))
    headers = (
        {"Authorization": f"Bearer {token}"}
        if carrier == "bearer"
        else {"Cookie": f"other=1; runtree_session={token}"}
    )
    path = f"{known_run.path}/watch?follow=true"
    with EventStream(guarded.url, path, headers=headers) as stream:
        assert stream.status == 200
        stream.read_until("synced")
        expires_at = jwt.decode(token, options={"verify_signature": False})["exp"]
        frames = stream.read_to_end(timeout=6)
        assert frames[-1].retry is not None
        assert -0.1 < time.time() - expires_at < 1.5
    with EventStream(guarded.url, path, headers=headers) as stream:
        assert stream.status == 401


def test_stream_needs_a_token(guarded, known_run):
    with EventStream(guarded.url, f"{known_run.path}/watch") as stream:
        assert stream.status == 401
    stranger = {"Authorization": f"Bearer {token_for(read=['other/*'])}"}
    with EventStream(guarded.url, f"{known_run.path}/watch", headers=stranger) as stream:
        assert stream.status == 403


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


def test_metrics_open_to_all(start_runtree, postgres, tmp_path):
    runtree, _ = start_guarded(start_runtree, postgres, tmp_path, ES.pem(), "--metrics-open")
    assert httpx.get(runtree.url + "/metrics").status_code == 200
    assert httpx.get(runtree.url + "/v1/runs").status_code == 401


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
def test_security_headers(ask, known_run, master, method, path, with_token):
    response = ask(method, path.format(path=known_run.path), master if with_token else None)
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
    bad = flipped(master, 2)
    seen = [ask("GET", path, token).text for path in ("/v1/runs", "/nothing") for token in (bad,)]
    seen += [ask("GET", "/metrics", master).text, guarded.log()]
    assert bad not in "".join(seen) and master not in "".join(seen)
