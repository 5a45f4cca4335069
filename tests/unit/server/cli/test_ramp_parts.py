"""The parts of a ramp's picture, one by one."""

from typing import Any

import pytest
from msgspec.structs import replace
from rich.text import Text

from rheostat_server.cli.ramp_picture.bars import bar
from rheostat_server.cli.ramp_picture.decided import decided, move_line, moves_since, telling
from rheostat_server.cli.ramp_picture.ending import ending, ending_line
from rheostat_server.cli.ramp_picture.evidence import proof_words
from rheostat_server.cli.ramp_picture.heading import labels, standing
from rheostat_server.cli.ramp_picture.look import ASCII, UNICODE, Look, cut, figure, folded, marks_for
from rheostat_server.cli.ramp_picture.waiting import waiting
from rheostat_server.ramps.evidence import ArmTotals
from rheostat_server.ramps.model import Gate, Plan, State, Status, Step
from rheostat_server.ramps.transition import start
from tests.unit.server.cli.ramp_views import NOON, SECOND, a_decision, text_of, view_of
from tests.unit.server.ramps.ramp_builders import ERRORS, REQUESTS, a_plan, running, seeing

LOOK = Look(width=80)


def bar_of(value: float, line: float, marked: float | None = None) -> str:
    """Return a bar of eleven characters, the last of which is the line."""
    return bar(value, line, LOOK, width=11, color="red", marked=marked).plain


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "╌╌╌╌╌╌╌╌╌╌┃"),
        (1.0, "╌╌╌╌╌╌╌╌╌╌┃"),
        (1.01, "━╌╌╌╌╌╌╌╌╌┃"),
        (10.0, "━━━━━╌╌╌╌╌┃"),
        (99.9, "━━━━━━━━━╌┃"),
        (100.0, "━━━━━━━━━━┃"),
        (1e300, "━━━━━━━━━━┃"),
        (float("inf"), "━━━━━━━━━━┃"),
    ],
)
def test_equal_strides_are_equal_factors(value: float, shown: str) -> None:
    """A bar is logarithmic, begins at the first doubt, and is full only when the line is reached."""
    assert bar_of(value, 100.0) == shown


def test_where_it_holds_is_marked() -> None:
    """The line at which a ramp holds is a stroke on the way, also where the evidence has passed it."""
    assert bar_of(1.0, 100.0, marked=10.0) == "╌╌╌╌╌┃╌╌╌╌┃"
    assert bar_of(50.0, 100.0, marked=10.0) == "━━━━━┃━━╌╌┃"
    assert bar_of(1.0, 8.0, marked=10.0) == "╌╌╌╌╌╌╌╌╌╌┃", "it is not on the way where the line is nearer"
    assert bar_of(5.0, 1.0) == "╌╌╌╌╌╌╌╌╌╌┃", "a line that is none is never neared"


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "-"), (0.0231, "0.0231"), (2.7182, "2.72"), (99.94, "99.9"), (1234.0, "1 234"), (2e6, "over 1 000 000")],
)
def test_figures_have_three_digits(value: float | None, words: str) -> None:
    """What is small has three digits, what is large none behind the point, and what is huge says so."""
    assert figure(value) == words


@pytest.mark.parametrize(
    ("encoding", "marks"),
    [("utf-8", UNICODE), ("ascii", ASCII), ("iso-8859-1", ASCII), (None, ASCII), ("no such thing", ASCII)],
)
def test_marks_are_those_that_the_encoding_has(encoding: str | None, marks: object) -> None:
    """A terminal that has no lines gets letters."""
    assert marks_for(encoding) is marks


def test_long_lines_are_cut_or_folded_by_cells() -> None:
    """A character of two cells counts as two; what is cut says so; words are kept whole where they can be."""
    narrow = Look(width=10)
    assert cut(Text("0123456789"), narrow).plain == "0123456789"
    assert cut(Text("0123456789a"), narrow).plain == "012345678…"
    assert cut(Text("0123456789a"), Look(width=10, marks=ASCII)).plain == "0123456..."
    assert cut(Text("漢字漢字漢字"), narrow).plain == "漢字漢字…"
    assert cut(Text("abc"), Look(width=1)).plain == "…"
    assert [line.plain for line in folded("one two three four", Look(width=12), further=2)] == [
        "one two",
        "  three four",
    ]
    assert [line.plain for line in folded("one two three", Look(width=10), most=1)] == ["one two …"]


def stepping(plan: Plan, **changes: Any) -> State:
    """A ramp that came to its first step at noon, and has seen 600 requests there."""
    seen = {"step_treatment": ArmTotals(ended=600), "treatment": ArmTotals(ended=600)}
    return replace(seeing(running(plan, NOON), "errors", **seen), entered_ms=NOON, **changes)


def due_words(plan: Plan, state: State, seconds: int = 30) -> str:
    """Return what is said to be missing so many seconds after noon."""
    return " ".join(line.plain.strip() for line in waiting(view_of(plan, state, NOON + seconds * SECOND), LOOK))


def test_the_countdown_names_all_that_is_missing() -> None:
    """Requests and time to proof, the dwell, the users, the patience and the person: what is over is not named."""
    gated = Step(exposure_ppm=50_000, gate=Gate.MANUAL, max_dwell_s=90.0)
    plan = replace(a_plan(), steps=(gated, Step(exposure_ppm=500_000)))
    state = stepping(plan, exposed_units=12)

    assert due_words(plan, state) == (
        "to 50 %: proof in ~460 requests, ~23 s · dwell 0:30 left · 12 of 20 users seen · inconclusive in 1:00 · "
        "a person: rheostat ramp approve checkout-v2"
    )
    proved = seeing(replace(state, exposed_units=20, approved_step=0), "errors", log_a=2.0)
    assert due_words(plan, proved, 80) == "to 50 %: proved · inconclusive in 0:10"


def test_the_slowest_proof_counts() -> None:
    """Of several guardrails the one that takes longest is told; one that may not kill is not waited for."""
    plan = a_plan(guardrails=(ERRORS, REQUESTS))
    assert "proof in ~2 300 requests ·" in due_words(plan, stepping(plan))
    advisory = a_plan(guardrails=(ERRORS, replace(REQUESTS, may_kill=False)))
    assert "proof in ~460 requests, ~23 s ·" in due_words(advisory, stepping(advisory))
    hopeless = seeing(stepping(a_plan()), "errors", control=ArmTotals(ended=10_000, bad=50))
    assert "no proof at the control's rate" in due_words(a_plan(), hopeless)


def test_the_soak_and_the_pre_flight_count_down() -> None:
    """Before the first exposure and after the last step a clock is what is waited for."""
    plan = a_plan()
    soaking = replace(running(plan, NOON, 3), status=Status.SOAKING, soaking_since_ms=NOON)
    arming = replace(start(a_plan(preflight_s=10.0), NOON), armed_s=10.0, why="pre-flight: 68 of 100 requests seen")
    assert due_words(a_plan(preflight_s=10.0), arming) == "to 5 %: pre-flight: 68 of 100 requests seen"
    assert due_words(plan, soaking) == "to promoted: soak 1:30 left of 2:00"
    last = replace(running(plan, NOON, 3), entered_ms=NOON)
    assert due_words(plan, last).startswith("to soak: ")
    assert due_words(plan, replace(soaking, status=Status.PROMOTED)) == ""


def test_what_the_calendar_forbids_is_told() -> None:
    """A window or freeze that keeps the ramp where it is stands below the countdown."""
    view = view_of(a_plan(), stepping(a_plan()), NOON)
    view["standing"]["shut"] = "no window before mon 09:00 Europe/Madrid"

    assert [line.plain for line in waiting(view, LOOK)][-1] == "  calendar: no window before mon 09:00 Europe/Madrid"


def test_an_unguarded_ramp_waits_for_time_alone() -> None:
    """No proof is promised where none is asked for; when nothing is missing, that is said."""
    plan = a_plan(guardrails=(), guarded=False)
    state = replace(running(plan, NOON), entered_ms=NOON)

    assert due_words(plan, state) == "to 25 %: dwell 0:30 left"
    assert due_words(plan, state, 60) == "to 25 %: nothing is missing"


def test_labels_say_what_the_plan_promises() -> None:
    """Strategy, proof, α with its line; what weakens the promise is in capitals."""
    plan = a_plan(users=80, low_evidence=True, manual=True, holdback_ppm=20_000)
    view = view_of(plan, running(plan, NOON), NOON)
    assert labels(view, LOOK) == [
        "canary",
        "proof: randomised",
        "α 0.01 / K 1, kill line 100",
        "holdback 2 %",
        "BY HAND: few users",
        "LOW EVIDENCE: 80 users",
    ]
    unknown = a_plan(low_evidence=True)
    assert labels(view_of(unknown, running(unknown, NOON), NOON), LOOK)[-1] == "LOW EVIDENCE: users unknown"
    bare = a_plan(guardrails=(), guarded=False)
    assert labels(view_of(bare, running(bare, NOON), NOON), LOOK) == [
        "canary",
        "proof: none",
        "UNGUARDED: moves by time alone",
    ]
    advisory = a_plan(guardrails=(replace(ERRORS, may_kill=False),))
    assert "α 0.01 / K 1" in labels(view_of(advisory, running(advisory, NOON), NOON), LOOK)


def test_labels_of_other_strategies_and_rules_are_those_of_the_api() -> None:
    """What the plan names is shown as it is named."""
    view = view_of(a_plan(), running(a_plan(), NOON), NOON)
    view["plan"] |= {"strategy": "rolling", "rule": "threshold"}

    assert labels(view, LOOK)[:3] == ["rolling", "proof: randomised", "rule: threshold, NO STATED ERROR"]


def test_it_is_said_for_how_long_a_ramp_has_stood_still() -> None:
    """Since the first decision of the present standing; where the log does not go back so far, more than that."""
    plan = a_plan()
    view = view_of(plan, replace(running(plan, NOON), status=Status.HELD, why="errors"), NOON + 100 * SECOND)
    held = [a_decision(second, "hold", 5, "held") for second in (30, 60, 90)]

    def said(*decisions: dict[str, Any]) -> str:
        return text_of(standing(view, decisions, LOOK))

    assert said(a_decision(10, "begin", 5), *held).endswith("errors (for 1:10)")
    assert said(*held).endswith("errors (for more than 1:10)")
    assert said().endswith("errors")
    assert said(a_decision(10, "begin", 5)).endswith("errors")


def test_a_proof_is_told_by_its_nearer_process() -> None:
    """E where the relative proof is further, else A; a proved step needs nothing more."""
    plan = a_plan()

    def said(**seen: Any) -> str:
        view = view_of(plan, seeing(stepping(plan), "errors", **seen), NOON + 30 * SECOND)
        return proof_words(view, view["guardrails"][0])

    assert said(log_e=0.5, log_a=0.1) == "E 1.65 of 5, ~460 requests, ~23 s"
    assert said(log_a=2.0) == "A 7.39 of 5, proved"
    assert said(control=ArmTotals(ended=10_000, bad=50)) == "A 1 of 5, none at the control's rate"
    over = view_of(plan, replace(stepping(plan), status=Status.KILLED), NOON)
    assert proof_words(over, over["guardrails"][0]) == "A 1 of 5"


def test_of_many_holds_the_last_is_told() -> None:
    """Decisions are a line each, with their time and who made them; a row of holds is one line."""
    log = [a_decision(0, "start", 0, "arming", actor="ann"), a_decision(1, "hold", 0), a_decision(2, "hold", 0)]
    log += [a_decision(3, "pause", 0, "paused", "lunch", "ann")]
    view = view_of(a_plan(), running(a_plan(), NOON), NOON + 5 * SECOND)

    assert [one["seq"] for one in telling(log, 5)] == [1, 3, 4]
    assert telling(log, 0) == []
    assert text_of(decided(view, log, LOOK, most=2)).splitlines() == [
        "  12:00:02  hold      because",
        "  12:00:03  pause     lunch (by ann)",
    ]


def test_a_move_is_a_line_of_a_log() -> None:
    """A line has time, flag, what was decided, status, exposure and why; holds that change nothing have none."""
    log = [a_decision(0, "hold", 5), a_decision(1, "hold", 5, "held", "suspicion"), a_decision(2, "hold", 5, "held")]

    assert moves_since(log, "running") == [log[1]]
    assert moves_since(log, None) == log[:2]
    assert move_line("x", log[1]) == "2026-11-29T12:00:01Z x: hold, held at 5 %: suspicion"


def over(status: Status, plan: Plan | None = None, **changes: Any) -> dict[str, Any]:
    """A ramp that has ended so."""
    plan = plan or a_plan()
    exposure = {Status.KILLED: 0, Status.ABORTED: plan.start_ppm}.get(status, 1_000_000)
    return view_of(plan, replace(running(plan, NOON, 3), status=status, exposure_ppm=exposure), NOON, **changes)


def test_a_killed_ramp_says_how_it_is_revived() -> None:
    """Who gets what now, the page to read, the log, and the command that revives it."""
    said = text_of(ending(over(Status.KILLED), LOOK))
    assert "Nobody gets the new variant" in said
    assert "docs/how-to/it-killed-my-flag.md" in said
    assert "rheostat flag revive checkout-v2 --reason WHY" in said
    assert "off variant" in text_of(ending(over(Status.KILLED, a_plan(kill_scope="flag")), LOOK))
    elsewhere = over(Status.KILLED, replace(a_plan(), environment="staging"))
    assert "rheostat flag revive checkout-v2 -e staging --reason WHY" in text_of(ending(elsewhere, LOOK))


def test_an_aborted_ramp_says_what_is_in_force() -> None:
    """The exposure from before the ramp, and how to try again."""
    said = text_of(ending(over(Status.ABORTED, a_plan(25, 50, 75, 100, start_ppm=50_000)), LOOK))

    assert "from before the ramp is in force again: 5 %" in said
    assert "rheostat ramp start checkout-v2" in said


def test_a_promoted_ramp_says_what_is_to_be_written_down() -> None:
    """While the document says otherwise there is something to do; when it has taken over, nothing."""
    said = text_of(ending(over(Status.PROMOTED), LOOK))
    assert "In force for 100 % of users. The flag's document still says 0 %." in said
    assert "checkout-v2" in said.splitlines()[-1]
    kept = over(Status.PROMOTED, a_plan(keep_holdback=True, holdback_ppm=10_000))
    assert "but the 1 % held back" in text_of(ending(kept, LOOK))
    assert text_of(ending(over(Status.PROMOTED, declared=100.0), LOOK)) == "In force for 100 % of users."
    assert "has taken over" in text_of(ending(over(Status.PROMOTED, in_force=False), LOOK))
    assert ending_line(over(Status.PROMOTED)).count("\n") == 0


def test_a_ramp_that_goes_on_has_no_ending() -> None:
    """While it is live there is nothing to be done."""
    view = view_of(a_plan(), running(a_plan(), NOON), NOON)

    assert ending(view, LOOK) == []
    assert ending_line(view) == ""
