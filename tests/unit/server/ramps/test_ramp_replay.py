"""A ramp's log gives the same ramp again, and says where it does not."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from rheostat_server.ports.ramps import DecisionRow
from rheostat_server.ramps.evidence import Evidence
from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.model import Action, Status
from rheostat_server.ramps.records import KINDS, SHORT_CURSOR, acted, decided, happened, kept_cursor
from rheostat_server.ramps.replay import Difference, Replayed, replay
from rheostat_server.ramps.transition import act, start
from tests.unit.server.ramps.ramp_builders import SECOND, a_block, a_plan, a_reading, evidence_of, tick

PLAN = a_plan(10, 50, preflight_s=60.0, interval_s=15.0)


def a_log(*, harm: float = 0.3, cursor: str = "7") -> list[DecisionRow]:
    """The log of a ramp that a person pauses and resumes, and that ends by a kill."""
    draw, state, now_ms = random.Random(5), start(PLAN, 0), 0
    rows = [happened(1, state, "start", actor="ana", at_ms=0, plan=PLAN)]
    actions = {2: Action.PAUSE, 4: Action.RESUME}
    while state.status is not Status.KILLED:
        assert len(rows) < 200, state
        now_ms += 15 * SECOND
        if (asked := actions.get(len(rows))) is not None:
            state = act(PLAN, state, asked, now_ms, "lunch")
            rows.append(acted(len(rows) + 1, state, asked, actor="ana", reason="lunch", at_ms=now_ms))
        arming = state.exposed_since_ms is None
        x = treated_share(PLAN, PLAN.steps[0].exposure_ppm if arming else state.exposure_ppm)
        rates = (0.005 if arming else harm, 0.005)
        block = a_block(draw, state, now_ms, seconds=15, per_s=50, x=x, rates=rates)
        evidence = evidence_of(now_ms, a_reading(block, cursor=cursor))
        state, decision = tick(PLAN, state, evidence)
        rows.append(decided(len(rows) + 1, state, evidence, decision))
    return rows


def changed(row: DecisionRow, change: Callable[[Any], None]) -> DecisionRow:
    """The row with its body changed in place."""
    body = msgspec.json.decode(row.body)
    change(body)
    return replace(row, body=msgspec.Raw(msgspec.json.encode(body)))


def differing(rows: Sequence[DecisionRow]) -> list[Replayed]:
    """The rows that come out otherwise."""
    return [again for again in replay(rows) if again.differences]


def test_a_log_agrees_with_itself() -> None:
    """Decisions, where the ramp stood, and M, E and A come out as they are written, to the kill."""
    rows = a_log()

    assert {row.kind for row in rows} >= {"start", "pause", "resume", "hold", "begin", "kill"}
    assert {row.kind for row in rows} <= KINDS
    assert differing(rows) == []


def test_another_evidence_shows_in_the_figures_and_the_verdict() -> None:
    """Where a failing user less was seen than the log says, M differs from then on, and in the end the decision."""
    rows = a_log()
    last = len(rows) - 1

    def nobody_failed(body: Any) -> None:
        body["evidence"]["readings"][0]["blocks"][0]["treatment"].update(failing=0, bad=0, units_bad=0)

    rows[last] = changed(rows[last], nobody_failed)

    [again] = differing(rows)
    assert again.seq == rows[last].seq
    assert {"decision", "status", "errors: log M"} <= {one.what for one in again.differences}


def test_another_verdict_is_told_with_both() -> None:
    """A row whose decision the rule does not give again is named, with what was then and what is now."""
    rows = a_log()
    [begun] = [row for row in rows if row.kind == "begin"]
    rows[begun.seq - 1] = changed(
        begun, lambda body: body.update(decision={"type": "hold", "status": "held", "why": "x"})
    )

    [again] = differing(rows)

    [difference] = again.differences
    assert (again.seq, difference.what) == (begun.seq, "decision")
    assert "held" in difference.then
    assert "begin" in difference.now


def test_a_last_digit_is_no_difference() -> None:
    """Another machine's arithmetic may end in other digits; a guardrail or a sight that is another is told."""
    rows = a_log()
    row = rows[-1]

    def nudge(body: Any) -> None:
        body["guardrails"]["errors"]["log_m"] *= 1 + 1e-12

    def rename(body: Any) -> None:
        figures = body["guardrails"].pop("errors")
        body["guardrails"]["others"] = figures

    def blind(body: Any) -> None:
        body["guardrails"]["errors"]["sight"] = "no traffic"

    assert differing([*rows[:-1], changed(row, nudge)]) == []
    [again] = differing([*rows[:-1], changed(row, rename)])
    assert again.differences == (Difference("guardrail others", "seen", "not in the plan"),)
    [again] = differing([*rows[:-1], changed(row, blind)])
    assert again.differences == (Difference("errors: sight", "no traffic", "seen"),)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: rows[1:], "do not begin with the ramp's start"),
        (lambda rows: [*rows[:4], *rows[5:]], "row 5 is missing"),
        (lambda rows: [*rows[:2], replace(rows[2], body=msgspec.Raw(b'{"why": 1}'))], "row 3 cannot be read"),
    ],
)
def test_a_log_with_holes_is_refused(spoil: Callable[[list[DecisionRow]], list[DecisionRow]], words: str) -> None:
    """A log that was cut or filtered cannot be replayed, and is not called wrong."""
    with pytest.raises(ValueError, match=words):
        list(replay(spoil(a_log())))


def test_an_older_log_is_still_read() -> None:
    """Rows that lack what later versions write get the defaults, as they were decided then."""
    plan = {
        "project": "default",
        "environment": "production",
        "flag": "f",
        "rollout": "default",
        "start_ppm": 0,
        "steps": [{"exposure_ppm": 100_000}],
        "guardrails": [{"name": "errors", "family": "reported", "grade": 1}],
    }
    stands = {"status": "arming", "step": -1, "epoch": 1, "exposure_ppm": 0}
    bodies = [
        {**stands, "why": "the pre-flight has begun", "event": "start", "plan": plan},
        {
            **stands,
            "why": "pre-flight: 10:00 left",
            "evidence": {"at_ms": 15_000, "readings": [{"guardrail": "errors", "sight": "seen"}]},
            "decision": {"type": "hold", "status": "arming", "why": "pre-flight: 10:00 left"},
        },
    ]
    rows = [
        DecisionRow(seq=number, at_ms=15_000 * (number - 1), kind="", body=msgspec.Raw(msgspec.json.encode(body)))
        for number, body in enumerate(bodies, 1)
    ]

    assert differing(rows) == []


def test_a_cursor_is_kept_in_few_characters() -> None:
    """A short cursor stands in the log as it is; a long one by its hash, which tells two apart."""
    long = "x" * (SHORT_CURSOR + 1)

    def told(cursor: str) -> str:
        body = msgspec.json.decode(a_log(cursor=cursor)[-1].body)
        return str(msgspec.convert(body["evidence"], Evidence).readings[0].cursor)

    assert told('{"seq":7}') == '{"seq":7}'
    assert told(long) == kept_cursor(long)
    assert len(kept_cursor(long)) < 50
    assert kept_cursor(long) != kept_cursor(long + "x")
