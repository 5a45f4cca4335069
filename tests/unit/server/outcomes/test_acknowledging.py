"""What batches say of kills."""

from uuid import UUID

from rheostat.model.evaluation import Arm
from rheostat.model.outcome import Applied, Batch, Row
from rheostat_server.outcomes.acknowledging import TOLD_FOR_MS, acknowledged_of, treated_of
from rheostat_server.outcomes.grouping import Arrival
from rheostat_server.outcomes.model import Acknowledgement, TreatedRow

A, B = UUID(int=10), UUID(int=11)
ONE, TWO = "1" * 32, "2" * 32


def arrival(sequence: int, applied: Applied, *, instance: str = ONE, at_ms: int = 100_000, age_ms: int = 0) -> Arrival:
    return Arrival(7, Batch(instance=instance, sequence=sequence, service="shop", applied=applied), at_ms, age_ms)


def test_an_application_is_dated_by_its_ages() -> None:
    """The batch's age on arrival and the kill's in the batch both count back from the server's clock."""
    rows = acknowledged_of([arrival(1, Applied(1, 2, (str(A), str(B)), (40, 3_000)), age_ms=500)])

    assert rows == [Acknowledgement(7, A, ONE, "shop", 99_460), Acknowledgement(7, B, ONE, "shop", 96_500)]


def test_of_several_batches_the_earliest_application_counts_once() -> None:
    """Two batches of one group give one row a kill and instance, in the order of their keys."""
    rows = acknowledged_of(
        [
            arrival(1, Applied(1, 2, (str(B),), (100,)), instance=TWO),
            arrival(2, Applied(1, 2, (str(A),)), at_ms=101_000),
            arrival(1, Applied(1, 2, (str(A),))),
        ]
    )

    assert [(row.kill_id, row.instance, row.at_ms) for row in rows] == [(A, ONE, 100_000), (B, TWO, 99_900)]


def test_what_was_told_long_ago_or_is_no_kill_is_left_out() -> None:
    """A latched kill is in every batch for weeks: after its first minute it is not written again."""
    assert acknowledged_of([arrival(1, Applied(1, 2, (str(A), "kill-a"), (TOLD_FOR_MS + 1, 0)))]) == []


def test_exposure_of_a_ramp_that_is_over_is_dated_by_its_oldest_request() -> None:
    """Rows of live ramps, other arms, mere ends, and unknown ramps say nothing of a kill."""

    def row(ramp: str, arm: Arm = Arm.TREATMENT, *, started: int = 1, ppm: int = 50_000, oldest: int = 900) -> Row:
        return Row(
            ramp=ramp, epoch=1, exposure_ppm=ppm, arm=arm, variant="on", ages=(oldest, 0), started=started, ended=1
        )

    rows = (
        row(str(A)),
        row(str(A), oldest=200),
        row(str(B)),
        row(str(UUID(int=12)), Arm.CONTROL),
        row(str(UUID(int=12)), started=0),
        row(str(UUID(int=12)), ppm=0),
        row("mine"),
    )
    batch = Batch(instance=ONE, sequence=1, service="shop", rows=rows)

    assert treated_of([Arrival(7, batch, 100_000, 50)], {str(B)}) == [TreatedRow(7, A, ONE, "shop", 99_750)]
