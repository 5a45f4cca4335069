"""A ramp by ``rule: threshold`` in the terminal, at 80 columns and without colour."""

from typing import Any

from rich.console import Console

from rheostat_server.cli.counting_lines import counting_lines, rule_label
from rheostat_server.cli.ramp_panel import ramp_panel

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
        **changes,
    }


def shown(view: dict[str, Any]) -> str:
    """Return the panel as text."""
    console = Console(width=80, no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(ramp_panel(view, width=80))
    return capture.get()


def test_the_panel_says_that_no_error_is_stated() -> None:
    """Beside what failed so far, and each check with what it wants."""
    text = shown(a_view())

    assert "proof: none  rule: threshold" in text
    assert "failed checks  2 of 5  no stated error" in text
    assert "request-success-rate  is 98.1, wanted: at least 99" in text


def test_argo_rollouts_counts_measurements_by_limits_of_their_own() -> None:
    """There is no limit over all of them."""
    view = a_view(counting={"like": "argo-rollouts", "failed_checks": 0, "limit": None, "checks": []})

    assert "failed measurements  0  no stated error" in shown(view)


def test_other_ramps_have_no_such_lines() -> None:
    """What the guard decides says nothing of it, and what is unguarded says that."""
    assert counting_lines(a_view(counting=None)) == []
    assert rule_label(a_view(rule="guard", guarded=True)) is None
    assert rule_label({"guarded": False}) == "UNGUARDED"
