"""The faults, and the sequence that a seed gives.

Each kind is a method of Faults. What it does depends on the parameters that were drawn for it and
on nothing else, so that the same seed brings the same faults in the same order.
"""

import dataclasses
import itertools
import random
import time

import httpx

import hostile
from database import Pair
from runtree import Runtree

PROGRESS_SECONDS = 60
PROGRESS_EVENTS = 10

# Over in a moment. One of them may also strike while one of the others lasts.
SUDDEN = (
    "runtree killed",
    "writer cut off",
    "reader cut off",
    "listener cut off",
)
LASTING = ("network stalled", "network cut", "disk full", "clock jumped")
HEAVY = ("runtree told to end", "postmaster killed", "standby promoted", "cell killed")
KINDS = SUDDEN + LASTING + HEAVY + hostile.KINDS


@dataclasses.dataclass(frozen=True)
class Fault:
    pause: float  # seconds of peace before it
    kind: str
    number: int  # which runtree, where one is meant
    seconds: float  # how long a lasting one lasts
    amount: int  # by how much a clock jumps, in seconds
    coin: bool  # which of two ways, where there are two
    meanwhile: "Fault | None" = None

    def __str__(self):
        text = f"{self.kind} (#{self.number}, {self.seconds:.1f} s, {self.amount:+d}, {self.coin})"
        return f"{text}, meanwhile {self.meanwhile}" if self.meanwhile else text


def draw(rng, kind, pause):
    return Fault(
        pause=pause,
        kind=kind,
        number=rng.randrange(3),
        seconds=rng.uniform(0.5, 4),
        amount=rng.choice((-400 * 86400, -3600, -5, 5, 3600, 400 * 86400)),
        coin=rng.random() < 0.5,
    )


def sequence(seed, kinds=KINDS):
    """Every kind once in some order, then all over again in another, without end."""
    rng = random.Random(f"faults {seed}")
    for _ in itertools.count():
        for kind in rng.sample(kinds, len(kinds)):
            fault = draw(rng, kind, rng.uniform(0.2, 2.5))
            other = draw(rng, rng.choice(SUDDEN), rng.uniform(0.1, 0.5))
            if kind in LASTING and rng.random() < 0.4:
                fault = dataclasses.replace(fault, meanwhile=other)
            yield fault


class Faults:
    """Does what a Fault says, and undoes it again."""

    def __init__(self, pair, service, ledger):
        self._pair, self._service, self._ledger = pair, service, ledger
        self._hostile = hostile.HostileClients(pair, service, ledger, self._expect_progress)
        self.fail_overs = 0
        self.skipped = {}  # kind -> why
        if pair.disks[0].why_not_full:
            self.skipped["disk full"] = f"no file system of its own: {pair.disks[0].why_not_full}"
        if service.clock.why_not:
            self.skipped["clock jumped"] = service.clock.why_not

    def inflict(self, fault):
        """One fault from its beginning until the service works again. False: skipped."""
        if fault.kind in self.skipped:
            return False
        time.sleep(fault.pause)
        try:
            self._do(fault)
            self._service.wait_until_ready(PROGRESS_SECONDS)
            self._expect_progress(PROGRESS_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{fault}: {error}") from error
        return True

    def _do(self, fault):
        if fault.kind in hostile.KINDS:
            self._hostile.do(fault)
        else:
            getattr(self, "_" + fault.kind.replace(" ", "_"))(fault)
        self._ledger.count(f"fault: {fault.kind}")

    def _expect_progress(self, seconds):
        """Until so many events more are acknowledged."""
        target = len(self._ledger.acknowledged) + PROGRESS_EVENTS
        deadline = time.monotonic() + seconds
        while len(self._ledger.acknowledged) < target:
            self._ledger.check()
            assert time.monotonic() < deadline, f"no events are accepted for {seconds} s"
            time.sleep(0.02)

    def _last(self, fault):
        """While a fault lasts."""
        began = time.monotonic()
        if fault.meanwhile:
            time.sleep(fault.meanwhile.pause)
            self._do(fault.meanwhile)
        time.sleep(max(0.0, began + fault.seconds - time.monotonic()))

    def _runtree(self, fault) -> Runtree:
        return self._service.runtrees[fault.number]

    def _runtree_killed(self, fault):
        self._runtree(fault).kill()
        self._runtree(fault).start(until="/healthz")

    def _runtree_told_to_end(self, fault):
        self._runtree(fault).stop(seconds=20)
        self._runtree(fault).start(until="/healthz")

    def _postmaster_killed(self, fault):
        if fault.coin:
            self._pair.primary.kill()
        else:
            self._pair.primary.kill_postmaster()
        time.sleep(fault.seconds / 4)
        self._pair.primary.restart()

    def _cell_killed(self, fault):
        """The other cell is away for a while: every runtree says so, and goes on without it."""
        self._pair.other.kill()
        try:
            for runtree in self._service.runtrees:
                self._wait_for_cells_away(runtree, ["2"])
            time.sleep(fault.seconds)
            for runtree in self._service.runtrees:
                listed = httpx.get(runtree.url + "/v1/runs", params={"limit": 1}, timeout=30)
                assert listed.status_code == 200, listed.text
                assert listed.json().get("unavailableCells") == ["2"], listed.text
        finally:
            self._pair.other.restart()

    def _wait_for_cells_away(self, runtree, names, seconds=20):
        deadline = time.monotonic() + seconds
        while (away := self._service.cells_away(runtree)) != names:
            assert time.monotonic() < deadline, f"away are {away}, not {names}"
            time.sleep(0.05)

    def _writer_cut_off(self, _):
        self._cut_off("runtree writer")

    def _reader_cut_off(self, _):
        self._cut_off("runtree reader")

    def _listener_cut_off(self, _):
        self._cut_off("runtree listener")

    def _cut_off(self, application):
        """Ends the sessions of that name at PostgreSQL; waits for some if there are none just now.
        While the database itself is away that is all that there is to cut off."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                ended = self._pair.primary.ask(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = %s AND application_name = %s",
                    Pair.DATABASE,
                    application,
                )
            except Exception:  # noqa: BLE001 -- it is full, or restarts: try again
                ended = 0
            if ended:
                return
            time.sleep(0.05)

    def _network_stalled(self, fault):
        self._with_links(fault, lambda link: link.stall())

    def _network_cut(self, fault):
        self._with_links(fault, lambda link: link.cut())

    def _with_links(self, fault, harm):
        """Harms the links of one runtree, or of all."""
        groups = self._service.links if fault.coin else [self._service.links[fault.number]]
        links = [link for group in groups for link in group]
        for link in links:
            harm(link)
        try:
            self._last(fault)
        finally:
            for link in links:
                link.restore()

    def _disk_full(self, fault):
        primary = self._pair.primary
        before = primary.log_count("No space left on device")
        primary.disk.fill()
        try:
            self._last(dataclasses.replace(fault, seconds=fault.seconds + 2))
        finally:
            primary.disk.free()
            time.sleep(0.2)
            primary.restart()
        refused = primary.log_count("No space left on device") - before
        self._ledger.count("writes that found the disk full", refused)

    def _clock_jumped(self, fault):
        """The clock of the last runtree is set, and some time later set right."""
        self._service.clock.set(fault.amount)
        try:
            self._last(dataclasses.replace(fault, seconds=fault.seconds + 1))
        finally:
            self._service.clock.set(0)

    def _standby_promoted(self, _):
        self._pair.wait_for_standby()
        self.fail_overs += 1  # before anyone can see it
        self._pair.promote()
        self._pair.rebuild_standby()
