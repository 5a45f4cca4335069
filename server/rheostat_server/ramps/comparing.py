"""A comparison with a baseline: when it is over, and what was seen. It decides nothing; a kill is no decision of it."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rheostat_server.ramps.danger import kill_bar
from rheostat_server.ramps.ladder import START, step_at
from rheostat_server.ramps.model import GuardrailState, Plan, State, Status
from rheostat_server.ramps.verdicts import Advance, Decision, Hold, Promote
from rheostat_server.ramps.words import count, duration, exposure, odds, rate


def compared(plan: Plan, state: State, now_ms: int) -> Decision:
    """Return what a comparison that nothing hinders does: it goes on, or at its end waits for a person."""
    at = exposure(state.exposure_ppm)
    if state.step == START:
        left_s = step_at(plan, START).min_dwell_s - (now_ms - state.entered_ms) / 1000
        if left_s > 0:
            return Hold(Status.RUNNING, f"{at}: at least {duration(left_s)} more")
        return Advance(0, f"{at}: nothing holds any more; comparing again at {exposure(plan.steps[0].exposure_ppm)}")
    over = _over(plan, state, now_ms)
    if over is None:
        return Hold(Status.RUNNING, f"{at}: comparing, {'; '.join(_left(plan, state, now_ms))}")
    seen = "; ".join([over, *seen_words(plan, state)])
    if state.approved_step != state.step:
        return Hold(Status.AWAITING_APPROVAL, f"{seen}; approve to keep it as it is, or abort")
    return Promote(f"{seen}; a person let it stay")


def seen_words(plan: Plan, state: State) -> Iterator[str]:
    """Yield what each guardrail saw of both sides since the first exposure."""
    for guardrail in plan.guardrails:
        seen = state.guardrails.get(guardrail.name, GuardrailState())
        treatment, control = (rate(arm.bad, arm.ended) for arm in (seen.treatment, seen.control))
        found = "no harm found" if not seen.holding else "it may do harm"
        line = odds(kill_bar(plan, guardrail))
        yield (
            f"{guardrail.name}: {treatment} requests of the others are bad, {control} of {plan.baseline}; "
            f"{found} (M {odds(seen.log_m)}, kill line {line})"
        )


def until_words(moment_ms: int) -> str:
    """Return the moment as people read it, in UTC."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def smaller_side(state: State) -> int:
    """Return how many distinct users the side has had that has had fewer."""
    return min(state.exposed_units, state.control_units)


def _over(plan: Plan, state: State, now_ms: int) -> str | None:
    if plan.sample is not None and smaller_side(state) >= plan.sample:
        return f"both sides have had {count(plan.sample)} users"
    if plan.until_ms is not None and now_ms >= plan.until_ms:
        return f"it is past {until_words(plan.until_ms)}"
    return None


def _left(plan: Plan, state: State, now_ms: int) -> Iterator[str]:
    if plan.sample is not None:
        yield f"{count(smaller_side(state))} of {count(plan.sample)} users seen on the smaller side"
    if plan.until_ms is not None:
        yield f"until {until_words(plan.until_ms)}, {duration((plan.until_ms - now_ms) / 1000)} left"
