"""How runtree is configured, starts, and ends."""

import json
import re
import signal
import socket
import threading
import time

import httpx
import pytest

from client import Api
from postgres import free_port
from runtree import REPOSITORY, Runtree, run_to_exit
from sse import EventStream, StreamClosed


def test_help_names_the_commands():
    done = run_to_exit("--help")
    assert done.returncode == 0 and done.stderr == ""
    for name in ("serve", "exec", "watch"):
        assert f"runtree {name} --help" in done.stdout


def test_help():
    done = run_to_exit("serve", "--help")
    assert done.returncode == 0
    for text in (
        "serve",
        "--listen",
        "RUNTREE_LISTEN",
        "127.0.0.1:8080",
        "--database-url",
        "RUNTREE_DATABASE_URL",
        "--data-dir",
        "RUNTREE_DATA_DIR",
        "./runtree-data",
    ):
        assert text in done.stdout, text
    assert done.stderr == ""


def test_manual_has_the_options_of_the_clients():
    page = (REPOSITORY / "deploy" / "man" / "runtree.1").read_text().replace("\\-", "-")
    for name in ("exec", "watch"):
        said = run_to_exit(name, "--help").stdout
        options = re.findall(r"(?m)^  --(\S+)(?: (\S+))?(?:  \[(\w+)\])?$", said)
        assert len(options) > 5
        for flag, value, variable in options:
            entry = f"\\fB--{flag}\\fR" + (f" \\fI{value}\\fR" if value else "")
            assert entry + (f" [{variable}]" if variable else "") in page or flag == "help"


def test_help_fits_a_terminal():
    assert max(map(len, run_to_exit("serve", "--help").stdout.splitlines())) <= 100


@pytest.mark.parametrize(
    "arguments, blamed",
    [
        ([], "serve"),
        (["dance"], "dance"),
        (["serve", "--colour", "red"], "--colour"),
        (["serve", "extra"], "extra"),
        (["serve", "--listen"], "--listen"),
        (["serve", "--listen", ""], "--listen"),
        (["serve", "--listen", "127.0.0.1"], "--listen"),
        (["serve", "--listen", "127.0.0.1:http"], "--listen"),
        (["serve", "--listen", "127.0.0.1:65536"], "--listen"),
        (["serve", "--listen", "127.0.0.1:-1"], "--listen"),
        (["serve", "--data-dir", ""], "--data-dir"),
        (["serve", "--database-url", "host=x port"], "--database-url"),
        (["serve", "--database-url", "postgresql://host:port:x/"], "--database-url"),
    ],
)
def test_wrong_argument_is_exit_2_and_says_which(arguments, blamed):
    done = run_to_exit(*arguments)
    assert done.returncode == 2, done
    assert blamed in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "variable, value",
    [
        ("RUNTREE_LISTEN", "nowhere"),
        ("RUNTREE_DATABASE_URL", "colour=red"),
    ],
)
def test_wrong_environment_is_exit_2_and_says_which(variable, value):
    done = run_to_exit("serve", environment={variable: value})
    assert done.returncode == 2, done
    assert variable in done.stderr


def test_every_number_is_checked():
    """Of each option that --help announces with a number, by flag and by variable."""
    options = re.findall(r"--([a-z-]+) N +\[([A-Z_]+)\]", run_to_exit("serve", "--help").stdout)
    assert options
    for flag, variable in options:
        for value in ("x", "-1", "1.5", "99999999999999999999"):
            done = run_to_exit("serve", f"--{flag}", value)
            assert done.returncode == 2 and f"--{flag}" in done.stderr, done
            done = run_to_exit("serve", environment={variable: value})
            assert done.returncode == 2 and variable in done.stderr, done


def test_log_is_one_json_object_a_line(start_runtree, postgres):
    runtree = start_runtree(database_url=postgres.new_database())
    runtree.stop()
    facts = [json.loads(line) for line in runtree.log().splitlines() if line]
    assert facts
    for fact in facts:
        assert {"time", "level", "message"} <= fact.keys(), fact


def test_flag_over_environment(start_runtree, postgres):
    elsewhere = free_port()
    runtree = start_runtree(
        database_url=postgres.new_database(),
        environment={
            "RUNTREE_LISTEN": f"127.0.0.1:{elsewhere}",
            "RUNTREE_DATABASE_URL": "host=/nowhere dbname=none",
        },
    )
    assert httpx.get(runtree.url + "/readyz").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{elsewhere}/healthz")


def test_environment_alone(tmp_path, postgres):
    port = free_port()
    runtree = Runtree(
        tmp_path,
        port=port,
        environment={
            "RUNTREE_LISTEN": f"127.0.0.1:{port}",
            "RUNTREE_DATABASE_URL": postgres.new_database(),
        },
    )
    runtree.arguments = ["serve"]
    runtree.start()
    runtree.stop()


def test_database_url_in_its_uri_form_over_tcp(start_runtree, postgres):
    postgres.new_database()
    name = postgres.execute(
        "postgres", "SELECT max(datname) FROM pg_database WHERE datname ~ 'test'"
    )
    url = f"postgresql://postgres@127.0.0.1:{postgres.port}/{name[0][0]}?connect_timeout=5"
    start_runtree(database_url=url)


def test_port_that_is_taken(tmp_path, postgres):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run_to_exit("serve", "--listen", address, "--database-url", postgres.new_database())
    assert done.returncode not in (0, 2), done
    assert address in done.stderr + done.stdout


def test_address_that_does_not_exist(postgres):
    url = postgres.new_database()
    done = run_to_exit("serve", "--listen", "nowhere.invalid:80", "--database-url", url)
    assert done.returncode not in (0, None)
    assert "nowhere.invalid" in done.stderr


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_signal_tells_the_streams_and_exits_0(start_runtree, postgres, open_api, run, by):
    runtree = start_runtree(database_url=postgres.new_database())
    open_api(runtree).post_one(run.event("a0", "RUNNING", parent=None))
    streams = [EventStream(runtree.url, f"{run.path}/watch") for _ in range(3)]
    streams.append(EventStream(runtree.url, f"{run.base}/runs/later/watch?wait=true"))
    for stream in streams[:3]:
        stream.read_until("synced")
    assert streams[3].next().retry
    runtree.process.send_signal(by)
    for stream in streams:
        frames = stream.read_to_end()
        assert [frame.event for frame in frames] == [None], "told to come back, then closed"
        assert frames[0].retry > 0
        stream.close()
    runtree.stop(by)


def test_signal_finishes_what_is_in_flight(start_runtree, postgres, run):
    """Whoever got a 2xx while it went down finds the event in the database."""
    url = postgres.new_database()
    runtree = start_runtree(database_url=url)
    accepted, stop = [], threading.Event()

    def post(worker):
        client = Api(runtree.url)
        for number in range(10_000):
            if stop.is_set():
                return
            name = f"w{worker}-{number}"
            try:
                response = client.post(run.event(name, parent=None))
            except httpx.TransportError:
                return
            assert response.status_code in (201, 503), response.text
            if response.status_code == 201:
                accepted.append(name)

    workers = [threading.Thread(target=post, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + 60
    while len(accepted) < 50 and time.monotonic() < deadline:
        time.sleep(0.01)
    runtree.stop()
    stop.set()
    for worker in workers:
        worker.join(60)
    stored = {name for (name,) in postgres.execute(url, "SELECT name FROM action_events")}
    assert len(accepted) >= 50
    assert set(accepted) <= stored


def test_a_second_signal_does_no_harm(start_runtree, postgres):
    runtree = start_runtree(database_url=postgres.new_database())
    runtree.process.send_signal(signal.SIGTERM)
    runtree.process.send_signal(signal.SIGTERM)
    runtree.stop()


def test_stops_while_a_client_sends_slowly(start_runtree, postgres):
    runtree = start_runtree(database_url=postgres.new_database())
    with socket.create_connection(("127.0.0.1", runtree.port)) as connection:
        connection.sendall(
            b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        time.sleep(0.1)
        runtree.stop()


def test_stops_while_the_database_is_away(start_runtree, tmp_path):
    """Also before it was ever reached."""
    runtree = start_runtree(database_url=f"host={tmp_path} dbname=none", until="/healthz")
    assert httpx.get(runtree.url + "/readyz").status_code == 503
    runtree.stop()


def test_starts_again_on_a_database_that_has_data(start_runtree, postgres, open_api, run):
    url = postgres.new_database()
    first = start_runtree(database_url=url)
    open_api(first).post_one(run.event(parent=None))
    first.stop()
    second = start_runtree(database_url=url)
    assert open_api(second).read(run.path)["revision"] == 1


def test_several_start_at_once_on_an_empty_database(start_runtree, postgres):
    url = postgres.new_database()
    runtrees = [start_runtree(database_url=url, until=None) for _ in range(3)]
    for runtree in runtrees:
        runtree.wait_until_ready()


def test_streams_live_through_a_restart(start_runtree, postgres, open_api, run):
    """A client that resumes after a restart misses nothing and gets no reset."""
    url = postgres.new_database()
    runtree = start_runtree(database_url=url)
    open_api(runtree).post_one(run.event("a0", "RUNNING", parent=None))
    stream = EventStream(runtree.url, f"{run.path}/watch")
    last_id = stream.read_until("synced")[-1].id
    runtree.process.send_signal(signal.SIGTERM)
    with pytest.raises(StreamClosed):
        while True:
            stream.next(10)
    runtree.stop()
    runtree = start_runtree(database_url=url)
    open_api(runtree).post_one(run.event("a1", parent="a0"))
    frames = EventStream(runtree.url, f"{run.path}/watch", last_id).read_until("synced")
    assert [frame.event for frame in frames] == [None, "nodeUpdate", "nodeUpdate", "synced"]
