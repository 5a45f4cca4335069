"""Messages of which a test says only what it is about."""

from typing import Any

from rheostat_server.notifications.message import ArmFigures, Exposure, GuardrailFigures, KillFacts, Message

ERRORS = GuardrailFigures(
    name="errors",
    sight="seen",
    may_kill=True,
    treatment=ArmFigures(requests=1234, bad=61, rate=61 / 1234),
    control=ArmFigures(requests=11_106, bad=55, rate=55 / 11_106),
    m=131.4,
    kill_line=100.0,
    e=0.2,
    a=0.01,
    advance_line=20.0,
    proved=False,
)


def a_message(**fields: Any) -> Message:
    """A kill by the controller."""
    base: dict[str, Any] = {
        "event": "killed",
        "id": "0193b0a0-0000-7000-8000-000000000001",
        "at": "2026-01-01T00:00:00.000Z",
        "project": "default",
        "environment": "production",
        "flag": "checkout-v2",
        "rollout": "default",
        "ramp": "0193b0a0-0000-7000-8000-0000000000aa",
        "status": "killed",
        "exposure": Exposure(before=10, after=0),
        "why": "errors: 61 users newly failed, M crossed 100",
        "actor": "controller",
        "kill": KillFacts(id="k", scope="rollout", source="controller"),
        "guardrails": (ERRORS,),
        "link": "https://flags.example.com/api/v1/projects/default/environments/production/ramps/0193b0a0",
    }
    return Message(**{**base, **fields})
