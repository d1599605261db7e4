"""Three runtrees behind HAProxy, each with links of its own to all PostgreSQLs."""

import fcntl
import os
import pathlib
import shutil
import subprocess
import threading
import time

import httpx

from database import Pair
from postgres import free_port
from runtree import Runtree, binary, cells

OPTIONS = (
    "--heartbeat-ms=1000",
    "--hub-linger-ms=1000",
    "--stall-ms=3000",
    "--drain-ms=300",
    "--flush-interval-ms=20",
    "--memory-max-bytes=134217728",
)

# What matters for streams: the timeouts are over the heartbeat, nothing is buffered to the end
# (HAProxy never does), and a server that drains gets no new requests but keeps its streams.
HAPROXY_CONFIG = """
global
    maxconn 2000
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s
    option http-server-close
    option redispatch
    retries 2
    retry-on conn-failure
frontend clients
    bind 127.0.0.1:{port}
    default_backend runtrees
backend runtrees
    balance roundrobin
    option httpchk GET /readyz
    default-server check inter 200ms fall 2 rise 1
{servers}
"""

FAKETIME = "faketime/libfaketimeMT.so.1"


def find_faketime():
    """The library, or None and why the clock cannot be moved."""
    found = sorted(pathlib.Path("/usr/lib").glob(f"*/{FAKETIME}"))
    if not found:
        return None, "libfaketime is not installed"
    linked = subprocess.run(["ldd", binary()], capture_output=True, text=True).stdout
    if "libasan" in linked:
        return None, "libfaketime and AddressSanitizer exclude each other"
    return str(found[0]), None


class Clock:
    """The clock of one process: CLOCK_REALTIME jumps, CLOCK_MONOTONIC goes on, as when somebody
    sets the time of a machine."""

    def __init__(self, folder):
        self.library, self.why_not = find_faketime()
        self._file = folder / "clock"
        self.set(0)

    def set(self, seconds):
        self._file.write_text(f"{seconds:+d}\n")

    def environment(self):
        if self.library is None:
            return {}
        return {
            "LD_PRELOAD": self.library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_CACHE_DURATION": "1",
        }


class LogReader:
    """Reads what is written to the pipe `end` into a file, unless it is paused."""

    PIPE_BYTES = 4096  # the least that Linux makes: it is full soon

    def __init__(self, path):
        self._reads = threading.Event()
        self._reads.set()
        self._source, self.end = os.pipe()
        fcntl.fcntl(self.end, fcntl.F_SETPIPE_SZ, self.PIPE_BYTES)
        self._thread = threading.Thread(target=self._copy, args=(path,), daemon=True)
        self._thread.start()

    def pause(self):
        self._reads.clear()

    def resume(self):
        self._reads.set()

    def close(self):
        """When nobody writes any more."""
        self._reads.set()
        os.close(self.end)
        self._thread.join(10)
        os.close(self._source)

    def _copy(self, path):
        with open(path, "ab", buffering=0) as out:
            while chunk := os.read(self._source, self.PIPE_BYTES):
                out.write(chunk)
                self._reads.wait()


class Service:
    """The runtrees, HAProxy in front, the links behind, and who reads their logs."""

    def __init__(self, folder, network, pair, count=3):
        self.clock = Clock(folder)
        self.links = []  # of each runtree: to the pair, and to the other cell
        self.runtrees = []
        self.logs = []
        for number in range(count):
            links = [network.link(port) for port in (*pair.ports, pair.other.port)]
            self.links.append(links)
            *of_pair, other = (link.port for link in links)
            rest = f"user=postgres dbname={Pair.DATABASE} connect_timeout=2"
            urls = (
                f"host=127.0.0.1,127.0.0.1 port={','.join(map(str, of_pair))} {rest}"
                " target_session_attrs=read-write",
                f"host=127.0.0.1 port={other} {rest}",
            )
            home = folder / f"runtree{number}"
            home.mkdir()
            self.logs.append(LogReader(home / "stderr"))
            self.runtrees.append(
                Runtree(
                    home,
                    *OPTIONS,
                    *cells(urls),
                    environment=self.clock.environment() if number == count - 1 else {},
                    stderr=self.logs[number].end,
                )
            )
        for runtree in self.runtrees:
            runtree.start()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._haproxy = self._start_haproxy(folder)

    def _start_haproxy(self, folder):
        servers = "\n".join(
            f"    server r{number} 127.0.0.1:{runtree.port}"
            for number, runtree in enumerate(self.runtrees)
        )
        config = folder / "haproxy.cfg"
        config.write_text(HAPROXY_CONFIG.format(port=self.port, servers=servers))
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        with open(folder / "haproxy.log", "ab") as log:
            process = subprocess.Popen([program, "-db", "-f", config], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while True:
            try:
                if httpx.get(self.url + "/readyz", timeout=2).status_code == 200:
                    return process
            except httpx.TransportError:
                pass
            assert process.poll() is None, (folder / "haproxy.log").read_text()
            assert time.monotonic() < deadline, "HAProxy finds no runtree"
            time.sleep(0.05)

    def wait_until_ready(self, seconds=45):
        """All runtrees, with all cells."""
        for runtree in self.runtrees:
            runtree.wait_until_ready(seconds)

    @staticmethod
    def cells_away(runtree):
        return httpx.get(runtree.url + "/readyz", timeout=5).json().get("unavailableCells")

    def metric(self, name):
        """The sum over all runtrees, of what each counted since it was started."""
        total = 0.0
        for runtree in self.runtrees:
            for line in httpx.get(runtree.url + "/metrics").text.splitlines():
                if line.startswith((name + " ", name + "{")):
                    total += float(line.rpartition(" ")[2])
        return total

    def stop(self):
        """The clean end of all; a runtree that does not end well is an error."""
        for runtree in self.runtrees:
            runtree.stop(seconds=20)

    def close(self):
        """The end of all, whatever it takes."""
        for runtree in self.runtrees:
            if runtree.is_running():
                runtree.kill()
        for log in self.logs:
            log.close()
        self._haproxy.kill()
        self._haproxy.wait(10)
