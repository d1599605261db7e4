"""Runs and actions of this program."""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import functools
import inspect
import itertools
import logging
import os
import signal
import threading
import traceback
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    Optional,
    TypeVar,
    overload,
)

from . import _propagate
from ._generators import drive, drive_async
from ._place import Place, unique, valid_name
from ._sender import Record, Sender, now
from ._service import Service, run_path

log = logging.getLogger("runtree")
F = TypeVar("F", bound=Callable[..., Any])

ERROR_CHARACTERS = 16_000
LEVELS = 24  # of outputs; the service takes 32 of an event
_numbers = itertools.count(1)  # makes each start another document


class Aborted(Exception):
    """Somebody asked for the end of the action; see Action.raise_if_aborted()."""


_current: contextvars.ContextVar[Optional["Action"]] = contextvars.ContextVar(
    "runtree_action", default=None
)


class _Process:
    """What belongs to this process: a child that was forked has its own."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.RLock()
        self.sender: Optional[Sender] = None
        self.open: List[Action] = []  # outermost first
        self.names: Dict[Any, int] = {}  # (run, name): how often it was used
        self.is_forked = False
        self.has_exit = False
        self.service = Service()
        self.exit_seconds = 2.0
        self.saved_environment: Dict[str, Optional[str]] = {}

    def get_sender(self) -> Sender:
        with self.lock:
            if self.sender is None:
                self.sender = Sender(self.service)
            return self.sender


_process = _Process()


def configure(
    url: Optional[str] = None,
    token: Optional[str] = None,
    token_file: Optional[str] = None,
    exit_seconds: float = 2.0,
) -> None:
    """Where to report, for a program that does not take it from RUNTREE_URL, RUNTREE_TOKEN_FILE or
    RUNTREE_TOKEN; and for how long, at its end, the service may keep it. Before the first action."""
    with _process.lock:
        _process.service = Service(url, token, token_file)
        _process.exit_seconds = exit_seconds
        _process.sender = None


def current() -> Optional["Action"]:
    """The action that what is done here is part of: that of the context, else of whoever started this
    thread, else the outermost one of the process. None outside of all."""
    found = _current.get() or getattr(threading.current_thread(), "_runtree_action", None)
    if found is not None:
        return found
    with _process.lock:
        return _process.open[0] if _process.open else None


def environment(base: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """`base`, by default this process's environment, with what a process that is started here needs to
    report below the current action. subprocess does this by itself."""
    variables = dict(os.environ if base is None else base)
    action = current()
    if action is not None:
        variables.update(action.variables())
    return variables


def flush(seconds: float = 10.0) -> bool:
    """Waits until all that happened is sent; False if it was not, so soon."""
    sender = _process.sender
    return sender is None or sender.flush(seconds)


class Action:
    """Something that is done, from __enter__ to __exit__; made by run() and action()."""

    def __init__(
        self,
        label: str,
        place: Place,
        parent: Optional[str],
        above: Optional["Action"],
        key: Optional[str] = None,
        attempt: Optional[int] = None,
        group: Optional[str] = None,
        links: Optional[Mapping[str, str]] = None,
        members: Optional[Dict[str, Any]] = None,
        interrupt: bool = False,
    ) -> None:
        self.label = str(label)
        self.project, self.domain, self.run_name = place.project, place.domain, place.run
        self.parent = parent
        self.outputs: Optional[Dict[str, Any]] = None  # set it, and the end reports it
        self._place, self._above, self._key = place, above, key
        self._attempt, self._group, self._links = attempt, group, dict(links or {})
        self._members, self._interrupt = dict(members or {}), interrupt
        self._process: Optional[_Process] = None
        self._record: Optional[Record] = None
        self._token: Any = None
        self._is_contested = self._key is not None or not place.is_new  # may the name be another's
        self._outcome: Optional[str] = None
        self._message: Optional[str] = None
        self.name, self.attempt = self._take_name()

    # -------- for programs --------

    def action(self, label: str, **options: Any) -> "ActionContext":
        """An action below this one; or below the current one, if that is below this one."""
        return ActionContext(label, self, options)

    @property
    def url(self) -> str:
        """Of its page."""
        path = run_path(self.project, self.domain, self.run_name)
        parts = path[len("/v1/projects/") :].replace("/domains/", "/", 1).replace("/runs/", "/", 1)
        return f"{_process.service.url}/#/runs/{parts}"

    @property
    def abort_requested(self) -> bool:
        """Has somebody asked, on the page, for the end of this action, one above it, or the run? Known
        within seconds. To end is up to the program."""
        action: Optional[Action] = self
        while action is not None:
            if action._record is not None and action._record.abort_requested:
                return True
            action = action._above
        return False

    @property
    def abort_reason(self) -> Optional[str]:
        action: Optional[Action] = self
        while action is not None:
            if action._record is not None and action._record.abort_requested:
                return action._record.abort_reason
            action = action._above
        return None

    def raise_if_aborted(self) -> None:
        """Raises Aborted if its end was asked for."""
        if self.abort_requested:
            raise Aborted(self.abort_reason or "aborted")

    def fail(self, message: str) -> None:
        """It is to end as FAILED, also without an exception."""
        self._outcome, self._message = "FAILED", str(message)

    def skip(self) -> None:
        """It is to end as SKIPPED: there was nothing to do."""
        self._outcome = "SKIPPED"

    def variables(self) -> Dict[str, str]:
        """What the environment of a process has that is to report below this action."""
        found = {
            "RUNTREE_URL": _process.service.url,
            "RUNTREE_PROJECT": self.project,
            "RUNTREE_DOMAIN": self.domain,
            "RUNTREE_RUN": self.run_name,
            "RUNTREE_PARENT": self.name,
        }
        if _process.service.token_file:
            found["RUNTREE_TOKEN_FILE"] = _process.service.token_file
        return found

    def __enter__(self: "A") -> "A":
        try:
            self._begin()
        except Exception:
            log.debug("an action cannot be reported", exc_info=True)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            self._end(kind, error)
        except Exception:
            log.debug("an end cannot be reported", exc_info=True)

    # -------- inside --------

    def _take_name(self) -> Any:
        """(name, attempt). A key that is given is the name, and again it is the next attempt. A label
        becomes a name by a number, or, where other processes may use the same, by a random end."""
        base = valid_name(self._key if self._key is not None else self.label, self._place.suffix)
        with _process.lock:
            used = _process.names.get((self.run_name, base), 0)
            _process.names[(self.run_name, base)] = used + 1
        first = self._attempt or self._place.attempt
        if self._key is not None:
            return base, self._attempt or first + used
        if _process.is_forked or self._place.parent is not None:
            self._is_contested = False
            return valid_name(base, f"-{unique()}"), self._attempt or 1
        return (valid_name(base, f"-{used + 1}") if used else base), first

    def _start_event(self) -> Dict[str, Any]:
        event: Dict[str, Any] = {
            "project": self.project,
            "domain": self.domain,
            "runName": self.run_name,
            "name": self.name,
            "parent": self.parent,
            "attempt": self.attempt,
            "phase": "RUNNING",
            "version": 0,
            "updatedTime": now(),
            "task": {"name": valid_name(self.label)},
            "process": {"host": os.uname().nodename, "pid": os.getpid(), "action": next(_numbers)},
        }
        if self.label != self.name:
            event["title"] = valid_name(self.label)
        if self._group:
            event["group"] = valid_name(self._group)
        if self._links:
            event["links"] = [
                {"name": _text(name), "url": _text(url)} for name, url in self._links.items()
            ]
        event.update(self._members)
        return event

    def _begin(self) -> None:
        self._process = _process
        self._record = Record(self._start_event(), self._is_contested)
        if self._interrupt:
            self._record.on_abort = _interrupt_main
        with _process.lock:
            if not _process.open:
                _set_environment(self)
            _process.open.append(self)
            if not _process.has_exit:
                _process.has_exit = True
                _propagate.at_multiprocessing_exit(_at_exit)
        self._token = _current.set(self)
        _propagate.install(current)
        _handle_sigterm()
        _process.get_sender().start(self._record)

    def _end(self, kind: Any, error: Any) -> None:
        if self._token is not None:
            try:
                _current.reset(self._token)
            except ValueError:  # entered in another context
                _current.set(self._above)
            self._token = None
        if self._process is not _process:  # a forked child leaves what its parent entered
            return
        with _process.lock:
            if self not in _process.open:
                return
            _process.open.remove(self)
            if not _process.open:
                _restore_environment()
        phase, message = self._verdict(kind, error)
        members: Dict[str, Any] = {}
        if message is not None:
            members["errorInfo"] = {"kind": "USER", "message": _text(message)[:ERROR_CHARACTERS]}
        if self.outputs is not None:
            members["outputs"] = _plain(self.outputs)
        if self._record is not None:
            _process.get_sender().end(self._record, phase, members)

    def _verdict(self, kind: Any, error: Any) -> Any:
        if kind is None:
            return self._outcome or "SUCCEEDED", self._message
        if issubclass(kind, SystemExit):
            if error.code is None or error.code == 0:
                return self._outcome or "SUCCEEDED", self._message
            return "FAILED", f"exit code {error.code}"
        if issubclass(kind, Aborted):
            return "ABORTED", str(error)
        if not issubclass(kind, Exception) or kind.__name__ == "CancelledError":
            return "ABORTED", self.abort_reason or kind.__name__
        lines = traceback.format_exception_only(kind, error)
        whole = "".join(traceback.format_exception(kind, error, error.__traceback__))
        return "FAILED", "".join(lines).strip() + "\n\n" + whole[-ERROR_CHARACTERS // 2 :]


A = TypeVar("A", bound=Action)


class Run(Action):
    """The action at the top of this program."""


def _plain(value: Any, levels: int = LEVELS) -> Any:
    """As JSON, and the service, can say it, whatever it is."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return float(value)
    if levels > 0 and isinstance(value, Mapping):
        return {_text(key): _plain(item, levels - 1) for key, item in value.items()}
    if levels > 0 and isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, levels - 1) for item in value]
    return _text(value)


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _is_below(action: Optional[Action], above: Action) -> bool:
    while action is not None:
        if action is above:
            return True
        action = action._above
    return False


class ActionContext:
    """What action() returns: `with` it (or `async with`), or put it over a function."""

    def __init__(
        self, label: Optional[str], above: Optional[Action], options: Dict[str, Any]
    ) -> None:
        self._label, self._above, self._options = label, above, options
        self._entered: List[Optional[Action]] = []

    def _make(self, label: str) -> Optional[Action]:
        above = current()
        if self._above is not None and not _is_below(above, self._above):
            above = self._above
        if above is not None:
            return Action(label, above._place, above.name, above, **self._options)
        if not os.environ.get("RUNTREE_RUN") and not os.environ.get("RUNTREE_URL"):
            return None  # nobody wants to know
        place = Place(label, None, None, None)
        made: Action = _top(Action, label, place, dict(self._options))
        return made

    def _enter(self, label: str) -> Action:
        try:
            made = self._make(label)
        except Exception:
            log.debug("an action cannot be reported", exc_info=True)
            made = None
        self._entered.append(made)
        return made.__enter__() if made is not None else _unreported(label)

    def __enter__(self) -> Action:
        return self._enter(self._label or "action")

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        made = self._entered.pop()
        if made is not None:
            made.__exit__(kind, error, trace)

    async def __aenter__(self) -> Action:
        return self.__enter__()

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        label = self._label or getattr(function, "__name__", "action")

        def again() -> ActionContext:  # for each call one of its own: threads call side by side
            return ActionContext(label, self._above, self._options)

        wrapper: Any
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with again():
                    return await function(*args, **kwargs)

        elif inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                made = drive(function(*args, **kwargs), again(), _current)
                return (yield from made)

        elif inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return drive_async(function(*args, **kwargs), again(), _current)

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with again():
                    return function(*args, **kwargs)

        return wrapper  # type: ignore[no-any-return]


def _unreported(label: str) -> Action:
    """An action of which nobody is told."""
    place = Place(label, "none", None, None, {})
    made = Action.__new__(Action)
    made.__dict__.update(
        label=label, name=label, attempt=1, parent=None, outputs=None, project=place.project,
        domain=place.domain, run_name=place.run, _place=place, _above=None, _record=None,
        _process=None, _token=None, _outcome=None, _message=None, _interrupt=False,
    )  # fmt: skip
    return made


@overload
def action(label: F) -> F: ...


@overload
def action(
    label: Optional[str] = None,
    *,
    key: Optional[str] = None,
    attempt: Optional[int] = None,
    group: Optional[str] = None,
    links: Optional[Mapping[str, str]] = None,
    interrupt: bool = False,
) -> ActionContext: ...


def action(label: Any = None, **options: Any) -> Any:
    """An action below the current one: `with runtree.action("load"): …`, `@runtree.action`, or
    `@runtree.action("load")`. `label` is what the page shows. `key` is its name in the run, for who
    gives it names of their own: the same key again is the next attempt. `interrupt`: when its end is
    asked for, the main thread gets a KeyboardInterrupt. Outside of a run, where neither RUNTREE_RUN nor
    RUNTREE_URL is set, nothing is reported."""
    if callable(label):
        return ActionContext(None, None, {})(label)
    return ActionContext(label, None, options)


def _top(kind: Any, label: str, place: Place, options: Dict[str, Any]) -> Any:
    """The outermost action of this process."""
    run_members: Dict[str, Any] = {}
    if place.title:
        run_members["title"] = valid_name(place.title)
    if place.links:
        run_members["links"] = place.links
    run_members.update(options.pop("run_members", {}))
    members = {"run": run_members} if run_members else {}
    if options.get("group") is None:
        options["group"] = place.group
    return kind(label, place, place.parent, None, members=members, **options)


def run(
    name: str,
    *,
    run: Optional[str] = None,
    project: Optional[str] = None,
    domain: Optional[str] = None,
    key: Optional[str] = None,
    attempt: Optional[int] = None,
    group: Optional[str] = None,
    labels: Optional[Mapping[str, str]] = None,
    params: Optional[Mapping[str, Any]] = None,
    links: Optional[Mapping[str, str]] = None,
    interrupt: bool = False,
) -> Run:
    """What this program does as a whole: `with runtree.run("nightly") as run: …`. It is a run of its own;
    or, where `runtree exec`, a program above, Slurm or CI says in the environment which run this is,
    an action of that. `run` names the run in any case. `labels` and `params` are the run's."""
    more: Dict[str, Any] = {}
    if labels:
        more["labels"] = {_text(label): _text(value) for label, value in labels.items()}
    if params:
        more["params"] = _plain(params)
    options = {
        "key": key,
        "attempt": attempt,
        "group": group,
        "links": links,
        "interrupt": interrupt,
        "run_members": more,
    }
    place = Place(str(name), run, project, domain)
    if run is not None and key is None and place.parent is None:
        options["key"] = str(name)
    made = _top(Run, str(name), place, options)
    assert isinstance(made, Run)
    return made


# -------- the process --------


def _set_environment(action: Action) -> None:
    variables = action.variables()
    _process.saved_environment = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)


def _restore_environment() -> None:
    for name, value in _process.saved_environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    _process.saved_environment = {}


def _interrupt_main() -> None:
    signal.raise_signal(signal.SIGINT) if _is_main() else os.kill(os.getpid(), signal.SIGINT)


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _at_exit() -> None:
    """What is still open, in threads that the program does not wait for, ends with it."""
    try:
        _end_all("the program ended")
    except Exception:
        log.debug("at exit", exc_info=True)


def _end_all(reason: str) -> None:
    if _process.pid != os.getpid():
        return
    sender = _process.sender
    if sender is None:
        return
    with _process.lock:
        left, _process.open = list(_process.open), []
    for action in reversed(left):
        if action._record is not None:
            error = {"kind": "USER", "message": action.abort_reason or reason}
            sender.end(action._record, "ABORTED", {"errorInfo": error})
    sender.flush(_process.exit_seconds)
    sender.spool()


def _on_sigterm(number: int, frame: Any) -> None:
    """The program ends as it would have, by the signal; only that it is told before."""
    with contextlib.suppress(Exception):
        _end_all("ended by SIGTERM")
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _handle_sigterm() -> None:
    if _is_main() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _after_fork_in_child() -> None:
    global _process
    before, _process = _process, _Process()
    _process.service, _process.exit_seconds = before.service, before.exit_seconds
    _process.is_forked = True


def _before_fork() -> None:
    if _process.sender is not None:
        _process.sender.pause()


def _after_fork_in_parent() -> None:
    if _process.sender is not None:
        _propagate.hush_fork_warning()
        _process.sender.resume()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
atexit.register(_at_exit)
