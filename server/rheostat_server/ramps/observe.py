"""What one observation changes in where a ramp stands."""

from msgspec.structs import replace

from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.model import (
    LIVE,
    ArmTotals,
    Block,
    Evidence,
    Guardrail,
    GuardrailState,
    Plan,
    Reading,
    Sight,
    State,
)
from rheostat_server.ramps.stats import (
    LOG_HOLD_AT,
    LOG_RELEASE_BELOW,
    absolute_step,
    kill_step,
    log_m,
    log_mean_exp,
    relative_step,
)

BLIND_AFTER = 3
"""Observations without evidence after which a ramp is blind; nobody counts further."""
WATCHED_INTERVALS = 3
"""The most that the time between two observations counts as watched, in intervals of the plan."""
DEFAULT_ACCEPTABLE = 0.005
"""p_ok where the plan names neither one nor a ceiling; the most that ``auto`` gives."""
STRICTEST_ACCEPTABLE = 0.0005
"""The least that ``auto`` gives."""
RECENT_HALF_MS = 1_800_000
"""The difference clause looks back over this and up to as much again."""
BY_UNITS = 1
"""The grade whose events are newly failing units; those of a higher one are bad requests."""

# M is 1 exactly when nothing failed; the float beside it may be a hair above.
_NO_SUSPICION = 1e-9
_NOTHING = ArmTotals()


def observe(plan: Plan, state: State, evidence: Evidence) -> State:
    """Return the state after an observation: processes, proofs, totals and sight moved; status and step as they were.

    A sight other than SEEN moves no process; nor does a reading that is missing. A ramp that is over is returned
    as it was.
    """
    if state.status not in LIVE:
        return state
    readings = {reading.guardrail: reading for reading in evidence.readings}
    guardrails = {
        guardrail.name: _observed(
            plan, guardrail, state, readings.get(guardrail.name, _missing(guardrail)), evidence.at_ms
        )
        for guardrail in plan.guardrails
    }
    return replace(
        state,
        observed_ms=evidence.at_ms,
        observations=state.observations + 1,
        exposed_units=evidence.exposed_units,
        crowd_cursor=evidence.crowd_cursor or state.crowd_cursor,
        armed_s=state.armed_s + _watched_s(plan, state, guardrails, evidence.at_ms),
        guardrails=guardrails,
    )


def acceptable_rate(plan: Plan, seen: GuardrailState) -> float:
    """Return p_ok of the absolute proof: what arming found, else the plan's, else the strictest that ``auto`` gives."""
    return seen.acceptable or plan.acceptable or STRICTEST_ACCEPTABLE


def acceptable_after(plan: Plan, arming: GuardrailState) -> float | None:
    """Return what ``acceptable: auto`` comes to after arming: twice the control's rate, within 0.05 … 0.5 %."""
    if plan.acceptable is not None or not arming.control.ended:
        return None
    return min(max(2 * arming.control.bad / arming.control.ended, STRICTEST_ACCEPTABLE), DEFAULT_ACCEPTABLE)


def added(a: ArmTotals, b: ArmTotals) -> ArmTotals:
    """Return both together."""
    return ArmTotals(**{name: getattr(a, name) + getattr(b, name) for name in ArmTotals.__struct_fields__})


def events(guardrail: Guardrail, totals: ArmTotals) -> int:
    """Return what this guardrail counts: newly failing units (grade 1) or bad requests."""
    return totals.failing if guardrail.grade == BY_UNITS else totals.bad


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


def _observed(plan: Plan, guardrail: Guardrail, state: State, reading: Reading, at_ms: int) -> GuardrailState:
    before = state.guardrails.get(guardrail.name, GuardrailState())
    seen = reading.sight is Sight.SEEN
    after = replace(
        before,
        cursor=reading.cursor or before.cursor,
        sight=reading.sight,
        detail=reading.detail,
        blind_count=0 if seen else min(before.blind_count + 1, BLIND_AFTER),
        blind_since_ms=None if seen else at_ms if before.blind_since_ms is None else before.blind_since_ms,
    )
    for block in reading.late:
        if block.epoch >= state.exposed_epoch:
            after = replace(
                after,
                late_treatment=added(after.late_treatment, block.treatment),
                late_control=added(after.late_control, block.control),
            )
    if seen:
        for block in reading.blocks:
            # What was seen before the first exposure must not count for or against what the exposed then met.
            if block.epoch >= state.exposed_epoch:
                after = _counted(plan, guardrail, state, after, block)
    return after


def _counted(plan: Plan, guardrail: Guardrail, state: State, before: GuardrailState, block: Block) -> GuardrailState:
    share = treated_share(plan, block.exposure_ppm)
    treatment, control = block.treatment, block.control
    treatment_events, control_events = events(guardrail, treatment), events(guardrail, control)
    if guardrail.grade == BY_UNITS or not 0 < share < 1:
        treatment_n, control_n = share, 1 - share
    else:
        treatment_n, control_n = float(treatment.ended), float(control.ended)

    since_ms = state.started_ms if state.exposed_since_ms is None else state.exposed_since_ms
    t1_s = max(0.0, (block.from_ms - since_ms) / 1000)
    kill = kill_step(
        before.kill,
        treatment_events=treatment_events,
        control_events=control_events,
        treatment_n=treatment_n,
        control_n=control_n,
        phi=guardrail.phi,
        rho0=plan.rho0,
        t1_s=t1_s,
        t2_s=max(t1_s, (block.until_ms - since_ms) / 1000),
    )
    value = log_m(kill)
    holding = value >= LOG_HOLD_AT or (before.holding and value >= LOG_RELEASE_BELOW)
    after = replace(
        before,
        kill=kill,
        log_m=value,
        holding=holding,
        stepped_back=before.stepped_back and holding,
        treatment=added(before.treatment, treatment),
        control=added(before.control, control),
    )
    # A row evaluated at an earlier exposure says nothing of how the present one is borne.
    if block.epoch != state.epoch:
        return after
    after = _recent(after, block)
    proof = before.proof
    if state.exposed_since_ms is not None:
        proof = relative_step(
            proof,
            treatment_events=treatment_events,
            control_events=control_events,
            treatment_n=treatment_n,
            control_n=control_n,
            phi=guardrail.phi,
        )
        proof = absolute_step(
            proof,
            bad=treatment.bad,
            requests=treatment.ended,
            acceptable=acceptable_rate(plan, before),
            phi=guardrail.phi,
        )
    return replace(
        after,
        proof=proof,
        log_e=log_mean_exp(proof.log_e),
        log_a=log_mean_exp(proof.log_a),
        step_treatment=added(before.step_treatment, treatment),
        step_control=added(before.step_control, control),
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
