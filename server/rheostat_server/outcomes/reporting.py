"""What batches say beside outcomes: which ramps they name, who sent them, and what was evaluated. Pure."""

from collections.abc import Iterable

from rheostat.model.outcome import Batch
from rheostat_server.outcomes.grouping import Arrival
from rheostat_server.outcomes.model import EvaluationCount, OrphanKey, RampReport, RampRow, Reporter

DAY_MS = 86_400_000


def ramps_of(arrivals: Iterable[Arrival]) -> set[str]:
    """Return every ramp that these batches name."""
    named: set[str] = set()
    for arrival in arrivals:
        named.update(ramps_in(arrival.batch))
    return named


def ramps_in(batch: Batch) -> set[str]:
    """Return every ramp that this batch names."""
    named = {row.ramp for row in batch.rows}
    named.update(batch.failing, batch.sampled)
    named.update(orphan.ramp for dead in batch.orphans for orphan in dead.requests)
    return named


def orphans_of(arrivals: Iterable[Arrival], ramps: dict[str, RampRow]) -> set[OrphanKey]:
    """Return the orphaned requests of these ramps."""
    return {
        OrphanKey(orphan.ramp, dead.instance, orphan.note)
        for arrival in arrivals
        for dead in arrival.batch.orphans
        for orphan in dead.requests
        if orphan.ramp in ramps and ramps[orphan.ramp].environment_id == arrival.environment_id
    }


def replaced_of(arrivals: Iterable[Arrival]) -> set[tuple[int, str]]:
    """Return (environment, instance) of the processes that became another program."""
    return {
        (arrival.environment_id, dead.instance)
        for arrival in arrivals
        for dead in arrival.batch.orphans
        if dead.replaced
    }


def reports_of(arrivals: Iterable[Arrival], ramps: dict[str, RampRow]) -> list[RampReport]:
    """Return who sent rows of which of these ramps, one row a ramp and instance, ascending."""
    reports: dict[tuple[str, str], RampReport] = {}
    for environment_id, batch, at_ms, age_ms in sorted(arrivals, key=_made_ms):
        for ramp in {row.ramp for row in batch.rows}:
            if ramp in ramps and ramps[ramp].environment_id == environment_id:
                reports[ramp, batch.instance] = RampReport(ramp, batch.instance, batch.service, at_ms - age_ms)
    return [reports[key] for key in sorted(reports)]


def reporters_of(arrivals: Iterable[Arrival]) -> list[Reporter]:
    """Return who reported, one row an environment and instance, as the highest sequence says."""
    last: dict[tuple[int, str], tuple[int, Reporter]] = {}
    for environment_id, batch, at_ms, age_ms in arrivals:
        # What it has applied is newer than what its requests were evaluated by.
        held = max((batch.applied.generation, batch.applied.revision), _evaluated_by(batch))
        said_ms, acknowledges = at_ms - age_ms, batch.applied.generation > 0
        reporter = Reporter(
            environment_id, batch.instance, batch.service, *held, batch.goodbye, at_ms, said_ms, acknowledges
        )
        key = (environment_id, batch.instance)
        if key not in last or last[key][0] < batch.sequence:
            last[key] = (batch.sequence, reporter)
    return [reporter for _, reporter in last.values()]


def _evaluated_by(batch: Batch) -> tuple[int, int]:
    """Return the identity that the batch's requests were evaluated by."""
    return (batch.identity.generation, batch.identity.revision)


def evaluations_of(arrivals: Iterable[Arrival]) -> list[EvaluationCount]:
    """Return how often flags were evaluated, one row a key."""
    counts: dict[tuple[int, str, str, str, int], EvaluationCount] = {}
    for environment_id, batch, at_ms, age_ms in sorted(arrivals, key=_made_ms):
        made_ms = at_ms - age_ms
        for flag, variants in batch.evaluations.items():
            for variant, count in variants.items():
                key = (environment_id, flag, variant, batch.service, made_ms // DAY_MS)
                before = counts[key].times if key in counts else 0
                counts[key] = EvaluationCount(*key, before + count, made_ms)
    return list(counts.values())


def _made_ms(arrival: Arrival) -> int:
    return arrival.at_ms - arrival.age_ms
