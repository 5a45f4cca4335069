"""What the summary of a process says of its requests."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rheostat.engine.hashing import level_entry, place, unit_hash
from rheostat.model.evaluation import Arm, Evaluation, Reason
from rheostat.model.flag import Rollout
from rheostat.model.outcome import HELD, NEVER, FailingUnits, Outcome, Row, SampledUnit
from rheostat.outcomes import summary as summary_module
from rheostat.outcomes.summary import DEADLINE_S, Parts, Summary
from rheostat.outcomes.thinning import ALL, is_below, limit_for
from rheostat.outcomes.touch import Touch, touch_of
from tests.builders import a_rollout, an_overlay

KEY = "0f" * 16
TOP = 1 << 64


def a_touch(unit: str = "user-1", arm: Arm = Arm.TREATMENT, at: float = 0.0, **changes: Any) -> Touch:
    """Return a touch of the flag ``checkout``; other arguments go to its overlay."""
    variant = "on" if arm is Arm.TREATMENT else "off"
    touch = touch_of(
        Evaluation(
            "checkout",
            value=True,
            variant=variant,
            reason=Reason.SPLIT,
            ramp=an_overlay(**{"unit_key": KEY, **changes}),
            arm=arm,
            unit=unit,
            place=place("checkout", unit),
        ),
        a_rollout(),
        at,
    )
    assert touch is not None
    return touch


def run(summary: Summary, touch: Touch, outcome: Outcome = Outcome.OK, now: float = 0.0, window: int = 7) -> None:
    """Begin and end a request."""
    summary.begin(touch)
    summary.end(touch, outcome, now, window)


def only(parts: Parts) -> Row:
    """Return the single row."""
    (row,) = parts.rows
    return row


@pytest.mark.parametrize(
    ("outcome", "bad", "timeouts"),
    [(Outcome.OK, 0, 0), (Outcome.CANCELLED, 0, 0), (Outcome.ERROR, 1, 0), (Outcome.TIMEOUT, 1, 1)],
)
def test_errors_and_timeouts_are_bad(outcome: Outcome, bad: int, timeouts: int) -> None:
    """An ended request is bad when it failed or met the deadline, not when its client left."""
    summary = Summary()
    run(summary, a_touch(), outcome)

    row = only(summary.drain(0.0))

    assert (row.started, row.ended, row.bad, row.timeouts) == (1, 1, bad, timeouts)


def test_a_row_says_the_arms_exposure_as_evaluated() -> None:
    """While arming, rows carry the exposure by which the arms are drawn, not the one in force."""
    summary = Summary()
    run(summary, a_touch(exposure_ppm=0, arming_ppm=10_000, epoch=3))

    row = only(summary.drain(0.0))

    assert (row.ramp, row.epoch, row.exposure_ppm, row.arm, row.variant) == (
        "ramp-of-checkout",
        3,
        10_000,
        Arm.TREATMENT,
        "on",
    )


def test_ages_count_back_from_the_batch() -> None:
    """A row's ages are those of its oldest and newest start or end when the batch is made."""
    summary = Summary()
    run(summary, a_touch(at=10.0), Outcome.ERROR, now=12.5)

    parts = summary.drain(13.0)

    assert only(parts).ages == (3000, 500)
    assert parts.failing["ramp-of-checkout"].units[0].age_ms == 500


def test_nothing_counted_is_an_empty_part() -> None:
    """After a drain nothing is left to tell."""
    summary = Summary()
    run(summary, a_touch())

    assert summary.drain(0.0)
    assert not summary.drain(0.0)


def test_after_the_deadline_a_request_is_a_timeout_and_its_end_counts_nothing() -> None:
    """A request that has not ended within 30 s is counted as a timeout once, whatever comes later."""
    summary = Summary()
    early, late = a_touch("user-1", at=0.0), a_touch("user-2", at=1.0)
    summary.begin(early)
    summary.begin(late)

    expired = summary.expire(DEADLINE_S, 1)

    assert expired == [early]
    assert summary.outstanding == 1
    assert summary.end(early, Outcome.OK, DEADLINE_S, 1) is None
    row = only(summary.drain(DEADLINE_S))
    assert (row.started, row.ended, row.bad, row.timeouts) == (2, 1, 1, 1)


def test_an_end_after_the_deadline_is_a_timeout_though_nobody_looked() -> None:
    """The deadline holds also when the end comes before the next look at it."""
    summary = Summary()
    touch = a_touch(at=0.0)
    summary.begin(touch)

    assert summary.end(touch, Outcome.OK, DEADLINE_S, 1) is Outcome.TIMEOUT


def test_a_request_that_met_both_arms_counts_in_neither() -> None:
    """Withdrawing a start leaves no trace of the request."""
    summary = Summary()
    touch = a_touch()
    summary.begin(touch)
    summary.withdraw(touch)

    assert summary.end(touch, Outcome.ERROR, 0.0, 1) is None
    assert summary.expire(DEADLINE_S, 1) == []
    assert not summary.drain(0.0)


def test_a_start_that_was_reported_is_taken_from_the_next_ones() -> None:
    """A start withdrawn after its batch was made lowers the row's next starts, which never fall below zero."""
    summary = Summary()
    reported = a_touch()
    summary.begin(reported)
    assert only(summary.drain(0.0)).started == 1

    summary.withdraw(reported)
    assert not summary.drain(0.0)
    run(summary, a_touch("user-2"))
    row = only(summary.drain(0.0))
    assert (row.started, row.ended) == (0, 1)

    run(summary, a_touch("user-3"))
    assert only(summary.drain(0.0)).started == 1


def test_a_touch_that_was_counted_cannot_be_withdrawn() -> None:
    """What ended in one arm stays counted there."""
    summary = Summary()
    touch = a_touch()
    run(summary, touch)
    summary.withdraw(touch)

    row = only(summary.drain(0.0))

    assert (row.started, row.ended) == (1, 1)


def test_a_failing_unit_is_named_by_its_keyed_hash_and_entry() -> None:
    """A failing unit is reported by BLAKE2b keyed with the ramp's secret, with the level that exposes it."""
    summary = Summary()
    overlay = an_overlay(levels=(0, 10_000, 500_000), exposure_ppm=10_000)
    inside = next(f"user-{n}" for n in range(1000) if place("checkout", f"user-{n}") < 10_000)
    run(summary, a_touch(inside, levels=overlay.levels, epoch=4), Outcome.ERROR)

    (unit,) = summary.drain(0.0).failing["ramp-of-checkout"].units

    assert (unit.unit, unit.entry, unit.epoch) == (unit_hash(bytes.fromhex(KEY), inside), 1, 4)


def test_a_unit_fails_once_a_batch() -> None:
    """However often a unit fails between two batches, it is in the batch once, with its first failure."""
    summary = Summary()
    run(summary, a_touch(epoch=1), Outcome.ERROR)
    run(summary, a_touch(epoch=2), Outcome.TIMEOUT)

    (unit,) = summary.drain(0.0).failing["ramp-of-checkout"].units

    assert unit.epoch == 1


@pytest.mark.parametrize(
    "changes", [{"unit_key": None}, {"unit_key": "not hex"}, {"unit_key": "00" * 65}], ids=["absent", "text", "long"]
)
def test_without_a_usable_key_rows_count_and_units_do_not(changes: dict[str, Any]) -> None:
    """A snapshot without the ramp's secret still lets requests be counted."""
    summary = Summary()
    run(summary, a_touch(**changes), Outcome.ERROR)

    parts = summary.drain(0.0)

    assert only(parts).bad == 1
    assert parts.failing == {}
    assert parts.sampled == {}


def test_a_request_without_a_unit_counts_in_rows_alone() -> None:
    """A touch without a unit names nobody."""
    summary = Summary()
    touch = a_touch()
    touch.unit = touch.place = None
    run(summary, touch, Outcome.ERROR)

    parts = summary.drain(0.0)

    assert touch.entry == NEVER
    assert only(parts).bad == 1
    assert not parts.failing
    assert not parts.sampled


def test_a_unit_is_sampled_at_its_first_finished_request_of_a_window() -> None:
    """Of a unit's requests in five minutes the first that ended is sampled, over all batches of the window."""
    summary = Summary()
    run(summary, a_touch(), Outcome.OK, window=7)
    run(summary, a_touch(), Outcome.ERROR, window=7)
    first = summary.drain(0.0).sampled["ramp-of-checkout"]
    run(summary, a_touch(), Outcome.ERROR, window=7)
    second = summary.drain(0.0).sampled
    run(summary, a_touch(), Outcome.ERROR, window=8)
    third = summary.drain(0.0).sampled["ramp-of-checkout"]

    name = unit_hash(bytes.fromhex(KEY), "user-1")
    entry = level_entry(an_overlay(), a_rollout(), place("checkout", "user-1"))
    assert first.limit == ALL
    assert first.units == (SampledUnit(name, entry, 1, 7),)
    assert second == {}
    assert third.units == (SampledUnit(name, entry, 1, 8, bad=True),)


def test_a_step_samples_its_own_units() -> None:
    """A new epoch within a window reports its units anew: a step is judged by the units seen in it."""
    summary = Summary()
    for epoch in (1, 1, 2, 2):
        run(summary, a_touch(epoch=epoch))

    units = summary.drain(0.0).sampled["ramp-of-checkout"].units

    assert [(unit.epoch, unit.window) for unit in units] == [(1, 7), (2, 7)]


def test_more_sampled_units_than_fit_wait_for_the_next_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch carries so many sampled units of a ramp; the others follow, each once."""
    monkeypatch.setattr(summary_module, "SAMPLED_A_BATCH", 3)
    summary = Summary()
    for n in range(7):
        run(summary, a_touch(f"user-{n}"))

    carried = [
        [unit.unit for unit in part.units]
        for part in (summary.drain(0.0).sampled.get("ramp-of-checkout") for _ in range(3))
        if part
    ]

    assert [len(units) for units in carried] == [3, 3, 1]
    assert len({unit for units in carried for unit in units}) == 7
    assert not summary.drain(0.0)


def test_the_memory_of_sampled_units_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound units are forgotten and reported again in a later batch, never twice in one."""
    monkeypatch.setattr(summary_module, "REMEMBERED_UNITS", 3)
    summary = Summary()
    for _ in range(2):
        for n in range(5):
            run(summary, a_touch(f"user-{n}"))

    units = summary.drain(0.0).sampled["ramp-of-checkout"].units
    run(summary, a_touch("user-0"))
    again = summary.drain(0.0).sampled

    assert len(units) == len({unit.unit for unit in units}) == 3
    assert len(again["ramp-of-checkout"].units) == 1


def test_what_is_remembered_of_ended_ramps_can_go() -> None:
    """Forgetting keeps live ramps, and what of others is still to be reported."""
    summary = Summary()
    gone, kept = a_touch(ramp="gone"), a_touch(ramp="kept")
    owed = a_touch("user-2", ramp="gone")
    summary.begin(owed)
    summary.drain(0.0)
    summary.withdraw(owed)
    run(summary, gone, Outcome.ERROR)
    run(summary, kept, Outcome.ERROR)

    summary.forget({"kept"})
    parts = summary.drain(0.0)
    assert {row.ramp for row in parts.rows} == set(parts.failing) == {"gone", "kept"}

    debt = a_touch("user-3", ramp="gone")
    summary.begin(debt)
    summary.drain(0.0)
    summary.withdraw(debt)
    summary.forget({"kept"})
    run(summary, a_touch("user-4", ramp="gone"))
    assert only(summary.drain(0.0)).started == 1


def test_units_held_back_and_never_exposed_say_so() -> None:
    """``entry`` is the smallest level that exposes the unit, else whether it is held back or never exposed."""
    touch = a_touch()
    assert touch.place is not None

    def entry(**changes: Any) -> int:
        return a_touch(**changes).entry

    assert entry(levels=(0, 1_000_000)) == 1
    assert entry(levels=(0, touch.place)) == NEVER
    assert entry(levels=(0, 1_000_000), holdback_ppm=1_000_000) == HELD


def test_an_evaluation_outside_a_live_ramp_is_not_touched() -> None:
    """Without a ramp, without an arm or after the ramp, a request counts nowhere."""
    plain = Evaluation("checkout", value=True, variant="on", reason=Reason.SPLIT)
    ended = Evaluation(
        "checkout", value=True, variant="on", reason=Reason.SPLIT, ramp=an_overlay(live=False), arm=Arm.CONTROL
    )
    early = Evaluation("checkout", value=True, variant="on", reason=Reason.SPLIT, ramp=an_overlay())

    assert [touch_of(evaluation, None, 0.0) for evaluation in (plain, ended, early)] == [None, None, None]


def test_an_unknown_rollout_is_taken_for_the_whole_line() -> None:
    """A ramp whose flag is not known yet still gives entries, by the whole line."""
    evaluation = Evaluation(
        "checkout",
        value=None,
        variant=None,
        reason=Reason.SPLIT,
        ramp=an_overlay(levels=(0, 600_000)),
        arm=Arm.TREATMENT,
        unit="user-1",
        place=599_999,
    )

    touch = touch_of(evaluation, None, 0.0)

    assert touch is not None
    assert (touch.entry, touch.variant) == (1, "")


hashes = st.integers(min_value=0, max_value=TOP - 1).map(lambda number: f"{number:016x}")


@given(units=st.sets(hashes, max_size=60), most=st.integers(min_value=0, max_value=30))
def test_a_limit_keeps_the_smallest_hashes_and_no_more_than_fit(units: set[str], most: int) -> None:
    """Thinning keeps at most the allowed number, all of them when they fit, and always the smallest."""
    limit = limit_for(units, most)
    kept = {unit for unit in units if is_below(unit, limit)}

    assert len(kept) <= most
    assert all(k < d for k in kept for d in units - kept)
    assert (limit == ALL) == (len(units) <= most)
    assert 0.0 <= limit <= ALL


@given(
    failures=st.lists(st.tuples(st.integers(0, 80), st.sampled_from(list(Arm))), max_size=120),
    most=st.integers(min_value=1, max_value=20),
)
def test_thinning_uses_one_limit_for_both_arms(failures: list[tuple[int, Arm]], most: int) -> None:
    """Whatever the order and the arms, exactly the units below the one reported limit are there."""
    summary = Summary()
    for number, arm in failures:
        run(summary, a_touch(f"user-{number}", arm, failing_limit=most), Outcome.ERROR)

    part = summary.drain(0.0).failing.get("ramp-of-checkout", FailingUnits())

    failed = {unit_hash(bytes.fromhex(KEY), f"user-{number}") for number, _ in failures}
    reported = {unit.unit for unit in part.units}
    assert len(part.units) == len(reported) <= most
    assert reported == {unit for unit in failed if is_below(unit, part.limit)}
    assert (part.limit == ALL) == (len(failed) <= most)
    # As if thinned once, at the end, with every unit at hand.
    assert part.limit == limit_for(failed, most)


class SummaryMachine(RuleBasedStateMachine):
    """Requests begin, end, expire, are withdrawn and drained in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.summary = Summary()
        self.now = 0.0
        self.open: list[Touch] = []
        self.begun = self.ended = self.bad = self.withdrawn = 0
        self.sent: dict[str, int] = {"started": 0, "ended": 0, "bad": 0}
        self.failed: set[str] = set()
        self.reported: set[str] = set()
        self.fresh = 0

    @rule(arm=st.sampled_from(list(Arm)), epoch=st.integers(1, 2))
    def begin(self, arm: Arm, epoch: int) -> None:
        self.fresh += 1
        touch = a_touch(f"user-{self.fresh}", arm, self.now, epoch=epoch)
        self.summary.begin(touch)
        self.open.append(touch)
        self.begun += 1

    @rule(which=st.integers(0, 100), outcome=st.sampled_from(list(Outcome)))
    def end(self, which: int, outcome: Outcome) -> None:
        if self.open:
            touch = self.open.pop(which % len(self.open))
            counted = self.summary.end(touch, outcome, self.now, int(self.now // 300))
            assert counted is (Outcome.TIMEOUT if self.now >= touch.at + DEADLINE_S else outcome)
            self.count(touch, bad=counted in (Outcome.ERROR, Outcome.TIMEOUT))

    @rule(which=st.integers(0, 100))
    def withdraw(self, which: int) -> None:
        if self.open:
            self.summary.withdraw(self.open.pop(which % len(self.open)))
            self.withdrawn += 1

    @rule(seconds=st.sampled_from([0.5, 10.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        expired = self.summary.expire(self.now, int(self.now // 300))
        assert set(expired) == {touch for touch in self.open if self.now >= touch.at + DEADLINE_S}
        self.open = [touch for touch in self.open if touch not in expired]
        for touch in expired:
            self.count(touch, bad=True)

    @rule()
    def drain(self) -> None:
        parts = self.summary.drain(self.now)
        for row in parts.rows:
            assert 0 <= row.timeouts <= row.bad <= row.ended
            assert row.started >= 0
            assert row.ages[0] >= row.ages[1] >= 0
            self.sent["started"] += row.started
            self.sent["ended"] += row.ended
            self.sent["bad"] += row.bad
        for failing in parts.failing.values():
            self.reported |= {unit.unit for unit in failing.units}
        assert self.sent["ended"] == self.ended
        assert self.sent["bad"] == self.bad
        assert self.reported == self.failed
        assert self.begun - self.withdrawn <= self.sent["started"] <= self.begun

    @invariant()
    def starts_are_never_fewer_than_ends(self) -> None:
        assert self.sent["started"] >= self.sent["ended"]
        assert self.summary.outstanding == len(self.open)

    def count(self, touch: Touch, *, bad: bool) -> None:
        self.ended += 1
        self.bad += bad
        if bad:
            assert touch.unit_name is not None
            self.failed.add(touch.unit_name)


TestSummaryConservesCounts = SummaryMachine.TestCase


def test_an_entry_respects_the_rollouts_range() -> None:
    """In a layer a level exposes its share of the rollout's own range."""
    touch = a_touch(levels=(0, 500_000))
    touch.rollout = Rollout(exposure_ppm=0, split={"on": 1.0}, salt="layer:x", low=200_000, high=400_000)

    for at, expected in ((199_999, NEVER), (200_000, 1), (299_999, 1), (300_000, NEVER)):
        touch.place = at
        assert touch.entry == expected


def test_what_took_longer_than_a_bound_is_slow() -> None:
    """Rows count what was slower, by bound; a sample has a bit for each; a timeout is slower than any."""
    summary = Summary()
    bounds = (100, 500, 40_000)
    for unit, outcome, seconds in [
        ("user-1", Outcome.OK, 0.1),
        ("user-2", Outcome.CANCELLED, 0.2),
        ("user-3", Outcome.ERROR, 0.6),
        ("user-4", Outcome.TIMEOUT, 30.0),
    ]:
        touch = a_touch(unit, slow_bounds_ms=bounds)
        summary.begin(touch)
        summary.end(touch, outcome, 0.0, 7, seconds)

    parts = summary.drain(0.0)

    assert only(parts).slow == {"100": 3, "500": 2, "40000": 1}
    assert [unit.slow for unit in parts.sampled["ramp-of-checkout"].units] == [0, 1, 3, 7]


def test_a_deadline_that_passes_is_slow() -> None:
    """An open request whose deadline passed took longer than every bound."""
    summary = Summary()
    summary.begin(a_touch(slow_bounds_ms=(100,)))
    summary.expire(DEADLINE_S, 7)

    assert only(summary.drain(DEADLINE_S)).slow == {"100": 1}


def test_units_are_sampled_below_the_servers_limit() -> None:
    """Whatever their arm, units above the limit are left out, also those that were taken before it fell."""
    summary = Summary()
    for number in range(200):
        run(summary, a_touch(f"user-{number}", Arm.TREATMENT if number % 2 else Arm.CONTROL))
    summary.limit_samples({"ramp-of-checkout": 0.25, "another": 0.5})
    for number in range(200, 400):
        run(summary, a_touch(f"user-{number}"))
    summary.limit_samples({"ramp-of-checkout": 0.75})

    first = summary.drain(0.0).sampled["ramp-of-checkout"]
    for number in range(400, 600):
        run(summary, a_touch(f"user-{number}"))
    second = summary.drain(0.0).sampled["ramp-of-checkout"]

    def below(limit: float, units: range) -> set[str]:
        hashed = {unit_hash(bytes.fromhex(KEY), f"user-{number}") for number in units}
        return {unit for unit in hashed if is_below(unit, limit)}

    assert (first.limit, second.limit) == (0.25, 0.75)
    assert {seen.unit for seen in first.units} == below(0.25, range(400))
    assert {seen.unit for seen in second.units} == below(0.75, range(400, 600))


def test_the_limit_of_a_ramp_that_is_over_is_forgotten() -> None:
    """A ramp that comes back under the same id begins with all."""
    summary = Summary()
    summary.limit_samples({"ramp-of-checkout": 0.0})
    summary.forget(set())
    run(summary, a_touch())

    assert len(summary.drain(0.0).sampled["ramp-of-checkout"].units) == 1


def test_a_ramp_that_compares_others_is_told_of_once_a_batch() -> None:
    """A row without a count says that requests are watched here; where some were counted their rows say it."""
    summary = Summary()
    for ramp in ("r-1", "r-2"):
        summary.meet(an_overlay(ramp=ramp, epoch=4))
    run(summary, a_touch(ramp="r-2", epoch=4))

    counted, empty = summary.drain(1.0).rows

    assert (counted.ramp, counted.ended) == ("r-2", 1)
    assert empty == Row(ramp="r-1", epoch=4, exposure_ppm=100_000, arm=Arm.CONTROL, variant="")
    assert not summary.drain(2.0)


@pytest.mark.parametrize(("arm", "entry"), [(Arm.TREATMENT, 1), (Arm.CONTROL, NEVER)])
def test_no_level_exposes_the_units_of_a_baseline(arm: Arm, entry: int) -> None:
    """They get nothing else at any exposure; so their entry makes them control at each."""
    touch = a_touch(arm=arm, exposure_ppm=1_000_000, baseline="off")

    assert touch.entry == entry
