"""Figures as people read them."""

import pytest

from rheostat_server.ramps.words import about, count, duration, exposure, odds, rate


def test_words() -> None:
    """Shares, rates and counts read as a person would write them."""
    assert exposure(50_000) == "5 %"
    assert exposure(333_333) == "33.3333 %"
    assert rate(41, 1_000) == "4.1 % of 1 000"
    assert rate(0, 0) == "none"
    assert count(1_234_567.4) == "1 234 567"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "~0"), (0.2, "~1"), (9, "~9"), (10, "~10"), (1_151, "~1 200"), (1_200, "~1 200"), (99_900, "~100 000")],
)
def test_estimates_keep_two_figures_and_are_never_too_low(number: float, text: str) -> None:
    """An estimate is rounded up to two figures."""
    assert about(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0:00"), (0.2, "0:01"), (581, "9:41"), (3_600, "1:00:00"), (4_181, "1:09:41")]
)
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    """Time left reads as minutes and seconds, with hours where there are any."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("log_value", "text"),
    [(0.0, "1"), (-1.2, "0.301"), (7.0, "1 097"), (20.0, "over 1 000 000"), (1e6, "over 1 000 000")],
)
def test_odds_stay_readable(log_value: float, text: str) -> None:
    """The value of a process has three figures, and a bound where more would mean nothing."""
    assert odds(log_value) == text
