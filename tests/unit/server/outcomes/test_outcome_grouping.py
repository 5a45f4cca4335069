"""How a group of batches adds up."""

import pytest

from rheostat.model.outcome import HELD, NEVER, Applied, SampledUnits
from rheostat.model.snapshot import Identity
from rheostat_server.outcomes.grouping import COOLDOWN_MS, WINDOW_MS, Arrival, Group
from rheostat_server.outcomes.model import (
    FailingMemory,
    OrphanKey,
    RampRow,
    SampledMemory,
    SampledRow,
    SlowCount,
    UnitCount,
    UnitKey,
)
from rheostat_server.outcomes.reporting import (
    evaluations_of,
    orphans_of,
    ramps_of,
    replaced_of,
    reporters_of,
    reports_of,
)
from rheostat_server.ramps.evidence import ArmTotals
from tests.data_plane import a_batch, a_row, failing, orphaned, sampled

NOW = 1_767_225_600_000


def a_ramp(ramp: str = "r", environment_id: int = 1, exposures: dict[int, int] | None = None) -> RampRow:
    return RampRow(
        ramp=ramp,
        environment_id=environment_id,
        project="default",
        environment="production",
        flag="checkout",
        levels=(0, 100_000, 500_000),
        exposures={1: 100_000, 2: 500_000} if exposures is None else exposures,
    )


def grouped(*arrivals: Arrival, ramp: RampRow | None = None) -> Group:
    known = ramp or a_ramp()
    group = Group(arrivals, {known.ramp: known}, orphans_of(arrivals, {known.ramp: known}))
    group.settle({}, {})
    return group


def unit(number: int) -> UnitKey:
    return UnitKey("r", number.to_bytes(8, "big"))


def test_rows_add_up_by_epoch_and_arm() -> None:
    """Requests of one epoch and exposure become one increment, over the interval that all of them cover."""
    first = a_batch(1, rows=(a_row("r", ages=(9_000, 1_000), bad=2, timeouts=1),))
    second = a_batch(1, instance="1" * 32, rows=(a_row("r", ages=(500, 0)), a_row("r", arm="control", ended=7)))

    [increment] = grouped(Arrival(1, first, NOW), Arrival(1, second, NOW + 50)).increments()["r"]

    assert (increment.epoch, increment.exposure_ppm) == (1, 100_000)
    assert (increment.treatment.ended, increment.treatment.bad) == (20, 2)
    assert (increment.control.ended, increment.control.bad) == (7, 0)
    assert (increment.from_ms, increment.until_ms) == (NOW - 9_950, NOW + 50)
    assert increment.reporters == 2


def test_epochs_are_never_added() -> None:
    """Rows of two epochs become two increments, each with its exposure as evaluated."""
    batch = a_batch(rows=(a_row("r"), a_row("r", epoch=2, exposure_ppm=500_000)))

    increments = grouped(Arrival(1, batch, NOW)).increments()["r"]

    assert [(each.epoch, each.exposure_ppm) for each in increments] == [(1, 100_000), (2, 500_000)]


@pytest.mark.parametrize(
    ("entry", "epoch", "arm"),
    [
        (0, 1, "treatment"),
        (1, 1, "treatment"),
        (2, 1, "control"),
        (2, 2, "treatment"),
        (NEVER, 2, "control"),
        (HELD, 2, "holdback"),
    ],
)
def test_a_units_arm_is_the_one_drawn_at_its_epochs_exposure(entry: int, epoch: int, arm: str) -> None:
    """A unit is treatment where its entry level is within the epoch's exposure; held back stays held back."""
    batch = a_batch(failing=failing("r", (5, entry), epoch=epoch))

    [row] = grouped(Arrival(1, batch, NOW)).failing

    assert row.arm == arm


def test_a_unit_that_fails_twice_in_a_group_fails_once_at_its_first_failure() -> None:
    """Two failures of a unit are one row: the first one's arm and epoch, the last one's time, counted once."""
    late = a_batch(1, failing=failing("r", (5, 2), epoch=2, age_ms=100))
    early = a_batch(2, failing=failing("r", (5, 2), epoch=1, age_ms=900))

    group = grouped(Arrival(1, late, NOW), Arrival(1, early, NOW))

    [row] = group.failing
    assert (row.arm, row.epoch, row.first_ms, row.last_ms, row.k) == ("control", 1, NOW - 900, NOW - 100, 1)
    [increment] = group.increments()["r"]
    assert (increment.epoch, increment.control.failing, increment.treatment.failing) == (1, 1, 0)


def test_only_units_that_are_new_to_the_store_count() -> None:
    """A failing unit that the store knew, or a sampled one of the epoch, adds nothing to an increment."""
    batch = a_batch(failing=failing("r", (5, 1), (6, 1)), sampled=sampled("r", (7, 1), (8, 2), bad=True))
    group = Group([Arrival(1, batch, NOW)], {"r": a_ramp()})

    [known] = [row for row in group.samples if row.arm == "treatment"]
    group.settle({unit(5): FailingMemory(NOW - 1_000, 1)}, {known: SampledMemory(ramp=True, epoch=True)})

    [increment] = group.increments()["r"]
    assert increment.treatment.failing == 1
    assert (increment.treatment.units, increment.control.units, increment.control.units_bad) == (0, 1, 1)


def test_late_rows_are_kept_apart() -> None:
    """What is older than two minutes on arrival goes to an increment that says so."""
    batch = a_batch(
        rows=(a_row("r"), a_row("r", ages=(120_001, 0), ended=3)), failing=failing("r", (1, 1), age_ms=130_000)
    )

    group = grouped(Arrival(1, batch, NOW))

    on_time, late = group.increments()["r"]
    assert (on_time.late, on_time.treatment.ended, on_time.treatment.failing) == (False, 10, 0)
    assert (late.late, late.treatment.ended, late.treatment.failing) == (True, 3, 1)
    assert group.late_rows == 1


def test_a_sample_of_an_old_window_is_late() -> None:
    """A unit sampled in a window that ended more than two minutes ago is no evidence."""
    now_window = NOW // WINDOW_MS
    batch = a_batch(sampled=sampled("r", (1, 1), window=now_window) | {})
    old = a_batch(2, sampled=sampled("r", (2, 1), window=now_window - 2))

    increments = grouped(Arrival(1, batch, NOW), Arrival(1, old, NOW)).increments()["r"]

    assert [(each.late, each.treatment.units) for each in increments] == [(False, 1), (True, 1)]


def test_another_environments_ramp_is_ignored() -> None:
    """A key counts for ramps of its own environment only, and an unknown ramp is nobody's."""
    batch = a_batch(rows=(a_row("r"), a_row("unknown")), failing=failing("r", (1, 1)), sampled=sampled("r", (1, 1)))

    group = grouped(Arrival(2, batch, NOW))

    assert group.increments() == {}
    assert (group.failing, group.sampled) == ([], [])


def test_a_unit_whose_arm_cannot_be_told_is_dropped() -> None:
    """An entry outside the levels, or an epoch that nobody knows, draws no arm."""
    batch = a_batch(failing=failing("r", (1, 3)) | failing("r", (1, 3)))
    unknown = a_batch(2, failing=failing("r", (2, 1), epoch=9))

    assert grouped(Arrival(1, batch, NOW), Arrival(1, unknown, NOW)).failing == []


def test_an_epoch_missing_in_the_history_is_counted_but_is_no_evidence() -> None:
    """Rows of the same epoch say the exposure that the ramp's own history lacks; a ramp moves on neither."""
    batch = a_batch(rows=(a_row("r", epoch=4, exposure_ppm=500_000),), failing=failing("r", (1, 2), epoch=4))

    group = grouped(Arrival(1, batch, NOW), ramp=a_ramp(exposures={}))

    [increment] = group.increments()["r"]
    assert (increment.exposure_ppm, increment.treatment.failing, increment.late) == (500_000, 1, True)


def test_the_highest_sequence_says_where_an_instance_stands() -> None:
    """One row an instance, as its newest batch says; what it applied counts over what it evaluated by."""
    batches = [
        a_batch(2, identity=Identity(5, 7), applied=Applied(5, 8), goodbye=True),
        a_batch(1, identity=Identity(5, 6)),
    ]

    [reporter] = reporters_of([Arrival(1, batch, NOW) for batch in batches])

    assert (reporter.generation, reporter.revision, reporter.goodbye) == (5, 8, True)


def test_evaluations_add_up_by_service_and_day() -> None:
    """Counts of a flag and variant add up within a service and UTC day."""
    one = a_batch(1, evaluations={"checkout": {"on": 2, "": 1}})
    two = a_batch(2, evaluations={"checkout": {"on": 3}})

    counts = {
        (each.variant, each.service): each.times
        for each in evaluations_of([Arrival(1, one, NOW), Arrival(1, two, NOW)])
    }

    assert counts == {("on", "shop"): 5, ("", "shop"): 1}


def test_every_ramp_that_is_named_is_asked_for() -> None:
    """Ramps named by rows, failing units or sampled units are all locked."""
    batch = a_batch(rows=(a_row("a"),), failing=failing("b"), sampled=sampled("c"))

    assert ramps_of([Arrival(1, batch, NOW)]) == {"a", "b", "c"}


def test_samples_keep_the_first_of_a_window_and_epoch() -> None:
    """Of two samples of a unit in one window and epoch the first stands."""
    first = a_batch(1, sampled=sampled("r", (1, 1), bad=True))
    second = a_batch(2, sampled=sampled("r", (1, 1)))

    rows = grouped(Arrival(1, second, NOW + 1), Arrival(1, first, NOW)).sampled

    assert rows == [SampledRow("r", bytes.fromhex(f"{1:016x}"), 5_890_752, 1, "treatment", True, 1)]


def test_a_sample_counts_by_what_it_is_the_first_of() -> None:
    """A unit is seen once a window and epoch, kept by grade 2 once a window, and active once a ramp."""
    even = NOW // WINDOW_MS // 2 * 2
    batches = [
        a_batch(1, sampled=sampled("r", (1, 1), window=even, bad=True)),
        a_batch(2, sampled=sampled("r", (1, 1), window=even, epoch=2)),
        a_batch(3, sampled=sampled("r", (1, 1), window=even + 1)),
        a_batch(4, sampled=sampled("r", (2, 1), window=even + 1)),
    ]

    first, second = grouped(*(Arrival(1, batch, NOW) for batch in batches)).increments()["r"]

    assert first.treatment == ArmTotals(
        seen=3, units=2, units_bad=1, sampled=2, sampled_bad=1, arrivals=2, active=2, active_failed=0
    )
    assert second.treatment == ArmTotals(seen=1, units=1)


def test_who_was_there_in_the_window_before_does_not_arrive() -> None:
    """An arrival is a unit sampled in a window and not in the one before, as far as anybody knows."""
    window = NOW // WINDOW_MS
    group = Group([Arrival(1, a_batch(sampled=sampled("r", (1, 1), (2, 1), window=window)), NOW)], {"r": a_ramp()})
    known = group.samples[0]

    group.settle({}, {known: SampledMemory(ramp=True, epoch=True, before=True)})

    [increment] = group.increments()["r"]
    assert (increment.treatment.arrivals, increment.treatment.seen) == (1, 2)


def test_arrivals_while_arming_are_told_by_level() -> None:
    """While arming, who arrives is noted under the level that exposes them first; the others under none."""
    ramp = a_ramp()
    arming = RampRow(**{name: getattr(ramp, name) for name in ramp.__struct_fields__} | {"arming_epoch": 1})
    now, later = sampled("r", (1, 1), (2, 2), (3, HELD), (4, NEVER)), sampled("r", (5, 1), epoch=2)

    group = grouped(Arrival(1, a_batch(1, sampled=now), NOW), Arrival(1, a_batch(2, sampled=later), NOW), ramp=arming)

    assert group.arming_arrivals == {("r", 100_000): 1, ("r", 500_000): 1, ("r", -1): 2}


@pytest.mark.parametrize(
    ("failed", "known_failed", "known_sampled", "expected"),
    [(True, False, False, 1), (False, True, False, 1), (True, False, True, 1), (False, False, True, 0)],
)
def test_a_unit_that_was_sampled_and_failed_counts_when_both_are_so(
    failed: bool, known_failed: bool, known_sampled: bool, expected: int
) -> None:
    """A unit is active and failed once both are true, in whatever order they come."""
    here = {} if known_sampled else sampled("r", (1, 1))
    batch = a_batch(sampled=here, failing=failing("r", (1, 1)) if failed else {}, rows=(a_row("r"),))
    group = Group([Arrival(1, batch, NOW)], {"r": a_ramp()})
    memory = {row: SampledMemory(failed=known_failed) for row in group.samples}

    group.settle({unit(1): FailingMemory(None, 0, known_sampled)}, memory)

    [increment] = group.increments()["r"]
    assert increment.treatment.active_failed == expected


def test_a_unit_is_counted_again_after_five_minutes_without_a_failure() -> None:
    """Each failure begins the five minutes anew; what the counts add to the sum of squares is told with them."""
    known = FailingMemory(NOW - COOLDOWN_MS, 2)
    batch = a_batch(failing=failing("r", (1, 1)))
    group = Group([Arrival(1, batch, NOW), Arrival(1, batch, NOW + COOLDOWN_MS - 1)], {"r": a_ramp()})

    group.settle({unit(1): known}, {})

    [row] = group.failing
    assert (row.k, row.last_ms) == (3, NOW + COOLDOWN_MS - 1)
    [increment] = group.increments()["r"]
    assert increment.treatment == ArmTotals(recounted=1, recounted_squares=9 - 4)


def test_a_failure_that_comes_out_of_order_is_not_counted_again() -> None:
    """A failure from before the last one known changes neither the last nor k."""
    group = Group([Arrival(1, a_batch(failing=failing("r", (1, 1), age_ms=60_000)), NOW)], {"r": a_ramp()})

    group.settle({unit(1): FailingMemory(NOW, 4)}, {})

    assert [(row.k, row.last_ms) for row in group.failing] == [(4, NOW)]
    assert group.increments() == {}


def test_what_was_slow_is_told_by_bound() -> None:
    """Rows name the bound; in samples bit i stands for the ramp's i-th."""
    ramp = a_ramp()
    bounds = RampRow(**{name: getattr(ramp, name) for name in ramp.__struct_fields__} | {"slow_bounds_ms": (100, 500)})
    even = NOW // WINDOW_MS // 2 * 2
    batches = [
        a_batch(1, rows=(a_row("r", slow={"100": 4, "500": 1}), a_row("r", arm="control", slow={"100": 2}))),
        a_batch(2, sampled=sampled("r", (1, 1), window=even, slow=3)),
        a_batch(3, sampled=sampled("r", (2, 2), window=even + 1, slow=1)),
    ]

    [increment] = grouped(*(Arrival(1, batch, NOW) for batch in batches), ramp=bounds).increments()["r"]

    assert increment.slow == {
        "treatment": {"100": SlowCount(4, 1, 1, 1), "500": SlowCount(1, 1, 1, 1)},
        "control": {"100": SlowCount(2, 1, 1, 1), "500": SlowCount(0, 0, 0, 1)},
    }


def test_an_orphan_is_bad_and_counts_once() -> None:
    """What a dead process left open is a bad request of a failing unit, however many report it."""
    batch = a_batch(orphans=orphaned("r", (1, 1)))

    group = grouped(Arrival(1, batch, NOW), Arrival(1, a_batch(1, instance="1" * 32, orphans=batch.orphans), NOW))

    [increment] = group.increments()["r"]
    seen = increment.treatment
    assert (seen.ended, seen.bad, seen.failing, seen.units, seen.units_bad) == (1, 1, 1, 1, 1)


def test_orphans_that_are_known_or_of_a_ramp_that_is_gone_are_dropped() -> None:
    """Only what was not counted before counts, for ramps of the sender's environment."""
    batch = a_batch(orphans=orphaned("r", (1, 1)) + orphaned("gone", (2, 1)))
    group = Group([Arrival(1, batch, NOW)], {"r": a_ramp()}, ())
    group.settle({}, {})

    assert group.increments() == {}
    assert orphans_of([Arrival(1, batch, NOW)], {"r": a_ramp()}) == {OrphanKey("r", "d" * 32, 1)}
    assert orphans_of([Arrival(2, batch, NOW)], {"r": a_ramp()}) == set()


def test_who_reports_is_who_sends_rows() -> None:
    """A batch with a row of a ramp is a report of its service; one that names units alone is none."""
    batches = [a_batch(1, rows=(a_row("r"), a_row("gone"))), a_batch(2, "1" * 32, failing=failing("r", (1, 1)))]

    reports = reports_of([Arrival(1, batch, NOW) for batch in batches], {"r": a_ramp()})

    assert [(each.ramp, each.instance, each.service) for each in reports] == [("r", "0" * 32, "shop")]


def test_a_process_that_became_another_did_not_vanish() -> None:
    """What exec replaced is told apart from what died."""
    dead = orphaned("r", (1, 1))[0]
    replaced = type(dead)(instance="e" * 32, replaced=True)

    assert replaced_of([Arrival(1, a_batch(orphans=(dead, replaced)), NOW)]) == {(1, "e" * 32)}


def test_thinned_units_stand_for_others() -> None:
    """Below a limit of a quarter each unit that is seen stands for four; what compares arms is as it was sampled."""
    units = sampled("r", (1, 1), (2, 1), (3, 2))
    thinned = {"r": SampledUnits(limit=0.25, units=units["r"].units)}
    all_of_them = a_batch(2, instance="1" * 32, sampled=sampled("r", (4, 1)))

    group = grouped(Arrival(1, a_batch(1, sampled=thinned), NOW), Arrival(1, all_of_them, NOW))

    [increment] = group.increments()["r"]
    assert (increment.treatment.seen, increment.treatment.units, increment.treatment.active) == (9, 3, 3)
    assert (increment.control.seen, increment.control.units) == (4, 1)
    assert group.units == [UnitCount("r", 1, "control", 1, 4.0), UnitCount("r", 1, "treatment", 3, 9.0)]
