"""Recorded ramps: what was seen and done, and what was decided of it.

``python -m tests.replay.ramp_recording`` writes the files anew. Do so only when the rule changed on purpose, and read
the difference: each line is a decision that users would have got otherwise.
"""

import math
import random
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import ArmTotals, Evidence, Sight
from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.model import LIVE, Action, Gate, Plan, State, Status, Step
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.threshold import due_checks
from rheostat_server.ramps.transition import act, start, transition
from rheostat_server.ramps.verdicts import Decision
from tests.proofs.scenarios import SLOW
from tests.unit.server.ramps.counted_rides import counted_plan, value_of
from tests.unit.server.ramps.foreign_builders import CANONICAL, a_template, an_argo, an_argo_metric, run_of
from tests.unit.server.ramps.ramp_builders import ERRORS, REQUESTS, SECOND, a_block, a_plan, a_reading, evidence_of
from tests.unit.server.ramps.ramp_crowds import Chance, Crowd, evidence_from

HERE = Path(__file__).parent
EVERY_S = 30


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One observation with its decision, or one action of a person; and where the ramp stood then."""

    at_ms: int
    status: Status
    epoch: int
    exposure_ppm: int
    evidence: Evidence | None = None
    decision: Decision | None = None
    action: Action | None = None


class Recording(msgspec.Struct, frozen=True):
    """A ramp from its start to its end. ``what`` says in a sentence what happens."""

    what: str
    plan: Plan
    rows: tuple[Row, ...]


def replayed(recording: Recording) -> list[Row]:
    """Return the rows as the rule gives them now; the state is saved and read back between them."""
    plan, state, rows = recording.plan, start(recording.plan, 0), []
    for row in recording.rows:
        decision = None
        if row.action is not None:
            state = act(plan, state, row.action, row.at_ms)
        elif row.evidence is not None:
            state = observe(plan, state, row.evidence)
            decision = decide(plan, state, row.at_ms)
            state = transition(plan, state, decision, row.at_ms)
        state = msgspec.json.decode(msgspec.json.encode(state), type=State)
        rows.append(
            replace(row, decision=decision, status=state.status, epoch=state.epoch, exposure_ppm=state.exposure_ppm)
        )
    return rows


def recorded(
    what: str,
    plan: Plan,
    *,
    rate: float = 0.005,
    harm_after: int | None = None,
    unlike_s: int | None = None,
    blind: range = range(0),
    silent_samples: bool = False,
    actions: dict[int, Action] | None = None,
    rows_at_most: int = 120,
) -> Recording:
    """Run a ramp at 200 requests/s. Numbers name rows; ``unlike_s`` makes the cohort differ from the start."""
    draw, state = random.Random(7), start(plan, 0)
    rows: list[Row] = []
    for number in range(1, rows_at_most + 1):
        now_ms = number * EVERY_S * SECOND
        if state.status not in LIVE:
            break
        if actions and number in actions:
            rows.append(Row(now_ms, state.status, state.epoch, state.exposure_ppm, action=actions[number]))
            state = act(plan, state, actions[number], now_ms)
        x = treated_share(
            plan, state.exposure_ppm if state.exposed_since_ms is not None else plan.steps[0].exposure_ppm
        )
        harmed = (harm_after is not None and number > harm_after) or unlike_s is not None
        block = a_block(
            draw, state, now_ms, seconds=EVERY_S, per_s=200, x=x, rates=(8 * rate if harmed else rate, rate)
        )
        if silent_samples:
            # More usage, not worse requests: more treated users fail, and of the sampled requests as many as ever.
            alike = ArmTotals(units=1_000, units_bad=5)
            block = replace(
                block,
                treatment=replace(block.treatment, units=alike.units, units_bad=alike.units_bad),
                control=replace(block.control, units=alike.units, units_bad=alike.units_bad),
            )
        sight = Sight.QUERY_FAILED if number in blind else Sight.SEEN
        readings = [
            a_reading(*(() if number in blind else (block,)), guardrail=guardrail.name, sight=sight)
            for guardrail in plan.guardrails
        ]
        evidence = evidence_of(now_ms, *readings, units=200)
        rows.append(Row(now_ms, state.status, state.epoch, state.exposure_ppm, evidence=evidence))
        state = observe(plan, state, evidence)
        state = transition(plan, state, decide(plan, state, now_ms), now_ms)
    drafted = Recording(what, plan, tuple(rows))
    return replace(drafted, rows=tuple(replayed(drafted)))


def recorded_crowd(
    what: str, plan: Plan, users: int, chance: Chance, *, per_s: float = 50, lost: float = 0.0, rows_at_most: int = 90
) -> Recording:
    """Run a ramp over a crowd of users whom the server remembers."""
    crowd, state = Crowd(random.Random(7), users), start(plan, 0)
    rows: list[Row] = []
    for number in range(1, rows_at_most + 1):
        if state.status not in LIVE:
            break
        now_ms = number * EVERY_S * SECOND
        block = crowd.block(plan, state, now_ms, seconds=EVERY_S, per_s=per_s, chance=chance, lost=lost)
        evidence = evidence_from(plan, crowd, state, block)
        rows.append(Row(now_ms, state.status, state.epoch, state.exposure_ppm, evidence=evidence))
        state = observe(plan, state, evidence)
        state = transition(plan, state, decide(plan, state, now_ms), now_ms)
    drafted = Recording(what, plan, tuple(rows))
    return replace(drafted, rows=tuple(replayed(drafted)))


def crowds() -> dict[str, Recording]:
    """Recordings over crowds by name."""
    short: dict[str, Any] = {"interval_s": 30.0, "preflight_s": 300.0, "soak_s": 60.0}
    whole: dict[str, Any] = {**short, "missing_kill": True, "budget_parts": 2}
    watched = (replace(ERRORS, ceiling=0.02),)
    return {
        "companies": recorded_crowd(
            "Companies that have all failed before give way to their samples, which kill.",
            a_plan(10, 50, **whole),
            150,
            lambda _, exposed, __: 0.3 if exposed else 0.01,
        ),
        "crash": recorded_crowd(
            "Companies that have all failed before, and now fail always: a single observation is enough.",
            a_plan(10, 50, **whole),
            150,
            lambda _, exposed, __: 1.0 if exposed else 0.01,
        ),
        "lost": recorded_crowd(
            "Users who are exposed are never heard of again: one step back, and no further.",
            a_plan(5, 50, **whole),
            2_000,
            lambda *_: 0.002,
            lost=1.0,
            rows_at_most=30,
        ),
        "outage": recorded_crowd(
            "An outage of both arms crosses the ceiling: one level back, and on when it is over.",
            a_plan(10, 50, 60, guardrails=watched, **short),
            2_000,
            lambda _, __, now_ms: 0.2 if 420_000 < now_ms < 900_000 else 0.001,
        ),
        "slow": recorded_crowd(
            "A change that makes a fifth of its requests slow is killed on users' samples.",
            a_plan(10, 50, guardrails=(SLOW,), **short),
            2_000,
            lambda _, exposed, __: 0.2 if exposed else 0.005,
        ),
    }


def scenarios() -> dict[str, Recording]:
    """All recordings by name."""
    short: dict[str, Any] = {"interval_s": 30.0, "preflight_s": 30.0, "soak_s": 60.0}
    gated = (Step(exposure_ppm=50_000, gate=Gate.MANUAL), Step(exposure_ppm=500_000))
    return {
        "harmless": recorded("A harmless change is proved at each step and promoted.", a_plan(5, 50, **short)),
        "harmful": recorded("A change that fails once it is at 25 % is killed.", a_plan(5, 25, **short), harm_after=7),
        "refused": recorded("A cohort that fails already while arming is refused.", a_plan(5, **short), unlike_s=0),
        "blind": recorded(
            "Metrics go away at 25 %: hold, retreat one step after the limit, and go on when they are back.",
            a_plan(5, 25, 50, on_blind="retreat", blind_limit_s=120.0, **short),
            blind=range(8, 14),
        ),
        "paused": recorded(
            "A ramp that a person paused is killed all the same.",
            a_plan(5, 50, **short),
            harm_after=6,
            actions={4: Action.PAUSE},
        ),
        "gated": recorded(
            "A gated step waits for approval, then the ramp goes on.",
            a_plan(steps=gated, **short),
            actions={12: Action.APPROVE},
        ),
        "more-usage": recorded(
            "More failing users of a variant that is used more, not worse: one step back, then hold.",
            a_plan(5, 25, 50, **short),
            harm_after=7,
            silent_samples=True,
            rows_at_most=20,
        ),
        "two-sources": recorded(
            "Failing users and the application's requests watch together, each with its share of the budget.",
            a_plan(10, 50, guardrails=(ERRORS, REQUESTS), budget_parts=2, **short),
            harm_after=8,
        ),
    }


def recorded_count(
    what: str, plan: Plan, found: dict[int, Any], *, actions: dict[int, Action] | None = None
) -> Recording:
    """Return a ramp by ``rule: threshold``: what its checks find from these seconds on, and what people do then."""
    state, rows = start(plan, 0), list[Row]()
    for second in range(EVERY_S // 3, 3_600, EVERY_S // 3):
        at_ms = second * SECOND
        if (action := (actions or {}).get(second)) is not None:
            state = act(plan, state, action, at_ms)
            row = Row(
                at_ms=at_ms, action=action, status=state.status, epoch=state.epoch, exposure_ppm=state.exposure_ppm
            )
            rows.append(row)
        latest = found[max(since for since in found if since <= second)]
        due = due_checks(plan, state, at_ms)
        evidence = Evidence(at_ms=at_ms, checks=tuple(value_of(check.name, latest) for check in due))
        observed = observe(plan, state, evidence)
        decision = decide(plan, observed, at_ms)
        state = transition(plan, observed, decision, at_ms)
        rows.append(
            Row(
                at_ms=at_ms,
                evidence=evidence,
                decision=decision,
                status=state.status,
                epoch=state.epoch,
                exposure_ppm=state.exposure_ppm,
            )
        )
        if state.status not in LIVE:
            break
    return Recording(what, plan, tuple(rows))


def counts() -> dict[str, Recording]:
    """Return the recordings of ramps that count failed checks."""
    template = a_template(an_argo_metric(interval="30s", failureLimit=1))
    steps: tuple[dict[str, Any], ...] = (
        {"setWeight": 20},
        {"pause": {"duration": "1m"}},
        {"setWeight": 60},
        {"pause": {}},
    )
    argo = an_argo(*steps, templates=(template,), analysis=run_of("success"))
    return {
        "counted-flagger": recorded_count(
            "Five failed checks of the documented block, some without a value; the next round takes it back.",
            counted_plan(analysis=CANONICAL),
            {0: 99.5, 150: 12.0, 200: None, 300: math.nan, 350: 101.0, 450: 5.0},
        ),
        "counted-argo": recorded_count(
            "Weights by time, a pause that a person ends; promoted with one failed measurement, as allowed.",
            counted_plan(argo=argo),
            {0: 0.01, 50: 0.5, 80: 0.01},
            actions={200: Action.APPROVE},
        ),
    }


if __name__ == "__main__":
    for name, recording in {**scenarios(), **crowds(), **counts()}.items():
        body = msgspec.json.format(msgspec.json.encode(recording), indent=1)
        (HERE / f"{name}.json").write_bytes(body + b"\n")
