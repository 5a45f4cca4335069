"""From the document that people write to the plan of a ramp, with every default filled in."""

from collections.abc import Iterator, Mapping

import msgspec

from rheostat.model.document import RampDocument, StepDocument
from rheostat.model.duration import duration_ms
from rheostat.model.flag import Flag, Rollout
from rheostat.model.kill import KillScope
from rheostat.model.shares import TOTAL_PPM, percent_to_ppm, ppm_to_percent
from rheostat_server.errors import Fault, Invalid
from rheostat_server.ramps.calendar_fields import freezes_of, windows_of
from rheostat_server.ramps.cutting import cut_at
from rheostat_server.ramps.few import BY_HAND_BELOW, FEW_USERS
from rheostat_server.ramps.foreign.translation import THRESHOLD
from rheostat_server.ramps.guardrails import SUCCESS_RATE
from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.model import Family, Gate, Guardrail, Plan, Step
from rheostat_server.ramps.observe import DEFAULT_ACCEPTABLE
from rheostat_server.ramps.plan_guardrails import ceiling_of, guardrails_of, reads_metrics
from rheostat_server.ramps.plan_strategies import asked_steps, fitted, is_above, strategy_faults, with_strategy
from rheostat_server.ramps.plan_threshold import threshold_plan, weight_faults
from rheostat_server.ramps.remarks import users_to_kill
from rheostat_server.ramps.strategies import made_steps, place_of_steps, without_return
from rheostat_server.ramps.words import count, exposure

_LADDER = (10_000, 50_000, 100_000, 250_000, 500_000, TOTAL_PPM)
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
    now_ms: int = 0,
) -> Plan:
    """Return the plan of a ramp that starts now.

    ``rollout`` is the one it turns, as served; ``start_ppm`` the exposure in force on it; ``family`` the best
    source of grade 1 that the server has, with something new each ``interval_s``. Prometheus has each ``scrape_s``
    (``None``: there is none), and a ramp that reads it is observed so often.
    ``users`` is U of a former ramp, if there was one lately; the document's own figure is used without it. ``watched``
    are the guardrails on queries as they were looked up, by their place in the document. What ends before ``now_ms``
    cannot work.

    Raises:
        Invalid: the plan cannot work; all faults are listed.
    """
    if document.rule == THRESHOLD:
        counting, wrong = threshold_plan(
            document, project=project, rollout=rollout, start_ppm=start_ppm, metrics=scrape_s is not None
        )
        if faults := [*wrong, *_faults(counting, rollout, asked_steps=0)]:
            raise Invalid(faults, "the ramp")
        return counting
    users = document.users if users is None else users
    holdback_ppm = percent_to_ppm(document.holdback)
    preflight_s = 0.0 if document.unguarded else _seconds(document.preflight, 600.0)
    guardrails, faults = guardrails_of(document, family, watched or {}, metrics=scrape_s is not None)
    killers = sum(guardrail.may_kill for guardrail in guardrails)
    missing_kill = killers > 0 and document.missing_users == "kill"
    few = users is not None and users < FEW_USERS
    every = _steps(document, start_ppm, users)
    steps = cut_at(every, None if document.to is None else percent_to_ppm(document.to), above_ppm=start_ppm)
    plan = Plan(
        project=project,
        environment=document.environment,
        flag=document.flag,
        rollout=document.rollout,
        start_ppm=start_ppm,
        steps=steps,
        guardrails=guardrails,
        holdback_ppm=holdback_ppm,
        keep_holdback=document.keep_holdback,
        soak_s=_seconds(document.soak, 3600.0),
        preflight_s=preflight_s,
        interval_s=_seconds(document.interval, scrape_s if scrape_s and reads_metrics(guardrails) else interval_s),
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
        strategy=document.strategy.value,
        advance_windows=windows_of(document),
        freezes=freezes_of(document),
    )
    plan = with_strategy(plan, document, rollout)
    # The first steps are skipped where they are in force, the last where it ends earlier: a fault names the right one.
    wanted = asked_steps(document, start_ppm)
    asked = len(wanted) - len(every) + len(steps) if wanted else 0
    place = place_of_steps(document)
    faults += [*strategy_faults(plan, rollout, wanted, now_ms), *_faults(plan, rollout, asked_steps=asked, place=place)]
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
        steps=tuple(
            step
            for step in plan.steps
            if step.exposure_ppm > start_ppm or (plan.baseline is not None and step.exposure_ppm == start_ppm)
        ),
        low_ppm=rollout.low,
        width_ppm=rollout.high - rollout.low,
    )
    again = fitted(again, rollout)
    asked = tuple(StepDocument(exposure=ppm_to_percent(step.exposure_ppm)) for step in plan.steps)
    faults = [
        *off_variant_faults(flag, plan.kill_scope),
        *weight_faults(plan, start_ppm),
        *strategy_faults(again, rollout, asked),
        *_faults(again, rollout, asked_steps=len(plan.steps)),
    ]
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


def _steps(document: RampDocument, start_ppm: int, users: int | None) -> tuple[Step, ...]:
    asked = (
        asked_steps(document, start_ppm)
        or made_steps(document)
        or tuple(StepDocument(exposure=ppm * 100 / TOTAL_PPM) for ppm in default_steps(users))
    )
    shortest_s = _seconds(document.min_dwell, _MIN_DWELL_S)
    longest = document.max_dwell
    return tuple(
        Step(
            exposure_ppm=ppm,
            min_dwell_s=_seconds(step.min_dwell, shortest_s),
            max_dwell_s=_seconds(step.max_dwell or longest, 0.0) or None,
            gate=Gate.MANUAL if (step.gate or document.gate) == "manual" else Gate.NONE,
        )
        for step in asked
        if is_above(document, ppm := percent_to_ppm(step.exposure), start_ppm)
    )


def _acceptable(document: RampDocument) -> float | None:
    if document.acceptable == "auto":
        return None
    if document.acceptable is not None:
        return document.acceptable / 100
    for asked in document.guardrails:
        if asked.metric == SUCCESS_RATE and asked.threshold is not None:
            return ceiling_of(asked)
    return DEFAULT_ACCEPTABLE


def _faults(plan: Plan, rollout: Rollout, *, asked_steps: int, place: str = "steps") -> Iterator[Fault]:
    if rollout.fallback is None:
        yield Fault("rollout", "a ramp needs a rollout with a fallback, which those not exposed get")
    if not 0 < plan.alpha <= _MOST_ALPHA:
        yield Fault("alpha", f"the budget of false kills is above 0 and at most {_MOST_ALPHA:g}")
    if plan.acceptable is not None and not 0 < plan.acceptable < 1:
        yield Fault("acceptable", "an acceptable rate is above 0 and below 100 %")
    exposures = [step.exposure_ppm for step in plan.steps]
    if not exposures and plan.baseline is None:
        yield Fault("steps", f"every step is at or below the exposure in force, {exposure(plan.start_ppm)}")
    elif exposures != sorted(set(exposures)):
        yield Fault("steps", "each step is above the one before it")
    # The engine takes held-back units first, so a holdback that reaches into the exposed would take the variant from
    # people who have it, already while arming.
    width = plan.width_ppm
    if width * plan.start_ppm // TOTAL_PPM > width - width * plan.holdback_ppm // TOTAL_PPM:
        yield Fault("holdback", f"it would take the variant from users who have it at {exposure(plan.start_ppm)}")
    yield from without_return(plan)
    if plan.guarded and plan.users is not None:
        yield from _too_few(plan, plan.users, asked_steps, place)


def _too_few(plan: Plan, users: int, asked_steps: int, place: str) -> Iterator[Fault]:
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
            f"steps[{i}]" if place == "steps" else place,
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
