"""What Flyte 2's clients watch: the actions of a run, and one of them."""

import signal

import pytest

from flyte import ConnectStream, action_id, envelope, recorded, run_id
from tokens import token_for


@pytest.fixture
def watch(server):
    opened = []

    def open_one(method, message=None, url=None, **options):
        opened.append(ConnectStream(url or server.url, method, message, **options))
        return opened[-1]

    yield open_one
    for stream in opened:
        stream.close()


def watch_action(watch, run, name="a0", **options):
    return watch("WatchActionDetails", {"actionId": action_id(run, name)}, **options)


def phase_of(message):
    return message["details"]["status"]["phase"].removeprefix("ACTION_PHASE_")


def updates(stream):
    """{name: (phase, meets the filter, counts)} of the next message."""
    return {
        update["action"]["id"]["name"]: (
            update["action"]["status"]["phase"].removeprefix("ACTION_PHASE_"),
            update.get("meetsFilter", False),
            update.get("childrenPhaseCounts", {}),
        )
        for update in stream.read()["enrichedActions"]
    }


# One action


def test_details_come_with_each_change_and_end_with_it(api, run, watch):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    stream = watch_action(watch, run)
    assert phase_of(stream.read()) == "RUNNING"
    api.post_one(run.event("a0", "RUNNING", version=1, logInfo=[{"name": "n", "uri": "u"}]))
    assert stream.read()["details"]["attempts"][0]["logInfo"] == [{"name": "n", "uri": "u"}]
    api.post_one(run.event("a0", "FAILED", errorInfo={"message": "boom"}))
    last = stream.read()
    assert phase_of(last) == "FAILED"
    assert last["details"]["errorInfo"] == {"message": "boom"}
    assert stream.read() is None
    assert stream.end == {}


def test_others_changes_say_nothing(api, run, watch):
    api.post_all([run.event("a0", "RUNNING", parent=None), run.event("a1", parent="a0")])
    stream = watch_action(watch, run, "a1")
    assert phase_of(stream.read()) == "QUEUED"
    api.post_one(run.event("a0", "RUNNING", version=1))
    api.post_one(run.event("a1", "SUCCEEDED"))
    assert phase_of(stream.read()) == "SUCCEEDED"
    assert stream.read() is None


def test_what_has_ended_is_told_at_once(api, run, watch):
    api.post_one(run.event("a0", "SUCCEEDED", parent=None))
    for service in ("RunService", "TrackedRunService"):
        stream = watch_action(watch, run, service=service)
        assert phase_of(stream.read()) == "SUCCEEDED"
        assert stream.read() is None


def test_changes_by_another_replica_are_heard(api, run, watch, twin, open_api):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    stream = watch_action(watch, run)
    stream.read()
    open_api(twin).post_one(run.event("a0", "ABORTED", errorInfo={"message": "by hand"}))
    assert stream.read()["details"]["abortInfo"] == {"reason": "by hand"}


@pytest.mark.parametrize("method", ["WatchActionDetails", "WatchActions"])
def test_what_is_not_there_ends_the_stream_with_an_error(run, watch, method):
    message = {"actionId": action_id(run, "a0"), "runId": run_id(run)}
    stream = watch(method, message)
    assert stream.read() is None
    assert stream.end["error"]["code"] == "not_found"


def test_organization_is_as_long_as_elsewhere(api, run, watch):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    for length in (255, 256):
        message = {"runId": {**run_id(run), "org": "o" * length}}
        stream = watch("WatchActions", message)
        if length == 255:
            (update,) = stream.read()["enrichedActions"]
            assert update["action"]["id"]["run"]["org"] == "o" * 255
        else:
            assert stream.read() is None
            assert stream.end["error"]["code"] == "invalid_argument"
            assert "org" in stream.end["error"]["message"]


def test_action_that_is_not_there_is_not_found(api, run, watch):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    stream = watch_action(watch, run, "a9")
    assert stream.read() is None
    assert stream.end["error"] == {"code": "not_found", "message": "There is no such action."}


def test_run_that_is_deleted_ends_its_streams(api, run, watch):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    details = watch_action(watch, run)
    actions = watch("WatchActions", {"runId": run_id(run)})
    details.read()
    actions.read()
    assert api.request("DELETE", run.path).status_code == 204
    assert details.read() is None
    assert details.end["error"]["code"] == "not_found"
    assert actions.read() is None
    assert actions.end["error"]["code"] == "unavailable"


# The actions of a run


def test_actions_come_as_a_snapshot_and_then_as_they_change(api, run, watch):
    api.post_all([run.event("a0", "RUNNING", parent=None), run.event("a1", parent="a0")])
    stream = watch("WatchActions", {"runId": run_id(run)})
    assert updates(stream) == {
        "a0": ("RUNNING", True, {"1": 1}),
        "a1": ("QUEUED", True, {}),
    }
    api.post_one(run.event("a1", "SUCCEEDED"))
    assert updates(stream) == {
        "a0": ("RUNNING", True, {"5": 1}),
        "a1": ("SUCCEEDED", True, {}),
    }


def test_run_that_has_ended_stays_open(api, run, watch):
    api.post_one(run.event("a0", "SUCCEEDED", parent=None))
    stream = watch("WatchActions", {"runId": run_id(run)})
    assert updates(stream)["a0"][0] == "SUCCEEDED"
    api.post_one(run.event("a0", "QUEUED", attempt=2))
    assert updates(stream)["a0"][0] == "QUEUED"


def test_actions_are_filtered_as_flyte_does(api, run, watch):
    api.post_all([run.event("a0", parent=None), run.event("a1", "RUNNING", parent="a0")])
    running = {"function": "VALUE_IN", "field": "PHASE", "values": ["4"]}
    stream = watch("WatchActions", {"runId": run_id(run), "filter": [running]})
    assert {name: shown for name, (_, shown, _) in updates(stream).items()} == {
        "a0": True,
        "a1": True,
    }
    api.post_one(run.event("a1", "SUCCEEDED"))
    assert {name: shown for name, (_, shown, _) in updates(stream).items()} == {
        "a0": False,
        "a1": False,
    }


def test_large_run_comes_in_several_messages(api, run, watch):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    names = {f"a{i}" for i in range(1, 2001)}
    api.post_all([run.event(name, parent="a0", group="g" * 100) for name in names])
    stream = watch("WatchActions", {"runId": run_id(run)})
    seen, messages = set(), 0
    while not names <= seen:
        seen |= updates(stream).keys()
        messages += 1
    assert messages > 1


def test_each_client_is_told_in_its_own_words(api, run, watch):
    """Who watches the same run, in JSON or protocol buffers, under several names of the organization."""
    api.post_one(run.event("a0", "RUNNING", parent=None))
    streams = []
    for org in ["acme", "acme", "umbrella", "acme", ""]:
        streams.append((org, watch("WatchActions", {"runId": {**run_id(run), "org": org}})))
        streams.append((org, watch("WatchActions", body=in_protocol_buffers(run, org))))

    def assert_told(phase, code):
        for org, stream in streams:
            message = stream.read()
            if stream.is_json:
                (update,) = message["enrichedActions"]
                assert update["action"]["id"]["run"].get("org", "") == org
                assert update["action"]["status"]["phase"] == f"ACTION_PHASE_{phase}"
            else:
                named = {name for name in ("acme", "umbrella") if name.encode() in message}
                assert named == ({org} if org else set())
                assert bytes([0x08, code]) in message

    assert_told("RUNNING", 4)
    api.post_one(run.event("a0", "SUCCEEDED"))
    assert_told("SUCCEEDED", 5)


# The protocol


def in_protocol_buffers(run, org=""):
    """A WatchActionsRequest of the run in its envelope."""
    parts = [(1, org), (2, run.project), (3, run.domain), (4, run.name)]
    text = b"".join(bytes([tag << 3 | 2, len(part)]) + part.encode() for tag, part in parts)
    return envelope(b"\x0a" + bytes([len(text)]) + text)


def test_requests_of_the_sdk_are_read(watch):
    """In an envelope, packed; of a run that is not there."""
    for name, method in (
        ("sdk-run-wait.WatchActionDetails-stream", "WatchActionDetails"),
        ("sdk-generated-client.WatchActions-stream", "WatchActions"),
        ("go-proto.008-RunService.WatchActions", "WatchActions"),
    ):
        headers = {"Connect-Content-Encoding": "gzip"}
        stream = watch(method, body=recorded(name), headers=headers)
        assert stream.read() is None
        assert stream.end["error"]["code"] == "not_found"


def test_messages_in_protocol_buffers(api, run, watch):
    api.post_one(run.event("a0", "SUCCEEDED", parent=None))
    stream = watch("WatchActions", body=in_protocol_buffers(run))
    assert b"a0" in stream.read()


@pytest.mark.parametrize(
    "body",
    [b"\0\0\0", envelope(b"{}")[:-1], envelope(b"{}") * 2, envelope(b"no gzip", flags=1)],
)
def test_bad_envelope_is_refused_in_words(watch, body):
    stream = watch("WatchActions", body=body)
    assert stream.read() is None
    assert stream.end["error"]["code"] == "invalid_argument"
    assert "envelope" in stream.end["error"]["message"]


def test_stream_is_told_to_come_back_when_the_service_goes(
    start_runtree, postgres, run, open_api, watch
):
    runtree = start_runtree(database_url=postgres.new_database())
    api = open_api(runtree)
    api.post_one(run.event("a0", "RUNNING", parent=None))
    streams = [
        watch_action(watch, run, url=runtree.url),
        watch("WatchActions", {"runId": run_id(run)}, url=runtree.url),
    ]
    for stream in streams:
        stream.read()
    runtree.process.send_signal(signal.SIGTERM)
    for stream in streams:
        assert stream.read() is None
        assert stream.end["error"]["code"] == "unavailable"
    runtree.process.wait(60)


def test_tokens_count_as_everywhere(guarded, run, watch):
    message = {"runId": run_id(run), "actionId": action_id(run, "a0")}
    write = {"Authorization": f"Bearer {token_for(write=['*/*'])}"}
    for method in ("WatchActions", "WatchActionDetails"):
        for headers, code in ((write, "permission_denied"), ({}, "unauthenticated")):
            stream = watch(method, message, url=guarded.url, headers=headers)
            assert stream.read() is None
            assert stream.end["error"]["code"] == code


def test_logs_are_refused_in_words(run, watch):
    message = {"actionId": action_id(run, "a0")}
    stream = watch("TailLogs", message, service="DataProxyService", package="flyteidl2.dataproxy")
    assert stream.read() is None
    assert stream.end["error"]["code"] == "unimplemented"
    assert "keeps no logs" in stream.end["error"]["message"]
