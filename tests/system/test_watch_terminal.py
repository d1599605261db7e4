"""runtree watch: a run's tree in a terminal, or a line for each change."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from client import Api
from inventions import RunKey, at
from postgres import free_port
from runtree import binary, clean_environment
from tokens import token_for

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", re.MULTILINE)


@pytest.fixture
def start_watch(server, run):
    """Starts runtree watch, by default of the test's run, with its output in pipes."""
    started = []

    def start(*words, url=None, **variables):
        environment = {"RUNTREE_URL": url or server.url, "RUNTREE_PROJECT": run.project}
        environment |= {"RUNTREE_DOMAIN": run.domain} | variables
        process = subprocess.Popen(
            [binary(), "watch", *(words or (run.name,))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(**environment),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def watch(start_watch):
    """Runs it to its end; its exit status, lines without their times, and errors."""

    def run_it(*words, **options):
        process = start_watch(*words, **options)
        out, err = process.communicate(timeout=30)
        return process.returncode, TIME.sub("", out).splitlines(), err

    return run_it


def finished(api, run, phase="SUCCEEDED"):
    api.post_all(
        [
            run.event("a0", "RUNNING", parent=None, updatedTime=at(0)),
            run.event("a1", "RUNNING", parent="a0", updatedTime=at(10)),
            run.event("a1", "FAILED", errorInfo={"message": "no disk\nat all"}, updatedTime=at(20)),
            run.event("a1", "SUCCEEDED", attempt=2, updatedTime=at(30)),
            run.event("a0", phase, updatedTime=at(1500)),
        ]
    )


@pytest.mark.parametrize(
    "phase, status",
    [("SUCCEEDED", 0), ("RECOVERED", 0), ("SKIPPED", 0), ("FAILED", 1), ("ABORTED", 3), ("TIMED_OUT", 4)],
)  # fmt: skip
def test_exit_status_is_what_the_run_has_come_to(api, run, watch, phase, status):
    finished(api, run, phase)
    found, lines, _ = watch()
    assert found == status
    assert lines[:2] == [f"{phase:9} a0", "SUCCEEDED a1, attempt 2"]
    assert lines[2].startswith(f"{run.project}/{run.domain}/r1 {phase}: 2 actions, ")


def test_each_change_is_a_line(api, run, start_watch):
    process = start_watch(run.name, "--wait")
    said = []

    def expect(line):
        said.append(TIME.sub("", process.stdout.readline()))
        assert said[-1] == line + "\n"

    api.post_one(run.event("a0", "RUNNING", parent=None))
    expect("RUNNING   a0")
    api.post_one(run.event("a1", "QUEUED", parent="a0", title="Load"))
    expect("QUEUED    Load")
    api.post_one(run.event("a1", "QUEUED", version=1))
    api.post_one(run.event("a1", "FAILED", errorInfo={"message": "no \x1b[2Jdisk\nat all"}))
    expect("FAILED    Load: no [2Jdisk")
    api.post_one(run.event("a1", "SUCCEEDED", attempt=2))
    expect("SUCCEEDED Load, attempt 2")
    assert process.poll() is None
    api.post_one(run.event("a0", "SUCCEEDED"))
    expect("SUCCEEDED a0")
    assert process.wait(30) == 0


def test_no_follow(api, run, watch):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    status, lines, _ = watch(run.name, "--no-follow")
    assert (status, lines[0]) == (5, "RUNNING   a0")
    finished(api, run, "FAILED")
    assert watch("--no-follow", run.name)[0] == 1


@pytest.mark.parametrize(
    "form",
    [
        "{project}/{domain}/{run}",
        "{url}/#/runs/{project}/{domain}/{run}?phase=FAILED",
        "{url}/v1/projects/{project}/domains/{domain}/runs/{run}",
        "{url}/v1/projects/{project}/domains/{domain}/runs/{run}/watch?wait=true",
    ],
)
def test_names_of_a_run(api, run, watch, server, form):
    odd = RunKey(f"owner/{run.project}", run.domain, "r 1/ü")
    path = RunKey(odd.project.replace("/", "%2F"), odd.domain, "r%201%2F%C3%BC")
    finished(api, odd)
    name = form.format(
        url=server.url, project=path.project, domain=path.domain, run=path.name
    )  # fmt: skip
    status, lines, error = watch(name, RUNTREE_PROJECT="other", RUNTREE_URL=server.url)
    assert (status, error) == (0, "")
    assert lines[-1].startswith(f"{odd.project}/{odd.domain}/r 1/ü SUCCEEDED: ")


def test_run_that_is_not_there(run, watch):
    status, lines, error = watch()
    assert (status, lines) == (6, [])
    assert f"{run.project}/{run.domain}/{run.name}" in error and "404" in error


def test_service_that_is_not_there(watch):
    url = f"http://127.0.0.1:{free_port()}"
    status, _, error = watch(url=url)
    assert status == 6 and url in error


@pytest.mark.parametrize("words", [[""], ["--x"], ["a", "b"], ["//"], ["http://x/"], ["--url"]])
def test_mistake_is_2(watch, words):
    status, _, error = watch(*words)
    assert status == 2 and "runtree watch --help" in error


def test_help():
    done = subprocess.run([binary(), "watch", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--no-follow" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_token(tmp_path, guarded, guarded_run, start_watch):
    name = f"{guarded_run.project}/{guarded_run.domain}/{guarded_run.name}"
    token = token_for(read=[f"{guarded_run.project}/*"])
    (tmp_path / "token").write_text(token)
    words = [name, "--no-follow"]
    for arguments, variables in (
        ([*words, "--token-file", str(tmp_path / "token")], {}),
        (words, {"RUNTREE_TOKEN": token}),
    ):
        assert start_watch(*arguments, url=guarded.url, **variables).wait(30) == 5
    process = start_watch(*words, url=guarded.url)
    assert process.wait(30) == 6 and "401" in process.stderr.read()


def test_goes_on_after_a_restart_and_says_nothing_twice(start_runtree, postgres, run, start_watch):
    url, port = postgres.new_database(), free_port()
    first = start_runtree(database_url=url, port=port)
    api = Api(first.url)
    api.post_one(run.event("a0", "RUNNING", parent=None))
    process = start_watch(url=first.url)
    assert process.stdout.readline().endswith("RUNNING   a0\n")
    first.stop()
    second = start_runtree(database_url=url, port=port)
    api.post_all([run.event("a1", "SUCCEEDED", parent="a0"), run.event("a0", "SUCCEEDED")])
    out, err = process.communicate(timeout=40)
    lines = TIME.sub("", out).splitlines()
    assert sorted(lines[:2]) == ["SUCCEEDED a0", "SUCCEEDED a1"]
    assert (process.returncode, len(lines), err) == (0, 3, "")
    second.stop()
    api.close()


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, rows, columns, *words, **variables):
        self.text = ""
        variables = {"TERM": "xterm", "LC_ALL": "C.UTF-8"} | variables
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where a shell runs the tests behind
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execve(binary(), [binary(), *words], clean_environment(**variables))

    def read_until(self, text, seconds=30):
        """A picture that has been drawn to its end, whose last is that the cursor comes back."""
        deadline = time.monotonic() + seconds
        while text not in self.text or not self.text.endswith("\x1b[?25h"):
            assert select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0], (
                self.text
            )
            try:
                self.text += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(self.text) from None

    def picture(self):
        """The lines of the last picture, without colours."""
        last = self.text.split("\x1b[J")[-1].split("\x1b[?7h")[0]
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last).split("\r\n")[:-1]

    def end(self):
        """The exit status."""
        try:
            while chunk := os.read(self.fd, 65536):
                self.text += chunk.decode(errors="replace")
        except OSError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal(server, run):
    variables = {"RUNTREE_URL": server.url, "RUNTREE_PROJECT": run.project}
    variables["RUNTREE_DOMAIN"] = run.domain
    return lambda rows, columns, **more: Terminal(
        rows, columns, "watch", run.name, **variables, **more
    )


def test_tree_in_a_terminal(api, run, terminal):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    screen = terminal(24, 80)
    screen.read_until(" a0")
    assert screen.picture()[1].startswith("● a0")
    api.post_one(run.event("a1", "FAILED", parent="a0", errorInfo={"message": "no disk"}))
    screen.read_until("no disk")
    api.post_one(run.event("a0", "SUCCEEDED"))
    assert screen.end() == 0
    head, root, child = screen.picture()
    assert head.startswith(f"{run.project}/{run.domain}/r1  SUCCEEDED  ")
    assert head.endswith("  2 actions, 1 failed, 1 succeeded")
    assert root.startswith("✓ a0  ") and child == "└ ✗ a1  no disk"
    assert "\x1b[31m" in screen.text


def test_picture_is_as_large_as_the_terminal(api, run, terminal):
    names = [f"a{number}" for number in range(200)]
    events = [run.event("root", "RUNNING", parent=None)]
    events += [run.event(name, "SUCCEEDED", parent="root") for name in names]
    events.append(run.event("deep", "FAILED", parent="a150"))
    api.post_all(events)
    screen = terminal(10, 40)
    screen.read_until("deep")
    lines = screen.picture()
    assert len(lines) == 9, "and one for the cursor"
    assert max(map(len, lines)) <= 40
    assert lines[-2].endswith("✗ deep") or "✗ deep" in "\n".join(lines)
    assert lines[-1].startswith("195 more")
    fcntl.ioctl(screen.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 40, 0, 0))
    screen.read_until("185 more")
    api.post_one(run.event("root", "FAILED"))
    assert screen.end() == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_a_signal(api, run, terminal, number):
    api.post_one(run.event("a0", "RUNNING", parent=None))
    screen = terminal(24, 80)
    screen.read_until("1 running")
    os.kill(screen.pid, number)
    assert screen.end() == -number
    assert screen.text.rindex("\x1b[?25h") > screen.text.rindex("\x1b[?25l"), "the cursor is back"


def test_plain_terminals(api, run, terminal):
    finished(api, run)
    for variables in ({"TERM": "dumb"}, {"NO_COLOR": "1", "LC_ALL": "C"}):
        screen = terminal(24, 80, **variables)
        assert screen.end() == 0
        assert not re.search(r"\x1b\[[0-9;]*m", screen.text), "no colours"
        assert screen.text.isascii()
