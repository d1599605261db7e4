"""runtree exec: a command as an action, and nothing of it changed by that."""

import http.server
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from client import until
from postgres import free_port
from runtree import binary, clean_environment
from tokens import token_for


class Exec:
    """runtree exec with a spool and a run of the test's own."""

    def __init__(self, folder, url, run):
        self.spool = folder / "spool"
        self.url = url
        self.run_key = run
        self.started = []
        self.environment = {
            "RUNTREE_URL": url,
            "RUNTREE_SPOOL_DIR": str(self.spool),
            "RUNTREE_PROJECT": run.project,
            "RUNTREE_DOMAIN": run.domain,
            "PATH": f"{folder}:{os.environ['PATH']}",
        }
        if not (folder / "runtree").exists():  # for scripts, by its name
            (folder / "runtree").symlink_to(binary())

    def words(self, *words, run=True):
        return [binary(), "exec", *(["--run", self.run_key.name] if run else []), *words]

    def start(self, *words, run=True, environment=None, **options):
        variables = self.environment | (environment or {})
        options["preexec_fn"] = signals_as_in_a_terminal(options.get("preexec_fn"))
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        self.started.append(
            subprocess.Popen(
                self.words(*words, run=run), env=clean_environment(**variables), **options
            )
        )
        return self.started[-1]

    def kill(self):
        """Whatever a test that failed has left."""
        for process in self.started:
            if process.poll() is None:
                for pid in [*below(process.pid), process.pid]:
                    os.kill(pid, signal.SIGKILL)
                process.wait(60)

    def __call__(self, *words, seconds=30, input=None, **options):
        if input is not None:
            options["stdin"] = subprocess.PIPE
        process = self.start(*words, **options)
        out, err = process.communicate(input, timeout=seconds)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def flush(self, **environment):
        return self("--flush", run=False, environment=environment)

    def waiting(self):
        return sorted(self.spool.glob("wait-*.json"))


def signals_as_in_a_terminal(then=None):
    """What a shell that starts the tests in the background ignores would be ignored here, too."""

    def prepare():
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if then is not None:
            then()

    return prepare


def below(pid):
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [it for child in children for it in (*below(int(child)), int(child))]


@pytest.fixture
def execute(tmp_path, server, run):
    made = Exec(tmp_path, server.url, run)
    yield made
    made.kill()


@pytest.fixture
def away(tmp_path, run):
    """Reports to an address where nobody listens."""
    made = Exec(tmp_path, f"http://127.0.0.1:{free_port()}", run)
    yield made
    made.kill()


def action(api, run, name):
    return api.read(f"{run.path}/actions/{name}")


def tree(api, run):
    """{name: (parent, phase, attempt)}"""
    nodes = api.read(f"{run.path}/tree")["nodes"]
    return {
        node["action"]["name"]: tuple(node["action"][it] for it in ("parent", "phase", "attempt"))
        for node in nodes
    }


def sleeper(process):
    """Until the command has said that it is there."""
    assert process.stdout.readline() == "there\n"
    return process


# -------- what is reported --------


def test_success(api, run, execute):
    done = execute("--name", "a0", "--", "sh", "-c", "echo out; echo err >&2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "err\n")
    state = action(api, run, "a0")
    assert (state["phase"], state["attempt"], state["errorInfo"]) == ("SUCCEEDED", 1, None)
    phases = [it["phase"] for it in state["attempts"][0]["phaseTransitions"]]
    assert phases == ["RUNNING", "SUCCEEDED"]


def test_running_is_told_while_it_runs(api, run, execute):
    process = sleeper(execute.start("--name", "a0", "sh", "-c", "echo there; read x", stdin=-1))
    assert until(lambda: api.get(f"{run.path}/actions/a0").status_code == 200)
    assert action(api, run, "a0")["phase"] == "RUNNING"
    process.communicate("\n", timeout=30)
    assert action(api, run, "a0")["phase"] == "SUCCEEDED"


def test_failure_has_the_exit_code_and_the_last_lines(api, run, execute):
    script = "echo noise; for i in $(seq 100); do echo line $i >&2; done; exit 3"
    assert execute("--name", "a0", "sh", "-c", script).returncode == 3
    state = action(api, run, "a0")
    assert state["phase"] == "FAILED"
    error = state["attempts"][0]["errorInfo"]
    lines = "\n".join(f"line {number}" for number in range(81, 101))
    assert error == {"kind": "USER", "message": f"exit code 3: line 100\n\n{lines}"}
    (last,) = [it for it in api.read(f"{run.path}/actions/a0/events")["events"] if "exitCode" in it]
    assert last["exitCode"] == 3


@pytest.mark.parametrize("code", [1, 2, 42, 125, 126, 127, 128, 255])
def test_exit_code(execute, code):
    assert execute("sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "HUP", "USR1", "PIPE"])
def test_death_by_a_signal(api, run, execute, name):
    done = execute("--name", "a0", "sh", "-c", f"kill -{name} $$")
    assert done.returncode == -getattr(signal, f"SIG{name}"), "a shell says 128 and the number"
    state = action(api, run, "a0")
    assert (state["phase"], state["errorInfo"]["message"]) == ("FAILED", f"ended by SIG{name}")


@pytest.mark.parametrize("command, code", [("no-such-command", 127), ("/etc/passwd", 126)])
def test_command_that_cannot_be_run(api, run, execute, command, code):
    done = execute("--name", "a0", command)
    assert done.returncode == code
    assert command in done.stderr
    assert command in action(api, run, "a0")["errorInfo"]["message"]


@pytest.mark.parametrize("words", [["--colour", "x"], ["--name"], [], ["--"]])
def test_mistake_of_ours_is_125(execute, words):
    done = execute(*words, run=False)
    assert done.returncode == 125
    assert "runtree exec --help" in done.stderr


def test_options_end_where_the_command_starts(execute):
    assert execute("echo", "--name", "x", "--help").stdout == "--name x --help\n"
    assert execute("--", "echo", "--", "-h").stdout == "-- -h\n"


def test_help():
    done = subprocess.run([binary(), "exec", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert "--token-file FILE  [RUNTREE_TOKEN_FILE]" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


# -------- the command sees no difference --------


def test_bytes_pass_unchanged(execute, tmp_path):
    everything = bytes(range(256)) * 4096
    (tmp_path / "bytes").write_bytes(everything)
    process = execute.start("sh", "-c", f"cat {tmp_path}/bytes >&2; cat", text=False, stdin=-1)
    out, err = process.communicate(everything, timeout=30)
    assert out == everything
    assert err == everything


def test_standard_error_is_not_held_back(execute):
    process = execute.start("sh", "-c", "printf part >&2; read x", stdin=-1, text=False)
    assert process.stderr.read(4) == b"part"
    process.communicate(b"\n", timeout=30)


def test_order_of_both_outputs_in_one_pipe(execute):
    script = "i=0; while [ $i -lt 1000 ]; do echo $i; i=$((i+1)); echo $i >&2; i=$((i+1)); done"
    done = execute("sh", "-c", script, stderr=subprocess.STDOUT)
    assert done.stdout == "".join(f"{number}\n" for number in range(1000))


def test_outputs_in_a_file_are_the_file(api, run, execute, tmp_path):
    """Not a pipe: order, offset and appending are as without us; the error is read from it."""
    path = tmp_path / "log"
    path.write_text("before\n")
    with path.open("a") as log:
        script = "stat -L -c %F /proc/self/fd/1 /proc/self/fd/2; echo oops >&2; exit 1"
        process = execute.start("--name", "a0", "sh", "-c", script, stdout=log, stderr=log)
        assert process.wait(30) == 1
    assert path.read_text() == "before\nregular file\nregular file\noops\n"
    message = action(api, run, "a0")["attempts"][0]["errorInfo"]["message"]
    assert message == "exit code 1: oops\n\nregular file\nregular file\noops"


def test_closed_descriptors_stay_closed(execute):
    script = "for fd in 0 1 2; do [ -e /proc/$$/fd/$fd ] && exit 1; done; exit 7"
    process = execute.start(
        "sh", "-c", script, preexec_fn=lambda: os.closerange(0, 3), stdout=None, stderr=None
    )
    assert process.wait(30) == 7


def test_only_standard_input_is_closed(execute):
    done = execute("sh", "-c", "echo err >&2; exit 3", preexec_fn=lambda: os.close(0))
    assert (done.returncode, done.stderr) == (3, "err\n")


def test_other_descriptors_are_passed_on_and_not_kept(execute):
    """As make's job server needs it; and who waits for their end does not wait for us."""
    reading, writing = os.pipe()
    script = f"""import os, sys
os.write({writing}, b"token")
os.closerange(1, {writing} + 1)
sys.stdin.read()"""
    process = execute.start(sys.executable, "-c", script, pass_fds=[writing], stdin=-1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "token"
    assert process.stdout.read() == process.stderr.read() == ""
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(30) == 0


def test_who_stays_in_the_background_keeps_writing(execute):
    began = time.monotonic()
    process = execute.start("sh", "-c", "exec 3<&0; (read x <&3; echo late >&2) & exit 4", stdin=-1)
    assert process.wait(30) == 4
    assert time.monotonic() - began < 20, "it is not waited for"
    process.stdin.write("\n")
    process.stdin.close()
    assert process.stderr.read() == "late\n"


def test_nobody_reads_standard_error(execute):
    script = "trap '' PIPE; while printf x >&2; do :; done; exit 9"
    process = execute.start("bash", "-c", script)
    process.stderr.close()
    process.stdout.close()
    assert process.wait(30) == 9


def test_terminal_is_the_commands(execute):
    """All three descriptors are the terminal, it is the foreground, and Ctrl-C ends it."""
    script = "test -t 0 && test -t 1 && test -t 2 && stty size && cut -d' ' -f5,8 /proc/$$/stat"
    words = execute.words("sh", "-c", f"{script} && echo ready; exec sleep 1000")
    pid, terminal = pty.fork()
    if pid == 0:
        signals_as_in_a_terminal()()
        os.execvpe(words[0], words, clean_environment(**execute.environment))
    said = b""
    while b"ready" not in said:
        assert select.select([terminal], [], [], 30)[0]
        said += os.read(terminal, 1000)
    size, groups, _ = said.decode().splitlines()
    assert re.fullmatch(r"\d+ \d+", size)
    group, foreground = groups.split()
    assert foreground == group
    os.write(terminal, b"\x03")
    status = os.waitpid(pid, 0)[1]
    os.close(terminal)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT


def test_job_control(execute):
    """Ctrl-Z stops both, fg goes on."""
    process = sleeper(execute.start("sh", "-c", "echo there; read x", stdin=-1, process_group=0))
    os.killpg(process.pid, signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
    os.killpg(process.pid, signal.SIGCONT)
    process.communicate("\n", timeout=30)
    assert process.returncode == 0


# -------- signals --------


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT"])
def test_signal_ends_the_command_as_it_would_alone(api, run, execute, name):
    process = sleeper(execute.start("--name", "a0", "sh", "-c", "echo there; exec sleep 1000"))
    process.send_signal(getattr(signal, f"SIG{name}"))
    assert process.wait(30) == -getattr(signal, f"SIG{name}")
    state = action(api, run, "a0")
    assert (state["phase"], state["errorInfo"]["message"]) == ("ABORTED", f"ended by SIG{name}")


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1", "USR2", "ALRM"])
def test_signal_that_the_command_handles(api, run, execute, name):
    script = f"trap 'echo got; exit 5' {name}; echo there; while :; do sleep 0.05; done"
    process = sleeper(execute.start("--name", "a0", "bash", "-c", script))
    process.send_signal(getattr(signal, f"SIG{name}"))
    assert process.wait(30) == 5
    assert process.stdout.read() == "got\n"
    assert action(api, run, "a0")["phase"] == ("ABORTED" if name in ("TERM", "INT") else "FAILED")


def test_signal_to_the_group_from_inside_comes_once(execute):
    script = "trap 'echo got' USR1; kill -USR1 0; sleep 0.3"
    assert execute("bash", "-c", script, process_group=0).stdout == "got\n"


def test_ignored_signal_stays_ignored(execute):
    process = execute.start(
        "sh", "-c", "echo there; kill -HUP $$; read x; exit 3", stdin=-1,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    sleeper(process).send_signal(signal.SIGHUP)
    process.communicate("\n", timeout=30)
    assert process.returncode == 3


def test_commands_signals_are_as_they_were(execute):
    script = "import signal; print(signal.pthread_sigmask(0, []), signal.getsignal(signal.SIGPIPE))"
    command = [sys.executable, "-c", script]
    alone = subprocess.run(command, capture_output=True, text=True).stdout
    assert execute(sys.executable, "-c", script).stdout == alone


# -------- where it stands --------


def test_nesting_through_a_shell(api, run, execute):
    inner = "runtree exec --name inner sh -c 'runtree exec true'; env | grep ^RUNTREE"
    done = execute("--name", "outer", "sh", "-c", inner)
    assert f"RUNTREE_RUN={run.name}\n" in done.stdout
    found = tree(api, run)
    assert found["outer"] == (None, "SUCCEEDED", 1)
    assert found["inner"] == ("outer", "SUCCEEDED", 1)
    (name,) = found.keys() - {"outer", "inner"}
    assert re.fullmatch(r"true-\w{6}", name) and found[name] == ("inner", "SUCCEEDED", 1)


def test_make_with_jobs(api, run, execute, tmp_path):
    targets = " ".join(f"t{number}" for number in range(8))
    (tmp_path / "Makefile").write_text(
        f"all: {targets}\n{targets}:\n\t@runtree exec --name $@ -- sh -c 'test $@ != t5'\n"
    )
    done = execute("--name", "build", "make", "-k", "-j4", "-C", str(tmp_path))
    assert done.returncode == 2
    found = tree(api, run)
    assert found.pop("build") == (None, "FAILED", 1)
    assert found.pop("t5") == ("build", "FAILED", 1)
    assert found == {f"t{number}": ("build", "SUCCEEDED", 1) for number in (0, 1, 2, 3, 4, 6, 7)}


def test_cron_each_time_makes_a_run(api, run, execute):
    for _ in range(2):
        assert execute("--name", "nightly", "sh", "-c", "exit 0", run=False).returncode == 0
    runs = api.read(f"{run.base}/runs")["runs"]
    assert len(runs) == 2
    for one in runs:
        assert re.fullmatch(r"nightly-\d{8}T\d{6}Z-\w{6}", one["runName"])
        assert (one["root"], one["phase"], one["title"]) == ("nightly", "SUCCEEDED", "nightly")


def test_slurm_array_is_one_run(api, run, execute):
    job = {"SLURM_ARRAY_JOB_ID": "4711", "SLURM_JOB_ID": "4713", "SLURM_JOB_NAME": "fit"}
    nested = "runtree exec --name eval -- true"
    for task in ("1", "2"):
        variables = job | {"SLURM_ARRAY_TASK_ID": task}
        execute("--name", "fit", "sh", "-c", nested, run=False, environment=variables)
    variables |= {"SLURM_RESTART_COUNT": "1"}
    execute("--name", "fit", "false", run=False, environment=variables)
    base = f"{run.base}/runs/slurm-4711"
    actions = {it["name"]: it for it in api.read(f"{base}/actions")["actions"]}
    assert {name: (it["parent"], it["phase"], it["attempt"]) for name, it in actions.items()} == {
        "fit.1": (None, "SUCCEEDED", 1),
        "eval.1": ("fit.1", "SUCCEEDED", 1),
        "fit.2": (None, "FAILED", 2),
        "eval.2": ("fit.2", "SUCCEEDED", 1),
    }
    assert actions["fit.1"]["group"] == "fit"


def test_same_name_again_is_the_next_attempt(api, run, execute):
    execute("--name", "a0", "false")
    execute("--name", "a0", "false")
    execute("--name", "a0", "true")
    state = action(api, run, "a0")
    assert [it["phase"] for it in state["attempts"]] == ["FAILED", "FAILED", "SUCCEEDED"]


def test_same_name_below_another_action(api, run, execute):
    for outer in ("x", "y"):
        execute("--name", outer, "sh", "-c", "runtree exec --name step true")
    found = tree(api, run)
    assert found["step"] == ("x", "SUCCEEDED", 1)
    assert found["y.step"] == ("y", "SUCCEEDED", 1)


def test_github_workflow_is_one_run_with_a_link(api, run, execute):
    variables = {"GITHUB_RUN_ID": "77", "GITHUB_WORKFLOW": "Nightly build", "GITHUB_JOB": "test"}
    variables |= {"GITHUB_REPOSITORY": f"owner/{run.project}", "RUNTREE_PROJECT": ""}
    for attempt in ("1", "2"):
        variables["GITHUB_RUN_ATTEMPT"] = attempt
        execute("--name", "unit", "--title", "Unit tests", "true", run=False, environment=variables)
    base = f"/v1/projects/owner%2F{run.project}/domains/{run.domain}/runs/77"
    summary = api.read(base)
    assert summary["title"] == "Nightly build"
    (link,) = summary["links"]
    assert link["url"] == f"https://github.com/owner/{run.project}/actions/runs/77"
    state = api.read(f"{base}/actions/unit")
    assert (state["attempt"], state["group"], state["title"]) == (2, "test", "Unit tests")


def test_name_that_no_name_can_be(api, run, execute):
    title = "t\n" + "ü" * 400
    assert execute("--name", "a\nb\x7f", "--title", title, "true").returncode == 0
    state = action(api, run, "a_b_")
    assert (state["phase"], state["title"]) == ("SUCCEEDED", "t_" + "ü" * 255)


# -------- the service is away, slow, or refuses --------


def test_service_away(away):
    done = away("--name", "a0", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    (file,) = away.waiting()
    assert file.stat().st_mode & 0o777 == 0o600
    document = json.loads(file.read_text())
    assert document["url"] == away.url
    assert [it["phase"] for it in document["events"]] == ["RUNNING", "FAILED"]


def test_next_exec_sends_what_waits(api, run, away, server, tmp_path):
    for code in (3, 4):
        away("--name", f"early{code}", "sh", "-c", f"exit {code}")
    spool_of_a_service_that_comes_back(away, server.url)
    assert away("--name", "late", "true").returncode == 0
    assert tree(api, run) == {
        "early3": (None, "FAILED", 1),
        "early4": (None, "FAILED", 1),
        "late": (None, "SUCCEEDED", 1),
    }
    assert away.waiting() == []


def spool_of_a_service_that_comes_back(execute, url):
    """As if it had been the address of `url` that nobody listened on."""
    for file in execute.waiting():
        file.write_text(file.read_text().replace(execute.url, url))
    execute.url = execute.environment["RUNTREE_URL"] = url


def test_flush(api, run, away, server):
    done = away.flush()
    assert (done.returncode, done.stdout) == (0, "0 events sent, 0 commands still to be told\n")
    away("--name", "a0", "false")
    away("--name", "a0", "true")
    assert away.flush().returncode == 1
    spool_of_a_service_that_comes_back(away, server.url)
    done = away.flush()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "4 events sent, 0 commands still to be told\n"
    assert [it["phase"] for it in action(api, run, "a0")["attempts"]] == ["FAILED", "SUCCEEDED"]


def test_events_for_another_service_stay(execute, away, tmp_path):
    away("--name", "a0", "true")
    execute.environment["RUNTREE_SPOOL_DIR"] = str(away.spool)
    assert execute("true").returncode == 0
    assert len(away.waiting()) == 1


def test_service_that_does_not_answer(tmp_path, run):
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        silent = Exec(tmp_path, f"http://127.0.0.1:{listener.getsockname()[1]}", run)
        began = time.monotonic()
        done = silent("--wait-s", "1", "sh", "-c", "echo err >&2; exit 3")
        assert (done.returncode, done.stderr) == (3, "err\n")
        assert 1 <= time.monotonic() - began < 15
        assert len(silent.waiting()) == 1
        began = time.monotonic()
        assert silent("--wait-s", "0", "true").returncode == 0
        assert time.monotonic() - began < 15


def test_nothing_is_lost_while_the_service_restarts(
    start_runtree, postgres, open_api, tmp_path, run
):
    url, port = postgres.new_database(), free_port()
    first = start_runtree(database_url=url, port=port)
    execute = Exec(tmp_path, first.url, run)
    targets = " ".join(f"t{number}" for number in range(60))
    recipe = "\t@runtree exec --name $@ -- sh -c 'sleep 0.1; test $@ != t7'\n"
    (tmp_path / "Makefile").write_text(f"all: {targets}\n{targets}:\n{recipe}")
    process = execute.start("--name", "build", "make", "-k", "-j8", "-C", str(tmp_path))
    api = open_api(first)
    until(lambda: api.get(f"{run.path}/actions/t20").status_code == 200)
    first.kill()
    until(execute.waiting)
    start_runtree(database_url=url, port=port)
    process.communicate(timeout=60)
    assert process.returncode == 2
    assert execute.flush().returncode == 0
    assert execute.waiting() == [] and not [*execute.spool.glob("refused-*")]
    counts = api.read(run.path)["phaseCounts"]
    assert counts == {"FAILED": 2, "SUCCEEDED": 59}


@pytest.fixture
def answer():
    """Starts a service that answers each request as it is told."""
    servers = []

    def start(function):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, document = function(self.command, self.path, body)
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for one in servers:
        one.shutdown()
        one.server_close()


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_service_that_will_not_now(tmp_path, run, answer, status):
    refusing = Exec(tmp_path, answer(lambda *_: (status, {})), run)
    done = refusing("sh", "-c", "echo err >&2; exit 3")
    assert (done.returncode, done.stderr) == (3, "err\n")
    assert len(refusing.waiting()) == 1


def test_verbose_says_what_goes_wrong(away):
    done = away("--verbose", "sh", "-c", "exit 3")
    assert done.returncode == 3
    assert away.url in done.stderr


def test_what_is_refused_for_ever_is_kept_apart(execute, tmp_path):
    execute.environment["RUNTREE_PROJECT"] = "-" * 600
    assert execute("--name", "a0", "true").returncode == 0
    assert execute.waiting() == []
    (file, *_) = execute.spool.glob("refused-*.json")
    (refused, *_) = json.loads(file.read_text())["refused"]
    assert refused["problem"]["pointer"] == "/project"


def test_as_much_as_may_wait(away):
    away.spool.mkdir()
    for number in range(9_999):
        (away.spool / f"wait-{number:05}.json").touch()
    for _ in range(2):
        assert away("--name", "a0", "sh", "-c", "exit 3").returncode == 3
        assert len(away.waiting()) == 10_000


def test_folder_that_is_named_from_here(away, tmp_path):
    """Also by what is run in another folder; and who names one is trusted."""
    (tmp_path / "mine").mkdir(mode=0o777)
    (tmp_path / "mine").chmod(0o777)
    inner = "cd / && runtree exec --name a1 true"
    away("--spool-dir", "mine", "--name", "a0", "sh", "-c", inner, cwd=tmp_path)
    assert len([*(tmp_path / "mine").glob("wait-*")]) == 2


def test_folder_that_cannot_be_written(away):
    done = away("sh", "-c", "echo err >&2; exit 3", environment={"RUNTREE_SPOOL_DIR": "/proc/x"})
    assert (done.returncode, done.stderr) == (3, "err\n")


def test_token(tmp_path, guarded, run, ask, master):
    execute = Exec(tmp_path, guarded.url, run)
    execute("--name", "a0", "true")
    assert len(execute.waiting()) == 1, "401 without a token"
    (tmp_path / "token").write_text(token_for(write=[f"{run.project}/*"]) + "\n")
    inner = "runtree exec --name a1 true"
    execute("--token-file", str(tmp_path / "token"), "--name", "a2", "sh", "-c", inner)
    assert execute.waiting() == []
    for name in ("a0", "a1", "a2"):
        state = ask("GET", f"{run.path}/actions/{name}", master).json()
        assert state["phase"] == "SUCCEEDED"
    execute("--name", "a3", "true", environment={"RUNTREE_TOKEN": token_for(write=["*/*"])})
    assert ask("GET", f"{run.path}/actions/a3", master).json()["phase"] == "SUCCEEDED"


# -------- a sign of life, and an abort --------


def test_heartbeats_come_ever_later(api, run, execute):
    process = sleeper(
        execute.start("--heartbeat-s", "1", "--name", "a0", "sh", "-c", "echo there; read x", stdin=-1)
    )  # fmt: skip
    until(lambda: len(versions(api, run)) == 3, seconds=30)
    process.communicate("\n", timeout=30)
    events = api.read(f"{run.path}/actions/a0/events")["events"]
    moments = [seconds(it["updatedTime"]) for it in events if it["phase"] == "RUNNING"]
    assert moments[2] - moments[1] > 1.5 * (moments[1] - moments[0])


def versions(api, run):
    response = api.get(f"{run.path}/actions/a0/events")
    return [it["version"] for it in response.json().get("events", ())]


def seconds(text):
    hours, minutes, rest = text[11:-1].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def ask_abort(api, path, reason="too slow"):
    response = api.post({"reason": reason}, path=f"{path}/abort")
    assert response.status_code == 200, response.text


def test_abort_ends_all_below(api, run, execute):
    """Also what is in a session of its own; and the runtree exec inside tells of its end."""
    script = "(setsid sleep 1000 & wait) & runtree exec --name a1 sh -c 'echo there; sleep 1000'"
    process = sleeper(execute.start("--name", "a0", "bash", "-c", script))
    until(lambda: api.get(f"{run.path}/actions/a1").status_code == 200)
    ask_abort(api, f"{run.path}/actions/a0")
    assert process.wait(30) in (-signal.SIGTERM, 128 + signal.SIGTERM), "as bash has it"
    outer, inner = action(api, run, "a0"), action(api, run, "a1")
    assert outer["phase"] == inner["phase"] == "ABORTED"
    assert outer["errorInfo"]["message"].startswith("aborted")
    assert "too slow" in outer["errorInfo"]["message"]
    assert process.stdout.read() == "", "nobody has it open any more"


def test_abort_of_the_run(api, run, execute):
    process = sleeper(execute.start("--name", "a0", "sh", "-c", "echo there; exec sleep 1000"))
    until(lambda: api.get(run.path).status_code == 200)
    ask_abort(api, run.path)
    assert process.wait(30) == -signal.SIGTERM
    assert "too slow" in action(api, run, "a0")["errorInfo"]["message"]


def test_abort_of_an_action_above_elsewhere(api, run, execute):
    """As on another machine: nobody but the service connects the two."""
    api.post_one(run.event("top", "RUNNING", parent=None))
    process = sleeper(
        execute.start("--name", "a0", "--parent", "top", "sh", "-c", "echo there; exec sleep 1000")
    )
    until(lambda: api.get(f"{run.path}/actions/a0").status_code == 200)
    ask_abort(api, f"{run.path}/actions/top")
    assert process.wait(30) == -signal.SIGTERM
    state = action(api, run, "a0")
    assert (state["phase"], state["errorInfo"]["message"]) == (
        "ABORTED",
        "aborted with an action above",
    )


def test_abort_kills_who_does_not_end(api, run, execute):
    script = "trap '' TERM; echo there; while :; do sleep 0.1; done"
    process = sleeper(execute.start("--grace-s", "1", "--name", "a0", "bash", "-c", script))
    until(lambda: api.get(f"{run.path}/actions/a0").status_code == 200)
    ask_abort(api, run.path)
    assert process.wait(30) == -signal.SIGKILL
    assert action(api, run, "a0")["phase"] == "ABORTED"


def test_abort_of_a_command_that_then_ends_well(api, run, execute):
    script = "trap 'exit 0' TERM; echo there; while :; do sleep 0.05; done"
    process = sleeper(execute.start("--name", "a0", "bash", "-c", script))
    until(lambda: api.get(f"{run.path}/actions/a0").status_code == 200)
    ask_abort(api, run.path)
    assert process.wait(30) == 0
    assert action(api, run, "a0")["phase"] == "ABORTED"
