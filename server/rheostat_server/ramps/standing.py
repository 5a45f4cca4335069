"""How a ramp stands, in figures for people: the status line, and each guardrail against its lines."""

import math

import msgspec

from rheostat_server.ramps.ceiling import log_ceiling_bar
from rheostat_server.ramps.crowd import crowd_doubts
from rheostat_server.ramps.danger import kill_bar
from rheostat_server.ramps.decide import proved, under_way
from rheostat_server.ramps.due import Due, due
from rheostat_server.ramps.evidence import ArmTotals
from rheostat_server.ramps.few import is_few
from rheostat_server.ramps.grades import events, grade_of
from rheostat_server.ramps.ladder import START, has_next_stage, is_last, step_at, treated_share
from rheostat_server.ramps.model import LIVE, Guardrail, GuardrailState, Plan, State, Status
from rheostat_server.ramps.observe import BLIND_AFTER, acceptable_rate, added
from rheostat_server.ramps.rolling import stage_words
from rheostat_server.ramps.stats import HOLD_AT, PROOF_BAR, requests_needed
from rheostat_server.ramps.threshold import standing_words
from rheostat_server.ramps.waiting import releases, shut_words
from rheostat_server.ramps.windows import distance
from rheostat_server.ramps.words import about, duration, exposure, roughly

# Larger figures mean nothing to people, and a float beyond 1e308 is not JSON.
_MOST = math.log(1e12)
# The logarithms agree between machines to about ten digits; more would show 100.00000000000004 for a line at 100.
_DIGITS = 9
# So many bad requests of the control in the present step tell its present rate; with fewer it is the whole ramp's.
_TELLING_BAD = 10


class ArmStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What one arm saw since the first exposure (while arming: since arming began), what was reported late included.

    ``rate`` is bad of requests, 0 … 1.
    """

    requests: int
    bad: int
    failing: int
    units: int
    rate: float | None


class GuardrailStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One guardrail against its lines.

    ``m`` holds from ``hold_line`` on and kills at ``kill_line``, ``e`` (relative) or ``a`` (absolute) prove the step at
    ``advance_line``. ``toward_kill`` is how far log M is on its way from 1 to the kill line, 0 … 1.
    ``requests_to_proof`` is about how many more treated requests a proof needs if they fail as the control's do,
    ``seconds_to_proof`` how long that takes at the present rate; ``None`` where that cannot be told, or no proof comes.
    ``events`` are (treatment, control) as the kill process counted them. ``ceiling`` is the rate of bad requests,
    0 … 1, that is too much in any case; its process ``c`` crosses it at ``ceiling_line``.
    """

    name: str
    family: str
    grade: int
    may_kill: bool
    sight: str
    detail: str
    holding: bool
    m: float
    hold_line: float
    kill_line: float
    toward_kill: float
    e: float
    a: float
    advance_line: float
    proved: bool
    events: tuple[int, int]
    treatment: ArmStanding
    control: ArmStanding
    requests_to_proof: int | None
    seconds_to_proof: float | None
    ceiling: float | None
    c: float | None
    ceiling_line: float | None


class CrowdStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What SDK reports say of the ramp's users as a whole.

    ``users`` is how many there are, as far as that is known; ``low_evidence`` that they are few, or unknown.
    ``coverage`` is the share of the flag's evaluations, 0 … 1, that come from services which report. ``failing_again``
    (M_h), ``missing`` (M_d) and ``mismatch`` (E of the arms' sizes) hold the ramp at 10, 10 and 1000. ``doubts`` say in
    words what of this keeps anybody new from being exposed.
    """

    users: int | None
    low_evidence: bool
    coverage: float | None
    failing_again: float
    missing: float
    mismatch: float
    doubts: tuple[str, ...]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a ramp stands. ``line`` is for one line of a terminal; ``why`` is the reason that the last decision gave.

    ``stage`` says whom a rolling ramp is at, and which stage of how many that is; ``exposure_ppm`` is theirs.
    ``preflight_left_s`` is how much longer arming has to watch, with all guardrails seeing; ``None`` where it is over.
    ``shut`` is what keeps a live ramp from going up by the calendar, in words; ``None`` where nothing does.
    ``due`` is what the present step still waits for besides proof.
    """

    line: str
    status: str
    exposure_ppm: int
    why: str
    stage: str | None = None
    guardrails: tuple[GuardrailStanding, ...]
    crowd: CrowdStanding
    preflight_left_s: float | None = None
    shut: str | None = None
    due: Due = Due()


def standing(plan: Plan, state: State, now_ms: int) -> Standing:
    """Return how the ramp stands at ``now_ms``."""
    guardrails = tuple(
        _guardrail(plan, guardrail, state, state.guardrails.get(guardrail.name, GuardrailState()), now_ms)
        for guardrail in plan.guardrails
    )
    arming = state.status in LIVE and state.exposed_since_ms is None
    line = _line(plan, state, guardrails, now_ms)
    stage = _stage(plan, state)
    return Standing(
        line=line if stage is None else f"{stage}: {line}",
        status=state.status.value,
        exposure_ppm=state.exposure_ppm,
        why=state.why,
        stage=stage,
        preflight_left_s=_preflight_left_s(plan, state) if arming else None,
        shut=(shut_words(state, now_ms) or None) if state.status in LIVE else None,
        guardrails=guardrails,
        crowd=_crowd(plan, state, now_ms),
        due=due(plan, state, now_ms),
    )


def _stage(plan: Plan, state: State) -> str | None:
    if not plan.stages or state.status not in LIVE:
        return None
    return f"{stage_words(plan, state.stage)} ({state.stage + 1} of {len(plan.stages)})"


def _crowd(plan: Plan, state: State, now_ms: int) -> CrowdStanding:
    crowd = state.crowd
    exposed = state.status in LIVE and state.exposed_since_ms is not None
    return CrowdStanding(
        users=plan.users if state.users is None else state.users,
        low_evidence=is_few(plan, state),
        coverage=crowd.coverage,
        failing_again=_plain(crowd.log_recount),
        missing=_plain(crowd.log_missing),
        mismatch=_plain(crowd.log_srm),
        doubts=tuple(crowd_doubts(plan, state, now_ms)) if exposed else (),
    )


def _line(plan: Plan, state: State, guardrails: tuple[GuardrailStanding, ...], now_ms: int) -> str:
    at = exposure(state.exposure_ppm)
    match state.status:
        case Status.DRAFT:
            off = "" if state.starts_ms is None else f" ({distance((state.starts_ms - now_ms) / 1000)})"
            return f"draft: {state.why}{off}"
        case Status.ARMING:
            left_s = _preflight_left_s(plan, state)
            return f"arming {_left(state, left_s, now_ms)}"
        case Status.SOAKING:
            since_ms = state.entered_ms if state.soaking_since_ms is None else state.soaking_since_ms
            left_s = plan.soak_s - (now_ms - since_ms) / 1000
            return f"soaking at {at}, {_left(state, left_s, now_ms, waits=releases(plan, state))}"
        case Status.RUNNING:
            # With nobody exposed there is no proof to be had, nor asked for; a comparison asks for none.
            unproved = treated_share(plan, state.exposure_ppm) == 0 or plan.baseline is not None
            next_words = state.why if unproved and plan.guarded else _next(plan, state, guardrails, now_ms)
            if plan.threshold is not None:
                next_words = "; ".join(filter(None, (standing_words(plan, state, now_ms), shut_words(state, now_ms))))
            return f"running at {at}{_of_steps(plan, state)}: {next_words.removeprefix(f'{at}: ')}"
        case _ if state.status in LIVE and under_way(state) is Status.ARMING:
            return f"{state.status.value} while arming: {state.why}"
        case _ if state.status in LIVE:
            # Why is written for the log, where it says at which exposure.
            return f"{state.status.value} at {at}{_of_steps(plan, state)}: {state.why.removeprefix(f'{at}: ')}"
        case _:
            return f"{state.status.value}, exposure {at}: {state.why}"


def _left(state: State, left_s: float, now_ms: int, *, waits: bool = True) -> str:
    """Return how much longer it takes; where that is over, what the ramp waits for."""
    shut = shut_words(state, now_ms) if waits else ""
    return shut if left_s <= 0 and shut else f"{duration(left_s)} left"


def _preflight_left_s(plan: Plan, state: State) -> float:
    return max(0.0, plan.preflight_s - state.armed_s)


def _of_steps(plan: Plan, state: State) -> str:
    if state.step == START:
        return " (back at the start)" if plan.threshold is None else " (before the first step)"
    return f" (step {state.step + 1} of {len(plan.steps)})"


def _next(plan: Plan, state: State, guardrails: tuple[GuardrailStanding, ...], now_ms: int) -> str:
    if not is_last(plan, state):
        then = exposure(plan.steps[state.step + 1].exposure_ppm)
    else:
        then = stage_words(plan, state.stage + 1) if has_next_stage(plan, state) else "soaking"
    judges = [seen for seen in guardrails if seen.may_kill] or list(guardrails)
    unproved = [seen for seen in judges if not seen.proved]
    dwell_s = step_at(plan, state.step).min_dwell_s - (now_ms - state.entered_ms) / 1000
    if plan.guarded and unproved:
        slowest = max(unproved, key=lambda seen: _endless(seen.requests_to_proof))
        if slowest.requests_to_proof is None:
            return f"{slowest.name} cannot be proved at the control's present rate, then {then}"
        needed = about(slowest.requests_to_proof)
        if slowest.seconds_to_proof is None:
            # What met the new exposure takes some intervals to be reported and read.
            fresh = now_ms - state.entered_ms < BLIND_AFTER * plan.interval_s * 1000
            return f"needs {needed} more requests to prove, {'' if fresh else 'none is coming, '}then {then}"
        if dwell_s > slowest.seconds_to_proof:
            return f"{duration(dwell_s)} and {needed} more requests to prove, then {then}"
        time = f"~{roughly(slowest.seconds_to_proof)} at the present rate"
        return f"needs {needed} more requests ({time}) to prove, then {then}"
    if dwell_s > 0:
        return f"{duration(dwell_s)} until {then}"
    return f"{state.why or 'next'}, then {then}"


def _guardrail(plan: Plan, guardrail: Guardrail, state: State, seen: GuardrailState, now_ms: int) -> GuardrailStanding:
    log_bar = kill_bar(plan, guardrail)
    grade = grade_of(guardrail, seen)
    stepping = state.status in LIVE and under_way(state) is Status.RUNNING and plan.baseline is None
    done = proved(seen)
    needed = None
    seconds = None
    if stepping and not done:
        expected = _requests_needed(plan, guardrail, state, seen)
        needed = None if expected == math.inf else math.ceil(expected)
        dwelt_s = (now_ms - state.entered_ms) / 1000
        if needed is not None and seen.step_treatment.ended and dwelt_s > 0:
            seconds = needed * dwelt_s / seen.step_treatment.ended
    return GuardrailStanding(
        name=guardrail.name,
        family=guardrail.family.value,
        grade=grade,
        may_kill=guardrail.may_kill,
        sight=seen.sight.value,
        detail=seen.detail,
        holding=seen.holding,
        m=_plain(seen.log_m),
        hold_line=HOLD_AT,
        kill_line=_plain(log_bar),
        toward_kill=min(1.0, max(0.0, seen.log_m / log_bar)),
        e=_plain(seen.log_e),
        a=_plain(seen.log_a),
        advance_line=PROOF_BAR,
        proved=done,
        events=(events(grade, seen.treatment), events(grade, seen.control)),
        treatment=_arm(added(seen.treatment, seen.late_treatment)),
        control=_arm(added(seen.control, seen.late_control)),
        requests_to_proof=needed,
        seconds_to_proof=seconds,
        ceiling=guardrail.ceiling,
        c=None if guardrail.ceiling is None else _plain(seen.ceiling.log_c),
        ceiling_line=None if guardrail.ceiling is None else _plain(log_ceiling_bar(plan)),
    )


def _requests_needed(plan: Plan, guardrail: Guardrail, state: State, seen: GuardrailState) -> float:
    control = seen.step_control if seen.step_control.bad >= _TELLING_BAD else seen.control
    requests = max(1, control.ended)
    return requests_needed(
        seen.proof,
        bad_rate=control.bad / requests,
        event_rate=events(grade_of(guardrail, seen), control) / requests,
        acceptable=acceptable_rate(plan, guardrail, seen),
        x=treated_share(plan, state.exposure_ppm),
        phi=guardrail.phi,
    )


def _arm(totals: ArmTotals) -> ArmStanding:
    return ArmStanding(
        requests=totals.ended,
        bad=totals.bad,
        failing=totals.failing,
        units=totals.units,
        rate=totals.bad / totals.ended if totals.ended else None,
    )


def _plain(log_value: float) -> float:
    return float(f"{math.exp(min(log_value, _MOST)):.{_DIGITS}g}")


def _endless(requests: int | None) -> float:
    return math.inf if requests is None else requests
