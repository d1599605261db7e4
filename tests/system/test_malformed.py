"""Malformed input of every kind: the right status, the field named, nothing recorded."""

import json

import pytest

from client import assert_problem, assert_problem_document

# EVENT stands for a valid event up to its closing brace.
NOT_JSON = {
    "empty": b"",
    "blank": b"  \n ",
    "cut off": b'{"project": "p"',
    "trailing text": b"EVENT} x",
    "two documents": b"EVENT} EVENT}",
    "single quotes": b"{'project': 'p'}",
    "trailing comma": b'{"project": "p",}',
    "comment": b"/* */ EVENT}",
    "repeated member": b'{"name": "a1", "name": "a2"}',
    "repeated member inside": b'EVENT, "outputs": {"x": 1, "x": 2}}',
    "NaN": b'EVENT, "outputs": {"x": NaN}}',
    "Infinity": b'EVENT, "outputs": {"x": -Infinity}}',
    "number too large": b'EVENT, "outputs": {"x": 1e999}}',
    "integer too large": b'EVENT, "outputs": {"x": 123456789012345678901234567890}}',
    "NUL escaped": rb'EVENT, "outputs": {"x": "a\u0000b"}}',
    "NUL escaped in a member's name": rb'EVENT, "outputs": {"a\u0000b": 1}}',
    "NUL raw": b'EVENT, "outputs": {"x": "a\0b"}}',
    "NUL after the document": b"EVENT}\0",
    "control character": b'EVENT, "outputs": {"x": "a\nb"}}',
    "invalid UTF-8": b'EVENT, "outputs": {"x": "\xff\xfe"}}',
    "overlong UTF-8": b'EVENT, "outputs": {"x": "\xc0\xaf"}}',
    "surrogate in UTF-8": b'EVENT, "outputs": {"x": "\xed\xa0\x80"}}',
    "UTF-8 cut off": b'EVENT, "outputs": {"x": "\xc3"}}',
    "lone surrogate": rb'EVENT, "outputs": {"x": "\ud800"}}',
    "UTF-16": '{"project": "p"}'.encode("utf-16"),
}

NOT_AN_EVENT = {
    "null": b"null",
    "number": b"17",
    "string": b'"event"',
    "array": b"[]",
    "array of events": b"[{}]",
    "true": b"true",
}

WRONG_FIELDS = [
    ("project", ""),
    ("project", None),
    ("project", 7),
    ("project", "-p"),
    ("project", "a b"),
    ("project", "a//b"),
    ("project", "a/.."),
    ("project", "é"),
    ("project", ["p"]),
    ("domain", ""),
    ("domain", False),
    ("domain", ".d"),
    ("domain", "d\n"),
    ("runName", ""),
    ("runName", {}),
    ("runName", "."),
    ("runName", "r\u007f"),
    ("name", ""),
    ("name", 1.5),
    ("name", ".."),
    ("name", "a\tb"),
    ("name", "a\u0085b"),
    ("name", "é" * 256 + "e"),
    ("attempt", 0),
    ("attempt", -1),
    ("attempt", 1.5),
    ("attempt", "1"),
    ("attempt", True),
    ("attempt", []),
    ("attempt", 2**31),
    ("attempt", 2**40),
    ("version", -1),
    ("version", 0.5),
    ("version", "0"),
    ("version", False),
    ("version", 2**31),
    ("phase", ""),
    ("phase", "DONE"),
    ("phase", "running"),
    ("phase", "ACTION_PHASE_"),
    ("phase", "ACTION_PHASE_DONE"),
    ("phase", 0),
    ("phase", 11),
    ("phase", -1),
    ("phase", 4.5),
    ("phase", None),
    ("phase", True),
    ("phase", ["RUNNING"]),
    ("parent", ""),
    ("parent", 0),
    ("parent", False),
    ("parent", ".."),
    ("parent", "a\nb"),
    ("parent", {"name": "a0"}),
    ("group", 1),
    ("group", {}),
    ("task", "pkg.train"),
    ("task", []),
    ("task", 3),
    ("updatedTime", ""),
    ("updatedTime", "yesterday"),
    ("updatedTime", 1775980800),
    ("updatedTime", "2026-04-12"),
    ("updatedTime", "2026-04-12T08:00:00"),
    ("updatedTime", "2026-02-30T08:00:00Z"),
    ("updatedTime", "2026-04-12T25:00:00Z"),
    ("updatedTime", "2026-04-12T08:60:00Z"),
    ("updatedTime", "2026-04-12T08:00:00+25:00"),
    ("updatedTime", "2026-04-12T08:00:00.Z"),
    ("updatedTime", "0000-01-01T00:00:00+00:01"),
    ("updatedTime", " 2026-04-12T08:00:00Z"),
    ("reportedTime", "soon"),
    ("reportedTime", 5),
    ("errorInfo", "it failed"),
    ("errorInfo", ["x"]),
    ("outputs", "x"),
    ("outputs", []),
    ("cluster", 5),
    ("logInfo", {}),
    ("clusterEvents", "x"),
]

WRONG_FIELDS_INSIDE = [
    ("/task/name", {"task": {"name": 5}}),
    ("/task/shortName", {"task": {"name": "t", "shortName": []}}),
    ("/errorInfo/kind", {"errorInfo": {"kind": "OTHER"}}),
    ("/errorInfo/kind", {"errorInfo": {"kind": 1}}),
    ("/errorInfo/message", {"errorInfo": {"kind": "USER", "message": 404}}),
]


def assert_nothing_recorded(api, run):
    assert api.get(run.path).status_code == 404
    assert api.read(f"{run.base}/runs")["runs"] == []


def not_json(kind, run):
    return NOT_JSON[kind].replace(b"EVENT", json.dumps(run.event(parent=None)).encode()[:-1])


@pytest.mark.parametrize("kind", NOT_JSON)
def test_body_that_is_not_json(api, run, kind):
    assert_problem(api.post(not_json(kind, run)), 400, "invalid-json")
    assert_nothing_recorded(api, run)


@pytest.mark.parametrize("kind", [kind for kind in NOT_JSON if kind not in ("empty", "blank")])
def test_batch_that_is_not_json_records_nothing(api, run, kind):
    good = json.dumps(run.event("good", parent=None)).encode()
    response = api.post(b'{"events": [' + good + b", " + not_json(kind, run) + b"]}")
    if kind == "two documents":  # between brackets too there has to be a comma
        assert_problem(response, 400, "invalid-json")
    assert response.status_code == 400, response.text
    assert_nothing_recorded(api, run)


@pytest.mark.parametrize(
    "kind", [kind for kind in NOT_JSON if b"\n" not in NOT_JSON[kind] and kind != "empty"]
)
def test_line_that_is_not_json_is_a_rejected_event(api, run, kind):
    response = api.post_lines(
        [run.event("a0", parent=None), not_json(kind, run), run.event("a9", parent="a0")]
    )
    assert response.status_code == 207, response.text
    results = response.json()["results"]
    assert [result["status"] for result in results] == ["applied", "rejected", "applied"]
    assert_problem_document(results[1]["problem"], 400, "invalid-json")
    assert api.read(run.path)["actionCount"] == 2


@pytest.mark.parametrize("kind", NOT_AN_EVENT)
def test_json_that_is_no_event(api, run, kind):
    response = api.post(NOT_AN_EVENT[kind])
    assert response.status_code == 400, response.text
    assert response.json()["type"] in ("/problems/invalid-field", "/problems/bad-request")
    in_batch = api.post(b'{"events": [' + NOT_AN_EVENT[kind] + b"]}")
    assert in_batch.status_code == 207, in_batch.text
    assert in_batch.json()["results"][0]["problem"]["status"] == 400
    in_lines = api.post_lines([NOT_AN_EVENT[kind]])
    assert in_lines.status_code == 207, in_lines.text
    assert in_lines.json()["results"][0]["problem"]["status"] == 400


@pytest.mark.parametrize("events", [None, {}, "a0", 5, {"0": {}}])
def test_events_that_is_no_list(api, events):
    assert_problem(api.post({"events": events}), 400, "invalid-field", "/events")


def test_member_beside_events(api, run):
    response = api.post({"events": [run.event(parent=None)], "dryRun": True})
    assert_problem(response, 400, "invalid-field", "/dryRun")
    assert_nothing_recorded(api, run)


@pytest.mark.parametrize("member", ["project", "domain", "runName", "name", "phase"])
def test_required_member_missing(api, run, member):
    event = run.event(parent=None)
    del event[member]
    assert_problem(api.post(event), 400, "invalid-field", f"/{member}")
    assert_nothing_recorded(api, run)


@pytest.mark.parametrize("member, value", WRONG_FIELDS)
def test_wrong_value(api, run, member, value):
    event = run.event(parent=None) | {member: value}
    assert_problem(api.post(event), 400, "invalid-field", f"/{member}")
    in_batch = api.post({"events": [event]})
    assert in_batch.status_code == 207
    assert in_batch.json()["rejected"] == 1
    assert_problem_document(
        in_batch.json()["results"][0]["problem"], 400, "invalid-field", f"/{member}"
    )
    assert_nothing_recorded(api, run)


@pytest.mark.parametrize("pointer, members", WRONG_FIELDS_INSIDE)
def test_wrong_value_inside(api, run, pointer, members):
    assert_problem(api.post(run.event(parent=None, **members)), 400, "invalid-field", pointer)
    assert_nothing_recorded(api, run)


@pytest.mark.parametrize(
    "part, value",
    [
        ("attempt", "0"),
        ("attempt", "x"),
        ("attempt", "1x"),
        ("attempt", "-1"),
        ("attempt", "2147483648"),
        ("attempt", "99999999999999999999"),
        ("attempt", "%201"),
        ("attempt", "+1"),
        ("phase", "DONE"),
        ("phase", "0"),
        ("phase", "11"),
        ("phase", "running"),
        ("version", "-1"),
        ("version", "v0"),
        ("version", "2147483648"),
        ("version", "0x1"),
        ("name", "%2e"),
        ("name", "%2E."),
        ("name", "a%0Ab"),
        ("name", "%C2%85"),
        ("name", "a" * 513),
    ],
)
def test_wrong_part_of_a_path(api, run, part, value):
    response = api.put(run.put_path(**{part: value}), {"parent": None})
    problem = assert_problem(response, 400, "invalid-field")
    assert part in problem["detail"], problem
    assert_nothing_recorded(api, run)


@pytest.mark.parametrize(
    "body, name",
    [(b"{", "invalid-json"), (b"{} {}", "invalid-json"), (b'{"parent": 1}', "invalid-field")],
)
def test_wrong_body_of_a_put(api, run, body, name):
    pointer = "/parent" if name == "invalid-field" else None
    assert_problem(api.put(run.put_path(), body), 400, name, pointer)
    assert_nothing_recorded(api, run)


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data"])
def test_other_content_types(api, run, content_type):
    response = api.post(json.dumps(run.event(parent=None)).encode(), content_type)
    assert_problem(response, 415, "unsupported-media-type")
    assert_nothing_recorded(api, run)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_spellings_of_the_content_type(api, run, content_type):
    response = api.post(json.dumps(run.event(parent=None)).encode(), content_type)
    assert response.status_code == 201, response.text


LIST_PATHS = ["/v1/runs", "{base}/runs", "{path}/actions", "{path}/actions/a0/events"]


@pytest.mark.parametrize("path", LIST_PATHS + ["/v1/projects"])
@pytest.mark.parametrize(
    "query, parameter",
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1.0", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=", "cursor"),
        ("colour=red", "colour"),
        ("Limit=5", "Limit"),
    ],
)
def test_wrong_parameter_of_a_list(api, run, path, query, parameter):
    api.post_one(run.event(parent=None))
    response = api.get(path.format(base=run.base, path=run.path) + "?" + query)
    problem = assert_bad_query(response)
    assert parameter in problem["detail"], problem


def assert_bad_query(response):
    assert response.status_code == 400, response.text
    problem = response.json()
    assert problem["type"] in (
        "/problems/unknown-parameter",
        "/problems/bad-request",
        "/problems/invalid-field",
    ), problem
    return problem


@pytest.mark.parametrize(
    "path, query",
    [
        ("{base}/runs", "phase=DONE"),
        ("{base}/runs", "phase="),
        ("/v1/runs", "phase=RUNNING,DONE"),
        ("{path}/actions", "phase=11"),
        ("{path}/tree", "phase=DONE"),
        ("{path}/watch", "phase=DONE"),
        ("{path}/watch", "wait=perhaps"),
        ("{path}/watch", "follow=2"),
        ("{path}/actions/a0/events", "attempt=0"),
        ("{path}/actions/a0/events", "attempt=one"),
    ],
)
def test_wrong_value_of_a_parameter(api, run, path, query):
    api.post_one(run.event(parent=None))
    problem = assert_bad_query(api.get(path.format(base=run.base, path=run.path) + "?" + query))
    assert query.partition("=")[0] in problem["detail"], problem


@pytest.mark.parametrize(
    "path",
    [
        "{path}",
        "{path}/tree",
        "{path}/watch",
        "{path}/actions/a0",
        "/v1/events",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    ],
)
def test_unknown_parameter(api, run, path):
    api.post_one(run.event(parent=None))
    address = path.format(path=run.path) + "?colour=red"
    response = api.post(run.event(), path=address) if "events" in path else api.get(address)
    assert_problem(response, 400, "unknown-parameter")
    assert "colour" in response.json()["detail"]


def test_cursor_of_another_list(api, run):
    api.post_all([run.event(f"a{number}", parent=None) for number in range(3)])
    cursor = api.read(f"{run.path}/actions", limit=1)["nextCursor"]
    assert_bad_query(api.get(f"{run.base}/runs", cursor=cursor))


@pytest.mark.parametrize(
    "path",
    [
        "/v1/projects/-p/domains/d/runs",
        "/v1/projects/p/domains/é/runs/r",
        "/v1/projects/p/domains/d/runs/a%1Fb/watch",
    ],
)
def test_impossible_name_in_the_path_of_a_read(api, path):
    response = api.get(path)
    assert response.status_code in (400, 404), response.text
    assert response.headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize(
    "query", ["name=%FF", "name=a%00b", "name=%", "name=%zz", "%C3=1", "name=%ED%A0%80"]
)
def test_query_that_is_no_text(api, query):
    assert_problem(api.get(f"/v1/runs?{query}"), 400, "bad-request")


@pytest.mark.parametrize("name", ["a%00", "%FF", "%E2%82"])
def test_path_that_is_no_text(api, run, name):
    assert_problem(api.put(run.put_path(name), {"parent": None}), 400, "bad-request")
    assert_nothing_recorded(api, run)
