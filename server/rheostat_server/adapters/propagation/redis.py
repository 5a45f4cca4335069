"""Hints by Redis's PUBLISH and SUBSCRIBE."""

import asyncio
import contextlib
from collections.abc import Sequence

import redis.asyncio as redis
import structlog

from rheostat_server.adapters.propagation.backoff import pause
from rheostat_server.adapters.propagation.listeners import Listeners, hint_of, hint_text
from rheostat_server.ports.propagation import Forget, Heard

log = structlog.get_logger()

CHANNEL = "rheostat_changed"
CALL_SECONDS = 2.0
PROBE_SECONDS = 15.0
"""How often an idle subscription is tried with a ping."""

_LOST = (redis.RedisError, OSError, TimeoutError)


class RedisPropagation:
    """Fulfils ``Propagation`` on a Redis server, and comes back after its outages."""

    transactional = False

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_connect_timeout=CALL_SECONDS, socket_timeout=CALL_SECONDS)
        self._listeners = Listeners()
        self._task: asyncio.Task[None] | None = None

    async def announce(self, changed: Sequence[int]) -> None:
        """Hint to all nodes; lost while Redis is away."""
        try:
            await self._client.publish(CHANNEL, hint_text(tuple(changed)))
        except _LOST as error:
            log.debug("hint_lost", error=str(error))

    def listen(self, heard: Heard) -> Forget:
        """Call ``heard`` at each hint."""
        return self._listeners.add(heard)

    async def start(self) -> None:
        """Begin to listen, in the background."""
        self._task = asyncio.create_task(self._keep_listening())

    async def stop(self) -> None:
        """Close the connections."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._client.aclose()

    async def _keep_listening(self) -> None:
        failures = 0
        while True:
            subscription = self._client.pubsub()
            try:
                await subscription.subscribe(CHANNEL)
                while True:
                    message = await subscription.get_message(timeout=PROBE_SECONDS)
                    if message is None:
                        await subscription.ping()
                    elif message["type"] == "subscribe":
                        failures = 0
                        # Whatever was announced while nobody listened is unknown.
                        self._listeners.tell(())
                    elif message["type"] == "message":
                        self._listeners.tell(hint_of(message["data"].decode(errors="replace")))
            except _LOST as error:
                failures += 1
                log.info("listen_lost", error=str(error))
            finally:
                with contextlib.suppress(*_LOST):
                    await subscription.aclose()  # type: ignore[no-untyped-call]
            await asyncio.sleep(pause(failures or 1))
