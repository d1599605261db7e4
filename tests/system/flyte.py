"""Flyte 2's protocol, as its clients speak it: recorded requests, and calls in JSON."""

import json

from runtree import REPOSITORY

RECORDINGS = REPOSITORY / "tests" / "data" / "flyte"
WORKFLOW = "flyteidl2.workflow"


def path_of(method, service="RunService", package=WORKFLOW):
    return f"/{package}.{service}/{method}"


def recorded(name):
    """The body of a recorded request, as it was sent."""
    return (RECORDINGS / f"{name}.body").read_bytes()


def call(api, method, message, service="RunService", package=WORKFLOW, **headers):
    """A unary call in JSON."""
    return api.request(
        "POST",
        path_of(method, service, package),
        content=json.dumps(message).encode(),
        headers={"Content-Type": "application/json", **headers},
    )


def answer(api, method, message, service="RunService", package=WORKFLOW, **headers):
    """What a call answers that must succeed."""
    response = call(api, method, message, service, package, **headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def send_recorded(api, name, method, service):
    """A recorded call of the Python SDK or of Go, in protocol buffers."""
    body = recorded(name)
    headers = {"Content-Type": "application/proto", "Connect-Protocol-Version": "1"}
    if body[:2] == b"\x1f\x8b":
        headers["Content-Encoding"] = "gzip"
    return api.request("POST", path_of(method, service), content=body, headers=headers)


def assert_error(response, status, code, text=""):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()
    assert error["code"] == code
    assert text in error["message"]


def run_id(run):
    return {"org": "acme", "project": run.project, "domain": run.domain, "name": run.name}


def action_id(run, name):
    return {"run": run_id(run), "name": name}
