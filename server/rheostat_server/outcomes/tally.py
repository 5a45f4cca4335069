"""Counting up one increment before it is written. Pure."""

from dataclasses import dataclass, field

from rheostat_server.outcomes.model import ArmCount
from rheostat_server.ramps.model import ArmTotals


@dataclass(slots=True)
class ArmTally:
    """One arm of an increment."""

    ended: int = 0
    bad: int = 0
    timeouts: int = 0
    failing: int = 0
    units: int = 0
    units_bad: int = 0

    def totals(self) -> ArmTotals:
        """Return it as the ramp's evidence has it."""
        return ArmTotals(
            ended=self.ended, bad=self.bad, failing=self.failing, units=self.units, units_bad=self.units_bad
        )

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

    def add(self, arm: str, *, ended: int, bad: int, timeouts: int) -> None:
        """Count finished requests."""
        tally = self.arm(arm)
        tally.ended += ended
        tally.bad += bad
        tally.timeouts += timeouts

    def cover(self, from_ms: int, until_ms: int) -> None:
        """Widen the interval to cover this one."""
        self.from_ms = min(self.from_ms, from_ms) if self.covers else from_ms
        self.until_ms = max(self.until_ms, until_ms) if self.covers else until_ms
        self.covers = True
