"""Whether this node is alive and ready, and its metrics."""

from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Response, get

from rheostat_server.ports.metrics import Metrics


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of the node. ``ready`` is false only where requests cannot be answered without it."""

    ready: bool
    detail: str = ""
    age_ms: int | None = None


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether requests can be answered, and how each part stands."""

    ready: bool
    parts: dict[str, Part]


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str = "alive"


def readiness_of(parts: dict[str, Part]) -> Readiness:
    """Return the whole from its parts."""
    return Readiness(ready=all(part.ready for part in parts.values()), parts=parts)


def health_routes(parts: Callable[[], dict[str, Part]], metrics: Metrics) -> list[Any]:
    """Return the handlers of ``/healthz``, ``/readyz`` and ``/metrics``. They ask for no key."""

    @get("/healthz", tags=["health"], security=[])
    async def healthz() -> Alive:
        """Say that the process is alive."""
        return Alive()

    @get("/readyz", tags=["health"], security=[])
    async def readyz() -> Response[Readiness]:
        """Say whether requests can be answered: 503 before the first snapshot."""
        readiness = readiness_of(parts())
        return Response(readiness, status_code=200 if readiness.ready else 503, headers={"Cache-Control": "no-store"})

    @get("/metrics", tags=["health"], security=[])
    async def show_metrics() -> Response[bytes]:
        """Give the node's metrics as Prometheus reads them."""
        body, media_type = metrics.render()
        return Response(body, media_type=media_type)

    return [healthz, readyz, show_metrics]
