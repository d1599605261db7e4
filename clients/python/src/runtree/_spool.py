"""Events that could not be sent, as files in the folder that `runtree exec` uses, too."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple

FILES_MAX = 10_000
EVENTS_IN_A_FILE = 1_000
FILE_BYTES_MAX = 4 * 1024 * 1024


def _make(path: str, is_asked: bool = False) -> str:
    os.makedirs(os.path.dirname(path) or "/", mode=0o700, exist_ok=True)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    status = os.lstat(path)
    is_ours = status.st_uid == os.geteuid() and not status.st_mode & 0o022
    if not is_asked and not (stat.S_ISDIR(status.st_mode) and is_ours):
        raise PermissionError(errno.EPERM, "not a folder of ours alone", path)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "it cannot be written", path)
    return path


def folder(asked: Optional[str] = None) -> str:
    """Raises OSError if there is none that can be written."""
    asked = asked or os.environ.get("RUNTREE_SPOOL_DIR")
    if asked:
        return _make(asked, is_asked=True)
    places = []
    if os.environ.get("XDG_STATE_HOME", "").startswith("/"):
        places.append(os.environ["XDG_STATE_HOME"] + "/runtree/spool")
    if os.environ.get("HOME", "").startswith("/"):
        places.append(os.environ["HOME"] + "/.local/state/runtree/spool")
    for place in places:
        try:
            return _make(place)
        except OSError:
            continue
    return _make(f"/var/tmp/runtree-{os.geteuid()}")


def put(url: str, events: List[Dict[str, Any]]) -> None:
    """Keeps the events for whoever reports to `url`. Raises OSError."""
    place = folder()
    waiting = sum(name.startswith("wait-") for name in os.listdir(place))
    for first in range(0, len(events), EVENTS_IN_A_FILE):
        if waiting >= FILES_MAX:
            raise OSError(errno.EDQUOT, "too many events wait", place)
        part = events[first : first + EVENTS_IN_A_FILE]
        now = time.time_ns()
        name = f"wait-{now // 10**9:010}{now % 10**9:09}-{os.getpid()}.json"
        path = os.path.join(place, name)
        with open(path + ".new", "w", encoding="utf-8", opener=_private) as file:
            json.dump({"url": url, "batch": True, "events": part}, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        os.rename(path + ".new", path)
        waiting += 1


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def waiting(url: str) -> Iterator[Tuple[str, List[Dict[str, Any]]]]:
    """(path, events) of the files of programs for this URL, each locked while it is looked at. What is
    sent is for the caller to remove."""
    place = folder()
    for name in sorted(os.listdir(place)):
        path = os.path.join(place, name)
        if not name.startswith("wait-") or not name.endswith(".json"):
            continue
        try:
            with open(path, encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file.fileno()).st_nlink == 0:
                    continue
                document = json.loads(file.read(FILE_BYTES_MAX + 1))
                if document.get("url") == url and document.get("batch"):
                    yield path, document["events"]
        except (OSError, ValueError, KeyError, AttributeError):
            continue
