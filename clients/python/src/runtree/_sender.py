"""One thread that sends what happens, in batches, as often as it takes; and asks whether to end."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from typing import Any, Dict, List, Optional, Set

from . import _spool
from ._service import Service, Unreachable, action_path, run_path

log = logging.getLogger("runtree")

BATCH_EVENTS = 1_000
BATCH_BYTES = 3 * 1024 * 1024  # the service takes 4 MiB
EVENT_BYTES = 1024 * 1024  # of which it keeps 256 KiB
STATE_MEMBERS = frozenset(
    "project domain runName name parent attempt phase version updatedTime errorInfo".split()
)
BATCH_SECONDS = 0.05  # for which a batch gathers
QUEUE_EVENTS = 20_000  # past it, what is oldest goes to the spool
RETRY_SECONDS, RETRY_SECONDS_MAX = 0.5, 60.0
POLL_SECONDS, POLL_SECONDS_MAX = 2.0, 15.0
HEARTBEAT_SECONDS, HEARTBEAT_SECONDS_MAX = 60.0, 600.0
CONFLICTS_MAX = 20
REQUEST_SECONDS = 10.0
PAUSE_SECONDS = 0.2


class Record:
    """What the service is told of one action."""

    def __init__(self, event: Dict[str, Any], contested: bool) -> None:
        self.start = event  # its first event, which says all of its key
        self.began = time.monotonic()
        self.contested = contested  # others may have reported under its name
        self.confirmed = not contested
        self.is_told = False  # the service has taken the start
        self.conflicts = 0
        self.heartbeat = HEARTBEAT_SECONDS
        self.next_heartbeat = self.began + self.heartbeat
        self.version = 0
        self.abort_requested = False
        self.abort_reason: Optional[str] = None
        self.on_abort: Any = None  # called once, in the sender's thread

    def event(self, phase: str, version: int = 0, **members: Any) -> Dict[str, Any]:
        key = ("project", "domain", "runName", "name", "parent", "attempt")
        event = {member: self.start[member] for member in key}
        event.update(phase=phase, version=version, updatedTime=now())
        event.update(members)
        return event

    def key(self) -> Any:
        return tuple(self.start[member] for member in ("project", "domain", "runName", "name"))


def now() -> str:
    moment = time.time()
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return f"{whole}.{int(moment * 1000) % 1000:03d}Z"


class _Entry:
    __slots__ = ("record", "event", "size")

    def __init__(self, record: Record, event: Dict[str, Any]) -> None:
        self.record = record
        self.event = event
        self.size = 0  # not known yet

    def measure(self) -> int:
        """Its bytes; what is too large to be sent goes."""
        if self.size == 0:
            self.size = len(json.dumps(self.event))
            if self.size > EVENT_BYTES:
                log.warning("too large: %s of %s", self.event["phase"], self.event["name"])
                _reduce(self.event)
                self.size = len(json.dumps(self.event))
        return self.size


def _reduce(event: Dict[str, Any]) -> None:
    """Leaves what tells the state."""
    for member in [it for it in event if it not in STATE_MEMBERS]:
        del event[member]


class Sender:
    def __init__(self, service: Service) -> None:
        self.service = service
        self.open: Dict[int, Record] = {}  # actions that have not ended, by id
        self._condition = threading.Condition()
        self._queue: List[_Entry] = []
        self._thread: Optional[threading.Thread] = None
        self._busy = False
        self._hurry = False
        self._is_paused = False
        self._failures = 0
        self._retry_at = 0.0
        self._poll_at = time.monotonic() + POLL_SECONDS
        self._is_reached = False  # the service has taken something
        self._looks_at_spool = True  # for what others could not send, once
        self._began = time.monotonic()

    # -------- for the program's threads --------

    def start(self, record: Record) -> None:
        with self._condition:
            self.open[id(record)] = record
        self._put(record, record.start)

    def end(self, record: Record, phase: str, members: Dict[str, Any]) -> None:
        with self._condition:
            self.open.pop(id(record), None)
        self._put(record, record.event(phase, **members))

    def _put(self, record: Record, event: Dict[str, Any]) -> None:
        with self._condition:
            self._queue.append(_Entry(record, event))
            self._need_thread()
            self._condition.notify_all()

    def _need_thread(self) -> None:
        if self._thread is None and not self._is_paused:
            thread = threading.Thread(target=self._work, name="runtree", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # at the very end of a program: what is left waits in a file
                log.debug("no thread: %s", error)
                return
            self._thread = thread

    def pause(self) -> None:
        """Before a fork: then there is no thread of ours, unless it is just sending."""
        with self._condition:
            self._is_paused = True
            self._condition.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(PAUSE_SECONDS)

    def resume(self) -> None:
        with self._condition:
            self._is_paused = False
            if self._queue or self.open:
                self._need_thread()

    def flush(self, seconds: float) -> bool:
        """Waits until all is sent, no longer than that, and not for a service that does not answer."""
        deadline = time.monotonic() + seconds
        with self._condition:
            self._hurry = True
            self._retry_at = 0.0
            self._condition.notify_all()
            failures = self._failures
            while self._queue and self._failures <= failures:
                left = deadline - time.monotonic()
                if left <= 0 or self._thread is None:
                    break
                self._condition.wait(left)
            self._hurry = False
            return not self._queue

    def spool(self) -> None:
        """What is left waits in a file; nothing of it is sent from here any more."""
        with self._condition:
            entries, self._queue = self._queue, []
        self._spool(entries)

    def _spool(self, entries: List[_Entry]) -> None:
        if not entries:
            return
        try:
            _spool.put(self.service.url, [entry.event for entry in entries])
        except OSError as error:
            log.warning("%d events are lost: %s", len(entries), error)

    # -------- the thread --------

    def _work(self) -> None:
        while True:
            with self._condition:
                if self._is_paused:
                    self._thread = None
                    return
            try:
                self._turn()
            except Exception:  # of ours: the program is not to suffer from it
                log.debug("sender", exc_info=True)
                time.sleep(RETRY_SECONDS)

    def _turn(self) -> None:
        with self._condition:
            wait = self._wait_seconds()
            if wait > 0 and not self._is_paused:
                self._condition.wait(wait)
            if self._is_paused or self._wait_seconds() > 0:
                return
            if not self._hurry and self._queue and len(self._queue) < BATCH_EVENTS:
                self._condition.wait(BATCH_SECONDS)
            if self._is_paused:
                return
            batch = self._take_batch()
        if batch:
            self._send(batch)
        elif self._is_reached and self._looks_at_spool and self._failures == 0:
            self._send_spooled()
        else:
            self._poll()

    def _wait_seconds(self) -> float:
        """Until something is to be done."""
        moment = time.monotonic()
        due = [self._poll_at if self.open else moment + 60.0]
        if self._queue:
            due.append(self._retry_at)
        if self._is_reached and self._looks_at_spool:
            due.append(self._retry_at)
        due += [record.next_heartbeat for record in self.open.values()]
        return min(due) - moment

    def _take_batch(self) -> List[_Entry]:
        """Of an action whose name others may have used the start goes first, alone of all events under that
        name: the answer says under which attempt the others are to be."""
        moment = time.monotonic()
        for record in list(self.open.values()):
            if moment >= record.next_heartbeat:
                record.heartbeat = min(2 * record.heartbeat, HEARTBEAT_SECONDS_MAX)
                record.next_heartbeat = moment + record.heartbeat
                if record.is_told:
                    record.version += 1
                    beat = record.event("RUNNING", record.version)
                    self._queue.append(_Entry(record, beat))
        while len(self._queue) > QUEUE_EVENTS:
            part, self._queue = self._queue[:BATCH_EVENTS], self._queue[BATCH_EVENTS:]
            self._spool(part)
        if moment < self._retry_at:
            return []
        batch: List[_Entry] = []
        size = 0
        held: Set[Any] = set()
        for entry in self._queue:
            size += entry.measure()
            if len(batch) == BATCH_EVENTS or size > BATCH_BYTES:
                break
            if entry.record.contested and entry.record.key() in held:
                continue
            if not entry.record.confirmed:
                held.add(entry.record.key())
            batch.append(entry)
        return batch

    def _fail(self, why: object, retry_after: float = 0.0) -> None:
        with self._condition:
            pause = RETRY_SECONDS * 2 ** min(self._failures, 10)
            self._retry_at = time.monotonic() + min(max(pause, retry_after), RETRY_SECONDS_MAX)
            self._failures += 1
            self._condition.notify_all()
        log.debug("not sent: %s", why)

    def _post(self, events: List[Dict[str, Any]]) -> Optional[List[Dict[str, Any]]]:
        """The results; None if the events are to be sent again."""
        try:
            answer = self.service.request("POST", "/v1/events", {"events": events}, REQUEST_SECONDS)
        except Unreachable as error:
            self._fail(error)
            return None
        document = answer.json() or {}
        if answer.status in (400, 413, 415):
            log.warning("refused: %s", document.get("detail"))
            return [{"status": "rejected", "problem": document}] * len(events)
        results = document.get("results") if isinstance(document, dict) else None
        if answer.status not in (200, 201, 207) or not isinstance(results, list):
            self._fail(f"{self.service.url} answers {answer.status}", answer.retry_after())
            return None
        with self._condition:
            self._failures = 0
            self._retry_at = 0.0
            self._is_reached = True
        return results

    def _send(self, batch: List[_Entry]) -> None:
        results = self._post([entry.event for entry in batch])
        if results is None:
            return
        done: Set[int] = set()
        for entry, result in zip(batch, results):
            if self._settle(entry, result):
                done.add(id(entry))
        with self._condition:
            self._queue = [entry for entry in self._queue if id(entry) not in done]
            self._condition.notify_all()

    def _settle(self, entry: _Entry, result: Dict[str, Any]) -> bool:
        """False if the event is to be sent again, as another attempt's."""
        record = entry.record
        if result.get("status") == "rejected":
            log.warning("refused: %s", result.get("problem", {}).get("detail"))
            if not STATE_MEMBERS.issuperset(entry.event):
                _reduce(entry.event)  # what a program has added is not to cost it the rest
                return False
            record.confirmed = True
            return True
        if entry.event is record.start:
            is_others = result.get("status") == "duplicate" and not result.get("identical")
            if is_others and record.contested and record.conflicts < CONFLICTS_MAX:
                record.conflicts += 1
                self._take_next_attempt(record)
                return False
            record.confirmed = record.is_told = True
        self._hear(record, result)
        return True

    def _take_next_attempt(self, record: Record) -> None:
        latest = record.start["attempt"]
        try:
            document = self.service.request("GET", action_path(record.key())).json()
            latest = max(latest, int(document["attempt"]))
        except (Unreachable, KeyError, TypeError, ValueError):
            pass  # it may not be read: the next number is tried
        with self._condition:
            for entry in self._queue:
                if entry.record is record:
                    entry.event["attempt"] = latest + 1

    # -------- aborts --------

    def _hear(self, record: Record, result: Dict[str, Any]) -> None:
        if not result.get("abortRequested") or record.abort_requested:
            return
        record.abort_reason = self._reason(record)
        record.abort_requested = True
        if record.on_abort is not None and id(record) in self.open:
            record.on_abort()

    def _reason(self, record: Record) -> str:
        project, domain, run, _ = record.key()
        for path in (action_path(record.key()), run_path(project, domain, run)):
            try:
                document = self.service.request("GET", path).json()
                asked = document["abortRequested"]
                reason = "aborted" + (f" by {asked['by']}" if asked.get("by") else "")
                return reason + (f": {asked['reason']}" if asked.get("reason") else "")
            except (Unreachable, KeyError, TypeError, AttributeError):
                continue
        return "aborted with an action above"

    def _poll(self) -> None:
        """The start of each open action once more: that changes nothing, and the answer says whether
        it is to end."""
        with self._condition:
            records = [it for it in self.open.values() if it.is_told][:BATCH_EVENTS]
        age = time.monotonic() - self._began
        self._poll_at = time.monotonic() + min(max(POLL_SECONDS, age / 10), POLL_SECONDS_MAX)
        if not records or time.monotonic() < self._retry_at:
            return
        results = self._post([record.start for record in records])
        for record, result in zip(records, results or []):
            self._hear(record, result)

    # -------- what others could not send --------

    def _send_spooled(self) -> None:
        self._looks_at_spool = False
        try:
            for path, events in _spool.waiting(self.service.url):
                if self._post(events) is None:
                    return
                os.unlink(path)
        except OSError as error:
            log.debug("spool: %s", error)
        finally:
            with self._condition:
                self._condition.notify_all()
