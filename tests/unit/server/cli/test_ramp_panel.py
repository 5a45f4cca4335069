"""The picture of a ramp in the terminal."""

from typing import Any

import msgspec
from msgspec.structs import replace
from rich.console import Console

from rheostat_server.cli.ramp_panel import ramp_panel
from rheostat_server.ramps.evidence import ArmTotals
from rheostat_server.ramps.memory import CeilingMemory
from rheostat_server.ramps.model import GuardrailState, Measure, Plan, State
from rheostat_server.ramps.standing import standing
from rheostat_server.ramps.transition import start
from tests.unit.server.ramps.ramp_builders import ERRORS, MINUTE, REQUESTS, a_plan, running, seeing


def shown(plan: Plan, state: State, **more: Any) -> str:
    """Return the panel of a ramp that stands so."""
    stands = msgspec.to_builtins(standing(plan, state, 2 * MINUTE))
    view: dict[str, Any] = {
        "id": "r",
        "flag": plan.flag,
        "environment": plan.environment,
        "rollout": plan.rollout,
        "proof": "randomised",
        "status": stands["status"],
        "exposure": state.exposure_ppm / 10_000,
        "step": state.step,
        "steps": [step.exposure_ppm / 10_000 for step in plan.steps],
        "standing": stands,
        "guardrails": stands["guardrails"],
        "plan": msgspec.to_builtins(plan),
        **more,
    }
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(ramp_panel(view, width=100))
    return capture.get()


def test_guardrail_that_may_not_kill_has_no_line_at_which_it_would() -> None:
    """What only holds is not said to kill."""
    plan = replace(a_plan(), guardrails=(replace(ERRORS, may_kill=False),))

    assert "1, holds, does not kill" in shown(plan, running(plan))
    assert "1, kills at 100" in shown(a_plan(), running(a_plan()))


def test_ceiling_is_shown_against_its_line() -> None:
    """A guardrail with a ceiling shows how near its process is to crossing it; another has no such row."""
    plan = replace(a_plan(), guardrails=(replace(ERRORS, ceiling=0.02),))
    text = shown(plan, seeing(running(plan), "errors", ceiling=CeilingMemory(log_c=1.0)))

    assert "2.72, crossed at 500 (2 %)" in text
    assert "ceiling" not in shown(a_plan(), running(a_plan()))


def test_figures_are_grouped_as_everywhere() -> None:
    """Thousands are apart by a space, and percent signs from their figure."""
    totals = ArmTotals(ended=12_345, bad=1_000, failing=900)
    text = shown(a_plan(), seeing(running(a_plan()), "errors", treatment=totals))

    assert " ".join(text.split()).count("12 345 1 000 8.10 % 900") == 1


def test_requests_are_of_no_known_users() -> None:
    """Where a guardrail counts requests, no number of failing users is made up."""
    plan = replace(a_plan(), guardrails=(REQUESTS,))
    rows = [line.split() for line in shown(plan, running(plan)).splitlines() if "control" in line]

    assert rows[-1][-2] == "-"


def test_nobody_is_called_exposed_while_arming() -> None:
    """While arming the first arm is of those whom the first step will expose."""
    plan = a_plan(preflight_s=600.0)

    assert "to expose" in shown(plan, start(plan, 0))
    assert "to expose" not in shown(plan, running(plan))


def test_durations_are_called_slow() -> None:
    """A guardrail on durations has slow requests, no error rate and no failing users."""
    slow = replace(ERRORS, name="request-duration", grade=2, measure=Measure.LATENCY, bound_ms=500)
    plan = replace(a_plan(), guardrails=(slow,))
    state = replace(running(plan), guardrails={slow.name: GuardrailState()})
    text = shown(plan, state)

    assert "slow rate" in text
    assert "error rate" not in text
    assert [line.split()[-2] for line in text.splitlines() if "control" in line] == ["-"]


def test_a_ramp_that_nobody_looks_at_says_so() -> None:
    """With how long for; one that is looked at, and one of which nothing is known, say nothing."""
    plan = a_plan()

    assert "unattended: no controller has looked at it for 1:05" in shown(
        plan, running(plan), attended=False, silent_s=64.2
    )
    assert "unattended" not in shown(plan, running(plan), attended=True, silent_s=0.4)
    assert "unattended" not in shown(plan, running(plan), attended=None, silent_s=None)


def test_a_killed_ramp_shows_who_applied_the_kill() -> None:
    """Its read-back, with the stragglers, and that exposure has not fallen; of many the first ten."""
    plan = a_plan()
    readback = {
        "line": "1 of 13 instances applied it: p50 4 ms, p99 4 ms",
        "stragglers": [{"line": f"web {number:08x} has been silent for 0:25"} for number in range(12)],
        "gone": 2,
        "unconfirmed": ["a" * 32],
    }
    text = shown(plan, running(plan), kill=readback)

    assert "kill  1 of 13 instances applied it: p50 4 ms, p99 4 ms" in text
    assert "web 00000009 has been silent for 0:25" in text
    assert "web 0000000a" not in text
    assert "and 2 more" in text
    assert "2 ended, or fell silent long ago, without it" in text
    assert "exposure has not fallen: 1 still expose users or report without it" in text
