"""What was promised and what was seen, over all threads."""

import collections
import threading

KEY_MEMBERS = ("project", "domain", "runName", "name", "attempt", "phase", "version")

# Of the runs of hostile clients, of whose events nobody keeps a ledger.
HOSTILE_DOMAIN = "hostile"


def key_of(event):
    return tuple(event[member] for member in KEY_MEMBERS)


def document_of(event):
    """What an event says beside its key; a PUT has the key in its path only."""
    return {member: value for member, value in event.items() if member not in KEY_MEMBERS}


class Ledger:
    """Acknowledged events, counts, and the first thing that went wrong."""

    def __init__(self):
        self.acknowledged = {}  # key -> document
        self.counts = collections.Counter()
        self._problems = []
        self._lock = threading.Lock()

    def acknowledge(self, events):
        with self._lock:
            for event in events:
                self.acknowledged[key_of(event)] = document_of(event)

    def forget(self, keys):
        """Events that a lossy fail-over has taken back."""
        with self._lock:
            for key in keys:
                del self.acknowledged[key]

    def count(self, what, more=1):
        with self._lock:
            self.counts[what] += more

    def report_problem(self, text):
        with self._lock:
            self._problems.append(text)

    def check(self):
        """Raises what any thread has found wrong."""
        with self._lock:
            if self._problems:
                raise AssertionError("\n".join(self._problems[:3]))
