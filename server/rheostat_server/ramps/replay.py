"""The states of a ramp, again, from its stored decisions. Pure."""

from collections.abc import Iterable, Iterator

import msgspec

from rheostat_server.ports.ramps import DecisionRow
from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.model import Decision, Plan, State
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.records import DecisionRecord
from rheostat_server.ramps.transition import act, restored, start, transition


class Replayed(msgspec.Struct, frozen=True):
    """One row again: what was decided then, what the rule decides now, and the state that comes of it."""

    seq: int
    then: Decision | None
    now: Decision | None
    state: State


def replay(rows: Iterable[DecisionRow]) -> Iterator[Replayed]:
    """Yield each row's decision as it was and as the rule decides it again. The first row is the ramp's start.

    Raises:
        ValueError: the rows do not begin with a start.
    """
    plan: Plan | None = None
    state = State()
    for row in rows:
        record = msgspec.json.decode(row.body, type=DecisionRecord)
        again: Decision | None = None
        if record.plan is not None:
            plan = record.plan
            state = start(plan, row.at_ms)
        elif plan is None:
            raise ValueError("the rows do not begin with the ramp's start")
        elif record.evidence is not None:
            state = observe(plan, state, record.evidence)
            again = decide(plan, state, row.at_ms)
            state = transition(plan, state, again, row.at_ms)
        elif record.action is not None:
            state = act(plan, state, record.action, row.at_ms, record.reason or "")
        elif record.event == "aborted":
            state = restored(plan, state, row.at_ms, record.why)
        yield Replayed(row.seq, record.decision, again, state)
