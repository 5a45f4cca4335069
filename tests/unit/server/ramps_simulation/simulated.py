"""Crowds, plans and streams of which a test says only what it is about."""

from typing import Any

from rheostat_server.ramps.evidence import ArmTotals
from rheostat_server.ramps.simulation.crowd import Activity, Crowd, Group, Traffic, steady
from rheostat_server.ramps.simulation.stream import Stream, Told, View

NEVER_S = 1e12


def a_crowd(*groups: Group, rps: float = 100.0, users: int = 2_000, seed: int = 1, **changes: Any) -> Crowd:
    """A crowd of these groups; without any, half a percent of everybody's requests fails."""
    traffic = Traffic(rps, users, groups or (Group(1.0, steady(0.005)),), **changes)
    return Crowd(traffic, seed)


def a_view(percent: float = 10, **changes: Any) -> View:
    """As what requests are evaluated at this exposure."""
    share = percent / 100
    fields = {"epoch": 1, "exposure_ppm": round(share * 1e6), "drawn": share, "served": share}
    return View(**{**fields, **changes})


def told(
    stream: Stream, *views: View, until_s: float = 600.0, exposed_s: float = 0.0, block_s: float = 15.0
) -> list[Told]:
    """All blocks from 0 s on."""
    found, now_s = [], 0.0
    while now_s < until_s:
        found += stream.blocks(now_s, now_s + block_s, views or (a_view(),), exposed_s)
        now_s += block_s
    return found


def summed(found: list[Told], arm: str, field: str) -> int:
    """What one arm's field comes to over all blocks."""
    return sum(getattr(getattr(one.block, arm), field) for one in found)


def of_both(found: list[Told], field: str) -> int:
    """What a field comes to over both arms."""
    return summed(found, "treatment", field) + summed(found, "control", field)


FIELDS = ArmTotals.__struct_fields__
PARETO = Activity.PARETO
