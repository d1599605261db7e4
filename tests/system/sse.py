"""A strict Server-Sent Events client on a raw socket, and a watcher that keeps a tree with it.

Strict: what a browser would forgive (unknown fields, lines outside a record, a missing blank line)
is an error here, and so is every breach of what the contract promises about a stream.
"""

import dataclasses
import json
import socket
import struct
import time
import urllib.parse

from runtree import PATIENCE_S

RECORDS = {
    "nodeUpdate",
    "synced",
    "reset",
    "heartbeat",
    "end",
    "runUpdate",
    "absent",
    "position",
    "cells",
}


@dataclasses.dataclass
class Frame:
    """One record of a stream. `event` is None for the one that only says `retry`."""

    event: str | None = None
    data: object = None
    id: str | None = None
    retry: int | None = None
    received_at: float = 0.0


class StreamClosed(Exception):
    """The server has closed the connection."""


class Cut(Exception):
    """The number of bytes that this connection was given is used up."""


class EventStream:
    """One connection. Reads at most `cut_after` bytes of the stream's body, if that is given."""

    def __init__(
        self,
        url,
        path,
        last_event_id=None,
        headers=None,
        cut_after=None,
        timeout=PATIENCE_S,
        receive_buffer=None,
    ):
        address = urllib.parse.urlsplit(url)
        self.timeout = timeout
        self.frames = []
        self._buffer = b""
        self._allowance = cut_after
        self._is_slow = receive_buffer is not None  # may be cut off for it, wherever it is
        self._socket = socket.socket()
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(timeout)
        self._socket.connect((address.hostname, address.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = {"Host": address.netloc, "Accept": "text/event-stream"} | (headers or {})
        if last_event_id is not None:
            lines["Last-Event-ID"] = last_event_id
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._socket.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        self._read_head()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def next(self, timeout=None):
        """The next record; StreamClosed at the end, TimeoutError when none comes in time."""
        assert self.status == 200, f"no stream but {self.status}: {self.body}"
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while b"\n\n" not in self._buffer:
            self._receive(deadline)
        text, _, self._buffer = self._buffer.partition(b"\n\n")
        frame = parse_frame(text.decode("utf-8"))
        frame.received_at = time.monotonic()
        self.frames.append(frame)
        return frame

    def read_until(self, wanted, timeout=None):
        """Reads up to the record that `wanted`, a name or a predicate, means; all that was read."""
        matches = wanted if callable(wanted) else lambda frame: frame.event == wanted
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        frames = [self.next(timeout)]
        while not matches(frames[-1]):
            frames.append(self.next(max(0.001, deadline - time.monotonic())))
        return frames

    def read_flush(self, timeout=None):
        """Reads up to the record with an id, which is a flush's last."""
        return self.read_until(lambda frame: frame.id is not None, timeout)

    def read_to_end(self, timeout=None):
        """Everything up to the close of the connection."""
        frames = []
        try:
            while True:
                frames.append(self.next(timeout))
        except StreamClosed:
            return frames

    def is_silent(self, seconds):
        """Whether no record comes for so long."""
        try:
            self.next(seconds)
        except TimeoutError:
            return True
        return False

    def close(self):
        self._socket.close()

    def half_close(self):
        """Says that nothing more will be sent, and goes on reading."""
        self._socket.shutdown(socket.SHUT_WR)

    def abort(self):
        """Ends the connection with a TCP reset, as a crashed client does."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _receive(self, deadline):
        if self._allowance == 0:
            raise Cut
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("no record in time")
        self._socket.settimeout(remaining)
        try:
            chunk = self._socket.recv(min(65536, self._allowance or 65536))
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            if self._is_slow:
                raise StreamClosed
            assert not self._buffer, f"the stream ends inside a record: {self._buffer!r}"
            raise StreamClosed
        if self._allowance is not None:
            self._allowance -= len(chunk)
        self._buffer += chunk

    def _read_head(self):
        """Fills status and headers; of an answer that is no stream, `body` too."""
        while b"\r\n\r\n" not in self._buffer:
            chunk = self._socket.recv(4096)
            assert chunk, f"no response, only {self._buffer!r}"
            self._buffer += chunk
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("ascii").split("\r\n")
        version, status, _ = (status_line + " ").split(" ", 2)
        assert version == "HTTP/1.1", status_line
        self.status = int(status)
        self.headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon, f"not a header: {line!r}"
            self.headers[name.lower()] = value.strip()
        self.body = b""
        if self.status != 200:
            self._read_body()
        else:
            assert self.headers["content-type"].startswith("text/event-stream"), self.headers
            assert "transfer-encoding" not in self.headers, self.headers
            if self._allowance is not None:
                self._buffer = self._buffer[: self._allowance]
                self._allowance -= len(self._buffer)

    def _read_body(self):
        length = int(self.headers.get("content-length", 0))
        while len(self._buffer) < length:
            chunk = self._socket.recv(65536)
            assert chunk, "the body is cut off"
            self._buffer += chunk
        self.body, self._buffer = self._buffer, b""
        self._socket.close()


def parse_frame(text):
    frame = Frame()
    for line in text.split("\n"):
        field, colon, value = line.partition(": ")
        assert colon and not value.endswith("\r"), f"not a line of a record: {line!r}"
        if field == "event":
            assert frame.event is None and value in RECORDS, text
            frame.event = value
        elif field == "data":
            assert frame.data is None, f"data twice: {text!r}"
            frame.data = json.loads(value)
        elif field == "id":
            assert frame.id is None and value and "\0" not in value, text
            frame.id = value
        elif field == "retry":
            frame.retry = int(value)
        else:
            raise AssertionError(f"unknown field: {line!r}")
    if frame.event is None:
        assert frame.retry is not None and frame.data is None and frame.id is None, text
    else:
        assert frame.retry is None, text
        assert frame.event == "reset" or isinstance(frame.data, dict), text
    return frame


class TreeWatcher:
    """Keeps what a page would show of one run, over many connections, and checks the promises."""

    def __init__(self, path):
        self.path = path
        self.nodes = {}  # name -> the last nodeUpdate's data
        self.last_event_id = None
        self.has_ended = False
        self.resets = 0
        self.connections = 0
        self._synced = False
        self._records = 0

    def connect(self, url, id_in_query=False, **options):
        """A new connection that resumes where the last one was cut off."""
        self.connections += 1
        self._synced = False
        self._records = 0
        path, last_event_id = self.path, self.last_event_id
        if last_event_id is None:
            self._forget()  # what a client knows without an id, the server cannot correct
        if id_in_query and last_event_id is not None:
            separator = "&" if "?" in path else "?"
            path += f"{separator}lastEventId={urllib.parse.quote(last_event_id, safe='')}"
            last_event_id = None
        stream = EventStream(url, path, last_event_id, **options)
        assert stream.status in (200, 204), (stream.status, stream.body)
        if stream.status == 204:
            assert self.has_ended, "204 for a run whose end this client has not seen"
        self.has_ended = stream.status == 204
        return stream

    def apply(self, frame):
        assert not (self.has_ended and self._synced), f"{frame} after the end"
        assert (frame.retry is not None) == (
            self._records == 0
        ), "retry comes first, and only there"
        self._records += 1
        if frame.event is not None:
            getattr(self, f"_apply_{frame.event}")(frame)
        if frame.id is not None:
            self.last_event_id = frame.id
            orphans = [
                name
                for name, node in self.nodes.items()
                if node["action"]["parent"] not in self.nodes | {None: None}
            ]
            assert not orphans, f"shown without their parents at the end of a flush: {orphans}"

    def follow(self, stream, until=None, timeout=None):
        """Reads and applies up to the record that `until` means; without it up to the close."""
        matches = until if callable(until) else lambda frame: frame.event == until
        while True:
            try:
                frame = stream.next(timeout)
            except StreamClosed:
                assert until is None, f"closed before {until}"
                return None
            self.apply(frame)
            if until and matches(frame):
                return frame

    def follow_until(self, stream, wanted, timeout=None):
        """Reads and applies up to the end of a flush after which `wanted(nodes)` holds."""
        self.follow(stream, lambda frame: frame.id is not None and wanted(self.nodes), timeout)

    def _forget(self):
        self.nodes.clear()
        self.last_event_id = None

    def _apply_nodeUpdate(self, frame):
        action = frame.data["action"]
        assert frame.id is None or self._synced, "an id inside a snapshot"
        if frame.data["meetsFilter"]:
            assert (
                action["parent"] is None or action["parent"] in self.nodes
            ), f"{action['name']} comes before its parent {action['parent']}"
            self.nodes[action["name"]] = frame.data
        else:
            self.nodes.pop(action["name"], None)

    def _apply_synced(self, frame):
        assert not self._synced, "synced twice on one connection"
        assert frame.id is not None, "synced without an id"
        has_all = frame.data["visible"] == len(self.nodes)
        assert has_all, f"{frame.data}, but it has {sorted(self.nodes)}"
        self._synced = True

    def _apply_reset(self, frame):
        self.resets += 1
        self._forget()

    def _apply_heartbeat(self, frame):
        assert frame.id is None, "a heartbeat has no id"

    def _apply_end(self, frame):
        assert self._synced, "end before synced"
        self.has_ended = True

    def _apply_runUpdate(self, frame):
        raise AssertionError("runUpdate in the watch of a run")
