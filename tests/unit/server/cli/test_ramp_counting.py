"""A ramp by ``rule: threshold`` in the terminal, at 80 columns and without colour."""

from typing import Any

from rich.console import Console

from rheostat_server.cli.ramp_panel import look_on, ramp_picture
from rheostat_server.cli.ramp_picture.counting import counting
from rheostat_server.cli.ramp_picture.heading import labels

CHECKS = [{"name": "request-success-rate", "said": "is 98.1", "wanted": "at least 99", "query": None}]


def a_view(**changes: Any) -> dict[str, Any]:
    """What the API shows of such a ramp."""
    counting = {"like": "flagger", "failed_checks": 2, "limit": 5, "checks": CHECKS}
    return {
        "id": "019b7eb6-0000-7000-8000-000000000000",
        "flag": "checkout-v2",
        "environment": "production",
        "rollout": "default",
        "status": "running",
        "exposure": 20,
        "step": 1,
        "steps": [10, 20, 50, 100],
        "proof": "none",
        "guarded": False,
        "rule": "threshold",
        "counting": counting,
        "guardrails": [],
        "why": "20 %",
        "at": "2026-01-01T12:00:00Z",
        "entered_at": "2026-01-01T12:00:00Z",
        "started_at": "2026-01-01T11:50:00Z",
        "ended_at": None,
        **changes,
    }


CONSOLE = Console(width=80, no_color=True, force_terminal=False)


def shown(view: dict[str, Any]) -> str:
    """Return the picture as text."""
    return "\n".join(line.plain for line in ramp_picture(view, look_on(CONSOLE)))


def test_the_picture_says_that_no_error_is_stated() -> None:
    """Beside what failed so far, and each check with what it wants."""
    text = shown(a_view())

    assert "rule: threshold, NO STATED ERROR" in text
    assert "failed checks  2 of 5  no stated error" in text
    assert "request-success-rate  is 98.1, wanted: at least 99" in text


def test_argo_rollouts_counts_measurements_by_limits_of_their_own() -> None:
    """There is no limit over all of them."""
    view = a_view(counting={"like": "argo-rollouts", "failed_checks": 0, "limit": None, "checks": []})

    assert "failed measurements  0  no stated error" in shown(view)


def test_other_ramps_have_no_such_lines() -> None:
    """What the guard decides says nothing of it, and what is unguarded says that."""
    look = look_on(CONSOLE)
    assert counting(a_view(counting=None), look) == []
    assert not any("rule" in label for label in labels(a_view(rule="guard", guarded=True), look))
    assert "UNGUARDED: moves by time alone" in labels(a_view(rule="guard"), look)
