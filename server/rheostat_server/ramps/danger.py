"""What speaks against going on: when one guardrail would take the variant back."""

import enum
import math

from rheostat_server.ramps.evidence import ArmTotals
from rheostat_server.ramps.grades import BY_SAMPLES, BY_UNITS, SEEING, events, fewest_events, grade_of, size
from rheostat_server.ramps.ladder import drawn_ppm, treated_share
from rheostat_server.ramps.model import Guardrail, GuardrailState, Measure, Plan, State
from rheostat_server.ramps.observe import added
from rheostat_server.ramps.stats import RELATIVE_SHARE, log_kill_bar
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
    if not guardrail.may_kill or state.sight not in SEEING:
        return Danger.NONE
    if state.log_m < kill_bar(plan, guardrail):
        return Danger.NONE
    if state.kill.treatment_events < fewest_events(guardrail, grade_of(guardrail, state)):
        return Danger.NONE
    return Danger.KILL if differs(guardrail, state) else Danger.UNCLEAR


def kill_bar(plan: Plan, guardrail: Guardrail) -> float:
    """Return the line of log M: log(K / α), or of the part of α that a ceiling leaves."""
    line = log_kill_bar(plan.alpha, plan.budget_parts)
    return line if guardrail.ceiling is None else line - math.log(RELATIVE_SHARE)


def differs(guardrail: Guardrail, state: GuardrailState) -> bool:
    """Whether the arms' rates differ enough to call it harm, judged since the suspicion began.

    Grade 1: the treatment's sampled requests are worse, where there are samples that could tell; else more usage
    would look like harm. A sample without a bad request, in which the control's rate promised none either, cannot.
    """
    treatment = added(state.earlier_treatment, state.recent_treatment)
    control = added(state.earlier_control, state.recent_control)
    grade = grade_of(guardrail, state)
    if grade == BY_UNITS:
        if not treatment.units or not control.units:
            return True
        expected = treatment.units * control.units_bad / control.units
        return treatment.units_bad > expected or (treatment.units_bad == 0 and expected < 1)
    treated, others = size(grade, treatment), size(grade, control)
    if not treated or not others:
        return False
    usual = events(grade, control) / others
    least = min(DEFAULT_MIN_DIFFERENCE, usual) if guardrail.min_difference is None else guardrail.min_difference
    return events(grade, treatment) / treated - usual >= least


def figures(plan: Plan, guardrail: Guardrail, state: State) -> str:
    """Return what was counted in both arms, and M against its line, in words."""
    seen = state.guardrails[guardrail.name]
    drawn = exposure(drawn_ppm(plan, state))
    if plan.baseline is not None:
        drawn = f"{100 * treated_share(plan, drawn_ppm(plan, state)):.3g} %, of those who do not get {plan.baseline},"
    counted = _counted(guardrail, grade_of(guardrail, seen), seen.treatment, seen.control)
    m, bar = odds(seen.log_m), odds(kill_bar(plan, guardrail))
    return f"{guardrail.name}: {counted}, treated share {drawn}; M {m}, kill line {bar}"


def _counted(guardrail: Guardrail, grade: int, treatment: ArmTotals, control: ArmTotals) -> str:
    if grade == BY_UNITS:
        return f"{count(events(grade, treatment))} treated and {count(events(grade, control))} other users newly failed"
    bad = f"slower than {guardrail.bound_ms} ms" if guardrail.measure is Measure.LATENCY else "bad"
    what = "sampled requests" if grade == BY_SAMPLES else "requests"
    return (
        f"{rate(events(grade, treatment), size(grade, treatment))} treated {what} are {bad}, "
        f"{rate(events(grade, control), size(grade, control))} others"
    )
