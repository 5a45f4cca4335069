"""What the client gives the engine beside the context, and what it says of contexts that mean nothing."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from rheostat import Context
from rheostat.clock import ManualClock
from rheostat.model.flag import Condition, FlagType, Operator
from rheostat.model.window import Window
from rheostat.testing import FakeRheostat
from tests.builders import a_clause, a_flag, a_rule


def test_windows_open_and_close_by_the_clients_clock() -> None:
    """A rule is active from its window's beginning until its end, one flag at a time or all at once."""
    clock = ManualClock(wall_ms=10_000)
    rule = a_rule(when=Condition(all=()), active=Window(12_000, 14_000))
    flags = FakeRheostat({"sale": a_flag("sale", rules=(rule,))}, clock=clock)

    answers = []
    for _ in range(3):
        answers.append((flags.boolean("sale"), flags.evaluate("sale", False).value, flags.all()["sale"].value))
        clock.advance(2)

    assert answers == [(False,) * 3, (True,) * 3, (False,) * 3]


def test_types_of_python_are_understood() -> None:
    """Without a word in the log."""
    an_id = uuid.UUID(int=7)
    rules = (
        a_rule("id", when=a_clause("id", Operator.IN, str(an_id))),
        a_rule("since", when=a_clause("since", Operator.BEFORE, "2026-01-01T00:00:00Z")),
    )
    flags = FakeRheostat({"a": a_flag("a", rules=rules)})

    assert flags.boolean("a", context=Context("u", id=an_id))
    assert flags.boolean("a", context=Context("u", since=datetime(2025, 12, 31, tzinfo=UTC)))


@pytest.mark.parametrize(
    "ask",
    [
        lambda flags, context: flags.boolean("boolean", False, context),
        lambda flags, context: flags.string("string", "", context),
        lambda flags, context: flags.integer("integer", 0, context),
        lambda flags, context: flags.float("float", 0.5, context),
        lambda flags, context: flags.object("object", {}, context),
        lambda flags, context: flags.evaluate("boolean", False, context),
        lambda flags, context: flags.evaluate("object", None, context),
        lambda flags, context: flags.all(context),
        lambda flags, context: flags.explain("float", context),
    ],
    ids=["boolean", "string", "integer", "float", "object", "evaluate", "evaluate as it is", "all", "explain"],
)
def test_each_way_of_asking_warns_once(
    ask: Callable[[FakeRheostat, Context], object], caplog: pytest.LogCaptureFixture
) -> None:
    """Of each attribute and type, also bound contexts, items of lists, and paths into what is no mapping."""
    values: dict[str, Any] = {"boolean": True, "string": "a", "integer": 1, "float": 1.5, "object": {}}
    clauses = (
        a_clause("plan", Operator.IN, "x"),
        a_clause("tags", Operator.ANY_OF, "x"),
        a_clause("user.plan", Operator.IN, "x"),
    )
    rules = tuple(a_rule(f"r{number}", when=clause) for number, clause in enumerate(clauses))
    flags = FakeRheostat(
        {
            key: a_flag(key, type=FlagType(key), variants={"on": value, "off": value}, rules=rules)
            for key, value in values.items()
        }
    )
    context = Context("u", plan=b"raw", tags=["y", 1j], user=object())

    for _ in range(2):
        ask(flags, context)
        with flags.bind(context):
            flags.boolean("boolean")

    said = [record.message.split(",")[0] for record in caplog.records]
    assert said == [
        "the attribute 'plan' is of type bytes",
        "the attribute 'tags[]' is of type complex",
        "the attribute 'user' is of type object",
    ]


def test_an_attribute_that_means_nothing_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Once for each attribute and type, also across changes of the flags; the value is never in the log."""
    rules = tuple(a_rule(name, when=a_clause(name, Operator.IN, "x")) for name in ("plan", "since"))
    flags = FakeRheostat({"a": a_flag("a", rules=rules)})

    for _ in range(2):
        assert not flags.boolean("a", context=Context("u", plan=b"secret"))
        assert not flags.boolean("a", context=Context("u", plan=1j))
        assert not flags.boolean("a", context=Context("u", since=datetime.fromisoformat("2026-01-01T00:00:00")))
        flags.set("b", True)

    assert len(caplog.records) == 3
    assert "'plan' is of type bytes" in caplog.records[0].message
    assert "'plan' is of type complex" in caplog.records[1].message
    assert "'since' is a datetime without a timezone" in caplog.records[2].message
    assert "secret" not in caplog.text
