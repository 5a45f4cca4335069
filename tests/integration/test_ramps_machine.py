"""Whatever people, the controller and the clock do, in any order: the promises of ramps hold."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from rheostat_server.ramps.model import Status
from tests.integration.ramp_machine_drafts import DraftingRampMachine

SEEDS = range(12)
SETTINGS = settings(
    max_examples=4,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=False,
    # Not made shorter where it fails: that takes minutes, and the steps are told anyway.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""The same in each run, about 40 s of a core. Few of each seed: most of what is drawn after the first resembles it."""


@pytest.mark.timeout(900)
def test_every_order_of_events_keeps_the_promises(fresh_database: Callable[[], str]) -> None:
    """Starts, drafts, ticks over crowds, actions, kills, writes, archivals, takeovers and hours that pass."""
    seen: set[str] = set()
    with asyncio.Runner() as runner:

        def machine() -> DraftingRampMachine:
            made = DraftingRampMachine(fresh_database(), runner)
            made.seen = seen
            return made

        for number in SEEDS:
            # It takes whatever makes a machine; its types say a class.
            run_state_machine_as_test(cast(Any, seed(number)(machine)), settings=SETTINGS)
    # Or it has tried little.
    assert seen >= {*Status, "a later stage", "a shut calendar", "a draft that began"}
