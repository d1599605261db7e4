"""The server under test as a process: started, watched, stopped, and its last words read."""

import os
import pathlib
import re
import signal
import subprocess
import time

import httpx

from postgres import OTHER_CELLS, free_port

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

# How long what comes at once may take on a loaded machine.
PATIENCE_S = 60

SANITIZER_REPORT = re.compile(
    r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|ThreadSanitizer|runtime error:"
)


def binary():
    """The server's binary: $RUNTREE_BIN, by default build/runtree."""
    path = REPOSITORY / os.environ.get("RUNTREE_BIN", "build/runtree")
    assert path.exists(), f"{path} is not there: build it first, or set RUNTREE_BIN"
    return str(path)


def clean_environment(**variables):
    """Ours without what would configure runtree or libpq behind the test's back."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("RUNTREE_", "PG"))
    }
    kept.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    return kept | variables


# What a sanitizer keeps of freed memory is resident, too; for who looks at resident_bytes().
SMALL_QUARANTINE = {"ASAN_OPTIONS": "quarantine_size_mb=1"}


def cells(urls):
    """The arguments for a cell on each of these databases."""
    return [argument for url in urls for argument in ("--database-url", url)]


class Runtree:
    """One `runtree serve`, which logs into `folder`, or to the descriptor `stderr` if that is given.
    Not started before start()."""

    def __init__(
        self, folder, *arguments, database_url=None, environment=None, port=None, stderr=None
    ):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        self._stderr = stderr
        self._folder = pathlib.Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self.arguments = ["serve", "--listen", f"127.0.0.1:{self.port}", *arguments]
        if database_url:
            self.arguments += cells((database_url, *OTHER_CELLS.get(database_url, ())))
        self._environment = clean_environment(**(environment or {}))

    def start(self, until="/readyz", seconds=PATIENCE_S):
        """Starts, and waits until it is ready or `until`, if that is another path, answers 200; None:
        waits for nothing."""
        with open(self._folder / "stdout", "ab") as out, open(self._folder / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                [binary(), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err if self._stderr is None else self._stderr,
                env=self._environment,
                cwd=self._folder,
            )
        if until == "/readyz":
            self.wait_until_ready(seconds)
        elif until:
            self.wait_for(until, 200, seconds)
        return self

    def wait_for(self, path, status, seconds=PATIENCE_S):
        """Polls `path` until it answers `status`."""
        self._wait(lambda: self._answer(path)[0], status, path, seconds)

    def wait_until_ready(self, seconds=PATIENCE_S):
        """Until every cell can be read, written to and heard: a mere 200 of /readyz is by quorum."""
        self._wait(lambda: self._answer("/readyz"), (200, {"status": "ok"}), "/readyz", seconds)

    def _wait(self, ask, wanted, what, seconds):
        deadline = time.monotonic() + seconds
        while (seen := ask()) != wanted:
            assert self.process.poll() is None, f"exit {self.process.returncode}\n{self.log()}"
            assert time.monotonic() < deadline, f"{what}: {seen}, not {wanted}\n{self.log()}"
            time.sleep(0.03)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, by=signal.SIGTERM, seconds=20):
        """The clean end that the contract promises: exit 0 in time, and no sanitizer's report."""
        if self.is_running():
            self.process.send_signal(by)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"still running after {seconds} s\n{self.log()}") from None
        assert self.process.returncode == 0, f"exit {self.process.returncode}\n{self.log()}"
        assert not SANITIZER_REPORT.search(self.log()), self.log()

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def resident_bytes(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def log(self):
        """The end of everything that it has written."""
        texts = ((self._folder / name).read_text(errors="replace") for name in ("stdout", "stderr"))
        return "\n".join(text[-20_000:] for text in texts)

    def forget_peak_memory(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak_memory_bytes(self):
        """The most memory that it had at a time since the start, or since that was forgotten."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    def _answer(self, path):
        """Its status, and the document if it is one."""
        try:
            answer = httpx.get(self.url + path, timeout=PATIENCE_S)
        except httpx.TransportError as error:
            return repr(error), None
        is_json = answer.headers.get("content-type") == "application/json"
        return answer.status_code, answer.json() if is_json else None


def run_to_exit(*arguments, environment=None, seconds=PATIENCE_S):
    """Runs the binary with these arguments until it ends by itself."""
    return subprocess.run(
        [binary(), *arguments],
        text=True,
        capture_output=True,
        timeout=seconds,
        env=clean_environment(**(environment or {})),
        cwd="/tmp",
    )
