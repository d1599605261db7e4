"""Tasks below a task, one of which needs a second try, an actor, and a task that fails."""

import os
import sys
import time

import ray

TRIED = sys.argv[1]


@ray.remote(max_retries=1, retry_exceptions=True)
def leaf(number):
    if number == 1 and not os.path.exists(TRIED):
        open(TRIED, "w").close()
        raise ValueError("first try")
    return number


@ray.remote
def branch():
    return sum(ray.get([leaf.options(name=f"leaf-{number}").remote(number) for number in range(3)]))


@ray.remote
class Counter:
    def add(self, number):
        return number


@ray.remote(max_retries=0)
def bad():
    raise RuntimeError("bad task")


ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
assert ray.get(Counter.remote().add.remote(ray.get(branch.remote()))) == 3
try:
    ray.get(bad.remote())
except RuntimeError:
    pass
time.sleep(4)  # a node sends what it has each second
ray.shutdown()
