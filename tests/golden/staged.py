"""Draws worlds whose ramps go from one value of an attribute to the next, or compare with a baseline."""

from typing import Any

import msgspec

from rheostat.engine import Ruleset
from rheostat.model.flag import Flag
from rheostat.model.serving import rollout_of
from rheostat.model.snapshot import Snapshot
from rheostat.outcomes.touch import touch_of
from tests.golden.answers import context_of, evaluations
from tests.golden.draws import MILLION, Draws

Json = dict[str, Any]
VALUES = ["eu", "us", "", "ñ", 1, 2.0, True, False]
CONTEXTS: list[Json] = [
    *({"region": value} for value in VALUES),
    *({"region": value} for value in ("1", 1.0, 0, None, ["eu"], "ap", {"a": "eu"})),
    {"user": {"region": "eu"}},
    {"user": {"region": "eu"}, "user.region": "us"},
    {"user": "eu"},
    {},
]


def staged_ramp(draws: Draws, number: int, flag: Json) -> Json:
    """Return a ramp with cells or with a baseline; live for who knows them, for all, for nobody, or not at all."""
    ramp = draws.ramp(number, flag)
    levels = ramp["levels"]
    if draws.chance(0.6):
        cells: Json = {"attribute": draws.pick(["region", "region", "user.region", "targetingKey"])}
        shuffled: list[Any] = draws.some([*VALUES, "user-1", "user-2"], 6)
        cut = draws.below(len(shuffled) + 1)
        cells |= {"done": shuffled[:cut], "now": shuffled[cut:], "rest": draws.chance(0.3)}
        cells |= {"done_ppm": draws.pick([levels[-1], MILLION]), "exposure_ppm": draws.pick(levels)}
        if draws.chance(0.3):
            cells |= {"exposure_ppm": levels[0], "arming_ppm": levels[-1]}
        ramp |= {"cells": cells, "exposure_ppm": levels[0]}
        ramp.pop("arming_ppm", None)
    else:
        ramp["baseline"] = draws.pick(list(flag["variants"]))
    live, parts = ramp.pop("live"), ["cells" if "cells" in ramp else "baseline"]
    # A part of which this format says nothing, and a ramp that every reader counts.
    odd = draws.below(20)
    return {**ramp, "live": live and odd == 0, "live_with": [*parts, "moon"] if odd == 1 else parts if live else []}


def staged_world(draws: Draws, flags: int, cases: int) -> Json:
    """Return a world like the others, but for its ramps and that contexts have regions."""
    world = draws.world(flags, cases)
    made = world["snapshot"]["flags"]
    for flag in made:
        # More rollouts than else, and more places in their ranges.
        if draws.chance(0.7):
            flag["default"] = {"rollout": draws.rollout(flag["key"], list(flag["variants"]))}
        if draws.chance(0.6):
            flag |= {"rules": [], "enabled": True}
    world["snapshot"]["ramps"] = [staged_ramp(draws, number, flag) for number, flag in enumerate(made)]
    world["snapshot"]["kills"] = world["snapshot"]["kills"][:1]
    world["kills"] = []
    for case in world["cases"]:
        case["context"] = {**case["context"], **draws.pick(CONTEXTS)}
    return world


def staged_answers(world: Json) -> list[Json]:
    """Return the answer to each case, with the entry of a unit that has an arm."""
    snapshot = msgspec.convert(world["snapshot"], Snapshot)
    ruleset = Ruleset.of(snapshot)
    found = []
    for case, answer in zip(world["cases"], evaluations(world), strict=True):
        context = context_of(case["context"])
        evaluation = ruleset.evaluate(case["flag"], context, age_ms=case.get("age_ms"), now_ms=case.get("now_ms"))
        if evaluation.arm is not None:
            flag, ramp = ruleset.flag(evaluation.flag), evaluation.ramp
            assert isinstance(flag, Flag)
            assert ramp is not None
            touch = touch_of(evaluation, rollout_of(flag, ramp.rollout), 0.0)
            assert touch is not None
            answer = {**answer, "entry": touch.entry}
        found.append(answer)
    return found
