"""What is told of a rolling ramp: whom it is at, and of whom an exposure is."""

from typing import Any

from msgspec.structs import replace

from rheostat_server.notifications.message import Exposure, Message, Stage, ramp_message
from rheostat_server.notifications.words import facts, headline
from rheostat_server.ports.ramps import RampRow
from rheostat_server.ramps.model import Stage as Users
from rheostat_server.ramps.model import State, Status
from rheostat_server.ramps.transition import transition
from rheostat_server.ramps.verdicts import NextStage
from tests.unit.server.notifications.notices import a_message
from tests.unit.server.ramps.ramp_builders import MINUTE, a_plan, running

PLAN = a_plan(10, 50, by="region", stages=(Users(("eu",)), Users(("us",))))
LAST = running(PLAN, step=1)
ARMED = transition(PLAN, LAST, NextStage(1, "w"), MINUTE)


def row(state: State, **changes: Any) -> RampRow:
    """The ramp, standing so."""
    return RampRow(
        id="r",
        environment_id=1,
        flag=PLAN.flag,
        rollout=PLAN.rollout,
        live=True,
        overlaid=True,
        version=1,
        plan=replace(PLAN, **changes),
        state=state,
        unit_key=b"",
        declared_ppm=0,
        start_ppm=0,
        started_by="ana",
        started_at_ms=0,
    )


def told(before: State, after: State, event: str = "advanced", **changes: Any) -> Message:
    """The message of this change."""
    return ramp_message(a_message(event=event), row(before, **changes), row(after, **changes))


def test_the_next_stage_is_told_as_such() -> None:
    """Nobody advanced to 0 %: other users' turn begins, at the exposure that they have."""
    message = told(LAST, ARMED)

    assert message.stage == Stage(before="region eu", after="region us")
    assert message.exposure == Exposure(before=0, after=0)
    assert headline(message) == "checkout-v2 goes on with region us in production"
    assert ("exposure", "0 % of region us") in facts(message)


def test_an_exposure_is_that_of_the_stage() -> None:
    """Within a stage it goes up and back as that of its users; without a pre-flight the next begins exposed."""
    first = replace(LAST, step=0, exposure_ppm=100_000)

    assert headline(told(first, LAST)) == "checkout-v2 advanced to 50 % of region eu in production"
    assert headline(told(LAST, first, "stepped-back")) == "checkout-v2 stepped back to 10 % of region eu in production"
    exposed = transition(replace(PLAN, preflight_s=0.0), LAST, NextStage(1, "w"), MINUTE)
    assert ("exposure", "0 % → 10 % of region us") in facts(told(LAST, exposed, preflight_s=0.0))


def test_at_its_end_it_is_everybodys_or_that_of_the_listed() -> None:
    """Promoted without the others, those who had a stage have it; a kill takes it from all."""
    soaking = replace(LAST, stage=1, status=Status.SOAKING, soaking_since_ms=1)
    promoted = told(soaking, replace(soaking, status=Status.PROMOTED), "promoted")

    assert ("exposure", "50 % of region eu, us") in facts(promoted)
    assert headline(promoted) == "checkout-v2 promoted in production"
    assert told(soaking, replace(soaking, status=Status.KILLED, exposure_ppm=0), "killed").stage is None
