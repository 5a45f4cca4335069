"""What a foreign metric's query comes to under the guard: a pair of counters with a ceiling, or a refusal. Pure."""

from typing import Any, Final

from rheostat_server.faults import Faults
from rheostat_server.flags.keys import is_key
from rheostat_server.ramps.counting import Bounds
from rheostat_server.ramps.foreign.changes import BY_THRESHOLD, Changes
from rheostat_server.ramps.foreign.ratio import Share, share_of
from rheostat_server.ramps.promql import PromqlError

_PAIR: Final = "write a guardrail of your own: {name: …, bad: counter, total: counter, threshold: percent}"


def guardrail_of(
    name: str,
    query: str,
    bounds: Bounds,
    *,
    path: str,
    query_path: str,
    faults: Faults,
    changes: Changes,
    holds_only: bool = False,
) -> dict[str, Any] | None:
    """Return the guardrail that a metric's query becomes; ``None``, and a fault or a line, where it becomes none."""
    if bounds.least is None and bounds.most is None:
        changes.say(path, f"left out: {name} has no bound, so that nothing ever fails it")
        return None
    try:
        share = share_of(query)
    except PromqlError as error:
        faults.add(
            query_path, f"under the guard {name} has to be a share of requests: {error}", f"{_PAIR}; {BY_THRESHOLD}"
        )
        return None
    if share.scale == 0:
        faults.add(query_path, f"{name} is times 0", f"{_PAIR}; {BY_THRESHOLD}")
        return None
    least, most = _bounds_of_part(share, bounds)
    if least is not None and most is not None:
        faults.add(path, f"{name} has two bounds, and a guardrail one", f"make it two metrics, {BY_THRESHOLD}")
        return None
    if least is None and most is None:
        changes.say(path, f"left out: a share of requests is always within the bounds of {name}")
        return None
    bad, rate = (share.part, most) if most is not None else (share.part_of_whole, 1 - (least or 0.0))
    assert rate is not None
    percent = round(100 * rate, 4)
    if not 0 < percent < 100:
        faults.add(
            path, f"{name} allows {percent:g} % of bad requests, and a ceiling is above 0 and below 100 %", BY_THRESHOLD
        )
        return None
    if not is_key(name):
        faults.add(path, f"{name!r} is no name of a guardrail", "letters, digits, dots, dashes and underscores")
        return None
    guardrail: dict[str, Any] = {"name": name, "bad": bad, "total": share.whole, "threshold": plain(percent)}
    line = (
        f"{name} counts {bad} of {share.whole}, each request once and not over a window; {percent:g} % is its ceiling"
    )
    if not share.armed:
        guardrail["arms"] = "none"
        line += ". Nothing in it tells the exposed from the others, so that it holds the ramp and does not kill"
    elif holds_only:
        guardrail["kill"] = False
    changes.say(path, line)
    return guardrail


def _bounds_of_part(share: Share, bounds: Bounds) -> tuple[float | None, float | None]:
    """Return what the bounds of the value mean to part / whole, where they mean anything: it is 0 … 1 anyway."""

    def part(bound: float | None) -> float | None:
        return None if bound is None else (bound - share.offset) / share.scale

    least, most = part(bounds.least), part(bounds.most)
    if share.scale < 0:
        least, most = most, least
    return (None if least is None or least <= 0 else least), (None if most is None or most >= 1 else most)


def plain(number: float) -> int | float:
    """Return a whole number as one."""
    return int(number) if number == int(number) else number
