"""Queries that are a share of requests, and those that are none."""

import pytest

from rheostat_server.ramps.foreign.ratio import Share, share_of
from rheostat_server.ramps.promql import PromqlError, counters_of

SHARES: list[tuple[str, str, str, float, float]] = [
    ("sum(rate(a[5m])) / sum(rate(b[5m]))", "sum(a)", "sum(b)", 1, 0),
    ("sum(increase(a[5m])) / sum(irate(b[5m])) * 100", "sum(a)", "sum(b)", 100, 0),
    ("100 * (sum(a) / sum(b))", "sum(a)", "sum(b)", 100, 0),
    ("100 - sum(a) / sum(b) * 100", "sum(a)", "sum(b)", -100, 100),
    ("1 - (sum(a) / sum(b))", "sum(a)", "sum(b)", -1, 1),
    ("sum(a) / sum(b) - 1", "sum(a)", "sum(b)", 1, -1),
    ("(sum(a) / sum(b) + 1) / 2", "sum(a)", "sum(b)", 0.5, 0.5),
    ("(sum(rate(a[1m])) or vector(0)) / sum(b)", "sum(a)", "sum(b)", 1, 0),
    ("(sum(a) + sum((rate(b[1m])))) / (sum(c) - sum(d))", "sum(a) + sum(b)", "sum(c) - sum(d)", 1, 0),
    ("(sum(a) - (sum(b) - sum(c))) / sum(d)", "sum(a) + sum(c) - sum(b)", "sum(d)", 1, 0),
]


@pytest.mark.parametrize(("query", "part", "whole", "scale", "offset"), SHARES)
def test_shares_are_taken_apart(query: str, part: str, whole: str, scale: float, offset: float) -> None:
    """Two sums of counters that a guardrail can read, and what the value means to the share."""
    found = share_of(query)

    assert (found.part, found.whole, found.scale, found.offset, found.armed) == (part, whole, scale, offset, False)
    for text in (found.part, found.whole, found.part_of_whole):
        counters_of(text)


def test_a_condition_on_the_exposed_is_taken_out() -> None:
    """Where every selector has it: a guardrail compares the arms."""
    assert share_of('sum(a{arm="treatment",x="1"}) / sum(b{arm="treatment"})') == Share(
        part='sum(a{x="1"})', whole="sum(b)", part_of_whole='sum(b) - sum(a{x="1"})', armed=True
    )
    assert not share_of('sum(a{arm="treatment"}) / sum(b)').armed


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("sum(a)", "no share"),
        ("sum(a) * sum(b)", "* between two queries"),
        ("1 + 2", "a number"),
        ("1 / (sum(a) / sum(b))", "divided by a share"),
        ("(sum(a) / sum(b)) / 0", "divided by a share"),
        ("sum(a) / sum(b) > 1", "no share"),
        ("avg(a) / sum(b)", "no sum of counters"),
        ("sum by (x) (a) / sum(b)", "returns many shares"),
        ("sum(avg_over_time(a[5m])) / sum(b)", "not of a counter's rate"),
        ("sum(rate(a[5m:1m])) / sum(b)", "not of a counter's rate"),
        ("(sum(a) or vector(1)) / sum(b)", "no sum of counters"),
        ("(sum(a) or sum(c)) / sum(b)", "no sum of counters"),
        ("sum(a offset 5m) / sum(b)", "another time"),
        ("sum(a", "not closed"),
    ],
)
def test_other_queries_are_none(query: str, part: str) -> None:
    """What cannot be read as two sums of counters says why."""
    with pytest.raises(PromqlError) as caught:
        share_of(query)

    assert part in str(caught.value)
