"""Evidence from Prometheus: what the server reported there, and what applications counted themselves."""

import asyncio
import math
from collections.abc import Mapping, Sequence

import msgspec

from rheostat_server.adapters.evidence.merging import RECENT_INTERVALS, is_traffic, quiet_ms
from rheostat_server.adapters.evidence.prometheus.access import Access
from rheostat_server.adapters.evidence.prometheus.batching import Batching
from rheostat_server.adapters.evidence.prometheus.blocks import (
    FAILING,
    REPORTED,
    SAMPLED,
    counted_blocks,
    reported_blocks,
)
from rheostat_server.adapters.evidence.prometheus.client import PrometheusClient, QueryFailedError, Samples
from rheostat_server.adapters.evidence.prometheus.counting import arms_seen, by_terms, counted, unmapped, whole_arms
from rheostat_server.adapters.evidence.prometheus.cursor import (
    REPLICA_LABELS,
    Cursor,
    Growth,
    advanced,
    advanced_by_node,
    arm_is_stale,
    read_cursor,
    with_arms,
    write_cursor,
)
from rheostat_server.ports.evidence import Question
from rheostat_server.ramps.evidence import Block, Reading, Sight
from rheostat_server.ramps.model import Family
from rheostat_server.ramps.promql import counters_of, filled_in
from rheostat_server.ramps.queries import DEFAULT_ARM_LABEL, DEFAULT_ARMS, application_errors
from rheostat_server.ramps.terms import Queries, Term

FURTHEST_BACK_S = 3_600
"""A query looks back no further; what counters grew by before counts from the cursor all the same."""
CLOCKS_AGREE_MS = 5_000
"""Clocks that differ by less are taken for equal: the answer tells its time to a second."""


class PrometheusEvidence:
    """Fulfils ``EvidenceSource`` for ``Family.REPORTED_METRICS``, ``Family.APPLICATION`` and ``Family.QUERIES``."""

    def __init__(self, client: PrometheusClient, *, replica_labels: frozenset[str] = REPLICA_LABELS) -> None:
        self._client = client
        self._batching = Batching(client)
        self._replica_labels = replica_labels

    async def read(self, question: Question) -> Reading:
        """Return what the counters grew by since the cursor."""
        [reading] = await self.read_all([question])
        return reading

    async def read_all(self, questions: Sequence[Question]) -> tuple[Reading, ...]:
        """Return a reading for each question, in order: one round of queries, each selector asked for once."""
        asked = [_Asked(question) for question in questions]
        backs: dict[str, int] = {}
        for one in asked:
            for selector in one.selectors:
                backs[selector] = max(backs.get(selector, 0), one.back_s)
        answers = dict(
            zip(
                backs,
                await asyncio.gather(*(self._ask(text, back) for text, back in backs.items())),
                strict=True,
            )
        )
        return tuple(self._reading(one, answers) for one in asked)

    async def forget(self, ramp: str, cursors: Sequence[str]) -> None:
        """Prometheus forgets by itself."""

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _ask(self, text: str, back_s: int) -> Samples | QueryFailedError:
        try:
            return await self._batching.samples(text, back_s)
        except QueryFailedError as error:
            return error

    def _reading(self, asked: "_Asked", answers: Mapping[str, Samples | QueryFailedError]) -> Reading:
        question, cursor = asked.question, asked.cursor
        if asked.problem is not None:
            return _blind(question, Sight.QUERY_FAILED, asked.problem)
        found: list[Samples] = []
        for selector in asked.selectors:
            answer = answers[selector]
            if isinstance(answer, QueryFailedError):
                return _blind(question, Sight.QUERY_FAILED, str(answer))
            found.append(answer)
        if not any(samples.series for samples in found):
            if cursor.targets:
                return _blind(question, Sight.SERIES_STALE, _no_newer(question, cursor))
            return _blind(question, Sight.SERIES_ABSENT, f"Prometheus has no such series: {asked.selectors[0]}")
        now_ms = found[0].now_ms
        if question.guardrail.family is Family.REPORTED_METRICS:
            [samples] = found
            after, growth = advanced_by_node(cursor, samples.series, asked_ms=question.asked_ms)
            if (blind := _nothing_newer(question, cursor, after)) is not None:
                return blind
            growth = _on_our_clock(growth, now_ms, question.asked_ms)
            return _seen(question, after, reported_blocks(growth, question.marks, question.exposed_epoch))
        return self._counted(asked, found, now_ms)

    def _counted(self, asked: "_Asked", found: Sequence[Samples], now_ms: int | None) -> Reading:
        question, cursor, queries = asked.question, asked.cursor, asked.queries
        patience_ms = round(RECENT_INTERVALS * question.plan.interval_s * 1000)
        series, matched = by_terms(asked.selectors, found)
        after, growth = advanced(
            cursor,
            series,
            asked_ms=question.asked_ms,
            patience_ms=patience_ms,
            replica_labels=self._replica_labels,
        )
        seen = arms_seen(queries, series, matched)
        after = with_arms(after, seen)
        if not seen:
            return _blind(question, Sight.SERIES_ABSENT, unmapped(queries, series))
        if (blind := _nothing_newer(question, cursor, after)) is not None:
            return blind
        for arm in whole_arms(queries):
            if arm_is_stale(after, arm, patience_ms):
                # What was read is used up: it must not count later as if it were of then.
                detail = f"the {arm}'s series have ended, while others go on"
                return msgspec.structs.replace(_seen(question, after, ()), sight=Sight.SERIES_STALE, detail=detail)
        growth = _on_our_clock(growth, now_ms, question.asked_ms)
        blocks, owed = counted_blocks(counted(queries, growth, matched), question.marks, cursor.owed)
        return _seen(question, msgspec.structs.replace(after, owed=owed), blocks)


class _Asked:
    """What one question needs of Prometheus."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.cursor = Cursor()
        self.queries = Queries(terms=())
        self.selectors: tuple[str, ...] = ()
        self.back_s = 0
        self.problem: str | None = None
        try:
            self.cursor = read_cursor(question.cursor)
            self.queries = _queries(question)
            self.selectors = _selectors(question, self.queries)
        except (msgspec.DecodeError, ValueError) as error:
            self.problem = str(error)
            return
        recent_s = RECENT_INTERVALS * question.plan.interval_s
        since_s = _since(question, self.cursor.advanced_ms) / 1000
        self.back_s = math.ceil(min(FURTHEST_BACK_S, recent_s + since_s))


def _queries(question: Question) -> Queries:
    plan, given = question.plan, question.guardrail.queries
    if question.guardrail.family is Family.REPORTED_METRICS:
        return Queries(terms=())
    if given is None:
        values = {"project": plan.project, "environment": plan.environment, "flag": plan.flag}
        return Queries(terms=application_errors(values), arm_label=DEFAULT_ARM_LABEL, arms=dict(DEFAULT_ARMS))
    if not any("$ramp" in term.selector for term in given.terms):
        return given
    return msgspec.structs.replace(given, terms=tuple(_of_ramp(term, question.ramp) for term in given.terms))


def _of_ramp(term: Term, ramp: str) -> Term:
    [selector] = counters_of(term.selector).plus
    return msgspec.structs.replace(term, selector=str(filled_in(selector, {"ramp": ramp})))


def _selectors(question: Question, queries: Queries) -> tuple[str, ...]:
    if question.guardrail.family is not Family.REPORTED_METRICS:
        return tuple(dict.fromkeys(term.selector for term in queries.terms))
    plan = question.plan
    # A ramp's id says its flag; without the flag one query serves many ramps.
    place = f'project="{_quoted(plan.project)}",environment="{_quoted(plan.environment)}"'
    # Without the node nobody could tell one that is scraped twice from two.
    names = f"{FAILING}|{REPORTED}|{SAMPLED}"
    return (f'{{__name__=~"{names}",{place},ramp="{_quoted(question.ramp)}",node!=""}}',)


def _nothing_newer(question: Question, before: Cursor, after: Cursor) -> Reading | None:
    if after.newest_ms != before.newest_ms:
        return None
    if _since(question, after.advanced_ms) > RECENT_INTERVALS * question.plan.interval_s * 1000:
        return _blind(question, Sight.SERIES_STALE, _no_newer(question, before))
    return Reading(guardrail=question.guardrail.name, sight=Sight.SEEN, cursor=question.cursor)


def _seen(question: Question, cursor: Cursor, blocks: tuple[Block, ...]) -> Reading:
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


def _blind(question: Question, sight: Sight, detail: str) -> Reading:
    return Reading(guardrail=question.guardrail.name, sight=sight, cursor=question.cursor, detail=detail)


def _no_newer(question: Question, cursor: Cursor) -> str:
    return f"no newer sample for {_since(question, cursor.advanced_ms) // 1000} s"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _since(question: Question, at_ms: int | None) -> int:
    return 0 if at_ms is None else max(0, question.asked_ms - at_ms)


def _on_our_clock(growth: Sequence[Growth], their_now_ms: int | None, asked_ms: int) -> list[Growth]:
    if their_now_ms is None or abs(ahead_ms := asked_ms - their_now_ms) < CLOCKS_AGREE_MS:
        return list(growth)
    replace = msgspec.structs.replace
    return [replace(one, from_ms=one.from_ms + ahead_ms, until_ms=one.until_ms + ahead_ms) for one in growth]


def prometheus_evidence(url: str) -> PrometheusEvidence:
    """Return the source that asks the Prometheus server at this URL."""
    return PrometheusEvidence(PrometheusClient(Access(url=url)))
