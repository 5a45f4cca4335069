"""Which changes of a ramp people are told of. Pure."""

import enum

from rheostat_server.ramps.model import LIVE, State, Status


class News(enum.StrEnum):
    """What a notification is about. The first thirteen befall ramps and flags, the last two the guard itself."""

    STARTED = "started"
    ADVANCED = "advanced"
    """More users are exposed: also at the end of the pre-flight, when the first are."""
    STEPPED_BACK = "stepped-back"
    HELD = "held"
    BLIND = "blind"
    AWAITING_APPROVAL = "awaiting-approval"
    PAUSED = "paused"
    RESUMED = "resumed"
    """It goes on after it was held, blind, paused, or waited for approval."""
    SOAKING = "soaking"
    PROMOTED = "promoted"
    KILLED = "killed"
    ABORTED = "aborted"
    REVIVED = "revived"
    UNATTENDED = "unattended"
    """No controller has looked after the ramp for longer than it should take."""
    KILL_UNCONFIRMED = "kill-unconfirmed"
    """A kill went out, and not every instance has said that it applied it."""


LIMITED = frozenset(
    {News.HELD, News.BLIND, News.AWAITING_APPROVAL, News.RESUMED, News.SOAKING, News.UNATTENDED},
)
"""What a ramp between two states would tell again and again: limited to once in a while. No exposure changes."""

_ENTERED = {
    Status.HELD: News.HELD,
    Status.BLIND: News.BLIND,
    Status.AWAITING_APPROVAL: News.AWAITING_APPROVAL,
    Status.PAUSED: News.PAUSED,
    Status.SOAKING: News.SOAKING,
    Status.PROMOTED: News.PROMOTED,
    Status.KILLED: News.KILLED,
    Status.ABORTED: News.ABORTED,
}
_INTERRUPTED = frozenset({Status.HELD, Status.BLIND, Status.AWAITING_APPROVAL, Status.PAUSED})


def news_of(before: State, after: State) -> News | None:
    """Return what a ramp's change of state is to people; ``None`` where it is nothing to them.

    Entering a state is told, staying in it is not. A change of exposure is told as such, whatever the state then is.
    The end of a killed ramp by a revival is told as the revival of its flag, and not here.
    """
    if before.status is Status.KILLED:
        return None
    if after.stage != before.stage:
        return News.ADVANCED
    if after.status in LIVE and after.exposure_ppm != before.exposure_ppm:
        return News.ADVANCED if after.exposure_ppm > before.exposure_ppm else News.STEPPED_BACK
    if after.status is before.status:
        return None
    soaked_before = after.status is Status.SOAKING and before.soaking_since_ms is not None
    if before.status in _INTERRUPTED and (soaked_before or after.status in {Status.RUNNING, Status.ARMING}):
        return News.RESUMED
    return _ENTERED.get(after.status)
