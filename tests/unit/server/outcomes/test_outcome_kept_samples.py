"""Samples that grade 2 keeps: a unit's bad sample counts once a ramp, to errors and to each bound by itself."""

import msgspec
import pytest

from rheostat_server.outcomes.grouping import WINDOW_MS, Arrival, Group
from rheostat_server.outcomes.model import BadlySampled, OrphanKey, RampRow, SampledMemory, SlowCount
from tests.data_plane import a_batch, orphaned, sampled

NOW = 1_767_225_600_000
EVEN = NOW // WINDOW_MS // 2 * 2
ODD = EVEN + 1
UNIT = (1).to_bytes(8, "big")
ERRORS, OVER_100, OVER_500 = 1, 2, 4
EVERY = ERRORS | OVER_100 | OVER_500


def a_ramp() -> RampRow:
    return RampRow(
        ramp="r",
        environment_id=1,
        project="default",
        environment="production",
        flag="checkout",
        levels=(0, 100_000, 500_000),
        exposures={1: 100_000, 2: 500_000},
        slow_bounds_ms=(100, 500),
    )


def counted(*seen: tuple[int, bool, int], known: int = 0) -> Group:
    """Count samples of one unit, each (window, bad, slow bits), of which these measures are known to be bad."""
    batches = [
        a_batch(number, sampled=sampled("r", (1, 1), window=window, bad=bad, slow=slow))
        for number, (window, bad, slow) in enumerate(seen, 1)
    ]
    group = Group([Arrival(1, batch, NOW) for batch in batches], {"r": a_ramp()})
    group.settle({}, {row: SampledMemory(ramp=True, bad=known) for row in group.samples} if known else {})
    return group


def kept(group: Group) -> dict[str, tuple[int, int]]:
    """Return the bad samples that were kept of the treatment among how many, by measure."""
    increments = group.increments()["r"]
    totals = {"errors": (0, 0), "100": (0, 0), "500": (0, 0)}
    for each in increments:
        slow = each.slow.get("treatment", {})
        more = {"errors": (each.treatment.sampled_bad, each.treatment.sampled)} | {
            bound: (count.sampled_bad, count.sampled or 0) for bound, count in slow.items()
        }
        totals |= {name: (totals[name][0] + bad, totals[name][1] + among) for name, (bad, among) in more.items()}
    return totals


def test_a_unit_is_left_out_after_its_bad_sample() -> None:
    """A unit's first bad sample is its last that counts, whatever comes after in the same group of batches."""
    group = counted((EVEN - 4, False, 0), (EVEN - 2, True, 0), (EVEN, True, 0), (EVEN + 2, False, 0))

    assert kept(group)["errors"] == (1, 2)
    assert group.badly_sampled == [BadlySampled("r", UNIT, ERRORS)]


@pytest.mark.parametrize(
    ("slow", "bad", "expected"),
    [
        (0b01, False, {"errors": (0, 2), "100": (1, 1), "500": (0, 2)}),
        (0b11, False, {"errors": (0, 2), "100": (1, 1), "500": (1, 1)}),
        (0b00, True, {"errors": (1, 1), "100": (0, 2), "500": (0, 2)}),
        (0b11, True, {"errors": (1, 1), "100": (1, 1), "500": (1, 1)}),
    ],
)
def test_each_measure_leaves_out_its_own_units(slow: int, bad: bool, expected: dict[str, tuple[int, int]]) -> None:
    """A unit that was slow still counts for errors and for bounds that it kept to; one that failed, for all bounds."""
    assert kept(counted((EVEN, bad, slow), (EVEN + 2, bad, slow))) == expected


@pytest.mark.parametrize(
    ("known", "expected", "remembered"),
    [
        (ERRORS, {"errors": (0, 0), "100": (1, 1), "500": (1, 1)}, OVER_100 | OVER_500),
        (OVER_100, {"errors": (1, 1), "100": (0, 0), "500": (1, 1)}, ERRORS | OVER_500),
        (ERRORS | OVER_500, {"errors": (0, 0), "100": (1, 1), "500": (0, 0)}, OVER_100),
    ],
)
def test_what_was_bad_before_is_left_out(known: int, expected: dict[str, tuple[int, int]], remembered: int) -> None:
    """What the store remembers of a unit leaves it out of that measure alone; only what is new is remembered."""
    group = counted((EVEN, True, 0b11), known=known)

    assert kept(group) == expected
    assert group.badly_sampled == [BadlySampled("r", UNIT, remembered)]


def test_a_unit_that_is_known_as_bad_in_everything_is_remembered_no_more() -> None:
    """It is seen, counts in no measure, and nothing of it is written."""
    group = counted((EVEN, True, 0b11), known=EVERY)

    [increment] = group.increments()["r"]
    assert increment.treatment.seen == 1
    assert kept(group) == {"errors": (0, 0), "100": (0, 0), "500": (0, 0)}
    assert group.badly_sampled == []


def test_each_window_has_a_sample_of_a_unit() -> None:
    """Until its first bad one a unit is a sample in each window."""
    group = counted((EVEN - 1, False, 0), (EVEN, False, 0), (ODD, True, 0b11))

    assert kept(group) == {"errors": (1, 3), "100": (1, 3), "500": (1, 3)}


def test_only_the_sample_that_is_kept_of_a_window_is_remembered() -> None:
    """A unit's second sample of a window, of a later epoch, neither counts nor leaves it out afterwards."""
    first = a_batch(1, sampled=sampled("r", (1, 1), window=EVEN))
    second = a_batch(2, sampled=sampled("r", (1, 1), window=EVEN, epoch=2, bad=True, slow=3))
    third = a_batch(3, sampled=sampled("r", (1, 1), window=EVEN + 2, epoch=2, bad=True))
    group = Group([Arrival(1, batch, NOW) for batch in (first, second, third)], {"r": a_ramp()})

    group.settle({}, {})

    assert kept(group) == {"errors": (1, 2), "100": (0, 2), "500": (0, 2)}
    assert group.badly_sampled == [BadlySampled("r", UNIT, ERRORS)]


def test_a_late_bad_sample_leaves_the_unit_out() -> None:
    """What came too late for evidence is in the late totals, and in the memory of units."""
    group = counted((EVEN - 4, True, 0), (EVEN, True, 0))

    late, on_time = sorted(group.increments()["r"], key=lambda each: not each.late)
    assert (late.late, late.treatment.sampled, late.treatment.sampled_bad) == (True, 1, 1)
    assert (on_time.treatment.sampled, on_time.treatment.sampled_bad, on_time.treatment.seen) == (0, 0, 1)


def test_slow_bits_beyond_the_ramps_bounds_are_nobodys() -> None:
    """A sender that sets more bits than the ramp has bounds is believed for those that there are."""
    assert counted((EVEN, False, 0b1111_0010)).badly_sampled == [BadlySampled("r", UNIT, OVER_500)]


def test_what_the_dead_left_open_is_bad_to_every_measure() -> None:
    """A request whose process was killed is its unit's bad sample, for errors and all bounds."""
    batch = a_batch(orphans=orphaned("r", (1, 1)))
    group = Group([Arrival(1, batch, NOW)], {"r": a_ramp()}, {OrphanKey("r", "d" * 32, 1)})

    group.settle({}, {})

    assert kept(group) == {"errors": (1, 1), "100": (1, 1), "500": (1, 1)}
    assert group.badly_sampled == [BadlySampled("r", UNIT, EVERY)]


def test_increments_of_before_say_nothing_of_how_many_were_sampled_for_a_bound() -> None:
    """An increment that an older server wrote is read: to its bounds all samples counted."""
    assert msgspec.json.decode(b"[4, 1, 1]", type=SlowCount) == SlowCount(4, 1, 1, None)
