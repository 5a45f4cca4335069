"""Lengths of time as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.model.duration import duration_ms, duration_text


@pytest.mark.parametrize(
    ("text", "length"),
    [("500ms", 500), ("60s", 60_000), ("10m", 600_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("0s", 0)],
)
def test_a_length_of_time_is_read(text: str, length: int) -> None:
    """Whole numbers with units, from the largest to the smallest."""
    assert duration_ms(text) == length


@pytest.mark.parametrize("text", ["", "10", "1.5h", "-1s", "10 m", "5m1h", "1m1m", "10M", "٣s", "10m\n"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    """The message shows the form."""
    with pytest.raises(ValueError, match="such as 60s"):
        duration_ms(text)


@given(length=st.integers(min_value=0, max_value=10**12))
def test_text_and_length_agree(length: int) -> None:
    """Every length has a text that is read as it."""
    assert duration_ms(duration_text(length)) == length
