"""One open stream over HTTP, as plain ASGI: thousands of them are open at once."""

import asyncio
import contextlib
from collections.abc import Iterable

from litestar.types import Receive, Send

from rheostat_server.streaming.subscriber import Subscriber

SEND_SECONDS = 20.0
"""A reader that takes nothing for so long is let go."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # Or nginx holds events back until its buffer is full.
    (b"x-accel-buffering", b"no"),
]


async def serve_stream(
    subscriber: Subscriber, receive: Receive, send: Send, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Write what the subscriber gets until it is closed or the reader goes away. ``headers`` are further ones."""
    await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *headers]})
    watching = asyncio.create_task(_close_when_gone(subscriber, receive))
    try:
        while data := await subscriber.take():
            async with asyncio.timeout(SEND_SECONDS):
                await send({"type": "http.response.body", "body": data, "more_body": True})
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        # Returning with the answer unfinished makes the server drop the connection.
        return
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def _close_when_gone(subscriber: Subscriber, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    subscriber.close()
