"""The snapshot over HTTP."""

from email.utils import parsedate_to_datetime
from typing import TypeAlias

import msgspec
import urllib3

from rheostat.feed.commands import Failure

AGE_HEADER = "Rheostat-Age"
"""On a 304: what the snapshot's ``age_ms`` would be."""

TIMEOUT = urllib3.Timeout(connect=5.0, read=15.0)


class Fetched(msgspec.Struct, frozen=True):
    """A snapshot's bytes, and the ETag that they go by."""

    body: bytes
    etag: str | None


class NotModified(msgspec.Struct, frozen=True):
    """What is held is current, and that was confirmed so many ms before."""

    age_ms: int | None


Answer: TypeAlias = Fetched | NotModified | Failure


def fetch_snapshot(pool: urllib3.PoolManager, url: str, headers: dict[str, str], etag: str | None) -> Answer:
    """GET the snapshot. Whatever goes wrong is a ``Failure``."""
    asked = {**headers, "Accept": "application/json", "Accept-Encoding": "gzip"}
    if etag is not None:
        asked["If-None-Match"] = etag
    try:
        response = pool.request("GET", url, headers=asked, timeout=TIMEOUT, retries=False, redirect=False)
        body = response.data
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        return Failure(f"the server cannot be reached: {error}")
    if response.status == 200:
        return Fetched(body, response.headers.get("ETag"))
    if response.status == 304:
        return NotModified(_whole_number(response.headers.get(AGE_HEADER)))
    return failure_of(response)


def failure_of(response: urllib3.BaseHTTPResponse) -> Failure:
    """Return the failure that an answer with another status than was hoped for means."""
    return Failure(
        f"the server answered {response.status}", response.status, _retry_after(response.headers.get("Retry-After"))
    )


def _whole_number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _retry_after(text: str | None) -> float | None:
    seconds = _whole_number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        parsedate_to_datetime(text)
    except ValueError:
        return None
    # A date needs the wall clocks of both sides to agree; a fixed pause asks for no such thing.
    return 30.0
