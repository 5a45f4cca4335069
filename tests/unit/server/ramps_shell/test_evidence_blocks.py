"""What counters grew by belongs to an epoch: by the exposure that the series says, or by time."""

from rheostat_server.adapters.evidence.prometheus.blocks import SETTLE_MS, Counted, counted_blocks, reported_blocks
from rheostat_server.adapters.evidence.prometheus.cursor import Growth
from rheostat_server.ports.ramps import EpochMark
from rheostat_server.ramps.evidence import ArmTotals, Block

ARMING = EpochMark(1, 100_000, 0)
FIRST = EpochMark(2, 100_000, 10_000)
SECOND = EpochMark(3, 500_000, 20_000)
BACK = EpochMark(4, 100_000, 30_000)


def failing(amount: int, from_ms: int, until_ms: int, ppm: int = 100_000, arm: str = "treatment") -> Growth:
    """Return newly failing users that the server counted."""
    return Growth("rheostat_failing_units_total", {"arm": arm, "exposure_ppm": str(ppm)}, amount, from_ms, until_ms)


def reported(amount: int, from_ms: int, until_ms: int, outcome: str = "ok", **labels: str) -> Growth:
    """Return requests that the server was told of."""
    labels = {"arm": "treatment", "exposure_ppm": "100000", "outcome": outcome, **labels}
    return Growth("rheostat_reported_requests_total", labels, amount, from_ms, until_ms)


def counted(amount: int, from_ms: int, until_ms: int, *, bad: int = 0, arm: str = "treatment") -> Counted:
    """Return requests that the application counted."""
    return Counted(arm, amount, bad, from_ms, until_ms)


def test_an_exposure_that_was_once_tells_its_epoch() -> None:
    """A late series of the step before belongs to that step, though the present one runs."""
    blocks = reported_blocks([failing(2, 21_000, 22_000), failing(3, 21_000, 22_000, 500_000)], [FIRST, SECOND], 2)

    assert [(block.epoch, block.exposure_ppm, block.treatment.failing) for block in blocks] == [
        (2, 100_000, 2), (3, 500_000, 3)
    ]  # fmt: skip


def test_growth_across_the_first_exposure_counts_its_failing_users_alone() -> None:
    """A scrape interval that began in arming proves nothing of the exposed, but a failure in it is not lost."""
    growth = [failing(2, 9_000, 11_000), reported(50, 9_000, 11_000), reported(3, 9_000, 11_000, "error")]

    [block] = reported_blocks(growth, [ARMING, FIRST], 2)

    assert (block.epoch, block.treatment) == (2, ArmTotals(failing=2))


def test_growth_before_the_first_exposure_is_armings() -> None:
    """What ended before the first exposure is of the arming epoch, at the same exposure."""
    [block] = reported_blocks([reported(50, 8_000, 9_000)], [ARMING, FIRST], 2)

    assert block.epoch == 1


def test_an_exposure_come_back_to_counts_as_the_earlier_visit_until_it_is_clear() -> None:
    """After a step back, growth across the change may be of the first visit: it moves the kill process alone."""
    marks = [ARMING, FIRST, SECOND, BACK]

    [across] = reported_blocks([failing(1, 29_000, 31_000)], marks, 2)
    [after] = reported_blocks([failing(1, 31_000, 32_000)], marks, 2)

    assert (across.epoch, after.epoch) == (2, 4)


def test_an_exposure_that_no_epoch_has_is_never_the_present_ones() -> None:
    """A series that cannot be placed helps no proof."""
    [block] = reported_blocks([reported(9, 21_000, 22_000, exposure_ppm="70000")], [FIRST, SECOND], 2)

    assert block.epoch == 2


def test_outcomes_and_samples_are_told_apart() -> None:
    """Errors and timeouts are bad; users sampled are counted with those of them bad; the holdback is control."""
    sampled = {"arm": "holdback", "exposure_ppm": "100000"}
    growth = [
        reported(7, 11_000, 12_000),
        reported(2, 11_000, 12_000, "error"),
        reported(1, 11_000, 12_000, "timeout"),
        Growth("rheostat_sampled_units_total", {**sampled, "bad": "false"}, 5, 11_000, 12_000),
        Growth("rheostat_sampled_units_total", {**sampled, "bad": "true"}, 2, 11_000, 12_000),
    ]

    assert reported_blocks(growth, [FIRST], 2) == (
        Block(
            from_ms=11_000,
            until_ms=12_000,
            epoch=2,
            exposure_ppm=100_000,
            treatment=ArmTotals(ended=10, bad=3),
            control=ArmTotals(units=7, units_bad=2),
        ),
    )


def test_what_says_no_arm_or_exposure_is_left_out() -> None:
    """A series without the labels that the rule needs is nobody's evidence."""
    growth = [reported(5, 11_000, 12_000, arm=""), reported(5, 11_000, 12_000, exposure_ppm="much")]

    assert reported_blocks(growth, [FIRST], 2) == ()


def test_an_applications_requests_are_placed_by_time() -> None:
    """Growth that began before the change had settled is of the epoch before, at the larger exposure."""
    across = counted(5, 20_000 + SETTLE_MS - 1, 25_000)
    after = counted(6, 20_000 + SETTLE_MS, 25_000, bad=6)

    blocks, _ = counted_blocks([across, after], [FIRST, SECOND], {})

    assert [(block.epoch, block.exposure_ppm) for block in blocks] == [(2, 500_000), (3, 500_000)]
    assert [block.treatment.ended for block in blocks] == [5, 6]
    assert [block.treatment.bad for block in blocks] == [0, 6]


def test_after_a_step_down_the_larger_exposure_holds_until_it_has_settled() -> None:
    """Requests that the larger exposure may have let in are weighed with it."""
    [block], _ = counted_blocks([counted(5, 30_500, 31_000)], [SECOND, BACK], {})

    assert (block.epoch, block.exposure_ppm) == (3, 500_000)


def test_of_requests_never_more_are_bad_than_there_are() -> None:
    """What one scrape shows of a bad request before its count is kept for the next, and nothing goes below none."""
    blocks, owed = counted_blocks([counted(2, 11_000, 12_000, bad=3)], [FIRST], {})
    later, settled = counted_blocks([counted(5, 12_000, 13_000, bad=-1)], [FIRST], owed)
    ahead, ahead_owed = counted_blocks([counted(4, 13_000, 14_000, bad=-2)], [FIRST], settled)
    behind, none_owed = counted_blocks([counted(1, 14_000, 15_000, bad=2)], [FIRST], ahead_owed)

    arms = [block.treatment for [block] in (blocks, later, ahead, behind)]
    assert [(arm.ended, arm.bad) for arm in arms] == [(2, 2), (5, 0), (4, 0), (1, 0)]
    assert (owed, settled, ahead_owed, none_owed) == ({"treatment": (1, 0)}, {}, {"treatment": (-2, 0)}, {})


def test_without_epochs_nothing_is_placed() -> None:
    """A ramp of which no epoch is known yet has no block."""
    assert counted_blocks([counted(5, 11_000, 12_000)], [], {}) == ((), {})
