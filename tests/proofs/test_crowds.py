"""Whole ramps over crowds with memory: broken accounts, outages, companies, lost users.

``python -m tests.proofs 400`` rides as many of each, and prints the shares.
"""

import random

import pytest

from rheostat_server.ramps.memory import KillProcess
from rheostat_server.ramps.model import Status
from rheostat_server.ramps.stats import kill_step, log_kill_bar, log_m
from tests.proofs.scenarios import HARMLESS, companies, regression, vanished

RIDES = 10


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_changes_are_hardly_ever_killed(name: str) -> None:
    """Whatever the users are like, and whatever befalls both arms alike, the change is not blamed."""
    ends = [HARMLESS[name](seed).state for seed in range(RIDES)]

    assert sum(end.status in {Status.KILLED, Status.ABORTED} for end in ends) <= 1


def test_a_regression_among_broken_accounts_is_killed() -> None:
    """2 % more errors are found in the crowd that has 1 % broken accounts of its own."""
    rides = [regression(seed) for seed in range(8)]

    assert sum(one.state.status is Status.KILLED for one in rides) >= 7
    assert max(one.state.step for one in rides) <= 1


@pytest.mark.parametrize(("harm", "killed"), [(1.0, 6), (0.2, 6), (0.05, 0)])
def test_busy_companies_are_never_fooled(harm: float, killed: int) -> None:
    """Where everybody failed before, a change that fails never goes up; failing 100 % or 20 % it is always killed."""
    rides = [companies(harm, minutes=60)(seed) for seed in range(6)]

    assert {one.state.step for one in rides} == {0}
    assert sum(one.state.status is Status.KILLED for one in rides) >= killed


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_a_change_that_swallows_its_requests_never_goes_up(share: float) -> None:
    """Half of the requests gone, or nine tenths, or all: what is left is well, and that proves nothing."""
    rides = [vanished(share)(seed) for seed in range(8)]

    assert all(one.state.step <= 0 for one in rides)


def test_reports_that_come_after_a_step_down_are_judged_by_their_own_exposure() -> None:
    """From 50 % to 25 % with two minutes of late rows: hardly any of 300 harmless streams is killed."""
    killed = 0
    for seed in range(300):
        process, draw = KillProcess(), random.Random(seed)
        for block in range(40):
            for x, share in ((0.5, 1.0 if block < 16 else max(0.0, 1 - (block - 16) / 8)), (0.25, None)):
                weight = share if share is not None else (0.0 if block < 16 else min(1.0, (block - 16) / 8))
                failing = sum(draw.random() < 0.5 * weight for _ in range(10))
                treated = sum(draw.random() < x for _ in range(failing))
                process = kill_step(
                    process,
                    treatment_events=treated,
                    control_events=failing - treated,
                    treatment_n=x,
                    control_n=1 - x,
                    t1_s=block * 15.0,
                    t2_s=block * 15.0 + 15,
                )
            if log_m(process) >= log_kill_bar(0.01, 1):
                killed += 1
                break

    assert killed <= 9


def test_batches_over_the_cap_in_a_shared_outage_blame_nobody() -> None:
    """When more units fail than a batch may carry, both arms are thinned by one r, and M stays where it was."""
    killed = 0
    for seed in range(300):
        draw, process = random.Random(seed), KillProcess()
        for block in range(20):
            failing = 1_000 if block < 10 else 20
            treated = sum(draw.random() < 0.05 for _ in range(failing))
            process = kill_step(
                process,
                treatment_events=treated,
                control_events=failing - treated,
                treatment_n=0.05,
                control_n=0.95,
                t1_s=float(block),
                t2_s=block + 1.0,
            )
        killed += log_m(process) >= log_kill_bar(0.01, 1)

    assert killed <= 9
