"""The staircase of a ramp: where it has been, where it is, what is ahead."""

from typing import Any

from msgspec.structs import replace

from rheostat_server.cli.ramp_picture.look import ASCII, UNICODE, Look, Marks
from rheostat_server.cli.ramp_picture.staircase import Visit, staircase, visits
from rheostat_server.ramps.model import Gate, Plan, Status, Step
from tests.unit.server.cli.ramp_views import NOON, SECOND, a_decision, text_of, view_of
from tests.unit.server.ramps.ramp_builders import a_plan, running

MINUTE = 60 * SECOND


def at_step(plan: Plan, step: int, minutes: int, **changes: Any) -> dict[str, Any]:
    """A ramp that came to this step so many minutes after noon, half a minute ago."""
    state = replace(running(plan, NOON + minutes * MINUTE, step), entered_ms=NOON + minutes * MINUTE, started_ms=NOON)
    return view_of(plan, state, NOON + minutes * MINUTE + 30 * SECOND, **changes)


def drawn(
    view: dict[str, Any],
    moves: list[dict[str, Any]],
    width: int = 80,
    rows: int = 99,
    marks: Marks = UNICODE,
) -> list[str]:
    """Return the staircase as rows of text."""
    return text_of(staircase(view, moves, Look(width=width, marks=marks), rows=rows)).splitlines()


def test_a_climb_goes_from_the_lower_left_to_the_upper_right() -> None:
    """What was is drawn heavy, what is ahead thin and dashed; each row says when, for how long, and what next."""
    moves = [a_decision(0, "start", 0), a_decision(60, "begin", 5), a_decision(180, "advance", 25)]

    assert drawn(at_step(a_plan(), 1, 3), moves) == [
        "    100 %                          ┌╌╌╌╌╌  ahead, at least 1:00",
        "     50 %                    ┌╌╌╌╌╌┘       ahead, at least 1:00",
        "     25 %              ┏━━━━●┘             here since 12:03:00, 0:30",
        "      5 %        ┏━━━━━┛                   12:01:00 for 2:00",
        "      0 %  ━━━━━━┛                         12:00:00 for 1:00",
    ]


def test_it_is_drawn_in_ascii_where_nothing_else_can_be() -> None:
    """The same in ASCII: the past is of other characters than what is ahead."""
    moves = [a_decision(0, "start", 0), a_decision(60, "begin", 5), a_decision(180, "advance", 25)]

    assert drawn(at_step(a_plan(), 1, 3), moves, marks=ASCII)[1:4] == [
        "     50 %                    +.....+       ahead, at least 1:00",
        "     25 %              +====o+             here since 12:03:00, 0:30",
        "      5 %        +=====+                   12:01:00 for 2:00",
    ]


def test_a_step_back_is_seen() -> None:
    """A level that was left downward and entered again has both stays, and their time together."""
    moves = [
        a_decision(0, "begin", 5),
        a_decision(60, "advance", 25),
        a_decision(90, "step-back", 5, "held"),
        a_decision(180, "advance", 25),
    ]
    rows = drawn(at_step(a_plan(), 1, 3), moves)

    assert rows[2:] == [
        "     25 %       ┏━━━━┓    ┏━━━●┘           here since 12:03:00, 0:30, 2 times",
        "      5 %  ━━━━━┛    ┗━━━━┛                12:01:30, 2 times, 2:30 in all",
        "      0 %                                  at the start",
    ]


def test_a_kill_falls_through_all_levels() -> None:
    """A killed ramp is drawn down to nobody; what it never came to is not called ahead."""
    plan = a_plan()
    killed = replace(running(plan, NOON, 2), status=Status.KILLED, exposure_ppm=0, entered_ms=NOON + 3 * MINUTE)
    moves = [a_decision(0, "begin", 5), a_decision(60, "advance", 25), a_decision(120, "advance", 50)]
    rows = drawn(view_of(plan, killed, NOON + 4 * MINUTE), [*moves, a_decision(180, "kill", 0, "killed")])

    assert rows == [
        "    100 %                            not reached",
        "     50 %              ┏━━━━━┓       12:02:00 for 1:00",
        "     25 %        ┏━━━━━┛     ┃       12:01:00 for 1:00",
        "      5 %  ━━━━━━┛           ┃       12:00:00 for 1:00",
        "      0 %                    ┗━━━━●  taken back since 12:03:00",
    ]


def test_an_abort_is_back_at_its_start() -> None:
    """An aborted ramp stands where it began, also where that was above nothing."""
    plan = a_plan(25, 50, start_ppm=50_000)
    over = replace(running(plan, NOON), status=Status.ABORTED, exposure_ppm=50_000, entered_ms=NOON + MINUTE)
    moves = [a_decision(0, "begin", 25), a_decision(60, "abort", 5, "aborted")]

    assert drawn(view_of(plan, over, NOON + 2 * MINUTE), moves)[-1].endswith("●  back since 12:01:00")


def test_a_promotion_stays_where_it_is() -> None:
    """A promoted ramp says how long its last step and the soak took, and goes on from there no more."""
    plan = a_plan(5, 100)
    over = replace(running(plan, NOON, 1), status=Status.PROMOTED, entered_ms=NOON + 3 * MINUTE)
    moves = [a_decision(0, "begin", 5), a_decision(60, "advance", 100), a_decision(180, "promote", 100, "promoted")]

    assert drawn(view_of(plan, over, NOON + 60 * MINUTE), moves)[0] == (
        "    100 %        ┏━━━━●  12:01:00 for 2:00, promoted"
    )


def test_what_a_person_has_to_open_is_said() -> None:
    """A step with a manual gate says so while it is ahead; a skipped one that it was passed over."""
    steps = (Step(exposure_ppm=50_000), Step(exposure_ppm=250_000, gate=Gate.MANUAL, min_dwell_s=5.0))
    rows = drawn(at_step(replace(a_plan(), steps=steps), 0, 1), [a_decision(60, "begin", 5)])
    assert rows[0].endswith("ahead, at least 0:05, then by hand")
    assert drawn(at_step(a_plan(), 2, 1), [a_decision(60, "advance", 50)])[2].endswith("passed over")


def test_yesterday_has_its_date() -> None:
    """A ramp of several days shows on which day a step was entered."""
    rows = drawn(at_step(a_plan(), 1, 24 * 60), [a_decision(0, "begin", 5), a_decision(24 * 3600, "advance", 25)])

    assert rows[2].endswith("here since 12:00:00, 0:30")
    assert rows[3].endswith("11-29 12:00:00 for 24:00:00")


def test_many_steps_are_shown_around_the_present() -> None:
    """Of a hundred steps the top, the bottom and those around the present are shown, and how many are not."""
    plan = a_plan(*range(1, 101))
    moves = [a_decision(second, "advance", second + 1) for second in range(50)]
    rows = drawn(at_step(plan, 49, 1), moves, rows=7)

    assert len(rows) <= 8
    assert rows[0].split()[:2] == ["100", "%"]
    assert any("50 %" in row and "here since" in row for row in rows)
    shown = sum("%" in row for row in rows)
    assert sum(int(row.split()[1]) for row in rows if "more step" in row) == 101 - shown
    assert all(len(row) <= 80 for row in rows)


def test_many_stays_leave_the_latest() -> None:
    """Where there were more stays than fit, the present and what is ahead are still drawn."""
    moves = [a_decision(second, "advance", 5 if second % 2 else 25) for second in range(40)]
    rows = drawn(at_step(a_plan(), 0, 1), moves, width=60)

    assert any("●" in row and "here since" in row and "20 times" in row for row in rows)
    assert "┌" in rows[0]
    assert all(len(row) <= 60 for row in rows)


def test_the_view_goes_before_a_log_that_lags() -> None:
    """Where the ramp is by its view is where it is, whatever the decisions that were read so far say."""
    view = at_step(a_plan(), 1, 3)

    assert visits(view, []) == [Visit(25.0, NOON + 3 * MINUTE)]
    assert visits(view, [a_decision(0, "begin", 5)]) == [
        Visit(5.0, NOON, NOON + 3 * MINUTE),
        Visit(25.0, NOON + 3 * MINUTE),
    ]
