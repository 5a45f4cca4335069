"""Counting up one increment before it is written. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rheostat_server.outcomes.model import ArmCount, SlowCount
from rheostat_server.ramps.evidence import ArmTotals


@dataclass(slots=True)
class ArmTally:
    """One arm of an increment. The names are those of ``ArmTotals``; ``slow`` is by bound (ms, as text)."""

    ended: int = 0
    bad: int = 0
    timeouts: int = 0
    failing: int = 0
    units: int = 0
    units_bad: int = 0
    seen: int = 0
    """An estimate, where units are thinned: each stands for several."""
    sampled: int = 0
    sampled_bad: int = 0
    arrivals: int = 0
    active: int = 0
    active_failed: int = 0
    recounted: int = 0
    recounted_squares: int = 0
    slow: dict[str, "SlowTally"] = field(default_factory=dict)

    def totals(self) -> ArmTotals:
        """Return it as the ramp's evidence has it."""
        return ArmTotals(**{name: getattr(self, name) for name in ArmTotals.__struct_fields__})

    def slower(self, bound: str) -> "SlowTally":
        """Return what took longer than this bound, to count on."""
        return self.slow.setdefault(bound, SlowTally())

    def count(self) -> ArmCount:
        """Return it as the metrics have it."""
        return ArmCount(
            ok=self.ended - self.bad,
            error=self.bad - self.timeouts,
            timeout=self.timeouts,
            failing=self.failing,
            units_good=self.units - self.units_bad,
            units_bad=self.units_bad,
        )


@dataclass(slots=True)
class SlowTally:
    """What took longer than one bound in one arm."""

    ended: int = 0
    units: int = 0
    sampled: int = 0
    sampled_bad: int = 0


@dataclass(slots=True)
class Tally:
    """One increment: its arms, the interval that it covers, and who reported."""

    arms: dict[str, ArmTally] = field(default_factory=dict)
    reporters: set[str] = field(default_factory=set)
    from_ms: int = 0
    until_ms: int = 0
    covers: bool = False

    def arm(self, arm: str) -> ArmTally:
        """Return the arm's tally, to count on."""
        return self.arms.setdefault(str(arm), ArmTally())

    def add(self, arm: str, *, ended: int, bad: int, timeouts: int, slow: Mapping[str, int]) -> None:
        """Count finished requests."""
        tally = self.arm(arm)
        tally.ended += ended
        tally.bad += bad
        tally.timeouts += timeouts
        for bound, requests in slow.items():
            tally.slower(bound).ended += requests

    def slow(self) -> dict[str, dict[str, SlowCount]]:
        """Return what was slow, by arm and bound."""
        return {
            arm: {
                bound: SlowCount(each.ended, each.units, each.sampled_bad, each.sampled)
                for bound, each in tally.slow.items()
            }
            for arm, tally in self.arms.items()
            if tally.slow
        }

    def cover(self, from_ms: int, until_ms: int) -> None:
        """Widen the interval to cover this one."""
        self.from_ms = min(self.from_ms, from_ms) if self.covers else from_ms
        self.until_ms = max(self.until_ms, until_ms) if self.covers else until_ms
        self.covers = True
