"""A workflow with traces, a group, retries, a failure and inputs."""

import asyncio
import pathlib

import flyte

env = flyte.TaskEnvironment(name="demo")
tries = 0


@flyte.trace
async def look(number: int) -> int:
    return number + 1


@env.task
async def leaf(number: int) -> int:
    return await look(number)


@env.task(retries=2)
async def flaky() -> int:
    global tries
    tries += 1
    if tries < 3:
        raise ValueError(f"try {tries}")
    return tries


@env.task
async def broken() -> int:
    raise RuntimeError("no more")


@env.task
async def root(number: int) -> int:
    with flyte.group("map"):
        found = await asyncio.gather(*(leaf(i) for i in range(number)))
    await flaky()
    try:
        await broken()
    except Exception:
        pass
    return sum(found)


@env.task
async def plain() -> int:
    return await leaf(1)


@env.task
async def slow(until: str) -> int:
    await leaf(1)
    while not pathlib.Path(until).exists():
        await asyncio.sleep(0.1)
    return 1


@env.task
async def failing(text: str) -> int:
    raise ValueError(text)
