"""``boolean`` and ``string`` take a short way to most answers. It is in everything equal to the long one."""

import enum
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat import Context, DefaultTypeMismatch
from rheostat.clock import ManualClock
from rheostat.engine.evaluate import Ruleset
from rheostat.feed.serving import Serving, Source
from rheostat.model.flag import Answer, Condition, Flag, FlagType, Operator, Segment
from rheostat.model.outcome import Outcome
from rheostat.model.snapshot import Snapshot
from rheostat.model.window import Window
from rheostat.outcomes import Outcomes, current_recorder
from rheostat.testing import FakeRheostat
from tests.builders import a_clause, a_flag, a_kill, a_prerequisite, a_rollout, a_rule, a_snapshot, an_overlay

NOW_MS = 1_000_000
TEXTS: dict[str, Any] = {"on": "teal", "off": "red"}


class Key(enum.StrEnum):
    RAMPED = "ramped"


class Odd:
    """An attribute, a key, a default: raises when it is looked at."""

    def __hash__(self) -> int:
        raise TypeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")


def the_flags(prefix: str, **changes: Any) -> list[Flag]:
    """Return a flag of each kind that matters here."""
    rules = (
        a_rule("staff", when=Condition(segment="staff")),
        a_rule("pro", when=a_clause("plan", Operator.IN, "pro"), answer=Answer(rollout=a_rollout(500_000))),
        a_rule("old", when=a_clause("app", Operator.SEMVER_LT, "2.0.0"), answer=Answer(serve="off")),
        a_rule("path", when=a_clause("user.plan", Operator.MATCHES, "^p")),
    )
    return [
        a_flag(f"{prefix}constant", **changes),
        a_flag(f"{prefix}rules", rules=rules, targets={"on": ("user-1",)}, **changes),
        a_flag(f"{prefix}split", rollout=a_rollout(600_000, split={"on": 1, "off": 2}, bucket_by="plan"), **changes),
        a_flag(f"{prefix}ramped", rollout=a_rollout(100_000), **changes),
        a_flag(f"{prefix}killed", rollout=a_rollout(100_000), **changes),
        a_flag(f"{prefix}disabled", enabled=False, rules=(a_rule(active=Window(0, 1)),), **changes),
        a_flag(f"{prefix}bare", enabled=False, **{**changes, "off_variant": None}),
        a_flag(f"{prefix}broken", default=Answer(serve="gone"), **changes),
        a_flag(f"{prefix}timed", rules=(a_rule(when=Condition(all=()), active=Window(0, NOW_MS + 1)),), **changes),
        a_flag(f"{prefix}aging", rollout=a_rollout(100_000), max_staleness_ms=5, **changes),
        a_flag(f"{prefix}needing", prerequisites=(a_prerequisite("ramped"),), default=Answer(serve="on"), **changes),
    ]


def the_snapshot() -> Snapshot:
    """Return all of them, as booleans and as texts, and a flag of another type."""
    flags = (
        *the_flags(""),
        *the_flags("t-", type=FlagType.STRING, variants=TEXTS),
        a_flag("limit", type=FlagType.INTEGER, variants={"on": 1, "off": 0}),
    )
    ramped = ("ramped", "aging", "t-ramped", "t-aging", "killed")
    return a_snapshot(
        *flags,
        segments=(Segment(key="staff", included=("user-2",), conditions=(a_clause("staff", Operator.EQUALS, True),)),),
        ramps=tuple(an_overlay(300_000, key, holdback_ppm=100_000) for key in ramped),
        kills=(a_kill("killed"), a_kill("t-killed")),
    )


class Counting(FakeRheostat):
    """A client that counts, without a server to tell."""

    def __init__(self, *, strict: bool = False) -> None:
        super().__init__(strict=strict, clock=ManualClock(wall_ms=NOW_MS))
        self._outcomes = Outcomes("http://localhost", "key", clock=self._clock)
        self.give(Ruleset.of(the_snapshot()))

    def give(self, ruleset: Ruleset) -> None:
        """Serve this, ten milliseconds old."""
        self._serve(Serving(ruleset, Source.MEMORY, 10, self._monotonic(), float("inf")))
        self._lifecycle.outcomes = self._outcomes
        self._lifecycle.applied(ruleset)

    def long_way(self, kind: FlagType, key: Any, default: Any, context: Any) -> Any:
        """Answer as the other getters do."""
        return self._settle(self._evaluation(self._serving, key, context), default, kind)

    def counted(self) -> dict[str, Any]:
        """Return what was counted since the last time, but for the process's name."""
        assert self._outcomes is not None
        batch: dict[str, Any] = msgspec.to_builtins(self._outcomes._make(1, False))
        return {**batch, "instance": ""}


def told(ask: Callable[[], Any]) -> tuple[Any, ...]:
    """Return what a question came to, with its type."""
    try:
        value = ask()
    except DefaultTypeMismatch as error:
        return ("raised", str(error))
    return (id(value),) if isinstance(value, Odd) else (type(value), value)


ODD = Odd()
STRICT = {strict: (Counting(strict=strict), Counting(strict=strict)) for strict in (False, True)}
NAMES = [flag.key for flag in the_flags("")]
ODD_KEYS: list[Any] = [Key.RAMPED, "limit", "gone", "", None, 5, (), [], {}, b"ramped", ODD, "\ud800"]
ODD_DEFAULTS: list[Any] = [True, "", Key.RAMPED, None, 0, 1, 1.5, (), {}, b"", ODD]
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["plan", "app", "staff", "user"]),
    st.sampled_from(["pro", "p", "1.0.0", True, 7, 1.5, None, ["pro"], {"plan": "pro"}, Key.RAMPED, b"raw", 1j, ODD]),
)
TARGETED = st.builds(
    Context.of, st.sampled_from(["user-1", "user-2", "\ud800", 7, None, *map(str, range(20))]), ATTRIBUTES
)
CONTEXTS = st.one_of(TARGETED, TARGETED, st.none(), st.sampled_from([5, "user-1", {"plan": "pro"}, ODD]))
GETTERS: dict[FlagType, Callable[..., Any]] = {
    FlagType.BOOLEAN: FakeRheostat.boolean,
    FlagType.STRING: FakeRheostat.string,
}


@st.composite
def a_question(draw: st.DrawFn) -> tuple[FlagType, Any, Any, Any]:
    """Draw a getter, a key, a default and a context: mostly what people ask, and each of them odd at times."""
    kind = draw(st.sampled_from(list(GETTERS)))
    prefix = draw(st.sampled_from(["", "t-"])) if draw(st.integers(0, 5)) == 0 else "t-" * (kind is FlagType.STRING)
    name = draw(st.sampled_from(NAMES + ["ramped"] * 4))
    key = draw(st.sampled_from(ODD_KEYS)) if draw(st.integers(0, 3)) == 0 else prefix + name
    default: Any = "blue" if kind is FlagType.STRING else False
    if draw(st.integers(0, 2)) == 0:
        default = draw(st.sampled_from(ODD_DEFAULTS))
    return kind, key, default, draw(CONTEXTS)


@settings(max_examples=300)
@given(
    questions=st.lists(a_question(), min_size=1, max_size=6),
    bound=st.one_of(st.none(), st.builds(Context, st.sampled_from(["user-1", "user-9"]))),
    strict=st.booleans(),
)
def test_both_ways_agree(questions: list[tuple[FlagType, Any, Any, Any]], bound: Context | None, strict: bool) -> None:
    """On value and type, on what strict mode raises, and on what one request counts: evaluations, arms, units."""
    short, long = STRICT[strict]
    answers: dict[Counting, list[tuple[Any, ...]]] = {short: [], long: []}
    for client in (short, long):
        assert client.outcomes is not None
        recorder = client.outcomes.recorder()
        token = current_recorder.set(recorder)
        try:
            with client.bind(bound or Context()):
                for kind, key, default, context in questions:
                    way = partial(GETTERS[kind], client) if client is short else partial(long.long_way, kind)
                    answers[client].append(told(partial(way, key, default, context)))
        finally:
            current_recorder.reset(token)
            recorder.finish(Outcome.ERROR, 0.5)

    assert answers[short] == answers[long]
    assert short.counted() == long.counted()


@pytest.mark.parametrize("key", ["constant", "rules", "ramped", "timed", "aging", "needing", "gone"])
def test_each_evaluation_is_counted_once(key: str) -> None:
    """The first of a flag too, which takes both ways."""
    client = Counting()

    for _ in range(3):
        client.boolean(key, False, Context("user-1"))

    assert sum(client.counted()["evaluations"][key].values()) == 3


class Swapping(dict[str, Any]):
    """Attributes that have the flags replaced while one is read."""

    def __init__(self, client: Counting, ruleset: Ruleset) -> None:
        super().__init__(plan="pro")
        self._client, self._ruleset = client, ruleset

    def get(self, key: str, default: Any = None) -> Any:
        self._client.give(self._ruleset)
        return super().get(key, default)


@pytest.mark.parametrize("counted_before", [True, False])
def test_flags_that_are_replaced_in_the_middle_of_an_evaluation(counted_before: bool) -> None:
    """The answer is that of the one state or the other, and counted once, as the variant that was given."""
    client = Counting()
    flag = a_flag("swapped", rules=(a_rule(),))
    turned = msgspec.structs.replace(flag, variants={"on": True, "off": False, "third": True})
    turned = msgspec.structs.replace(turned, rules=(a_rule(answer=Answer(serve="third")),))
    client.give(Ruleset.of(a_snapshot(flag)))
    if counted_before:
        client.boolean("swapped", False, Context("user-1", plan="pro"))
        client.counted()

    attributes = Swapping(client, Ruleset.of(a_snapshot(turned, revision=2)))
    assert client.boolean("swapped", False, Context.of("user-1", attributes)) is True

    assert client.counted()["evaluations"] == {"swapped": {"on" if counted_before else "third": 1}}


def test_threads_while_flags_are_replaced() -> None:
    """Each answer is that of a state that was served, and all are counted, as what they were."""
    client = Counting()
    flags = [a_flag("flipping", default=Answer(serve=variant)) for variant in ("on", "off")]
    rulesets = [Ruleset.of(a_snapshot(flag)) for flag in flags]
    client.give(rulesets[0])
    go, given_out = threading.Barrier(5), [0, 0, 0, 0]

    def work(number: int) -> None:
        go.wait(timeout=10)
        given_out[number] = sum(client.boolean("flipping", False, Context("user-1")) for _ in range(5_000))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    go.wait(timeout=10)
    turn = 0
    while any(thread.is_alive() for thread in threads):
        turn += 1
        client.give(rulesets[turn % 2])

    counts = client.counted()["evaluations"]["flipping"]
    assert counts.get("on", 0) == sum(given_out)
    assert sum(counts.values()) == 20_000


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_counts_its_own() -> None:
    """What the parent counted is no part of it, and what the child counts is none of the parent's."""
    client = Counting()
    for _ in range(3):
        client.boolean("constant")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            client.boolean("constant")
            client.string("t-constant", "")
            os.write(writing, msgspec.json.encode(client.counted()["evaluations"]))
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    assert msgspec.json.decode(os.read(reading, 10_000)) == {"constant": {"off": 1}, "t-constant": {"off": 1}}
    assert client.counted()["evaluations"] == {"constant": {"off": 3}}
    os.close(reading)
    os.close(writing)
