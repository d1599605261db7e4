"""Every limit at the limit and one past it."""

import json

import httpx
import pytest

from client import assert_problem, assert_problem_document

KEY_LIMITS = [("project", 160), ("domain", 63), ("runName", 512), ("name", 512)]
INT32_MAX = 2**31 - 1
EVENT_BYTES = 256 * 1024
BODY_BYTES = 4 * 1024 * 1024


def encode(document):
    return json.dumps(document, separators=(",", ":")).encode()


def event_of_bytes(run, size, **members):
    """An event whose JSON has exactly so many bytes."""
    empty = encode(run.event(parent=None, note="", **members))
    return encode(run.event(parent=None, note="x" * (size - len(empty)), **members))


def nested(levels):
    """JSON text of objects inside each other, so many in all."""
    return b'{"x":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


@pytest.mark.parametrize("member, limit", KEY_LIMITS)
def test_length_of_a_key(api, run, member, limit):
    value = (run.project + "x" * limit)[:limit]
    event = run.event(parent=None) | {member: value}
    assert api.post(event).status_code == 201
    stored = api.read(
        f"/v1/projects/{event['project']}/domains/{event['domain']}"
        f"/runs/{event['runName']}/actions/{event['name']}"
    )
    assert stored[member] == value
    assert_problem(api.post(event | {member: value + "x"}), 400, "invalid-field", f"/{member}")


@pytest.mark.parametrize("letter", ["x", "\u00e4"])
@pytest.mark.parametrize("pointer", ["/group", "/task/name", "/task/shortName"])
def test_length_of_a_label(api, run, pointer, letter):
    """Of UTF-8's bytes; what is not plain ASCII is read in another way."""

    def event(text):
        member = pointer.split("/")[-1]
        return run.event(parent=None) | (
            {member: text} if pointer == "/group" else {"task": {member: text}}
        )

    text = letter * (512 // len(letter.encode()))
    assert api.post(event(text)).status_code == 201
    assert_problem(api.post(event(text + "x")), 400, "invalid-field", pointer)
    results = api.post({"events": [event(text), event(text + letter)]}).json()["results"]
    assert [result["status"] for result in results] == ["duplicate", "rejected"]


@pytest.mark.parametrize("length, status", [(512, 201), (513, 400)])
def test_length_of_a_key_in_a_path(api, run, length, status):
    assert api.put(run.put_path("n" * length), {"parent": None}).status_code == status


def test_length_of_a_parent(api, run):
    parent = "p" * 512
    assert api.post(run.event("a1", parent=parent)).json()["status"] == "waiting"
    assert_problem(api.post(run.event("a2", parent=parent + "p")), 400, "invalid-field", "/parent")


def test_attempt(api, run):
    for attempt in (1, INT32_MAX):
        assert api.post(run.event(attempt=attempt, parent=None)).status_code == 201
    for attempt in (0, INT32_MAX + 1):
        assert_problem(api.post(run.event(attempt=attempt)), 400, "invalid-field", "/attempt")
    assert api.put(run.put_path(attempt=INT32_MAX, phase="RUNNING")).status_code == 201
    assert api.put(run.put_path(attempt=INT32_MAX + 1)).status_code == 400
    assert api.read(f"{run.path}/actions/a0")["attempt"] == INT32_MAX


def test_version(api, run):
    for version in (0, INT32_MAX):
        assert api.post(run.event(version=version, parent=None)).status_code == 201
    for version in (-1, INT32_MAX + 1):
        assert_problem(api.post(run.event(version=version)), 400, "invalid-field", "/version")
    assert api.put(run.put_path(version=INT32_MAX, phase="RUNNING")).status_code == 201
    assert api.put(run.put_path(version=INT32_MAX + 1)).status_code == 400
    assert api.read(f"{run.path}/actions/a0")["version"] == INT32_MAX


def test_size_of_a_single_event(api, run):
    for more in (0, 1):
        response = api.post(event_of_bytes(run, EVENT_BYTES + more, version=more))
        assert response.status_code == 201
        assert ("truncated" in response.json()) == (more == 1)


def test_size_of_an_event_in_a_batch(api, run):
    fits, too_large = (event_of_bytes(run, EVENT_BYTES + more, version=more) for more in (0, 1))
    for response in (
        api.post(b'{"events":[' + fits + b"," + too_large + b"]}"),
        api.post_lines([fits, too_large]),
    ):
        assert response.status_code == 200
        assert ["truncated" in result for result in response.json()["results"]] == [False, True]


def test_size_of_the_body_of_a_put(api, run):
    body = encode({"parent": None, "note": ""})
    for more in (0, 1):
        filled = body[:-2] + b"x" * (EVENT_BYTES + more - len(body)) + b'"}'
        response = api.put(run.put_path(version=more), filled)
        assert response.status_code == 201
        assert ("truncated" in response.json()) == (more == 1)


def test_nesting(api, run):
    for levels, status in ((32, 201), (33, 400)):
        event = encode(run.event(f"a{levels}", parent=None))
        body = event[:-1] + b',"note":' + nested(levels - 1) + b"}"
        response = api.post(body)
        assert response.status_code == status, response.text
        line = api.post_lines([body.replace(b'"a%d"' % levels, b'"b%d"' % levels)])
        assert line.json()["rejected"] == (status == 400), line.text
    arrays = event[:-1] + b',"note":' + b"[" * 32 + b"]" * 32 + b"}"
    assert api.post(arrays).status_code == 400
    bomb = event[:-1] + b',"note":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert api.post(bomb).status_code == 400
    assert api.read(run.path)["actionCount"] == 2


def test_size_of_a_body(api, run):
    events = b",".join(
        event_of_bytes(run, EVENT_BYTES - 100, version=version) for version in range(16)
    )
    batch = b'{"events":[' + events + b"]}"
    fitting = batch + b" " * (BODY_BYTES - len(batch))
    assert_problem(api.post(fitting + b" "), 413, "payload-too-large")
    assert api.get(run.path).status_code == 404
    response = api.post(fitting)
    assert response.status_code == 200, response.text
    assert api.read(run.path)["revision"] == 16


def test_body_without_a_length_is_cut_off_at_the_limit_too(api, run):
    def chunks():
        for _ in range(5):
            yield b" " * (1024 * 1024)

    response = api.request(
        "POST", "/v1/events", content=chunks(), headers={"Content-Type": "application/json"}
    )
    assert_problem(response, 413, "payload-too-large")


@pytest.mark.parametrize("form", ["batch", "lines"])
def test_number_of_events(api, run, form):
    post = api.post_lines if form == "lines" else lambda events: api.post({"events": events})
    events = [run.event(parent=None, version=version) for version in range(5001)]
    assert_problem(post(events), 413, "too-many-events")
    assert api.get(run.path).status_code == 404
    response = post(events[:5000])
    assert response.status_code == 200, response.text
    assert len(response.json()["results"]) == 5000
    assert api.read(run.path)["revision"] == 5000


def test_levels_of_a_tree(api, run):
    chain = [run.event("a1", parent=None)]
    chain += [run.event(f"a{level}", parent=f"a{level - 1}") for level in range(2, 1001)]
    assert {result["status"] for result in api.post_all(chain)} == {"applied"}
    below = run.event("a1001", parent="a1000")
    assert_problem(api.post(below), 409, "too-deep", "/parent")
    assert api.post_one(run.event("b1000", parent="a999"))["status"] == "applied"
    assert api.read(run.path)["actionCount"] == 1001
    root = api.read(f"{run.path}/tree")["nodes"][0]
    assert root["childPhaseCounts"] == {"QUEUED": 1000}


def test_waiting_actions_that_would_join_too_deep(api, run):
    """The chain waits without a root; when the root comes, only 1,000 levels can join."""
    chain = [run.event(f"a{level}", parent=f"a{level - 1}") for level in range(2, 1003)]
    api.post({"events": chain})
    assert api.post_one(run.event("a1", parent=None))["status"] == "applied"
    assert api.read(run.path)["actionCount"] == 1000
    assert api.post_one(run.event("b2", parent="a1"))["status"] == "applied"


@pytest.mark.parametrize(
    "things, path",
    [
        ("runs", "{base}/runs"),
        ("actions", "{path}/actions"),
        ("events", "{path}/actions/a0/events"),
    ],
)
def test_length_of_a_page(api, run, things, path):
    events = [run.event(parent=None, version=version) for version in range(1001)]
    events += [run.event(f"b{number}", parent="a0") for number in range(1000)]
    api.post_all(events)
    api.post_all([dict(run.event(parent=None), runName=f"q{number}") for number in range(1000)])
    path = path.format(base=run.base, path=run.path)
    assert len(api.read(path)[things]) == 100
    for limit in (1, 1000):
        page = api.read(path, limit=limit)
        assert len(page[things]) == limit
        assert "nextCursor" in page
    rest = api.read(path, limit=1000, cursor=page["nextCursor"])
    assert len(rest[things]) == 1
    assert "nextCursor" not in rest
    for limit in (0, 1001):
        assert api.get(path, limit=limit).status_code == 400


@pytest.mark.parametrize("path", ["{path}/actions", "{path}/tree", "/v1/runs"])
def test_length_of_a_name_filter(api, run, path):
    api.post_one(run.event(parent=None))
    path = path.format(path=run.path)
    assert api.get(path, name="x" * 255).status_code == 200
    assert api.get(path, name="x" * 256).status_code == 400


def test_length_of_an_address(api, server):
    """What is too long to be looked at is refused below the service, without a problem document."""
    assert_problem(api.get("/v1/runs", name="x" * 8000), 400, "invalid-field")
    response = httpx.get(f"{server.url}/v1/runs?name=" + "x" * 60_000)
    assert response.status_code in (414, 431), response.status_code
    assert api.get("/healthz").status_code == 200
