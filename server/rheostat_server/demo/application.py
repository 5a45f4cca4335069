"""A small web shop whose new checkout can be made to fail: the application of the demo and of the end-to-end tests.

GET  /checkout?user=ID   and &region=…: 200, or 500 when the new checkout breaks (or, rarely, the shop itself)
POST /fault?rate=0.3     from now on the new checkout fails for this share of its requests; or slow_ms, slow_rate,
                         die_rate, outage (fault.py); what is not named is well
GET  /metrics            the application's own counters, for Prometheus
GET  /seen               what the SDK knows: its status, for tests
"""

import argparse
import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import prometheus_client
import uvicorn

from rheostat import Context, Rheostat
from rheostat.clock import system_clock
from rheostat_server.demo.fault import Fault, FaultFile

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FLAG = "checkout-v2"


class Shop:
    """The ASGI application. ``background`` is the share of requests that fail whatever the flag says."""

    def __init__(self, flags: Rheostat, faults: FaultFile, *, background: float, seed: int) -> None:
        self._flags = flags
        self._background = background
        self._faults = faults
        self._random = random.Random(seed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        match scope["path"]:
            case "/checkout":
                status, body = await self._checkout()
            case "/fault":
                self._faults.write(msgspec.convert(query, Fault, strict=False))
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

    async def _checkout(self) -> tuple[int, bytes]:
        fault, chance = self._faults.read(), self._random.random
        new = self._flags.boolean(FLAG, default=False)
        if new and fault.slow_ms and chance() < fault.slow_rate:
            await asyncio.sleep(fault.slow_ms / 1000)
        if new and chance() < fault.die_rate:
            os.kill(os.getpid(), signal.SIGKILL)
        broken = chance() < max(fault.outage, fault.rate if new else 0.0)
        if broken or chance() < self._background:
            return 500, b"the checkout is broken"
        return 200, b"new" if new else b"old"


def context_of(scope: Scope) -> Context | None:
    """Say for whom a request's flags are evaluated."""
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    attributes = {"region": query["region"]} if "region" in query else {}
    return Context(query["user"], **attributes) if "user" in query else None


def application() -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return the shop with its middleware, as one of its processes."""
    options = _options()
    flags = Rheostat(service="shop")
    faults = FaultFile(options.fault_file, system_clock())
    shop = Shop(flags, faults, background=options.background, seed=options.seed)
    return flags.middleware(shop, context=context_of)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--background", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes; one that dies is replaced")
    parser.add_argument("--fault-file", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    """Serve the shop until a signal."""
    options = _options()
    uvicorn.run(
        f"{__spec__.name if __spec__ else __name__}:application",
        factory=True,
        host="127.0.0.1",
        port=options.port,
        workers=options.workers,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
