"""What the client answers from memory, without any server."""

import concurrent.futures
import enum
import threading
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat import Context, DefaultTypeMismatch, ErrorCode, Reason, Rheostat, Source
from rheostat.clock import ManualClock
from rheostat.model.flag import Flag, FlagType
from rheostat.outcomes.recorder import current_recorder
from rheostat.testing import FakeRheostat
from tests.builders import a_clause, a_flag, a_rollout, a_rule, a_snapshot

VALUES: dict[str, Any] = {
    "switch": True,
    "colour": "teal",
    "limit": 5,
    "rate": 0.25,
    "layout": {"columns": [1, 2]},
}


@pytest.fixture
def flags() -> FakeRheostat:
    return FakeRheostat(VALUES, strict=False)


def test_each_type_has_its_getter(flags: FakeRheostat) -> None:
    """A flag of the type asked for gives its value."""
    assert flags.boolean("switch", False) is True
    assert flags.string("colour", "red") == "teal"
    assert flags.integer("limit", 1) == 5
    assert flags.float("rate", 1.0) == 0.25
    assert flags.object("layout", {}) == {"columns": [1, 2]}


def test_an_integer_flag_answers_for_a_float(flags: FakeRheostat) -> None:
    """Numbers widen as OpenFeature's do, and what comes is a float."""
    value = flags.float("limit", 1.0)

    assert value == 5.0
    assert isinstance(value, float)
    assert flags.evaluate("limit", 1.0).value == 5.0


GETTERS = ["boolean", "string", "integer", "float", "object"]
DEFAULTS: dict[str, Any] = {"boolean": False, "string": "x", "integer": 7, "float": 7.5, "object": {"is": "default"}}
FITS = {("switch", "boolean"), ("colour", "string"), ("limit", "integer"), ("limit", "float"), ("rate", "float")}
FITS |= {("layout", "object")}


@pytest.mark.parametrize("getter", GETTERS)
@pytest.mark.parametrize("key", VALUES)
def test_a_flag_of_another_type_gives_the_default(key: str, getter: str, flags: FakeRheostat) -> None:
    """No value is ever turned into one of another type, true and 1 included."""
    if (key, getter) in FITS:
        return
    default = DEFAULTS[getter]

    assert getattr(flags, getter)(key, default) is default
    details = flags.evaluate(key, default)

    assert details.value is default
    assert (details.reason, details.error_code) == (Reason.ERROR, ErrorCode.TYPE_MISMATCH)
    assert details.variant is None
    with pytest.raises(DefaultTypeMismatch):
        getattr(FakeRheostat(VALUES, strict=True), getter)(key, default)


def test_a_default_of_another_type_is_the_developers_error(
    flags: FakeRheostat, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, its own value is served, and strict mode raises."""
    wrong: Any = "yes"
    assert [flags.boolean("switch", wrong), flags.boolean("switch", wrong)] == ["yes", "yes"]  # type: ignore[comparison-overlap]

    assert len(caplog.records) == 1
    with pytest.raises(DefaultTypeMismatch):
        FakeRheostat(VALUES).boolean("switch", wrong)


def test_a_default_of_none_asks_for_no_type(flags: FakeRheostat) -> None:
    """``evaluate`` then gives whatever the flag has."""
    assert [flags.evaluate(key, None).value for key in VALUES] == list(VALUES.values())
    assert flags.evaluate("gone", None).value is None


def test_a_default_that_no_flag_can_have_is_served(flags: FakeRheostat) -> None:
    """A set is no flag's value; the application gets it back with TYPE_MISMATCH."""
    default = {1, 2}

    details = flags.evaluate("switch", default)

    assert details.value is default
    assert details.error_code is ErrorCode.TYPE_MISMATCH


def test_a_missing_flag_gives_the_default(flags: FakeRheostat) -> None:
    """The default comes back as the same object, with FLAG_NOT_FOUND."""
    default = {"a": 1}

    assert flags.object("gone", default) is default
    assert flags.evaluate("gone", default).error_code is ErrorCode.FLAG_NOT_FOUND


def test_changing_an_answer_changes_no_other(flags: FakeRheostat) -> None:
    """Objects are copies: what one caller does to its own is not seen by the next."""
    flags.object("layout", {})["columns"].append(3)
    flags.evaluate("layout", None)

    assert flags.object("layout", {}) == {"columns": [1, 2]}


def test_all_gives_every_flag(flags: FakeRheostat) -> None:
    """One call, each flag's value and reason by key."""
    answers = flags.all(Context("user-1"))

    assert {key: answer.value for key, answer in answers.items()} == VALUES
    assert {answer.reason for answer in answers.values()} == {Reason.STATIC}


class Shade(enum.Enum):
    DARK = object()


@given(
    key=st.one_of(st.text(), st.none(), st.integers(), st.lists(st.text())),
    context=st.one_of(st.none(), st.text(), st.dictionaries(st.text(), st.text()), st.just(Shade.DARK)),
    getter=st.sampled_from([*GETTERS, "evaluate"]),
)
def test_evaluation_never_raises(key: Any, context: Any, getter: str) -> None:
    """Whatever is passed as key and context, the caller gets an answer."""
    flags = FakeRheostat({"a": a_flag("a", rules=(a_rule(),))}, strict=False)

    default = DEFAULTS.get(getter)
    value = getattr(flags, getter)(key, default, context)

    assert value is not None or default is None


def test_attributes_that_raise_do_not_reach_the_application() -> None:
    """An attribute whose methods raise gives the default with GENERAL."""

    class Hostile:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        def __hash__(self) -> int:
            raise RuntimeError("no")

        def __str__(self) -> str:
            raise RuntimeError("no")

    flag = a_flag("a", rules=(a_rule(),), default=a_flag(rollout=a_rollout(bucket_by="plan")).default)
    details = FakeRheostat({"a": flag}).evaluate("a", True, Context("user-1", plan=Hostile()))

    assert details.value in (True, False)
    assert details.reason in Reason


class TestContext:
    @pytest.fixture
    def flags(self) -> FakeRheostat:
        return FakeRheostat({"beta": a_flag("beta", rules=(a_rule(when=a_clause("plan", "in", "pro")),))})  # type: ignore[arg-type]

    def test_a_bound_context_is_used(self, flags: FakeRheostat) -> None:
        """Inside the block evaluations need no context; outside there is none again."""
        with flags.bind(Context("user-1", plan="pro")):
            assert flags.boolean("beta", False) is True
        assert flags.boolean("beta", True) is False

    def test_the_inner_block_wins_and_gives_back(self, flags: FakeRheostat) -> None:
        """Blocks nest: each binding ends with its own block."""
        with flags.bind(Context("user-1", plan="pro")):
            with flags.bind(Context("user-2", plan="free")):
                assert flags.boolean("beta", True) is False
            assert flags.boolean("beta", False) is True

    def test_a_context_given_wins_over_the_bound_one(self, flags: FakeRheostat) -> None:
        """What is passed is what counts."""
        with flags.bind(Context("user-1", plan="pro")):
            assert flags.boolean("beta", True, Context("user-2")) is False

    def test_carry_takes_the_binding_into_a_pool(self, flags: FakeRheostat) -> None:
        """A pool's thread knows nothing of the caller's context unless it is carried; many may run at once."""
        together = threading.Barrier(4)

        def work() -> bool:
            together.wait(10)
            return flags.boolean("beta", False)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            with flags.bind(Context("user-1", plan="pro")):
                carried = flags.carry(work)
                bare = pool.submit(flags.boolean, "beta", False)
            futures = [pool.submit(carried) for _ in range(4)]
            assert bare.result() is False
            assert all(future.result() is True for future in futures)


class TestOffline:
    @pytest.fixture(autouse=True)
    def _no_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("RHEOSTAT_URL", "RHEOSTAT_SDK_KEY", "RHEOSTAT_CACHE_DIR"):
            monkeypatch.delenv(name, raising=False)

    def test_without_settings_defaults_are_served(self, caplog: pytest.LogCaptureFixture) -> None:
        """One line in the log names what is missing, and every answer is the code's default."""
        flags = Rheostat()

        assert flags.boolean("checkout", True) is True
        details = flags.evaluate("checkout", "x")
        assert (details.reason, details.error_code) == (Reason.ERROR, ErrorCode.PROVIDER_NOT_READY)
        assert flags.all() == {}
        assert flags.status().source is Source.DEFAULTS
        assert flags.status().stream == "offline"
        assert flags.wait_until_ready(0.01) is False
        assert ["RHEOSTAT_URL" in record.message and "RHEOSTAT_SDK_KEY" in record.message for record in caplog.records]
        assert len(caplog.records) == 1

    @pytest.mark.parametrize("form", ["file", "path", "bytes", "dict", "snapshot"])
    def test_a_bootstrap_is_served_at_once_and_as_stale(self, form: str, tmp_path: Path) -> None:
        """In whatever form it is given, the first evaluation has it, and says that nobody confirmed it."""
        snapshot = a_snapshot(a_flag())
        encoded = msgspec.json.encode(snapshot)
        path = tmp_path / "flags.json"
        path.write_bytes(encoded)
        forms: dict[str, Any] = {
            "file": path,
            "path": str(path),
            "bytes": encoded,
            "dict": msgspec.json.decode(encoded),
            "snapshot": snapshot,
        }

        details = Rheostat(bootstrap=forms[form]).evaluate("checkout", True)

        assert (details.value, details.variant, details.reason) == (False, "off", Reason.STALE)
        assert details.age_ms is None

    @pytest.mark.parametrize("bad", [b"{", {"format": "x"}, "/nowhere/flags.json", {"format": {1}}])
    def test_a_bootstrap_that_is_no_good_is_left(self, bad: Any, caplog: pytest.LogCaptureFixture) -> None:
        """A damaged file in production must not stop the application."""
        assert Rheostat(bootstrap=bad).boolean("checkout", True) is True
        assert "bootstrap is not used" in caplog.text


def test_answers_become_stale_with_age() -> None:
    """Once control has not confirmed for a minute, end to end, the reason says so, and the value stands."""
    clock = ManualClock()
    flags = FakeRheostat({"a": True}, clock=clock)
    flags._serving = msgspec.structs.replace(flags._serving, fresh_until=clock.monotonic() + 60)

    clock.advance(59.9)
    assert flags.evaluate("a", False).reason is Reason.STATIC
    clock.advance(0.1)
    details = flags.evaluate("a", False)

    assert (details.value, details.reason, details.age_ms) == (True, Reason.STALE, 60_000)
    assert flags.status().stale
    assert flags.evaluate("gone", False).reason is Reason.ERROR


def test_max_staleness_reads_the_age() -> None:
    """A flag that asks for fresh snapshots is told how old the snapshot is."""
    clock = ManualClock()
    flag = a_flag("a", max_staleness_ms=1_000)
    flags = FakeRheostat({"a": flag}, clock=clock)

    assert flags.evaluate("a", True).reason is Reason.STATIC
    clock.advance(1.5)

    assert flags.evaluate("a", True).reason is Reason.STALE


class TestChanges:
    def test_a_listener_hears_of_its_flag_only(self) -> None:
        """Changes of other flags are none of its business, and it can stop listening."""
        flags = FakeRheostat({"a": True, "b": True})
        heard: list[str] = []
        stop = flags.on_change("a", heard.append)

        flags.set("b", False)
        flags.set("a", False)
        flags.set("a", False)
        flags.remove("a")
        assert heard == ["a", "a"]
        stop()
        flags.set("a", True)

        assert heard == ["a", "a"]

    def test_a_listener_that_raises_harms_nobody(self, caplog: pytest.LogCaptureFixture) -> None:
        """Its fault is logged, and the others are called."""
        flags = FakeRheostat({"a": True})
        heard: list[str] = []
        flags.on_change("a", lambda key: 1 / 0)  # type: ignore[arg-type]
        flags.on_change("a", heard.append)

        flags.set("a", False)

        assert heard == ["a"]
        assert "ZeroDivisionError" in caplog.text


class TestFake:
    def test_an_override_ends_with_its_block(self) -> None:
        """What a test sets for a while is as it was afterwards."""
        flags = FakeRheostat({"a": 1})
        with flags.override("a", 2), flags.override("b", 3):
            assert (flags.integer("a", 0), flags.integer("b", 0)) == (2, 3)

        assert (flags.integer("a", 0), flags.integer("b", 0)) == (1, 0)

    def test_a_whole_flag_is_evaluated(self) -> None:
        """A ``Flag`` behaves as in production: rules, rollouts, reasons."""
        flags = FakeRheostat({"a": a_flag("a", rollout=a_rollout(1_000_000))})

        details = flags.evaluate("a", False, Context(uuid.UUID(int=7)))

        assert (details.value, details.reason) == (True, Reason.SPLIT)

    def test_a_value_that_no_flag_has_is_refused(self) -> None:
        """The test's author hears of it at once."""
        with pytest.raises(TypeError):
            FakeRheostat({"a": {1, 2}})
        with pytest.raises(TypeError):
            FakeRheostat({"a": None})

    def test_it_needs_no_server_and_is_a_client(self) -> None:
        """It can stand wherever the client does, and closing it is fine."""
        with FakeRheostat({"a": True}) as flags:
            assert isinstance(flags, Rheostat)
            assert flags.status().stream == "offline"
            assert flags.outcomes is None
        assert flags.boolean("a", False) is True


def test_types_in_flags_are_those_of_the_model() -> None:
    """Each value given in code becomes a flag of its type."""
    flags = FakeRheostat(VALUES)
    ruleset = flags._serving.ruleset
    assert ruleset is not None
    found = {key: flag.type for key in VALUES if isinstance(flag := ruleset.flag(key), Flag)}

    assert found == {
        "switch": FlagType.BOOLEAN,
        "colour": FlagType.STRING,
        "limit": FlagType.INTEGER,
        "rate": FlagType.FLOAT,
        "layout": FlagType.OBJECT,
    }
    assert current_recorder.get() is None
