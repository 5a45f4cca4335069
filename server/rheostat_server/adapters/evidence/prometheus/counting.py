"""What series are to a guardrail: which of its terms, which arm. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from rheostat.model.evaluation import Arm
from rheostat_server.adapters.evidence.prometheus.blocks import Counted
from rheostat_server.adapters.evidence.prometheus.client import Samples, Series
from rheostat_server.adapters.evidence.prometheus.cursor import Growth, target_of
from rheostat_server.ramps.terms import Queries, Term

_MOST_NAMED = 8

Identity: TypeAlias = tuple[str, frozenset[tuple[str, str]]]
Matched: TypeAlias = Mapping[Identity, set[str]]
"""Which selectors each series was selected by."""


def by_terms(selectors: Sequence[str], answers: Sequence[Samples]) -> tuple[list[Series], Matched]:
    """Return each series once, with the samples of all answers, and the selectors that it was selected by."""
    found: dict[Identity, Series] = {}
    matched: dict[Identity, set[str]] = {}
    for selector, answer in zip(selectors, answers, strict=True):
        for one in answer.series:
            identity = _identity(one)
            before = found.get(identity)
            if before is None or before.samples == one.samples:
                found[identity] = one
            else:
                # Asked for one after the other: a scrape may lie between.
                samples = tuple(sorted({*before.samples, *one.samples}))
                found[identity] = Series(one.name, one.labels, samples)
            matched.setdefault(identity, set()).add(selector)
    return list(found.values()), matched


def counted(queries: Queries, growth: Iterable[Growth], matched: Matched) -> Iterator[Counted]:
    """Yield what growth says of each arm. What no arm is given for says nothing."""
    for grown in growth:
        sums: dict[str, list[int]] = {}
        for term in _terms(queries, grown, matched):
            if (arm := _arm(queries, term.arm, grown.labels)) is not None:
                sums.setdefault(arm, [0, 0])[term.of == "bad"] += term.sign * grown.amount
        for arm, (total, bad) in sums.items():
            yield Counted(arm, total, bad, grown.from_ms, grown.until_ms)


def arms_seen(queries: Queries, series: Iterable[Series], matched: Matched) -> dict[str, set[str]]:
    """Return the arms that have series, and on which targets (short names)."""
    seen: dict[str, set[str]] = {}
    for one in series:
        for term in _terms(queries, one, matched):
            if (arm := _arm(queries, term.arm, one.labels)) is not None:
                seen.setdefault(arm, set()).add(target_of(one))
    return seen


def series_arm(queries: Queries, one: Series, matched: Matched) -> str | None:
    """Return the arm of a series; ``None`` where it is of none."""
    arms = (_arm(queries, term.arm, one.labels) for term in _terms(queries, one, matched))
    return next((arm for arm in arms if arm is not None), None)


def whole_arms(queries: Queries) -> tuple[str, ...]:
    """Return the arms that are to be compared."""
    return () if queries.armless else (Arm.TREATMENT.value, Arm.CONTROL.value)


def unmapped(queries: Queries, series: Iterable[Series]) -> str:
    """Return in words why none of these series is of an arm."""
    label = queries.arm_label or ""
    values = label_values(series, label)
    if not values:
        return f"no series has the label {label}, which is to say the arm"
    return f"no series is of an arm: its label {label} has the values {named(values)}"


def label_values(series: Iterable[Series], label: str) -> list[str]:
    """Return the values of a label among these series, sorted."""
    return sorted({one.labels[label] for one in series if label in one.labels})


def named(values: Sequence[str]) -> str:
    """Return values for people, not too many."""
    more = f" and {len(values) - _MOST_NAMED} more" if len(values) > _MOST_NAMED else ""
    return ", ".join(values[:_MOST_NAMED]) + more


def _terms(queries: Queries, one: Series | Growth, matched: Matched) -> Iterator[Term]:
    selectors = matched[_identity(one)]
    for term in queries.terms:
        if term.selector in selectors and all(one.labels.get(label) in some for label, some in term.where.items()):
            yield term


def _arm(queries: Queries, own: str | None, labels: Mapping[str, str]) -> str | None:
    if own is not None:
        return own
    if queries.arm_label is None:
        return Arm.TREATMENT.value
    return queries.arms.get(labels.get(queries.arm_label, ""))


def _identity(one: Series | Growth) -> Identity:
    return one.name, frozenset(one.labels.items())
