"""ASGI: the context and the outcome of each request."""

import asyncio
from collections.abc import Callable

from rheostat.middleware.connection import ASGIApp, Message, Receive, Scope, Send
from rheostat.middleware.faults import Faults
from rheostat.middleware.lifespan import serve_lifespan
from rheostat.middleware.metrics import count_requests
from rheostat.middleware.request import Flags, Latency, WatchedRequest, binding, watch
from rheostat.model.context import Context
from rheostat.model.outcome import Outcome
from rheostat.outcomes.recorder import current_recorder

_BODIES = frozenset(("http.response.body", "http.response.zerocopysend"))


class RheostatMiddleware:
    """Binds the request's context, and counts how the request ended in each ramping flag that it read.

    ``context`` makes the context from the ASGI scope; ``None`` (or no callable) binds nothing. A request
    ends with its last body message and not with the application's return, so background tasks do not
    count. It is ``error`` on an exception or a 5xx status, ``cancelled`` when the client goes first, and
    ``timeout`` when 30 s after the first ramping flag it has not ended. ``latency="first_byte"`` ends it
    with the first body message: for streams; server-sent events always do. WebSockets get the context and
    are not counted. ``metrics=False`` leaves the application's Prometheus registry alone; ``registry``
    names another than the default one.

    A fault in here is logged once and never reaches the application.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        flags: Flags,
        context: Callable[[Scope], Context | None] | None = None,
        latency: Latency = "last_byte",
        metrics: bool = True,
        registry: object | None = None,
    ) -> None:
        self._app = app
        self._flags = flags
        self._context = context
        self._latency: Latency = latency
        self._faults = Faults()
        if metrics:
            count_requests(flags.outcomes, registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the application."""
        if scope["type"] == "lifespan":
            await serve_lifespan(self._app, self._flags.outcomes, scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        with binding(self._flags, self._context_of(scope), self._faults):
            request = watch(self._flags, self._latency, self._faults) if scope["type"] == "http" else None
            if request is None:
                await self._app(scope, receive, send)
            else:
                await self._serve(request, scope, receive, send)

    async def _serve(self, request: WatchedRequest, scope: Scope, receive: Receive, send: Send) -> None:
        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                # Servers say this after a complete response too; then the request has ended before.
                request.end(Outcome.CANCELLED)
            return message

        async def sending(message: Message) -> None:
            kind = message["type"]
            if kind == "http.response.start":
                request.responds(message["status"], _content_type(message))
            try:
                await send(message)
            except OSError:
                request.end(Outcome.CANCELLED)
                raise
            if kind in _BODIES:
                request.sent(last=not message.get("more_body", False))
            elif kind == "http.response.pathsend":
                request.sent(last=True)

        token = current_recorder.set(request.recorder)
        try:
            await self._app(scope, receiving, sending)
        except asyncio.CancelledError:
            # The server gave up on the request: its client has gone, or it shuts down.
            request.end(Outcome.CANCELLED)
            raise
        except BaseException:
            request.end(Outcome.ERROR)
            raise
        else:
            # An application that returns without a complete response: the server answers 500 or cuts it off.
            request.end(Outcome.ERROR)
        finally:
            current_recorder.reset(token)

    def _context_of(self, scope: Scope) -> Context | None:
        try:
            return None if self._context is None else self._context(scope)
        except Exception:  # noqa: BLE001 - the application's own function; a flag must not cost it the request
            self._faults.say("the context callable failed")
            return None


def _content_type(message: Message) -> str:
    for name, value in message.get("headers", ()):
        if name.lower() == b"content-type":
            return bytes(value).decode("latin-1")
    return ""
