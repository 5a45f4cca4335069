"""Ask every source of a ramp's evidence, in one round."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

import structlog

from rheostat.clock import Clock
from rheostat.model.evaluation import Arm
from rheostat_server.errors import Unavailable
from rheostat_server.ports.evidence import (
    CheckQuestion,
    CheckSource,
    Crowd,
    CrowdQuestion,
    CrowdSource,
    EvidenceSource,
    Question,
)
from rheostat_server.ports.ramps import EpochMark, RampRow
from rheostat_server.ports.storage import Storage
from rheostat_server.ramps.checks import Check, CheckValue
from rheostat_server.ramps.evidence import Evidence, Reading, Sight
from rheostat_server.ramps.model import Family, GuardrailState
from rheostat_server.ramps.threshold import due_checks
from rheostat_server.ramps.windows import shut_at

log = structlog.get_logger()


class Gathering:
    """Gathers what is known of live ramps. ``places`` bounds how many use the database at the same time."""

    def __init__(
        self,
        storage: Storage,
        sources: Mapping[Family, EvidenceSource],
        clock: Clock,
        crowd: CrowdSource,
        places: asyncio.Semaphore,
        *,
        checks: Mapping[Family, CheckSource],
    ) -> None:
        self._storage = storage
        self._sources = sources
        self._clock = clock
        self._crowd_source = crowd
        self._places = places
        self._checks = checks
        self._marks: dict[str, tuple[EpochMark, ...]] = {}

    def keep(self, live: Collection[str]) -> None:
        """Forget what was remembered of other ramps than these."""
        self._marks = {ramp_id: marks for ramp_id, marks in self._marks.items() if ramp_id in live}

    async def evidence(self, row: RampRow) -> Evidence:
        """Return all that is known of the ramp now; a source that fails is one guardrail that sees nothing."""
        if row.plan.threshold is not None:
            return await self._checked(row)
        state = row.state
        marks = await self._epochs(row)
        at_ms = self._clock.wall_ms()

        by_source: dict[EvidenceSource | None, list[Question]] = {}
        for guardrail in row.plan.guardrails:
            question = Question(
                ramp=row.id,
                environment_id=row.environment_id,
                plan=row.plan,
                guardrail=guardrail,
                marks=marks,
                asked_ms=at_ms,
                exposed_epoch=state.exposed_epoch,
                cursor=state.guardrails.get(guardrail.name, GuardrailState()).cursor,
            )
            by_source.setdefault(self._sources.get(guardrail.family), []).append(question)
        (exposed_units, control_units), crowd, rounds = await asyncio.gather(
            self._units(row),
            self._crowd(row, at_ms),
            asyncio.gather(*(_ask(source, asked) for source, asked in by_source.items())),
        )
        readings = {reading.guardrail: reading for group in rounds for reading in group}
        return Evidence(
            at_ms=at_ms,
            readings=tuple(readings[guardrail.name] for guardrail in row.plan.guardrails),
            exposed_units=exposed_units,
            control_units=control_units,
            crowd=crowd.blocks,
            crowd_cursor=crowd.cursor,
            arrivals_by_level=crowd.arrivals_by_level,
            coverage=crowd.coverage,
            vanished=crowd.vanished,
            shut=shut_at(row.plan.advance_windows, row.plan.freezes, at_ms),
        )

    async def _checked(self, row: RampRow) -> Evidence:
        """Return what the checks that are due now found, where a ramp counts those that fail."""
        at_ms = self._clock.wall_ms()
        return Evidence(
            at_ms=at_ms,
            shut=shut_at(row.plan.advance_windows, row.plan.freezes, at_ms),
            checks=await looked_at(self._checks, row.id, due_checks(row.plan, row.state, at_ms), at_ms),
        )

    async def _epochs(self, row: RampRow) -> tuple[EpochMark, ...]:
        marks = self._marks.get(row.id)
        if marks is None or marks[-1].epoch != row.state.epoch:
            async with self._places, self._storage.transaction() as tx:
                marks = tuple(await tx.ramps.epochs(row.id))
            if marks:
                self._marks[row.id] = marks
        return marks

    async def _units(self, row: RampRow) -> tuple[int, int]:
        """Return how many exposed units were seen in the present step, and in a comparison with a sample how many of
        the control; as many as were known, where nobody can say.

        They are wanted for going on alone, and must not keep the ramp from being watched.
        """
        try:
            async with self._places, self._storage.transaction() as tx:
                exposed = await tx.outcomes.distinct_exposed_units(row.id, row.state.epoch)
                if row.plan.sample is None:
                    return exposed, 0
                return exposed, await tx.outcomes.distinct_exposed_units(row.id, row.state.epoch, Arm.CONTROL)
        except Unavailable as error:
            log.warning("exposed_units_unknown", ramp=row.id, error=str(error))
        except Exception:
            log.exception("exposed_units_unknown", ramp=row.id)
        return row.state.exposed_units, row.state.control_units

    async def _crowd(self, row: RampRow, at_ms: int) -> Crowd:
        """Return what SDKs report of the ramp, whatever its guardrails read; nothing to a ramp that has none."""
        cursor = row.state.crowd_cursor
        if not row.plan.guardrails:
            return Crowd(cursor=cursor)
        question = CrowdQuestion(
            ramp=row.id, environment_id=row.environment_id, flag=row.flag, asked_ms=at_ms, cursor=cursor
        )
        try:
            return await self._crowd_source.crowd(question)
        except Exception:
            # The guardrails still see, and may have to kill.
            log.exception("crowd_failed", ramp=row.id)
            return Crowd(cursor=cursor)


async def looked_at(
    sources: Mapping[Family, CheckSource], ramp: str, checks: Sequence[Check], at_ms: int
) -> tuple[CheckValue, ...]:
    """Return what the checks of a ramp find now, each where it is to be looked at."""
    by_family: dict[Family, list[Check]] = {}
    for check in checks:
        by_family.setdefault(Family.REPORTED if check.query is None else Family.QUERIES, []).append(check)
    answers = await asyncio.gather(
        *(
            _find(sources.get(family), CheckQuestion(ramp=ramp, checks=tuple(asked), asked_ms=at_ms))
            for family, asked in by_family.items()
        )
    )
    return tuple(value for answer in answers for value in answer)


async def _find(source: CheckSource | None, question: CheckQuestion) -> tuple[CheckValue, ...]:
    problem = "this node has no Prometheus; set RHEOSTAT_PROMETHEUS_URL"
    if source is not None:
        try:
            return await source.find(question)
        except Exception:
            # To the rule it is a check that failed.
            log.exception("checks_failed", ramp=question.ramp)
            problem = "its source failed"
    return tuple(CheckValue(name=check.name, problem=problem) for check in question.checks)


async def _ask(source: EvidenceSource | None, questions: Sequence[Question]) -> tuple[Reading, ...]:
    """Ask one source for all guardrails of a ramp that read it, in one round."""
    if source is None:
        detail = f"this node has no source for {questions[0].guardrail.family.value}; set RHEOSTAT_PROMETHEUS_URL"
    else:
        try:
            return await source.read_all(questions)
        except Exception:
            # The other guardrails still see, and may have to kill.
            first = questions[0]
            log.exception("source_failed", ramp=first.ramp, family=first.guardrail.family.value)
            detail = "its source failed"
    return tuple(
        Reading(guardrail=question.guardrail.name, sight=Sight.QUERY_FAILED, detail=detail) for question in questions
    )
