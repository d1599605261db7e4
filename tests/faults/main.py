"""The fault harness: three runtrees behind HAProxy on a PostgreSQL with a standby and a second
cell, posters and watchers, and everything that goes wrong in a data centre, drawn from a seed.

Laps: faults under load; then load with only hostile clients, and with only the database and its
network at fault, to see whether the processes keep memory or descriptors; then a fail-over that
loses commits.
"""

import argparse
import dataclasses
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time
import traceback

import checks
import hostile
from database import Pair
from faults import KINDS, Faults, draw, sequence
from ledger import Ledger
from load import Load
from lossy import fail_over_with_loss
from network import Network
from service import Service

OVERHEAD_SECONDS = 45  # of a run that is no lap of faults
LEAK_LAP_FAULTS = ("writer cut off", "network cut", "listener cut off", "reader cut off")


class Harness:
    def __init__(self, seed, seconds, kinds):
        self.seed, self.seconds, self.kinds = seed, seconds, kinds
        self.began = time.monotonic()
        self.ledger = Ledger()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="runtree-faults-"))
        self.folder.chmod(0o755)  # PostgreSQL may run as another account
        self.network = Network()
        self.pair = self.service = self.load = self.faults = None

    def now(self):
        return f"{time.monotonic() - self.began:6.1f} s"

    def set_up(self):
        say(f"seed {self.seed}, {self.seconds} s, files in {self.folder}")
        self.pair = Pair(self.folder, self.network)
        self.service = Service(self.folder, self.network, self.pair)
        self.faults = Faults(self.pair, self.service, self.ledger)
        for kind, why in self.faults.skipped.items():
            say(f"skipped: {kind}: {why}")

    def run(self):
        fresh = checks.Footprint(self.service)
        self.run_lap(1, self.inflict_faults)
        after_faults = self.come_to_rest()
        self.run_lap(2, lambda: self.inflict_each(hostile.KINDS))
        after_hostile = self.come_to_rest()
        self.run_lap(3, lambda: self.inflict_each(LEAK_LAP_FAULTS))
        after_load = self.come_to_rest()
        footprints = (fresh, after_faults, after_hostile, after_load)
        say(f"descriptors at rest {', '.join(str(at.descriptors) for at in footprints)};"
            f" RSS in KiB {', '.join(str(at.rss_kib) for at in footprints)}")  # fmt: skip
        after_faults.check_since(fresh, checks.RSS_GROWTH_HOSTILE_MAX_KIB)
        after_hostile.check_since(after_faults, checks.RSS_GROWTH_HOSTILE_MAX_KIB)
        after_load.check_since(after_hostile, checks.RSS_GROWTH_MAX_KIB)
        say(f"{self.now()} a fail-over that loses commits")
        fail_over_with_loss(self.service, self.pair, self.ledger)
        for name in ("runtree_streams_stalled_total", "runtree_events_rejected_total"):
            say(f"{name} {self.service.metric(name):.0f}")
        self.service.stop()

    def run_lap(self, lap, inflict):
        """Load and faults together, then the checks of everything at rest."""
        self.load = Load(
            self.service,
            self.pair,
            self.ledger,
            self.seed,
            lap,
            lambda: self.faults.fail_overs,
        )
        time.sleep(1)
        inflict()
        say(f"{self.now()} lap {lap}: coming to rest")
        self.load.stop()
        say(f"{self.now()} lap {lap}: comparing")
        checks.check_database(self.pair, self.ledger)
        checks.check_answers(
            self.service, self.pair, self.ledger, self.load.runs, self.load.list_watcher
        )

    def inflict_faults(self):
        deadline = time.monotonic() + max(5, self.seconds - OVERHEAD_SECONDS)
        for number, fault in enumerate(sequence(self.seed, self.kinds)):
            if number >= len(self.kinds) and time.monotonic() > deadline:
                return
            self.inflict(fault)

    def inflict_each(self, kinds):
        """So that every process lives on."""
        rng = random.Random(self.seed)
        for _ in range(max(1, self.seconds // 200)):
            for kind in (kind for kind in kinds if kind in self.kinds):
                self.inflict(dataclasses.replace(draw(rng, kind, 0.2), coin=False))

    def inflict(self, fault):
        began = time.monotonic()
        if self.faults.inflict(fault):
            say(f"{self.now()} {fault}: survived, {time.monotonic() - began:.1f} s")

    def come_to_rest(self):
        checks.wait_until_at_rest(self.service)
        return checks.Footprint(self.service)

    def report(self):
        say(f"{self.now()} in all")
        for what, count in sorted(self.ledger.counts.items()):
            say(f"{count:8} {what}")
        say(f"{len(self.ledger.acknowledged):8} events acknowledged, each stored once")

    def close(self, keep):
        if self.load:
            self.load.abandon()
        for part in (self.service, self.pair, self.network):
            if part:
                part.close()
        if keep:
            say(f"The logs are kept in {self.folder}")
        else:
            shutil.rmtree(self.folder)


def say(text):
    print(text, flush=True)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=100, help="about how long (default 100)")
    parser.add_argument("--seed", type=int, default=None, help="of the faults (default: any)")
    parser.add_argument("--list", type=int, metavar="N", help="print the seed's first N faults")
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    parser.add_argument("--only", action="append", choices=KINDS, help="this kind of fault")
    arguments = parser.parse_args()
    arguments.kinds = arguments.only or KINDS
    if arguments.seed is None:
        arguments.seed = int.from_bytes(os.urandom(3), "big")
    return arguments


def main():
    arguments = read_arguments()
    if arguments.list:
        for _, fault in zip(range(arguments.list), sequence(arguments.seed, arguments.kinds)):
            say(f"{fault.pause:.1f} s later: {fault}")
        return 0
    harness = Harness(arguments.seed, arguments.seconds, arguments.kinds)
    failed = True
    try:
        harness.set_up()
        harness.run()
        failed = False
    except Exception as error:  # noqa: BLE001 -- whatever it is, the seed must be printed
        say(traceback.format_exc(limit=-6))
        say(f"FAILED: {error}")
        say(f"Again: ./dev faults --seconds {arguments.seconds} --seed {arguments.seed}")
    finally:
        harness.report()
        harness.close(keep=failed or arguments.keep)
    say(f"{int(not failed)} passed, {int(failed)} failed")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
