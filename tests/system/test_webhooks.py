"""Webhooks that are signed: GitHub's, which can bring no token."""

import hashlib
import hmac
import json
import signal

import httpx
import pytest

from adapters import adapter_path
from client import until
from inventions import at
from runtree import run_to_exit
from tokens import CHECKS, KEYS, token_for, write_jwks

SECRET, OTHER = "a secret of nobody else", "It's another Secret"


def hook(run_id=7):
    return json.dumps(
        {
            "action": "in_progress",
            "workflow_run": {"id": run_id, "status": "in_progress", "run_started_at": at(0)},
        }
    ).encode()


def signature(secret, body):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def secrets_file(folder, run):
    path = folder / "secrets"
    path.write_text(
        f"# of two teams\n\n{run.project}/{run.domain} {OTHER}\n{run.project}/* {SECRET}\r\n"
        f"elsewhere/ci another one for somebody\n"
    )
    return path


@pytest.fixture(params=["with tokens", "without"])
def hooked(request, start_runtree, database, run, tmp_path):
    options = ["--webhook-secrets-file", str(secrets_file(tmp_path, run))]
    if request.param == "with tokens":
        keys = write_jwks(tmp_path / "keys.json", KEYS.values())
        options += ["--auth", "jwt", "--auth-keys", str(keys), *CHECKS]
    return start_runtree(*options, database_url=database)


def deliver(runtree, run, body, sent, tool="github", **headers):
    if sent is not None:
        headers["X-Hub-Signature-256"] = sent
    url = runtree.url + adapter_path(tool, run, "")
    return httpx.post(url, content=body, headers={"X-GitHub-Event": "workflow_run"} | headers)


def test_signature_is_in_place_of_a_token(hooked, run):
    body = hook()
    for secret in (SECRET, OTHER):
        response = deliver(hooked, run, body, signature(secret, body))
        assert response.status_code == 200, response.text
        assert response.json() == {"events": 2, "rejected": 0, "unmapped": 0}
    shouted = signature(SECRET, body).upper().replace("SHA", "sha")
    assert deliver(hooked, run, body, shouted).is_success


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "sha256=",
        "sha1=" + "0" * 64,
        "sha256=" + "0" * 64,
        "sha256=" + "g" * 64,
        signature("another one for somebody", hook()),
        signature(SECRET, hook(8)),
        signature(SECRET, hook()) + "0",
        signature(SECRET, hook())[:-2],
    ],
)
def test_wrong_signature_is_refused(hooked, run, sent):
    response = deliver(hooked, run, hook(), sent)
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"


def test_secrets_are_read_again_at_a_hangup(hooked, run, tmp_path):
    """A file that cannot be used changes nothing."""
    body, path = hook(), tmp_path / "secrets"

    def hang_up(text, message):
        said = len(lines(message))
        path.write_text(text)
        hooked.process.send_signal(signal.SIGHUP)
        until(lambda: len(lines(message)) > said)
        return lines(message)[-1]

    def lines(message):
        whole = (line for line in hooked.log().split("\n") if line.endswith("}"))
        return [json.loads(line) for line in whole if f'"{message}"' in line]

    def statuses():
        signatures = [signature(secret, body) for secret in (SECRET, OTHER, "yet another secret")]
        return [deliver(hooked, run, body, sent).status_code for sent in signatures]

    assert statuses() == [200, 200, 401]
    line = hang_up(f"{run.project}/{run.domain} too short", "the new keys cannot be used")
    assert str(path) in line["why"] and "line 1" in line["why"]
    assert statuses() == [200, 200, 401]
    text = f"{run.project}/{run.domain} yet another secret\n{run.project}/* {OTHER}\n"
    assert hang_up(text, "new webhook secrets are in use")["secrets"] == 2
    assert statuses() == [401, 200, 200]


def test_secret_is_for_its_project_alone(hooked, run):
    body = hook()
    other = type(run)("elsewhere", "ci", run.name)
    assert deliver(hooked, other, body, signature(SECRET, body)).status_code == 401
    assert deliver(hooked, other, body, signature("another one for somebody", body)).is_success


def test_signature_is_for_who_signs_alone(start_runtree, database, run, tmp_path):
    """It opens neither another tool's URL nor a place without a secret; a token does."""
    keys = write_jwks(tmp_path / "keys.json", KEYS.values())
    runtree = start_runtree(
        "--auth", "jwt", "--auth-keys", str(keys), *CHECKS,
        "--webhook-secrets-file", str(secrets_file(tmp_path, run)),
        database_url=database,
    )  # fmt: skip
    body = hook()
    sent = signature(SECRET, body)
    assert deliver(runtree, run, body, sent, tool="nextflow").status_code == 401
    other = type(run)(f"{run.project}-other", run.domain, run.name)
    assert deliver(runtree, other, body, sent).status_code == 401
    authorization = f"Bearer {token_for(write=['*/*'])}"
    assert deliver(runtree, other, body, None, Authorization=authorization).is_success
    assert deliver(runtree, run, body, None, Authorization=authorization).is_success


def test_place_without_a_secret_is_open_without_tokens(start_runtree, database, run, tmp_path):
    runtree = start_runtree(
        "--webhook-secrets-file", str(secrets_file(tmp_path, run)), database_url=database
    )
    other = type(run)(f"{run.project}-other", run.domain, run.name)
    assert deliver(runtree, other, hook(), None).is_success
    assert deliver(runtree, run, b"{}", None, tool="cloudevents").is_success


def test_ping_is_answered(hooked, run):
    body = b'{"zen": "Keep it logically awesome.", "hook_id": 1}'
    sent = signature(SECRET, body)
    response = deliver(hooked, run, body, sent, **{"X-GitHub-Event": "ping"})
    assert response.json() == {"events": 0, "rejected": 0, "unmapped": 0}


@pytest.mark.parametrize(
    "text, why",
    [
        (None, "line 0: No such file"),
        ("", "line 0: there is no secret in it"),
        ("# nothing\n", "there is no secret in it"),
        ("\np/d too short\n", "line 2: after project/domain"),
        ("p/d\n", "line 1: after project/domain"),
        (f"p/d {'x' * 16}\np/d {'x' * 15}\n", "line 2: after project/domain"),
        (f"p/d {'x' * 4096}\np/d {'x' * 4097}\n", "line 2: after project/domain"),
        (f"p/d {'x' * 16}\n" * 1001, "line 1001: more than 1000 secrets"),
        ("no-domain a secret of nobody else\n", "line 1: "),
    ],
)
def test_file_that_cannot_be_used_is_told(tmp_path, text, why):
    path = tmp_path / "secrets"
    if text is not None:
        path.write_text(text)
    done = run_to_exit("serve", "--webhook-secrets-file", str(path))
    assert done.returncode == 2
    assert why in done.stderr and "nobody else" not in done.stderr
