"""What holds for a ramp with few users."""

from typing import Any

import pytest
from msgspec.structs import replace

from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.few import is_few, is_manual, users_seen
from rheostat_server.ramps.ladder import min_units
from rheostat_server.ramps.memory import CrowdMemory
from rheostat_server.ramps.model import Action, State, Status, Step
from rheostat_server.ramps.transition import act, start, transition
from rheostat_server.ramps.verdicts import Begin, Hold
from tests.unit.server.ramps.ramp_builders import MINUTE, a_plan, running, seeing


def armed(users: int, **changes: Any) -> State:
    """A ramp at the end of a pre-flight of ten minutes in which so many users came."""
    plan = a_plan(**{"preflight_s": 600.0, **changes})
    state = replace(start(plan, 0), observed_ms=10 * MINUTE, armed_s=600.0, crowd=CrowdMemory(users=users))
    return seeing(state)


@pytest.mark.parametrize(
    ("seen", "given", "preflight_s", "users"),
    [(300, None, 600.0, 300), (300, 90, 600.0, 90), (300, None, 299.0, None), (0, None, 600.0, None)],
    ids=["seen", "given", "too short", "nobody tells"],
)
def test_users_are_those_given_or_those_seen_while_arming(
    seen: int, given: int | None, preflight_s: float, users: int | None
) -> None:
    """U is what the plan knows, else who came in a pre-flight of at least five minutes."""
    plan = a_plan(preflight_s=preflight_s, users=given)

    assert users_seen(plan, armed(seen)) == users
    assert transition(plan, armed(seen), Begin("clean"), MINUTE).users == users


@pytest.mark.parametrize(
    ("users", "few", "manual"), [(None, False, False), (500, False, False), (499, True, False), (49, True, True)]
)
def test_few_users_found_while_arming_are_few(users: int | None, few: bool, manual: bool) -> None:
    """Below 500 the evidence is low, below 50 a person moves each step, however they were found."""
    plan = a_plan()
    state = replace(running(plan), users=users)

    assert is_few(plan, state) is few
    assert is_manual(plan, state) is manual
    assert not is_manual(a_plan(guarded=False), state)
    assert is_few(a_plan(low_evidence=True), state)
    assert is_manual(a_plan(manual=True), state)


def test_first_exposure_says_that_there_are_few() -> None:
    """A person reads of low evidence when the ramp begins, if nobody had said so before."""
    plan = a_plan(preflight_s=600.0)

    few = decide(plan, armed(120), 10 * MINUTE)
    assert few == Begin("the pre-flight is clean; low evidence: 120 users seen; exposing 5 %")
    assert decide(plan, armed(600), 10 * MINUTE) == Begin("the pre-flight is clean; exposing 5 %")
    told = a_plan(preflight_s=600.0, users=120)
    assert decide(told, armed(120), 10 * MINUTE) == Begin("the pre-flight is clean; exposing 5 %")


def test_users_found_while_arming_lower_what_a_step_asks_for() -> None:
    """At most half of the users that a step exposes are asked to have finished a request."""
    plan = a_plan()

    assert [min_units(plan, 50_000, users) for users in (None, 200, 100_000)] == [20, 5, 20]
    assert min_units(a_plan(users=200), 50_000) == 5
    state = replace(running(plan), users=200, observed_ms=10 * MINUTE, exposed_units=4)
    assert decide(plan, seeing(state, log_e=2.0), 10 * MINUTE) == Hold(Status.RUNNING, "5 %: 4 of 5 exposed users seen")


def test_so_few_users_wait_for_a_person_at_each_step() -> None:
    """With fewer than 50 users seen nothing moves by itself, and a person may let it through."""
    plan = a_plan(steps=(Step(exposure_ppm=200_000), Step(exposure_ppm=500_000)))
    state = replace(running(plan), users=40, observed_ms=10 * MINUTE, exposed_units=8)
    decision = decide(plan, seeing(state, log_e=2.0), 10 * MINUTE)

    assert isinstance(decision, Hold)
    assert decision.status is Status.AWAITING_APPROVAL
    assert act(plan, state, Action.APPROVE, 10 * MINUTE).approved_step == 0
