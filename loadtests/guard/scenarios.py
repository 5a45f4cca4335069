"""What the rule has to bear: harmless changes that look harmful, and harmful ones."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from loadtests.guard.open_loop import Schedule, Views, prompt

from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.model import Family, Guardrail, Plan, State, Step
from rheostat_server.ramps.plan import default_steps
from rheostat_server.ramps.simulation.crowd import Activity, Fails, Group, Traffic, regression, steady
from rheostat_server.ramps.simulation.rides import views_of
from rheostat_server.ramps.simulation.stream import View

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
MANY = 200_000
"""So many users of equal activity that nearly every failing request is another one's: independent requests."""
LADDER = (1, 5, 10, 25, 50)
CLIMB: Schedule = tuple((index * 5 * MINUTE, index) for index in range(5))
"""5 min each at 1, 5, 10, 25 %, then 50 %."""


def a_plan(*exposures: float, **changes: object) -> Plan:
    """A plan over these exposures, with one guardrail on failing users."""
    fields: dict[str, object] = {
        "project": "simulated",
        "environment": "production",
        "flag": "simulated",
        "rollout": "default",
        "start_ppm": 0,
        "steps": tuple(Step(exposure_ppm=round(percent * 10_000)) for percent in exposures or LADDER),
        "guardrails": (Guardrail(name="errors", family=Family.REPORTED, grade=1),),
        "interval_s": 1.0,
        "soak_s": 600.0,
        **changes,
    }
    return Plan(**fields)  # type: ignore[arg-type]


class Scenario(NamedTuple):
    """One kind of ramp. ``schedule`` None: the ramp moves by its own decisions, and the rivals by theirs.

    ``expects`` says in words what GUARD.md promises; ``most_kills`` (a share) or ``within_s`` (the median) make it a
    check, ``stays`` that no run goes up to a second step.
    """

    name: str
    traffic: Traffic
    plan: Plan
    runs: int
    schedule: Schedule | None = None
    harmful: bool = False
    block_s: float = 15.0
    most_s: float = HOUR
    onset_s: float = 0.0
    views: Views = prompt
    most_kills: float | None = 0.01
    least_kills: float | None = None
    within_s: float | None = None
    stays: bool = False
    history_s: float = 0.0
    """So much of the same traffic before the ramp φ is measured on; 0: the plan says it."""
    rivals: bool = True
    cost: float = 0.2
    """About how long a run takes (s), for the fast subset."""


def flat(rate: float, *more: Group) -> tuple[Group, ...]:
    """Everybody fails by this chance, but for these groups."""
    return (Group(1 - sum(group.share for group in more), steady(rate)), *more)


def waves(usual: float, bad: float, every_s: float, length_s: float) -> Fails:
    """Failures at ``bad`` for ``length_s`` of each ``every_s``, with and without the variant alike."""
    return lambda at, variant: bad if at.t_s % every_s < length_s else usual


def once(usual: float, bad: float, from_s: float, until_s: float) -> Fails:
    """Failures at ``bad`` in one interval, with and without the variant alike."""
    return lambda at, variant: bad if from_s <= at.t_s < until_s else usual


def diurnal(t_s: float) -> float:
    """Traffic of a day: from 0.2 to 1.8 times the mean."""
    return 1 + 0.8 * math.sin(2 * math.pi * t_s / DAY)


def slow_fleet(share: float, delay_s: float) -> Views:
    """Reports of a share of the requests come ``delay_s`` late."""

    def views(plan: Plan, state: State, now_s: float) -> tuple[View, ...]:
        (view,) = views_of(plan, state)
        return _changed(view, share=share, delay_s=delay_s), _changed(view, share=1 - share)

    return views


def lossy(share: float) -> Views:
    """A share of what is reported never comes."""

    def views(plan: Plan, state: State, now_s: float) -> tuple[View, ...]:
        (view,) = views_of(plan, state)
        return (_changed(view, lost=share),)

    return views


def stale_fleet(tail_s: float) -> Views:
    """After each change of exposure the fleet takes it up evenly over ``tail_s``; rows say which one they are of."""

    def views(plan: Plan, state: State, now_s: float) -> tuple[View, ...]:
        (view,) = views_of(plan, state)
        since_s = now_s - state.entered_ms / 1000
        if state.exposed_since_ms is None or state.epoch <= state.exposed_epoch or since_s >= tail_s:
            return (view,)
        other = next(step.exposure_ppm for step in plan.steps if step.exposure_ppm != state.exposure_ppm)
        x = treated_share(plan, other)
        still = 1 - since_s / tail_s
        before = View(epoch=state.epoch - 1, exposure_ppm=other, drawn=x, served=x, share=still)
        return before, _changed(view, share=1 - still)

    return views


def _changed(view: View, **changes: float) -> View:
    fields = {name: getattr(view, name) for name in View.__struct_fields__}
    return View(**{**fields, **changes})


def _equal(rps: float, users: int, *groups: Group, **changes: object) -> Traffic:
    return Traffic(rps, users, groups, Activity.EQUAL, **changes)  # type: ignore[arg-type]


def _pareto(rps: float, users: int, *groups: Group, **changes: object) -> Traffic:
    return Traffic(rps, users, groups, Activity.PARETO, **changes)  # type: ignore[arg-type]


def harmless() -> Iterator[Scenario]:
    """Yield the ramps of changes that do nothing (at the boundary: as much as is allowed)."""
    ladder = a_plan()
    yield Scenario("independent requests", _equal(100, MANY, *flat(0.005)), ladder, 4000)
    for rate, rps in ((1e-4, 100), (1e-3, 100), (0.01, 100), (0.1, 20), (0.3, 20)):
        fails = regression(rate, 1.1 * rate)
        traffic = _equal(rps, MANY, Group(1.0, fails))
        yield Scenario(f"p_t = 1.1 p_c at {100 * rate:g} %", traffic, ladder, 400, schedule=CLIMB, rivals=False)
    for share in (0.003, 0.01):
        broken = Group(share, steady(1.0))
        traffic = _pareto(100, 2000, *flat(0.005, broken))
        yield Scenario(f"2 000 Pareto users, {100 * share:g} % broken accounts", traffic, ladder, 1000)
    there_and_back: Schedule = tuple((index * 10 * MINUTE, index % 2) for index in range(4))
    yield Scenario(
        "1 → 5 → 1 → 5 % among 1 % broken accounts", traffic, a_plan(1, 5), 400, schedule=there_and_back, rivals=False
    )
    for minutes in (6, 10, 15):
        clocks = Group(0.02, steady(0.0), minutes * MINUTE)
        traffic = _pareto(100, 2000, *flat(0.001, clocks))
        yield Scenario(f"2 % of accounts fail every {minutes} min", traffic, ladder, 500, rivals=False)
    flaky = Group(0.05, steady(0.1))
    long_steps: Schedule = tuple((index * 4 * HOUR, index) for index in range(5))
    yield Scenario(
        "5 % flaky accounts, 4 h steps",
        _pareto(20, 2000, *flat(0.001, flaky)),
        ladder,
        200,
        schedule=long_steps,
        block_s=60,
        most_s=20 * HOUR,
        rivals=False,
        cost=1.0,
    )
    for users, steps in ((50, (20, 50, 100)), (200, (5, 10, 25, 50, 100))):
        plan = a_plan(*steps, users=users, low_evidence=True)
        broken = Group(0.02, steady(1.0))
        yield Scenario(f"{users} users", _pareto(5, users, *flat(0.005, broken)), plan, 1000)
    region = Group(0.1, waves(0.005, 0.8, 12 * MINUTE, 2 * MINUTE))
    yield Scenario("a region's outage every 12 min", _pareto(100, 20_000, *flat(0.005, region)), ladder, 500)
    day: Schedule = tuple((index * 4 * HOUR, index) for index in range(5))
    yield Scenario(
        "a day's traffic, 4 h steps",
        _pareto(20, 20_000, Group(1.0, lambda at, variant: 0.004 * diurnal(at.t_s + 6 * HOUR)), shape=diurnal),
        ladder,
        200,
        schedule=day,
        block_s=60,
        most_s=20 * HOUR,
        rivals=False,
        cost=1.0,
    )
    broken = Group(0.003, steady(1.0))
    usual = _pareto(100, 20_000, *flat(0.005, broken))
    for name, views in (
        ("a fifth of all reports lost", lossy(0.2)),
        ("a third of the fleet reports 90 s late", slow_fleet(1 / 3, 90.0)),
        ("a third of the fleet reports 5 min late", slow_fleet(1 / 3, 300.0)),
    ):
        yield Scenario(name, usual, ladder, 400, schedule=CLIMB, views=views, rivals=False)
    yield Scenario("300 organisations as units", _pareto(100, 300, *flat(0.002, Group(0.01, steady(1.0)))), ladder, 500)
    outage = Group(1.0, once(0.005, 0.5, 20 * MINUTE, 22 * MINUTE))
    yield Scenario(
        "a shared outage, batches over the cap",
        _equal(4000, MANY, outage),
        ladder,
        60,
        schedule=CLIMB,
        block_s=1.0,
        most_s=15 * MINUTE,
        cost=6.0,
    )
    back: Schedule = tuple((index * 10 * MINUTE, (index + 1) % 2) for index in range(6))
    yield Scenario(
        "50 → 25 % with a tail of 2 min",
        _pareto(100, 20_000, *flat(0.01)),
        a_plan(25, 50),
        500,
        schedule=back,
        views=stale_fleet(120.0),
        rivals=False,
    )
    incident = Group(1.0, once(0.005, 0.3, 25 * MINUTE, 35 * MINUTE))
    yield Scenario("a shared incident of 10 min", _pareto(100, 20_000, incident), ladder, 500)
    drift = Group(1.0, lambda at, variant: min(0.1, 0.002 + at.t_s / HOUR * 0.02))
    yield Scenario("errors that drift upwards", _pareto(100, 20_000, drift), ladder, 500)
    requests = Guardrail(name="requests", family=Family.APPLICATION, grade=3, phi=5.0)
    for minutes, history_s in ((5, 0.0), (30, 0.0), (5, 6 * HOUR), (30, 6 * HOUR)):
        bursts = Group(0.02, waves(0.005, 0.5, 4 * minutes * MINUTE, minutes * MINUTE))
        yield Scenario(
            f"grade 3, φ {'of 6 h of history' if history_s else '= 5'}: bursts of {minutes} min",
            _pareto(100, 20_000, *flat(0.005, bursts)),
            a_plan(guardrails=(requests,)),
            400,
            schedule=CLIMB,
            history_s=history_s,
            rivals=False,
        )
    slow = Guardrail(name="slow", family=Family.REPORTED, grade=2)
    accounts = Group(0.01, steady(1.0))
    yield Scenario(
        "grade 2: 1 % of accounts always bad (or slow)",
        _pareto(100, 2000, *flat(0.01, accounts)),
        a_plan(guardrails=(slow,)),
        500,
        schedule=CLIMB,
        rivals=False,
    )


def harmful() -> Iterator[Scenario]:
    """Yield the ramps of changes that hurt."""
    ladder = a_plan()
    for rps, harm, seconds in ((100, 0.02, 390.0), (1000, 0.02, 72.0), (1000, 0.05, 15.0)):
        yield Scenario(
            f"0.5 → {100 * harm:g} % at {rps} req/s",
            _equal(rps, MANY, Group(1.0, regression(0.005, harm))),
            ladder,
            200,
            schedule=CLIMB,
            harmful=True,
            most_kills=None,
            within_s=max(1.15 * seconds, seconds + 15),
        )
    late = ((15 * MINUTE, 15.0, 60), (24 * HOUR, 15.0, 30), (15 * MINUTE, 1.0, 60), (24 * HOUR, 1.0, 10))
    for onset_s, block_s, runs in late:
        yield Scenario(
            f"2 % from {'24 h' if onset_s == 24 * HOUR else '15 min'} on, {block_s:g} s blocks",
            _equal(100, MANY, Group(1.0, regression(0.005, 0.02, onset_s))),
            a_plan(10),
            runs,
            schedule=((0.0, 0),),
            block_s=block_s,
            onset_s=onset_s,
            harmful=True,
            most_kills=None,
            rivals=False,
            cost=0.2 if onset_s < DAY else 3.0 if block_s > 1 else 12.0,
        )
    for share in (1.0, 0.2, 0.05):
        yield Scenario(
            f"300 busy companies fail {100 * share:g} %",
            _pareto(1000, 300, Group(1.0, regression(0.002, share))),
            a_plan(*(ppm / 10_000 for ppm in default_steps(300)), users=300),
            100,
            harmful=True,
            most_kills=None,
            least_kills=1.0 if share == 1 else None,
            stays=True,
        )
    for share, rps in ((0.5, 100), (0.5, 20), (0.9, 100), (1.0, 100)):
        yield Scenario(
            f"{100 * share:g} % of treated requests vanish{'' if rps == 100 else f' at {rps} req/s'}",
            _pareto(rps, 20_000, *flat(0.005), vanished=share),
            ladder,
            100,
            harmful=True,
            most_kills=None,
            stays=True,
        )
    yield Scenario(
        "2 % in a crowd with 1 % broken accounts",
        _pareto(100, 2000, Group(0.99, regression(0.005, 0.02)), Group(0.01, steady(1.0))),
        ladder,
        200,
        harmful=True,
        most_kills=None,
    )
