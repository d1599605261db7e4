"""Sees to it that threads and processes know which action they were started in."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import multiprocessing.process
import os
import subprocess
import sys
import threading
import warnings
from typing import Any, Callable, Dict

_is_installed = False
_is_hushed = False


def install(current: Callable[[], Any]) -> None:
    """Once, when a program has an action for the first time."""
    global _is_installed
    if _is_installed:
        return
    _is_installed = True
    _wrap_threads(current)
    _wrap_pools(current)
    _wrap_processes(current)
    _wrap_multiprocessing(current)


def _wrap_threads(current: Callable[[], Any]) -> None:
    start = threading.Thread.start

    @functools.wraps(start)
    def start_with_action(self: threading.Thread) -> None:
        if not hasattr(self, "_runtree_action"):
            self._runtree_action = current()  # type: ignore[attr-defined]
        start(self)

    threading.Thread.start = start_with_action  # type: ignore[method-assign]


def _wrap_pools(current: Callable[[], Any]) -> None:
    """A pool's threads are older than what they are given to do."""
    from ._actions import _current

    submit: Any = concurrent.futures.ThreadPoolExecutor.submit

    def call(action: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        token = _current.set(action)
        try:
            return function(*args, **kwargs)
        finally:
            _current.reset(token)

    @functools.wraps(submit)
    def submit_with_action(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        action = current()
        if action is None:
            return submit(self, fn, *args, **kwargs)
        return submit(self, call, action, fn, *args, **kwargs)

    concurrent.futures.ThreadPoolExecutor.submit = submit_with_action  # type: ignore[method-assign]


def _wrap_processes(current: Callable[[], Any]) -> None:
    """An environment that was made of this process's says the action, too; one made from nothing is
    left alone."""
    make = subprocess.Popen.__init__

    @functools.wraps(make)
    def make_with_action(self: Any, *args: Any, **kwargs: Any) -> None:
        action = current()
        if action is not None and len(args) < 11:
            environment = kwargs.get("env")
            if environment is None:
                kwargs["env"] = {**os.environ, **action.variables()}
            elif environment.get("RUNTREE_RUN") == action.run_name:
                kwargs["env"] = {**environment, "RUNTREE_PARENT": action.name}
        make(self, *args, **kwargs)

    subprocess.Popen.__init__ = make_with_action  # type: ignore[method-assign]


class _Inherited:
    """What a process of multiprocessing is pickled with (spawn, forkserver); a forked one knows."""

    def __init__(self, variables: Dict[str, str]) -> None:
        self.variables = variables

    def __setstate__(self, state: Dict[str, Dict[str, str]]) -> None:
        os.environ.update(state["variables"])


def _wrap_multiprocessing(current: Callable[[], Any]) -> None:
    start = multiprocessing.process.BaseProcess.start

    @functools.wraps(start)
    def start_with_action(self: Any) -> None:
        action = current()
        if action is not None:
            with contextlib.suppress(Exception):
                self._runtree_action = _Inherited(action.variables())
        start(self)

    multiprocessing.process.BaseProcess.start = start_with_action  # type: ignore[method-assign]


def hush_fork_warning() -> None:
    """Python 3.12 counts threads after a fork, when ours is there again, and warns of what could only
    have happened before. Where the program has threads of its own it is warned."""
    global _is_hushed
    others = [it for it in threading.enumerate() if it.name not in ("MainThread", "runtree")]
    if not others and not _is_hushed:
        _is_hushed = True
        warnings.filterwarnings(
            "ignore", r"This process \(pid=\d+\) is multi-threaded", DeprecationWarning
        )


def at_multiprocessing_exit(function: Callable[[], None]) -> None:
    """multiprocessing's children end without atexit, but call their finalizers. For each process anew."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, function, exitpriority=100)
