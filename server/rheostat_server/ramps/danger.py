"""What speaks against going on: when one guardrail would take the variant back."""

import enum

from rheostat_server.ramps.model import Guardrail, GuardrailState, Plan, Sight, State
from rheostat_server.ramps.observe import BY_UNITS, added, events
from rheostat_server.ramps.stats import FEWEST_EVENTS_PER_PHI, FEWEST_FAILING_UNITS, log_kill_bar
from rheostat_server.ramps.words import count, exposure, odds, rate

DEFAULT_MIN_DIFFERENCE = 0.001


class Danger(enum.Enum):
    """How far the evidence of one guardrail goes."""

    NONE = enum.auto()
    UNCLEAR = enum.auto()
    """The process is over the line, but the rates do not differ enough: step back one level, do not kill."""
    KILL = enum.auto()


def danger(plan: Plan, guardrail: Guardrail, state: GuardrailState) -> Danger:
    """Return what this guardrail says. One that may not kill, or sees nothing now, says nothing."""
    if not guardrail.may_kill or state.sight is not Sight.SEEN:
        return Danger.NONE
    if state.log_m < log_kill_bar(plan.alpha, plan.budget_parts):
        return Danger.NONE
    if state.kill.treatment_events < fewest_events(guardrail):
        return Danger.NONE
    return Danger.KILL if differs(guardrail, state) else Danger.UNCLEAR


def fewest_events(guardrail: Guardrail) -> float:
    """Return below how many failing treatment units (grade 1) or bad requests nobody is killed."""
    return FEWEST_FAILING_UNITS if guardrail.grade == BY_UNITS else FEWEST_EVENTS_PER_PHI * guardrail.phi


def differs(guardrail: Guardrail, state: GuardrailState) -> bool:
    """Whether the arms' rates differ enough to call it harm, judged since the suspicion began.

    Grade 1: the treatment's sampled requests are worse, where there are samples that could tell; else more usage
    would look like harm. A sample without a bad request, in which the control's rate promised none either, cannot.
    """
    treatment = added(state.earlier_treatment, state.recent_treatment)
    control = added(state.earlier_control, state.recent_control)
    if guardrail.grade == BY_UNITS:
        if not treatment.units or not control.units:
            return True
        expected = treatment.units * control.units_bad / control.units
        return treatment.units_bad > expected or (treatment.units_bad == 0 and expected < 1)
    if not treatment.ended or not control.ended:
        return False
    usual = control.bad / control.ended
    least = min(DEFAULT_MIN_DIFFERENCE, usual) if guardrail.min_difference is None else guardrail.min_difference
    return treatment.bad / treatment.ended - usual >= least


def figures(plan: Plan, guardrail: Guardrail, state: State) -> str:
    """Return what was counted in both arms, and M against its line, in words."""
    seen = state.guardrails[guardrail.name]
    bar = log_kill_bar(plan.alpha, plan.budget_parts)
    if guardrail.grade == BY_UNITS:
        counted = (
            f"{count(events(guardrail, seen.treatment))} treated and {count(events(guardrail, seen.control))} other "
            "users newly failed"
        )
    else:
        counted = (
            f"{rate(seen.treatment.bad, seen.treatment.ended)} treated requests are bad, "
            f"{rate(seen.control.bad, seen.control.ended)} others"
        )
    drawn = plan.steps[0].exposure_ppm if state.exposed_since_ms is None else state.exposure_ppm
    return f"{guardrail.name}: {counted}, treated share {exposure(drawn)}; M {odds(seen.log_m)}, kill line {odds(bar)}"
