"""One flag, made ready: the order in which its parts decide."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from rheostat.engine.conditions import CompiledCondition, compile_condition
from rheostat.engine.kills import NO_KILLS, FlagKills
from rheostat.engine.programs import Compiled, Outcomes, Pass, Program, Scope
from rheostat.engine.rollouts import compile_rollout
from rheostat.model.context import Context
from rheostat.model.evaluation import Evaluation, Reason
from rheostat.model.flag import DEFAULT_ROLLOUT, Answer, Flag, Prerequisite
from rheostat.model.ramp import RampOverlay
from rheostat.model.snapshot import FORMAT
from rheostat.model.window import Window

NO_OVERLAYS: Final[dict[str, RampOverlay]] = {}
Given: TypeAlias = Evaluation | Program
"""An answer that is made, the same for everybody, or what makes one."""


def compile_flag(
    flag: Flag, overlays: Mapping[str, RampOverlay] = NO_OVERLAYS, kills: FlagKills = NO_KILLS
) -> Compiled:
    """Return the flag's program. ``overlays`` are its own, by rollout. Never raises.

    The order is that of evaluation: killed, disabled, (unreadable,) prerequisites, targets, rules, default.
    """
    outcomes = Outcomes(flag)
    constant: Evaluation
    missing = next((variant for variant in _variants_named(flag) if variant not in flag.variants), None)
    if (kills.flag or not flag.enabled) and (missing is None or missing != flag.off_variant):
        constant = outcomes.off(Reason.DISABLED)
    elif flag.needs is not None and flag.needs > FORMAT:
        constant = outcomes.unreadable(f"the flag needs snapshot format {flag.needs}, this reads {FORMAT}")
    elif missing is not None:
        constant = outcomes.unreadable(f"the flag has no variant {missing!r}")
    else:
        try:
            program = _decision(outcomes, overlays, kills, stale=False)
            if flag.max_staleness_ms is not None:
                stale = _decision(outcomes, overlays, kills, stale=True)
                program = _aging(program, stale, flag.max_staleness_ms)
            return Compiled(flag, overlays, kills, program, off=False)
        except RecursionError:
            constant = outcomes.unreadable("the flag's conditions are nested too deeply")
    return Compiled(flag, overlays, kills, lambda context, scope, run: constant, off=True)


def _variants_named(flag: Flag) -> Iterator[str]:
    if flag.off_variant is not None:
        yield flag.off_variant
    yield from flag.targets
    for answer in (*(rule.answer for rule in flag.rules), flag.default):
        if answer.serve is not None:
            yield answer.serve
        if answer.rollout is not None:
            yield from answer.rollout.split
            if answer.rollout.fallback is not None:
                yield answer.rollout.fallback


def _aging(fresh: Program, stale: Program, limit_ms: int) -> Program:
    def program(context: Context, scope: Scope, run: Pass | None) -> Evaluation:
        if run is not None and is_stale(run.age_ms, limit_ms):
            return stale(context, scope, run)
        return fresh(context, scope, run)

    return program


def is_stale(age_ms: int | None, limit_ms: int | None) -> bool:
    """Return whether a snapshot of this age is too old for a flag of this ``max_staleness_ms``."""
    return age_ms is not None and limit_ms is not None and age_ms > limit_ms


def _decision(outcomes: Outcomes, overlays: Mapping[str, RampOverlay], kills: FlagKills, *, stale: bool) -> Program:
    """Return what decides in an enabled flag; ``stale``: what does so when the snapshot is too old."""
    flag = outcomes.flag

    def answering(answer: Answer, rule: str | None, serve_reason: Reason) -> Given:
        return compile_answer(outcomes, answer, rule, serve_reason, overlays=overlays, kills=kills, stale=stale)

    default = answering(flag.default, None, default_reason(flag))
    if flag.rules:
        rules = tuple(
            (compile_condition(rule.when), answering(rule.answer, rule.name, Reason.TARGETING_MATCH))
            for rule in flag.rules
        )
        if any(rule.active is not None for rule in flag.rules):
            program = _first_active_match([rule.active for rule in flag.rules], rules, default)
        else:
            program = _first_match(rules, default)
    else:
        program = _always(default) if isinstance(default, Evaluation) else default
    if flag.targets:
        matched = Reason.STALE if stale else Reason.TARGETING_MATCH
        program = _targets(outcomes, matched, program)
    if flag.prerequisites:
        failed = outcomes.off(Reason.STALE if stale else Reason.DEFAULT)
        program = _prerequisites(flag, failed, program)
    return program


def default_reason(flag: Flag) -> Reason:
    """Return the reason of a default that serves one variant: static where nothing was asked before it."""
    return Reason.DEFAULT if flag.rules or flag.targets or flag.prerequisites else Reason.STATIC


def compile_answer(
    outcomes: Outcomes,
    answer: Answer,
    rule: str | None,
    serve_reason: Reason,
    *,
    overlays: Mapping[str, RampOverlay],
    kills: FlagKills,
    stale: bool,
) -> Given:
    """Return the answer of a rule, or (without a rule's name) of the default: made, if everybody gets the same."""
    rollout, name = answer.rollout, rule or DEFAULT_ROLLOUT
    if rollout is None:
        variant = outcomes.flag.off_variant if answer.serve is None else answer.serve
        return outcomes.of(variant, Reason.STALE if stale else serve_reason, rule)
    return compile_rollout(outcomes, rollout, rule, overlays.get(name), killed=name in kills.rollouts, stale=stale)


def _always(answer: Evaluation) -> Program:
    return lambda context, scope, run: answer


# What is made is not asked for: a call is a tenth of an evaluation.


def _first_match(rules: Sequence[tuple[CompiledCondition, Given]], default: Given) -> Program:
    def program(context: Context, scope: Scope, run: Pass | None) -> Evaluation:
        for matches, answer in rules:
            if matches(context, scope) is True:
                return answer if isinstance(answer, Evaluation) else answer(context, scope, run)
        return default if isinstance(default, Evaluation) else default(context, scope, run)

    return program


def _first_active_match(
    windows: Sequence[Window | None], rules: Sequence[tuple[CompiledCondition, Given]], default: Given
) -> Program:
    timed = tuple((window, matches, answer) for window, (matches, answer) in zip(windows, rules, strict=True))

    def program(context: Context, scope: Scope, run: Pass | None) -> Evaluation:
        now_ms = None if run is None else run.now_ms
        for window, matches, answer in timed:
            if (window is None or window.holds(now_ms)) and matches(context, scope) is True:
                return answer if isinstance(answer, Evaluation) else answer(context, scope, run)
        return default if isinstance(default, Evaluation) else default(context, scope, run)

    return program


def _targets(outcomes: Outcomes, reason: Reason, rest: Program) -> Program:
    answers: dict[str | None, Evaluation] = {}
    for variant, units in outcomes.flag.targets.items():
        answer = outcomes.of(variant, reason)
        for unit in units:
            answers.setdefault(unit, answer)
    find = answers.get

    def program(context: Context, scope: Scope, run: Pass | None) -> Evaluation:
        answer = find(context.targeting_key)
        return rest(context, scope, run) if answer is None else answer

    return program


def _prerequisites(flag: Flag, failed: Evaluation, rest: Program) -> Program:
    key, prerequisites = flag.key, flag.prerequisites

    def program(context: Context, scope: Scope, run: Pass | None) -> Evaluation:
        run = Pass() if run is None else run
        run.seen[key] = None
        for prerequisite in prerequisites:
            if not _holds(prerequisite, context, scope, run):
                return failed
        return rest(context, scope, run)

    return program


def _holds(prerequisite: Prerequisite, context: Context, scope: Scope, run: Pass) -> bool:
    """Return whether the other flag gives one of the variants. A flag that is off, gone or in a cycle does not."""
    other = scope.programs.get(prerequisite.flag)
    if other is None or other.off:
        return False
    if prerequisite.flag in run.seen:
        answer = run.seen[prerequisite.flag]
    else:
        answer = other.run(context, scope, run)
        run.seen[prerequisite.flag] = answer
    return answer is not None and answer.variant in prerequisite.variants
