"""What waits while a ramp's calendar is shut: every move that exposes somebody new. Pure."""

from rheostat.model.shares import TOTAL_PPM
from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.model import Plan, State, Status
from rheostat_server.ramps.verdicts import Advance, Begin, Decision, Hold, NextStage, Promote
from rheostat_server.ramps.windows import distance, shut_at


def by_calendar(plan: Plan, state: State, decision: Decision, now_ms: int) -> Decision:
    """Return the decision, or a hold in its place where it would expose somebody while the calendar is shut.

    Soaking exposes nobody, nor does a promotion, unless the holdback that it releases reaches into the exposed.
    """
    if state.shut is None:
        return decision
    match decision:
        case Begin(why=why):
            status = Status.ARMING
        case Advance(why=why):
            status = Status.RUNNING
        case NextStage(why=why) if plan.preflight_s == 0:
            status = Status.RUNNING
        case Promote(why=why) if releases(plan, state):
            # By `rule: threshold` nothing soaks before a promotion.
            status = Status.RUNNING if state.soaking_since_ms is None else Status.SOAKING
        case _:
            return decision
    # What comes after the last semicolon says where it would go now.
    return Hold(status, f"{why.rpartition('; ')[0] or why}; {shut_words(state, now_ms)}")


def shut_words(state: State, now_ms: int) -> str:
    """Return what keeps the ramp from going up by the calendar, and for how long; empty where nothing does."""
    if state.shut is None:
        return ""
    if state.shut.opens_ms is None:
        return state.shut.why
    return f"{state.shut.why} ({distance((state.shut.opens_ms - now_ms) / 1000)})"


def releases(plan: Plan, state: State) -> bool:
    """Whether the end of the holdback, at promotion, exposes those whom it kept out."""
    if plan.keep_holdback:
        return False
    width = plan.width_ppm
    return treated_share(plan, state.exposure_ppm) < width * state.exposure_ppm // TOTAL_PPM / width


def against_calendar(plan: Plan, before: State, after: State, now_ms: int) -> tuple[str, ...]:
    """Return, in a line, what a person's word went before who exposed somebody while the calendar is shut."""
    shut = shut_at(plan.advance_windows, plan.freezes, now_ms)
    # Who begins a stage without a pre-flight is somebody new, at whatever exposure the stage before ended.
    begun = after.stage != before.stage and after.exposed_since_ms is not None
    if shut is None or not (begun or after.exposure_ppm > before.exposure_ppm):
        return ()
    return (f"by hand, against its calendar ({shut.why})",)
