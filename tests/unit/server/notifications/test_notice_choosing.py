"""Who gets a notification, and which are left out."""

from typing import Any

import pytest

from rheostat_server.notifications.choosing import MUTE, QUIET_MS, SEND, WAIT, Settlement, settlement, wants
from rheostat_server.ports.notifications import Filters, Told, Unsettled

NOW = 1_767_225_600_000


def one(event: str = "held", at_ms: int = NOW) -> Unsettled:
    return Unsettled(
        seq=9,
        environment_id=1,
        environment="production",
        project_id=1,
        event=event,
        flag="checkout",
        subject="r",
        at_ms=at_ms,
    )


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, True),
        ({"environments": ("production",)}, True),
        ({"environments": ("staging",)}, False),
        ({"events": ("killed", "held")}, True),
        ({"events": ("killed",)}, False),
        ({"flags": ("checkout",)}, True),
        ({"flags": ("other",)}, False),
        ({"tags": ("payments",)}, True),
        ({"tags": ("search",)}, False),
        ({"flags": ("other",), "tags": ("payments",)}, True),
        ({"flags": ("checkout",), "tags": ("search",)}, True),
        ({"environments": ("production",), "events": ("killed",), "flags": ("checkout",)}, False),
    ],
)
def test_filters(filters: dict[str, Any], wanted: bool) -> None:
    """Every filter that is given has to fit; of flags and tags either is enough."""
    assert wants(Filters(**filters), "production", "held", "checkout", ["payments"]) is wanted


@pytest.mark.parametrize(
    ("event", "last_ms", "outdated", "now_ms", "settled"),
    [
        ("held", None, False, NOW, SEND),
        ("held", None, True, NOW, SEND),
        ("held", NOW - QUIET_MS, True, NOW, SEND),
        ("held", NOW - QUIET_MS + 1, False, NOW, WAIT),
        ("held", NOW - QUIET_MS + 1, True, NOW, MUTE),
        # It stayed so: told at the end of the 10 min.
        ("held", NOW - 60_000, False, NOW + QUIET_MS - 60_000, SEND),
        ("held", NOW - 60_000, True, NOW + QUIET_MS, MUTE),
        ("advanced", NOW - 1, True, NOW, SEND),
        ("killed", NOW - 1, True, NOW, SEND),
    ],
)
def test_a_ramp_that_goes_to_and_fro(
    event: str, last_ms: int | None, outdated: bool, now_ms: int, settled: Settlement
) -> None:
    """A limited kind comes once in 10 min: what is sooner is left out if it did not last, and else told later."""
    last = None if last_ms is None else Told(3, last_ms)
    assert settlement(one(event), last, outdated=outdated, now_ms=now_ms) is settled
