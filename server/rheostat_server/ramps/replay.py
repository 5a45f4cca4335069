"""The states of a ramp, again, from its stored decisions. Pure."""

import math
from collections.abc import Iterable, Iterator

import msgspec

from rheostat_server.ports.ramps import DecisionRow
from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.model import Plan, State, Status
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.records import DecisionRecord
from rheostat_server.ramps.states import Cause
from rheostat_server.ramps.transition import act, begun_from, drafted, start, transition, written_over
from rheostat_server.ramps.verdicts import Decision

_SAME = 1e-9
"""Logarithms differ in their last digits from one machine's arithmetic to another's; no more than that."""


class Difference(msgspec.Struct, frozen=True):
    """Something that came out otherwise, as the row says it and as the rule has it now."""

    what: str
    then: str
    now: str


class Replayed(msgspec.Struct, frozen=True):
    """One row again: what was decided then, what the rule decides now, and the state that comes of it.

    ``differences`` is empty where the row agrees: the decision word for word, where the ramp stands, and M, E and A of
    each guardrail.
    """

    seq: int
    then: Decision | None
    now: Decision | None
    state: State
    differences: tuple[Difference, ...] = ()


def replay(rows: Iterable[DecisionRow]) -> Iterator[Replayed]:
    """Yield each row's decision as it was and as the rule decides it again. The first row is the ramp's start.

    Raises:
        ValueError: the rows do not begin with a start, one is missing, or one is not a decision's record.
    """
    plan: Plan | None = None
    state = State()
    seq = 0
    for row in rows:
        try:
            record = msgspec.json.decode(row.body, type=DecisionRecord)
        except msgspec.DecodeError as error:
            raise ValueError(f"row {row.seq} cannot be read: {error}") from error
        again: Decision | None = None
        if record.plan is not None:
            plan = record.plan
            later = record.event == "draft"
            if later:
                state = drafted(plan, row.at_ms, record.starts_ms, record.why)
            else:
                state = begun_from(plan, state, row.at_ms) if seq else start(plan, row.at_ms)
        elif plan is None:
            raise ValueError("the rows do not begin with the ramp's start")
        elif row.seq != seq + 1:
            raise ValueError(f"row {seq + 1} is missing: after row {seq} comes row {row.seq}")
        elif record.evidence is not None:
            state = observe(plan, state, record.evidence)
            again = decide(plan, state, row.at_ms)
            state = transition(plan, state, again, row.at_ms)
        elif record.action is not None:
            state = act(plan, state, record.action, row.at_ms, record.reason or "", source=record.source)
        elif record.event == "aborted":
            # No write touches a draft: what ends it is its time.
            cause = Cause.TIME_ABORTED if state.status is Status.DRAFT else Cause.WRITE_ABORTED
            state = written_over(plan, state, cause, row.at_ms, record.why)
        seq = row.seq
        yield Replayed(seq, record.decision, again, state, tuple(_differences(record, again, state)))


def _differences(record: DecisionRecord, again: Decision | None, state: State) -> Iterator[Difference]:
    if again != record.decision:
        yield Difference("decision", _words(record.decision), _words(again))
    for what in ("status", "stage", "step", "epoch", "exposure_ppm", "why"):
        then, now = getattr(record, what), getattr(state, what)
        if then != now:
            yield Difference(what, str(then), str(now))
    for name, figures in record.guardrails.items():
        seen = state.guardrails.get(name)
        if seen is None:
            yield Difference(f"guardrail {name}", "seen", "not in the plan")
            continue
        if figures.sight != seen.sight.value:
            yield Difference(f"{name}: sight", figures.sight, seen.sight.value)
        for letter in ("m", "e", "a"):
            then_log, now_log = getattr(figures, f"log_{letter}"), getattr(seen, f"log_{letter}")
            if not math.isclose(then_log, now_log, rel_tol=_SAME, abs_tol=_SAME):
                yield Difference(f"{name}: log {letter.upper()}", repr(then_log), repr(now_log))


def _words(decision: Decision | None) -> str:
    return "none" if decision is None else msgspec.json.encode(decision).decode()
