"""Events over the size limit: their state is recorded, their large texts are not."""

import json
import socket
import time

import pytest

from client import assert_problem, assert_problem_document
from turns import asked_meanwhile

MESSAGE = "é€😀" * 150_000
MESSAGE_BYTES = 64 * 1024
TEXT_BYTES = 4 * 1024


def large_event(run, name="a0", **members):
    large = {
        "errorInfo": {"kind": "USER", "message": MESSAGE, "code": 7},
        "outputs": {"rows": list(range(100_000))},
        "logInfo": [{"name": "stdout", "uri": "x" * 100_000}],
        "cluster": "c1",
        "note": "y" * 100_000,
        "small": {"kept": True},
    }
    return run.event(name, "FAILED", parent=None) | large | members


def encode(event):
    return json.dumps(event, ensure_ascii=False).encode()


def as_single(api, run, event):
    answer = api.post(encode(event))
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def as_batch(api, run, event):
    other = encode(run.event("b0", parent="a0"))
    answer = api.post(b'{"events":[' + other + b"," + encode(event) + b"]}")
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][1]


def as_line(api, run, event):
    answer = api.post_lines([run.event("b0", parent="a0"), encode(event)])
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][1]


def as_put(api, run, event):
    key = ("project", "domain", "runName", "name", "phase")
    body = encode({name: value for name, value in event.items() if name not in key})
    answer = api.put(run.put_path(event["name"], phase="FAILED"), body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


FORMS = [as_single, as_batch, as_line, as_put]


@pytest.mark.parametrize("send", FORMS)
def test_state_of_a_large_event_is_recorded(api, run, send):
    result = send(api, run, large_event(run))
    assert result["status"] == "applied" and result["truncated"] is True
    assert api.read(run.path)["phase"] == "FAILED"
    action = api.read(f"{run.path}/actions/a0")
    attempt = action["attempts"][0]
    assert action["truncated"] is True and attempt["phase"] == "FAILED"
    assert attempt["cluster"] == "c1"
    assert attempt["outputs"] is None and attempt["logInfo"] == []
    kept = attempt["errorInfo"]["message"]
    assert attempt["errorInfo"] == {"kind": "USER", "message": kept, "code": 7}
    assert MESSAGE.startswith(kept)
    assert MESSAGE_BYTES - 4 < len(kept.encode()) <= MESSAGE_BYTES
    event = api.read(f"{run.path}/actions/a0/events")["events"][0]
    assert event["truncated"] is True and event["small"] == {"kept": True}
    assert event["note"] == "y" * TEXT_BYTES
    assert "outputs" not in event and "logInfo" not in event


@pytest.mark.parametrize("send", FORMS)
def test_large_event_sent_again_is_an_identical_duplicate(api, run, send):
    event = large_event(run)
    send(api, run, event)
    again = send(api, run, event)
    assert (again["status"], again["identical"], again["truncated"]) == ("duplicate", True, True)
    other = send(api, run, event | {"cluster": "c2"})
    assert (other["status"], other["identical"]) == ("duplicate", False)


def test_small_event_is_not_truncated(api, run):
    result = api.post_one(run.event(parent=None, outputs={"x": 1}))
    assert "truncated" not in result
    assert api.read(f"{run.path}/actions/a0")["truncated"] is False


def test_many_small_members_are_cut_off_in_their_order(api, run):
    members = {f"m{number:06}": number for number in range(100_000)}
    event = members | run.event(parent=None, cluster="last")
    assert api.post(encode(event)).json()["truncated"] is True
    stored = api.read(f"{run.path}/actions/a0/events")["events"][0]
    kept = [name for name in stored if name in members]
    assert stored["cluster"] == "last" and 1000 < len(kept) < 10_000
    assert kept == list(members)[: len(kept)]


LARGE = '"note": "' + "x" * 300_000 + '"'
BROKEN = {
    "a word": '"outputs": {"x": nonsense%s}',
    "a comma": '"outputs": {"x": 1,%s}',
    "a bracket": '"outputs": {"x": [1}%s]',
    "an escape": '"outputs": {"x": "\\q%s"}',
    "a number": '"outputs": {"x": 01%s}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_large_event_must_be_json(api, run, name):
    """Also in what would be left out."""
    head = json.dumps(run.event(parent=None))[:-1]
    body = f"{head}, {LARGE}, {BROKEN[name] % (' ' * 5000)}}}".encode()
    assert_problem(api.post(body), 400, "invalid-json")
    line = api.post_lines([body, run.event("a1")]).json()["results"]
    assert_problem_document(line[0]["problem"], 400, "invalid-json")
    assert line[1]["status"] == "waiting"


def test_large_event_that_is_wrong_is_refused(api, run):
    for members, pointer in (({"phase": "DONE"}, "/phase"), ({"name": "x" * 5000}, "/name")):
        answer = api.post(encode(large_event(run) | members))
        assert_problem(answer, 400, "invalid-field", pointer)


# Time


def large_bodies(run):
    head = json.dumps(run.event(parent=None))[:-1]
    events = [run.event(f"n{number}", parent="a0", outputs={}) for number in range(15)]
    numbers = ",".join("1" * 120_000)
    return {
        "members": head + "," + ",".join(f'"m{number:06}":0' for number in range(340_000)) + "}",
        "numbers": head + ',"outputs":{"x":[' + ",".join("1" * 2_080_000) + "]}}",
        "arrays": head + ',"outputs":{"x":[' + ",".join(["[]"] * 1_380_000) + "]}}",
        "numbers in many events": '{"events":['
        + ",".join(
            json.dumps(event).replace('"outputs": {}', f'"outputs": {{"x": [{numbers}]}}')
            for event in events
        )
        + "]}",
    }


@pytest.mark.parametrize("kind", ["members", "numbers", "arrays", "numbers in many events"])
def test_large_body_leaves_the_loop_to_others(server, run, kind):
    body = large_bodies(run)[kind].encode()
    assert 3_500_000 < len(body) <= 4 * 1024 * 1024
    head = f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode() + body[:-1])
        time.sleep(1)  # all but the last byte is read; what is measured is what comes then

        def load():
            connection.sendall(body[-1:])
            return connection.recv(65536)

        answers, answer = asked_meanwhile(server.url, load)
    assert answer.startswith(b"HTTP/1.1 20"), answer
    assert answers > 2
