"""Things for tests: each builder takes only what the test is about."""

from typing import Any

from rheostat.model.flag import Answer, Condition, Flag, FlagType, Operator, Prerequisite, Rollout, Rule
from rheostat.model.kill import Kill, KillScope
from rheostat.model.ramp import RampOverlay
from rheostat.model.snapshot import FORMAT, Identity, Patch, Snapshot
from rheostat.model.window import Window


def a_rollout(exposure_ppm: int = 0, **changes: Any) -> Rollout:
    """Return a rollout of ``on`` over ``off``, salted with ``checkout``."""
    fields: dict[str, Any] = {"split": {"on": 1.0}, "salt": "checkout", "fallback": "off", **changes}
    return Rollout(exposure_ppm=exposure_ppm, **fields)


def a_rule(
    name: str = "rule", when: Condition | None = None, answer: Answer | None = None, active: Window | None = None
) -> Rule:
    """Return a rule that serves ``on`` to the plan ``pro``."""
    when = when or a_clause("plan", Operator.IN, "pro")
    return Rule(name=name, when=when, answer=answer or Answer(serve="on"), active=active)


def a_clause(attribute: str, operator: Operator, *values: Any) -> Condition:
    """Return a condition on one attribute."""
    return Condition(attribute=attribute, operator=operator, values=values)


def a_flag(key: str = "checkout", **changes: Any) -> Flag:
    """Return an enabled boolean flag that serves ``off``; ``rollout=…`` makes that its default."""
    rollout = changes.pop("rollout", None)
    fields: dict[str, Any] = {
        "type": FlagType.BOOLEAN,
        "variants": {"on": True, "off": False},
        "version": 1,
        "enabled": True,
        "off_variant": "off",
        "default": Answer(serve="off") if rollout is None else Answer(rollout=rollout),
        **changes,
    }
    return Flag(key=key, **fields)


def a_prerequisite(flag: str, *variants: str) -> Prerequisite:
    """Return a prerequisite; without variants on ``on``."""
    return Prerequisite(flag, variants or ("on",))


def an_overlay(
    exposure_ppm: int = 100_000, flag: str = "checkout", *, live: bool = True, **changes: Any
) -> RampOverlay:
    """Return a live ramp over the flag's default rollout; one with cells or a baseline is live as such."""
    parts = tuple(part for part in ("cells", "baseline") if changes.get(part) is not None)
    changes = {"plain_live": live and not parts, "live_with": parts if live else (), **changes}
    fields: dict[str, Any] = {"ramp": f"ramp-of-{flag}", "epoch": 1, "levels": (0, exposure_ppm), **changes}
    return RampOverlay(flag=flag, exposure_ppm=exposure_ppm, **fields)


def a_kill(flag: str = "checkout", scope: KillScope = KillScope.ROLLOUT, **changes: Any) -> Kill:
    """Return a kill in the environment of ``a_snapshot``."""
    fields: dict[str, Any] = {
        "kill_id": f"kill-of-{flag}",
        "project": "default",
        "environment": "production",
        "source": "person",
        "at_ms": 1_767_225_600_000,
        **changes,
    }
    return Kill(flag=flag, scope=scope, **fields)


def a_snapshot(*flags: Flag, revision: int = 1, **changes: Any) -> Snapshot:
    """Return a snapshot of the default project's production."""
    fields: dict[str, Any] = {
        "format": FORMAT,
        "generation": 1,
        "project": "default",
        "environment": "production",
        **changes,
    }
    return Snapshot(revision=revision, flags=flags, **fields)


def a_patch(before: Snapshot, **changes: Any) -> Patch:
    """Return the patch to the next revision."""
    fields: dict[str, Any] = {
        "from_": before.identity,
        "to": Identity(before.generation, before.revision + 1),
        **changes,
    }
    return Patch(**fields)
