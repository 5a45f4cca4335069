"""What queries return before a ramp depends on them: now, at which bounds, and over the last hours."""

import asyncio
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise

import msgspec

from rheostat_server.adapters.evidence.prometheus.client import PrometheusClient, QueryFailedError, Samples, Series
from rheostat_server.adapters.evidence.prometheus.counting import (
    by_terms,
    counted,
    label_values,
    named,
    series_arm,
    whole_arms,
)
from rheostat_server.adapters.evidence.prometheus.cursor import REPLICA_LABELS, Cursor, advanced
from rheostat_server.errors import EvidenceUnavailable
from rheostat_server.ports.evidence import ArmLook, Look
from rheostat_server.ramps.promql import Matcher, Selector, counters_of
from rheostat_server.ramps.terms import Queries, Term

LOOK_S = 300
HISTORY_HOURS = 6
"""History is asked for over so long; four hours suffice."""
CHUNK_S = 1_800
_MINUTE_MS = 60_000
_OVERLAP_S = 300
_FALLS = 3
# Two queries are not answered in one instant.
_SKEW, _FEW = 0.05, 5


class PrometheusScout:
    """Fulfils ``Scout``."""

    def __init__(self, client: PrometheusClient, *, replica_labels: frozenset[str] = REPLICA_LABELS) -> None:
        self._client = client
        self._replica_labels = replica_labels

    async def look(self, queries: Queries) -> Look:
        """Return what the queries returned over the last five minutes."""
        selectors = tuple(dict.fromkeys(term.selector for term in queries.terms))
        try:
            answers = await asyncio.gather(*(self._client.query(f"{text}[{LOOK_S}s]") for text in selectors))
            return await self._looked(queries, selectors, answers)
        except QueryFailedError as error:
            return Look(seconds=LOOK_S, problem=f"query failed: {error}")

    async def bounds(self, buckets: str) -> tuple[tuple[str, ...], str | None]:
        """Return the bounds of a histogram's buckets.

        Raises:
            EvidenceUnavailable: Prometheus did not answer.
        """
        try:
            found = await self._client.values("le", buckets)
            if found:
                return found, None
            return (), await self._why_no_buckets(buckets)
        except QueryFailedError as error:
            raise EvidenceUnavailable(f"Prometheus did not answer: {error}") from error

    async def minutes(self, terms: Sequence[Term], asked_ms: int) -> tuple[tuple[tuple[int, int], ...], str | None]:
        """Return requests and bad requests minute by minute, over all series: from raw samples, resets seen."""
        selectors = tuple(dict.fromkeys(term.selector for term in terms))
        queries = Queries(terms=tuple(msgspec.structs.replace(term, arm="control") for term in terms))
        sums: dict[int, list[int]] = {}
        cursor = Cursor()
        last_ms = asked_ms // _MINUTE_MS * _MINUTE_MS
        try:
            for at_ms in range(last_ms - (HISTORY_HOURS * 3_600 - CHUNK_S) * 1000, last_ms + 1, CHUNK_S * 1000):
                back = CHUNK_S + _OVERLAP_S
                answers = await asyncio.gather(
                    *(self._client.query(f"{text}[{back}s]", at_ms=at_ms) for text in selectors)
                )
                # So many samples that the loop must not wait for their sum.
                cursor = await asyncio.to_thread(self._summed, queries, selectors, answers, cursor, sums)
        except QueryFailedError as error:
            return (), f"query failed: {error}"
        if not sums:
            return (), None
        return tuple(_bounded(sums.get(minute, [0, 0])) for minute in range(min(sums), last_ms // _MINUTE_MS)), None

    def _summed(
        self,
        queries: Queries,
        selectors: tuple[str, ...],
        answers: Sequence[Samples],
        cursor: Cursor,
        sums: dict[int, list[int]],
    ) -> Cursor:
        """Add what these answers show beyond the cursor to each minute's sums; return how far they reach."""
        series, matched = by_terms(selectors, answers)
        cursor, growth = advanced(
            cursor, series, asked_ms=0, patience_ms=_MINUTE_MS, replica_labels=self._replica_labels
        )
        for one in counted(queries, growth, matched):
            at = sums.setdefault(one.until_ms // _MINUTE_MS, [0, 0])
            at[0] += one.total
            at[1] += one.bad
        return cursor

    async def _looked(self, queries: Queries, selectors: tuple[str, ...], answers: Sequence[Samples]) -> Look:
        series, matched = by_terms(selectors, answers)
        _, growth = advanced(Cursor(), series, asked_ms=0, replica_labels=self._replica_labels)
        arms: dict[str, list[int]] = {}
        for one in series:
            if (arm := series_arm(queries, one, matched)) is not None:
                arms.setdefault(arm, [0, 0, 0])[0] += 1
        for each in counted(queries, growth, matched):
            sums = arms.setdefault(each.arm, [0, 0, 0])
            sums[1] += each.total
            sums[2] += each.bad
        absent = tuple(text for text, answer in zip(selectors, answers, strict=True) if not answer.series)
        label = queries.arm_label
        values = [value for value in label_values(series, label) if value not in queries.arms] if label else []
        return Look(
            series=len(series),
            seconds=LOOK_S,
            arms={arm: ArmLook(series=some, requests=total, bad=bad) for arm, (some, total, bad) in arms.items()},
            absent=absent,
            values=tuple(values),
            problem=_problem(queries, answers, {arm: (total, bad) for arm, (_, total, bad) in arms.items()}),
            hints=(
                *[hint for text in absent for hint in await self._near(counters_of(text).plus[0])],
                *_about_arms(queries, series, arms),
            ),
        )

    async def _why_no_buckets(self, buckets: str) -> str:
        [selector] = counters_of(buckets).plus
        base = Selector((selector.name or "").removesuffix("_bucket"), selector.matchers)
        try:
            # A native histogram has no buckets, but samples under the bare name.
            await self._client.query(f"{base}[{LOOK_S}s]")
        except QueryFailedError as error:
            if "native histogram" in str(error):
                return f"{error}: have the scraper keep them"
            raise
        hints = await self._near(selector)
        return "; ".join((f"no series {buckets}", *hints))

    async def _near(self, selector: Selector) -> list[str]:
        """Return why a selector selects nothing, as far as labels tell."""
        name = selector.name
        if name is None:
            return []
        of_name = Selector(None, (Matcher("__name__", "=", name),))
        if not await self._client.values("__name__", str(of_name)):
            close = get_close_matches(name, await self._client.values("__name__"), n=3, cutoff=0.7)
            return [f"there is no metric {name}" + (f"; did you mean {' or '.join(close)}?" if close else "")]
        hints = []
        for matcher in selector.matchers:
            if matcher.op not in {"=", "=~"} or not matcher.value:
                continue
            if await self._client.values("__name__", str(of_name.with_matchers(matcher))):
                continue
            values = await self._client.values(matcher.label, str(of_name))
            if values:
                hints.append(f"{name} has no {matcher}: its {matcher.label} has the values {named(values)}")
            else:
                hints.append(f"{name} has no label {matcher.label}")
        return hints or [f"{name} has no series to which all of {selector} applies"]


def _problem(queries: Queries, answers: Sequence[Samples], arms: dict[str, tuple[int, int]]) -> str | None:
    for answer in answers:
        for one in answer.series:
            values = [value for _, value in one.samples]
            if sum(after < before for before, after in pairwise(values)) >= _FALLS:
                return f"{one.name} falls again and again: it is no counter"
    if any(bad > total + total * _SKEW + _FEW for total, bad in arms.values()):
        return "more requests are bad than there are: bad has to be a part of total"
    if queries.arm_label is not None and answers and any(answer.series for answer in answers) and not arms:
        return "no series is of an arm"
    return None


def _about_arms(queries: Queries, series: Sequence[Series], arms: dict[str, list[int]]) -> list[str]:
    label = queries.arm_label
    if label is None or not series:
        return []
    every = label_values(series, label)
    if not every:
        return [f"no series has the label {label}, which is to say the arm"]
    missing = [arm for arm in whole_arms(queries) if arm not in arms]
    if not missing:
        return []
    return [f"no series is of the arm {' or '.join(missing)}: {label} has the values {named(every)}"]


def _bounded(sums: list[int]) -> tuple[int, int]:
    total = max(0, sums[0])
    return total, min(max(0, sums[1]), total)
