"""Evidence from Prometheus: what the server reported there, and what the application counted itself."""

import math
from collections.abc import Sequence

import msgspec

from rheostat_server.adapters.evidence.merging import RECENT_INTERVALS, is_traffic, quiet_ms
from rheostat_server.adapters.evidence.prometheus.blocks import (
    APPLICATION,
    FAILING,
    REPORTED,
    SAMPLED,
    application_blocks,
    reported_blocks,
)
from rheostat_server.adapters.evidence.prometheus.client import PrometheusClient, QueryFailedError
from rheostat_server.adapters.evidence.prometheus.cursor import (
    Cursor,
    Growth,
    advanced,
    advanced_by_node,
    read_cursor,
    write_cursor,
)
from rheostat_server.ports.evidence import Question
from rheostat_server.ramps.model import Block, Family, Reading, Sight

FURTHEST_BACK_S = 3_600
"""A query looks back no further; what counters grew by before counts from the cursor all the same."""
CLOCKS_AGREE_MS = 5_000
"""Clocks that differ by less are taken for equal: the answer tells its time to a second."""


class PrometheusEvidence:
    """Fulfils ``EvidenceSource`` for ``Family.REPORTED_METRICS`` and ``Family.APPLICATION``."""

    def __init__(self, client: PrometheusClient) -> None:
        self._client = client

    async def read(self, question: Question) -> Reading:
        """Return what the counters grew by since the cursor."""
        try:
            cursor = read_cursor(question.cursor)
            samples = await self._client.query(_query(question, cursor))
        except (QueryFailedError, msgspec.DecodeError) as error:
            return _blind(question, Sight.QUERY_FAILED, str(error))
        if not samples.series:
            if cursor.targets:
                return _blind(question, Sight.SERIES_STALE, _no_newer(question, cursor))
            return _blind(question, Sight.SERIES_ABSENT, "Prometheus has no such series")
        mine = question.guardrail.family is Family.REPORTED_METRICS
        read = advanced_by_node if mine else advanced
        after, growth = read(cursor, samples.series, asked_ms=question.asked_ms)
        if after.newest_ms == cursor.newest_ms:
            if _since(question, after.advanced_ms) > RECENT_INTERVALS * question.plan.interval_s * 1000:
                return _blind(question, Sight.SERIES_STALE, _no_newer(question, cursor))
            return Reading(guardrail=question.guardrail.name, sight=Sight.SEEN, cursor=question.cursor)
        return _seen(question, after, _on_our_clock(growth, samples.now_ms, question.asked_ms))

    async def forget(self, ramp: str, cursors: Sequence[str]) -> None:
        """Prometheus forgets by itself."""

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def _query(question: Question, cursor: Cursor) -> str:
    plan = question.plan
    recent_s = RECENT_INTERVALS * plan.interval_s
    back_s = math.ceil(min(FURTHEST_BACK_S, recent_s + _since(question, cursor.advanced_ms) / 1000))
    if question.guardrail.family is Family.REPORTED_METRICS:
        # Without the node nobody could tell one that is scraped twice from two.
        names, more = f"{FAILING}|{REPORTED}|{SAMPLED}", f',ramp="{_quoted(question.ramp)}",node!=""'
    else:
        names, more = APPLICATION, ""
    place = f'project="{_quoted(plan.project)}",environment="{_quoted(plan.environment)}",flag="{_quoted(plan.flag)}"'
    return f'{{__name__=~"{names}",{place}{more}}}[{back_s}s]'


def _seen(question: Question, cursor: Cursor, growth: Sequence[Growth]) -> Reading:
    blocks = _blocks(question, growth)
    if any(map(is_traffic, blocks)):
        cursor = msgspec.structs.replace(cursor, traffic_ms=question.asked_ms)
    sight, detail = Sight.SEEN, ""
    if cursor.traffic_ms is None:
        sight, detail = Sight.NO_TRAFFIC, "no request has met the flag yet"
    elif (silent_ms := _since(question, cursor.traffic_ms)) > quiet_ms(question.plan.interval_s):
        sight, detail = Sight.NO_TRAFFIC, f"no request has met the flag for {silent_ms // 1000} s"
    return Reading(
        guardrail=question.guardrail.name,
        sight=sight,
        blocks=blocks if sight is Sight.SEEN else (),
        cursor=write_cursor(cursor),
        detail=detail,
    )


def _blocks(question: Question, growth: Sequence[Growth]) -> tuple[Block, ...]:
    if question.guardrail.family is Family.REPORTED_METRICS:
        return reported_blocks(growth, question.marks, question.exposed_epoch)
    return application_blocks(growth, question.marks)


def _blind(question: Question, sight: Sight, detail: str) -> Reading:
    return Reading(guardrail=question.guardrail.name, sight=sight, cursor=question.cursor, detail=detail)


def _no_newer(question: Question, cursor: Cursor) -> str:
    return f"no newer sample for {_since(question, cursor.advanced_ms) // 1000} s"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _since(question: Question, at_ms: int | None) -> int:
    return 0 if at_ms is None else max(0, question.asked_ms - at_ms)


def _on_our_clock(growth: Sequence[Growth], their_now_ms: int | None, asked_ms: int) -> Sequence[Growth]:
    if their_now_ms is None or abs(ahead_ms := asked_ms - their_now_ms) < CLOCKS_AGREE_MS:
        return growth
    replace = msgspec.structs.replace
    return [replace(one, from_ms=one.from_ms + ahead_ms, until_ms=one.until_ms + ahead_ms) for one in growth]


def prometheus_evidence(url: str) -> PrometheusEvidence:
    """Return the source that asks the Prometheus server at this URL."""
    return PrometheusEvidence(PrometheusClient(url))
