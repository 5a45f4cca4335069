"""The table of states: each cause in each state, legal and illegal, in the code that moves ramps."""

import itertools
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from rheostat_server.errors import Conflict
from rheostat_server.ramps.checks import ThresholdPlan
from rheostat_server.ramps.decide import under_way
from rheostat_server.ramps.ladder import START, is_last, step_at
from rheostat_server.ramps.legality import allowed, lawful, refused
from rheostat_server.ramps.model import LIVE, Action, Gate, Plan, State, Status
from rheostat_server.ramps.records import KINDS, Event
from rheostat_server.ramps.states import (
    COURSES,
    OVER,
    STARTS,
    TABLE,
    Cause,
    Exposure,
    NotInTableError,
    Outcome,
    outcomes,
    refusal,
    row_of,
)
from rheostat_server.ramps.transition import act, begun_from, drafted, start, transition, written_over
from rheostat_server.ramps.verdicts import Advance, Begin, Decision, Hold, KillRamp, Promote, Refuse, Soak, StepBack
from rheostat_server.ramps.windows import Freeze
from tests.unit.server.ramps.ramp_builders import MINUTE, a_plan, running

NOW = 5 * MINUTE
PLAN = replace(
    a_plan(5, 25, 50, 100, start_ppm=10_000),
    steps=tuple(replace(step, gate=Gate.MANUAL) for step in a_plan(5, 25, 50, 100).steps),
)
"""Each step waits for approval, so that there is always something to approve."""
EVERYWHERE = [(status, course) for status in Status for course in COURSES]
WHO = ("rule", "person", "write", "ramp", "time")
WRITES = (Cause.WRITE_ABORTED, Cause.WRITE_RESTARTED)
OTHERS = (Cause.WRITE_ENDED, Cause.RAMP_COVERED, Cause.RAMP_UNCOVERED)
"""What happens to the overlay alone, which is no part of the state."""

PEOPLE = {
    # status, and course where it counts: what a person may do there.
    (Status.DRAFT, None): "advance abort",
    (Status.ARMING, Status.ARMING): "pause advance abort kill",
    (Status.RUNNING, Status.RUNNING): "pause approve advance abort kill",
    (Status.HELD, Status.ARMING): "pause advance abort kill",
    (Status.HELD, Status.RUNNING): "pause approve advance abort kill",
    (Status.HELD, Status.SOAKING): "pause abort kill",
    (Status.PAUSED, Status.ARMING): "resume abort kill",
    (Status.PAUSED, Status.RUNNING): "resume approve abort kill",
    (Status.PAUSED, Status.SOAKING): "resume abort kill",
    (Status.AWAITING_APPROVAL, Status.RUNNING): "pause approve advance abort kill",
    (Status.BLIND, Status.ARMING): "pause advance abort kill",
    (Status.BLIND, Status.RUNNING): "pause approve advance abort kill",
    (Status.BLIND, Status.SOAKING): "pause abort kill",
    (Status.SOAKING, Status.SOAKING): "pause abort kill",
    (Status.PROMOTED, None): "",
    (Status.KILLED, None): "revive",
    (Status.ABORTED, None): "",
}
"""Said again, apart from the table: every place that a ramp can be in."""


def standing(status: Status, course: Status, *, step: int | None = None) -> State:
    """A ramp that stands so; at the second step, or at the last one where it soaks."""
    if course is Status.ARMING or status is Status.DRAFT:
        return replace(start(PLAN, 0), status=status)
    soaking = course is Status.SOAKING
    at = (len(PLAN.steps) - 1 if soaking else 1) if step is None else step
    state = replace(running(PLAN, step=max(at, 0)), step=at, exposure_ppm=step_at(PLAN, at).exposure_ppm)
    return replace(state, status=status, soaking_since_ms=1 if soaking else None)


def verdicts(state: State) -> dict[Cause, list[Decision]]:
    """Every verdict that the rule can word about a ramp at this step."""
    return {
        Cause.RULE_HOLD: [Hold(status, "w") for status in Status],
        Cause.RULE_BEGIN: [Begin("w")],
        Cause.RULE_REFUSE: [Refuse("w")],
        Cause.RULE_ADVANCE: [Advance(state.step + 1, "w")] if not is_last(PLAN, state) else [],
        Cause.RULE_STEP_BACK: [StepBack(state.step - 1, "w")] if state.step > START else [],
        Cause.RULE_SOAK: [Soak("w")],
        Cause.RULE_PROMOTE: [Promote("w")],
        Cause.RULE_KILL: [KillRamp("errors", "w")],
    }


def is_one_of(found: tuple[Outcome, ...], before: State, after: State) -> bool:
    """Whether the state after is one of the outcomes, said apart from the code under test."""
    exposures = {
        Exposure.UNCHANGED: before.exposure_ppm,
        Exposure.FIRST_STEP: 50_000,
        Exposure.START: 10_000,
        Exposure.NOTHING: 0,
    }
    if before.step + 1 < len(PLAN.steps):
        exposures[Exposure.NEXT_STEP] = PLAN.steps[before.step + 1].exposure_ppm
    if before.step >= 0:
        exposures[Exposure.STEP_BEFORE] = 10_000 if before.step == 0 else PLAN.steps[before.step - 1].exposure_ppm
    return any(
        after.status is outcome.status_after(before.status, under_way(before))
        and after.exposure_ppm == exposures.get(outcome.exposure)
        for outcome in found
    )


@pytest.mark.parametrize(("status", "course"), EVERYWHERE)
@pytest.mark.parametrize("step", [None, START, 0, 3])
def test_each_verdict_in_each_state_does_what_the_table_says(status: Status, course: Status, step: int | None) -> None:
    """A verdict that the table has leads to one of its outcomes; any other raises, and nothing comes of it."""
    before = standing(status, course, step=step)
    for cause, decisions in verdicts(before).items():
        row = row_of(cause, status, course)
        for decision in decisions:
            held_to = decision.status if isinstance(decision, Hold) else None
            if row is None or (
                held_to is not None and held_to not in {one.status_after(status, course) for one in row.outcomes}
            ):
                with pytest.raises(NotInTableError, match=cause):
                    transition(PLAN, before, decision, NOW)
            else:
                after = transition(PLAN, before, decision, NOW)
                assert is_one_of(row.outcomes, before, after), (cause, after)
                assert after.why == "w"


@pytest.mark.parametrize(("status", "course"), EVERYWHERE)
@pytest.mark.parametrize("action", Action)
def test_each_action_in_each_state_does_what_the_table_says(status: Status, course: Status, action: Action) -> None:
    """What a person may do has one of the outcomes; all else is a conflict that says where the ramp stands."""
    before = standing(status, course)
    cause = Cause.by_person(action)
    words = refusal(cause, status, course)
    if words is None:
        assert action in allowed(PLAN, before)
        assert is_one_of(outcomes(cause, status, course), before, act(PLAN, before, action, NOW))
        return
    assert action not in allowed(PLAN, before)
    with pytest.raises(Conflict) as caught:
        act(PLAN, before, action, NOW)
    assert str(caught.value).startswith(words)
    assert f"It stands {status} at " in str(caught.value)
    with pytest.raises(NotInTableError, match="is refused"):
        outcomes(cause, status, course)


@pytest.mark.parametrize(("status", "course"), EVERYWHERE)
@pytest.mark.parametrize("cause", WRITES)
def test_each_write_in_each_state_does_what_the_table_says(status: Status, course: Status, cause: Cause) -> None:
    """A write ends a live ramp, and its exposure at the start is back; one that is over it cannot end."""
    before = standing(status, course)
    if row_of(cause, status, course) is None:
        with pytest.raises(NotInTableError):
            written_over(PLAN, before, cause, NOW, "w")
        return
    after = written_over(PLAN, before, cause, NOW, "w")
    assert (after.status, after.exposure_ppm, after.epoch) == (Status.ABORTED, 10_000, before.epoch + 1)


@pytest.mark.parametrize(("place", "may"), PEOPLE.items())
def test_what_people_may_do(place: tuple[Status, Status | None], may: str) -> None:
    """In each place that a ramp can be in, what is allowed is what the guide of the table says, word for word."""
    status, course = place
    for each in [course] if course else COURSES:
        assert " ".join(allowed(PLAN, standing(status, each))) == may


def test_every_row_of_the_log_has_a_cause() -> None:
    """Each verdict, action and event is in the table, under the word that the log has for it, and nothing else is."""
    by = {who: {cause.what for cause in Cause if cause.who == who} for who in WHO}
    assert {cause.who for cause in Cause} == set(WHO)

    assert by["rule"] == {str(kind.__struct_config__.tag) for kind in get_args(Decision)}
    assert by["person"] == set(map(str, Action))
    # A fresh start is logged as the end of the ramp, and as the start of the new one. A draft comes of nothing.
    assert by["write"] | by["ramp"] | by["time"] | {"draft"} == {*get_args(Event), "restarted"}
    assert {cause.what for cause in Cause} - {"restarted"} | {"draft"} == KINDS


def test_no_state_is_in_two_rows_of_a_cause() -> None:
    """Of each cause in each state the table says one thing at most, and of people's actions always one."""
    for (status, course), cause in itertools.product(EVERYWHERE, Cause):
        rows = [row for row in TABLE if row.cause is cause and row.holds_for(status, course)]
        assert len(rows) <= 1, (status, course, cause)
        assert rows or cause.who != "person", (status, course, cause)
    assert all(bool(row.outcomes) != bool(row.refused) for row in TABLE)


def places_from(first: set[tuple[Status, Status]], *, without: frozenset[Cause] = frozenset()) -> set[tuple[str, str]]:
    """Every place that the table leads to from these."""
    found, new = set(first), set(first)
    while new:
        new = {
            (outcome.status_after(status, course), outcome.course or course)
            for (status, course), cause in itertools.product(new, set(Cause) - without)
            if (row := row_of(cause, status, course)) is not None
            for outcome in row.outcomes
        } - found
        found |= new
    return {(status, course if status in LIVE else "") for status, course in found}


def test_the_table_leads_to_each_place_and_to_no_other() -> None:
    """From the start of a ramp every place that people were told of can be reached, and nothing beside."""
    first = {(outcome.status, outcome.status) for outcome in STARTS if outcome.status is not None}
    told = {(status, course or "") for status, course in PEOPLE} - {(Status.DRAFT, "")}

    assert places_from(first) == told
    assert {outcome.status for outcome in STARTS} == {start(replace(PLAN, preflight_s=s), 0).status for s in (0, 9)}


def test_a_killed_ramp_is_left_by_a_revival_alone() -> None:
    """Nothing else has a way out of ``killed``, and nothing brings a ramp that is over back to life."""
    killed = {(Status.KILLED, course) for course in COURSES}

    assert places_from(killed, without=frozenset({Cause.PERSON_REVIVE})) == {(Status.KILLED, "")}
    for status in OVER:
        assert places_from({(status, Status.RUNNING)}) <= {(status, "") for status in OVER}


def test_only_what_may_goes_up() -> None:
    """The rule goes up by proof, a person by a word; neither from a pause, and nobody in one stroke by two steps."""
    up = {
        row.cause for row in TABLE for one in row.outcomes if one.exposure in {Exposure.FIRST_STEP, Exposure.NEXT_STEP}
    }

    by_rule = {Cause.RULE_BEGIN, Cause.RULE_ADVANCE, Cause.RULE_STAGE}
    assert up == by_rule | {Cause.PERSON_ADVANCE, Cause.TIME_START}
    for course, cause in itertools.product(COURSES, up):
        row = row_of(cause, Status.PAUSED, course)
        assert row is None or row.refused


@pytest.mark.parametrize("status", sorted(LIVE))
def test_nothing_keeps_a_live_ramp_from_its_end(status: Status) -> None:
    """Every live ramp may be killed and aborted by a person and by a write, whatever it waits for."""
    for course in COURSES:
        for cause in (Cause.PERSON_KILL, Cause.PERSON_ABORT, *WRITES):
            assert all(one.status in OVER for one in outcomes(cause, status, course))
        safety = Cause.RULE_REFUSE if course is Status.ARMING else Cause.RULE_KILL
        assert outcomes(safety, status, course)


@pytest.mark.parametrize("cause", OTHERS)
@pytest.mark.parametrize("status", Status)
def test_only_a_promoted_ramp_has_an_overlay_to_lose(status: Status, cause: Cause) -> None:
    """What ends, covers or uncovers an overlay alone is about promoted ramps, and leaves them promoted."""
    row = row_of(cause, status, Status.SOAKING)

    assert (row is not None) == (status is Status.PROMOTED)
    if row is not None:
        [outcome] = row.outcomes
        assert outcome == Outcome(in_force=cause is Cause.RAMP_UNCOVERED)


def test_in_force_is_what_is_live_or_promoted() -> None:
    """A ramp that is killed or aborted is in force no more; any other outcome but the three of overlays is."""
    for row in TABLE:
        for one, status, course in itertools.product(row.outcomes, row.statuses & LIVE, row.courses):
            assert one.in_force == (one.status_after(status, course) in LIVE | {Status.PROMOTED})


def test_a_step_beyond_the_next_is_not_in_the_table() -> None:
    """A verdict that goes up or back by two steps is a mistake, and raises."""
    state = standing(Status.RUNNING, Status.RUNNING)

    for decision in (Advance(3, "w"), StepBack(-1, "w"), Advance(1, "w")):
        with pytest.raises(NotInTableError, match="running at 25 %, step 2 of 4"):
            transition(PLAN, state, decision, NOW)
    shifted = replace(state, exposure_ppm=1)
    with pytest.raises(NotInTableError, match="may not take a ramp"):
        lawful(Cause.RULE_HOLD, PLAN, state, shifted)


def plain(**changes: object) -> Plan:
    """A plan whose steps wait for nobody."""
    return a_plan(5, 25, 50, 100, **changes)


def test_a_refusal_says_where_the_ramp_stands_and_what_is_allowed_there() -> None:
    """The words are for the person who asked: why not, where it stands, and what there is to do."""
    paused = standing(Status.PAUSED, Status.RUNNING)

    assert refused(plain(), paused, Action.PAUSE) == (
        "the ramp is paused already. It stands paused at 25 %, step 2 of 4; allowed there: resume, abort, kill"
    )
    assert refused(plain(), standing(Status.RUNNING, Status.RUNNING, step=START), Action.APPROVE) == (
        "this step waits for no approval. It stands running at 1 %, back at the start; "
        "allowed there: pause, advance, abort, kill"
    )
    assert refused(plain(), standing(Status.ARMING, Status.ARMING), Action.RESUME) == (
        "only a paused ramp is resumed; this one is arming. It stands arming at 1 %, before its first step; "
        "allowed there: pause, advance, abort, kill"
    )
    assert refused(plain(), standing(Status.PROMOTED, Status.SOAKING), Action.PAUSE) == (
        "the ramp is over: it is promoted. It stands promoted at 100 %; nothing is allowed there any more"
    )
    approved = replace(standing(Status.RUNNING, Status.RUNNING), approved_step=1)
    assert str(refused(PLAN, approved, Action.APPROVE)).startswith("this step is approved already. It stands running")


def test_approval_is_allowed_where_something_waits_for_it() -> None:
    """A gate, few users, or a ramp that awaits approval; and once."""
    state = standing(Status.RUNNING, Status.RUNNING)

    assert Action.APPROVE in allowed(PLAN, state)
    assert Action.APPROVE in allowed(plain(manual=True), state)
    assert Action.APPROVE in allowed(plain(), replace(state, status=Status.AWAITING_APPROVAL))
    assert Action.APPROVE not in allowed(plain(), state)
    assert Action.APPROVE not in allowed(PLAN, replace(state, approved_step=1))


@pytest.mark.parametrize(
    ("changes", "status", "exposure_ppm"),
    [
        ({}, Status.ARMING, 10_000),
        ({"preflight_s": 0.0}, Status.RUNNING, 50_000),
        ({"preflight_s": 0.0, "freezes": (Freeze(from_ms=0, until_ms=1),)}, Status.ARMING, 10_000),
        ({"guarded": False, "guardrails": (), "threshold": ThresholdPlan(checks=())}, Status.RUNNING, 10_000),
    ],
)
def test_a_draft_is_begun_by_its_time_or_by_a_person(
    changes: dict[str, Any], status: Status, exposure_ppm: int
) -> None:
    """However it begins, and whatever the exposure was when it was planned; nothing else has begun that is no draft."""
    planned = replace(PLAN, start_ppm=0)
    draft = drafted(planned, 0, NOW, "later")
    plan = replace(PLAN, **changes)

    begun = begun_from(plan, draft, NOW)

    assert (begun.status, begun.exposure_ppm, begun.started_ms) == (status, exposure_ppm, NOW)
    assert act(plan, draft, Action.ADVANCE, NOW) == begun
    with pytest.raises(NotInTableError):
        begun_from(plan, begun, NOW)


def test_no_write_ends_a_draft_but_its_time_may() -> None:
    """Writes pass drafts by: what a write did is found when the time has come."""
    draft = drafted(PLAN, 0, NOW, "later")

    ended = written_over(PLAN, draft, Cause.TIME_ABORTED, NOW, "could not start: w")

    assert (ended.status, ended.exposure_ppm, ended.why) == (Status.ABORTED, 10_000, "could not start: w")
    for cause in WRITES:
        with pytest.raises(NotInTableError):
            written_over(PLAN, draft, cause, NOW, "w")
    with pytest.raises(NotInTableError):
        written_over(PLAN, start(PLAN, 0), Cause.TIME_ABORTED, NOW, "w")
