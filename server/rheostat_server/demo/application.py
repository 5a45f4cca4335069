"""A small web shop whose new checkout can be made to fail: the application of the demo and of the end-to-end tests.

GET  /checkout?user=ID   200, or 500 when the new checkout breaks (or, rarely, the shop itself)
POST /fault?rate=0.3     from now on the new checkout fails for this share of its requests
GET  /metrics            the application's own counters, for Prometheus
GET  /seen               what the SDK knows: its status, for tests
"""

import argparse
import random
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
import prometheus_client
import uvicorn

from rheostat import Context, Rheostat

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FLAG = "checkout-v2"


class Shop:
    """The ASGI application. ``background`` is the share of requests that fail whatever the flag says."""

    def __init__(self, flags: Rheostat, *, background: float, seed: int) -> None:
        self._flags = flags
        self._background = background
        self._fault = 0.0
        self._random = random.Random(seed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        match scope["path"]:
            case "/checkout":
                status, body = self._checkout()
            case "/fault":
                self._fault = float(query["rate"])
                status, body = 200, b"ok"
            case "/metrics":
                status, body = 200, prometheus_client.generate_latest()
            case "/seen":
                status, body = 200, msgspec.json.encode(self._flags.status(), enc_hook=str)
            case _:
                status, body = 404, b"not found"
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _checkout(self) -> tuple[int, bytes]:
        new = self._flags.boolean(FLAG, default=False)
        broken = self._random.random() < (self._fault if new else 0.0)
        if broken or self._random.random() < self._background:
            return 500, b"the checkout is broken"
        return 200, b"new" if new else b"old"


def context_of(scope: Scope) -> Context | None:
    """Say for whom a request's flags are evaluated."""
    user = parse_qs(scope["query_string"].decode()).get("user")
    return Context(user[0]) if user else None


def main() -> None:
    """Serve the shop until a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--background", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    flags = Rheostat(service="shop")
    shop = Shop(flags, background=options.background, seed=options.seed)
    application = flags.middleware(shop, context=context_of)
    uvicorn.run(application, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)
    flags.close()


if __name__ == "__main__":
    main()
