"""A ramp as the API shows it, of which a test says only what it is about, and its picture as text."""

from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from rheostat_server.cli.ramp_panel import ramp_picture
from rheostat_server.cli.ramp_picture.look import UNICODE, Look, Marks
from rheostat_server.ramps.model import LIVE, Plan, State
from rheostat_server.ramps.rolling import stage_words
from rheostat_server.ramps.standing import standing
from rheostat_server.web.times import rfc3339

NOON = 1_795_953_600_000
"""2026-11-29T12:00:00Z."""
SECOND = 1_000


def view_of(plan: Plan, state: State, now_ms: int, **changes: Any) -> dict[str, Any]:
    """Return the API's view of a ramp that stands so."""
    stands = msgspec.to_builtins(standing(plan, state, now_ms))
    view = {
        "id": "r",
        "flag": plan.flag,
        "environment": plan.environment,
        "rollout": plan.rollout,
        "status": state.status.value,
        "exposure": state.exposure_ppm / 10_000,
        "declared": 0.0,
        "in_force": True,
        "step": state.step,
        "steps": [step.exposure_ppm / 10_000 for step in plan.steps],
        "at": rfc3339(now_ms),
        "entered_at": rfc3339(state.entered_ms),
        "started_at": rfc3339(state.started_ms),
        "ended_at": None if state.status in LIVE else rfc3339(state.entered_ms),
        "proof": "randomised" if plan.guarded else "none",
        "guarded": plan.guarded,
        "holdback": plan.holdback_ppm / 10_000,
        "why": state.why,
        "standing": stands,
        "guardrails": stands["guardrails"],
        "plan": msgspec.to_builtins(plan),
        "stage": state.stage if plan.stages else None,
        "stages": [stage_words(plan, stage) for stage in range(len(plan.stages))],
        "baseline": plan.baseline,
    }
    return {**view, **changes}


def a_decision(
    seconds: int, kind: str, percent: float, status: str = "running", why: str = "because", actor: str | None = None
) -> dict[str, Any]:
    """Return a decision so many seconds after noon, after which ``percent`` are exposed."""
    detail = {"exposure_ppm": round(percent * 10_000), "status": status, "actor": actor}
    return {"seq": seconds + 1, "at": rfc3339(NOON + seconds * SECOND), "kind": kind, "why": why, "detail": detail}


def text_of(lines: list[Text], *, width: int = 200, colour: bool = False) -> str:
    """Return lines as a terminal of this width gets them."""
    console = Console(width=width, color_system="truecolor" if colour else None, force_terminal=colour, highlight=False)
    with console.capture() as capture:
        for line in lines:
            console.print(line)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def picture_of(
    view: dict[str, Any],
    width: int = 80,
    height: int | None = None,
    *,
    decisions: list[dict[str, Any]] | None = None,
    marks: Marks = UNICODE,
    colour: bool = False,
    last: Text | None = None,
) -> str:
    """Return the whole picture of a ramp as text."""
    given = decisions or []
    look = Look(width=width, marks=marks)
    lines = ramp_picture(view, look, decisions=given, moves=given, height=height, last=last)
    return text_of(lines, width=width, colour=colour)
