"""What a strategy makes of a document: the stages and shards of a rolling ramp, and a comparison's figures. Pure."""

from collections.abc import Iterator

import msgspec

from rheostat.model.document import RampDocument, RampStrategy, StepDocument
from rheostat.model.flag import Rollout
from rheostat.model.shares import TOTAL_PPM, percent_to_ppm, ppm_to_percent
from rheostat_server.errors import Fault
from rheostat_server.ramps.model import Family, Plan, Stage
from rheostat_server.ramps.validate_strategies import until_ms
from rheostat_server.ramps.words import exposure


def asked_steps(document: RampDocument, start_ppm: int) -> tuple[StepDocument, ...]:
    """Return the steps that the document asks for; none where the plan has its own.

    A comparison without one is at the exposure in force; where nobody is exposed, of everybody.
    """
    if document.shards is not None:
        shards = document.shards
        return tuple(
            StepDocument(exposure=ppm_to_percent(TOTAL_PPM * shard // shards)) for shard in range(1, shards + 1)
        )
    if document.strategy is RampStrategy.A_B and not document.steps:
        return (StepDocument(exposure=ppm_to_percent(start_ppm or TOTAL_PPM)),)
    return document.steps


def is_above(document: RampDocument, exposure_ppm: int, start_ppm: int) -> bool:
    """Whether a step is to be taken: above the exposure in force. A comparison may be at it."""
    at_it = document.strategy is RampStrategy.A_B and exposure_ppm == start_ppm
    return exposure_ppm > start_ppm or at_it


def stages_of(document: RampDocument) -> tuple[Stage, ...]:
    """Return the stages of a rolling ramp by an attribute, that of all others last; none of any other."""
    listed = tuple(Stage(values) for values in document.values)
    return (*listed, Stage()) if listed and document.others else listed


def fitted(plan: Plan, rollout: Rollout) -> Plan:
    """Return the plan with the figures that depend on the rollout as it is now.

    Where the variants of a comparison are served already there is nothing to watch beforehand.
    """
    if plan.baseline is None:
        return plan
    served_already = bool(plan.steps) and plan.steps[0].exposure_ppm == plan.start_ppm
    return msgspec.structs.replace(
        plan,
        compared_share=_share_of_others(rollout, plan.baseline),
        preflight_s=0.0 if served_already else plan.preflight_s,
    )


def with_strategy(plan: Plan, document: RampDocument, rollout: Rollout) -> Plan:
    """Return the plan with what its strategy adds."""
    stages = stages_of(document)
    users = plan.users
    if users is not None and document.baseline is not None and plan.steps:
        users = users * plan.steps[0].exposure_ppm // TOTAL_PPM
    strategic = msgspec.structs.replace(
        plan,
        by=document.by or "",
        stages=stages,
        # Each stage may kill in all these ways.
        budget_parts=plan.budget_parts * max(1, len(stages)),
        users=users,
        baseline=document.baseline,
        until_ms=None if document.until is None else until_ms(document.until),
        sample=document.sample,
    )
    return fitted(strategic, rollout)


def strategy_faults(plan: Plan, rollout: Rollout, asked: tuple[StepDocument, ...], now_ms: int = 0) -> Iterator[Fault]:
    """Yield what keeps a comparison from being one, of two variants or within a stage."""
    for guardrail in plan.guardrails if plan.stages else ():
        armed = guardrail.queries is not None and not guardrail.queries.armless
        if guardrail.family is Family.QUERIES and armed:
            hint = "leave it out, or watch the whole service with arms: none"
            yield Fault("guardrails", f"{guardrail.name} would compare users of different stages", hint)
    if plan.baseline is None:
        return
    others = [name for name, weight in rollout.split.items() if weight > 0 and name != plan.baseline]
    if not rollout.split.get(plan.baseline, 0) > 0:
        split = ", ".join(name for name, weight in rollout.split.items() if weight > 0)
        yield Fault("baseline", f"the rollout exposes nobody to {plan.baseline!r}", f"its split has {split}")
    elif not others:
        yield Fault(
            "baseline", f"the rollout exposes to nothing but {plan.baseline!r}", "add another variant to its split"
        )
    if plan.until_ms is not None and plan.until_ms <= now_ms:
        yield Fault("until", "this is past already", "a comparison runs until a moment to come")
    if not plan.steps:
        at = exposure(percent_to_ppm(asked[0].exposure))
        hint = "a comparison takes nothing away; leave out steps to compare at the exposure in force"
        yield Fault("steps", f"{at} is below the exposure in force, {exposure(plan.start_ppm)}", hint)


def _share_of_others(rollout: Rollout, baseline: str) -> float:
    weights = {name: weight for name, weight in rollout.split.items() if weight > 0}
    # By the greatest first, so that no sum of weights overflows.
    greatest = max(weights.values(), default=1.0)
    whole = sum(weight / greatest for weight in weights.values())
    own = weights.get(baseline, 0.0) / greatest
    return (whole - own) / whole if whole else 0.0
