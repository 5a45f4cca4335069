"""Wait for something that other processes do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(look: Callable[[], Awaitable[T]], fits: Callable[[T], bool], *, within: float, every: float = 0.2) -> T:
    """Look again and again until what is seen fits; return it.

    Raises:
        AssertionError: it did not fit in time; the message has what was seen last.
    """
    clock = asyncio.get_running_loop()
    end = clock.time() + within
    while True:
        seen = await look()
        if fits(seen):
            return seen
        if clock.time() > end:
            raise AssertionError(f"not within {within} s; seen last: {seen}")
        await asyncio.sleep(every)
