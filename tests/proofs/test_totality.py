"""Evaluation is total: any context, any environment, any bytes; never an exception."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rheostat.engine import Ruleset
from rheostat.errors import InvalidSnapshot
from rheostat.feed.protocol import decode_snapshot
from rheostat.model.context import Context
from rheostat.model.evaluation import CODE_DEFAULT, ErrorCode, Evaluation, Reason
from rheostat.model.flag import Answer, Condition, FlagType, Operator, Segment
from rheostat.model.serving import serve
from rheostat.model.snapshot import Snapshot
from rheostat.model.window import Window
from rheostat_server.flags.chains import MOST_FLAGS, MOST_SEGMENTS
from rheostat_server.flags.validate import validate_flag
from rheostat_server.flags.values import DEEPEST
from tests.builders import a_clause, a_flag, a_prerequisite, a_rollout, a_rule, a_snapshot
from tests.golden.draws import Draws
from tests.golden.make_vectors import edges
from tests.strategies import any_units, attribute_names, contexts, json_values, snapshots

GOLDEN = Path(__file__).parents[1] / "golden" / "evaluations.json"
MUTANTS = 12_000
USER = Context("user-1")
TOO_FAR = "its prerequisites, its segments or an attribute lead on too far"
times = st.one_of(st.none(), st.integers(min_value=-1, max_value=10), st.integers())


class Hostile:
    """An attribute value of which every method raises."""

    def _refuse(self, *arguments: object) -> Any:
        raise RuntimeError("no")

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = __str__ = __repr__ = __len__ = __iter__ = _refuse
    __contains__ = __bool__ = __float__ = __int__ = __index__ = __getitem__ = _refuse


class HostileMapping(Mapping[str, Any]):
    """An object that looks like a nested one until it is read."""

    def __getitem__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")


class Shade(Enum):
    """A member whose value is one of another enumeration's kind."""

    LIGHT = "light"
    ODD = (1, "x")


python_values: st.SearchStrategy[Any] = st.one_of(
    json_values,
    st.builds(Hostile),
    st.builds(HostileMapping),
    st.sampled_from([b"bytes", 1j, 10**5_000, float("inf"), float("nan"), Shade.LIGHT, Shade.ODD, UUID(int=1), object]),
    st.sampled_from(
        [
            Decimal("NaN"),
            Decimal("sNaN"),
            Decimal("1e400"),
            Decimal("-Infinity"),
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(1, 1, 1, tzinfo=UTC).replace(tzinfo=None),
            date.max,
        ]
    ),
    st.sets(st.integers()),
    st.lists(st.builds(Hostile), max_size=2),
)
python_contexts = st.builds(
    Context.of, st.one_of(st.none(), any_units), st.dictionaries(attribute_names, python_values, max_size=6)
)


def answered(ruleset: Ruleset, context: Context, now_ms: int | None = None, age_ms: int | None = None) -> int:
    """Evaluate every flag, check that each answer is one, and return how many there are."""
    answers = ruleset.bulk(context, now_ms=now_ms, age_ms=age_ms)
    for key, answer in answers.items():
        flag = ruleset.flag(key)
        assert isinstance(answer, Evaluation)
        assert flag is not None
        if answer.variant is None:
            assert answer.value is CODE_DEFAULT
        else:
            assert answer.value is flag.variants[answer.variant]
        assert (answer.reason is Reason.ERROR) == (answer.error_code is not None)
    return len(answers)


@given(snapshots, python_contexts, times, times)
def test_any_context_is_answered(snapshot: Snapshot, context: Context, now_ms: int | None, age_ms: int | None) -> None:
    """Whatever Python objects the attributes are, each flag has an answer."""
    assert answered(Ruleset.of(snapshot), context, now_ms, age_ms) == 3


def test_a_value_that_cannot_be_read_is_an_error_in_the_answer() -> None:
    """What the attribute's own code raises is told in the answer, so hostile values do reach the engine."""
    ruleset = Ruleset.of(a_snapshot(a_flag(rules=(a_rule(),), rollout=a_rollout(salt="s", bucket_by="plan"))))

    answer = ruleset.evaluate("checkout", Context("user-1", plan=HostileMapping()))

    assert answer.error_code is ErrorCode.GENERAL


# --- any valid document -------------------------------------------------------------------------------------------

VALUES: dict[FlagType, st.SearchStrategy[Any]] = {
    FlagType.BOOLEAN: st.booleans(),
    FlagType.STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    FlagType.INTEGER: st.integers(min_value=-(2**53), max_value=2**53),
    FlagType.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    FlagType.OBJECT: st.dictionaries(st.text("ab", max_size=2), st.booleans(), max_size=2),
}
text_values = st.lists(st.text("ab@.1", max_size=5), min_size=1, max_size=3)
document_clauses = st.one_of(
    st.builds(lambda values: {"operator": "in", "values": values}, text_values),
    st.builds(lambda values: {"operator": "ends_with", "values": values}, text_values),
    st.builds(lambda value: {"operator": "ge", "values": [value]}, st.integers(-5, 5)),
    st.just({"operator": "semver_lt", "values": ["2.0.0-rc.1"]}),
    st.just({"operator": "before", "values": ["2026-11-27T00:00:00Z"]}),
    st.just({"operator": "in_cidr", "values": ["10.0.0.0/8", "2001:db8::/32"]}),
    st.just({"operator": "exists"}),
    st.just({"operator": "matches", "values": ["(?i)^[^@]+@example\\.(com|org)$", "a{2,3}b?"]}),
    st.builds(lambda values: {"operator": "all_of", "values": values}, text_values),
).flatmap(lambda clause: attribute_names.map(lambda name: {"attribute": name, **clause}))
document_conditions: st.SearchStrategy[dict[str, Any]] = st.recursive(
    document_clauses,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
        st.sampled_from([{"segment": "beta"}, {"not": {"segment": "gone"}}]),
    ),
    max_leaves=5,
)
document_windows = st.sampled_from(
    [
        {"from": "1970-01-01T00:00:00.001Z", "until": "1970-01-01T00:00:00.005Z"},
        {"until": "2026-12-01T00:00", "timezone": "Europe/Madrid"},
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Documents that people could write."""
    kind = draw(st.sampled_from(list(FlagType)))
    names = draw(st.lists(st.sampled_from(["on", "off", "1", "blue"]), min_size=1, unique=True))
    some_variant = st.sampled_from(names)

    def rollout() -> dict[str, Any]:
        exposures = st.integers(0, 1_000_000).map(lambda ppm: ppm / 10_000)
        split = st.dictionaries(some_variant, st.sampled_from([1, 2.5, 99]), min_size=1)
        found = {"exposure": draw(exposures), "split": draw(split)}
        optional = {"fallback": some_variant, "bucket_by": attribute_names, "salt": st.just("shared")}
        return found | {name: draw(values) for name, values in optional.items() if draw(st.booleans())}

    def answer() -> dict[str, Any]:
        return {"serve": draw(some_variant)} if draw(st.booleans()) else {"rollout": rollout()}

    here: dict[str, Any] = {"enabled": draw(st.sampled_from([True, True, True, False])), "default": answer()}
    here["rules"] = [
        {"name": f"rule-{number}", "when": draw(document_conditions), **answer()}
        for number in range(draw(st.integers(0, 2)))
    ]
    for rule in here["rules"]:
        if draw(st.booleans()):
            rule["active"] = draw(document_windows)
    if draw(st.booleans()):
        here["prerequisites"] = [{"flag": "other", "variants": ["on"]}]
    if draw(st.booleans()):
        here["targets"] = {draw(some_variant): ["user-1", ""]}
    if draw(st.booleans()):
        here["max_staleness"] = "10m"
    document = {"kind": "flag", "key": "drawn", "type": kind.value, "environments": {"production": here}}
    document["variants"] = {name: draw(VALUES[kind]) for name in names}
    if draw(st.booleans()):
        document["off_variant"] = draw(some_variant)
    return document


@given(documents(), contexts, times, times)
def test_any_valid_document_is_answered(
    document: dict[str, Any], context: Context, now_ms: int | None, age_ms: int | None
) -> None:
    """What passes validation is served and evaluated, and never unreadable."""
    flag = serve(validate_flag(document), "production", 1)
    other, beta = a_flag("other", default=Answer(serve="on")), Segment(key="beta", included=("user-1",))
    ruleset = Ruleset.of(a_snapshot(flag, other, segments=(beta,)))

    assert answered(ruleset, context, now_ms, age_ms) == 2
    assert ruleset.evaluate("drawn", context).error_code in {None, ErrorCode.TARGETING_KEY_MISSING}


# --- any bytes ----------------------------------------------------------------------------------------------------

AWKWARD = {
    b'"': [b'""', b'"on"', b'"gone"', b'"default"', b'"targetingKey"', b'"a."', b'"\\u0000"', b'"\\ud800"', b'"\xff"'],
    b"0": [b"0", b"-1", b"1", b"1000000", b"-0.0", b"1e308", b"5e-324", b"9" * 400, b"1e999", b"18446744073709551616"],
    b"[": [b"[]", b"[null]", b"[{}]", b"[" * 5_000],
    b"{": [b"{}", b'{"segment":"round-1"}', b'{"not":' * 400 + b"{}" + b"}" * 400, b'{"on":1e-320,"off":1e308}'],
    b"t": [b"true", b"false", b"null"],
}
"""What a value may become, by how values of its kind begin."""
CONTEXTS = [Context(), Context("user-1", plan="pro", email="a@example.com", age=7), Context("", plan=None, user={})]


def seeds() -> list[bytes]:
    """The snapshots that mutants are made of: the golden ones, one at the edges, and random ones."""
    golden = msgspec.json.decode(GOLDEN.read_bytes())["snapshot"]
    drawn = [Draws(number).world(6, 0)["snapshot"] for number in range(8)]
    return [msgspec.json.encode(snapshot) for snapshot in (golden, edges()["snapshot"], *drawn)]


def value_at(data: bytes, at: int) -> tuple[int, int]:
    """Return the bounds of the value of the first member from here on."""
    start = at = data.find(b'":', at) + 2
    depth, quoted = 0, False
    while at < len(data):
        byte = data[at : at + 1]
        if byte == b'"' and data[at - 1 : at] != b"\\":
            quoted = not quoted
        if not quoted:
            if depth == 0 and byte in {b",", b"}", b"]"}:
                break
            depth += (byte in {b"{", b"["}) - (byte in {b"}", b"]"})
        at += 1
    return start, at


def mutant(draws: Draws, data: bytes) -> bytes:
    """Return the bytes with a few things changed: whole values, mostly by one of their kind; a byte; a stretch."""
    for _ in range(draws.between(1, 3)):
        at = draws.below(len(data))
        match draws.below(12):
            case 0:
                data = data[:at] + bytes([draws.below(256)]) + data[at + 1 :]
            case 1:
                data = data[:at] + data[at + draws.between(1, 40) :]
            case 2:
                data = data[:at] + data[draws.below(len(data)) :][:30] + data[at:]
            case _:
                start, end = value_at(data, at)
                first = data[start : start + 1]
                kind = b"0" if first in b"-0123456789" else b"t" if first in b"tfn" else first
                if draws.chance(0.15):
                    kind = draws.pick(list(AWKWARD))
                data = data[:start] + draws.pick(AWKWARD.get(kind, [b"null"])) + data[end:]
        data = data or b" "
    return data


def evaluated(data: bytes) -> str:
    """Return what became of the bytes: refused, or every flag answered."""
    try:
        snapshot = decode_snapshot(data)
    except InvalidSnapshot:
        return "refused"
    ruleset = Ruleset.of(snapshot, snapshot.kills)
    for context in CONTEXTS:
        answered(ruleset, context, 1_000, 1_001)
    return "answered"


def test_any_bytes_are_refused_or_answered() -> None:
    """A damaged snapshot is either an ``InvalidSnapshot``, or one that evaluates; nothing else is raised."""
    draws, originals = Draws(4_200), seeds()
    became = [evaluated(mutant(draws, draws.pick(originals))) for _ in range(MUTANTS)]

    # Both must happen often, or the mutants would be too wild or too tame to prove anything.
    assert became.count("refused") > MUTANTS // 5
    assert became.count("answered") > MUTANTS // 5


def test_what_the_decoder_lets_out_would_be_seen() -> None:
    """Some mutants make the bare decoder raise what is no ``ValueError``, so the test above meets them."""
    draws, originals, odd = Draws(4_200), seeds(), 0
    for _ in range(MUTANTS):
        try:
            msgspec.json.decode(mutant(draws, draws.pick(originals)), type=Snapshot)
        except ValueError:
            continue
        except RecursionError:
            odd += 1
    assert odd > 0


@given(st.binary(max_size=200))
@example(b"")
@example(b'{"format":1}')
def test_bytes_that_are_no_snapshot_are_refused(data: bytes) -> None:
    """Bytes that never were a snapshot are an ``InvalidSnapshot``."""
    with pytest.raises(InvalidSnapshot):
        decode_snapshot(data)


def test_a_chain_of_thousands_of_prerequisites_is_answered() -> None:
    """A chain longer than the interpreter's stack ends in an answer, evaluated or explained."""
    flags = [a_flag(f"flag-{n}", prerequisites=(a_prerequisite(f"flag-{n + 1}"),)) for n in range(10_000)]
    ruleset = Ruleset.of(a_snapshot(*flags))

    for answer in (ruleset.evaluate("flag-0", USER), ruleset.explain("flag-0", USER).evaluation):
        assert (answer.error_code, answer.error_message) == (ErrorCode.GENERAL, TOO_FAR)
    assert ruleset.evaluate("flag-9999", USER).variant == "off"
    assert ruleset.turned(0, 1) == frozenset()


def test_a_chain_of_thousands_of_segments_is_answered() -> None:
    """Evaluated or explained, in one direction or in a circle; flags that ask none of them are as ever."""
    chain = [Segment(key=f"s-{n}", conditions=(Condition(segment=f"s-{n + 1}"),)) for n in range(10_000)]
    asks = a_flag("asks", rules=(a_rule(when=Condition(segment="s-0")),))
    ruleset = Ruleset.of(a_snapshot(asks, a_flag("fine"), segments=tuple(chain)))

    for answer in (ruleset.evaluate("asks", USER), ruleset.explain("asks", USER).evaluation):
        assert (answer.error_code, answer.error_message) == (ErrorCode.GENERAL, TOO_FAR)
    assert ruleset.evaluate("fine", USER).variant == "off"
    circle = (*chain[:-1], Segment(key="s-9999", conditions=(Condition(segment="s-0"),)))
    assert Ruleset.of(a_snapshot(asks, segments=circle)).evaluate("asks", USER).error_code is None


def test_the_deepest_that_can_be_written_is_evaluated_in_an_application() -> None:
    """The longest chains of flags and of segments, each with conditions of the greatest depth, need half the stack."""
    told: list[tuple[str, type]] = []

    def nested(innermost: Condition) -> Condition:
        for _ in range(DEEPEST - 1):
            innermost = Condition(all=(innermost,))
        return innermost

    clause = a_clause("plan", Operator.IN, "pro")
    last = MOST_SEGMENTS - 1
    segments = [
        Segment(key=f"s-{n}", conditions=(nested(clause if n == last else Condition(segment=f"s-{n + 1}")),))
        for n in range(MOST_SEGMENTS)
    ]
    rules = (a_rule(when=nested(Condition(segment="s-0")), active=Window(0)),)
    common: dict[str, Any] = {"max_staleness_ms": 1_000, "targets": {"off": ("nobody",)}}
    flags = [
        a_flag(f"f-{n}", prerequisites=(a_prerequisite(f"f-{n + 1}"),), rules=rules, **common)
        for n in range(MOST_FLAGS - 1)
    ]
    ruleset = Ruleset.of(
        a_snapshot(*flags, a_flag(f"f-{MOST_FLAGS - 1}", rules=rules, **common), segments=tuple(segments))
    )
    ruleset.strange = lambda attribute, kind: told.append((attribute, kind))

    def below(frames: int, ask: Callable[[], Any]) -> Any:
        return ask() if frames == 0 else below(frames - 1, ask)

    used = len(inspect.stack())
    frames = sys.getrecursionlimit() // 2 - used
    pro, strange = Context("user-1", plan="pro"), Context("user-1", plan=b"pro")
    assert below(frames, lambda: ruleset.evaluate("f-0", pro, 1, 1)).variant == "on"
    assert below(frames, lambda: ruleset.evaluate("f-0", strange, 1, 1)).variant == "off"
    assert told[0] == ("plan", bytes)
    walk = below(frames, lambda: ruleset.explain("f-0", pro, now_ms=1, age_ms=1))
    assert walk.evaluation.variant == "on"
    assert msgspec.json.decode(below(frames, lambda: msgspec.json.encode(walk)))["steps"]


def test_conditions_nested_by_the_thousand_are_answered() -> None:
    """Conditions deeper than the interpreter's stack make the flag unreadable, and no other."""

    def deeply(levels: int) -> Condition:
        deep = Condition(all=())
        for _ in range(levels):
            deep = Condition(not_=deep)
        return deep

    ruleset = Ruleset.of(a_snapshot(a_flag("deep", rules=(a_rule(when=deeply(5_000)),)), a_flag("fine")))

    again = ruleset.with_snapshot(a_snapshot(a_flag("deep", rules=(a_rule(when=deeply(5_000)),)), revision=2))
    for found in (ruleset, again):
        assert found.evaluate("deep", USER).error_code is ErrorCode.PARSE_ERROR
    assert ruleset.evaluate("fine", USER).variant == "off"
