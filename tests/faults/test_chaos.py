"""Crashes, duplicates, delays and disorder change no decision."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.chaos import Disturbance, Scenario, ride

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]


async def test_crashes_and_duplicates_change_no_decision(fresh_database: Callable[[], str]) -> None:
    """With nodes killed at random moments and batches sent twice, each log is row by row that of a quiet ride.

    In both, batches are delayed and overtake each other; what comes more than 2 min late is in the totals alone, and
    no request is lost or counted twice.
    """
    scenario = Scenario(ramps=3, harmful=1)
    with tempfile.TemporaryDirectory(prefix="rheostat-chaos-", ignore_cleanup_errors=True) as name:
        quiet = await ride(Path(name) / "quiet", fresh_database(), scenario, None)
        chaos = await ride(Path(name) / "chaos", fresh_database(), scenario, Disturbance(kills=0.2, seed=8))

    assert chaos.takeovers >= 2
    assert chaos.duplicates > 10
    assert chaos.verdicts == quiet.verdicts == {"flag-000": "killed", "flag-001": "promoted", "flag-002": "promoted"}
    for flag in quiet.logs:
        assert chaos.decisions(flag) == quiet.decisions(flag)
        assert chaos.read(flag) == chaos.sent[flag]
        assert quiet.read(flag) == quiet.sent[flag]
    assert quiet.late() > 0
    assert chaos.disagreeing() == []
