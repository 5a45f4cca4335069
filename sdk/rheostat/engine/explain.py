"""The walk to an evaluation, step by step.

What decides is asked of the same parts that a compiled flag is made of, so that an explanation cannot differ from
the evaluation; here is only the order in which they are asked, and what they looked at.
"""

from rheostat.engine.conditions import compile_condition
from rheostat.engine.evaluate import Ruleset, failed, not_found, why_failed
from rheostat.engine.explain_condition import ConditionWalker
from rheostat.engine.explain_rollout import said_of, walk_rollout
from rheostat.engine.flags import compile_answer, default_reason, is_stale
from rheostat.engine.programs import Compiled, Outcomes, Pass
from rheostat.model.context import Context
from rheostat.model.evaluation import Evaluation, Reason
from rheostat.model.explanation import Exit, Explanation, Step
from rheostat.model.flag import DEFAULT_ROLLOUT, Answer, Prerequisite, Rule


def explain(ruleset: Ruleset, key: str, context: Context, *, now_ms: int | None, age_ms: int | None) -> Explanation:
    """Return how ``ruleset.evaluate`` comes to its answer. Never raises."""
    walk = _Walk(ruleset, context, Pass(age_ms, now_ms))
    compiled = ruleset.programs.get(key)
    steps: list[Step] = []
    if compiled is None:
        steps.append(Step(exit=Exit.FLAG, passed=False, text="there is no such flag"))
        return walk.explanation(key, steps, not_found(key), stale=False)
    try:
        evaluation = walk.flag(compiled, steps)
    except Exception as error:  # noqa: BLE001 - as in an evaluation, and with the same answer
        steps.append(Step(exit=Exit.FAILURE, passed=False, text=why_failed(error)))
        evaluation = failed(compiled.flag, error)
    stale = not compiled.off and is_stale(age_ms, compiled.flag.max_staleness_ms)
    return walk.explanation(key, steps, evaluation, stale=stale)


class _Walk:
    """One context's way through a flag and its prerequisites."""

    def __init__(self, ruleset: Ruleset, context: Context, run: Pass) -> None:
        self._ruleset = ruleset
        self._context = context
        self._run = run
        segments = {segment.key: segment for segment in ruleset.snapshot.segments}
        self._conditions = ConditionWalker(context, ruleset, segments)

    def explanation(self, key: str, steps: list[Step], evaluation: Evaluation, *, stale: bool) -> Explanation:
        return Explanation(
            flag=key,
            identity=self._ruleset.snapshot.identity,
            steps=tuple(steps),
            evaluation=evaluation,
            stale=stale,
            now_ms=self._run.now_ms,
            age_ms=self._run.age_ms,
        )

    def flag(self, compiled: Compiled, steps: list[Step]) -> Evaluation:
        """Note each step, and return what the flag gives. What an attribute's own code raises passes."""
        if compiled.off:
            return self._off(compiled, steps)
        steps += [
            Step(exit=Exit.KILL, passed=True, text="no kill of the flag is in force"),
            Step(exit=Exit.ENABLED, passed=True, text="the flag is enabled"),
        ]
        flag = compiled.flag
        outcomes, stale = Outcomes(flag), is_stale(self._run.age_ms, flag.max_staleness_ms)
        if flag.prerequisites:
            self._run.seen[flag.key] = None
        for prerequisite in flag.prerequisites:
            step = self._prerequisite(prerequisite)
            steps.append(step)
            if not step.passed:
                return outcomes.off(Reason.STALE if stale else Reason.DEFAULT)
        if flag.targets:
            key = self._context.targeting_key
            variant = next((variant for variant, units in flag.targets.items() if key in units), None)
            text = "not a target" if variant is None else "a target by name"
            steps.append(Step(exit=Exit.TARGETS, passed=variant is None, text=text, serve=variant))
            if variant is not None:
                return outcomes.of(variant, Reason.STALE if stale else Reason.TARGETING_MATCH)
        for rule in flag.rules:
            if self._matches(rule, steps):
                return self._answered(compiled, outcomes, rule.answer, rule, steps, stale=stale)
        return self._answered(compiled, outcomes, flag.default, None, steps, stale=stale)

    def _off(self, compiled: Compiled, steps: list[Step]) -> Evaluation:
        evaluation = compiled.run(self._context, self._ruleset, None)
        disabled = evaluation.reason is Reason.DISABLED
        if not compiled.kills.flag:
            steps.append(Step(exit=Exit.KILL, passed=True, text="no kill of the flag is in force"))
        elif disabled:
            steps.append(Step(exit=Exit.KILL, passed=False, text="a kill of the flag is in force"))
            return evaluation
        if disabled:
            steps.append(Step(exit=Exit.ENABLED, passed=False, text="the flag is disabled"))
        else:
            steps.append(Step(exit=Exit.READABLE, passed=False, text=evaluation.error_message or ""))
        return evaluation

    def _prerequisite(self, prerequisite: Prerequisite) -> Step:
        key, seen = prerequisite.flag, self._run.seen
        other = self._ruleset.programs.get(key)
        nested: Explanation | None = None
        answer: Evaluation | None = None
        if other is None:
            text = f"there is no flag {key}"
        elif other.off:
            text = f"{key} is disabled, killed or unreadable"
        elif key in seen:
            answer = seen[key]
            text = f"{key} waits for this flag itself" if answer is None else f"{key} gave {answer.variant} before"
        else:
            steps: list[Step] = []
            answer = seen[key] = self.flag(other, steps)
            stale = is_stale(self._run.age_ms, other.flag.max_staleness_ms)
            nested = self.explanation(key, steps, answer, stale=stale)
            text = f"{key} gives {answer.variant}"
        return Step(
            exit=Exit.PREREQUISITE,
            passed=answer is not None and answer.variant in prerequisite.variants,
            text=text,
            name=key,
            prerequisite=nested,
            variants=prerequisite.variants,
        )

    def _matches(self, rule: Rule, steps: list[Step]) -> bool:
        window = rule.active
        if window is not None and not window.holds(self._run.now_ms):
            text = "outside its window" if self._run.now_ms is not None else "it has a window, and no time was given"
            steps.append(Step(exit=Exit.RULE, passed=True, text=text, name=rule.name, window=window))
            return False
        try:
            matches = compile_condition(rule.when)(self._context, self._ruleset) is True
        except Exception:
            walked = self._conditions.walk(rule.when)
            steps.append(Step(exit=Exit.RULE, passed=False, text="failed", name=rule.name, condition=walked))
            raise
        if not matches:
            walked = self._conditions.walk(rule.when)
            text = f"does not match: {walked.verdict.value}"
            step = Step(exit=Exit.RULE, passed=True, text=text, name=rule.name, window=window, condition=walked)
            steps.append(step)
        return matches

    def _answered(
        self,
        compiled: Compiled,
        outcomes: Outcomes,
        answer: Answer,
        rule: Rule | None,
        steps: list[Step],
        *,
        stale: bool,
    ) -> Evaluation:
        name, overlays, kills = None if rule is None else rule.name, compiled.overlays, compiled.kills
        reason = default_reason(compiled.flag) if rule is None else Reason.TARGETING_MATCH
        given = compile_answer(outcomes, answer, name, reason, overlays=overlays, kills=kills, stale=stale)
        evaluation = given if isinstance(given, Evaluation) else given(self._context, self._ruleset, self._run)
        rollout = name or DEFAULT_ROLLOUT
        if answer.rollout is None:
            walked, text = None, "serves " + (evaluation.variant or "the caller's default")
        else:
            walked = walk_rollout(
                answer.rollout, self._context, overlays.get(rollout), self._ruleset, killed=rollout in kills.rollouts
            )
            text = said_of(walked, stale=stale)
        steps.append(
            Step(
                exit=Exit.DEFAULT if rule is None else Exit.RULE,
                passed=False,
                text=text if rule is None else f"matches; {text}",
                name=name,
                window=None if rule is None else rule.active,
                condition=None if rule is None else self._conditions.walk(rule.when),
                serve=answer.serve,
                rollout=walked,
            )
        )
        return evaluation
