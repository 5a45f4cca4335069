"""Identifiers sort by time and never meet."""

from uuid import UUID

from rheostat_server.ramps.identifiers import time_ordered_id


def test_an_identifier_is_a_uuid_of_version_7() -> None:
    """Version, variant and time are where RFC 9562 has them."""
    made = UUID(time_ordered_id(1_767_225_600_000))

    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == 1_767_225_600_000


def test_later_identifiers_sort_later() -> None:
    """Text order is the order of the milliseconds in which they were made."""
    made = [time_ordered_id(1_767_225_600_000 + at) for at in range(50)]

    assert made == sorted(made)
    assert len({time_ordered_id(0) for _ in range(1_000)}) == 1_000
