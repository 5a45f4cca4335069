"""When a delivery that failed is tried again. Pure."""

FIRST_S = 5.0
LONGEST_S = 900.0
GIVE_UP_MS = 24 * 3_600_000
"""A delivery that fails so long after it was first due is not tried again."""
MOST_ASKED_S = 3600.0
"""A receiver may ask for a pause, but not to be forgotten."""


def pause_s(attempts: int, random: float) -> float:
    """Return the pause after so many failed attempts, between half and all of 5 s, 10 s, 20 s … 15 min.

    ``random`` (0 … 1) keeps receivers that failed together from being asked together.
    """
    whole = min(LONGEST_S, FIRST_S * (1 << min(attempts - 1, 16)))
    return whole * (0.5 + random / 2)


def next_try_ms(attempts: int, random: float, *, since_ms: int, now_ms: int, asked_s: float | None) -> int | None:
    """Return when to try again; ``None``: never. ``asked_s`` is how long the receiver asked us to wait."""
    if now_ms - since_ms >= GIVE_UP_MS:
        return None
    wait_s = pause_s(attempts, random)
    if asked_s is not None:
        wait_s = max(wait_s, min(asked_s, MOST_ASKED_S))
    return now_ms + round(wait_s * 1000)
