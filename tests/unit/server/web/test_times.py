"""Times on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat_server.errors import Invalid
from rheostat_server.web.times import read_duration, read_moment, read_since, rfc3339


@given(st.integers(min_value=0, max_value=4_102_444_800_000))
def test_a_moment_reads_back_as_it_was(at_ms: int) -> None:
    """What is written to the millisecond is read to the millisecond."""
    assert read_moment(rfc3339(at_ms), "at") == at_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-01T00:00:00",
        "2026-13-01T00:00:00Z",
        "9999-12-31T23:59:59-99:99",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_what_is_no_moment_is_a_fault(text: str) -> None:
    """A moment without an offset, that does not exist, or that cannot be written in UTC is a fault at its path."""
    with pytest.raises(Invalid) as caught:
        read_moment(text, "expires_at")
    assert caught.value.faults[0].path == "expires_at"


def test_seconds_may_be_left_out() -> None:
    """As people write a time: on the hour, with its offset."""
    assert read_moment("2026-12-01T09:00Z", "at") == read_moment("2026-12-01T10:00:00+01:00", "at")
    assert read_since("1970-01-01T01:00+01:00", 99, "since") == 0


def test_since_is_a_length_or_a_moment() -> None:
    """``30m`` counts back from now, a moment is itself; a length of more than 100 years is a fault."""
    assert read_since("30m", 3_600_000, "since") == 1_800_000
    assert read_since("1970-01-01T01:00:00+01:00", 99, "since") == 0
    with pytest.raises(Invalid):
        read_duration("999999999d", "expires_in")
