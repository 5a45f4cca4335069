"""One try to bring a batch to the server."""

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from rheostat.model.outcome import BatchReceipt
from rheostat.outcomes.pending import EncodedBatch

if TYPE_CHECKING:
    # Imported where it is used: see the client's start.
    import urllib3

PATH: Final = "/sdk/v1/outcomes"
AGE_HEADER: Final = "Rheostat-Batch-Age-Ms"
CONNECT_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 5.0
LONGEST_RETRY_AFTER_S: Final = 60.0

_REFUSED: Final = frozenset((400, 413, 415, 422))
_TRY_SOON: Final = frozenset((408, 425, 429))


class Verdict(enum.Enum):
    """What became of the try."""

    ACKNOWLEDGED = enum.auto()
    REFUSED = enum.auto()
    """The server will never take this batch."""
    DENIED = enum.auto()
    """The key or the address is wrong: it takes a person, so try seldom."""
    UNAVAILABLE = enum.auto()
    """Try again soon. The batch may have been counted: the same bytes go again."""


class Delivery(msgspec.Struct, frozen=True):
    """The verdict, and what there is to say about it.

    ``receipt`` is what the server said of the batch, if that could be read; ``retry_after_s`` the wait that it asked
    for.
    """

    verdict: Verdict
    detail: str = ""
    receipt: BatchReceipt | None = None
    retry_after_s: float = 0.0


class Courier:
    """Posts batches to one server with one key.

    ``pool`` makes the connections; it is called again in a forked child, which must not share sockets.
    """

    def __init__(self, url: str, sdk_key: str, pool: "Callable[[], urllib3.PoolManager] | None" = None) -> None:
        self._url = url.rstrip("/") + PATH
        self._headers = {
            "Authorization": f"Bearer {sdk_key}",
            "Content-Type": "application/json",
            "User-Agent": "rheostat-sdk-python",
        }
        self._make_pool = pool
        self._pool: urllib3.PoolManager | None = None

    def renew(self) -> None:
        """Forget all connections without touching them: they belong to the parent process."""
        self._pool = None

    def deliver(self, batch: EncodedBatch, now: float, within_s: float | None = None) -> Delivery:
        """Post the batch once. ``now`` is monotonic; ``within_s`` bounds the whole try."""
        import urllib3

        headers = self._headers | {AGE_HEADER: str(max(0, round((now - batch.made_at) * 1000)))}
        if batch.compressed:
            headers["Content-Encoding"] = "gzip"
        try:
            if self._pool is None:
                self._pool = urllib3.PoolManager() if self._make_pool is None else self._make_pool()
            answer = self._pool.request(
                "POST",
                self._url,
                body=batch.body,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S, total=within_s),
                retries=False,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return Delivery(Verdict.UNAVAILABLE, f"{type(error).__name__}: {error}")
        return _read(answer)


def _read(answer: "urllib3.BaseHTTPResponse") -> Delivery:
    status = answer.status
    if 200 <= status < 300:
        return Delivery(Verdict.ACKNOWLEDGED, receipt=_receipt(answer.data))
    detail = f"HTTP {status} {answer.data[:200].decode('utf-8', 'replace')}".rstrip()
    if status in _REFUSED:
        return Delivery(Verdict.REFUSED, detail)
    if status >= 500 or status in _TRY_SOON:
        return Delivery(Verdict.UNAVAILABLE, detail, retry_after_s=_seconds(answer.headers.get("Retry-After")))
    return Delivery(Verdict.DENIED, detail)


def _receipt(body: bytes) -> BatchReceipt | None:
    try:
        return msgspec.json.decode(body, type=BatchReceipt)
    except msgspec.DecodeError:  # acknowledged all the same
        return None


def _seconds(header: str | None) -> float:
    if header is None or not header.isdecimal():
        return 0.0
    return min(float(header), LONGEST_RETRY_AFTER_S)
