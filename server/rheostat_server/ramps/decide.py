"""What a ramp does next. Safety is judged before progress."""

from collections.abc import Iterator

from rheostat_server.ramps.ceiling import ceiling_words, crossed, kills_alone, retreat_words
from rheostat_server.ramps.comparing import compared
from rheostat_server.ramps.crash import crash_words
from rheostat_server.ramps.crowd import (
    armed_enough,
    crowd_doubts,
    is_short,
    is_whole,
    mismatched,
    missing_kills,
    missing_words,
    srm_words,
    unwhole_words,
)
from rheostat_server.ramps.danger import Danger, danger, figures
from rheostat_server.ramps.evidence import Sight
from rheostat_server.ramps.few import FEW_USERS, is_few, is_manual, users_seen
from rheostat_server.ramps.grades import BY_SAMPLES, BY_UNITS, first_grade
from rheostat_server.ramps.ladder import has_lower_level, has_next_stage, is_last, min_units, step_at, treated_share
from rheostat_server.ramps.memory import Retreat
from rheostat_server.ramps.model import LIVE, Gate, Guardrail, GuardrailState, Plan, State, Status
from rheostat_server.ramps.observe import BLIND_AFTER
from rheostat_server.ramps.rolling import cohort_doubts, in_stage, stage_words
from rheostat_server.ramps.silence import LONGEST_PREFLIGHT, REQUESTS_TO_ARM
from rheostat_server.ramps.stats import LOG_PROOF_BAR, PROOF_BAR
from rheostat_server.ramps.threshold import decide_threshold
from rheostat_server.ramps.verdicts import (
    Advance,
    Begin,
    Decision,
    Hold,
    KillRamp,
    NextStage,
    Promote,
    Refuse,
    Soak,
    StepBack,
)
from rheostat_server.ramps.waiting import by_calendar
from rheostat_server.ramps.words import count, duration, exposure, odds, rate

_HALF_PPM = 500_000
# A float hair below 1 is still 1: nothing was seen against the change, and nothing for it.
_BELOW_ONE = -1e-9


def decide(plan: Plan, state: State, now_ms: int) -> Decision:
    """Return what to do at ``now_ms``. A ramp that is over is left where it is.

    It never goes up by more than one step, and never up, nor to a kill, on the word of a guardrail that sees nothing.
    No pause, gate, window, freeze or missing approval stops a kill.
    """
    if state.status not in LIVE:
        return Hold(state.status, state.why)
    decision = (
        _safety(plan, state, now_ms) or _progress(plan, state, now_ms)
        if plan.threshold is None
        else decide_threshold(plan, state, now_ms)
    )
    return by_calendar(plan, state, decision, now_ms)


def under_way(state: State) -> Status:
    """Return the status of a live ramp that nothing stops: arming, running or soaking."""
    if state.exposed_since_ms is None:
        return Status.ARMING
    return Status.RUNNING if state.soaking_since_ms is None else Status.SOAKING


def proved(state: GuardrailState) -> bool:
    """Whether one of the two proofs of the present step has reached its bar."""
    return max(state.log_e, state.log_a) >= LOG_PROOF_BAR


def _safety(plan: Plan, state: State, now_ms: int) -> Decision | None:
    verdict = _kill(plan, state)
    if isinstance(verdict, KillRamp):
        return KillRamp(verdict.guardrail, in_stage(plan, state, verdict.why))
    return verdict or _step_back(plan, state, now_ms)


def _kill(plan: Plan, state: State) -> KillRamp | Refuse | None:
    """Return what takes the variant back, or keeps it from being exposed. Nothing goes before it."""
    for guardrail, seen in _eyes(plan, state):
        if danger(plan, guardrail, seen) is Danger.KILL:
            why = figures(plan, guardrail, state)
            if state.exposed_since_ms is None and state.stage:
                continue  # it holds, and a person goes on or aborts: others are served the change already
            if state.exposed_since_ms is None:
                return Refuse(f"the cohort differs before it sees anything ({why}); try again with a fresh salt")
            return KillRamp(guardrail.name, why)
    if state.exposed_since_ms is None:
        return None
    killer = next((guardrail for guardrail in plan.guardrails if guardrail.may_kill), None)
    units = next((one for one in plan.guardrails if one.grade == BY_UNITS and one.may_kill), None)
    if state.crowd.crashed and units is not None:
        return KillRamp(units.name, f"{units.name}: crash: {crash_words(state.crowd.stretches)}")
    if missing_kills(plan, state) and killer is not None:
        return KillRamp(killer.name, missing_words(state))
    if treated_share(plan, state.exposure_ppm) >= 1:
        for guardrail, seen in _eyes(plan, state):
            if kills_alone(plan, guardrail, seen):
                why = ceiling_words(plan, guardrail, seen.treatment, seen.ceiling)
                return KillRamp(guardrail.name, f"{why}; there is no control to compare with")
    return None


def _step_back(plan: Plan, state: State, now_ms: int) -> StepBack | None:
    if not has_lower_level(plan, state):
        return None
    back = state.step - 1
    for guardrail, seen in _eyes(plan, state):
        if danger(plan, guardrail, seen) is Danger.UNCLEAR and not seen.stepped_back:
            why = figures(plan, guardrail, state)
            return StepBack(back, f"{why}; the rates differ too little to call it harm")
    if mismatched(state.crowd) and is_short(plan, state) and not state.crowd.srm_stepped_back:
        return StepBack(back, srm_words(plan, state))
    if treated_share(plan, state.exposure_ppm) < 1:
        for guardrail, seen in _eyes(plan, state):
            if crossed(plan, guardrail, seen.ceiling) and seen.ceiling.retreat is Retreat.NONE:
                why = ceiling_words(plan, guardrail, seen.treatment, seen.ceiling)
                return StepBack(back, f"{why}; one level back for two minutes, to see whether both arms recover")
    if plan.on_blind == "retreat":
        for guardrail, seen in _eyes(plan, state):
            since_ms = seen.blind_since_ms
            # One step for one blindness: after the step back, the step is younger than the blindness.
            if since_ms is None or seen.blind_count < BLIND_AFTER or state.entered_ms > since_ms:
                continue
            if now_ms - since_ms >= plan.blind_limit_s * 1000:
                blind_for = duration((now_ms - since_ms) / 1000)
                return StepBack(back, f"{_blindness(guardrail, seen)} for {blind_for}")
    return None


def _progress(plan: Plan, state: State, now_ms: int) -> Decision:
    if state.status is Status.PAUSED:
        return Hold(Status.PAUSED, state.why)
    hindrance = _hindrance(plan, state, now_ms)
    if hindrance is not None:
        return hindrance
    if state.exposed_since_ms is None:
        left_s = plan.preflight_s - state.armed_s
        if left_s > 0:
            return Hold(Status.ARMING, f"pre-flight: {duration(left_s)} left")
        if not armed_enough(plan, state):
            armed, left_s = state.crowd.step_requests[0], LONGEST_PREFLIGHT * plan.preflight_s - state.armed_s
            return Hold(
                Status.ARMING,
                f"pre-flight: {count(armed)} of {count(REQUESTS_TO_ARM)} requests seen of those who will be exposed; "
                f"at most {duration(left_s)} more",
            )
        clean = f"the pre-flight is clean{_found(plan, state)}"
        return Begin(in_stage(plan, state, "; ".join([clean, f"exposing {_first(plan)}"])))
    if plan.baseline is not None:
        return compared(plan, state, now_ms)
    if state.soaking_since_ms is not None:
        left_s = plan.soak_s - (now_ms - state.soaking_since_ms) / 1000
        if left_s > 0:
            return Hold(Status.SOAKING, f"soak: {duration(left_s)} left")
        return Promote(f"{exposure(state.exposure_ppm)} stood the soak of {duration(plan.soak_s)}")
    return _step(plan, state, now_ms)


def _hindrance(plan: Plan, state: State, now_ms: int) -> Hold | None:
    """Return what forbids any progress: blindness, or suspicion."""
    if not plan.guardrails:
        return None
    blind = [_blindness(guardrail, seen) for guardrail, seen in _eyes(plan, state) if seen.blind_count >= BLIND_AFTER]
    if blind:
        return Hold(Status.BLIND, "; ".join(blind))
    if state.observed_ms is None:
        return Hold(under_way(state), "waiting for the first observation")
    if now_ms - state.observed_ms > BLIND_AFTER * plan.interval_s * 1000:
        return Hold(Status.BLIND, f"not observed for {duration((now_ms - state.observed_ms) / 1000)}")
    unseen = [_blindness(guardrail, seen) for guardrail, seen in _eyes(plan, state) if seen.sight is not Sight.SEEN]
    if unseen:
        return Hold(under_way(state), "waiting for evidence: " + "; ".join(unseen))
    # Both are told: that a service is above its ceiling does not say whose fault it is, and M does.
    suspicions = [*_above_ceilings(plan, state, now_ms), *cohort_doubts(plan, state)]
    if state.exposed_since_ms is not None:
        holding = [figures(plan, guardrail, state) for guardrail, seen in _eyes(plan, state) if seen.holding]
        if holding:
            suspicions += [*holding, "nobody new is exposed until M is below 3"]
    if suspicions:
        return Hold(Status.HELD, "; ".join(suspicions))
    if state.exposed_since_ms is not None:
        doubts = list(crowd_doubts(plan, state, now_ms))
        if doubts:
            return Hold(Status.HELD, "; ".join(doubts))
    return None


def _above_ceilings(plan: Plan, state: State, now_ms: int) -> Iterator[str]:
    for guardrail, seen in _eyes(plan, state):
        if seen.ceiling.retreat is not Retreat.NONE:
            yield retreat_words(guardrail, seen.ceiling, now_ms)
        elif crossed(plan, guardrail, seen.ceiling):
            yield ceiling_words(plan, guardrail, seen.treatment, seen.ceiling)


def _first(plan: Plan) -> str:
    return exposure(plan.steps[0].exposure_ppm)


def _found(plan: Plan, state: State) -> str:
    """Return what arming has found that the ramp will go by, in words."""
    found = ""
    for guardrail in plan.guardrails:
        if first_grade(guardrail, state.crowd) == BY_SAMPLES:
            failed = rate(state.crowd.active_failed, state.crowd.active)
            found += f"; {failed} other users failed already, so {guardrail.name} counts sampled requests, not users"
    users = users_seen(plan, state)
    if plan.users is None and users is not None and users < FEW_USERS:
        found += f"; low evidence: {count(users)} users seen"
    return found


def _step(plan: Plan, state: State, now_ms: int) -> Decision:
    step = step_at(plan, state.step)
    at = exposure(state.exposure_ppm)
    dwelt_s = (now_ms - state.entered_ms) / 1000
    if dwelt_s < step.min_dwell_s:
        return Hold(Status.RUNNING, f"{at}: at least {duration(step.min_dwell_s - dwelt_s)} more")
    approved = state.approved_step == state.step
    if not plan.guarded:
        why = f"{at} for {duration(dwelt_s)}, unguarded"
    elif is_manual(plan, state):
        if not approved:
            return Hold(Status.AWAITING_APPROVAL, f"{at}: with so few users a person moves each step")
        why = f"{at}: a person let it through"
    elif treated_share(plan, state.exposure_ppm) == 0:
        # With nobody exposed there is no proof to be had, no more than at the first exposure. What stepped back for
        # suspicion does not come here: M stands still and holds until a person goes on.
        why = f"{at}: the metrics are back, and nothing holds"
    elif state.exposed_units < (wanted := min_units(plan, state.exposure_ppm, state.users)):
        return Hold(Status.RUNNING, f"{at}: {state.exposed_units} of {wanted} exposed users seen")
    elif not is_whole(plan, state):
        return Hold(Status.RUNNING, f"{at}: {unwhole_words(state)}")
    else:
        verdict = _verdict(plan, state, dwelt_s, approved=approved)
        if isinstance(verdict, Hold):
            return verdict
        why = f"{at}: {verdict}"
    if step.gate is Gate.MANUAL and not approved:
        return Hold(Status.AWAITING_APPROVAL, f"{why}; this step is left by a person's approval")
    if is_last(plan, state) and has_next_stage(plan, state):
        done, then = (stage_words(plan, state.stage + further) for further in (0, 1))
        return NextStage(state.stage + 1, f"{why}; done with {done}, going on with {then}")
    if is_last(plan, state):
        return Soak(f"{why}; soaking for {duration(plan.soak_s)}")
    return Advance(state.step + 1, f"{why}; going to {exposure(plan.steps[state.step + 1].exposure_ppm)}")


def _verdict(plan: Plan, state: State, dwelt_s: float, *, approved: bool) -> Hold | str:
    """Return why the step may be left, or a hold."""
    at = exposure(state.exposure_ppm)
    step = step_at(plan, state.step)
    eyes = list(_eyes(plan, state))
    # An advisory guardrail can hold a ramp; that it cannot prove anything in time must not.
    judges = [(guardrail, seen) for guardrail, seen in eyes if guardrail.may_kill] or eyes
    proofs = "; ".join(_proof(guardrail, seen) for guardrail, seen in judges)
    if all(proved(seen) for _, seen in judges):
        return f"proved ({proofs})"
    if step.max_dwell_s is None or dwelt_s < step.max_dwell_s:
        return Hold(Status.RUNNING, f"{at}: not proved yet ({proofs})")
    spent = f"inconclusive after {duration(dwelt_s)} ({proofs})"
    if plan.on_inconclusive != "advance" or any(seen.log_m >= _BELOW_ONE for _, seen in eyes):
        return Hold(Status.HELD, f"{at}: {spent}")
    if is_few(plan, state) and state.exposure_ppm >= _HALF_PPM and not approved:
        return Hold(Status.AWAITING_APPROVAL, f"{at}: {spent}, on little evidence: a person has to let it through")
    return f"{spent}, and nothing speaks against it (M below 1)"


def _proof(guardrail: Guardrail, seen: GuardrailState) -> str:
    return f"{guardrail.name}: relative {odds(seen.log_e)}, absolute {odds(seen.log_a)}, needed {count(PROOF_BAR)}"


def _blindness(guardrail: Guardrail, seen: GuardrailState) -> str:
    detail = f" ({seen.detail})" if seen.detail else ""
    return f"{guardrail.name}: {seen.sight.value}{detail}"


def _eyes(plan: Plan, state: State) -> Iterator[tuple[Guardrail, GuardrailState]]:
    for guardrail in plan.guardrails:
        yield guardrail, state.guardrails.get(guardrail.name, GuardrailState())
