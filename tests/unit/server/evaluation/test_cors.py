"""Which web pages may ask."""

import pytest

from rheostat_server.evaluation.cors import Cors


@pytest.mark.parametrize(
    ("configured", "origin", "allowed"),
    [
        ("", "https://a.example", False),
        ("https://a.example", "https://a.example", True),
        ("https://a.example/ , https://b.example", "https://B.example", True),
        ("https://a.example", "https://a.example.evil.com", False),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "null", False),
        ("*", "https://anybody.example", True),
        ("https://a.example", None, False),
    ],
)
def test_an_origin_is_allowed_by_configuration_only(configured: str, origin: str | None, allowed: bool) -> None:
    """An origin counts whole, scheme and host, in any case of letters."""
    cors = Cors(configured)

    for headers in (cors.headers(origin), cors.preflight(origin)):
        assert (b"access-control-allow-origin" in dict(headers)) is allowed


def test_caches_are_told_that_answers_differ_by_origin() -> None:
    """With origins configured every answer varies by origin, also one to another origin."""
    assert dict(Cors("https://a.example").headers("https://b.example"))[b"vary"] == b"Origin"
    assert Cors("").headers("https://b.example") == ()
