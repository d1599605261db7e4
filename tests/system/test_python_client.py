"""clients/python: programs that report as they run, each a process of its own, and what they read."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from client import Api, until
from postgres import free_port
from runtree import REPOSITORY, binary, clean_environment
from tokens import token_for

PYTHON = os.environ.get("RUNTREE_CLIENT_PYTHON", sys.executable)  # to try others, such as 3.9
SOURCES = REPOSITORY / "clients" / "python" / "src"


class Program:
    """Runs Python text with the client, and a spool of the test's own."""

    def __init__(self, folder, url, run):
        self.folder, self.url, self.spool = folder, url, folder / "spool"
        self.environment = {
            "PYTHONPATH": str(SOURCES),
            "RUNTREE_URL": url,
            "RUNTREE_SPOOL_DIR": str(self.spool),
            "RUNTREE_PROJECT": run.project,
            "RUNTREE_DOMAIN": run.domain,
            "RUNTREE_BINARY": binary(),
        }

    def start(self, text, *arguments, **variables):
        text = "import runtree\n" + textwrap.dedent(text)
        return subprocess.Popen(
            [PYTHON, "-c", text, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(**self.environment | variables),
            cwd=self.folder,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in a terminal
        )

    def __call__(self, text, *arguments, status=0, **variables):
        """What it prints; its exit status must be that, and it must not say anything else."""
        process = self.start(text, *arguments, **variables)
        out, err = process.communicate(timeout=60)
        assert process.returncode == status, err
        if status == 0:
            assert err == ""
        return out

    def waiting(self):
        return sorted(self.spool.glob("wait-*.json"))


@pytest.fixture
def program(tmp_path, server, run):
    return Program(tmp_path, server.url, run)


@pytest.fixture
def away(tmp_path, run):
    return Program(tmp_path, f"http://127.0.0.1:{free_port()}", run)


def tree(api, run, key="name"):
    """{label: (parent's label, phase)}"""
    actions = [node["action"] for node in api.read(f"{run.path}/tree")["nodes"]]
    labels = {it["name"]: it.get("title") or it["name"] for it in actions}
    names = labels if key == "title" else {it["name"]: it["name"] for it in actions}
    return {names[it["name"]]: (names.get(it["parent"]), it["phase"]) for it in actions}


def action(api, run, name):
    return api.read(f"{run.path}/actions/{name}")


# -------- what is reported --------


def test_run_with_actions(api, run, program):
    program("""
        with runtree.run("nightly", run="r1", labels={"team": "a"}, params={"n": 3}) as run:
            with run.action("load", group="io", links={"log": "https://x/1"}):
                with run.action("read"):
                    pass
            with run.action("train") as action:
                action.outputs = {"accuracy": 0.5, "odd": {1, object}, "not": float("nan")}
    """)
    assert tree(api, run) == {
        "nightly": (None, "SUCCEEDED"),
        "load": ("nightly", "SUCCEEDED"),
        "read": ("load", "SUCCEEDED"),
        "train": ("nightly", "SUCCEEDED"),
    }
    summary = api.read(run.path)
    assert (summary["labels"], summary["params"]) == ({"team": "a"}, {"n": 3})
    load = action(api, run, "load")
    assert load["group"] == "io" and load["links"] == [{"name": "log", "url": "https://x/1"}]
    (attempt,) = action(api, run, "train")["attempts"]
    assert attempt["outputs"]["accuracy"] == 0.5 and attempt["outputs"]["not"] == "nan"


def test_run_of_its_own(api, run, program):
    out = program("""
        with runtree.run("nightly") as run:
            print(run.run_name, run.url)
    """)
    (found,) = api.read(f"{run.base}/runs")["runs"]
    name, url = out.split()
    assert found["runName"] == name and re.fullmatch(r"nightly-\d{8}T\d{6}Z-\w{6}", name)
    assert (found["phase"], found["title"], found["root"]) == ("SUCCEEDED", "nightly", "nightly")
    assert url == f"{program.url}/#/runs/{run.project}/{run.domain}/{name}"


@pytest.mark.parametrize(
    "raised, phase, message, status",
    [
        ("ValueError('no\\ndisk')", "FAILED", "ValueError: no\ndisk\n\nTraceback (most", 1),
        ("SystemExit(3)", "FAILED", "exit code 3", 3),
        ("SystemExit(0)", "SUCCEEDED", None, 0),
        ("SystemExit()", "SUCCEEDED", None, 0),
        ("KeyboardInterrupt()", "ABORTED", "KeyboardInterrupt", -signal.SIGINT),
        ("runtree.Aborted('enough')", "ABORTED", "enough", 1),
    ],
)
def test_end_by_an_exception(api, run, program, raised, phase, message, status):
    program(
        f"""
        with runtree.run("a0", run="r1"):
            raise {raised}
        """,
        status=status,
    )
    state = action(api, run, "a0")
    assert state["phase"] == phase
    if message is None:
        assert state["errorInfo"] is None
    else:
        assert state["attempts"][0]["errorInfo"]["message"].startswith(message)


def test_end_as_it_says_itself(api, run, program):
    program("""
        with runtree.run("a0", run="r1") as run:
            with run.action("nothing") as nothing:
                nothing.skip()
            with run.action("bad") as bad:
                bad.fail("the data set is empty")
    """)
    assert action(api, run, "nothing")["phase"] == "SKIPPED"
    bad = action(api, run, "bad")
    assert (bad["phase"], bad["errorInfo"]["message"]) == ("FAILED", "the data set is empty")


def test_decorators(api, run, program):
    out = program("""
        import asyncio

        @runtree.action
        def plain(x):
            "Doc."
            return x + 1

        @runtree.action("Said otherwise", group="g")
        async def later(x):
            return x * 2

        with runtree.run("a0", run="r1"):
            print(plain(1), plain(2), asyncio.run(later(3)), plain.__name__, plain.__doc__)
    """)
    assert out == "2 3 6 plain Doc.\n"
    assert tree(api, run) == {
        "a0": (None, "SUCCEEDED"),
        "plain": ("a0", "SUCCEEDED"),
        "plain-2": ("a0", "SUCCEEDED"),
        "Said otherwise": ("a0", "SUCCEEDED"),
    }
    assert action(api, run, "plain-2")["title"] == "plain"


def test_key_is_the_name_and_again_the_next_attempt(api, run, program):
    text = """
        with runtree.run("top", run="r1"):
            for fails in (True, False):
                with runtree.action("Load", key="load") as load:
                    if fails:
                        load.fail("not yet")
    """
    program(text)
    assert [it["phase"] for it in action(api, run, "load")["attempts"]] == ["FAILED", "SUCCEEDED"]
    program(text)
    phases = [it["phase"] for it in action(api, run, "load")["attempts"]]
    assert phases == ["FAILED", "SUCCEEDED"] * 2
    assert len(action(api, run, "top")["attempts"]) == 2


def test_outside_of_a_run(api, run, program):
    text = """
        @runtree.action
        def f():
            return runtree.current()
        with runtree.action("x") as x:
            x.raise_if_aborted()
            print(x.abort_requested, x.label)
        f()
    """
    assert program(text, RUNTREE_URL="") == "False x\n"
    assert api.read(f"{run.base}/runs")["runs"] == []
    program(text)
    names = {it["runName"][0] for it in api.read(f"{run.base}/runs")["runs"]}
    assert names == {"x", "f"}, "whoever says where to is told"


def test_names_that_no_name_can_be(api, run, program):
    program("""
        with runtree.run("a\\nb\\ud800" + "x" * 600, run="r1") as run:
            with run.action(".."), run.action(7):
                pass
    """)
    names = tree(api, run)
    assert {"__", "7"} < set(names)
    (root,) = set(names) - {"__", "7"}
    assert root.startswith("a_b?xx") and len(root.encode()) == 512


def test_readme_as_written(api, run, program):
    text = (SOURCES.parent / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    program(blocks[0])
    (found,) = api.read(f"{run.base}/runs")["runs"]
    assert (found["title"], found["phaseCounts"]) == ("nightly", {"SUCCEEDED": 6})
    nightly = blocks[1].replace("nightly-1", found["runName"])
    nightly = nightly.replace('"default"', f'"{run.project}"').replace(', phase="FAILED"', "")
    out = program(nightly.replace('(phase="FAILED")', "()"))
    assert f"{found['runName']} {{'SUCCEEDED': 6}}" in out and "train SUCCEEDED" in out


def test_whatever_a_program_says(api, run, program):
    """What cannot be said is said otherwise, or left out; the state of the action is told."""
    program("""
        with runtree.run("top", run="r1", labels={"a" * 5000: "x"}, params={"p": "\\0"}) as run:
            with run.action("odd", links={"x": "y" * 100_000}) as odd:
                odd.outputs = {"cut": "\\ud800\\0", 1: 2**70, "deep": (deep := [])}
                for _ in range(50):
                    deep.append(deep := [])
                deep.append(odd.outputs)
            with run.action("large") as large:
                large.outputs = {"x": "y" * 5_000_000}
            with run.action("bad") as bad:
                bad.fail("\\ud800\\0" + "z" * 100_000)
    """)
    found = {name: phase for name, (_, phase) in tree(api, run).items()}
    assert found == {
        "top": "SUCCEEDED", "odd": "SUCCEEDED", "large": "SUCCEEDED", "bad": "FAILED",
    }  # fmt: skip
    outputs = action(api, run, "odd")["attempts"][0]["outputs"]
    assert outputs["cut"] == "?\ufffd" and outputs["1"] == str(2**70)


def test_nothing_is_lost_while_the_service_restarts(start_runtree, postgres, away, run, open_api):
    url, port = postgres.new_database(), int(away.url.rsplit(":", 1)[1])
    first = start_runtree(database_url=url, port=port)
    process = away.start("""
        import time
        with runtree.run("top", run="r1") as run:
            print("there", flush=True)
            for number in range(300):
                with run.action("x"):
                    time.sleep(0.005)
    """)
    assert process.stdout.readline() == "there\n"
    api = open_api(first)
    until(lambda: api.get(f"{run.path}/actions/x-30").status_code == 200)
    first.kill()
    time.sleep(0.3)
    start_runtree(database_url=url, port=port)
    assert process.wait(60) == 0
    environment = clean_environment(**away.environment)
    subprocess.run([binary(), "exec", "--flush"], env=environment, check=True, timeout=30)
    assert api.read(run.path)["phaseCounts"] == {"SUCCEEDED": 301}


# -------- the right parent --------


def test_threads(api, run, program):
    program("""
        import concurrent.futures, threading

        @runtree.action
        def work(n):
            with runtree.action(f"part {n}"):
                pass

        with runtree.run("top", run="r1") as run:
            with run.action("one"):
                threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                pool = concurrent.futures.ThreadPoolExecutor(1)
                pool.submit(work, 2).result()
            with run.action("two"):
                assert list(pool.map(str, "ab")) == ["a", "b"]
                pool.submit(work, n=3).result()
    """)
    found = tree(api, run)
    assert all(phase == "SUCCEEDED" for _, phase in found.values())
    parents = {name: parent for name, (parent, _) in found.items()}
    works = {parents[f"part {n}"]: n for n in range(4)}
    assert {works[name]: parents[name] for name in works} == {
        0: "one",
        1: "one",
        2: "one",
        3: "two",
    }


def test_asyncio(api, run, program):
    program("""
        import asyncio

        async def one(name):
            async with runtree.action(name):
                await asyncio.sleep(0.01)
                await asyncio.to_thread(inner, name)
                process = await asyncio.create_subprocess_exec("sh", "-c",
                    '"$RUNTREE_BINARY" exec --name sub-$RUNTREE_PARENT true')
                await process.wait()

        def inner(name):
            with runtree.action(f"in {name}"):
                pass

        async def main():
            await asyncio.gather(*(one(f"t{n}") for n in range(4)))
            task = asyncio.ensure_future(one("cancelled"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        with runtree.run("top", run="r1"):
            asyncio.run(main())
    """)
    found = tree(api, run)
    for number in range(4):
        assert found[f"t{number}"] == ("top", "SUCCEEDED")
        assert found[f"in t{number}"] == (f"t{number}", "SUCCEEDED")
        assert found[f"sub-t{number}"] == (f"t{number}", "SUCCEEDED")
    assert found["cancelled"] == ("top", "ABORTED")


def test_processes(api, run, program):
    """runtree exec below a program, a program below that; each in its place."""
    program("""
        import os, subprocess, sys
        binary = os.environ["RUNTREE_BINARY"]
        script = "import runtree\\nwith runtree.run('script') as r: print(r.run_name)"
        with runtree.run("top", run="r1") as run:
            with run.action("one"):
                command = [binary, "exec", "--name", "shell", sys.executable, "-c", script]
                assert subprocess.run(command, capture_output=True, text=True).stdout == "r1\\n"
                bare = {"PATH": os.environ["PATH"]}
                subprocess.run(["sh", "-c", "test -z $RUNTREE_RUN"], env=bare, check=True)
                copied = dict(os.environ, MORE="1")
                subprocess.run([binary, "exec", "--name", "copied", "true"], env=copied)
            assert os.environ["RUNTREE_PARENT"] == "top"
            os.system('"$RUNTREE_BINARY" exec --name system true')
        assert "RUNTREE_RUN" not in os.environ
    """)
    found = tree(api, run, "title")
    assert found["shell"] == ("one", "SUCCEEDED")
    assert found["script"] == ("shell", "SUCCEEDED")
    assert found["copied"] == ("one", "SUCCEEDED")
    assert found["system"] == ("top", "SUCCEEDED")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(api, run, program, tmp_path, method):
    (tmp_path / "work.py").write_text(
        "import runtree\n@runtree.action\ndef work(n):\n    return n * n\n"
    )
    program(
        """
        import multiprocessing, sys
        sys.path.insert(0, ".")
        import work
        with runtree.run("top", run="r1") as run, run.action("work"):
            with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
                assert pool.map(work.work, range(6)) == [n * n for n in range(6)]
                pool.close()
                pool.join()
        """,
        method,
    )
    found = list(tree(api, run, "name").values())
    assert found.count(("work", "SUCCEEDED")) == 6 and len(found) == 8


def test_generators(api, run, program):
    """One is an action while it is gone through, and that of its own code alone."""
    program("""
        import asyncio
        @runtree.action
        def step(name):
            with runtree.action(name):
                pass
        @runtree.action
        def numbers(count):
            for number in range(count):
                with runtree.action(f"number {number}"):
                    pass
                try:
                    step(f"sent {(yield number)}")
                except KeyError:
                    yield "caught"
            return "done"
        @runtree.action
        def broken():
            yield 1
            raise ValueError("broken")
        @runtree.action
        async def later(count):
            for number in range(count):
                await asyncio.sleep(0)
                step("later")
                yield number
        def through():
            assert (yield from numbers(1)) == "done"
        with runtree.run("top", run="r1") as run:
            some = numbers(2)
            assert next(some) == 0 and runtree.current() is run
            with run.action("outside") as outside:
                assert some.send("x") == 1 and runtree.current() is outside
                assert some.throw(KeyError()) == "caught"
                some.close()
                assert runtree.current() is outside
            assert list(through()) == [0]
            try:
                list(broken())
            except ValueError:
                pass
            async def main():
                assert [number async for number in later(2)] == [0, 1]
                assert runtree.current() is run
                some = later(3)
                await some.__anext__()
                await some.aclose()
            asyncio.run(main())
        assert list(through()) == [0]
    """)
    named = {name: found for name, found in tree(api, run, "name").items() if "step" not in name}
    assert {name: found[0] for name, found in named.items()} == {
        "top": None, "numbers": "top", "number 0": "numbers", "number 1": "numbers",
        "sent x": "step", "outside": "top", "numbers-2": "top", "number 0-2": "numbers-2",
        "sent None": "step-2",
        "broken": "top", "later": "top", "later-2": "step-3", "later-3": "step-4",
        "later-4": "top", "later-5": "step-5",
    }  # fmt: skip
    assert [name for name, found in named.items() if found[1] != "SUCCEEDED"] == ["broken"]


def test_fork_leaves_the_parents_actions_alone(api, run, program):
    program("""
        import os, sys
        with runtree.run("top", run="r1") as run:
            with run.action("one"):
                child = os.fork()
                if child == 0:
                    with runtree.action("in the child"):
                        pass
                    sys.exit(3)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    """)
    assert tree(api, run, "title") == {
        "top": (None, "SUCCEEDED"),
        "one": ("top", "SUCCEEDED"),
        "in the child": ("one", "SUCCEEDED"),
    }


def test_exec_around_a_program(api, run, program, tmp_path):
    (tmp_path / "p.py").write_text(
        "import runtree\nwith runtree.run('inside'):\n  with runtree.action('x', key='x'): pass\n"
    )
    command = [binary(), "exec", "--run", "r1", "--name", "outer", PYTHON, "p.py"]
    environment = clean_environment(**program.environment)
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, timeout=30)
    found = tree(api, run, "title")
    assert found["inside"] == ("outer", "SUCCEEDED") and found["x"] == ("inside", "SUCCEEDED")


def test_slurm_array(api, run, program):
    text = "with runtree.run('fit') as run:\n  with run.action('eval'): pass"
    for task in ("1", "2"):
        program(text, SLURM_ARRAY_JOB_ID="47", SLURM_ARRAY_TASK_ID=task, SLURM_JOB_NAME="job")
    program(text, SLURM_ARRAY_JOB_ID="47", SLURM_ARRAY_TASK_ID="1", SLURM_RESTART_COUNT="1")
    nodes = api.read(f"{run.base}/runs/slurm-47/tree")["nodes"]
    found = {it["action"]["name"]: it["action"] for it in nodes}
    assert {name: (it["parent"], it["attempt"]) for name, it in found.items()} == {
        "fit.1": (None, 2), "fit.2": (None, 1), "eval.1": ("fit.1", 2), "eval.2": ("fit.2", 1),
    }  # fmt: skip
    assert found["fit.2"]["group"] == "job"


# -------- nothing is lost, and nothing is broken --------


def test_many_actions_at_once(api, run, program):
    program("""
        import threading
        with runtree.run("top", run="r1") as run:
            def work():
                for _ in range(250):
                    with run.action("x"):
                        pass
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
    """)
    assert api.read(run.path)["phaseCounts"] == {"SUCCEEDED": 1001}


def test_sigterm_is_told_and_ends_the_program_as_ever(api, run, program):
    process = program.start("""
        import time
        with runtree.run("top", run="r1") as run:
            with run.action("one"):
                print("there", flush=True)
                time.sleep(1000)
    """)
    assert process.stdout.readline() == "there\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM
    for name in ("top", "one"):
        state = action(api, run, name)
        assert (state["phase"], state["errorInfo"]["message"]) == ("ABORTED", "ended by SIGTERM")


def test_programs_own_handler_of_sigterm_stays(run, program):
    out = program("""
        import signal
        signal.signal(signal.SIGTERM, lambda *_: print("mine"))
        with runtree.run("top", run="r1"):
            signal.raise_signal(signal.SIGTERM)
    """)
    assert out == "mine\n"


def test_open_in_a_thread_at_the_end(api, run, program):
    program("""
        import threading, time
        def forever():
            with runtree.action("forever"):
                entered.set()
                time.sleep(1000)
        entered = threading.Event()
        with runtree.run("top", run="r1"):
            threading.Thread(target=forever, daemon=True).start()
            entered.wait()
    """)
    assert tree(api, run)["forever"] == ("top", "ABORTED")


def test_service_away(away):
    began = time.monotonic()
    out = away("""
        with runtree.run("top", run="r1") as run:
            with run.action("one"):
                print("done")
    """)
    assert out == "done\n" and time.monotonic() - began < 20
    (file,) = away.waiting()
    assert file.stat().st_mode & 0o777 == 0o600
    document = json.loads(file.read_text())
    assert document["url"] == away.url
    phases = [(it["name"], it["phase"]) for it in document["events"]]
    assert phases == [
        ("top", "RUNNING"), ("one", "RUNNING"), ("one", "SUCCEEDED"), ("top", "SUCCEEDED"),
    ]  # fmt: skip


@pytest.mark.parametrize("by", ["exec", "program"])
def test_what_waits_is_sent_by_the_next(api, run, away, server, by):
    away("with runtree.run('top', run='r1') as run:\n  with run.action('one'): pass")
    (file,) = away.waiting()
    file.write_text(file.read_text().replace(away.url, server.url))
    if by == "exec":
        environment = clean_environment(**away.environment | {"RUNTREE_URL": server.url})
        command = [binary(), "exec", "--flush"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        assert done.stdout == "4 events sent, 0 commands still to be told\n"
    else:
        away(
            "import time\nwith runtree.run('b', run='r2') as run:\n  runtree.flush()\n"
            "  import os\n  while os.listdir(os.environ['RUNTREE_SPOOL_DIR']): time.sleep(0.05)",
            RUNTREE_URL=server.url,
        )
    assert away.waiting() == []
    assert tree(api, run) == {"top": (None, "SUCCEEDED"), "one": ("top", "SUCCEEDED")}


def test_service_that_comes_back_meanwhile(start_runtree, postgres, away, run, open_api):
    port = int(away.url.rsplit(":", 1)[1])
    process = away.start("""
        with runtree.run("top", run="r1"):
            print("there", flush=True)
            input()
            assert runtree.flush(60)
    """)
    assert process.stdout.readline() == "there\n"
    api = open_api(start_runtree(database_url=postgres.new_database(), port=port))
    out, err = process.communicate("\n", timeout=60)
    assert (process.returncode, err) == (0, "")
    assert tree(api, run) == {"top": (None, "SUCCEEDED")}


def test_service_that_refuses_us(tmp_path, guarded, run, ask, master):
    program = Program(tmp_path, guarded.url, run)
    text = "with runtree.run('top', run='r1'): pass"
    program(text)
    assert len(program.waiting()) == 1
    (tmp_path / "token").write_text(token_for(write=[f"{run.project}/*"]) + "\n")
    program("runtree.configure(token_file='token')\n" + text.replace("top", "b"))
    assert ask("GET", f"{run.path}/actions/b", master).json()["phase"] == "SUCCEEDED"


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://[", "http://127.0.0.1:99999"])
def test_url_that_is_none(away, url):
    assert away("with runtree.run('x'): print('done')", RUNTREE_URL=url) == "done\n"


def test_spool_that_cannot_be_written(away):
    text = "with runtree.run('x'): print('done')"
    assert away(text, RUNTREE_SPOOL_DIR="/proc/none") == "done\n"


# -------- aborts --------


def test_abort_is_seen(api, run, program):
    process = program.start("""
        import time
        with runtree.run("top", run="r1") as run:
            with run.action("one") as one:
                print("there", flush=True)
                while True:
                    one.raise_if_aborted()
                    time.sleep(0.05)
    """)
    assert process.stdout.readline() == "there\n"
    until(lambda: api.get(f"{run.path}/actions/one").status_code == 200)
    assert api.post({"reason": "too slow"}, path=f"{run.path}/abort").status_code == 200
    assert process.wait(30) == 1
    for name in ("top", "one"):
        state = action(api, run, name)
        assert state["phase"] == "ABORTED" and "too slow" in state["errorInfo"]["message"]


def test_abort_interrupts_if_that_is_wanted(api, run, program):
    process = program.start("""
        import time
        with runtree.run("top", run="r1", interrupt=True) as run:
            print("there", flush=True)
            time.sleep(1000)
    """)
    assert process.stdout.readline() == "there\n"
    until(lambda: api.get(f"{run.path}/actions/top").status_code == 200)
    assert api.post({"reason": "too slow"}, path=f"{run.path}/actions/top/abort").status_code == 200
    assert process.wait(30) == -signal.SIGINT
    state = action(api, run, "top")
    assert state["phase"] == "ABORTED" and "too slow" in state["errorInfo"]["message"]


# -------- reading --------


def test_client_reads(api, run, program):
    out = program("""
        import os, json
        with runtree.run("top", run="r1") as run:
            for n in range(3):
                with run.action("x"):
                    pass
        runtree.flush()
        client = runtree.Client(project=run.project, domain=run.domain)
        print(client.run("r1")["phaseCounts"])
        print([node["action"]["name"] for node in client.tree("r1")["nodes"]])
        print([it["name"] for it in client.actions("r1", limit=2)])
        print(client.action("r1", "x")["phase"], [it["phase"] for it in client.events("r1", "x")])
        print([it["runName"] for it in client.runs()])
        print([(it.type, it.data["action"]["name"]) for it in client.watch("r1") if "action" in it.data])
        try:
            client.run("nope")
        except runtree.ServiceError as error:
            print(error.status, error.problem["type"])
        try:
            client.abort("r1", reason="late")
        except runtree.ServiceError as error:
            print(error.status)
        try:
            runtree.Client("http://127.0.0.1:1").run("x")
        except runtree.ServiceError as error:
            print(error.status)
    """)
    names = "['top', 'x', 'x-2', 'x-3']"
    updates = [("nodeUpdate", name) for name in ("top", "x", "x-2", "x-3")]
    assert out.splitlines() == [
        "{'SUCCEEDED': 4}", names, names, "SUCCEEDED ['RUNNING', 'SUCCEEDED']", "['r1']",
        str(updates), "404 /problems/not-found", "409", "0",
    ]  # fmt: skip


def test_watch_goes_on_after_a_restart(start_runtree, postgres, tmp_path, run):
    url, port = postgres.new_database(), free_port()
    first = start_runtree(database_url=url, port=port)
    program = Program(tmp_path, first.url, run)
    api = Api(first.url)
    process = program.start("""
        import os
        client = runtree.Client(project=os.environ["RUNTREE_PROJECT"],
                                domain=os.environ["RUNTREE_DOMAIN"])
        for event in client.watch("r1", wait=True):
            if event.type == "nodeUpdate":
                print(event.data["action"]["name"], event.data["action"]["phase"], flush=True)
    """)
    api.post_one(run.event("a0", "RUNNING", parent=None))
    assert process.stdout.readline() == "a0 RUNNING\n"
    first.stop()
    start_runtree(database_url=url, port=port)
    api.post_one(run.event("a0", "SUCCEEDED"))
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("a0 SUCCEEDED\n", "")
    api.close()
