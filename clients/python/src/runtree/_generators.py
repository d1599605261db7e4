"""Generator functions as actions: from the first item on until there is none, or nobody wants another.

The action is the current one while the generator's own code runs, and not for whoever takes the items."""

from __future__ import annotations

import contextvars
from typing import Any, AsyncGenerator, Callable, ContextManager, Generator


def drive(
    generator: Generator[Any, Any, Any],
    context: ContextManager[Any],
    current: contextvars.ContextVar[Any],
) -> Generator[Any, Any, Any]:
    outside = current.get()
    try:
        with context:
            inside = current.get()
            step: Callable[[Any], Any] = generator.send
            value: Any = None
            while True:
                try:
                    item = step(value)
                except StopIteration as stop:
                    return stop.value
                current.set(outside)
                try:
                    step, value = generator.send, (yield item)
                except GeneratorExit:
                    outside = current.get()
                    current.set(inside)
                    generator.close()
                    return None
                except BaseException as error:
                    step, value = generator.throw, error
                outside = current.get()
                current.set(inside)
    finally:
        current.set(outside)


async def drive_async(
    generator: AsyncGenerator[Any, Any],
    context: ContextManager[Any],
    current: contextvars.ContextVar[Any],
) -> AsyncGenerator[Any, Any]:
    outside = current.get()
    try:
        with context:
            inside = current.get()
            step: Callable[[Any], Any] = generator.asend
            value: Any = None
            while True:
                try:
                    item = await step(value)
                except StopAsyncIteration:
                    return
                current.set(outside)
                try:
                    step, value = generator.asend, (yield item)
                except GeneratorExit:
                    outside = current.get()
                    current.set(inside)
                    await generator.aclose()
                    return
                except BaseException as error:
                    step, value = generator.athrow, error
                outside = current.get()
                current.set(inside)
    finally:
        current.set(outside)
