"""Rules are active within their windows, and everyone can know when that changes."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.engine import Ruleset
from rheostat.model.context import Context
from rheostat.model.evaluation import Reason
from rheostat.model.flag import Answer, Condition, Flag
from rheostat.model.kill import KillScope
from rheostat.model.window import Window
from tests.builders import a_flag, a_kill, a_patch, a_prerequisite, a_rollout, a_rule, a_snapshot
from tests.strategies import times, windows

USER = Context("user-1", plan="pro")


def a_sale(*open_: Window, key: str = "checkout", **changes: object) -> Flag:
    """Return a flag whose rules serve ``on`` to everyone within these windows."""
    rules = tuple(
        a_rule(f"sale-{number}", when=Condition(all=()), active=window) for number, window in enumerate(open_, 1)
    )
    return a_flag(key, rules=rules, **changes)


def a_ruleset(*flags: Flag) -> Ruleset:
    return Ruleset.of(a_snapshot(*flags))


@pytest.mark.parametrize(
    ("window", "now_ms", "holds"),
    [
        (Window(10, 20), 9, False),
        (Window(10, 20), 10, True),
        (Window(10, 20), 19, True),
        (Window(10, 20), 20, False),
        (Window(10), 10**15, True),
        (Window(None, 20), -(10**15), True),
        (Window(), 0, True),
        (Window(), None, False),
        (Window(20, 10), 15, False),
    ],
)
def test_a_window_holds_from_its_beginning_until_before_its_end(
    window: Window, now_ms: int | None, holds: bool
) -> None:
    """Either bound may be missing; at an unknown time no window is open."""
    found = a_ruleset(a_sale(window)).evaluate("checkout", USER, now_ms=now_ms)

    assert window.holds(now_ms) is holds
    expected = ("on", Reason.TARGETING_MATCH) if holds else ("off", Reason.DEFAULT)
    assert (found.variant, found.reason) == expected


def test_a_rule_that_is_not_active_leaves_the_turn_to_the_next() -> None:
    """Also before and after rules without a window."""
    rules = (
        a_rule("closed", when=Condition(all=()), answer=Answer(serve="off"), active=Window(10, 20)),
        a_rule("always"),
        a_rule("open", when=Condition(all=()), answer=Answer(serve="off"), active=Window(0, 20)),
    )
    ruleset = a_ruleset(a_flag(rules=rules))

    assert ruleset.evaluate("checkout", USER, now_ms=5).rule == "always"
    assert ruleset.evaluate("checkout", Context("u"), now_ms=5).rule == "open"
    assert ruleset.evaluate("checkout", USER, now_ms=15).rule == "closed"


def test_a_prerequisite_is_asked_at_the_same_time() -> None:
    """The flag that needs one with a window passes the time on."""
    ruleset = a_ruleset(
        a_flag("a", prerequisites=(a_prerequisite("b"),), default=Answer(serve="on")), a_sale(Window(5), key="b")
    )

    assert ruleset.evaluate("a", USER, now_ms=5).variant == "on"
    assert ruleset.evaluate("a", USER, now_ms=4).variant == "off"
    assert ruleset.bulk(USER, now_ms=5)["a"].variant == "on"


def test_a_ruleset_says_whether_it_reads_the_time() -> None:
    """Only flags that are on count: windows for the time, ``max_staleness`` for the age."""
    plain, timed, aging = a_flag(), a_sale(Window(5)), a_flag(max_staleness_ms=5)

    def reads(flag: Flag) -> tuple[bool, bool, bool]:
        ruleset = a_ruleset(flag)
        return ruleset.reads_now, ruleset.reads_age, ruleset.reads_time

    assert reads(plain) == (False, False, False)
    assert reads(timed) == (True, False, True)
    assert reads(aging) == (False, True, True)
    assert reads(a_sale(Window(5), enabled=False, max_staleness_ms=5)) == (False, False, False)


def test_a_flag_that_is_off_has_no_boundary() -> None:
    """Nothing changes when its windows open."""
    flag = a_sale(Window(5, 10))

    killed = Ruleset.of(a_snapshot(flag), (a_kill(scope=KillScope.FLAG),))

    assert a_ruleset(flag).next_boundary(0) == 5
    assert killed.next_boundary(0) is None
    assert killed.active_windows(7) == ""


def test_boundaries_follow_one_another() -> None:
    """The next one after now, of any flag; none after the last."""
    ruleset = a_ruleset(a_sale(Window(5, 10), Window(None, 7)), a_sale(Window(10, 30), key="other"))

    met = []
    now: int | None = -1
    while now is not None:
        now = ruleset.next_boundary(now)
        met.append(now)

    assert met == [5, 7, 10, 30, None]
    assert a_ruleset(a_flag()).next_boundary(0) is None


def test_which_windows_are_open_has_a_digest() -> None:
    """It names flag and rule; none open is the empty text, whatever came before."""
    ruleset = a_ruleset(a_sale(Window(5, 10), Window(8, 12)), a_sale(Window(20, 30), key="other"))

    digests = [ruleset.active_windows(now) for now in (0, 5, 9, 10, 12, 20, 30)]

    assert digests[0] == digests[4] == digests[6] == ""
    assert len(set(digests)) == 5
    assert ruleset.active_windows(9) == digests[2]
    assert a_ruleset(a_flag()).active_windows(0) == ""


@given(own=st.lists(windows, max_size=3), others=st.lists(windows, max_size=3), since=times, now=times)
def test_answers_change_at_boundaries_alone(own: list[Window], others: list[Window], since: int, now: int) -> None:
    """Between two times without a boundary the digest and every answer are the same."""
    ruleset = a_ruleset(a_sale(*own), a_sale(*others, key="other"))

    def answers(at: int) -> Iterable[str | None]:
        return [evaluation.variant for evaluation in ruleset.bulk(USER, now_ms=at).values()]

    boundary = ruleset.next_boundary(since)
    if since <= now and (boundary is None or now < boundary):
        assert answers(now) == answers(since)
        assert ruleset.active_windows(now) == ruleset.active_windows(since)
        assert ruleset.turned(since, now) == frozenset()
    if answers(now) != answers(since):
        assert ruleset.active_windows(now) != ruleset.active_windows(since)


def test_the_flags_that_turned_are_named() -> None:
    """Those with a boundary after the one time, until and with the other."""
    ruleset = a_ruleset(a_sale(Window(5, 10)), a_sale(Window(10), key="other"), a_sale(Window(None, 12), key="last"))

    assert ruleset.turned(4, 5) == {"checkout"}
    assert ruleset.turned(5, 10) == {"checkout", "other"}
    assert ruleset.turned(10, 12) == {"last"}
    assert ruleset.turned(12, 100) == frozenset()
    assert ruleset.turned(7, 4) == {"checkout"}


def test_flags_that_need_one_that_turned_are_named_too() -> None:
    """However far away, and round in circles; a flag that is off passes nothing on."""
    ruleset = a_ruleset(
        a_sale(Window(5), key="sale", prerequisites=(a_prerequisite("far"),)),
        a_flag("near", prerequisites=(a_prerequisite("sale"), a_prerequisite("gone"))),
        a_flag("far", prerequisites=(a_prerequisite("near"),)),
        a_flag("off", enabled=False, prerequisites=(a_prerequisite("near"),)),
        a_flag("beyond", prerequisites=(a_prerequisite("off"),)),
        a_sale(Window(8), key="other"),
    )

    assert ruleset.turned(4, 5) == {"sale", "near", "far"}


def test_an_edited_window_is_compiled_anew() -> None:
    """A patch moves the boundaries with the flag."""
    ruleset = a_ruleset(a_sale(Window(5)))

    moved = ruleset.with_patch(a_patch(ruleset.snapshot, flags=(a_sale(Window(7)),)))

    assert (ruleset.next_boundary(0), moved.next_boundary(0)) == (5, 7)


def test_a_layers_range_is_all_that_a_rollout_reaches() -> None:
    """Two flags with ranges of one layer expose nobody both; outside its range the fallback, in no arm."""
    line = {"salt": "layer:checkout"}
    ruleset = a_ruleset(
        a_flag("a", rollout=a_rollout(1_000_000, low=0, high=333_333, **line)),
        a_flag("b", rollout=a_rollout(500_000, low=333_333, high=1_000_000, **line)),
    )
    met = {(True, False): 0, (False, True): 0, (False, False): 0}
    for number in range(3_000):
        found = ruleset.bulk(Context(number))
        met[found["a"].value, found["b"].value] += 1
        assert {answer.reason for answer in found.values()} == {Reason.SPLIT}

    assert all(900 < count < 1_100 for count in met.values())
