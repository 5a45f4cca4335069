"""The picture of a ramp in the terminal, as a whole."""

from typing import Any

import pytest
from msgspec.structs import replace
from rich.cells import cell_len
from rich.text import Text

from rheostat_server.cli.ramp_picture.look import ASCII
from rheostat_server.ramps.evidence import ArmTotals, Sight
from rheostat_server.ramps.memory import CeilingMemory
from rheostat_server.ramps.model import Measure, Stage, Status
from tests.unit.server.cli.ramp_views import NOON, SECOND, a_decision, picture_of, view_of
from tests.unit.server.ramps.ramp_builders import ERRORS, REQUESTS, a_plan, running, seeing

MINUTE = 60 * SECOND
CLIMB = [
    a_decision(0, "start", 0, "arming", "the pre-flight has begun"),
    a_decision(60, "begin", 5),
    a_decision(180, "advance", 25, why="5 %: proved (errors: relative 1.4, absolute 5.2, needed 5); going to 25 %"),
    a_decision(190, "hold", 25, why="25 %: not proved yet (errors: relative 1, absolute 1.2, needed 5)"),
]


def a_view(*, guardrails: int = 1, **changes: Any) -> dict[str, Any]:
    """A ramp at its second step, with evidence of harm in its first guardrail."""
    others = tuple(replace(REQUESTS, name=f"other-{number}") for number in range(1, guardrails))
    plan = a_plan(guardrails=(replace(ERRORS, ceiling=0.02), *others))
    state = replace(running(plan, NOON + 3 * MINUTE, 1), started_ms=NOON, exposed_since_ms=NOON + MINUTE)
    totals = {"treatment": ArmTotals(ended=1_200, bad=72, failing=9, units=120)}
    totals |= {"control": ArmTotals(ended=10_800, bad=108, failing=4, units=1_080)}
    state = seeing(state, "errors", log_m=3.0, log_a=0.9, ceiling=CeilingMemory(log_c=1.0), **totals)
    reporting = {
        "coverage": 0.9,
        "services": [
            {"service": "shop", "evaluations": 900, "reports": True},
            {"service": "batch", "evaluations": 100, "reports": False},
        ],
        "vanished": ["shop", "shop"],
    }
    return view_of(plan, state, NOON + 4 * MINUTE, reporting=reporting, **changes)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("colour", [False, True])
def test_all_is_there_at_every_width(width: int, colour: bool) -> None:
    """Labels, staircase, lines, arms, coverage and decisions are shown in words, and no line is too long."""
    view = a_view()
    plain = picture_of(view, width, decisions=CLIMB)

    assert max(map(cell_len, plain.splitlines())) <= width
    for words in (
        "checkout-v2  production  RUNNING",
        "canary · proof: randomised",
        "running at 25 % (step 2 of 4)",
        "here since 12:03:00, 1:00",
        "12:01:00 for 2:00",
        "M 20.1, holds at 10, kills at 125",
        "2.72, crossed at 500 (2 % bad)",
        "A 2.46 of 5",
        "coverage 90 % of 5 min: batch 100 WITHOUT REPORTING",
        "vanished without a goodbye: 2 of shop",
        "12:03:00  advance   5 %: proved",
    ):
        assert words in plain
    rows = {line.split()[0]: line.split()[1:] for line in plain.splitlines() if line.strip()}
    assert " ".join(rows["exposed"]) == "1 200 72 6.00 % 120 9"
    assert " ".join(rows["control"]) == "10 800 108 1.00 % 1 080 4"
    if colour:
        shown = picture_of(view, width, decisions=CLIMB, colour=True)
        assert "\x1b[" in shown
        assert Text.from_ansi(shown).plain == Text.from_ansi(plain).plain, "colour adds nothing but colour"


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("guardrails", [1, 2, 6, 20])
@pytest.mark.parametrize("height", [1, 5, 10, 24, 40])
def test_the_picture_fits_any_terminal(width: int, guardrails: int, height: int) -> None:
    """It is never higher nor wider than the terminal, and its last line is always there."""
    shown = picture_of(a_view(guardrails=guardrails), width, height, decisions=CLIMB, last=Text("the foot"))

    lines = shown.splitlines()
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width
    assert lines[-1] == "the foot"


@pytest.mark.parametrize("guardrails", [1, 2, 6])
def test_a_small_terminal_shows_what_counts(guardrails: int) -> None:
    """In 80 columns and 24 rows there is room for the sentence, the stairs, M, both arms and a decision."""
    shown = picture_of(a_view(guardrails=guardrails), 80, 24, decisions=CLIMB, last=Text("the foot"))

    for words in ("running at 25 %", "to 50 %:", "here since", "M 20.1", "72", "108", "coverage", "12:03:10  hold"):
        assert words in shown
    assert "too low" not in shown


def test_guardrails_that_do_not_fit_are_counted() -> None:
    """Where only some fit, the one that is nearest to killing is among them, and the others are said to be there."""
    shown = picture_of(a_view(guardrails=20), 80, 24, decisions=CLIMB)

    assert "  errors" in shown
    assert "more guardrails: `rheostat ramp status`" in shown


def test_a_terminal_without_unicode_gets_ascii() -> None:
    """Every mark has one in ASCII; what words the server has are its own."""
    shown = picture_of(a_view(), 80, decisions=CLIMB, marks=ASCII)

    assert shown.isascii()
    assert "canary | proof: randomised | alpha 0.01 / K 1" in shown


def test_nothing_is_decided_of_a_draft() -> None:
    """A ramp that was not started shows its plan, all of it ahead, and says that it is not started."""
    plan = a_plan()
    state = replace(running(plan), status=Status.DRAFT, exposure_ppm=0, exposed_since_ms=None, step=-1, why="")
    shown = picture_of(view_of(plan, state, NOON, ended_at=None, started_at=None))

    assert "checkout-v2  production  DRAFT" in shown
    assert "It is not started: nobody is exposed" in shown
    assert shown.count("ahead, at least 1:00") == 4
    assert "nothing was decided yet" in shown
    assert "here since" not in shown
    later = view_of(plan, state, NOON, ended_at=None, start_at="2026-11-30T09:00:00.000Z")
    assert "It starts at 2026-11-30T09:00:00Z, and until then nobody" in picture_of(later)


def test_what_only_holds_is_not_said_to_kill() -> None:
    """A guardrail that may not kill has a line all the same, and is not said to kill at it."""
    plan = replace(a_plan(), guardrails=(replace(ERRORS, may_kill=False),))

    assert "M 1, holds at 10, does not kill" in picture_of(view_of(plan, running(plan, NOON), NOON))
    assert "M 1, holds at 10, kills at 100" in picture_of(view_of(a_plan(), running(a_plan(), NOON), NOON))


def test_what_sees_nothing_says_why() -> None:
    """Beside the name of a guardrail without evidence stands the reason; what holds is called so in a word."""
    plan = a_plan()
    blind = seeing(running(plan, NOON), "errors", sight=Sight.QUERY_FAILED, detail="HTTP 500", holding=True)
    shown = picture_of(view_of(plan, blind, NOON))

    assert "errors  HOLDS  no evidence: query failed (HTTP 500)" in shown


def test_requests_are_of_no_known_users() -> None:
    """Where a guardrail counts requests, no number of users is made up."""
    plan = replace(a_plan(), guardrails=(REQUESTS,))
    shown = picture_of(view_of(plan, running(plan, NOON), NOON))
    row = next(line for line in shown.splitlines() if line.strip().startswith("control"))

    assert row.split() == ["control", "0", "0", "-", "-", "-"]


def test_nobody_is_called_exposed_while_arming() -> None:
    """While arming the first arm is of those whom the first step will expose."""
    plan = a_plan(preflight_s=600.0)
    state = replace(running(plan, NOON), status=Status.ARMING, exposure_ppm=0, step=-1, exposed_since_ms=None)

    arming = picture_of(view_of(plan, replace(state, entered_ms=NOON, armed_s=100.0), NOON + 2 * MINUTE))
    assert "to expose" in arming
    assert "arming since 12:00:00, 2:00" in arming
    assert "to 5 %: pre-flight 8:20 left of 10:00" in arming
    assert "to expose" not in picture_of(view_of(plan, running(plan, NOON), NOON))


def test_durations_are_called_slow() -> None:
    """A guardrail on durations has slow requests and no failing users."""
    slow = replace(ERRORS, name="request-duration", grade=2, measure=Measure.LATENCY, bound_ms=500)
    plan = replace(a_plan(), guardrails=(slow,))
    shown = picture_of(view_of(plan, running(plan, NOON), NOON))
    rows = {line.split()[0]: line.split() for line in shown.splitlines() if line.strip()}

    assert rows["requests"] == ["requests", "slow", "rate", "users", "failing"]
    assert rows["control"][-1] == "-"


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    """A reason that somebody gave can not clear the screen."""
    plan = a_plan()
    view = view_of(plan, running(plan, NOON), NOON)
    view["standing"]["line"] = "paused: \x1b[2J gone"
    shown = picture_of(view, decisions=[a_decision(0, "pause", 5, "paused", "\x1b[2J\x9b gone", "ann")])

    assert "\x1b" not in shown
    assert "gone (by ann)" in shown


def test_stages_stand_above_the_stairs() -> None:
    """Whom a rolling ramp goes by, in order; an ordinary one has none."""
    plan = a_plan(by="region", stages=(Stage(("eu",)), Stage(("us", "ca")), Stage()))
    shown = picture_of(view_of(plan, replace(running(plan, NOON), stage=1), NOON))

    assert "region us, ca (2 of 3): running at 5 %" in shown
    assert "stages  region eu, [region us, ca], everyone else" in shown
    assert "stages" not in picture_of(view_of(a_plan(), running(a_plan(), NOON), NOON))


def test_a_comparison_shows_no_proof() -> None:
    """None is asked for; harm is shown as ever."""
    plan = a_plan(100, baseline="off", compared_share=0.5)
    compared, other = (picture_of(view_of(one, running(one, NOON), NOON)) for one in (plan, a_plan()))

    assert "harm" in compared
    assert "  proof  " not in compared
    assert "  proof  " in other


def shown(**more: Any) -> str:
    """The picture of a running ramp of which more is known."""
    plan = a_plan()
    return picture_of(view_of(plan, running(plan, NOON), NOON, **more))


def test_a_ramp_that_nobody_looks_at_says_so() -> None:
    """With how long for; one that is looked at, and one of which nothing is known, say nothing."""
    assert "UNATTENDED: no controller has looked at it for 1:05" in shown(attended=False, silent_s=64.2)
    assert "UNATTENDED" not in shown(attended=True, silent_s=0.4)
    assert "UNATTENDED" not in shown(attended=None, silent_s=None)


def test_a_killed_ramp_shows_who_applied_the_kill() -> None:
    """Its read-back, with the stragglers, and that exposure has not fallen; of many the first ten."""
    readback = {
        "line": "1 of 13 instances applied it: p50 4 ms, p99 4 ms",
        "stragglers": [{"line": f"web {number:08x} has been silent for 0:25"} for number in range(12)],
        "gone": 2,
        "unconfirmed": ["a" * 32],
    }
    text = shown(kill=readback)

    assert "kill  1 of 13 instances applied it: p50 4 ms, p99 4 ms" in text
    assert "web 00000009 has been silent for 0:25" in text
    assert "web 0000000a" not in text
    assert "and 2 more" in text
    assert "2 ended, or fell silent long ago, without it" in text
    assert "exposure has not fallen: 1 still expose users or report without it" in text
