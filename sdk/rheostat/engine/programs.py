"""The shape of a compiled flag: a function from a context to an evaluation."""

from collections.abc import Callable, Mapping
from typing import Protocol

from rheostat.engine.conditions import CompiledCondition
from rheostat.engine.conversion import Remark
from rheostat.engine.kills import FlagKills
from rheostat.model.context import Context
from rheostat.model.evaluation import CODE_DEFAULT, ErrorCode, Evaluation, Reason
from rheostat.model.flag import Flag
from rheostat.model.ramp import RampOverlay
from rheostat.model.window import Window


class Pass:
    """What one evaluation carries along, for flags with prerequisites and those that read the age or the time.

    ``seen`` holds the flags met on the way; ``None`` marks one whose evaluation is not finished, so that
    meeting it again is a cycle.
    """

    __slots__ = ("age_ms", "now_ms", "seen")

    def __init__(self, age_ms: int | None = None, now_ms: int | None = None) -> None:
        self.age_ms = age_ms
        self.now_ms = now_ms
        self.seen: dict[str, Evaluation | None] = {}


class Compiled:
    """A flag made ready, and what it was made of.

    ``run`` gives its evaluation; ``off`` says that it is disabled, killed or unreadable; ``carries`` that ``run``
    needs a ``Pass``; ``windows`` are those of its rules, by name: none while it is off.
    """

    __slots__ = ("carries", "flag", "kills", "off", "overlays", "run", "windows")

    def __init__(
        self, flag: Flag, overlays: Mapping[str, RampOverlay], kills: FlagKills, run: "Program", *, off: bool
    ) -> None:
        self.flag = flag
        self.windows: tuple[tuple[str, Window], ...] = ()
        self.carries = False
        if not off:
            self.windows = tuple((rule.name, rule.active) for rule in flag.rules if rule.active is not None)
            self.carries = bool(self.windows or flag.prerequisites or flag.max_staleness_ms is not None)
        self.overlays = overlays
        self.kills = kills
        self.run = run
        self.off = off


class Scope(Protocol):
    """Where a flag finds what it only names, so that it outlives their edits."""

    @property
    def segments(self) -> Mapping[str, CompiledCondition]: ...

    @property
    def strange(self) -> Remark: ...

    @property
    def programs(self) -> Mapping[str, Compiled]: ...


Program = Callable[[Context, Scope, Pass | None], Evaluation]


class Outcomes:
    """Makes the evaluations of one flag. Those that do not depend on the context are made once."""

    def __init__(self, flag: Flag) -> None:
        self.flag = flag
        self._known: dict[tuple[str | None, Reason, str | None], Evaluation] = {}

    def of(self, variant: str | None, reason: Reason, rule: str | None = None) -> Evaluation:
        """Return the evaluation that gives this variant; ``None`` gives the caller's default.

        The variant is one of the flag's: who compiles a flag asks ``missing_variants`` first.
        """
        known = self._known.get((variant, reason, rule))
        if known is None:
            value = CODE_DEFAULT if variant is None else self.flag.variants[variant]
            known = self._known[variant, reason, rule] = self._made(value, variant, reason, rule=rule)
        return known

    def off(self, reason: Reason, rule: str | None = None) -> Evaluation:
        """Return the off variant's evaluation; without one the caller's default."""
        return self.of(self.flag.off_variant, reason, rule)

    def fallback(self, fallback: str | None, reason: Reason, rule: str | None) -> Evaluation:
        """Return the evaluation of a rollout's fallback; without one the off variant's."""
        return self.of(self.flag.off_variant if fallback is None else fallback, reason, rule)

    def unit_missing(self, rule: str | None) -> Evaluation:
        """Return the error of a rollout whose context has no targeting key."""
        message = "the flag's rollout needs a targeting key"
        return self._made(
            CODE_DEFAULT,
            None,
            Reason.ERROR,
            error_code=ErrorCode.TARGETING_KEY_MISSING,
            error_message=message,
            rule=rule,
        )

    def unreadable(self, message: str) -> Evaluation:
        """Return the off variant with ``PARSE_ERROR``; without one the caller's default."""
        off = self.flag.off_variant
        if off not in self.flag.variants:
            off = None
        value = CODE_DEFAULT if off is None else self.flag.variants[off]
        return self._made(value, off, Reason.ERROR, error_code=ErrorCode.PARSE_ERROR, error_message=message)

    def _made(
        self,
        value: object,
        variant: str | None,
        reason: Reason,
        *,
        error_code: ErrorCode | None = None,
        error_message: str | None = None,
        rule: str | None = None,
    ) -> Evaluation:
        return Evaluation(
            flag=self.flag.key,
            value=value,
            variant=variant,
            reason=reason,
            error_code=error_code,
            error_message=error_message,
            rule=rule,
            version=self.flag.version,
            metadata=self.flag.metadata,
        )
