"""What is written of a decision: enough to replay it, and the figures a person asks for. Pure."""

from hashlib import blake2b
from typing import Literal, TypeAlias, get_args

import msgspec
from msgspec.structs import replace

from rheostat_server.ports.ramps import DecisionRow
from rheostat_server.ramps.evidence import Evidence
from rheostat_server.ramps.model import Action, Plan, State, Status
from rheostat_server.ramps.verdicts import Decision

Event: TypeAlias = Literal["draft", "start", "covered", "uncovered", "ended", "aborted"]
"""What befalls a ramp by neither the rule nor a person's action on it: that it is planned for later, its start,
another ramp on its rollout that covers its overlay or uncovers it again, a write of the flag that ends its overlay or
aborts it, or that it could not start when its time came."""

KINDS = frozenset(
    {*(str(kind.__struct_config__.tag) for kind in get_args(Decision)), *map(str, Action), *get_args(Event)}
)
"""What a row of the log may be: the rule's verdict, a person's action, or an event."""
KEEP_EVERY_MS = 60_000
"""How often at least an observation of a live ramp is kept."""
SHORT_CURSOR = 200
"""A cursor of more characters is kept as its hash."""


class GuardrailFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A guardrail after the decision: logarithms of M, E, A and its ceiling's process, and whether it saw anything.

    ``grade`` is set where another than the plan's is counted.
    """

    log_m: float
    log_e: float
    log_a: float
    sight: str
    grade: int = 0
    log_c: float = 0.0


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a stored decision.

    The rule's own has ``evidence`` and ``decision``; a person's has ``action`` and ``actor``, and where something else
    gave the order its ``source``; the first has ``plan``. From the first on, the rows of a ramp give each state again:
    ``rheostat_server.ramps.replay``.
    """

    why: str
    status: Status
    step: int
    epoch: int
    exposure_ppm: int
    guardrails: dict[str, GuardrailFigures] = {}
    evidence: Evidence | None = None
    decision: Decision | None = None
    action: Action | None = None
    event: Event | None = None
    actor: str | None = None
    source: str | None = None
    reason: str | None = None
    plan: Plan | None = None
    starts_ms: int | None = None
    stage: int = 0


def worth_keeping(before: State, after: State, at_ms: int) -> bool:
    """Whether an observation of ``at_ms`` has to be saved, and its decision recorded.

    Not where nothing new was read and nothing changed but how long it has been so. Then the ramp stays as it was
    saved, as if nobody had looked: so what is recorded still gives each state again.
    """
    if before.observed_ms is None or not 0 <= at_ms - before.observed_ms < KEEP_EVERY_MS:
        return True
    return _but_for_time(before) != _but_for_time(after)


def _but_for_time(state: State) -> State:
    guardrails = {name: replace(seen, detail="") for name, seen in state.guardrails.items()}
    return replace(state, observed_ms=None, observations=0, why="", guardrails=guardrails)


def decided(seq: int, state: State, evidence: Evidence, decision: Decision) -> DecisionRow:
    """Return the row of what the rule decided; ``state`` is the one that came of it."""
    kind = type(decision).__struct_config__.tag
    record = msgspec.structs.replace(_record(state), evidence=_compact(evidence), decision=decision)
    return _row(seq, evidence.at_ms, str(kind), record)


def acted(
    seq: int, state: State, action: Action, *, actor: str, reason: str, at_ms: int, source: str | None = None
) -> DecisionRow:
    """Return the row of what a person did; ``source`` is what gave the order, if not a person."""
    record = msgspec.structs.replace(_record(state), action=action, actor=actor, reason=reason, source=source)
    return _row(seq, at_ms, action.value, record)


def happened(
    seq: int,
    state: State,
    event: Event,
    *,
    actor: str,
    at_ms: int,
    plan: Plan | None = None,
) -> DecisionRow:
    """Return the row of what befell the ramp: its start, or what another ramp or a write of the flag did to it."""
    record = msgspec.structs.replace(_record(state), event=event, actor=actor, plan=plan)
    return _row(seq, at_ms, event, record)


def _compact(evidence: Evidence) -> Evidence:
    """Return the evidence with its cursors as they are kept: no input of the rule, and some are large."""
    readings = tuple(replace(reading, cursor=kept_cursor(reading.cursor)) for reading in evidence.readings)
    return replace(evidence, readings=readings, crowd_cursor=kept_cursor(evidence.crowd_cursor))


def kept_cursor(cursor: str) -> str:
    """Return a cursor as the log has it: itself where it is short, else its hash, which still tells two apart."""
    if len(cursor) <= SHORT_CURSOR:
        return cursor
    return "blake2b:" + blake2b(cursor.encode(), digest_size=16).hexdigest()


def _record(state: State) -> DecisionRecord:
    return DecisionRecord(
        why=state.why,
        status=state.status,
        step=state.step,
        epoch=state.epoch,
        exposure_ppm=state.exposure_ppm,
        starts_ms=state.starts_ms,
        stage=state.stage,
        guardrails={
            name: GuardrailFigures(
                log_m=seen.log_m,
                log_e=seen.log_e,
                log_a=seen.log_a,
                sight=seen.sight.value,
                grade=seen.grade,
                log_c=seen.ceiling.log_c,
            )
            for name, seen in state.guardrails.items()
        },
    )


def _row(seq: int, at_ms: int, kind: str, record: DecisionRecord) -> DecisionRow:
    return DecisionRow(seq=seq, at_ms=at_ms, kind=kind, body=msgspec.Raw(msgspec.json.encode(record)))
