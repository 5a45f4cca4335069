"""An explanation as lines for a terminal, from the JSON of the API. Pure."""

from collections.abc import Iterator
from typing import Any

import msgspec

Line = tuple[str, str]
"""What is printed, and the style that it is printed in."""

_VERDICTS = {"true": "green", "false": "red", "unknown": "yellow", "failed": "bold red"}
_FEW_VALUES = 5


def lines_of(explanation: dict[str, Any], where: str) -> Iterator[Line]:
    """Yield the walk: the answer first, then each step with its conditions and the place on the line."""
    identity, answer = explanation["identity"], explanation["evaluation"]
    revision = f"{identity.get('generation', 0)}-{identity.get('revision', 0)}"
    yield f"{explanation['flag']} in {where}, revision {revision}: {_answer(answer)}", "bold"
    if explanation.get("stale"):
        yield f"  the snapshot is stale: {explanation.get('age_ms')} ms old", "yellow"
    yield from _steps(explanation, "  ")


def _answer(answer: dict[str, Any]) -> str:
    if answer.get("variant") is None:
        given = "the caller's default"
    else:
        given = f"{answer['variant']} ({_json(answer.get('value'))})"
    error = f", {answer['error_code']}: {answer['error_message']}" if answer.get("error_code") else ""
    return f"{given}, {answer['reason']}{error}"


def _steps(explanation: dict[str, Any], indent: str) -> Iterator[Line]:
    for step in explanation["steps"]:
        mark, style = ("·", "") if step["passed"] else ("→", "bold cyan")
        name = f" {step['name']}" if step.get("name") else ""
        yield f"{indent}{mark} {step['exit']}{name}: {step['text']}", style
        inner = indent + "    "
        if step.get("variants"):
            yield f"{inner}needed: {' or '.join(step['variants'])}", "dim"
        if step.get("prerequisite"):
            yield from _steps(step["prerequisite"], inner)
        if step.get("window"):
            yield f"{inner}window: {_json(step['window'])}", "dim"
        if step.get("condition"):
            yield from _condition(step["condition"], inner)
        if step.get("rollout"):
            yield from _rollout(step["rollout"], inner)


def _condition(walk: dict[str, Any], indent: str) -> Iterator[Line]:
    verdict = walk["verdict"]
    if "attribute" in walk:
        shown = walk.get("shown")
        found = f"it is {shown['type']} {shown['text']}" if shown else "the context has none"
        values = _values(walk)
        text = " ".join(word for word in (walk["attribute"], walk["operator"], values) if word) + f"; {found}"
    elif "segment" in walk:
        text = f"segment {walk['segment']}" + (f": {walk['because']}" if walk.get("because") else "")
    else:
        text = f"{walk.get('group', 'nothing')} of" if walk.get("group") != "not" else "not"
    yield f"{indent}{verdict:<7} {text}", _VERDICTS.get(verdict, "")
    for part in walk.get("parts", []):
        yield from _condition(part, indent + "  ")


def _values(walk: dict[str, Any]) -> str:
    values, count = walk.get("values", []), walk.get("value_count", 0)
    few = ", ".join(map(_json, values[:_FEW_VALUES]))
    return few + (f", … ({count} values)" if count > _FEW_VALUES else "")


def _rollout(walk: dict[str, Any], indent: str) -> Iterator[Line]:
    unit = f"unit {walk['unit']}" if walk.get("unit") is not None else "no unit"
    yield f"{indent}{unit} by {walk['bucket_by']}, salt {walk['salt']}", "dim"
    if walk.get("place") is not None:
        held = walk["held_from"]
        back = f", held back from {held} on" if held < walk["high"] else ""
        span = f"{walk['low']} … {walk['high'] - 1}"
        yield f"{indent}place {walk['place']} on {span}: exposed below {walk['exposed_below']}{back}", "dim"
    yield f"{indent}exposure: {_exposure(walk)}", "dim"
    for variant in walk.get("split", []):
        score = "never" if variant["score"] is None else f"score {variant['score']:.6g}"
        chosen = ", the least: chosen" if variant["variant"] == walk.get("chosen") else ""
        yield f"{indent}split {variant['variant']}: weight {variant['weight']:g}, {score}{chosen}", "dim"


def _exposure(walk: dict[str, Any]) -> str:
    declared = f"declared {walk['declared_ppm'] / 10_000:g} %"
    if walk.get("killed"):
        return f"{declared}, in force 0 % by a kill"
    by = f" by ramp {walk['ramp']}" if walk.get("ramp") else ""
    return f"{declared}, in force {walk['exposure_ppm'] / 10_000:g} %{by}"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
