"""Steps of a plan that are left out: those above where it is to end, or below where it is to begin. Pure."""

from collections.abc import Iterable

import msgspec

from rheostat_server.errors import Fault, Invalid
from rheostat_server.ramps.model import Plan, Step
from rheostat_server.ramps.words import exposure


def cut_at(steps: Iterable[Step], last_ppm: int | None, *, above_ppm: int) -> tuple[Step, ...]:
    """Return the steps up to this exposure, which is the last; all of them where there is none to end at.

    ``above_ppm`` is the exposure in force: at or below it no step is put in.

    A step that is put in dwells like the one above it, or as the last one does; a gate of that one is not its own.
    """
    every = tuple(steps)
    if last_ppm is None:
        return every
    below = tuple(step for step in every if step.exposure_ppm < last_ppm)
    above = [step for step in every if step.exposure_ppm >= last_ppm]
    if above and above[0].exposure_ppm == last_ppm:
        return (*below, above[0])
    like = [*above[:1], *below[-1:]]
    if not like or last_ppm <= above_ppm:
        return below
    return (*below, Step(exposure_ppm=last_ppm, min_dwell_s=like[0].min_dwell_s, max_dwell_s=like[0].max_dwell_s))


def beginning_at(plan: Plan, first_ppm: int) -> Plan:
    """Return the plan that begins at one of its steps.

    Raises:
        Invalid: it has no such step above the exposure in force.
    """
    steps = tuple(step for step in plan.steps if step.exposure_ppm >= first_ppm)
    if not steps or steps[0].exposure_ppm != first_ppm:
        there = ", ".join(exposure(step.exposure_ppm) for step in plan.steps)
        message = f"{exposure(first_ppm)} is no step above the exposure in force, {exposure(plan.start_ppm)}"
        raise Invalid([Fault("from", message, f"there are {there}")], "the ramp")
    return msgspec.structs.replace(plan, steps=steps)
