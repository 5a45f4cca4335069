"""What one observation changes in where a ramp stands."""

from msgspec.structs import replace

from rheostat_server.ramps.ceiling import ceiling_counted, crossed, retreating, settled
from rheostat_server.ramps.crowd import crowd_after, is_uncovered
from rheostat_server.ramps.evidence import ArmTotals, Block, Evidence, Reading, Sight
from rheostat_server.ramps.grades import (
    BY_UNITS,
    REPORTS,
    SATURATED,
    SATURATED_BY_ARMING,
    can_sample,
    counts,
    grade_of,
    phi_of,
    regraded,
    saturated,
    size,
)
from rheostat_server.ramps.ladder import has_lower_level, stated_ppm, treated_share
from rheostat_server.ramps.memory import CrowdMemory, Proof, Retreat
from rheostat_server.ramps.model import LIVE, Family, Guardrail, GuardrailState, Measure, Plan, State
from rheostat_server.ramps.stats import absolute_step, kill_step, log_m, log_mean_exp, relative_step, still_holds
from rheostat_server.ramps.threshold import observe_threshold

BLIND_AFTER = 3
"""Observations without evidence after which a ramp is blind; nobody counts further."""
STARTING_MS = 15_000
"""How long after its start a ramp is not called blind yet: applications take it up, and report, within seconds."""
WATCHED_INTERVALS = 3
"""The most that the time between two observations counts as watched, in intervals of the plan."""
DEFAULT_ACCEPTABLE = 0.005
"""p_ok where the plan names neither one nor a ceiling; the most that ``auto`` gives."""
STRICTEST_ACCEPTABLE = 0.0005
"""The least that ``auto`` gives."""
RECENT_HALF_MS = 1_800_000
"""The difference clause looks back over this and up to as much again."""

# A block is compared when it has about two treated units; or after a minute, with what there is.
_FEWEST_TREATED = 2.0
_POOL_MS = 60_000
# M is 1 exactly when nothing failed; the float beside it may be a hair above.
_NO_SUSPICION = 1e-9
_NOTHING = ArmTotals()


def observe(plan: Plan, state: State, evidence: Evidence) -> State:
    """Return the state after an observation: processes, proofs, totals and sight moved; status and step as they were.

    A reading whose sight is not SEEN moves no process; nor does one that is missing. Where the source sees, but too
    few services report or no more users can fail newly, the kill process goes on (harm that is seen is harm) and the
    proofs stand still. A ramp that is over is returned as it was.
    """
    if state.status not in LIVE:
        return state
    if plan.threshold is not None:
        return observe_threshold(plan.threshold, state, evidence)
    crowd = crowd_after(plan, state, evidence)
    readings = {reading.guardrail: reading for reading in evidence.readings}
    guardrails = {
        guardrail.name: _observed(
            plan, guardrail, state, readings.get(guardrail.name, _missing(guardrail)), crowd=crowd, at_ms=evidence.at_ms
        )
        for guardrail in plan.guardrails
    }
    return replace(
        state,
        observed_ms=evidence.at_ms,
        observations=state.observations + 1,
        exposed_units=evidence.exposed_units,
        control_units=evidence.control_units,
        armed_s=state.armed_s + _watched_s(plan, state, guardrails, evidence.at_ms),
        guardrails=guardrails,
        crowd=crowd,
        crowd_cursor=evidence.crowd_cursor or state.crowd_cursor,
        shut=evidence.shut,
    )


def acceptable_rate(plan: Plan, guardrail: Guardrail, seen: GuardrailState) -> float:
    """Return p_ok of the absolute proof.

    What arming found; else the plan's, or for what are not errors the guardrail's ceiling; else the strictest that
    ``auto`` gives.
    """
    own = guardrail.ceiling if guardrail.measure is Measure.LATENCY or guardrail.family is Family.QUERIES else None
    return seen.acceptable or own or plan.acceptable or STRICTEST_ACCEPTABLE


def acceptable_after(plan: Plan, arming: GuardrailState) -> float | None:
    """Return what ``acceptable: auto`` comes to after arming: twice the control's rate, within 0.05 … 0.5 %."""
    if plan.acceptable is not None or not arming.control.ended:
        return None
    return min(max(2 * arming.control.bad / arming.control.ended, STRICTEST_ACCEPTABLE), DEFAULT_ACCEPTABLE)


def added(a: ArmTotals, b: ArmTotals) -> ArmTotals:
    """Return both together."""
    return ArmTotals(
        ended=a.ended + b.ended,
        bad=a.bad + b.bad,
        failing=a.failing + b.failing,
        units=a.units + b.units,
        units_bad=a.units_bad + b.units_bad,
        seen=a.seen + b.seen,
        sampled=a.sampled + b.sampled,
        sampled_bad=a.sampled_bad + b.sampled_bad,
        arrivals=a.arrivals + b.arrivals,
        active=a.active + b.active,
        active_failed=a.active_failed + b.active_failed,
        recounted=a.recounted + b.recounted,
        recounted_squares=a.recounted_squares + b.recounted_squares,
    )


def _watched_s(plan: Plan, before: State, guardrails: dict[str, GuardrailState], at_ms: int) -> float:
    """Return for how long arming has watched since the observation before: with every guardrail seeing, then and now.

    A long time between the two is not all watched: nobody knows what the sources would have said in it.
    """
    if before.exposed_since_ms is not None or before.observed_ms is None:
        return 0.0
    if any(seen.sight is not Sight.SEEN for seen in (*before.guardrails.values(), *guardrails.values())):
        return 0.0
    return min(max(0.0, (at_ms - before.observed_ms) / 1000), WATCHED_INTERVALS * plan.interval_s)


def _missing(guardrail: Guardrail) -> Reading:
    return Reading(guardrail=guardrail.name, sight=Sight.QUERY_FAILED, detail="its source gave no reading")


def _observed(
    plan: Plan, guardrail: Guardrail, state: State, reading: Reading, *, crowd: CrowdMemory, at_ms: int
) -> GuardrailState:
    before = state.guardrails.get(guardrail.name, GuardrailState())
    sight, detail = _sight(plan, guardrail, state, reading, crowd)
    seen = sight is Sight.SEEN
    starting = at_ms - state.started_ms < STARTING_MS
    after = replace(
        before,
        cursor=reading.cursor or before.cursor,
        sight=sight,
        detail=detail,
        blind_count=0 if seen or starting else min(before.blind_count + 1, BLIND_AFTER),
        blind_since_ms=None if seen else at_ms if before.blind_since_ms is None else before.blind_since_ms,
    )
    for block in reading.late:
        if block.epoch >= state.exposed_epoch:
            after = replace(
                after,
                late_treatment=added(after.late_treatment, block.treatment),
                late_control=added(after.late_control, block.control),
            )
    if reading.sight is not Sight.SEEN:
        return after
    for block in reading.blocks:
        # What was seen before the first exposure must not count for or against what the exposed then met.
        if block.epoch >= state.exposed_epoch:
            after = _counted(plan, guardrail, state, after, block)
    if guardrail.ceiling is not None:
        ceiling = settled(guardrail.ceiling, after.ceiling, at_ms)
        if not has_lower_level(plan, state) and ceiling.retreat is Retreat.NONE and crossed(plan, guardrail, ceiling):
            # There is no lower level to probe.
            ceiling = retreating(ceiling, at_ms, retreat=Retreat.WAIT)
        if ceiling.retreat is Retreat.NONE and after.ceiling.retreat is not Retreat.NONE:
            # What failed in the outage that is over would keep the step from ever being proved.
            after = replace(after, proof=Proof(), log_e=0.0, log_a=0.0)
        after = replace(after, ceiling=ceiling)
    return after if state.exposed_since_ms is None else regraded(guardrail, after, crowd)


def _sight(plan: Plan, guardrail: Guardrail, state: State, reading: Reading, crowd: CrowdMemory) -> tuple[Sight, str]:
    """Return what may be concluded from what the source saw."""
    if reading.sight is not Sight.SEEN or guardrail.family not in REPORTS:
        return reading.sight, reading.detail
    if is_uncovered(plan, crowd):
        covered, needed = (crowd.coverage or 0.0) * 100, plan.min_coverage * 100
        return (
            Sight.UNCOVERED,
            f"services that report make {covered:.3g} % of the flag's evaluations, {needed:.3g} % are needed",
        )
    most = SATURATED_BY_ARMING if state.exposed_since_ms is None else SATURATED
    if guardrail.grade == BY_UNITS and not can_sample(guardrail) and saturated(crowd, most):
        share = 100 * crowd.active_failed / crowd.active
        return (
            Sight.SATURATED,
            f"{share:.3g} % of the users not exposed have failed already; source: reported could go on",
        )
    return reading.sight, reading.detail


def _counted(plan: Plan, guardrail: Guardrail, state: State, before: GuardrailState, block: Block) -> GuardrailState:
    share = treated_share(plan, stated_ppm(plan, state, block))
    ready, pending = _pooled(grade_of(guardrail, before), before.pending, block, share)
    after = replace(
        before,
        pending=pending,
        treatment=added(before.treatment, block.treatment),
        control=added(before.control, block.control),
    )
    for whole in ready:
        after = _compared(plan, guardrail, state, after, whole)
    # A row evaluated at an earlier exposure says nothing of how the present one is borne.
    present = block.epoch == state.epoch
    if guardrail.ceiling is not None:
        ceiling = ceiling_counted(
            guardrail,
            guardrail.ceiling,
            after.ceiling,
            block,
            present=present,
            arming=state.exposed_since_ms is None,
            span_s=_span_s(state, block),
        )
        after = replace(after, ceiling=ceiling)
    if not present:
        return after
    after = replace(
        _recent(after, block),
        step_treatment=added(before.step_treatment, block.treatment),
        step_control=added(before.step_control, block.control),
    )
    if state.exposed_since_ms is None or after.sight is not Sight.SEEN:
        return after
    proof = absolute_step(
        after.proof,
        bad=block.treatment.bad,
        requests=block.treatment.ended,
        acceptable=acceptable_rate(plan, guardrail, after),
        phi=guardrail.phi,
    )
    return replace(after, proof=proof, log_a=log_mean_exp(proof.log_a))


def _compared(plan: Plan, guardrail: Guardrail, state: State, before: GuardrailState, block: Block) -> GuardrailState:
    """Return the state with the arms of a block compared: the kill process, and the relative proof of its step."""
    grade = grade_of(guardrail, before)
    phi = phi_of(guardrail, grade)
    seen = counts(grade, block, treated_share(plan, stated_ppm(plan, state, block)))
    t1_s, t2_s = _span_s(state, block)
    kill = kill_step(
        before.kill,
        treatment_events=seen.treatment_events,
        control_events=seen.control_events,
        treatment_n=seen.treatment_n,
        control_n=seen.control_n,
        phi=phi,
        rho0=plan.rho0,
        t1_s=t1_s,
        t2_s=t2_s,
    )
    value = log_m(kill)
    holding = still_holds(value, held=before.holding)
    after = replace(before, kill=kill, log_m=value, holding=holding, stepped_back=before.stepped_back and holding)
    if block.epoch != state.epoch or state.exposed_since_ms is None or after.sight is not Sight.SEEN:
        return after
    proof = relative_step(
        before.proof,
        treatment_events=seen.treatment_events,
        control_events=seen.control_events,
        treatment_n=seen.treatment_n,
        control_n=seen.control_n,
        phi=phi,
    )
    return replace(after, proof=proof, log_e=log_mean_exp(proof.log_e))


def _span_s(state: State, block: Block) -> tuple[float, float]:
    since_ms = state.started_ms if state.exposed_since_ms is None else state.exposed_since_ms
    t1_s = max(0.0, (block.from_ms - since_ms) / 1000)
    return t1_s, max(t1_s, (block.until_ms - since_ms) / 1000)


def _pooled(grade: int, pending: Block | None, block: Block, share: float) -> tuple[list[Block], Block | None]:
    """Return the blocks to compare now, and what is left to wait for more.

    Where arms are compared by their own sizes, a block with users of one arm alone says nothing, whatever failed in
    it: a second's worth of little traffic would never be evidence. So blocks of one exposure are put together until
    they hold about two treated units, at most for a minute. When that is depends on sizes and time alone, never on
    what failed.
    """
    if grade == BY_UNITS or not 0 < share < 1:
        return [block], None
    ready = []
    if pending is not None:
        if (pending.epoch, pending.exposure_ppm) == (block.epoch, block.exposure_ppm):
            block = _together(pending, block)
        else:
            ready.append(pending)
    treated, others = size(grade, block.treatment), size(grade, block.control)
    whole = treated + others >= _FEWEST_TREATED / min(share, 1 - share)
    if treated and others and (whole or block.until_ms - block.from_ms >= _POOL_MS):
        return [*ready, block], None
    return ready, block


def _together(pending: Block, block: Block) -> Block:
    return replace(
        pending,
        from_ms=min(pending.from_ms, block.from_ms),
        until_ms=max(pending.until_ms, block.until_ms),
        treatment=added(pending.treatment, block.treatment),
        control=added(pending.control, block.control),
    )


def _recent(state: GuardrailState, block: Block) -> GuardrailState:
    if state.log_m <= _NO_SUSPICION:
        return replace(
            state,
            recent_since_ms=None,
            recent_treatment=_NOTHING,
            recent_control=_NOTHING,
            earlier_treatment=_NOTHING,
            earlier_control=_NOTHING,
        )
    since_ms = state.recent_since_ms
    if since_ms is None:
        since_ms = block.from_ms
    elif block.until_ms - since_ms > RECENT_HALF_MS:
        state = replace(
            state,
            earlier_treatment=state.recent_treatment,
            earlier_control=state.recent_control,
            recent_treatment=_NOTHING,
            recent_control=_NOTHING,
        )
        since_ms = block.from_ms
    return replace(
        state,
        recent_since_ms=since_ms,
        recent_treatment=added(state.recent_treatment, block.treatment),
        recent_control=added(state.recent_control, block.control),
    )
