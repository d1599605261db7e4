"""What a token must be, and where its keys come from."""

import base64
import json
import signal
import socket
import time

import httpx
import pytest

from client import assert_problem
from tokens import AUDIENCE, ISSUER, KEYS, STRANGER, Key, claims, token_for, write_jwks

ALL = {"admin": ["*/*"]}
ES, RS, HS = KEYS["ES256"], KEYS["RS256"], KEYS["HS256"]


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


def other_text(token):
    """With bits in the last character that stand for nothing."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(token.rpartition(".")[2]) % 4 == 3, "two bits are left over"
    return token[:-1] + digits[digits.index(token[-1]) + 1]


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
    "signature padded": lambda: HS.sign(claims(**ALL)) + "=",
    "signature of other text for the same bytes": lambda: other_text(HS.sign(claims(**ALL))),
    "signature with a line end in it": lambda: HS.sign(claims(**ALL)) + "%0A",
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
def test_bad_token(ask, guarded_run, name):
    token = BAD_TOKENS[name]()
    response = ask("GET", guarded_run.path, token)
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
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=60) as connection:
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_token_without_rights_is_good_for_nothing(ask, guarded_run):
    token = ES.sign(claims(runtree=None))
    assert ask("GET", "/v1/session", token).status_code == 200
    assert ask("GET", guarded_run.path, token).status_code == 403
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
        deadline = time.monotonic() + 60
        while statuses() != wanted:
            assert time.monotonic() < deadline, statuses()

    assert statuses() == {(200, 401)}
    path.write_text("{")
    runtree.process.send_signal(signal.SIGHUP)
    while "the new keys cannot be used" not in runtree.log():
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


def test_metrics_open_to_all(start_runtree, postgres, tmp_path):
    runtree, _ = start_guarded(start_runtree, postgres, tmp_path, ES.pem(), "--metrics-open")
    assert httpx.get(runtree.url + "/metrics").status_code == 200
    assert httpx.get(runtree.url + "/v1/runs").status_code == 401
