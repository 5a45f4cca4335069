"""The exposure that a document declares in place of a promoted ramp exposes the same users."""

from hypothesis import given
from hypothesis import strategies as st

from rheostat.model.shares import TOTAL_PPM
from rheostat_server.ramps.adoption import exposure_to_declare


def test_without_a_holdback_it_is_the_ramps_own() -> None:
    """Also where there is one that the exposure does not reach."""
    assert exposure_to_declare(1_000_000, 0, TOTAL_PPM) == 1_000_000
    assert exposure_to_declare(500_000, 20_000, TOTAL_PPM) == 500_000


def test_held_back_users_stay_unexposed() -> None:
    """100 % with 2 % held back are the first 98 % of the line."""
    assert exposure_to_declare(1_000_000, 20_000, TOTAL_PPM) == 980_000


@given(exposure=st.integers(0, TOTAL_PPM), holdback=st.integers(0, TOTAL_PPM // 2), width=st.integers(1, TOTAL_PPM))
def test_the_same_places_are_exposed(exposure: int, holdback: int, width: int) -> None:
    """Those that are below the exposure and not among the last, which are held back."""
    found = exposure_to_declare(exposure, holdback, width)

    by_ramp = min(width * exposure // TOTAL_PPM, width - width * holdback // TOTAL_PPM)
    assert width * found // TOTAL_PPM == by_ramp
