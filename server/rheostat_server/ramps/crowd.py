"""What SDK reports say of a ramp as a whole, whatever its guardrails read: who came, who is gone, who fails again."""

from collections.abc import Iterator

from msgspec.structs import replace

from rheostat_server.ramps.crash import is_crash, stretched
from rheostat_server.ramps.evidence import Block, Evidence
from rheostat_server.ramps.ladder import stated_ppm, treated_share
from rheostat_server.ramps.memory import CrowdMemory, KillProcess
from rheostat_server.ramps.model import Plan, State
from rheostat_server.ramps.silence import (
    FEWEST_EXPECTED,
    LOG_WHOLE,
    LONGEST_PREFLIGHT,
    REQUESTS_TO_ARM,
    armed_arrivals,
    expected_share,
    log_whole,
    missing_step,
)
from rheostat_server.ramps.srm import LOG_SRM_ALARM, log_srm
from rheostat_server.ramps.stats import kill_step, log_kill_bar, log_m, still_holds
from rheostat_server.ramps.words import count, duration, odds

VANISHED_MS = 300_000
"""How long a vanished instance keeps a ramp from going up: by then its orphans have been reported, or never are."""

_FEWEST_ARMED = 100
_FEWEST_REQUESTS = 30
_THIN = 0.65


def crowd_after(plan: Plan, state: State, evidence: Evidence) -> CrowdMemory:
    """Return the memory after an observation. Without a guardrail nobody asks, and it stays empty."""
    crowd = state.crowd
    if not plan.guardrails:
        return crowd
    crowd = replace(
        crowd,
        arrivals=_of_this_stage(crowd, evidence.arrivals_by_level) or crowd.arrivals,
        coverage=evidence.coverage,
        vanished_ms=evidence.at_ms if evidence.vanished else crowd.vanished_ms,
        crashed=False,
    )
    # What was seen before the first exposure must not count for or against what the exposed then met.
    blocks = [block for block in evidence.crowd if block.epoch >= state.exposed_epoch]
    for block in blocks:
        crowd = _counted(plan, state, crowd, block)
    if not blocks or state.exposed_since_ms is None:
        return crowd
    # Judged only where something came: that bad minutes stay in memory while good ones leave it is no news.
    return replace(
        crowd,
        crashed=is_crash(crowd.stretches),
        log_srm=log_srm(crowd.step_treatment, crowd.step_control, treated_share(plan, state.exposure_ppm)),
    )


def at_first_exposure(crowd: CrowdMemory) -> CrowdMemory:
    """Return what is kept of arming: who arrived, who is active, who failed how often. The processes restart at 1."""
    return CrowdMemory(
        arrivals=crowd.arrivals,
        arrivals_before=crowd.arrivals_before,
        recounted=crowd.recounted,
        recounted_squares=crowd.recounted_squares,
        active=crowd.active,
        active_failed=crowd.active_failed,
        users=crowd.users,
        armed_requests=crowd.step_requests,
        coverage=crowd.coverage,
        vanished_ms=crowd.vanished_ms,
    )


def at_next_stage(crowd: CrowdMemory) -> CrowdMemory:
    """Return what is kept when other users arm: who reports, and which arrivals were of earlier stages."""
    earlier = dict(crowd.arrivals_before)
    for level, units in crowd.arrivals:
        earlier[level] = earlier.get(level, 0) + units
    return CrowdMemory(
        arrivals_before=tuple(sorted(earlier.items())), coverage=crowd.coverage, vanished_ms=crowd.vanished_ms
    )


def in_new_step(crowd: CrowdMemory) -> CrowdMemory:
    """Return the memory at another exposure: what is judged step by step begins anew."""
    return replace(
        crowd, step_requests=(0, 0), step_treatment=0, step_control=0, log_srm=0.0, stretches=(), crashed=False
    )


def is_uncovered(plan: Plan, crowd: CrowdMemory) -> bool:
    """Whether too many of the flag's evaluations come from services that do not report."""
    return crowd.coverage is not None and crowd.coverage < plan.min_coverage


def missing_kills(plan: Plan, state: State) -> bool:
    """Whether treated users stay away beyond doubt, and the plan lets that kill."""
    crowd = state.crowd
    return (
        plan.missing_kill
        and crowd.log_missing >= log_kill_bar(plan.alpha, plan.budget_parts)
        and crowd.expected >= FEWEST_EXPECTED
        and armed_arrivals(crowd.arrivals, state.exposure_ppm) >= FEWEST_EXPECTED
    )


def mismatched(crowd: CrowdMemory) -> bool:
    """Whether the arms' sizes do not fit the exposure."""
    return crowd.log_srm >= LOG_SRM_ALARM


def is_short(plan: Plan, state: State) -> bool:
    """Whether it is the treatment that has too few users."""
    treatment, control = state.crowd.step_treatment, state.crowd.step_control
    return treatment < treated_share(plan, state.exposure_ppm) * (treatment + control)


def is_thin(plan: Plan, state: State) -> bool:
    """Whether the first step has far fewer treated requests than the same users had while arming.

    It holds, and kills nobody: one busy user who leaves may be the cause. Later steps have other users, of whom arming
    knows only how many arrived.
    """
    expected = _expected_requests(state.crowd)
    return (
        _is_first(plan, state)
        and state.crowd.armed_requests[0] >= _FEWEST_ARMED
        and expected >= _FEWEST_REQUESTS
        and state.crowd.step_requests[0] < _THIN * expected
    )


def is_whole(plan: Plan, state: State) -> bool:
    """Whether it is proved that the first step's treated requests do not vanish, as far as arming can tell.

    That they are not thin is no proof: of a few dozen more than that are there by chance, though half are lost.
    """
    crowd = state.crowd
    return not _is_first(plan, state) or log_whole(crowd.armed_requests, crowd.step_requests) >= LOG_WHOLE


def unwhole_words(state: State) -> str:
    """Return how many treated requests came, and of how many."""
    came, expected = count(state.crowd.step_requests[0]), count(_expected_requests(state.crowd))
    return (
        f"{came} treated requests of about {expected} that the same users had while arming: "
        "not proved yet that none vanish"
    )


def armed_enough(plan: Plan, state: State) -> bool:
    """Whether a pre-flight as long as it was asked for saw enough requests, or would not see them in time."""
    armed, others = state.crowd.step_requests
    longest_s = LONGEST_PREFLIGHT * plan.preflight_s
    if not others or armed >= REQUESTS_TO_ARM or state.armed_s >= longest_s:
        return True
    return armed * longest_s < REQUESTS_TO_ARM * state.armed_s


def vanished_lately(crowd: CrowdMemory, now_ms: int) -> bool:
    """Whether an instance fell silent without a goodbye a short time ago."""
    return crowd.vanished_ms is not None and now_ms - crowd.vanished_ms < VANISHED_MS


def crowd_doubts(plan: Plan, state: State, now_ms: int) -> Iterator[str]:
    """Yield, in words, each thing about the ramp's users that keeps anybody new from being exposed."""
    crowd = state.crowd
    if crowd.recount_holds:
        m = odds(crowd.log_recount)
        yield f"exposed users fail again more often than the others: M_h {m}; nobody new is exposed until it is below 3"
    if crowd.missing_holds:
        yield missing_words(state)
    if mismatched(crowd) or crowd.srm_stepped_back:
        yield srm_words(plan, state)
    if is_thin(plan, state):
        came, expected = count(crowd.step_requests[0]), count(_expected_requests(crowd))
        yield f"requests are missing: {came} treated ones of about {expected} that the same users had while arming"
    if crowd.vanished_ms is not None and vanished_lately(crowd, now_ms):
        left = duration((crowd.vanished_ms + VANISHED_MS - now_ms) / 1000)
        yield f"an instance fell silent without a goodbye: its outcomes may be lost; waiting {left} more"


def missing_words(state: State) -> str:
    """Return how many treated users came, and how many were expected."""
    crowd = state.crowd
    return (
        f"users are missing: {count(crowd.missing.treatment_events)} treated arrivals of about "
        f"{count(crowd.expected)} expected; M_d {odds(crowd.log_missing)}"
    )


def srm_words(plan: Plan, state: State) -> str:
    """Return the arms' sizes against the exposure."""
    if state.crowd.srm_stepped_back:
        return "the arms did not have as many users as the exposure says: look why, then advance or abort by hand"
    treatment, control = state.crowd.step_treatment, state.crowd.step_control
    share = 100 * treatment / (treatment + control) if treatment + control else 0.0
    return (
        f"{count(treatment)} treated and {count(control)} other users, {share:.3g} % where the exposure says "
        f"{100 * treated_share(plan, state.exposure_ppm):.3g} %: the arms do not fit (E {odds(state.crowd.log_srm)})"
    )


def _of_this_stage(crowd: CrowdMemory, arrivals: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    if not crowd.arrivals_before:
        return arrivals
    earlier = dict(crowd.arrivals_before)
    left = ((level, units - earlier.get(level, 0)) for level, units in arrivals)
    return tuple((level, units) for level, units in left if units > 0)


def _counted(plan: Plan, state: State, crowd: CrowdMemory, block: Block) -> CrowdMemory:
    treatment, control = block.treatment, block.control
    ppm = stated_ppm(plan, state, block)
    x = treated_share(plan, ppm)
    since_ms = state.started_ms if state.exposed_since_ms is None else state.exposed_since_ms
    t1_s = max(0.0, (block.from_ms - since_ms) / 1000)
    t2_s = max(t1_s, (block.until_ms - since_ms) / 1000)

    recounted = crowd.recounted + treatment.recounted + control.recounted
    squares = crowd.recounted_squares + treatment.recounted_squares + control.recounted_squares
    recount = kill_step(
        crowd.recount,
        treatment_events=treatment.recounted,
        control_events=control.recounted,
        treatment_n=x,
        control_n=1 - x,
        phi=max(1.0, squares / recounted) if recounted else 1.0,
        rho0=plan.rho0,
        t1_s=t1_s,
        t2_s=t2_s,
    )
    log_recount = log_m(recount)
    crowd = replace(
        crowd,
        recount=recount,
        log_recount=log_recount,
        recount_holds=still_holds(log_recount, held=crowd.recount_holds),
        recounted=recounted,
        recounted_squares=squares,
        active=crowd.active + control.active,
        active_failed=crowd.active_failed + control.active_failed,
        users=crowd.users + treatment.active + control.active,
    )
    if block.epoch == state.epoch:
        requests = (crowd.step_requests[0] + treatment.ended, crowd.step_requests[1] + control.ended)
        crowd = replace(crowd, step_requests=requests)
    if state.exposed_since_ms is None:
        return crowd
    if 0 < x < 1:
        crowd = _missing(crowd, block, expected_share(crowd.arrivals, ppm, x), t1_s, t2_s)
    if block.epoch != state.epoch:
        return crowd
    return replace(
        crowd,
        step_treatment=crowd.step_treatment + treatment.units,
        step_control=crowd.step_control + control.units,
        stretches=stretched(crowd.stretches, block),
    )


def _is_first(plan: Plan, state: State) -> bool:
    return state.exposure_ppm == plan.steps[0].exposure_ppm


def _expected_requests(crowd: CrowdMemory) -> float:
    treatment, control = crowd.armed_requests
    return crowd.step_requests[1] * treatment / control if control else 0.0


def _missing(crowd: CrowdMemory, block: Block, share: float, t1_s: float, t2_s: float) -> CrowdMemory:
    control = block.control.arrivals
    missing: KillProcess = missing_step(
        crowd.missing, treatment=block.treatment.arrivals, control=control, share=share, t1_s=t1_s, t2_s=t2_s
    )
    log_missing = log_m(missing)
    return replace(
        crowd,
        missing=missing,
        log_missing=log_missing,
        missing_holds=still_holds(log_missing, held=crowd.missing_holds),
        expected=crowd.expected + control * share / (1 - share),
    )
