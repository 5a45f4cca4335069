"""Which instances applied a kill, how long it took, and whether exposure fell. Pure.

All times are ms of the servers' clocks.
"""

import math
from collections.abc import Sequence

import msgspec

from rheostat_server.ramps.words import count, duration

HEARD_BEFORE_MS = 60_000
"""An instance counts that was heard in the minute before the kill, or since."""
JOINED_MS = 600_000
"""Who is first heard later than this after the kill has begun with it: nobody waits for them."""
GONE_MS = 600_000
"""An instance that has been silent for so long is gone."""
SILENT_MS = 15_000
"""One that was not heard for so long is called silent: instances report every 10 s at least."""
NOBODY = "no SDK has been heard from in the last minute"


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one instance and one kill.

    ``seen_ms`` is when it was last heard; ``None`` where it is forgotten by now. ``said_ms`` is the newest moment of
    which it has spoken. ``acknowledges``: it says what it applied. ``before``: it was heard of before the kill.
    ``treated_ms`` is the newest moment at which it surely showed the killed variant to somebody new.
    """

    instance: str
    service: str
    seen_ms: int | None = None
    said_ms: int = 0
    goodbye: bool = False
    acknowledges: bool = False
    before: bool = False
    applied_ms: int | None = None
    treated_ms: int | None = None


class Straggler(msgspec.Struct, frozen=True, kw_only=True):
    """An instance that has not applied a kill, as far as it says.

    ``state``: it ``reports`` without the kill, it is ``silent``, its report is ``awaited``, or it is ``mute``: it
    reports, and never says what it applied.
    """

    instance: str
    service: str
    state: str
    heard_ms: int


class Readback(msgspec.Struct, frozen=True, kw_only=True):
    """How far a kill has come.

    ``known`` are the instances that applied it and those of which it is expected. ``delays_ms`` are, ascending, of
    those that were heard of before the kill. ``gone`` ended without having applied it, or have been silent for ten
    minutes. ``unconfirmed`` are the instances that still expose somebody, or report without the kill, after the bound.
    """

    known: int
    applied: int
    delays_ms: tuple[int, ...] = ()
    stragglers: tuple[Straggler, ...] = ()
    gone: int = 0
    unconfirmed: tuple[str, ...] = ()

    def delay_ms(self, share: float) -> int | None:
        """Return within which time this share (0 … 1) of the instances applied it: nearest rank."""
        if not self.delays_ms:
            return None
        return self.delays_ms[max(0, math.ceil(share * len(self.delays_ms)) - 1)]

    @property
    def complete(self) -> bool:
        """Whether everybody applied it of whom that is expected."""
        return self.known > 0 and self.applied == self.known


def read_back(at_ms: int, heard: Sequence[Heard], now_ms: int, bound_ms: int) -> Readback:
    """Return how far a kill of ``at_ms`` has come by now; after ``bound_ms`` nobody should be exposed."""
    applied = gone = 0
    delays: list[int] = []
    stragglers: list[Straggler] = []
    unconfirmed: list[str] = []
    for one in heard:
        if _exposes(one, at_ms + bound_ms) and not _is_gone(one, now_ms):
            unconfirmed.append(one.instance)
        if one.applied_ms is not None:
            applied += 1
            if one.before:
                delays.append(max(0, one.applied_ms - at_ms))
        elif one.seen_ms is None or (one.goodbye and one.seen_ms <= at_ms):
            continue
        elif _is_gone(one, now_ms):
            gone += 1
        else:
            stragglers.append(_straggler(one, one.seen_ms, at_ms, now_ms))
    return Readback(
        known=applied + len(stragglers),
        applied=applied,
        delays_ms=tuple(sorted(delays)),
        stragglers=tuple(sorted(stragglers, key=lambda each: (each.service, each.instance))),
        gone=gone,
        unconfirmed=tuple(sorted(unconfirmed)),
    )


def line_of(seen: Readback) -> str:
    """Return the read-back in one line."""
    if not seen.known:
        return NOBODY
    line = f"{count(seen.applied)} of {count(seen.known)} instances applied it"
    if (p50 := seen.delay_ms(0.5)) is not None and (p99 := seen.delay_ms(0.99)) is not None:
        line += f": p50 {count(p50)} ms, p99 {count(p99)} ms"
    return line


def straggler_line(straggler: Straggler, now_ms: int) -> str:
    """Return what is known of a straggler in one line."""
    who = f"{straggler.service or '(no name)'} {straggler.instance[:8]}"
    ago = duration(max(0, now_ms - straggler.heard_ms) // 1000)
    match straggler.state:
        case "reports":
            return f"{who} reports, and has not applied it (heard {ago} ago)"
        case "mute":
            return f"{who} never says what it applied (heard {ago} ago)"
        case "silent":
            return f"{who} has been silent for {ago}"
        case _:
            return f"{who} has not reported since (heard {ago} ago)"


def _exposes(one: Heard, after_ms: int) -> bool:
    """Whether the instance showed the killed variant after this time, or reported then without the kill."""
    if one.treated_ms is not None and one.treated_ms > after_ms:
        return one.applied_ms is None or one.treated_ms > one.applied_ms
    return one.applied_ms is None and one.acknowledges and one.said_ms > after_ms


def _is_gone(one: Heard, now_ms: int) -> bool:
    return one.seen_ms is None or one.goodbye or now_ms - one.seen_ms >= GONE_MS


def _straggler(one: Heard, seen_ms: int, at_ms: int, now_ms: int) -> Straggler:
    if now_ms - seen_ms >= SILENT_MS:
        state = "silent"
    elif not one.acknowledges:
        state = "mute"
    else:
        state = "reports" if one.said_ms > at_ms else "awaited"
    return Straggler(instance=one.instance, service=one.service, state=state, heard_ms=seen_ms)
