"""HTTP for OFREP, as plain ASGI: it is asked most of all."""

from typing import Any
from urllib.parse import parse_qs

import structlog
from litestar.enums import ScopeType
from litestar.handlers import asgi
from litestar.handlers.asgi_handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from rheostat_server.errors import RheostatServerError, Unauthenticated, Unavailable
from rheostat_server.evaluation.answers import Reply, failure
from rheostat_server.evaluation.context import BODY_BYTES
from rheostat_server.evaluation.cors import Cors
from rheostat_server.evaluation.description import ofrep_description
from rheostat_server.evaluation.ofrep import STREAM, Ofrep
from rheostat_server.ports.metrics import Metrics
from rheostat_server.streaming.callers import Keys, header, sdk_caller
from rheostat_server.streaming.connection import serve_stream
from rheostat_server.web.described import DESCRIBED
from rheostat_server.web.errors import RETRY_AFTER_SECONDS, status_for

log = structlog.get_logger()

BULK = "/v1/evaluate/flags"
SERVICE_HEADER = b"rheostat-service"


def ofrep_routes(ofrep: Ofrep, keys: Keys, metrics: Metrics, cors_origins: str) -> list[ASGIRouteHandler]:
    """Return the handler of everything below ``/ofrep``."""
    plane = OfrepPlane(ofrep, keys, metrics, Cors(cors_origins))

    # A mount, and not two routes: Litestar gives plain ASGI handlers no path parameters by method.
    @asgi("/ofrep", is_mount=True, copy_scope=False, opt={DESCRIBED: ofrep_description()})
    async def evaluate(scope: Scope, receive: Receive, send: Send) -> None:
        await plane(scope, receive, send)

    return [evaluate]


class OfrepPlane:
    """OFREP as an ASGI application. It answers errors itself, in OFREP's form."""

    def __init__(self, ofrep: Ofrep, keys: Keys, metrics: Metrics, cors: Cors) -> None:
        self._ofrep = ofrep
        self._keys = keys
        self._metrics = metrics
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != ScopeType.HTTP:
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
            return
        headers = scope["headers"]
        origin = header(headers, b"origin")
        if scope["method"] == "OPTIONS":
            await _send(send, Reply(204, b"", self._cors.preflight(origin)))
            return
        # Within a mount the path is what follows it, with a slash at the end.
        before, found, rest = scope["path"].rstrip("/").partition(BULK)
        key = rest[1:] if rest.startswith("/") else ""
        single = bool(key)
        if scope["path"].rstrip("/") == STREAM:
            await self._stream(scope, receive, send)
            return
        if before or not found or (rest and not single) or "/" in key:
            reply = failure(404, "there is nothing at this address; OFREP is below /ofrep/v1/evaluate/flags")
        elif scope["method"] != "POST":
            reply = failure(405, "evaluations are asked for by POST")
            reply = Reply(reply.status, reply.body, ((b"allow", b"POST, OPTIONS"),))
        else:
            reply = await self._answer(scope, key or None, receive)
        self._metrics.request("ofrep-single" if single else "ofrep-bulk", reply.status)
        await _send(send, Reply(reply.status, reply.body, (*reply.headers, *self._cors.headers(origin))))

    async def _stream(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request for an event stream."""
        headers = scope["headers"]
        cors = self._cors.headers(header(headers, b"origin"))
        reply: Reply | None = None
        if scope["method"] != "GET":
            reply = failure(405, "event streams are asked for by GET")
            reply = Reply(reply.status, reply.body, ((b"allow", b"GET, OPTIONS"),))
        else:
            try:
                [ticket] = parse_qs(scope["query_string"].decode("latin-1")).get("ticket") or [""]
                feed, watcher = self._ofrep.watch(ticket, header(headers, b"last-event-id"))
            except ValueError:
                reply = failure(400, "one ticket is enough", code="GENERAL")
            except RheostatServerError as error:
                reply = _refusal(error, None)
        self._metrics.request("ofrep-stream", 200 if reply is None else reply.status)
        if reply is not None:
            await _send(send, Reply(reply.status, reply.body, (*reply.headers, *cors)))
            return
        try:
            await serve_stream(watcher, receive, send, cors)
        finally:
            feed.watchers.remove(watcher)

    async def _answer(self, scope: Any, key: str | None, receive: Receive) -> Reply:
        headers = scope["headers"]
        try:
            principal, environment_id = sdk_caller(
                self._keys, header(headers, b"authorization"), header(headers, b"x-api-key")
            )
            body = await _body(receive)
            if key is None:
                await self._ofrep.catch_up(environment_id, scope["query_string"])
                return self._ofrep.bulk(principal, environment_id, body, header(headers, b"if-none-match"))
            return self._ofrep.single(principal, environment_id, key, body, header(headers, SERVICE_HEADER))
        except RheostatServerError as error:
            return _refusal(error, key)
        except Exception:
            log.exception("evaluation_failed")
            return failure(500, "the server made a mistake; its log says more", key=key, code="GENERAL")


def _refusal(error: RheostatServerError, key: str | None) -> Reply:
    code = "PROVIDER_NOT_READY" if isinstance(error, Unavailable) else "GENERAL"
    reply = failure(status_for(error), str(error), key=key, code=code)
    extra: tuple[tuple[bytes, bytes], ...] = ()
    if isinstance(error, Unauthenticated):
        extra = ((b"www-authenticate", b'Bearer realm="rheostat"'),)
    elif isinstance(error, Unavailable):
        extra = ((b"retry-after", str(RETRY_AFTER_SECONDS).encode()),)
    return Reply(reply.status, reply.body, extra)


async def _body(receive: Receive) -> bytes:
    """Return the request's body; of one above the limit no more than shows that it is."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message["body"])
        size += len(message["body"])
        if not message.get("more_body") or size > BODY_BYTES:
            return b"".join(parts)


async def _send(send: Send, reply: Reply) -> None:
    headers = [*reply.headers]
    # A 304 says no length: it would be that of the answer that it stands for.
    if reply.status not in (204, 304):
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(reply.body)).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})
