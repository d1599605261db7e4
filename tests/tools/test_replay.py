"""tools/replay.py against a small server that records what it is sent and answers as it is told."""

import io
import json
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import replay

PROBLEM = {
    "type": "/problems/invalid-field",
    "title": "A field is not valid",
    "status": 400,
    "detail": '"STARTED" is not a phase.',
    "pointer": "/phase",
}


class Post:
    def __init__(self, handler, body):
        self.at = time.monotonic()
        self.connection = handler.client_address
        self.path = handler.path
        self.content_type = handler.headers["Content-Type"]
        self.size = len(body)
        self.events = [json.loads(line) for line in body.splitlines()]


class Runtree(ThreadingHTTPServer):
    """Applies every event, but first gives the answers of `script`: (status, headers, body)."""

    daemon_threads = True

    def __init__(self, script=(), port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.script = list(script)
        self.posts = []
        self.statuses = {}  # of an event by its name; "applied" if it is not in here

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def events(self):
        return [event for post in self.posts for event in post.events]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        post = Post(self, self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.script:
            answer = self.server.script.pop(0)
            if answer is None:
                self.close_connection = True
                return
            self.answer(*answer)
            return
        self.server.posts.append(post)
        results = [self.result(event) for event in post.events]
        rejected = sum(result["status"] == "rejected" for result in results)
        self.answer(207 if rejected else 200, {}, {"results": results, "rejected": rejected})

    def result(self, event):
        status = self.server.statuses.get(event["name"], "applied")
        return {"status": status, **({"problem": PROBLEM} if status == "rejected" else {})}

    def answer(self, status, headers, body):
        body = json.dumps(body).encode() if isinstance(body, dict) else body
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(*script, port=0):
        server = Runtree(script, port)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(replay, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(replay, "PAUSE_SECONDS", 0.02)


def event(name, seconds=None, **members):
    happened = (
        {}
        if seconds is None
        else {"updatedTime": f"2026-04-12T08:{seconds // 60:02}:{seconds % 60:02}.000Z"}
    )
    return {
        "project": "ml",
        "domain": "production",
        "runName": "r1",
        "name": name,
        "phase": "RUNNING",
        **happened,
        **members,
    }


def written(folder, events):
    path = folder / "events.ndjson"
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return str(path)


def replayed(server, *arguments):
    """The exit code and what was printed."""
    out = io.StringIO()
    code = replay.main(["--url", server.url, *arguments], out)
    return code, out.getvalue()


def names(events):
    return [event["name"] for event in events]


def test_posts_the_lines_as_they_are_and_says_where_to_look(tmp_path, serve):
    server = serve()
    path = tmp_path / "events.ndjson"
    lines = [
        '{"name":"a0", "project":"ml","domain":"d","runName":"r1","cost":1.50,"é":"…"}',
        '{"name":"a1","project":"ml","domain":"d","runName":"r1"}',
    ]
    path.write_text("\n\n".join(lines), encoding="utf-8")
    code, text = replayed(server, str(path))
    assert code == 0
    assert server.posts[0].size == sum(len(line.encode()) + 1 for line in lines)
    assert server.posts[0].path == "/v1/events"
    assert server.posts[0].content_type == "application/x-ndjson"
    page, watch, *_, last = text.splitlines()
    assert page == f"page:  {server.url}/"
    assert watch == (
        f"watch: curl -N '{server.url}/v1/projects/ml/domains/d/runs/r1/watch?wait=true'"
    )
    assert last == "2/2 events: 2 applied"


def test_says_where_a_run_is_whose_name_is_no_word(tmp_path, serve):
    server = serve()
    path = tmp_path / "events.ndjson"
    key = {"name": "a", "project": "owner/repo", "domain": "ci", "runName": "it's a / run"}
    path.write_text(json.dumps(key), encoding="utf-8")
    code, text = replayed(server, str(path))
    assert code == 0
    assert "/v1/projects/owner%2Frepo/domains/ci/runs/it%27s%20a%20%2F%20run/watch" in text


def test_keeps_the_rhythm_and_the_connection(tmp_path, serve):
    server = serve()
    path = written(tmp_path, [event("a", 0), event("b", 3), event("c", 3), event("d", 9)])
    assert replayed(server, path, "--speed", "10")[0] == 0
    assert [names(post.events) for post in server.posts] == [["a"], ["b", "c"], ["d"]]
    first, second, third = (post.at for post in server.posts)
    assert 0.25 < second - first < 0.6
    assert 0.85 < third - first < 1.5
    assert len({post.connection for post in server.posts}) == 1


def test_orders_by_time_and_keeps_an_event_without_time_in_its_place(tmp_path, serve):
    server = serve()
    path = written(
        tmp_path,
        [
            event("late", 50),
            event("timeless"),
            event("early", 10),
            event("odd", updatedTime="yesterday"),
            event("zoneless", updatedTime="2026-04-12T08:00:00"),
        ],
    )
    assert replayed(server, path, "--speed", "inf")[0] == 0
    assert set(names(server.events)) == {"late", "timeless", "early", "odd", "zoneless"}
    server.posts.clear()
    assert replayed(server, path, "--speed", "1000")[0] == 0
    assert names(server.events) == ["early", "odd", "zoneless", "late", "timeless"]


def test_a_request_holds_at_most_5000_events(tmp_path, serve):
    server = serve()
    path = written(tmp_path, [event(f"a{number}", 0) for number in range(5001)])
    assert replayed(server, path)[0] == 0
    assert [len(post.events) for post in server.posts] == [5000, 1]


def test_a_request_holds_at_most_4_mib(tmp_path, serve):
    server = serve()
    empty = len(json.dumps(event("a00", 0, outputs="")).encode()) + 1
    quarter = "x" * (256 * 1024 - empty)  # sixteen are 4 MiB to the byte
    path = written(tmp_path, [event(f"a{n:02}", 0, outputs=quarter) for n in range(17)])
    assert replayed(server, path)[0] == 0
    assert [post.size for post in server.posts] == [4 * 1024 * 1024, 256 * 1024]


def test_counts_what_became_of_the_events(tmp_path, serve):
    server = serve()
    server.statuses = {"b": "recorded", "c": "waiting", "d": "duplicate"}
    code, text = replayed(server, written(tmp_path, [event(name, 0) for name in "abcda"]))
    assert code == 0
    last = text.splitlines()[-1]
    assert last == "5/5 events: 2 applied, 1 recorded, 1 waiting, 1 duplicate"


def test_a_rejected_event_is_shown_and_does_not_stop_the_others(tmp_path, serve):
    server = serve()
    server.statuses = {"bad": "rejected"}
    path = written(tmp_path, [event("a", 0), event("bad", 0), event("b", 30)])
    code, text = replayed(server, path, "--speed", "1000")
    assert code == 1
    assert names(server.events) == ["a", "bad", "b"]
    assert 'rejected: A field is not valid: "STARTED" is not a phase. (/phase) in {' in text
    assert text.splitlines()[-1] == "3/3 events: 2 applied, 1 rejected"


def test_shows_only_the_first_rejections(tmp_path, serve):
    server = serve()
    server.statuses = {"bad": "rejected"}
    code, text = replayed(server, written(tmp_path, [event("bad", 0)] * 50))
    assert code == 1
    assert text.count("rejected: ") == replay.REJECTIONS_SHOWN
    assert text.splitlines()[-1] == "50/50 events: 50 rejected"


@pytest.mark.parametrize("status", [429, 503])
def test_waits_as_long_as_it_is_asked_to(tmp_path, serve, status):
    server = serve((status, {"Retry-After": "1"}, PROBLEM))
    began = time.monotonic()
    assert replayed(server, written(tmp_path, [event("a", 0)]))[0] == 0
    assert 1 <= server.posts[0].at - began < 2
    assert names(server.events) == ["a"]


def test_retry_after_may_be_a_date_or_nonsense():
    assert replay.seconds_of("3") == 3
    assert replay.seconds_of("soon") == 0
    assert replay.seconds_of("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert replay.seconds_of("Wed, 21 Oct 2999 07:28:00 GMT") == replay.GIVE_UP_SECONDS


def test_tries_again_after_a_cut_connection_and_says_so(tmp_path, serve):
    server = serve(None, (503, {}, b"<html>no</html>"), None)
    code, text = replayed(server, written(tmp_path, [event("a", 0)]))
    assert code == 0
    assert names(server.events) == ["a"]
    assert "Service Unavailable; trying again in 0.0 s" in text


def test_waits_for_a_service_that_is_not_there_yet(tmp_path, serve):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    process = subprocess.Popen(
        [
            sys.executable,
            replay.__file__,
            written(tmp_path, [event("a", 0)]),
            "--url",
            f"http://127.0.0.1:{port}",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().startswith("page: ")
    try:
        time.sleep(0.3)
        server = serve(port=port)
        assert process.wait(20) == 0
        assert names(server.events) == ["a"]
    finally:
        process.kill()
        process.communicate()


def test_gives_up_in_the_end(tmp_path, serve, monkeypatch, capsys):
    monkeypatch.setattr(replay, "GIVE_UP_SECONDS", 0.2)
    server = serve(*[(503, {}, {**PROBLEM, "title": "Overloaded"})] * 100)
    assert replayed(server, written(tmp_path, [event("a", 0)]))[0] == 1
    assert "replay: no luck for 0.2 s: Overloaded" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer, said",
    [
        ((413, {}, {**PROBLEM, "title": "Too large"}), "413 Too large: "),
        ((500, {}, b""), "500 Internal Server Error"),
        ((404, {}, b"nginx"), "404 Not Found"),
        ((200, {}, b"<html>another service</html>"), "200 OK"),
    ],
)
def test_an_answer_that_will_not_get_better_ends_it(tmp_path, serve, capsys, answer, said):
    server = serve(answer)
    assert replayed(server, written(tmp_path, [event("a", 0)]))[0] == 1
    assert f"replay: {said}" in capsys.readouterr().err
    assert server.posts == []


def test_run_renames_and_now_moves_the_times(tmp_path, serve):
    server = serve()
    path = written(
        tmp_path,
        [
            event(
                "a",
                0,
                reportedTime="2026-04-12T10:00:30+02:00",
                clusterEvents=[
                    {"occurredAt": "2026-04-12T08:01:00Z", "message": "m"},
                    "odd",
                    {"occurredAt": 5},
                ],
            ),
            event("b", 30, updatedTime="2026-04-12T08:00:30Z", clusterEvents=7),
            event("c"),
        ],
    )
    before = datetime.now(UTC)
    assert replayed(server, path, "--speed", "60", "--now", "--run", "again")[0] == 0
    a, b, c = server.events
    assert {event["runName"] for event in server.events} == {"again"}
    start = datetime.fromisoformat(a["updatedTime"])
    assert abs((start - before).total_seconds()) < 2

    def past(text):
        return round((datetime.fromisoformat(text) - start).total_seconds(), 2)

    assert past(b["updatedTime"]) == 0.5
    assert past(a["reportedTime"]) == 0.5
    assert past(a["clusterEvents"][0]["occurredAt"]) == 1
    assert a["clusterEvents"][1:] == ["odd", {"occurredAt": 5}]
    assert b["clusterEvents"] == 7
    assert "updatedTime" not in c


def test_invents_a_run_that_happens_now(serve):
    server = serve()
    code, text = replayed(server, "--seed", "1", "--speed", "6000")
    assert code == 0
    events = server.events
    assert f"{len(events)}/{len(events)} events: {len(events)} applied" in text
    assert len(events) > 1000
    (run_name,) = {event["runName"] for event in events}
    assert run_name.startswith("nightly-20")
    now = datetime.now(UTC)
    assert abs((datetime.fromisoformat(events[-1]["updatedTime"]) - now).total_seconds()) < 3


def test_the_seed_and_name_make_an_invented_run_the_same(serve):
    server = serve()
    arguments = ["--seed", "5", "--run", "r9", "--speed", "inf", "--no-now"]
    assert replayed(server, *arguments)[0] == 0
    once = [(event["name"], event["phase"]) for event in server.events]
    server.posts.clear()
    assert replayed(server, *arguments)[0] == 0
    assert [(event["name"], event["phase"]) for event in server.events] == once
    assert {event["runName"] for event in server.events} == {"r9"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-file"],
        ["{file}", "--speed", "0"],
        ["{file}", "--speed", "nan"],
        ["{file}", "--speed", "fast"],
        ["{file}", "--url", "ftp://127.0.0.1/"],
        ["{file}", "--url", "http://"],
        ["{file}", "--seed", "1"],
        ["{file}", "--unknown"],
        ["{empty}"],
        ["{not_json}"],
        ["{not_object}"],
        ["{two_runs}", "--run", "r"],
    ],
)
def test_bad_usage_is_2_and_posts_nothing(tmp_path, serve, capsys, arguments):
    server = serve()
    contents = {
        "file": json.dumps(event("a")),
        "empty": "\n\n",
        "not_json": json.dumps(event("a")) + "\n{",
        "not_object": "[1]",
        "two_runs": json.dumps(event("a")) + "\n" + json.dumps(event("a", runName="r2")),
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    paths = {name: tmp_path / name for name in contents}
    with pytest.raises(SystemExit) as stop:
        replay.main(["--url", server.url, *(argument.format(**paths) for argument in arguments)])
    assert stop.value.code == 2
    assert "usage: " in capsys.readouterr().err
    assert server.posts == []


def test_url_may_have_a_path_and_need_no_scheme():
    service = replay.Service("https://example.org/runtree/", print)
    assert service.url == "https://example.org/runtree"
    assert service.path == "/runtree/v1/events"
    assert replay.Service("127.0.0.1:9", print).url == "http://127.0.0.1:9"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_bar_fits_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    progress = replay.Progress(4, out)
    for status in ("applied", "applied", "waiting"):
        progress.add({"status": status})
        progress.show_from_time_to_time()
    progress.say("a word")
    progress.finish()
    drawn = [part.rstrip("\n") for part in out.getvalue().split("\r\033[K")[1:]]
    assert drawn[-2] == "a word"
    assert "3/4 events: 2 applied, 1 waiting" in drawn[-1]
    assert max(map(len, drawn)) < columns
    bar = drawn[-1].partition("]")[0][1:]
    if columns > 40:
        assert bar.count("#") == 3 * len(bar) // 4 and set(bar) == {"#", "."}
