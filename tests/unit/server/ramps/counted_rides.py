"""Ramps by ``rule: threshold`` on values that a test gives: one observation a second, as the controller makes them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from rheostat.model.flag import Rollout
from rheostat_server.ports.ramps import DecisionRow
from rheostat_server.ramps.checks import CheckValue, ThresholdState
from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import Evidence
from rheostat_server.ramps.model import LIVE, Action, Family, Plan
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.plan import plan_of
from rheostat_server.ramps.records import acted, decided, happened, worth_keeping
from rheostat_server.ramps.threshold import due_checks
from rheostat_server.ramps.transition import act, start, transition
from rheostat_server.ramps.validate import validate_ramp
from rheostat_server.ramps.windows import shut_at
from tests.unit.server.ramps.foreign_builders import a_ramp

ROLLOUT = Rollout(exposure_ppm=0, split={"on": 1.0}, salt="checkout-v2", fallback="off")
SECOND = 1_000
BEGAN_MS = 1_000_000 * SECOND


def counted_plan(*, metrics: bool = True, start_ppm: int = 0, **document: Any) -> Plan:
    """The plan of a ramp that counts."""
    return plan_of(
        validate_ramp(a_ramp(rule="threshold", **document)),
        project="shop",
        rollout=ROLLOUT,
        start_ppm=start_ppm,
        family=Family.REPORTED,
        scrape_s=15.0 if metrics else None,
    )


class Ride:
    """One ramp under way. ``values`` gives what a check finds, by its name and the second since the start."""

    def __init__(self, plan: Plan, values: Callable[[str, int], Any]) -> None:
        self.plan = plan
        self.values = values
        self.state = start(plan, BEGAN_MS)
        self.second = 0
        self.version = 1
        self.asked: list[tuple[int, str]] = []
        self.rows: list[DecisionRow] = [happened(1, self.state, "start", actor="ana", at_ms=BEGAN_MS, plan=plan)]

    @property
    def percent(self) -> float:
        """The exposure in force."""
        return self.state.exposure_ppm / 10_000

    @property
    def counted(self) -> ThresholdState:
        """Where the counting stands."""
        assert self.state.threshold is not None
        return self.state.threshold

    def go(self, seconds: int) -> "Ride":
        """Observe each second for so long, as far as it is live."""
        for _ in range(seconds):
            self.second += 1
            self._observe()
        return self

    def act(self, action: Action) -> "Ride":
        """Do something as a person."""
        at_ms = self._now_ms()
        self.state = act(self.plan, self.state, action, at_ms, "because")
        self.version += 1
        self.rows.append(acted(self.version, self.state, action, actor="ana", reason="because", at_ms=at_ms))
        return self

    def seconds_of(self, name: str) -> list[int]:
        """When a check was asked."""
        return [second for second, asked in self.asked if asked == name]

    def _now_ms(self) -> int:
        return BEGAN_MS + self.second * SECOND

    def _observe(self) -> None:
        if self.state.status not in LIVE:
            return
        at_ms = self._now_ms()
        due = due_checks(self.plan, self.state, at_ms)
        self.asked += [(self.second, check.name) for check in due]
        found = tuple(value_of(check.name, self.values(check.name, self.second)) for check in due)
        shut = shut_at(self.plan.advance_windows, self.plan.freezes, at_ms)
        evidence = Evidence(at_ms=at_ms, checks=found, shut=shut)
        observed = observe(self.plan, self.state, evidence)
        decision = decide(self.plan, observed, at_ms)
        after = transition(self.plan, observed, decision, at_ms)
        if not worth_keeping(self.state, after, at_ms):
            return
        self.state = after
        self.version += 1
        self.rows.append(decided(self.version, self.state, evidence, decision))


def value_of(name: str, found: Any) -> CheckValue:
    """What a check found: a number, several, ``None`` for nothing, or text for a problem."""
    if isinstance(found, CheckValue):
        return msgspec.structs.replace(found, name=name)
    if isinstance(found, str):
        return CheckValue(name=name, problem=found)
    numbers: Sequence[float] = () if found is None else found if isinstance(found, list) else [found]
    return CheckValue(name=name, found=tuple(map(repr, numbers)))


def by_round(letters: str, every_s: int, meanings: Mapping[str, Any]) -> Callable[[str, int], Any]:
    """Values by the number of the round: its letter's."""
    return lambda _, second: meanings[letters[second // every_s - 1]]
