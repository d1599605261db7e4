"""The service over HTTP, as the tests speak to it."""

import json
import re
import socket
import threading
import time

import httpx

import contract
from runtree import PATIENCE_S


class Api:
    """The service over HTTP. Every answer must be one that openapi.yaml allows."""

    def __init__(self, url, **options):
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=PATIENCE_S, **options)

    def request(self, method, path, **options):
        with self._client.stream(method, path, **options) as response:
            is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
            assert method == "HEAD" or not is_stream, f"{path} answers with a stream"
            response.read()
        if len(response.content) < 200_000:
            contract.check_response(
                method,
                response.request.url.raw_path.decode().partition("?")[0],
                response.status_code,
                response.headers.get("content-type", ""),
                response.content,
            )
        return response

    def get(self, path, **parameters):
        return self.request("GET", path, params=parameters or None)

    def read(self, path, **parameters):
        """The document that a GET answers with 200."""
        response = self.get(path, **parameters)
        assert response.status_code == 200, response.text
        return response.json()

    def read_all(self, path, things, **parameters):
        """Every element of a list, page by page."""
        found = []
        while True:
            page = self.read(path, **parameters)
            found += page[things]
            if "nextCursor" not in page:
                return found
            parameters["cursor"] = page["nextCursor"]

    def post(self, document, content_type="application/json", path="/v1/events"):
        """Posts a document, or bytes as they are."""
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.request("POST", path, content=content, headers={"Content-Type": content_type})

    def post_lines(self, lines):
        """Posts NDJSON; lines are documents, or bytes as they are."""
        encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        return self.post(b"\n".join(encoded) + b"\n", "application/x-ndjson")

    def post_all(self, events):
        """Posts events as one batch, none of which may be rejected; their results."""
        response = self.post({"events": events})
        assert response.status_code == 200, response.text
        return response.json()["results"]

    def post_one(self, event):
        """Posts one event that must be accepted; its result."""
        response = self.post(event)
        assert response.status_code in (200, 201), response.text
        return response.json()

    def put(self, path, document=b""):
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.request(
            "PUT", path, content=content, headers={"Content-Type": "application/json"}
        )

    def close(self):
        self._client.close()


def ask_many(port, path, count):
    """So many requests at once on one connection, numbered by X-Request-Id; their statuses."""
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: "
    requests = [f"{head}{number}\r\n" for number in range(count)]
    requests[-1] += "Connection: close\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        content = "".join(request + "\r\n" for request in requests).encode()
        threading.Thread(target=connection.sendall, args=(content,), daemon=True).start()
        with connection.makefile("rb") as answers:
            statuses = re.findall(rb"HTTP/1.1 (\d+)", answers.read())
    assert len(statuses) == count, f"{len(statuses)} answers to {count} requests"
    return [int(status) for status in statuses]


def until(condition, seconds=PATIENCE_S):
    """Waits until condition() is true; what it returned then."""
    deadline = time.monotonic() + seconds
    while not (is_so := condition()):
        assert time.monotonic() < deadline, "it does not become true"
        time.sleep(0.05)
    return is_so


def metric(url, name, **options):
    """The value of a metric without labels of the runtree at `url`, of all of its cells together."""
    text = httpx.get(f"{url}/metrics", **options).text
    values = re.findall(rf'^{name}(?:{{(?:cell="[^"]*")?}})? (\S+)$', text, re.MULTILINE)
    assert values, f"there is no metric {name}"
    return sum(map(float, values))


def held(url, kind):
    """The bytes of the memory account of the runtree at `url` that are held for something."""
    text = httpx.get(f"{url}/metrics").text
    found = re.search(rf'^runtree_memory_bytes{{[^}}]*"{kind}"}} (\S+)$', text, re.MULTILINE)
    return float(found[1])


def assert_problem(response, status, name, pointer=None):
    """The answer is that problem, and blames that field; returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/problem+json")
    return assert_problem_document(response.json(), status, name, pointer)


def assert_problem_document(problem, status, name, pointer=None):
    assert problem["type"] == f"/problems/{name}", problem
    assert problem["status"] == status
    assert problem["title"] and problem["detail"], problem
    assert problem.get("pointer") == pointer, problem
    return problem
