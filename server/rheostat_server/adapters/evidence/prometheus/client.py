"""Raw samples from a Prometheus server over HTTP. Servers with the same API do: Mimir, Thanos, VictoriaMetrics."""

import asyncio
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec
import urllib3

from rheostat_server.adapters.evidence.prometheus.access import CONNECTIONS, Access, AccessError, Connections

LARGEST_ANSWER = 32 << 20
_LONGEST_REASON = 200
T = TypeVar("T")


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


class Numbers(msgspec.Struct, frozen=True):
    """What a query comes to at one moment: numbers as they were written. ``scalar``: one that is no list."""

    found: tuple[str, ...]
    scalar: bool = False


class _Instant(msgspec.Struct):
    value: tuple[float, str] | None = None


class _Result(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]] = []
    histograms: list[msgspec.Raw] = []


class _Data(msgspec.Struct, rename="camel"):
    result_type: str
    result: msgspec.Raw


class _Answer(msgspec.Struct, rename="camel"):
    status: str
    error: str = ""
    data: msgspec.Raw = msgspec.Raw()


class PrometheusClient:
    """Asks one Prometheus server."""

    def __init__(self, access: Access) -> None:
        self._timeout_s = access.timeout_s
        self._connections = Connections(access)
        self._places = asyncio.Semaphore(CONNECTIONS)

    async def query(self, text: str, *, at_ms: int | None = None) -> Samples:
        """Return the samples that a range selector selects, up to now or to ``at_ms`` of Prometheus's clock.

        Raises:
            QueryFailedError: no answer in time, an error, or an answer that is not samples.
        """
        fields = {"query": text, "timeout": f"{2 * self._timeout_s:g}s"}
        if at_ms is not None:
            fields["time"] = f"{at_ms / 1000:.3f}"

        def ask() -> Samples:
            answer, date = self._answer("POST", "/api/v1/query", fields)
            return _samples(_decoded(answer, _Data), date)

        return await self._wait(ask)

    async def instant(self, text: str) -> Numbers:
        """Return the numbers that a query comes to now.

        Raises:
            QueryFailedError: as ``query``; or it comes to samples over time, or to histograms.
        """
        fields = {"query": text, "timeout": f"{2 * self._timeout_s:g}s"}

        def ask() -> Numbers:
            answer, _ = self._answer("POST", "/api/v1/query", fields)
            return _numbers(_decoded(answer, _Data))

        return await self._wait(ask)

    async def values(self, label: str, selector: str | None = None) -> tuple[str, ...]:
        """Return the values of a label, of the series that a selector selects or of all.

        Raises:
            QueryFailedError: as ``query``.
        """
        fields = {} if selector is None else {"match[]": selector}

        def ask() -> tuple[str, ...]:
            answer, _ = self._answer("GET", f"/api/v1/label/{quote(label, safe='')}/values", fields)
            return tuple(_decoded(answer, list[str]))

        return await self._wait(ask)

    async def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    async def _wait(self, ask: Callable[[], T]) -> T:
        try:
            # The thread may outlive the wait, by its own time limits.
            async with asyncio.timeout(2 * self._timeout_s):
                await self._places.acquire()
                return await self._begin(ask)
        except TimeoutError:
            raise QueryFailedError(f"no answer within {2 * self._timeout_s:g} s") from None

    def _begin(self, ask: Callable[[], T]) -> asyncio.Future[T]:
        """Ask in a thread of its own; its place is free when that ends, however long somebody waits for it.

        Not in the loop's threads: a Prometheus that hangs would keep others from working, and the process from ending.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def end(set_it: Callable[[], None]) -> None:
            self._places.release()
            if not answer.done():
                set_it()

        def work() -> None:
            try:
                found = ask()
                set_it = lambda: answer.set_result(found)  # noqa: E731 - said once
            except Exception as error:  # noqa: BLE001 - handed to whoever waits
                failure = error
                set_it = lambda: answer.set_exception(failure)  # noqa: E731
            # The loop may have been closed meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(end, set_it)

        threading.Thread(target=work, name="prometheus", daemon=True).start()
        return answer

    def _answer(self, method: str, path: str, fields: dict[str, str]) -> tuple[msgspec.Raw, str | None]:
        try:
            query = urlencode(fields)
            url = self._connections.base + path
            headers = self._connections.headers()
            if method == "POST":
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            elif query:
                url = f"{url}?{query}"
            response = self._connections.pool().request(
                method, url, body=query if method == "POST" else None, headers=headers, preload_content=False
            )
            try:
                body = response.read(LARGEST_ANSWER + 1, decode_content=True)
            finally:
                response.release_conn()
        except AccessError as error:
            raise QueryFailedError(str(error)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise QueryFailedError(_line(error)) from error
        if len(body) > LARGEST_ANSWER:
            raise QueryFailedError(f"the answer is larger than {LARGEST_ANSWER >> 20} MiB")
        status = response.status
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if status != 200:
                raise QueryFailedError(f"HTTP {status}: {_said(body) or 'no reason given'}") from error
            raise QueryFailedError(f"the answer is not Prometheus's: {_said(body) or _line(error)}") from error
        if status != 200 or answer.status != "success":
            raise QueryFailedError(f"HTTP {status}: {_short(answer.error) or 'no reason given'}")
        if not bytes(answer.data):
            raise QueryFailedError("the answer holds no raw samples")
        return answer.data, response.headers.get("Date")


def _decoded(data: msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise QueryFailedError(f"the answer is not Prometheus's: {_line(error)}") from error


def _samples(data: _Data, date: str | None) -> Samples:
    if data.result_type != "matrix":
        raise QueryFailedError(f"the answer holds no raw samples but a {data.result_type}")
    series = []
    for result in _decoded(data.result, list[_Result]):
        name = result.metric.pop("__name__", "")
        if result.histograms:
            raise QueryFailedError(f"{name} is a native histogram, which is not read: select classic buckets")
        try:
            read = ((round(at * 1000), float(value)) for at, value in result.values)
            samples = tuple(sorted((at, value) for at, value in read if isfinite(value)))
        except ValueError as error:
            raise QueryFailedError(f"a sample of {name} is not a number") from error
        if result.values and not samples:
            raise QueryFailedError(f"{name} has no finite sample")
        series.append(Series(name, result.metric, samples))
    return Samples(tuple(series), _moment(date))


def _numbers(data: _Data) -> Numbers:
    if data.result_type == "scalar":
        return Numbers((_decoded(data.result, tuple[float, str])[1],), scalar=True)
    if data.result_type != "vector":
        raise QueryFailedError(f"the answer holds no number but a {data.result_type}")
    found = []
    for result in _decoded(data.result, list[_Instant]):
        if result.value is None:
            raise QueryFailedError("the answer is a histogram, and no number")
        found.append(result.value[1])
    try:
        for text in found:
            float(text)
    except ValueError as error:
        raise QueryFailedError("a value is not a number") from error
    return Numbers(tuple(found))


def _moment(date: str | None) -> int | None:
    try:
        return None if date is None else round(parsedate_to_datetime(date).timestamp() * 1000)
    except ValueError:
        return None


def _said(body: bytes) -> str:
    """Return what a proxy's page says, in one line without its markup."""
    text = body[:4096].decode("utf-8", "replace")
    text = re.sub(r"(?is)<(script|style|title)\b.*?</\1\s*>", " ", text)
    return _short(re.sub(r"<[^<>]*>", " ", text))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"


def _line(error: BaseException) -> str:
    # Without the address of the library's object, or the name of its pool.
    text = re.sub(r"^(<[^<>]*>|HTTPS?Connection(?:Pool)?\([^()]*\)): ", "", str(error))
    return _short(text) or type(error).__name__
