"""What a ramp document may say of a rolling ramp, and of a comparison with a baseline. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from rheostat.engine.equality import strictly_equal
from rheostat.model.document import RampStrategy, UntilDocument
from rheostat.model.window import instant_ms
from rheostat_server.faults import Fields, is_number, items_at, plain_number, spelled, type_name
from rheostat_server.flags.keys import key_at

ROLLING: Final = ("by", "values", "others", "shards")
COMPARISON: Final = ("baseline", "until", "sample")
MOST_STAGES: Final = 50
MOST_VALUES: Final = 1_000
MOST_SHARDS: Final = 100
_ONE_STEP: Final = "a comparison has one exposure"


class Rolling(NamedTuple):
    """The stages, or the shards, of a rolling ramp."""

    by: str | None = None
    values: tuple[tuple[Any, ...], ...] = ()
    others: bool = True
    shards: int | None = None


class Comparison(NamedTuple):
    """What a comparison compares with, and when it ends."""

    baseline: str | None = None
    until: str | UntilDocument | None = None
    sample: int | None = None


def check_rolling(fields: Fields, strategy: RampStrategy) -> Rolling:
    """Return what a rolling ramp goes by; faults where it does not say, or another strategy does."""
    if strategy is not RampStrategy.ROLLING:
        _only_for(fields, ROLLING, "rolling")
        return Rolling()
    if "shards" in fields:
        for name in ("by", "values", "others"):
            if name in fields:
                fields.fault(name, "shards are equal parts of all users", "leave out this, or shards")
        if "steps" in fields:
            fields.fault(
                "steps", "shards are the steps: 4 of them are 25, 50, 75 and 100 %", "leave out one of the two"
            )
        shards = fields.count("shards", least=2)
        if shards is not None and shards > MOST_SHARDS:
            fields.fault("shards", f"a ramp has at most {MOST_SHARDS} shards")
        return Rolling(shards=shards)
    fields.required("by", "values")
    by = fields.text("by", longest=256)
    if by == "":
        fields.fault("by", "an attribute has a name", "such as by: region")
    values = _stages(fields)
    return Rolling(by, values, fields.boolean("others", True))


def check_comparison(fields: Fields, strategy: RampStrategy) -> Comparison:
    """Return what a comparison compares; faults where it does not say, or another strategy does."""
    if strategy is not RampStrategy.A_B:
        _only_for(fields, COMPARISON, "a-b")
        return Comparison()
    fields.required("baseline")
    if "until" not in fields and "sample" not in fields:
        fields.fault("until", "a comparison runs until a date or a sample", "add until, or sample, or both")
    steps = fields.raw("steps")
    if isinstance(steps, (list, tuple)) and len(steps) > 1:
        fields.fault("steps", _ONE_STEP, "such as steps: [50]")
    _no_gates(fields)
    if fields.raw("holdback"):
        fields.fault("holdback", "the baseline is what a comparison compares with", "leave out holdback")
    return Comparison(key_at(fields, "baseline", "variant's name"), _until(fields), fields.count("sample"))


def until_ms(until: str | UntilDocument) -> int:
    """Return the moment, in ms since the Unix epoch.

    Raises:
        ValueError: it is none.
    """
    return instant_ms(until, None) if isinstance(until, str) else instant_ms(until.at, until.timezone)


def _no_gates(fields: Fields) -> None:
    """A comparison has a gate already: its end. One before it would let a person promote what is half seen."""
    what = "a comparison waits for a person's approval at its end, and for none before"
    if fields.raw("gate") is not None:
        fields.fault("gate", what, "leave out gate; say gate: null where a template has one")
    steps = fields.raw("steps")
    for index, step in enumerate(steps if isinstance(steps, (list, tuple)) else ()):
        if isinstance(step, Mapping) and step.get("gate") not in (None, "none"):
            fields.faults.add(f"{fields.at('steps')}[{index}].gate", what, "leave out gate")


def _only_for(fields: Fields, names: Sequence[str], strategy: str) -> None:
    for name in names:
        if name in fields:
            fields.fault(name, f"only a ramp of the strategy {strategy} has this", f"add strategy: {strategy}")


def _stages(fields: Fields) -> tuple[tuple[Any, ...], ...]:
    raw = fields.raw("values")
    if raw is None:
        return ()
    stages: list[tuple[Any, ...]] = []
    seen: list[Any] = []
    for where, item in items_at(raw, fields.at("values"), fields.faults):
        if isinstance(item, (list, tuple)):
            if not item:
                fields.faults.add(where, "a stage has at least one value", "such as [ap, au]")
            parts = list(items_at(item, where, fields.faults))
        else:
            parts = [(where, item)]
        stages.append(tuple(_values(parts, seen, fields)))
    if isinstance(raw, (list, tuple)) and not stages:
        fields.fault("values", "a rolling ramp has at least one stage", "such as values: [eu, us, [ap, au]]")
    if len(stages) > MOST_STAGES or len(seen) > MOST_VALUES:
        fields.fault("values", f"a ramp has at most {MOST_STAGES} stages and {MOST_VALUES} values")
    return tuple(stages)


def _values(parts: Sequence[tuple[str, Any]], seen: list[Any], fields: Fields) -> Iterator[Any]:
    for path, value in parts:
        if not isinstance(value, (str, bool)) and not is_number(value):
            what = f"a value is text, a number, true or false, not {type_name(value)}"
            fields.faults.add(path, what, "such as eu; several of one stage are [ap, au]")
            continue
        plain = str(value) if isinstance(value, str) else value if isinstance(value, bool) else plain_number(value)
        if any(strictly_equal(plain, other) for other in seen):
            fields.faults.add(path, f"{spelled(plain)} is of an earlier stage already", "name each value once")
        seen.append(plain)
        yield plain


def _until(fields: Fields) -> str | UntilDocument | None:
    raw = fields.raw("until")
    if raw is None:
        return None
    hint = 'such as 2026-12-01T00:00:00Z, or {at: "2026-12-01T00:00", timezone: Europe/Madrid}'
    until: str | UntilDocument
    if isinstance(raw, str):
        until = str(raw)
    elif isinstance(raw, dict):
        inner = Fields(raw, fields.at("until"), fields.faults, ("at", "timezone"))
        inner.required("at", "timezone")
        at, timezone = inner.text("at"), inner.text("timezone")
        if at is None or timezone is None:
            return None
        until = UntilDocument(at=at, timezone=timezone)
    else:
        fields.fault("until", f"a date and time is text, not {type_name(raw)}", f"put it in quotes, {hint}")
        return None
    try:
        until_ms(until)
    except ValueError as error:
        fields.fault("until", str(error), hint)
        return None
    return until
