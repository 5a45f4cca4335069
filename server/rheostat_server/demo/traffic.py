"""Users who visit the shop at a steady rate, each request by one of them at random."""

import asyncio
import contextlib
import random
from collections import deque

import httpx
import msgspec

from rheostat.clock import Clock


def region_of(number: int) -> str:
    """Return where this user lives: every other one in ``us``."""
    return "us" if number % 2 else "eu"


class Served(msgspec.Struct, frozen=True):
    """One answered request. ``at`` is monotonic seconds; ``new`` says whether the new checkout answered."""

    at: float
    user: str
    failed: bool
    new: bool


class Traffic:
    """An open loop: a request starts at its time whether or not the one before has been answered.

    ``rate`` is requests per second, ``users`` how many distinct users there are.
    """

    def __init__(self, url: str, *, rate: float, users: int, clock: Clock, seed: int = 1) -> None:
        self._url = url
        self._rate = rate
        self._users = users
        self._clock = clock
        self._random = random.Random(seed)
        self._task: asyncio.Task[None] | None = None
        self.recent: deque[Served] = deque(maxlen=20_000)
        self.sent = 0
        self.failed = 0

    def error_rate(self, seconds: float) -> float:
        """Return the share of requests that failed in the last ``seconds``."""
        since = self._clock.monotonic() - seconds
        window = [served.failed for served in self.recent if served.at >= since]
        return sum(window) / len(window) if window else 0.0

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._send_all())

    async def stop(self) -> None:
        """End; requests under way are dropped."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _send_all(self) -> None:
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        async with httpx.AsyncClient(limits=limits, timeout=10.0) as client, asyncio.TaskGroup() as requests:
            due = self._clock.monotonic()
            while True:
                requests.create_task(self._send_one(client))
                due += 1 / self._rate
                await asyncio.sleep(max(0.0, due - self._clock.monotonic()))

    async def _send_one(self, client: httpx.AsyncClient) -> None:
        number = self._random.randrange(self._users)
        user = f"user-{number}"
        self.sent += 1
        try:
            answer = await client.get(f"{self._url}/checkout", params={"user": user, "region": region_of(number)})
            failed, new = answer.status_code >= 500, answer.text == "new"
        except httpx.HTTPError:
            failed, new = True, False
        self.failed += failed
        self.recent.append(Served(self._clock.monotonic(), user, failed, new))
