"""From the document that people write to the plan of a ramp, with every default filled in."""

from collections.abc import Iterator, Mapping

import msgspec

from rheostat.model.document import GuardrailDocument, RampDocument, StepDocument
from rheostat.model.duration import duration_ms
from rheostat.model.flag import Flag, Rollout
from rheostat.model.kill import KillScope
from rheostat.model.shares import TOTAL_PPM, percent_to_ppm
from rheostat_server.errors import Fault, Invalid
from rheostat_server.ramps.few import BY_HAND_BELOW, FEW_USERS, HARM, USUAL, can_tell_harm
from rheostat_server.ramps.grades import BY_REQUESTS, BY_SAMPLES, BY_UNITS
from rheostat_server.ramps.guardrails import DURATION, SUCCESS_RATE
from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.model import Family, Gate, Guardrail, Measure, Plan, Step
from rheostat_server.ramps.observe import DEFAULT_ACCEPTABLE
from rheostat_server.ramps.stats import ASSUMED_PHI, RELATIVE_SHARE, failing_users_to_kill
from rheostat_server.ramps.words import count, exposure

ERRORS = "errors"
"""The guardrail that every guarded ramp has."""
APPLICATION_ERRORS = "application-errors"
"""The guardrail on the application's own request counters."""
SLOW_CEILING = 0.01
"""Of requests: so many may take longer than a ``request-duration`` allows."""
PHI_WITHOUT_HISTORY = ASSUMED_PHI
"""Overdispersion of requests where there is no history to measure it from (grade 3)."""

_LADDER = (10_000, 50_000, 100_000, 250_000, 500_000, TOTAL_PPM)
_FAMILIES = {"reported": Family.REPORTED, "prometheus": Family.REPORTED_METRICS}
_MIN_DWELL_S = 60.0
_MIN_UNITS = 20
_MOST_ALPHA = 0.05
_HALF = 0.5
# A tenth of a percent: fine enough to name the first usable step.
_SEARCH_PPM = 1_000


def plan_of(
    document: RampDocument,
    *,
    project: str,
    rollout: Rollout,
    start_ppm: int,
    family: Family,
    interval_s: float = 15.0,
    scrape_s: float | None = None,
    users: int | None = None,
    watched: Mapping[int, Guardrail] | None = None,
) -> Plan:
    """Return the plan of a ramp that starts now.

    ``rollout`` is the one it turns, as served; ``start_ppm`` the exposure in force on it; ``family`` the best
    source of grade 1 that the server has, with something new each ``interval_s``. Prometheus has each ``scrape_s``
    (``None``: there is none), and a ramp that reads it is observed so often.
    ``users`` is U of a former ramp, if there was one lately; the document's own figure is used without it. ``watched``
    are the guardrails on queries as they were looked up, by their place in the document.

    Raises:
        Invalid: the plan cannot work; all faults are listed.
    """
    users = document.users if users is None else users
    holdback_ppm = percent_to_ppm(document.holdback)
    preflight_s = 0.0 if document.unguarded else _seconds(document.preflight, 600.0)
    guardrails, faults = _guardrails(document, family, watched or {}, metrics=scrape_s is not None)
    killers = sum(guardrail.may_kill for guardrail in guardrails)
    missing_kill = killers > 0 and document.missing_users == "kill"
    few = users is not None and users < FEW_USERS
    plan = Plan(
        project=project,
        environment=document.environment,
        flag=document.flag,
        rollout=document.rollout,
        start_ppm=start_ppm,
        steps=_steps(document, start_ppm, users),
        guardrails=guardrails,
        holdback_ppm=holdback_ppm,
        keep_holdback=document.keep_holdback,
        soak_s=_seconds(document.soak, 3600.0),
        preflight_s=preflight_s,
        interval_s=_seconds(document.interval, scrape_s if scrape_s and _reads_metrics(guardrails) else interval_s),
        alpha=document.alpha,
        budget_parts=max(1, killers + missing_kill),
        missing_kill=missing_kill,
        min_coverage=0.8 if document.min_coverage is None else document.min_coverage / 100,
        acceptable=_acceptable(document),
        min_units=_MIN_UNITS if document.min_units is None else document.min_units,
        kill_scope=document.kill.value,
        on_inconclusive=document.on_inconclusive,
        on_blind=document.on_blind,
        low_evidence=few or (users is None and preflight_s == 0),
        guarded=not document.unguarded,
        manual=not document.unguarded and users is not None and users < BY_HAND_BELOW,
        users=users,
        low_ppm=rollout.low,
        width_ppm=rollout.high - rollout.low,
    )
    faults = [*faults, *_faults(plan, rollout, asked_steps=len(document.steps))]
    if faults:
        raise Invalid(faults, "the ramp")
    return plan


def replanned(plan: Plan, flag: Flag, rollout: Rollout, start_ppm: int) -> Plan:
    """Return the plan for starting afresh on the flag and its rollout as they are now, and this exposure in force.

    Raises:
        Invalid: the plan cannot work any more; all faults are listed.
    """
    again = msgspec.structs.replace(
        plan,
        start_ppm=start_ppm,
        steps=tuple(step for step in plan.steps if step.exposure_ppm > start_ppm),
        low_ppm=rollout.low,
        width_ppm=rollout.high - rollout.low,
    )
    faults = [*off_variant_faults(flag, plan.kill_scope), *_faults(again, rollout, asked_steps=len(plan.steps))]
    if faults:
        raise Invalid(faults, "the ramp")
    return again


def off_variant_faults(flag: Flag, kill_scope: str) -> list[Fault]:
    """Return what keeps a ramp on the flag from being killed as planned."""
    if kill_scope != KillScope.FLAG or flag.off_variant is not None:
        return []
    return [Fault("kill", f"{flag.key} has no off variant to kill to", "set off_variant, or use kill: rollout")]


def default_steps(users: int | None) -> tuple[int, ...]:
    """Return the exposures, in ppm, of a ramp that names none: GUARD.md, "Few users"."""
    if users is None or users >= FEW_USERS:
        return _LADDER
    steps = [min(TOTAL_PPM, max(10_000, 10 * TOTAL_PPM // max(users, 1)))]
    for rung in _LADDER:
        if rung >= 2 * steps[-1]:
            steps.append(rung)
    if steps[-1] != TOTAL_PPM:
        steps.append(TOTAL_PPM)
    return tuple(steps)


def users_to_kill(plan: Plan, exposure_ppm: int) -> int | None:
    """Return after how many failing users a step at this exposure can kill; ``None`` where it never can."""
    return failing_users_to_kill(treated_share(plan, exposure_ppm), _relative_alpha(plan), plan.budget_parts, plan.rho0)


def remarks(plan: Plan) -> tuple[str, ...]:
    """Return what a person should know before this ramp starts, a line each."""
    lines = []
    if not plan.guarded:
        lines.append("unguarded: it moves by time alone, and nothing takes the variant back")
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
    for guardrail in plan.guardrails:
        if guardrail.grade == BY_REQUESTS:
            may = "" if guardrail.may_kill else "it holds, it does not kill; "
            why = "there is no history, so bursts are allowed for with"
            if guardrail.history_minutes:
                why = f"by {count(guardrail.history_minutes)} min of history bursts are allowed for with"
            lines.append(f"{guardrail.name}: {may}{why} φ = {guardrail.phi:.3g}")
    lines += _budget(plan)
    return tuple(lines)


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
        yield f"at most {most} of harmless ramps are killed, by the {plan.budget_parts} ways to kill together"


def _guardrails(
    document: RampDocument, family: Family, watched: Mapping[int, Guardrail], *, metrics: bool
) -> tuple[tuple[Guardrail, ...], list[Fault]]:
    errors = Guardrail(name=ERRORS, family=family, grade=BY_UNITS)
    if document.unguarded:
        return (), []
    others: list[Guardrail] = []
    faults = []
    set_by: int | None = None
    for i, asked in enumerate(document.guardrails):
        path = f"guardrails[{i}]"
        if i in watched:
            others.append(watched[i])
        elif asked.metric == DURATION and asked.source in {None, "reported"}:
            if asked.threshold is None:
                faults.append(
                    Fault(f"{path}.threshold", "a duration has a threshold", "the longest that is good, in ms")
                )
            else:
                others.append(_duration(asked, asked.threshold))
        elif asked.metric == DURATION and asked.source == "prometheus":
            hint = "use source: reported, or application for the application's own histogram"
            faults.append(Fault(f"{path}.source", "durations are not among what is read back", hint))
        elif asked.metric != SUCCESS_RATE:
            what = asked.metric or asked.name or "this guardrail"
            faults.append(Fault(path, f"{what} cannot be watched yet", f"{SUCCESS_RATE} can"))
        elif asked.source in {"prometheus", "application"} and family is Family.REPORTED and not metrics:
            faults.append(Fault(f"{path}.source", "no Prometheus is configured", "set RHEOSTAT_PROMETHEUS_URL"))
        elif asked.source == "application":
            others.append(_application(asked))
        else:
            if set_by is not None:
                faults.append(Fault(path, f"guardrails[{set_by}] has set the source of {ERRORS} already"))
            errors = Guardrail(
                name=ERRORS,
                family=_FAMILIES.get(asked.source or "", family),
                grade=BY_UNITS,
                may_kill=asked.kill is not False,
                min_difference=min_difference(asked),
                ceiling=_ceiling(asked),
            )
            set_by = i
    names = [guardrail.name for guardrail in others]
    if len({ERRORS, *names}) <= len(names):
        faults.append(Fault("guardrails", "two guardrails have the same name"))
    armless = [guardrail.name for guardrail in others if guardrail.queries is not None and guardrail.queries.armless]
    if armless and not any(guardrail.may_kill for guardrail in (errors, *others)):
        # Where none may kill all have to prove a step, and what the whole service shows proves nothing of the exposed.
        hint = "let errors kill, or give it arms"
        faults.append(Fault("guardrails", f"{armless[0]} watches the whole service, and no other may kill", hint))
    return (errors, *others), faults


def _reads_metrics(guardrails: tuple[Guardrail, ...]) -> bool:
    return any(guardrail.family is not Family.REPORTED for guardrail in guardrails)


def _duration(asked: GuardrailDocument, threshold_ms: float) -> Guardrail:
    # Above a whole bound: SDKs count milliseconds.
    return Guardrail(
        name=asked.name or DURATION,
        family=Family.REPORTED,
        grade=BY_SAMPLES,
        may_kill=asked.kill is not False,
        min_difference=min_difference(asked),
        measure=Measure.LATENCY,
        bound_ms=max(1, round(threshold_ms)),
        ceiling=SLOW_CEILING,
    )


def _ceiling(asked: GuardrailDocument) -> float | None:
    # Rounded, or 99.9 would be a ceiling of 0.0009999999999999 and be shown so.
    return None if asked.threshold is None else round(1 - asked.threshold / 100, 12)


def min_difference(asked: GuardrailDocument) -> float | None:
    """Return the difference that a guardrail's document asks for, 0 … 1; ``None``: the rule's own."""
    return None if asked.min_difference is None else asked.min_difference / 100


def _application(asked: GuardrailDocument) -> Guardrail:
    return Guardrail(
        name=asked.name or APPLICATION_ERRORS,
        family=Family.APPLICATION,
        grade=BY_REQUESTS,
        may_kill=asked.kill is True,
        phi=PHI_WITHOUT_HISTORY,
        min_difference=min_difference(asked),
        ceiling=_ceiling(asked),
    )


def _steps(document: RampDocument, start_ppm: int, users: int | None) -> tuple[Step, ...]:
    asked = document.steps or tuple(StepDocument(exposure=ppm * 100 / TOTAL_PPM) for ppm in default_steps(users))
    shortest_s = _seconds(document.min_dwell, _MIN_DWELL_S)
    longest = document.max_dwell
    return tuple(
        Step(
            exposure_ppm=ppm,
            min_dwell_s=_seconds(step.min_dwell, shortest_s),
            max_dwell_s=_seconds(step.max_dwell or longest, 0.0) or None,
            gate=Gate.NONE if step.gate is None else Gate.MANUAL,
        )
        for step in asked
        if (ppm := percent_to_ppm(step.exposure)) > start_ppm
    )


def _acceptable(document: RampDocument) -> float | None:
    if document.acceptable == "auto":
        return None
    if document.acceptable is not None:
        return document.acceptable / 100
    for asked in document.guardrails:
        if asked.metric == SUCCESS_RATE and asked.threshold is not None:
            return _ceiling(asked)
    return DEFAULT_ACCEPTABLE


def _faults(plan: Plan, rollout: Rollout, *, asked_steps: int) -> Iterator[Fault]:
    if rollout.fallback is None:
        yield Fault("rollout", "a ramp needs a rollout with a fallback, which those not exposed get")
    if not 0 < plan.alpha <= _MOST_ALPHA:
        yield Fault("alpha", f"the budget of false kills is above 0 and at most {_MOST_ALPHA:g}")
    if plan.acceptable is not None and not 0 < plan.acceptable < 1:
        yield Fault("acceptable", "an acceptable rate is above 0 and below 100 %")
    exposures = [step.exposure_ppm for step in plan.steps]
    if not exposures:
        yield Fault("steps", f"every step is at or below the exposure in force, {exposure(plan.start_ppm)}")
    elif exposures != sorted(set(exposures)):
        yield Fault("steps", "each step is above the one before it")
    # The engine takes held-back units first, so a holdback that reaches into the exposed would take the variant from
    # people who have it, already while arming.
    width = plan.width_ppm
    if width * plan.start_ppm // TOTAL_PPM > width - width * plan.holdback_ppm // TOTAL_PPM:
        yield Fault("holdback", f"it would take the variant from users who have it at {exposure(plan.start_ppm)}")
    if plan.guarded and plan.users is not None:
        yield from _too_few(plan, plan.users, asked_steps)


def _too_few(plan: Plan, users: int, asked_steps: int) -> Iterator[Fault]:
    skipped = asked_steps - len(plan.steps) if asked_steps else 0
    for i, step in enumerate(plan.steps, start=skipped):
        share = treated_share(plan, step.exposure_ppm)
        needed = users_to_kill(plan, step.exposure_ppm)
        exposed = int(share * users)
        # Above a half it is the control that runs short, as it does at 100 %: a ramp has to be able to end.
        if share > _HALF or needed is None or exposed >= needed:
            continue
        first = _first_usable(plan, users)
        at = exposure(step.exposure_ppm)
        yield Fault(
            f"steps[{i}]" if asked_steps else "users",
            f"{at} exposes {exposed} of {count(users)} users, and can kill only after {needed} failing ones",
            f"the first usable step is {exposure(first)}"
            if first
            else "no step is usable; it can be started unguarded",
        )


def _first_usable(plan: Plan, users: int) -> int | None:
    for ppm in range(_SEARCH_PPM, TOTAL_PPM // 2 + 1, _SEARCH_PPM):
        needed = users_to_kill(plan, ppm)
        if needed is not None and int(treated_share(plan, ppm) * users) >= needed:
            return ppm
    return None


def _seconds(text: str | None, default: float) -> float:
    return default if text is None else duration_ms(text) / 1000
