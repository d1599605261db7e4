"""Reads runs, and watches them."""

from __future__ import annotations

import dataclasses
import json
import time
import urllib.parse
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from ._service import Answer, Service, Unreachable, action_path, run_path

RETRY_SECONDS, RETRY_SECONDS_MAX = 1.0, 30.0
SILENCE_SECONDS = 90.0  # a heartbeat comes every 15 s


class ServiceError(Exception):
    """The service refused, or was not there (status 0)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"status {status}")
        self.status = status
        self.problem = dict(problem)


@dataclasses.dataclass(frozen=True)
class Event:
    """A record of a stream: "nodeUpdate", "runUpdate", "synced", "reset", "end" …, and its document."""

    type: str
    data: Dict[str, Any]
    id: Optional[str]


class Client:
    """What the service knows. Documents are as openapi.yaml says. Every method raises ServiceError."""

    def __init__(
        self,
        url: Optional[str] = None,
        project: str = "default",
        domain: str = "development",
        token: Optional[str] = None,
        token_file: Optional[str] = None,
        timeout: float = 30.0,
    ) -> None:
        self._service = Service(url, token, token_file)
        self.project, self.domain, self._timeout = project, domain, timeout

    def run(self, name: str) -> Dict[str, Any]:
        """A run's summary: phase, counts, times."""
        return self._read(self._path(name))

    def runs(self, **filters: Any) -> Iterator[Dict[str, Any]]:
        """All runs, newest first, page by page."""
        return self._pages(self._path(), "runs", filters)

    def tree(self, name: str, **filters: Any) -> Dict[str, Any]:
        """{"revision", "nodes": [{"action", "childPhaseCounts", "meetsFilter"}]}, parents first."""
        return self._read(self._path(name) + "/tree" + _query(filters))

    def action(self, run: str, name: str) -> Dict[str, Any]:
        """An action with its attempts."""
        return self._read(action_path((self.project, self.domain, run, name)))

    def actions(self, run: str, **filters: Any) -> Iterator[Dict[str, Any]]:
        return self._pages(self._path(run) + "/actions", "actions", filters)

    def events(self, run: str, name: str) -> Iterator[Dict[str, Any]]:
        """An action's events as they came."""
        path = action_path((self.project, self.domain, run, name)) + "/events"
        return self._pages(path, "events", {})

    def abort(
        self, run: str, action: Optional[str] = None, reason: Optional[str] = None
    ) -> Dict[str, Any]:
        """Asks for the end of a run, or of an action and all below it."""
        path = self._path(run)
        if action is not None:
            path = action_path((self.project, self.domain, run, action))
        body = {} if reason is None else {"reason": reason}
        return self._document(self._ask("POST", path + "/abort", body))

    def watch(
        self, run: str, wait: bool = False, last_event_id: Optional[str] = None, **filters: Any
    ) -> Iterator[Event]:
        """The run's tree as it changes, up to its end: "nodeUpdate" (a node's whole state), "synced" once
        all that was there has come, "reset" (forget everything), "end". Goes on by itself after a cut,
        where it was, with no event twice and none missing; `last_event_id` is where an earlier watch
        was. `wait`: for a run that is not there yet."""
        if wait:
            filters["wait"] = "true"
        return self._stream(self._path(run) + "/watch" + _query(filters), last_event_id)

    def watch_runs(self, last_event_id: Optional[str] = None, **filters: Any) -> Iterator[Event]:
        """The list of runs as it changes, for ever: "runUpdate"."""
        return self._stream(self._path() + "/watch" + _query(filters), last_event_id)

    # -------- inside --------

    def _path(self, run: Optional[str] = None) -> str:
        return run_path(self.project, self.domain, run or "")[: None if run else -1]

    def _ask(self, method: str, path: str, document: Any = None) -> Answer:
        try:
            return self._service.request(method, path, document, self._timeout)
        except Unreachable as error:
            raise ServiceError(0, {"detail": str(error)}) from error

    def _document(self, answer: Answer) -> Dict[str, Any]:
        document = answer.json()
        if answer.status >= 300 or not isinstance(document, dict):
            raise ServiceError(answer.status, document if isinstance(document, dict) else {})
        return document

    def _read(self, path: str) -> Dict[str, Any]:
        return self._document(self._ask("GET", path))

    def _pages(self, path: str, things: str, filters: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
        while True:
            page = self._read(path + _query(filters))
            yield from page[things]
            if "nextCursor" not in page:
                return
            filters = {**filters, "cursor": page["nextCursor"]}

    def _stream(self, path: str, last_id: Optional[str]) -> Iterator[Event]:
        pause, has_begun = RETRY_SECONDS, False
        while True:
            headers = {"Accept": "text/event-stream"}
            if last_id is not None:
                headers["Last-Event-ID"] = last_id
            try:
                with self._service.open(
                    "GET", path, headers=headers, timeout=SILENCE_SECONDS
                ) as it:
                    if it.status != 200:
                        answer = Answer(it.status, it.headers, it.read())
                        if not has_begun or answer.status not in (429, 500, 502, 503, 504):
                            self._document(answer)
                        raise Unreachable(f"status {answer.status}")
                    has_begun = True
                    for event, retry in _parse(it):
                        pause = retry or pause
                        last_id = event.id if event.id is not None else last_id
                        if event.type:
                            yield event
                        if event.type == "end":
                            return
            except (Unreachable, OSError, ValueError) as error:
                if not has_begun:
                    raise ServiceError(0, {"detail": str(error)}) from error
                time.sleep(pause)
                pause = min(pause * 2, RETRY_SECONDS_MAX)
            else:
                time.sleep(pause)


def _parse(lines: Any) -> Iterator[Tuple[Event, Optional[float]]]:
    """(event, retry in seconds) of a stream's lines; of an event with a retry only, the type is ""."""
    kind = ""
    data: List[str] = []
    event_id: Optional[str] = None
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if not line:
            if data:
                yield Event(kind or "message", json.loads("\n".join(data)), event_id), None
            kind, data, event_id = "", [], None
        elif name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id":
            event_id = value
        elif name == "retry" and value.isdigit():
            yield Event("", {}, None), int(value) / 1000


def _query(filters: Mapping[str, Any]) -> str:
    given = {name: value for name, value in filters.items() if value is not None}
    return "?" + urllib.parse.urlencode(given, doseq=True) if given else ""
