"""HTTP for the feed: the snapshot and the stream."""

from typing import Any

from litestar import Request, Response, get
from litestar.enums import ScopeType
from litestar.exceptions import MethodNotAllowedException
from litestar.handlers import HTTPRouteHandler, asgi
from litestar.handlers.asgi_handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from rheostat.model.snapshot import Identity
from rheostat_server.errors import Unavailable
from rheostat_server.ports.metrics import Metrics
from rheostat_server.streaming.callers import Keys, header, server_caller
from rheostat_server.streaming.connection import serve_stream
from rheostat_server.streaming.hub import Hub

AGE_HEADER = "Rheostat-Age"
"""The same figure as the body's ``age_ms``; on a 304 the only place that says it."""


def feed_routes(hub: Hub, keys: Keys, metrics: Metrics) -> list[HTTPRouteHandler | ASGIRouteHandler]:
    """Return the handlers of ``/sdk/v1/snapshot`` and ``/sdk/v1/stream``."""
    keys.on_change(hub.check_permits)

    @get("/sdk/v1/snapshot", tags=["Data plane"], summary="All that the key's environment serves")
    async def snapshot(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Answer the snapshot; 304 where ``If-None-Match`` names the one that the caller holds."""
        headers = request.headers
        _, environment_id = server_caller(keys, headers.get("authorization"), headers.get("x-api-key"))
        feed = hub.feed(environment_id)
        about = {"ETag": feed.etag, "Cache-Control": "no-cache", "Vary": "Authorization, X-API-Key, Accept-Encoding"}
        if names(headers.get("if-none-match"), feed.etag):
            metrics.request("snapshot", 304)
            return Response(b"", status_code=304, headers={**about, AGE_HEADER: str(feed.age_ms())})
        answer = await feed.snapshot(gzip=accepts_gzip(headers.get("accept-encoding")))
        about |= {"ETag": answer.etag, AGE_HEADER: str(answer.age_ms)}
        if answer.gzipped:
            about["Content-Encoding"] = "gzip"
        metrics.request("snapshot", 200)
        return Response(answer.body, media_type="application/json", headers=about)

    @asgi("/sdk/v1/stream", copy_scope=False)
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "GET":
            raise MethodNotAllowedException(headers={"Allow": "GET"})
        headers = scope["headers"]
        principal, environment_id = server_caller(
            keys, header(headers, b"authorization"), header(headers, b"x-api-key")
        )
        feed = hub.feed(environment_id)
        if hub.closing:
            raise Unavailable("this node stops; connect again")
        metrics.request("stream", 200)
        subscriber = feed.subscribe(held_by(header(headers, b"last-event-id")), lambda: keys.valid(principal.token_id))
        try:
            await serve_stream(subscriber, receive, send)
        finally:
            feed.unsubscribe(subscriber)

    return [snapshot, stream]


def held_by(last_event_id: str | None) -> Identity | None:
    """Return the identity that ``Last-Event-ID`` names; what cannot be read counts as nothing held."""
    try:
        return Identity.parse(last_event_id) if last_event_id else None
    except ValueError:
        return None


def names(if_none_match: str | None, etag: str) -> bool:
    """Return whether ``If-None-Match`` lists this ETag, compared weakly."""
    if if_none_match is None:
        return False
    listed = (part.strip().removeprefix("W/") for part in if_none_match.split(","))
    return any(part in (etag, "*") for part in listed)


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Return whether ``Accept-Encoding`` has gzip, not refused by ``q=0``."""
    for part in (accept_encoding or "").split(","):
        coding, _, quality = part.partition(";")
        if coding.strip().lower() in ("gzip", "x-gzip"):
            return quality.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
