"""Times as a picture shows them: all in UTC, those of another day with their date."""

from datetime import UTC, datetime


def ms(text: str) -> int:
    """Return an RFC 3339 time in ms since the epoch."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def clock(at_ms: int, now_ms: int) -> str:
    """Return ``14:03:15``, or ``11-28 14:03:15`` where that was not today."""
    at, now = (datetime.fromtimestamp(each / 1000, UTC) for each in (at_ms, now_ms))
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%m-%d %H:%M:%S}"


def stamp(text: str) -> str:
    """Return an RFC 3339 time in UTC to the second, as ``2026-11-29T14:03:15Z``."""
    return text[:19] + "Z"
