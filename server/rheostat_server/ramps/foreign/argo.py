"""Argo Rollouts' canary steps and its analyses, read as they are. Pure."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec

from rheostat_server.faults import Faults, Fields, items_at, spelled
from rheostat_server.ramps.counting import TOTAL_WEIGHT
from rheostat_server.ramps.foreign.argo_templates import ArgoCheck, ArgoTemplate, check_argo_templates, check_run
from rheostat_server.ramps.foreign.changes import Changes
from rheostat_server.ramps.foreign.lengths import seconds_of

MOST_STEPS: Final = 200
LONGEST_PAUSE_S: Final = 90 * 86_400.0
_ARGO: Final = ("steps", "analysis", "analysisTemplates")
_STEP: Final = (
    "setWeight",
    "pause",
    "analysis",
    "experiment",
    "setCanaryScale",
    "setHeaderRoute",
    "setMirrorRoute",
    "plugin",
)
_REFUSED: Final = {
    "experiment": (
        "an experiment runs pods of its own, and a flag has none",
        "leave it out; `rheostat ramp simulate` and the pre-flight look before anybody is exposed",
    ),
    "setHeaderRoute": (
        "a flag does not see headers",
        "put what they tell into the evaluation context, and serve those users by a rule with `when:`",
    ),
    "setMirrorRoute": ("a flag cannot serve a request twice", "leave it out"),
    "plugin": (
        "plugins are not run",
        "do what it does before the start, or between `gate: manual` steps; leave it out",
    ),
}


class ArgoStepRead(msgspec.Struct, frozen=True, kw_only=True):
    """A step: a weight, a pause (``endless``: until somebody goes on), or an analysis; else it does nothing."""

    path: str
    weight: int | None = None
    pause_s: float | None = None
    endless: bool = False
    checks: tuple[ArgoCheck, ...] | None = None


class ArgoCanary(msgspec.Struct, frozen=True, kw_only=True):
    """A canary. ``background`` is measured from the step ``starting_step`` on, to the end."""

    path: str
    steps: tuple[ArgoStepRead, ...]
    background: tuple[ArgoCheck, ...] = ()
    starting_step: int = 0


def check_argo(data: object, path: str, faults: Faults, changes: Changes, values: Mapping[str, str]) -> ArgoCanary:
    """Return what the block says. Faults have its own paths."""
    fields = Fields(data, path, faults, _ARGO)
    fields.required("steps")
    templates = check_argo_templates(fields, "analysisTemplates")
    steps: list[ArgoStepRead] = []
    highest = 0
    for where, one in items_at(fields.raw("steps") or [], fields.at("steps"), faults):
        step = Fields(one, where, faults, _STEP)
        kinds = [name for name in _STEP if name in step]
        if len(kinds) > 1:
            faults.add(where, f"a step is one thing, and this is {' and '.join(kinds)}", "make it two steps")
            continue
        read = _step(step, kinds[0] if kinds else "", changes, templates, values)
        if read is None:
            continue
        if read.weight is not None:
            if read.weight < highest:
                step.fault("setWeight", f"a ramp goes up, and {read.weight} is below {highest}", "leave the step out")
            highest = max(highest, read.weight)
        steps.append(read)
    if len(steps) > MOST_STEPS:
        fields.fault("steps", f"there are at most {MOST_STEPS} steps")
    if highest == 0 and len(faults) == 0:
        fields.fault("steps", "no step sets a weight above 0", "Argo would serve everybody at once: setWeight: 100")
    background, starting = _background(fields, changes, templates, values)
    return ArgoCanary(path=path, steps=tuple(steps), background=background, starting_step=starting)


def _background(
    fields: Fields, changes: Changes, templates: tuple[ArgoTemplate, ...], values: Mapping[str, str]
) -> tuple[tuple[ArgoCheck, ...], int]:
    data = fields.raw("analysis")
    if data is None:
        return (), 0
    checks = check_run(data, fields.at("analysis"), fields.faults, changes=changes, templates=templates, values=values)
    starting = 0
    if isinstance(data, Mapping) and "startingStep" in data:
        inner = Fields({"startingStep": data["startingStep"]}, fields.at("analysis"), fields.faults, ("startingStep",))
        starting = inner.count("startingStep", least=0) or 0
        if starting > MOST_STEPS:
            inner.fault("startingStep", f"there are at most {MOST_STEPS} steps")
    return checks, starting


def _step(
    step: Fields, kind: str, changes: Changes, templates: tuple[ArgoTemplate, ...], values: Mapping[str, str]
) -> ArgoStepRead | None:
    match kind:
        case "setWeight":
            weight = step.count("setWeight", least=0)
            if weight is not None and weight > TOTAL_WEIGHT:
                step.fault(
                    "setWeight", f"{spelled(weight)} is above {TOTAL_WEIGHT}", "a weight is a percentage of 0 to 100"
                )
            return None if weight is None else ArgoStepRead(path=step.path, weight=weight)
        case "pause":
            return _pause(step)
        case "analysis":
            checks = check_run(
                step.raw("analysis"),
                step.at("analysis"),
                step.faults,
                changes=changes,
                templates=templates,
                values=values,
            )
            return ArgoStepRead(path=step.path, checks=checks)
        case "setCanaryScale":
            changes.say(step.at(kind), "left out: a flag has no pods to scale")
            # It keeps its place: steps are counted from the first.
            return ArgoStepRead(path=step.path)
        case "":
            step.faults.add(step.path, "this step does nothing", "such as setWeight: 20, or pause: {duration: 10m}")
        case _:
            message, hint = _REFUSED[kind]
            step.fault(kind, message, hint)
    return None


def _pause(step: Fields) -> ArgoStepRead | None:
    raw = step.raw("pause")
    pause = Fields({} if raw is None else raw, step.at("pause"), step.faults, ("duration",))
    duration = pause.raw("duration")
    if duration is None:
        return ArgoStepRead(path=step.path, pause_s=0.0, endless=True)
    seconds: int | float = -1
    if isinstance(duration, int) and not isinstance(duration, bool):
        seconds = duration
    elif isinstance(duration, str):
        with suppress(ValueError):
            seconds = int(duration) if duration.isdecimal() else seconds_of(duration)
    if not 0 <= seconds <= LONGEST_PAUSE_S:
        pause.fault(
            "duration", f"{spelled(duration)} is not a length of time up to 90 days", "such as 10m, or 600 (seconds)"
        )
        return None
    return ArgoStepRead(path=step.path, pause_s=float(seconds))
