"""Flyte 2's protocol, as its clients speak it: recorded requests, and calls in JSON."""

import json

import httpx

from runtree import PATIENCE_S, REPOSITORY

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
    assert "runtree-unavailable-cells" not in response.headers
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


def envelope(message, flags=0):
    return bytes([flags]) + len(message).to_bytes(4, "big") + message


class ConnectStream:
    """A stream of the server, in JSON unless `body` is an envelope of a recorded request."""

    def __init__(self, url, method, message=None, body=None, headers=None, **service):
        form = "proto" if body else "json"
        self._client = httpx.Client(base_url=url, timeout=PATIENCE_S)
        request = self._client.build_request(
            "POST",
            path_of(method, **service),
            content=body or envelope(json.dumps(message).encode()),
            headers={"Content-Type": f"application/connect+{form}", **(headers or {})},
        )
        self._response = self._client.send(request, stream=True)
        assert self._response.status_code == 200
        assert self._response.headers["content-type"] == f"application/connect+{form}"
        self._pieces = self._response.iter_raw()
        self._buffer = b""
        self.is_json = form == "json"
        self.end = None

    def _take(self, length):
        while len(self._buffer) < length:
            self._buffer += next(self._pieces)
        taken, self._buffer = self._buffer[:length], self._buffer[length:]
        return taken

    def read(self):
        """The next message; None at the end, which is in `end` then."""
        head = self._take(5)
        message = self._take(int.from_bytes(head[1:], "big"))
        if head[0] & 2:
            self.end = json.loads(message)
            assert not self._buffer
            assert not b"".join(self._pieces)
            return None
        return json.loads(message) if self.is_json else message

    def close(self):
        self._response.close()
        self._client.close()
