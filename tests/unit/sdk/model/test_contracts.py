"""Contexts, shares, identities and overlays: the small promises that everything rests on."""

import enum
from uuid import UUID

import pytest
from hypothesis import given

from rheostat.errors import InvalidContext
from rheostat.model.context import Context
from rheostat.model.shares import TOTAL_PPM, percent_to_ppm, ppm_to_percent
from rheostat.model.snapshot import Identity
from tests.builders import an_overlay
from tests.strategies import shares


class Level(int, enum.Enum):
    HIGH = 3


def test_a_targeting_key_is_text_a_number_or_a_uuid() -> None:
    """What has no one text is refused when the context is made."""
    assert Context(7).targeting_key == "7"
    assert Context(UUID(int=7)).targeting_key == "00000000-0000-0000-0000-000000000007"
    assert Context(Level.HIGH).targeting_key == "3"
    for wrong in (True, 1.5, ["a"], 10**5000):
        with pytest.raises(InvalidContext):
            Context(wrong)  # type: ignore[arg-type]


def test_contexts_are_equal_by_what_they_hold() -> None:
    """A context shows the names of its attributes and not their values."""
    context = Context("u", plan="secret")

    assert context == Context.of("u", {"plan": "secret"})
    assert context != Context("u")
    assert context != "u"
    assert "secret" not in repr(context)


@given(ppm=shares)
def test_shares_survive_percentages(ppm: int) -> None:
    """Every share has a percentage of at most four decimals that is read as it."""
    assert percent_to_ppm(ppm_to_percent(ppm)) == ppm


@pytest.mark.parametrize("percent", [-0.00001, 100.00001, 101, -1, 0.00005, 3e-176, float("nan")])
def test_other_percentages_are_refused(percent: float) -> None:
    """Outside 0 … 100, finer than four decimals, or no number."""
    with pytest.raises(ValueError):
        percent_to_ppm(percent)


def test_a_whole_percentage_is_whole() -> None:
    """25 % reads 25, not 25.0."""
    assert str(ppm_to_percent(250_000)) == "25"
    assert ppm_to_percent(TOTAL_PPM // 3) == 33.3333


def test_identities_are_ordered_generation_first() -> None:
    """And are written as generation-revision."""
    assert Identity(2, 1) > Identity(1, 9)
    assert Identity.parse(str(Identity(3, 14))) == Identity(3, 14)


def test_arms_are_drawn_ahead_while_arming() -> None:
    """Otherwise at the exposure in force."""
    assert an_overlay(0, arming_ppm=10_000).arm_ppm == 10_000
    assert an_overlay(50_000).arm_ppm == 50_000
