"""Which observations are kept."""

import msgspec
from msgspec.structs import replace

from rheostat_server.ramps.evidence import ArmTotals, Block, Evidence, Sight
from rheostat_server.ramps.memory import CrowdMemory
from rheostat_server.ramps.model import Plan, State
from rheostat_server.ramps.records import KEEP_EVERY_MS, DecisionRecord, decided, kept_cursor, worth_keeping
from rheostat_server.ramps.transition import start
from tests.unit.server.ramps.ramp_builders import MINUTE, a_plan, a_reading, evidence_of, running, tick

PLAN = a_plan(interval_s=1.0, preflight_s=600.0)
SEEN = a_reading(cursor="7")


def kept(before: State, evidence: Evidence) -> bool:
    """Whether this observation has to be kept."""
    after, _ = tick(PLAN, before, evidence)
    return worth_keeping(before, after, evidence.at_ms)


def quiet() -> State:
    """A running ramp that was observed at 15 s, with nothing in it."""
    return tick(PLAN, running(PLAN), evidence_of(15_000, SEEN))[0]


def test_the_first_observation_is_kept() -> None:
    """That a ramp is watched at all is news."""
    assert kept(running(PLAN), evidence_of(15_000, SEEN))


def test_nothing_new_is_not_kept() -> None:
    """The same again, a second later, need not be told."""
    assert not kept(quiet(), evidence_of(16_000, SEEN))


def test_one_a_minute_is_kept() -> None:
    """A ramp that stands still shows that it is still watched; so does one whose clock was set back."""
    assert not kept(quiet(), evidence_of(15_000 + KEEP_EVERY_MS - 1, SEEN))
    assert kept(quiet(), evidence_of(15_000 + KEEP_EVERY_MS, SEEN))
    assert kept(quiet(), evidence_of(14_000, SEEN))


def test_whatever_was_read_is_kept() -> None:
    """New evidence, evidence that came late, a source that read on, and another number of units."""
    block = Block(from_ms=0, until_ms=1, epoch=1, exposure_ppm=50_000, control=ArmTotals(ended=1))

    assert kept(quiet(), evidence_of(16_000, a_reading(block, cursor="7")))
    assert kept(quiet(), evidence_of(16_000, a_reading(cursor="7", late=(block,))))
    assert kept(quiet(), evidence_of(16_000, a_reading(cursor="8")))
    assert kept(quiet(), evidence_of(16_000, SEEN, units=101))


def test_blindness_is_kept_until_it_is_known() -> None:
    """Each observation on the way into blindness is kept; then, that it lasts is not news each second."""
    state, told = quiet(), []
    for second in range(16, 22):
        evidence = evidence_of(second * 1_000, a_reading(sight=Sight.QUERY_FAILED, detail=f"for {second} s"))
        after, _ = tick(PLAN, state, evidence)
        told.append(worth_keeping(state, after, evidence.at_ms))
        state = after if told[-1] else state

    assert told == [True, True, True, False, False, False]
    assert kept(state, evidence_of(22_000, SEEN))


def test_time_watched_is_kept() -> None:
    """While arming sees, each observation brings the ramp on."""
    state = tick(PLAN, start(PLAN, 0), evidence_of(1_000, SEEN))[0]

    assert kept(state, evidence_of(2_000, SEEN))


def test_another_step_is_kept() -> None:
    """A ramp that moves is never left as it was."""
    before = quiet()

    assert worth_keeping(before, replace(before, step=1), MINUTE)


def test_states_of_before_the_crowd_was_judged_are_read() -> None:
    """What an earlier version saved is a state in which nobody has been missed yet."""
    state = replace(quiet(), crowd=CrowdMemory(), left=())
    saved = msgspec.to_builtins(state)
    for name in ("crowd", "crowd_cursor", "left", "users"):
        del saved[name]
    for seen in saved["guardrails"].values():
        for name in ("grade", "pending", "ceiling"):
            del seen[name]
    old_plan = msgspec.to_builtins(PLAN)
    for name in ("missing_kill", "min_coverage"):
        del old_plan[name]

    assert msgspec.convert(saved, State) == state
    assert msgspec.convert(old_plan, Plan) == PLAN


def test_where_the_crowd_was_read_to_is_recorded_in_short() -> None:
    """A cursor may be large, and is no input of the rule: a long one is kept as its hash."""
    evidence = replace(evidence_of(16_000, SEEN), crowd_cursor="long" * 100, coverage=0.9)
    state, decision = tick(PLAN, quiet(), evidence)
    row = decided(7, state, evidence, decision)
    record = msgspec.json.decode(row.body, type=DecisionRecord)

    assert record.evidence is not None
    assert record.evidence.crowd_cursor == kept_cursor("long" * 100) != "long" * 100
    assert record.evidence.coverage == 0.9
