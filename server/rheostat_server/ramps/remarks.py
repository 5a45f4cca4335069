"""What a person should know of a ramp before it starts."""

from collections.abc import Iterator

from rheostat.model.document import RampStrategy
from rheostat_server.ramps.few import HARM, USUAL, can_tell_harm
from rheostat_server.ramps.grades import BY_REQUESTS, BY_UNITS
from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.model import Measure, Plan
from rheostat_server.ramps.rolling import stage_words
from rheostat_server.ramps.standing_threshold import threshold_remarks
from rheostat_server.ramps.stats import RELATIVE_SHARE, failing_users_to_kill
from rheostat_server.ramps.words import count, exposure


def users_to_kill(plan: Plan, exposure_ppm: int) -> int | None:
    """Return after how many failing users a step at this exposure can kill; ``None`` where it never can."""
    return failing_users_to_kill(treated_share(plan, exposure_ppm), _relative_alpha(plan), plan.budget_parts, plan.rho0)


def remarks(plan: Plan) -> tuple[str, ...]:
    """Return what a person should know before this ramp starts, a line each."""
    lines = []
    if plan.threshold is not None:
        return tuple(threshold_remarks(plan, plan.threshold))
    if not plan.guarded:
        lines.append("unguarded: it moves by time alone, and nothing takes the variant back")
    lines += _at_once(plan)
    if plan.low_evidence:
        few = "the number of users is not known" if plan.users is None else f"there are only {count(plan.users)} users"
        lines.append(f"low evidence: {few}")
    if plan.manual:
        lines.append("with so few users a person moves each step; the guard only kills")
    if any(guardrail.grade == BY_UNITS and guardrail.may_kill for guardrail in plan.guardrails):
        for step in plan.steps:
            users = users_to_kill(plan, step.exposure_ppm)
            can = f"can kill after {users} failing users"
            if users is None:
                alone = treated_share(plan, step.exposure_ppm) >= 1
                can = f"leaves {'nobody' if alone else 'too few'} to compare with"
            lines.append(f"{exposure(step.exposure_ppm)} {can}")
    lines += _rather_held(plan)
    lines += _strategy(plan)
    for guardrail in plan.guardrails:
        if guardrail.grade == BY_REQUESTS:
            may = "" if guardrail.may_kill else "it holds, it does not kill; "
            why = "there is no history, so bursts are allowed for with"
            if guardrail.history_minutes:
                why = f"by {count(guardrail.history_minutes)} min of history bursts are allowed for with"
            lines.append(f"{guardrail.name}: {may}{why} φ = {guardrail.phi:.3g}")
    lines += _budget(plan)
    return tuple(lines)


def _at_once(plan: Plan) -> Iterator[str]:
    """Yield what is particular to a ramp that exposes everybody at once."""
    if plan.strategy != RampStrategy.BLUE_GREEN or not plan.guarded:
        return
    yield "blue-green: all at once; the old variant stays warm, and a kill or an abort brings it back at once"
    if plan.holdback_ppm > 0:
        return
    yield "without a holdback nobody can tell whether users stay away, or their requests vanish"
    if not any(
        guardrail.measure is Measure.ERRORS and guardrail.may_kill and guardrail.ceiling is not None
        for guardrail in plan.guardrails
    ):
        yield "nothing kills it for errors: it has no holdback, and no ceiling on errors"


def _relative_alpha(plan: Plan) -> float:
    shared = any(guardrail.grade == BY_UNITS and guardrail.ceiling is not None for guardrail in plan.guardrails)
    return RELATIVE_SHARE * plan.alpha if shared else plan.alpha


def _rather_held(plan: Plan) -> Iterator[str]:
    """Yield which steps expose too few users to kill a middling regression, where it is known how many there are."""
    if not plan.guarded or plan.manual or plan.users is None:
        return
    steps, exposed = [], []
    for step in plan.steps:
        share = treated_share(plan, step.exposure_ppm)
        users = round(share * plan.users)
        if 0 < share < 1 and not can_tell_harm(users, share, _relative_alpha(plan), plan.budget_parts, plan.rho0):
            steps.append(exposure(step.exposure_ppm))
            exposed.append(count(users))
    if steps:
        yield (
            f"{100 * HARM:g} % failing requests instead of {100 * USUAL:g} % would rather be held than killed at "
            f"{', '.join(steps)}: {', '.join(exposed)} of {count(plan.users)} users are too few to tell"
        )


def _strategy(plan: Plan) -> Iterator[str]:
    """Yield what a rolling ramp, or a comparison, does that others do not."""
    if plan.stages:
        stages = "; ".join(stage_words(plan, stage) for stage in range(len(plan.stages)))
        yield f"one stage after the other, each with a pre-flight and all steps: {stages}"
        if plan.stages[-1].values:
            yield f"all other users stay at {exposure(plan.start_ppm)}, also after promotion"
    if plan.baseline is not None:
        at = exposure(plan.steps[0].exposure_ppm)
        yield f"all other variants are compared with {plan.baseline}, among those whom {at} exposes"
        yield "it decides nothing and waits for a person at its end; but harm kills, and takes all of them, back"
        if plan.steps[0].exposure_ppm == plan.start_ppm:
            yield "there is no pre-flight: the variants are served already"


def _budget(plan: Plan) -> Iterator[str]:
    """Yield what the budget of false kills goes to."""
    if not plan.guarded:
        return
    for guardrail in plan.guardrails:
        if guardrail.ceiling is not None:
            yield (
                f"{guardrail.name}: above {100 * guardrail.ceiling:.3g} % it holds and goes one level back to look; "
                "where nobody is left to compare with, it kills"
            )
    if plan.missing_kill:
        yield "exposed users who stay away kill it, too; with missing_users: hold they only hold it"
    if plan.budget_parts > 1:
        most = f"{100 * plan.alpha:.3g} %"
        ways = f"the {plan.budget_parts} ways to kill together"
        if plan.stages:
            each = plan.budget_parts // len(plan.stages)
            ways = f"{len(plan.stages)} stages with {each} way{'s' if each > 1 else ''} to kill each, all together"
        yield f"at most {most} of harmless ramps are killed, by {ways}"
