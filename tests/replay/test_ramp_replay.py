"""Recorded ramps decide again as they did."""

from pathlib import Path

import msgspec
import pytest

from rheostat_server.ramps.model import LIVE, Status
from tests.replay.ramp_recording import HERE, Recording, replayed

FILES = sorted(HERE.glob("*.json"))
ENDS = {
    "blind": Status.PROMOTED,
    "companies": Status.KILLED,
    "counted-argo": Status.PROMOTED,
    "counted-flagger": Status.KILLED,
    "crash": Status.KILLED,
    "gated": Status.PROMOTED,
    "harmful": Status.KILLED,
    "harmless": Status.PROMOTED,
    "lost": Status.HELD,
    "more-usage": Status.HELD,
    "outage": Status.PROMOTED,
    "paused": Status.KILLED,
    "refused": Status.ABORTED,
    "slow": Status.KILLED,
    "two-sources": Status.KILLED,
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_ramps_decide_the_same_again(path: Path) -> None:
    """The rule gives each recorded observation the decision it gave then, word for word."""
    recording = msgspec.json.decode(path.read_bytes(), type=Recording)

    for row, again in zip(recording.rows, replayed(recording), strict=True):
        assert again == row


def test_recordings_end_as_they_are_meant_to() -> None:
    """Every scenario is there and ended where its sentence says."""
    ends = {}
    for path in FILES:
        last = msgspec.json.decode(path.read_bytes(), type=Recording).rows[-1]
        ends[path.stem] = last.status

    assert ends == ENDS
    assert all(status is Status.HELD or status not in LIVE for status in ends.values())
