"""The picture of a ramp in the terminal."""

from typing import Any

import msgspec
from msgspec.structs import replace
from rich.console import Console

from rheostat_server.cli.ramp_panel import ramp_panel
from rheostat_server.ramps.evidence import ArmTotals
from rheostat_server.ramps.memory import CeilingMemory
from rheostat_server.ramps.model import GuardrailState, Measure, Plan, Stage, State
from rheostat_server.ramps.rolling import stage_words
from rheostat_server.ramps.standing import standing
from rheostat_server.ramps.transition import start
from tests.unit.server.ramps.ramp_builders import ERRORS, MINUTE, REQUESTS, a_plan, running, seeing


def shown(plan: Plan, state: State) -> str:
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
        "stage": state.stage if plan.stages else None,
        "stages": [stage_words(plan, stage) for stage in range(len(plan.stages))],
        "baseline": plan.baseline,
        "plan": msgspec.to_builtins(plan),
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


def test_stages_stand_below_the_steps() -> None:
    """Whom a rolling ramp goes by, in order; an ordinary one has none."""
    plan = a_plan(by="region", stages=(Stage(("eu",)), Stage(("us", "ca")), Stage()))
    text = shown(plan, replace(running(plan), stage=1))

    assert "region us, ca (2 of 3): running at 5 %" in text
    assert "stages     region eu → region us, ca → everyone else" in text
    assert "stages" not in shown(a_plan(), running(a_plan()))


def test_a_comparison_shows_no_proof() -> None:
    """None is asked for; harm is shown as ever."""
    plan = a_plan(100, baseline="off", compared_share=0.5)

    text = shown(plan, running(plan))

    assert "harm" in text
    assert "proof: randomised" in text
    assert "advances at" not in text
    assert "advances at" in shown(a_plan(), running(a_plan()))
