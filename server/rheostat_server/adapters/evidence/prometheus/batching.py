"""The same question for many ramps, asked of Prometheus once."""

import asyncio
from collections.abc import Coroutine
from functools import lru_cache

import msgspec

from rheostat_server.adapters.evidence.prometheus.client import PrometheusClient, QueryFailedError, Samples, Series
from rheostat_server.ramps.promql import Matcher, Selector, any_of, counters_of

WAIT_S = 0.02
"""So long others are waited for. All ramps whose interval has passed ask within one tick."""
MOST_TOGETHER = 50
_PIVOTS = ("ramp", "flag")
_STEP_S = 60


class _Kind(msgspec.Struct, frozen=True):
    """What selectors have in common that differ in the value of one label alone."""

    name: str | None
    pivot: str
    others: tuple[Matcher, ...]


class _Waiting(msgspec.Struct):
    value: str
    text: str
    back_s: int
    answer: asyncio.Future[Samples]


class Batching:
    """Asks for selectors; those that differ in their ramp or flag alone, and come together, share a query."""

    def __init__(self, client: PrometheusClient) -> None:
        self._client = client
        self._waiting: dict[tuple[_Kind, int], list[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def samples(self, text: str, back_s: int) -> Samples:
        """Return the samples of a selector over at least the last ``back_s`` seconds.

        Raises:
            QueryFailedError: as ``PrometheusClient.query``; then all that shared the query have failed.
        """
        kind, value = _kind_of(text)
        if kind is None:
            return await self._client.query(f"{text}[{back_s}s]")
        # Who was blind for long, and has to look back far, makes nobody else's answer long.
        key = kind, -(-back_s // _STEP_S)
        waiting = self._waiting.setdefault(key, [])
        mine = _Waiting(value, text, back_s, asyncio.get_running_loop().create_future())
        waiting.append(mine)
        if len(waiting) == 1:
            self._begin(self._later(key))
        elif len(waiting) == MOST_TOGETHER:
            self._begin(self._together(kind, self._waiting.pop(key)))
        return await mine.answer

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _later(self, key: tuple[_Kind, int]) -> None:
        waiting = self._waiting[key]
        await asyncio.sleep(WAIT_S)
        if self._waiting.get(key) is waiting:
            del self._waiting[key]
            await self._together(key[0], waiting)

    async def _together(self, kind: _Kind, waiting: list[_Waiting]) -> None:
        back_s = max(one.back_s for one in waiting)
        values = {one.value for one in waiting}
        text = waiting[0].text
        if len(values) > 1:
            text = str(Selector(kind.name, (*kind.others, any_of(kind.pivot, values))))
        try:
            found = await self._client.query(f"{text}[{back_s}s]")
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            for one in waiting:
                if not one.answer.done():
                    one.answer.set_exception(
                        QueryFailedError(str(error)) if isinstance(error, QueryFailedError) else error
                    )
            return
        of_value: dict[str, list[Series]] = {}
        for series in found.series:
            of_value.setdefault(series.labels.get(kind.pivot, ""), []).append(series)
        for one in waiting:
            if not one.answer.done():
                one.answer.set_result(Samples(tuple(of_value.get(one.value, ())), found.now_ms))


@lru_cache(maxsize=4096)
def _kind_of(text: str) -> tuple[_Kind | None, str]:
    [selector] = counters_of(text).plus
    for pivot in _PIVOTS:
        own = [one for one in selector.matchers if one.label == pivot]
        if len(own) == 1 and own[0].op == "=" and own[0].value:
            others = tuple(one for one in selector.matchers if one.label != pivot)
            return _Kind(selector.name, pivot, others), own[0].value
    return None, ""
