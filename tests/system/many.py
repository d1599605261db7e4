"""What a client of a stream of many subscriptions keeps, and what it may expect."""

import urllib.parse

import contract
from sse import EventStream, StreamClosed

SCHEMAS = {"nodeUpdate": "NodeUpdate", "end": "End", "reset": "Reset", "absent": "Absent"}


def quote(text):
    return urllib.parse.quote(text, safe="")


def run_of(run, **options):
    """The value of `run` that means this run."""
    return _value((run.project, run.domain, run.name), options)


def list_of(project="*", domain="*", **options):
    """The value of `list` that means these runs."""
    return _value((project, domain), options)


def _value(parts, options):
    path = "/".join("*" if part == "*" else quote(part) for part in parts)
    return path + "".join(f";{name}={quote(str(value))}" for name, value in options.items())


def path_of(subscriptions, **parameters):
    pairs = [("run" if text.split(";")[0].count("/") == 2 else "list", text)
             for text in subscriptions]  # fmt: skip
    return "/v1/watch?" + urllib.parse.urlencode(pairs + list(parameters.items()))


class Subscription:
    """What a page would show of one."""

    def __init__(self, text):
        self.text = text
        self.is_run = text.split(";")[0].count("/") == 2
        self.shown = {}  # name -> nodeUpdate's data, or key -> the run's summary
        self.is_known = False  # the last id says how much of it is shown
        self.resets = 0  # of what was known
        self.cell_resets = []
        self.connect()

    def connect(self):
        self.events = []
        self.is_synced = self.has_ended = False

    def apply(self, event, data):
        if not self.is_known and not self.events:
            assert event == "reset" or data["reason"] == "unavailable", f"it begins with {event}"
        self.events.append(event)
        getattr(self, f"_apply_{event}")(data)

    def _apply_nodeUpdate(self, data):
        action = data["action"]
        self.has_ended = False
        if data["meetsFilter"]:
            parent = action["parent"]
            assert parent is None or parent in self.shown, f"{action['name']} before {parent}"
            old = self.shown.get(action["name"])
            assert old is None or old["action"]["revision"] <= action["revision"], "back in time"
            self.shown[action["name"]] = data
        else:
            self.shown.pop(action["name"], None)

    def _apply_runUpdate(self, data):
        key = (data["project"], data["domain"], data["runName"])
        if "deleted" in data:
            if key in self.shown and self.shown[key].get("cell") == data.get("cell"):
                del self.shown[key]
        else:
            self.shown[key] = data

    def _apply_synced(self, data):
        if "cell" in data:
            assert self.is_synced, "a cell alone, before all"
            return
        assert not self.is_synced, "synced twice"
        self.is_synced = True
        self.snapshot = set(self.shown)
        schema = "Synced" if self.is_run else "RunsSynced"
        contract.check_schema(schema, data)
        if self.is_run:
            assert data["visible"] == len(self.shown), (data, sorted(self.shown))

    def _apply_reset(self, data):
        if "cell" in data:
            self.cell_resets.append(data["cell"])
            self.shown = {k: v for k, v in self.shown.items() if v["cell"] != data["cell"]}
            return
        self.resets += self.is_known
        self.is_known = False
        self.shown = {}
        self.is_synced = self.has_ended = False

    def _apply_absent(self, data):
        assert self.shown == {} or data["reason"] == "unavailable"

    def _apply_end(self, data):
        assert self.is_synced
        self.has_ended = True


class ManyWatcher:
    """Keeps what a page would show of many, over many connections and changes of the set."""

    def __init__(self, *subscriptions, **parameters):
        self.parameters = parameters
        self.last_event_id = None
        self.parts = {}
        self._left = {}  # the last id may know of it
        self.change(*subscriptions)

    def change(self, *subscriptions):
        """The set of the next connections."""
        known = self._left | self.parts
        self._left = known
        self.parts = {text: known.get(text) or Subscription(text) for text in subscriptions}

    @property
    def path(self):
        return path_of(self.parts, **self.parameters)

    def connect(self, url, **options):
        for part in self.parts.values():
            part.connect()
        self._records = 0
        self._is_at_position = False
        self.away = None  # the cells that cannot be read, where there are several
        stream = EventStream(url, self.path, self.last_event_id, **options)
        assert stream.status in (200, 204), (stream.status, stream.body)
        return stream

    def apply(self, frame):
        assert (frame.retry is not None) == (self._records == 0)
        self._records += 1
        self._is_at_position = frame.event == "position"
        assert self._is_at_position or self._records != 2, "first comes the id without what left"
        if self._is_at_position:
            assert frame.id and frame.data == {}
            self.last_event_id = frame.id
            self._left = {}
            for part in self.parts.values():
                part.is_known |= part.is_synced
            return
        assert frame.id is None, "only a position has an id"
        if frame.event is None or frame.event == "heartbeat":
            assert frame.retry or frame.data == {}
            return
        if frame.event == "cells":
            contract.check_schema("Cells", frame.data)
            self.away = frame.data["unavailable"]
            return
        if frame.event in SCHEMAS and self._records < 200:
            contract.check_schema(SCHEMAS[frame.event], frame.data)
        self.parts[frame.data["subscription"]].apply(frame.event, frame.data)

    def follow_until(self, stream, wanted, timeout=None):
        """Reads up to a position at which `wanted(self)` holds, if it does not already."""
        while not (self._is_at_position and wanted(self)):
            try:
                self.apply(stream.next(timeout))
            except TimeoutError:
                came = {text: part.events[-10:] for text, part in self.parts.items()}
                raise AssertionError(f"no more after {stream.frames[-2:]}; {came}") from None

    def sync(self, stream):
        self.follow_until(stream, lambda it: all(part.is_synced for part in it.parts.values()))
        return self

    def read_to_end(self, stream, timeout=None):
        try:
            while True:
                self.apply(stream.next(timeout))
        except StreamClosed:
            return self

    def names(self, text):
        return set(self.parts[text].shown)
