"""The crowds that the rule has to hold against: one function a scenario, from a seed to how the ramp ended."""

import math
import random
from collections.abc import Callable
from typing import Any

from rheostat_server.ramps.model import Family, Guardrail, Measure, Plan
from tests.unit.server.ramps.ramp_builders import MINUTE, a_plan
from tests.unit.server.ramps.ramp_crowds import Crowd, crowd_ride
from tests.unit.server.ramps.ramp_rides import Ride, ride

Scenario = Callable[[int], Ride]
USUAL = 0.005
SLOW = Guardrail(
    name="request-duration", family=Family.REPORTED, grade=2, measure=Measure.LATENCY, bound_ms=500, ceiling=None
)
LADDER = (1, 5, 10, 25, 50)


def a_long_plan(*exposures: int, **changes: Any) -> Plan:
    """A plan over these steps with everything on: ten minutes of arming, missing users, K = 2."""
    fields: dict[str, Any] = {
        "soak_s": 1_800.0,
        "preflight_s": 600.0,
        "missing_kill": True,
        "budget_parts": 2,
        "acceptable": 0.02,
        "min_units": 3,
    }
    return a_plan(*(exposures or LADDER), **{**fields, **changes})


def broken_accounts(seed: int) -> Ride:
    """2 000 users of Pareto activity, 1 % of whom fail at every request."""
    crowd = Crowd(random.Random(seed), 2_000)
    broken = crowd.marked(0.01)
    return crowd_ride(a_long_plan(), crowd, lambda user, _, __: 1.0 if user in broken else 0.002, per_s=20)


def on_a_schedule(every_min: int) -> Scenario:
    """5 % of accounts fail, each for a minute every so often, at a time of its own."""

    def ridden(seed: int) -> Ride:
        crowd = Crowd(random.Random(seed), 2_000)
        phases = {user: crowd.draw.randrange(every_min) for user in crowd.marked(0.05)}

        def chance(user: int, _: bool, now_ms: int) -> float:
            phase = phases.get(user)
            return 1.0 if phase is not None and now_ms // MINUTE % every_min == phase else 0.001

        return crowd_ride(a_long_plan(), crowd, chance, per_s=20)

    return ridden


def flaky_accounts(seed: int) -> Ride:
    """5 % of accounts fail at every third request; four hours at 10 %."""
    crowd = Crowd(random.Random(seed), 1_000)
    flaky = crowd.marked(0.05)
    plan = a_long_plan(10, soak_s=14_400.0)
    return crowd_ride(
        plan, crowd, lambda user, _, __: 0.33 if user in flaky else 0.001, per_s=5, minutes=240, seconds=30
    )


def few_users(users: int) -> Scenario:
    """So few users, as active as each other."""

    def ridden(seed: int) -> Ride:
        crowd = Crowd(random.Random(seed), users, shape=None)
        plan = a_long_plan(20, 50, 100, holdback_ppm=50_000, users=users)
        return crowd_ride(plan, crowd, lambda *_: USUAL, per_s=users / 60, minutes=180)

    return ridden


def regional_outage(seed: int) -> Ride:
    """A region of 10 % of users fails half the time for two minutes of every twelve."""
    crowd = Crowd(random.Random(seed), 2_000)
    region = crowd.marked(0.1)

    def chance(user: int, _: bool, now_ms: int) -> float:
        return 0.5 if user in region and now_ms % (12 * MINUTE) < 2 * MINUTE else USUAL

    return crowd_ride(a_long_plan(), crowd, chance, per_s=20)


def organisations(seed: int) -> Ride:
    """200 organisations of unequal size are the units; a tenth of them fail for a while, one after the other."""
    crowd = Crowd(random.Random(seed), 200)
    begins = {user: crowd.draw.randrange(60) * MINUTE for user in crowd.marked(0.1)}

    def chance(user: int, _: bool, now_ms: int) -> float:
        begin = begins.get(user)
        return 0.5 if begin is not None and begin <= now_ms < begin + 10 * MINUTE else 0.0005

    return crowd_ride(a_long_plan(10, 25, 50), crowd, chance, per_s=10)


def slow_accounts(share: float, minutes: int, *exposures: int) -> Scenario:
    """Accounts that are always slow, watched on their samples (grade 2)."""

    def ridden(seed: int) -> Ride:
        crowd = Crowd(random.Random(seed), 2_000)
        slow = crowd.marked(share)
        plan = a_long_plan(*exposures, guardrails=(SLOW,), missing_kill=False, budget_parts=1, soak_s=14_400.0)

        def chance(user: int, _: bool, __: int) -> float:
            return 1.0 if user in slow else 0.002

        return crowd_ride(plan, crowd, chance, per_s=10, minutes=minutes, seconds=30)

    return ridden


def daily_course(seed: int) -> Ride:
    """Errors go up and down with the hour, eightfold, in both arms."""
    crowd = Crowd(random.Random(seed), 2_000)

    def chance(_: int, __: bool, now_ms: int) -> float:
        return 0.01 * (1 - 0.8 * math.cos(2 * math.pi * now_ms / (60 * MINUTE)))

    return crowd_ride(a_long_plan(), crowd, chance, per_s=20)


def shared_outage(seed: int) -> Ride:
    """Half of all requests fail for ten minutes, in both arms."""
    crowd = Crowd(random.Random(seed), 2_000)

    def chance(_: int, __: bool, now_ms: int) -> float:
        return 0.5 if 20 * MINUTE <= now_ms < 30 * MINUTE else USUAL

    return crowd_ride(a_long_plan(), crowd, chance, per_s=20)


def outage_at_the_end(seed: int) -> Ride:
    """Nearly all requests fail for three minutes at 100 %, with 2 % of users held back."""
    crowd = Crowd(random.Random(seed), 2_000)
    plan = a_long_plan(50, 100, holdback_ppm=20_000)

    def chance(_: int, __: bool, now_ms: int) -> float:
        return 0.95 if 30 * MINUTE <= now_ms < 33 * MINUTE else USUAL

    return crowd_ride(plan, crowd, chance, per_s=20)


def companies(harm: float, minutes: int = 90, per_s: float = 200) -> Scenario:
    """300 busy companies, nearly all of which failed before the ramp begins. Exposed requests fail as often as this."""

    def ridden(seed: int) -> Ride:
        crowd = Crowd(random.Random(seed), 300, shape=None)
        plan = a_long_plan(5, 10, 25, 50, acceptable=0.005)
        return crowd_ride(plan, crowd, lambda _, exposed, __: harm if exposed else USUAL, per_s=per_s, minutes=minutes)

    return ridden


HARMLESS: dict[str, Scenario] = {
    "2 000 users, 1 % broken accounts": broken_accounts,
    "5 % of accounts failing every 6 min": on_a_schedule(6),
    "5 % of accounts failing every 10 min": on_a_schedule(10),
    "5 % of accounts failing every 15 min": on_a_schedule(15),
    "5 % flaky accounts, 4 h at 10 %": flaky_accounts,
    "50 users": few_users(50),
    "200 users": few_users(200),
    "a region's outage every 12 min": regional_outage,
    "200 organisations as units": organisations,
    "1 % slow accounts on latency, 60 min": slow_accounts(0.01, 60, *LADDER),
    "5 % slow accounts on latency, 4 h at 10 %": slow_accounts(0.05, 240, 10),
    "errors eightfold with the hour": daily_course,
    "a shared outage of ten minutes": shared_outage,
    "a shared outage at 100 % with 2 % held back": outage_at_the_end,
    "300 busy companies": companies(USUAL, minutes=120, per_s=30),
}
"""Changes that do nobody harm; at most α of them may be killed or refused."""


def regression(seed: int) -> Ride:
    """The crowd with broken accounts, and 2 % of exposed requests failing more."""
    crowd = Crowd(random.Random(seed), 2_000)
    broken = crowd.marked(0.01)

    def chance(user: int, exposed: bool, _: int) -> float:
        return 1.0 if user in broken else 0.022 if exposed else 0.002

    return crowd_ride(a_long_plan(), crowd, chance, per_s=100, minutes=90)


def vanished(share: float) -> Scenario:
    """This share of exposed requests is gone without a trace; the rest are well."""

    def ridden(seed: int) -> Ride:
        crowd = Crowd(random.Random(seed), 2_000)
        plan = a_long_plan(5, 25, 50, min_units=20, acceptable=0.005)
        return crowd_ride(plan, crowd, lambda *_: 0.001, per_s=50, minutes=60, lost=share)

    return ridden


def independent(per_s: int) -> Scenario:
    """Each request is of a user of its own."""

    def ridden(seed: int) -> Ride:
        return ride(a_plan(*LADDER, soak_s=600.0), seed, per_s=per_s, usual=lambda _: USUAL, exposed=lambda _: USUAL)

    return ridden


INDEPENDENT: dict[str, Scenario] = {f"independent requests, {n} a second": independent(n) for n in (10, 100, 1_000)}
"""Harmless too; with the comparison alone, K = 1."""

HARMFUL: dict[str, Scenario] = {
    "2 000 users, 1 % broken accounts, and 2 % errors": regression,
    "300 companies failing 100 %": companies(1.0),
    "300 companies failing 20 %": companies(0.2),
    "300 companies failing 5 %": companies(0.05),
    "50 % of treated requests vanished": vanished(0.5),
    "90 % of treated requests vanished": vanished(0.9),
    "100 % of treated requests vanished": vanished(1.0),
}
"""Changes that do harm."""
