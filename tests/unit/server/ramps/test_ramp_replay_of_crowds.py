"""What is recorded of a ramp over a crowd gives each of its decisions again."""

import random

import pytest
from msgspec.structs import replace

from rheostat_server.ports.ramps import DecisionRow
from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.model import LIVE, Action, Plan, State
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.records import acted, decided, happened
from rheostat_server.ramps.replay import replay
from rheostat_server.ramps.transition import act, start, transition
from tests.proofs.scenarios import SLOW, a_long_plan
from tests.unit.server.ramps.ramp_builders import ERRORS, SECOND
from tests.unit.server.ramps.ramp_crowds import Chance, Crowd, evidence_from


def written(plan: Plan, users: int, chance: Chance, *, lost: float = 0.0) -> tuple[list[DecisionRow], list[State]]:
    """The rows of a ramp over this crowd, and its states; a person lets it go on at the fortieth observation."""
    crowd, state = Crowd(random.Random(3), users), start(plan, 0)
    rows, states = [happened(1, state, "start", actor="ana", at_ms=0, plan=plan)], [state]
    for number in range(1, 90):
        if state.status not in LIVE:
            break
        now_ms = number * 15 * SECOND
        block = crowd.block(plan, state, now_ms, seconds=15, per_s=40, chance=chance, lost=lost)
        evidence = evidence_from(plan, crowd, state, block)
        observed = observe(plan, state, evidence)
        decision = decide(plan, observed, now_ms)
        state = transition(plan, observed, decision, now_ms)
        rows.append(decided(len(rows) + 1, state, evidence, decision))
        states.append(state)
        if number == 60 and state.status in LIVE:
            state = act(plan, state, Action.ADVANCE, now_ms, "we know")
            rows.append(acted(len(rows) + 1, state, Action.ADVANCE, actor="ana", reason="we know", at_ms=now_ms))
            states.append(state)
    return rows, states


@pytest.mark.parametrize(
    ("users", "chance", "lost"),
    [
        (2_000, lambda _, exposed, __: 0.03 if exposed else 0.004, 0.0),
        (150, lambda _, exposed, __: 0.15 if exposed else 0.01, 0.0),
        (2_000, lambda _, __, now_ms: 0.3 if 660_000 < now_ms < 800_000 else 0.001, 0.0),
        (2_000, lambda *_: 0.002, 0.6),
    ],
    ids=["regression", "companies", "outage", "lost"],
)
def test_rows_give_each_decision_and_state_again(users: int, chance: Chance, lost: float) -> None:
    """Crowds, ceilings, changed grades, retreats and a person's word: the log decides again as it did, exactly."""
    plan = a_long_plan(10, 50, guardrails=(replace(ERRORS, ceiling=0.02), replace(SLOW, ceiling=0.02)))
    rows, states = written(plan, users, chance, lost=lost)
    again = list(replay(rows))

    assert [one.now for one in again] == [one.then for one in again]
    assert [one.state for one in again] == states
