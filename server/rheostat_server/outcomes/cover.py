"""How much of a flag's traffic comes from services that report what became of it. Pure."""

from collections.abc import Sequence

from rheostat_server.outcomes.model import ServiceCover

COVER_MS = 300_000
"""Evaluations and reports of so long ago at most count."""


def coverage_of(services: Sequence[ServiceCover]) -> float | None:
    """Return the share, 0 … 1, of evaluations that come from services which report; ``None`` without evaluations."""
    evaluations = sum(each.evaluations for each in services)
    return sum(each.evaluations for each in services if each.reports) / evaluations if evaluations else None
