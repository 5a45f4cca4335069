"""The steps that a strategy makes, and the figures that it makes them from. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from rheostat.model.document import RampDocument, RampStrategy, StepDocument
from rheostat.model.shares import TOTAL_PPM, percent_to_ppm, ppm_to_percent
from rheostat_server.errors import Fault
from rheostat_server.faults import Faults, Fields, spelled
from rheostat_server.ramps.model import Plan

MOST_STEPS: Final = 100
FIELDS: Final = ("step_weight", "first_weight", "max_weight", "factor")
"""The fields of a document that only strategies read which make their steps."""
FIRST_WEIGHT: Final = 1
FACTOR: Final = 2
MOST_FACTOR: Final = 100
MAX_WEIGHT: Final = 100

_READS: Final[Mapping[RampStrategy, tuple[str, ...]]] = {
    RampStrategy.LINEAR: ("step_weight", "max_weight"),
    RampStrategy.EXPONENTIAL: ("first_weight", "factor", "max_weight"),
    RampStrategy.BLUE_GREEN: (),
}
_OF_LINEAR: Final = "raise step_weight, or lower max_weight: 100 % is added at the end"
_OF_EXPONENTIAL: Final = "raise factor or first_weight, or lower max_weight: 100 % is added at the end"

_NO_RETURN: Final = (
    "at 100 % nobody is left to compare with: a blue-green ramp needs a holdback, or a ceiling that kills"
)
_A_RETURN: Final = (
    "add holdback: 2, or a guardrail with a threshold that kills (where it counts requests with kill: true); or say "
    "unguarded: true"
)


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy makes its steps from, as it was written."""

    step_weight: int | float | None = None
    first_weight: int | float | None = None
    max_weight: int | float | None = None
    factor: int | float | None = None


def makes_steps(strategy: str) -> bool:
    """Whether the strategy makes its steps itself, so that a document must not name any."""
    return strategy in _READS


def check_weights(fields: Fields, strategy: RampStrategy) -> Weights:
    """Return the figures that a document gives its strategy, and note the faults in them."""
    for name in FIELDS:
        if fields.raw(name) is not None and name not in _READS.get(strategy, ()):
            readers = [str(reader) for reader, names in _READS.items() if name in names]
            hint = f"leave it out, or say strategy: {' or '.join(readers)}"
            fields.fault(name, f"the strategy {strategy} has no {name}", hint)
    if makes_steps(strategy) and fields.raw("steps") is not None:
        hint = "leave out steps, or say strategy: custom"
        fields.fault("steps", f"the strategy {strategy} makes its steps itself", hint)
    weights = Weights(
        step_weight=_weight(fields, "step_weight"),
        first_weight=_weight(fields, "first_weight"),
        max_weight=_weight(fields, "max_weight"),
        factor=_factor(fields),
    )
    match strategy:
        case RampStrategy.LINEAR:
            _check_linear(fields, weights)
        case RampStrategy.EXPONENTIAL:
            _check_exponential(fields, weights)
        case _:
            pass
    return weights


def made_steps(document: RampDocument) -> tuple[StepDocument, ...]:
    """Return the steps of a document: those that it names, or those that its strategy makes; none: the plan's own."""
    if not makes_steps(document.strategy):
        return document.steps
    return tuple(StepDocument(exposure=ppm_to_percent(ppm)) for ppm in _made(document))


def place_of_steps(document: RampDocument) -> str:
    """Return the path of what the steps of a plan come from: ``steps`` where the document names them."""
    match document.strategy:
        case RampStrategy.LINEAR:
            return "step_weight"
        case RampStrategy.EXPONENTIAL:
            return "first_weight"
        case RampStrategy.BLUE_GREEN:
            return "strategy"
        case _ if document.shards is not None:
            return "shards"
        case _:
            # Without steps the plan makes them by the users whom it knows of.
            return "steps" if document.steps else "users"


def check_return(document: RampDocument, faults: Faults, path: str) -> None:
    """Note the fault of a blue-green ramp that nothing would take back, as far as its document tells.

    ``path`` is what makes it blue-green.
    """
    if document.strategy is not RampStrategy.BLUE_GREEN or document.unguarded or document.holdback > 0:
        return
    if not any(guardrail.threshold is not None and guardrail.kill is not False for guardrail in document.guardrails):
        faults.add(path, _NO_RETURN, _A_RETURN)


def without_return(plan: Plan) -> Iterator[Fault]:
    """Yield the fault of a planned blue-green ramp that nothing would take back."""
    if plan.strategy != RampStrategy.BLUE_GREEN or not plan.guarded or plan.holdback_ppm > 0:
        return
    if not any(guardrail.may_kill and guardrail.ceiling is not None for guardrail in plan.guardrails):
        yield Fault("strategy", _NO_RETURN, _A_RETURN)


def _made(document: RampDocument) -> Iterator[int]:
    """Yield the exposures, ascending, in ppm; the last is 100 %."""
    most = percent_to_ppm(MAX_WEIGHT if document.max_weight is None else document.max_weight)
    match document.strategy:
        case RampStrategy.LINEAR:
            weight = percent_to_ppm(document.step_weight or MAX_WEIGHT)
            yield from range(weight, most, weight)
            yield most
        case RampStrategy.EXPONENTIAL:
            factor = FACTOR if document.factor is None else document.factor
            at = percent_to_ppm(FIRST_WEIGHT if document.first_weight is None else document.first_weight)
            yield from _growing(at, factor, most)
            yield most
        case _:
            most = 0
    if most < TOTAL_PPM:
        yield TOTAL_PPM


def _growing(at: int, factor: float, most: int) -> Iterator[int]:
    while at < most:
        yield at
        # By a factor near 1 the smallest exposures would stand still.
        at = max(at + 1, round(at * factor))


def _check_linear(fields: Fields, weights: Weights) -> None:
    if fields.raw("step_weight") is None:
        fields.fault("step_weight", "a linear ramp has a step_weight", "such as step_weight: 10, in percent")
    weight, most = weights.step_weight, MAX_WEIGHT if weights.max_weight is None else weights.max_weight
    if weight is None:
        return
    if weight > most:
        hint = f"at most {most:g}"
        fields.fault("step_weight", f"{weight:g} is above max_weight, {most:g}", hint)
    elif -(-percent_to_ppm(most) // percent_to_ppm(weight)) + (most < MAX_WEIGHT) > MOST_STEPS:
        fields.fault("step_weight", f"this makes more than {MOST_STEPS} steps", _OF_LINEAR)


def _check_exponential(fields: Fields, weights: Weights) -> None:
    first = FIRST_WEIGHT if weights.first_weight is None else weights.first_weight
    most = MAX_WEIGHT if weights.max_weight is None else weights.max_weight
    factor = FACTOR if weights.factor is None else weights.factor
    if first > most:
        path = "max_weight" if weights.first_weight is None else "first_weight"
        fields.fault(
            path, f"the first weight, {first:g}, is above max_weight, {most:g}", "lower the one or raise the other"
        )
        return
    steps = int(most < MAX_WEIGHT)
    for _ in _growing(percent_to_ppm(first), factor, percent_to_ppm(most)):
        steps += 1
        if steps >= MOST_STEPS:
            fields.fault("factor", f"this makes more than {MOST_STEPS} steps", _OF_EXPONENTIAL)
            return


def _weight(fields: Fields, name: str) -> int | float | None:
    weight = fields.percent(name)
    if weight is None or weight > 0:
        return weight
    fields.fault(name, "a weight is above 0 percent", "such as 10")
    return None


def _factor(fields: Fields) -> int | float | None:
    factor = fields.number("factor")
    if factor is None or 1 < factor <= MOST_FACTOR:
        return factor
    what = f"{spelled(factor)} is not above 1 and at most {MOST_FACTOR}: each step is so many times the one before"
    fields.fault("factor", what, "such as 2")
    return None
