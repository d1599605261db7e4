"""Compressed streams and answers: the same bytes as without, each frame at once, a proper end."""

import socket
import zlib

import httpx
import pytest
from client import metric
from inventions import RunKey
from many import path_of, run_of
from sse import EventStream, TreeWatcher, parse_frame

GZIP = {"Accept-Encoding": "gzip"}


class GzipStream(EventStream):
    """A stream that asks for gzip, and inflates as a browser does: whatever has come, at once."""

    def __init__(self, url, path, last_event_id=None, **options):
        self._inflate = zlib.decompressobj(31)
        self.body_bytes = 0
        super().__init__(url, path, last_event_id, headers=GZIP, **options)
        assert self.headers["content-encoding"] == "gzip"
        assert "accept-encoding" in self.headers["vary"].lower()
        self._buffer = self._unpack(self._buffer)

    def _receive(self, deadline):
        packed, self._buffer = b"", self._buffer
        plain, self._buffer = self._buffer, b""
        try:
            super()._receive(deadline)
        finally:
            packed, self._buffer = self._buffer, plain
        self._buffer += self._unpack(packed)

    def _unpack(self, packed):
        self.body_bytes += len(packed)
        return self._inflate.decompress(packed)

    @property
    def is_complete(self):
        """Whether the gzip file has come to its end: zlib has checked its sum and length then."""
        return self._inflate.eof and not self._inflate.unused_data


@pytest.fixture
def open_gzip(server):
    opened = []

    def open_one(path, last_event_id=None, **options):
        opened.append(GzipStream(server.url, path, last_event_id, **options))
        return opened[-1]

    yield open_one
    for stream in opened:
        stream.close()


def post_tree(api, run, actions, phase="RUNNING"):
    events = [run.event("a0", phase, parent=None)]
    events += [run.event(f"a{i}", phase, parent="a0") for i in range(1, actions)]
    api.post_all(events)


def records(frames):
    return [(frame.event, frame.data, frame.id) for frame in frames if frame.event]


def test_a_compressed_stream_says_the_same(api, run, open_stream, open_gzip):
    post_tree(api, run, 300)
    plain, packed = open_stream(f"{run.path}/watch"), open_gzip(f"{run.path}/watch")
    assert "content-encoding" not in plain.headers
    assert records(packed.read_until("synced")) == records(plain.read_until("synced"))
    for version in range(1, 4):
        api.post_one(run.event("a7", "RUNNING", version=version))
        assert records(packed.read_flush()) == records(plain.read_flush())


def test_a_snapshot_is_far_smaller(api, run, open_gzip):
    post_tree(api, run, 3000)
    stream = open_gzip(f"{run.path}/watch")
    frames = stream.read_until("synced")
    assert len(frames) > 3000
    assert stream.body_bytes * 8 < 3000 * 350


def test_every_flush_arrives_at_once(api, run, open_gzip):
    post_tree(api, run, 2)
    watchers = [open_gzip(f"{run.path}/watch") for _ in range(5)]
    for stream in watchers:
        stream.read_until("synced")
    for version in range(1, 6):
        api.post_one(run.event("a1", "RUNNING", version=version))
        for stream in watchers:
            changed = [frame.data["action"] for frame in stream.read_flush()]
            assert changed[-1]["name"] == "a1" and changed[-1]["version"] == version


def test_frames_are_compressed_once_for_all(api, run, server, open_gzip):
    post_tree(api, run, 2)
    watchers = [open_gzip(f"{run.path}/watch") for _ in range(20)]
    for stream in watchers:
        stream.read_until("synced")
    before = metric(server.url, "runtree_stream_frames_compressed_total")
    for version in range(1, 11):
        api.post_one(run.event("a1", "RUNNING", version=version))
        for stream in watchers:
            stream.read_flush()
    # Heartbeats of streams that other tests left open may come between.
    assert metric(server.url, "runtree_stream_frames_compressed_total") - before < 20


def test_streams_of_many_share_all_but_their_positions(api, run, server, open_gzip):
    post_tree(api, run, 2)
    other = RunKey(run.project, run.domain, "other")
    post_tree(api, other, 2)
    watchers = [open_gzip(path_of([run_of(run), run_of(other)])) for _ in range(10)]
    for stream in watchers:
        stream.read_until("synced")
        stream.read_until("synced")
        stream.read_flush()
    before = metric(server.url, "runtree_stream_frames_compressed_total")
    for version in range(1, 11):
        api.post_one(run.event("a1", "RUNNING", version=version))
        for stream in watchers:
            stream.read_until("nodeUpdate")
    assert metric(server.url, "runtree_stream_frames_compressed_total") - before < 10 * (1 + 10)


def test_the_end_has_the_sum_and_the_length(api, run, open_gzip):
    post_tree(api, run, 50)
    stream = open_gzip(f"{run.path}/watch")
    stream.read_until("synced")
    api.post_one(run.event("a3", "RUNNING", version=1))
    stream.read_flush()
    api.post_all([run.event(f"a{i}", "SUCCEEDED") for i in range(50)])
    assert stream.read_to_end()[-1].event == "end"
    assert stream.is_complete


def test_a_stream_that_starts_at_the_end_is_complete(api, run, open_gzip):
    post_tree(api, run, 5, "SUCCEEDED")
    stream = open_gzip(f"{run.path}/watch")
    assert [frame.event for frame in stream.read_to_end()[-2:]] == ["synced", "end"]
    assert stream.is_complete


def test_goodbye_and_resume(api, run, database, start_runtree, open_gzip):
    post_tree(api, run, 3)
    other = start_runtree(database_url=database)
    stream = GzipStream(other.url, f"{run.path}/watch")
    watcher = TreeWatcher(f"{run.path}/watch")
    watcher.follow(stream, "synced")
    other.stop()
    frames = stream.read_to_end()
    assert frames[-1].retry is not None
    assert stream.is_complete
    api.post_one(run.event("a2", "SUCCEEDED"))
    again = open_gzip(f"{run.path}/watch", last_event_id=watcher.last_event_id)
    names = [
        frame.data["action"]["name"]
        for frame in again.read_until("synced")
        if frame.event == "nodeUpdate"
    ]
    assert names == ["a0", "a2"]


def test_a_slow_reader_of_a_compressed_stream_gets_everything(api, run, open_gzip):
    post_tree(api, run, 4000)
    stream = open_gzip(f"{run.path}/watch", receive_buffer=4096)
    names = {
        frame.data["action"]["name"]
        for frame in stream.read_until("synced", timeout=30)
        if frame.event == "nodeUpdate"
    }
    assert len(names) == 4000


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5, br", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=1.0, identity;q=0", True),
        ("", False),
        ("identity", False),
        ("br, deflate", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("gzipped", False),
    ],
)
def test_accept_encoding(api, run, server, accepted, is_packed):
    post_tree(api, run, 20)
    headers = {"Accept-Encoding": accepted}
    answer = httpx.get(f"{server.url}{run.path}/actions", headers=headers)
    assert (answer.headers.get("content-encoding") == "gzip") == is_packed
    assert "accept-encoding" in answer.headers["vary"].lower()
    assert len(answer.json()["actions"]) == 20
    with EventStream(server.url, f"{run.path}/watch", headers=headers) as stream:
        assert (stream.headers.get("content-encoding") == "gzip") == is_packed


@pytest.mark.parametrize("path", ["{path}/tree", "{path}/actions?limit=1000", "/openapi.json"])
def test_answers_are_the_same(api, run, server, path):
    """The tree of 3,000 actions and the page of 1,000 go out in pieces, each packed on its own."""
    post_tree(api, run, 3000)
    url = server.url + path.format(path=run.path)
    plain = httpx.get(url, headers={"Accept-Encoding": "identity"})
    packed = httpx.get(url, headers=GZIP)
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.num_bytes_downloaded * 3 < len(plain.content)
    assert packed.content == plain.content
    head = httpx.head(url, headers=GZIP)
    assert head.status_code == 200 and not head.content


def test_a_small_answer_is_left_as_it_is(api, run, server):
    post_tree(api, run, 1)
    answer = httpx.get(f"{server.url}{run.path}", headers=GZIP)
    assert "content-encoding" not in answer.headers


def test_a_client_that_leaves_while_its_answer_is_packed(api, run, server):
    post_tree(api, run, 3000)
    port = int(server.url.rpartition(":")[2])
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                f"GET {run.path}/tree HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n".encode()
            )
    assert api.get("/healthz").status_code == 200


def test_frames_parse_on_their_own(api, run, open_gzip):
    """Whole records come between two flushes: nothing is held back in the compressor."""
    post_tree(api, run, 2)
    stream = open_gzip(f"{run.path}/watch")
    stream.read_until("synced")
    for version in range(1, 4):
        api.post_one(run.event("a1", "RUNNING", version=version))
        stream.read_flush()
        assert stream._buffer == b"" or all(
            parse_frame(text.decode()) for text in stream._buffer.split(b"\n\n") if text
        )
