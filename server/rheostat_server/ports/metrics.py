"""What this node shows about itself and about what it was told. Adapter: prometheus."""

from collections.abc import Collection, Mapping
from typing import Protocol

import msgspec

from rheostat_server.outcomes.model import ArmCount


class RampLabels(msgspec.Struct, frozen=True, kw_only=True):
    """Which ramp, at which exposure: the labels of every family about a ramp's outcomes."""

    project: str
    environment: str
    flag: str
    ramp: str
    exposure_ppm: int


class RampName(msgspec.Struct, frozen=True):
    """Which ramp, as labels."""

    project: str
    environment: str
    flag: str
    ramp: str


class KillName(msgspec.Struct, frozen=True):
    """Which kill, as labels."""

    project: str
    environment: str
    flag: str
    kill_id: str


class Watches(Protocol):
    """What this node sees of ramps that nobody moves, of kills, and of hooks. All methods are cheap and never raise."""

    def unattended(self, ramps: Mapping[RampName, bool]) -> None:
        """Note of every live ramp whether it is unattended, in place of what was noted before."""
        ...

    def unconfirmed(self, kills: Mapping[KillName, int]) -> None:
        """Note of every young kill how many instances still expose users, in place of what was noted before."""
        ...

    def alert(self, result: str) -> None:
        """Count an alert by what was done: one of few fixed words."""
        ...


class Metrics(Protocol):
    """Counters and gauges of one node. No counter falls while the node runs; all methods are cheap and never raise."""

    def touch(self, labels: RampLabels) -> None:
        """Make sure that all series of a ramp at this exposure exist, at zero if they are new.

        To be called for every live ramp before its first outcome, or a counter's first increment is invisible to
        whoever takes differences.
        """
        ...

    def reported(self, labels: RampLabels, arm: str, count: ArmCount) -> None:
        """Count what this node committed of SDKs' reports."""
        ...

    def sights(self, project: str, environment: str, flag: str, ramp: str, sights: Mapping[str, str]) -> None:
        """Note what each guardrail of a live ramp sees, by the guardrail's name, in place of what was noted before."""
        ...

    def forget_ramps(self, but: Collection[str]) -> None:
        """Drop the sights of all ramps but these."""
        ...

    def batches(self, *, counted: int = 0, duplicate: int = 0, failed: int = 0, late_rows: int = 0) -> None:
        """Count outcome batches by what became of them, and the rows that came too late to be evidence."""
        ...

    def request(self, route: str, status: int) -> None:
        """Count a data plane request. ``route`` is one of few fixed names."""
        ...

    def streams(self, project: str, environment: str, open_streams: int) -> None:
        """Note how many streams are open."""
        ...

    def confirmed(self, project: str, environment: str, revision: int, at_monotonic: float) -> None:
        """Note the revision served, and when PostgreSQL last confirmed it (s of the node's monotonic clock)."""
        ...

    def forget_environment(self, project: str, environment: str) -> None:
        """Drop the gauges of an environment that is gone."""
        ...

    def notification(self, channel: str, outcome: str) -> None:
        """Count a try to deliver a notification, by the channel's kind: ``delivered``, ``retried`` or ``failed``."""
        ...

    def undelivered(self, since_ms: int | None) -> None:
        """Note since when the oldest notification waits (now, where none does); ``None``: another node knows."""
        ...

    def render(self) -> tuple[bytes, str]:
        """Return the exposition text and its content type."""
        ...
