"""Reports what a program does to runtree, live, as a tree; and reads runs from it.

    import runtree

    with runtree.run("nightly") as run:
        with run.action("train"):
            ...

    @runtree.action
    def load(path): ...

What is done inside an action is below it: in threads, in asyncio's tasks, in processes that are started
(also `runtree exec`). Nothing here raises, or waits for the service, but Client, which reads.
"""

import logging

from ._actions import (
    Aborted,
    Action,
    Run,
    action,
    configure,
    current,
    environment,
    flush,
    run,
)
from ._client import Client, Event, ServiceError

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent, unless a program listens

__all__ = [
    "Aborted",
    "Action",
    "Client",
    "Event",
    "Run",
    "ServiceError",
    "action",
    "configure",
    "current",
    "environment",
    "flush",
    "run",
]
__version__ = "0.1.0"
