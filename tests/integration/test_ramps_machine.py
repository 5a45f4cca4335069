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
    assert seen >= {*Status, "a draft that began"}


@pytest.mark.timeout(300)
def test_a_ramp_by_region_waits_for_its_windows_and_climbs_stage_by_stage(fresh_database: Callable[[], str]) -> None:
    """One order of events that chance finds seldom, with all that is checked of any."""
    with asyncio.Runner() as runner:
        machine = DraftingRampMachine(fresh_database(), runner)
        machine.begin(plan="by region and time", over=False)
        machine.wait(61)
        assert "a shut calendar" in machine.seen
        assert "a later stage" not in machine.seen
        machine.climb(harm=False)
        machine.wait(61)
        machine.climb(harm=False)
        machine.is_as_it_should_be()
        machine.teardown()
    assert machine.seen >= {"a later stage", Status.PROMOTED}
