"""The guard on simulated users: harmless changes that look harmful are not killed, harmful ones are, in time.

A quick part of ``make bench-guard`` (loadtests/guard), at fixed seeds: each test always comes out the same. With at
most 1 % of ramps killed, more than the counts allowed here would come with a probability below 1 %.
"""

import pytest
from loadtests.guard.__main__ import SCENARIOS, Outcome, is_kept, run_one
from loadtests.guard.scenarios import Scenario

MOST_OF = {12: 1, 20: 2, 30: 2}
QUICK = {
    "independent requests": 20,
    "p_t = 1.1 p_c at 0.1 %": 30,
    "p_t = 1.1 p_c at 1 %": 30,
    "2 000 Pareto users, 0.3 % broken accounts": 20,
    "2 000 Pareto users, 1 % broken accounts": 20,
    "1 → 5 → 1 → 5 % among 1 % broken accounts": 12,
    "2 % of accounts fail every 6 min": 20,
    "2 % of accounts fail every 15 min": 12,
    "50 users": 30,
    "200 users": 30,
    "a region's outage every 12 min": 12,
    "a fifth of all reports lost": 12,
    "a third of the fleet reports 90 s late": 12,
    "300 organisations as units": 20,
    "50 → 25 % with a tail of 2 min": 12,
    "errors that drift upwards": 12,
}


def ridden(name: str, runs: int) -> tuple[Scenario, list[Outcome]]:
    """A scenario's first runs, without the rivals."""
    return SCENARIOS[name], [run_one(name, index, rivals=False) for index in range(runs)]


@pytest.mark.parametrize("name", QUICK)
def test_harmless_changes_are_not_killed(name: str) -> None:
    """However its users fail: a change that does nothing, or no more than is allowed, is hardly ever killed."""
    scenario, found = ridden(name, QUICK[name])

    killed = sum(one.guard.verdict in {"killed", "refused"} for one in found)
    assert scenario.most_kills == 0.01
    assert killed <= MOST_OF[len(found)]


@pytest.mark.parametrize("name", ["0.5 → 2 % at 100 req/s", "0.5 → 2 % at 1000 req/s", "0.5 → 5 % at 1000 req/s"])
def test_harm_is_killed_in_the_published_time(name: str) -> None:
    """By the clock, with 0.5 % of requests failing otherwise, the median delay is the published one."""
    scenario, found = ridden(name, 30)

    assert all(one.guard.verdict == "killed" for one in found)
    assert is_kept(scenario, found)


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("50 % of treated requests vanish at 20 req/s", 12),
        ("90 % of treated requests vanish", 6),
        ("100 % of treated requests vanish", 6),
    ],
)
def test_vanished_requests_never_go_up(name: str, runs: int) -> None:
    """A change whose requests vanish reports few failures or none, and stays at its first step."""
    scenario, found = ridden(name, runs)

    assert is_kept(scenario, found)


def test_companies_that_fail_wholly_are_killed() -> None:
    """Busy companies have all failed anyway within minutes; a treatment of them that fails wholly is killed."""
    scenario, found = ridden("300 busy companies fail 100 %", 6)

    assert is_kept(scenario, found)
