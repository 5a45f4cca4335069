"""How the feed's request headers are read."""

import pytest

from rheostat.model.snapshot import Identity
from rheostat_server.streaming.routes import accepts_gzip, held_by, names


@pytest.mark.parametrize(
    ("sent", "held"),
    [("3-7", Identity(3, 7)), (None, None), ("", None), ("3", None), ("3-x", None), ("a-1", None)],
)
def test_last_event_id_is_an_identity_or_nothing(sent: str | None, held: Identity | None) -> None:
    """What cannot be read counts as nothing held, so the reader is sent to fetch the snapshot."""
    assert held_by(sent) == held


@pytest.mark.parametrize(
    ("sent", "named"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("a", False), (None, False)],
)
def test_if_none_match_lists_tags(sent: str | None, named: bool) -> None:
    """A tag counts strong or weak, alone or in a list."""
    assert names(sent, '"a"') is named


@pytest.mark.parametrize(
    ("sent", "accepted"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("br", False),
        (None, False),
    ],
)
def test_gzip_is_sent_where_it_is_accepted(sent: str | None, accepted: bool) -> None:
    """Compression needs the reader's word, which ``q=0`` takes back."""
    assert accepts_gzip(sent) is accepted
