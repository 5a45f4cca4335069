"""ASGI's lifespan: the only word of a server's end that comes before the signal ends the process.

uvicorn raises SIGTERM again when it is done, so neither ``atexit`` nor what stands behind ``uvicorn.run`` ever runs.
"""

import asyncio
import logging

from rheostat.middleware.connection import ASGIApp, Message, Receive, Scope, Send
from rheostat.outcomes.outcomes import Outcomes

FAREWELL_S = 1.0
"""How long the end of a server waits at most for the last outcomes to be sent."""

log = logging.getLogger("rheostat")


async def serve_lifespan(app: ASGIApp, outcomes: Outcomes | None, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the application's lifespan, and send the last outcomes with a goodbye when the server is done.

    For an application that knows no lifespan (it returns, raises before it has said anything, or answers as if it were
    a request) it is served here: else the server would never tell of its end. What a start-up that fails says is
    passed on.
    """
    started = answered = False

    async def receiving() -> Message:
        nonlocal started
        message = await receive()
        started = True
        return message

    async def sending(message: Message) -> None:
        nonlocal answered
        if not message["type"].startswith("lifespan."):
            raise RuntimeError(f"{message['type']} is no answer to a lifespan")
        answered = True
        if message["type"].startswith("lifespan.shutdown."):
            await _farewell(outcomes)
        await send(message)

    try:
        await app(scope, receiving, sending)
    except Exception as error:
        if answered:
            raise
        log.debug("the application has no lifespan: %s: %s", type(error).__name__, error)
    if answered:
        return
    if not started:
        await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await _farewell(outcomes)
    await send({"type": "lifespan.shutdown.complete"})


async def _farewell(outcomes: Outcomes | None) -> None:
    if outcomes is not None:
        await asyncio.to_thread(outcomes.farewell, FAREWELL_S)
