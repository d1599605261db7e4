"""follow.py RUN: waits for the run and watches it by the SDK; prints a JSON line for each thing seen."""

import asyncio
import json
import sys
import threading

import flyte
import flyte.remote

flyte.init_from_config("config.yaml")


def say(**members):
    print(json.dumps(members), flush=True)


def wait():
    run = flyte.remote.Run.get(sys.argv[1])
    say(waiting=run.phase.value)
    run.wait(quiet=True)
    say(waited=flyte.remote.Run.get(sys.argv[1]).phase.value)


async def watch(run):
    async for details in run.watch():
        say(seen=details.pb2.status.phase, attempts=len(details.pb2.attempts))


waiter = threading.Thread(target=wait)
waiter.start()
asyncio.run(watch(flyte.remote.Run.get(sys.argv[1])))
waiter.join()
