"""What the engine says, as the plain JSON of the golden vectors."""

from typing import Any

import msgspec

from rheostat.engine import Ruleset
from rheostat.engine.conditions import compile_condition
from rheostat.engine.operators import compile_test
from rheostat.model.context import Context
from rheostat.model.evaluation import CODE_DEFAULT, Evaluation
from rheostat.model.flag import Condition, Operator, Segment
from rheostat.model.kill import Kill
from rheostat.model.snapshot import Snapshot
from tests.builders import a_snapshot

Json = dict[str, Any]


def context_of(given: Json) -> Context:
    """Return the context whose ``targetingKey`` is among its attributes."""
    attributes = {name: value for name, value in given.items() if name != "targetingKey"}
    return Context.of(given.get("targetingKey"), attributes)


def answer_of(found: Evaluation) -> Json:
    """Return the parts of an evaluation that a port must give."""
    answer: Json = {"variant": found.variant}
    if found.value is not CODE_DEFAULT:
        answer["value"] = found.value
    answer["reason"] = found.reason.value
    parts: Json = {
        "error_code": found.error_code,
        "rule": found.rule,
        "arm": found.arm,
        "unit": found.unit,
        "place": found.place,
        "ramp": found.ramp and found.ramp.ramp,
    }
    return answer | {name: part for name, part in parts.items() if part is not None}


def evaluations(world: Json) -> list[Json]:
    """Return the answer to each case of a world: a snapshot, kills beside it, cases."""
    snapshot = msgspec.convert(world["snapshot"], Snapshot)
    ruleset = Ruleset.of(snapshot, msgspec.convert(world["kills"], tuple[Kill, ...]))
    found = []
    for case in world["cases"]:
        context, age_ms, now_ms = context_of(case["context"]), case.get("age_ms"), case.get("now_ms")
        found.append(answer_of(ruleset.evaluate(case["flag"], context, age_ms=age_ms, now_ms=now_ms)))
    return found


def truth_of(operator: str, values: list[Any], x: Any) -> bool | None:
    """Return what the operator says of an attribute value that is there."""
    return compile_test(Operator(operator), values)(x)


def truths(segments: list[Json], contexts: list[Json], conditions: list[Json]) -> list[list[bool | None]]:
    """Return, for each condition, its truth in each context."""
    known = Ruleset.of(a_snapshot(segments=msgspec.convert(segments, tuple[Segment, ...])))
    given = [context_of(context) for context in contexts]
    compiled = [compile_condition(msgspec.convert(condition, Condition)) for condition in conditions]
    return [[judge(context, known) for context in given] for judge in compiled]
