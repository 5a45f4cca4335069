"""What the same user gets from one answer and from another, as shares of all users: by computing. Pure.

The formulas are those of "Consistent hashing" in docs/reference/hashing.md.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import inf

import msgspec

from rheostat.engine.cells import Cell
from rheostat.engine.hashing import exposed_below, held_from
from rheostat.engine.rollouts import shares_in_force
from rheostat.model.flag import Rollout
from rheostat.model.ramp import RampOverlay
from rheostat.model.shares import TOTAL_PPM


class Outcome(msgspec.Struct, frozen=True):
    """What a user gets: a variant (``None``: the caller's default), and whether by being exposed to it."""

    variant: str | None
    exposed: bool


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rollout exposes: the places ``start`` … ``end`` − 1 of the line that salt and unit make.

    ``split`` are the weights above 0; ``rest`` is what those get who are not exposed.
    """

    salt: str
    bucket_by: str
    start: int
    end: int
    split: dict[str, float]
    rest: Outcome

    @property
    def unit(self) -> tuple[str, str]:
        """What places users on the line: two rollouts that have it in common draw the same."""
        return self.salt, self.bucket_by

    def shares(self) -> dict[Outcome, float]:
        """Return the share of users that gets each outcome."""
        exposed = (self.end - self.start) / TOTAL_PPM
        whole = sum(self.split.values())
        found = {self.rest: 1 - exposed}
        for variant, weight in self.split.items():
            found[Outcome(variant, True)] = exposed * weight / whole
        return found


Answering = Outcome | Line
"""What a rule or the default gives: all users one outcome, or a rollout."""
Joint = dict[tuple[Outcome, Outcome], float]
"""The share of users by what they get before and after."""


def line_of(
    rollout: Rollout,
    overlay: RampOverlay | None,
    off_variant: str | None,
    *,
    killed: bool,
    cell: Cell | None = None,
) -> Line:
    """Return the line of a rollout, under the ramp and the kill that stand over it; ``cell``: for these users."""
    exposure_ppm, holdback_ppm = shares_in_force(rollout, overlay, killed=killed, cell=cell)
    low, high = rollout.low, rollout.high
    end = min(exposed_below(low, high, exposure_ppm), held_from(low, high, holdback_ppm))
    greatest = max(rollout.split.values(), default=0.0)
    # By the greatest first, so that no sum of weights overflows.
    split = {variant: weight / greatest for variant, weight in rollout.split.items() if weight > 0}
    return Line(
        salt=rollout.salt,
        bucket_by=rollout.bucket_by,
        start=low,
        end=max(low, end) if split else low,
        split=split,
        rest=Outcome(off_variant if rollout.fallback is None else rollout.fallback, False),
    )


def joint(before: Answering, after: Answering) -> Joint:
    """Return the share of users by what they get before and after; the shares sum up to 1.

    On one line the places are compared, and the split is drawn by the same hashes. Two salts, or two units, are
    independent draws.
    """
    if isinstance(before, Line) and isinstance(after, Line) and before.unit == after.unit:
        return _on_one_line(before, after)
    found: Joint = {}
    for was, one in _shares(before).items():
        for now, other in _shares(after).items():
            found[was, now] = found.get((was, now), 0.0) + one * other
    return found


def _shares(answering: Answering) -> dict[Outcome, float]:
    return {answering: 1.0} if isinstance(answering, Outcome) else answering.shares()


def _on_one_line(before: Line, after: Line) -> Joint:
    both = max(0, min(before.end, after.end) - max(before.start, after.start))
    only_before = before.end - before.start - both
    only_after = after.end - after.start - both
    found: Joint = {(before.rest, after.rest): (TOTAL_PPM - both - only_before - only_after) / TOTAL_PPM}

    def add(was: Outcome, now: Outcome, places: int, share: float) -> None:
        found[was, now] = found.get((was, now), 0.0) + places / TOTAL_PPM * share

    if both:
        for (was, now), share in split_joint(before.split, after.split).items():
            add(Outcome(was, True), Outcome(now, True), both, share)
    for variant, share in _normal(before.split).items():
        add(Outcome(variant, True), after.rest, only_before, share)
    for variant, share in _normal(after.split).items():
        add(before.rest, Outcome(variant, True), only_after, share)
    return found


def _normal(split: Mapping[str, float]) -> dict[str, float]:
    whole = sum(split.values())
    return {variant: weight / whole for variant, weight in split.items()}


def split_joint(before: Mapping[str, float], after: Mapping[str, float]) -> dict[tuple[str, str], float]:
    """Return the share of users whom weighted rendezvous gives the one variant before and the other after.

    All weights are above 0. A user's hash makes ``e_v`` of each variant, independent and exponentially distributed;
    the variant is that of the least ``e_v / w_v``. Hence v stays with the share 1 / Σ_u max(w_u/w_v, w'_u/w'_v), and
    from v to w goes, with t = e_w / e_v, the integral of (1 + t + Σ_u max(w_u/w_v, t·w'_u/w'_w))^−2 over the
    t from w_w/w_v to w'_w/w'_v.
    """
    found: dict[tuple[str, str], float] = {}
    names = {*before, *after}
    for was, weight in before.items():
        for now, then in after.items():
            if was == now:
                share = 1 / sum(max(before.get(one, 0.0) / weight, after.get(one, 0.0) / then) for one in names)
            else:
                share = _switched(before, after, was, now)
            found[was, now] = share
    return found


def _switched(before: Mapping[str, float], after: Mapping[str, float], was: str, now: str) -> float:
    low = before.get(now, 0.0) / before[was]
    high = after[now] / after[was] if was in after else inf
    if not low < high:
        return 0.0
    others = {*before, *after} - {was, now}
    slopes = [(before.get(one, 0.0) / before[was], after.get(one, 0.0) / after[now]) for one in others]
    # Between these the integrand is (c + d·t)^−2: which of the two is the greater does not change.
    turns = {flat / steep for flat, steep in slopes if steep > 0 and low < flat / steep < high}
    edges = [low, *sorted(turns), high]
    share = 0.0
    for start, end in pairwise(edges):
        c, d = 1.0, 1.0
        for flat, steep in slopes:
            if steep > 0 and flat / steep <= start:
                d += steep
            else:
                c += flat
        if end == inf:
            share += 1 / (d * (c + d * start))
        else:
            share += (end - start) / ((c + d * start) * (c + d * end))
    return share
