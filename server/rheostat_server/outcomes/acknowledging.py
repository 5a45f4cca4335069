"""What batches say of kills: who applied which, and who still exposes users to what is killed. Pure."""

from collections.abc import Collection, Iterable
from uuid import UUID

from rheostat.model.evaluation import Arm
from rheostat_server.outcomes.grouping import Arrival
from rheostat_server.outcomes.model import Acknowledgement, TreatedRow

TOLD_FOR_MS = 60_000
"""An application is told of with each batch of the process; those of the first minute after it are read."""


def acknowledged_of(arrivals: Iterable[Arrival]) -> list[Acknowledgement]:
    """Return who applied which kills, one row a kill and instance, ascending: the earliest that it says.

    Ages count back from when the batch was made. Without ages it was just before that.
    """
    first: dict[tuple[UUID, str], Acknowledgement] = {}
    for environment_id, batch, at_ms, age_ms in arrivals:
        applied = batch.applied
        ages = applied.ages or (0,) * len(applied.kills)
        for kill, since_ms in zip(applied.kills, ages, strict=True):
            if since_ms <= TOLD_FOR_MS and (kill_id := _uuid(kill)) is not None:
                applied_ms = at_ms - age_ms - since_ms
                key = (kill_id, batch.instance)
                if key not in first or applied_ms < first[key].at_ms:
                    first[key] = Acknowledgement(environment_id, kill_id, batch.instance, batch.service, applied_ms)
    return [first[key] for key in sorted(first)]


def treated_of(arrivals: Iterable[Arrival], live: Collection[str]) -> list[TreatedRow]:
    """Return who put users into the treatment of ramps other than these, one row a ramp and instance, ascending.

    All of a row's requests are at least as young as its oldest: where that is younger than a kill, so are they.
    """
    newest: dict[tuple[UUID, str], TreatedRow] = {}
    for environment_id, batch, at_ms, age_ms in arrivals:
        for row in batch.rows:
            if row.ramp in live or row.arm is not Arm.TREATMENT or not row.started or not row.exposure_ppm:
                continue
            ramp = _uuid(row.ramp)
            if ramp is not None:
                began_ms = at_ms - age_ms - row.ages[0]
                key = (ramp, batch.instance)
                if key not in newest or began_ms > newest[key].at_ms:
                    newest[key] = TreatedRow(environment_id, ramp, batch.instance, batch.service, began_ms)
    return [newest[key] for key in sorted(newest)]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
