"""Raw samples from a Prometheus server over HTTP."""

import asyncio
import threading
from contextlib import suppress
from email.utils import parsedate_to_datetime
from math import isfinite
from urllib.parse import urlsplit, urlunsplit

import msgspec
import urllib3

TIMEOUT_S = 5.0
"""For connecting and for each read; a whole query is given twice that."""
LARGEST_ANSWER = 32 << 20
_CONNECTIONS = 4


class QueryFailedError(Exception):
    """Prometheus could not be asked, or did not answer with samples. The message is one line."""


class Series(msgspec.Struct, frozen=True):
    """Samples of one series in order: (wall ms by Prometheus's clock, value), finite ones only."""

    name: str
    labels: dict[str, str]
    samples: tuple[tuple[int, float], ...]


class Samples(msgspec.Struct, frozen=True):
    """An answer. ``now_ms`` is Prometheus's clock when it answered (to a second), where it said."""

    series: tuple[Series, ...]
    now_ms: int | None = None


class _Result(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Data(msgspec.Struct, rename="camel"):
    result_type: str
    result: list[_Result]


class _Answer(msgspec.Struct, rename="camel"):
    status: str
    error: str = ""
    data: _Data | None = None


class PrometheusClient:
    """Asks one Prometheus server. Credentials may stand in the URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self._url = urlunsplit((parts.scheme, host, parts.path.rstrip("/") + "/api/v1/query", "", ""))
        headers = {"Accept": "application/json"}
        if parts.username is not None:
            headers |= urllib3.make_headers(basic_auth=f"{parts.username}:{parts.password or ''}")
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._pool = urllib3.PoolManager(
            maxsize=_CONNECTIONS,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=TIMEOUT_S, read=TIMEOUT_S),
            headers=headers,
        )

    async def query(self, text: str) -> Samples:
        """Return the samples that a range selector selects.

        Raises:
            QueryFailedError: no answer in time, an error, or an answer that is not samples.
        """
        try:
            # The thread may outlive the wait, by its own time limits.
            async with asyncio.timeout(2 * TIMEOUT_S):
                await self._places.acquire()
                return await self._begin(text)
        except TimeoutError:
            raise QueryFailedError(f"no answer within {2 * TIMEOUT_S:.0f} s") from None

    async def close(self) -> None:
        """Close all connections."""
        self._pool.clear()

    def _begin(self, text: str) -> asyncio.Future[Samples]:
        """Ask in a thread of its own; its place is free when that ends, however long somebody waits for it.

        Not in the loop's threads: a Prometheus that hangs would keep others from working, and the process from ending.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Samples] = loop.create_future()

        def end(samples: Samples | None, error: Exception | None) -> None:
            self._places.release()
            if answer.done():
                return
            if samples is not None:
                answer.set_result(samples)
            elif error is not None:
                answer.set_exception(error)

        def ask() -> None:
            samples, failure = None, None
            try:
                samples = self._query(text)
            except Exception as error:  # noqa: BLE001 - handed to whoever waits
                failure = error
            # The loop may have been closed meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(end, samples, failure)

        threading.Thread(target=ask, name="prometheus", daemon=True).start()
        return answer

    def _query(self, text: str) -> Samples:
        try:
            response = self._pool.request(
                "POST", self._url, fields={"query": text}, encode_multipart=False, preload_content=False
            )
            try:
                body = response.read(LARGEST_ANSWER + 1, decode_content=True)
            finally:
                response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise QueryFailedError(_line(error)) from error
        if len(body) > LARGEST_ANSWER:
            raise QueryFailedError(f"the answer is larger than {LARGEST_ANSWER >> 20} MiB")
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            said = "" if response.status == 200 else f"HTTP {response.status}; "
            raise QueryFailedError(f"{said}the answer is not Prometheus's: {_line(error)}") from error
        if response.status != 200 or answer.status != "success":
            raise QueryFailedError(f"HTTP {response.status}: {answer.error or 'no reason given'}")
        if answer.data is None or answer.data.result_type != "matrix":
            raise QueryFailedError("the answer holds no raw samples")
        return _samples(answer.data, response.headers.get("Date"))


def _samples(data: _Data, date: str | None) -> Samples:
    series = []
    for result in data.result:
        name = result.metric.pop("__name__", "")
        try:
            read = ((round(at * 1000), float(value)) for at, value in result.values)
            samples = tuple(sorted((at, value) for at, value in read if isfinite(value)))
        except ValueError as error:
            raise QueryFailedError(f"a sample of {name} is not a number") from error
        if result.values and not samples:
            raise QueryFailedError(f"{name} has no finite sample")
        series.append(Series(name, result.metric, samples))
    return Samples(tuple(series), _moment(date))


def _moment(date: str | None) -> int | None:
    try:
        return None if date is None else round(parsedate_to_datetime(date).timestamp() * 1000)
    except ValueError:
        return None


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).split("\n", 1)[0]
