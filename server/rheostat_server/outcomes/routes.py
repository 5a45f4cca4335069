"""HTTP for reported outcomes."""

import zlib
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec

from rheostat.model.outcome import Batch, BatchReceipt
from rheostat_server.errors import Malformed, TooLarge
from rheostat_server.outcomes.service import OutcomeService
from rheostat_server.outcomes.validate import MOST, read_batch
from rheostat_server.ports.metrics import Metrics
from rheostat_server.streaming.callers import Keys, server_caller
from rheostat_server.web.openapi import takes

BODY_BYTES = 1 << 20
"""The most that a batch may be, unpacked."""

AGE_HEADER = "Rheostat-Batch-Age-Ms"
"""How long ago the batch was made; all ages in it count back from then. Absent: just now."""


def outcome_routes(service: OutcomeService, keys: Keys, metrics: Metrics) -> list[HTTPRouteHandler]:
    """Return the handler of ``/sdk/v1/outcomes``."""

    @post(
        "/sdk/v1/outcomes",
        status_code=200,
        request_max_body_size=BODY_BYTES,
        operation_class=takes(Batch),
        responses={200: ResponseSpec(BatchReceipt, description="It is counted.", generate_examples=False)},
        tags=["Data plane"],
        summary="Report outcomes of requests that read ramping flags (a Batch, gzip where the header says so)",
    )
    async def report(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Count a batch; the answer comes after the commit."""
        headers = request.headers
        _, environment_id = server_caller(keys, headers.get("authorization"), headers.get("x-api-key"))
        body = unpacked(await request.body(), headers.get("content-encoding"))
        age_ms = age_of(headers.get(AGE_HEADER))
        receipt: BatchReceipt = await service.ingest(environment_id, read_batch(body), age_ms=age_ms)
        metrics.request("outcomes", 200)
        return Response(msgspec.json.encode(receipt), media_type="application/json")

    return [report]


def age_of(text: str | None) -> int:
    """Return a batch's age in ms; what cannot be read is 0, for no outcome is refused because of it."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= len(str(MOST)) else 0


def unpacked(body: bytes, encoding: str | None) -> bytes:
    """Return a body without its gzip, if it has one.

    Raises:
        TooLarge: it is larger than 1 MiB; not more than that is ever unpacked.
        Malformed: the encoding is another, or the gzip is broken.
    """
    encoding = (encoding or "identity").strip().lower()
    if encoding == "gzip":
        # Not gzip.decompress: it knows no bound, and a small body may unpack to gigabytes.
        reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            body = reader.decompress(body, BODY_BYTES + 1)
        except zlib.error as error:
            raise Malformed("the body is not gzip, as its Content-Encoding says") from error
        if len(body) <= BODY_BYTES and not reader.eof:
            raise Malformed("the body's gzip is cut short")
    elif encoding != "identity":
        raise Malformed(f"the Content-Encoding {encoding[:40]!r} is not understood; send gzip or none")
    if len(body) > BODY_BYTES:
        raise TooLarge("a batch is at most 1 MiB; send several")
    return body
