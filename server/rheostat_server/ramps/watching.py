"""What a ramp's guardrails on Prometheus will read: looked at, and measured, before the ramp starts."""

import asyncio
import math
from collections.abc import Mapping, Sequence

import msgspec

from rheostat.middleware.metrics import BUCKETS
from rheostat.model.document import GuardrailDocument, RampDocument
from rheostat_server.errors import EvidenceUnavailable, Fault, Invalid
from rheostat_server.ports.evidence import Look, Scout
from rheostat_server.ramps.guardrails import DURATION
from rheostat_server.ramps.label_map import PRESETS, MetricMap
from rheostat_server.ramps.model import Family, Guardrail, Measure
from rheostat_server.ramps.phi import LEAST_BAD, LEAST_MINUTES, phi_of
from rheostat_server.ramps.plan_guardrails import PHI_WITHOUT_HISTORY, SLOW_CEILING, min_difference
from rheostat_server.ramps.queries import before_start, buckets_of, queries_of, seconds_to_unit
from rheostat_server.ramps.terms import Queries
from rheostat_server.ramps.words import count, duration

NEAR_ENOUGH = 0.25
"""A histogram's bound may differ from the one asked for by this share of it."""


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One guardrail as it will be, and what its queries return now.

    ``minutes`` of history were found, and ``bad`` bad requests in them; ``unmeasured`` says why φ is not from them.
    """

    index: int
    guardrail: Guardrail
    look: Look
    minutes: int = 0
    unmeasured: str | None = None


class Watching:
    """Turns guardrails that name queries, maps or the application's own families into what is read."""

    def __init__(self, scout: Scout | None = None, maps: Mapping[str, MetricMap] = PRESETS) -> None:
        self._scout = scout
        self._maps = maps

    async def of(self, document: RampDocument, project: str, asked_ms: int) -> tuple[Watched, ...]:
        """Return the document's guardrails that read Prometheus other than for what the server counted.

        Raises:
            Invalid: there is no Prometheus, no such map, or no such bound; all faults are listed.
            EvidenceUnavailable: Prometheus did not answer what the plan needs.
        """
        values = {"project": project, "environment": document.environment, "flag": document.flag}
        found = await asyncio.gather(
            *(
                self._watched(index, asked, values, asked_ms)
                for index, asked in enumerate(document.guardrails)
                if _is_watched(asked, looked_at=self._scout is not None)
            ),
            return_exceptions=True,
        )
        watched: list[Watched] = []
        faults: list[Fault] = []
        away: EvidenceUnavailable | None = None
        for one in found:
            if isinstance(one, Invalid):
                faults += one.faults
            elif isinstance(one, EvidenceUnavailable):
                away = one
            elif isinstance(one, BaseException):
                raise one
            else:
                watched.append(one)
        if faults:
            # They would still be there when Prometheus answers.
            raise Invalid(faults, "the ramp")
        if away is not None:
            raise away
        return tuple(watched)

    async def _watched(self, index: int, asked: GuardrailDocument, values: dict[str, str], asked_ms: int) -> Watched:
        path = f"guardrails[{index}]"
        if self._scout is None:
            where = f"{path}.source" if asked.source else path
            raise Invalid([Fault(where, "no Prometheus is configured", "set RHEOSTAT_PROMETHEUS_URL")], "the ramp")
        bound_ms: int | None = None
        le: tuple[str, ...] = ()
        if asked.metric == DURATION:
            bound_ms, le = await self._bound(self._scout, asked, values, path)
        queries = queries_of(asked, self._maps, values, path=path, duration=bound_ms is not None, le=le)
        if queries.armless and asked.kill:
            fault = Fault(
                f"{path}.kill", "the whole service is watched, and cannot tell whose fault it is", "name arms"
            )
            raise Invalid([fault], "the ramp")
        tried = before_start(queries)
        look, (minutes, problem) = await asyncio.gather(
            self._scout.look(tried), self._scout.minutes(tried.history or tried.terms, asked_ms)
        )
        phi = phi_of(minutes)
        bad = sum(y for _, y in minutes)
        unmeasured = None
        if phi is None:
            there, needed = f"{len(minutes)} min of history", f"{LEAST_MINUTES}"
            if len(minutes) >= LEAST_MINUTES:
                there, needed = f"{bad} bad requests in {there}", f"{LEAST_BAD}"
            unmeasured = problem or f"{there}, and {needed} are needed"
        guardrail = Guardrail(
            name=asked.name or _name(asked),
            family=Family.APPLICATION if asked.source == "application" else Family.QUERIES,
            grade=3,
            may_kill=not queries.armless and (asked.kill is True or (phi is not None and asked.kill is not False)),
            phi=PHI_WITHOUT_HISTORY if phi is None else phi,
            history_minutes=0 if phi is None else len(minutes),
            measure=Measure.ERRORS if bound_ms is None else Measure.LATENCY,
            bound_ms=bound_ms,
            min_difference=min_difference(asked),
            ceiling=_ceiling(asked),
            queries=_kept(asked, queries, bound_ms),
        )
        return Watched(index=index, guardrail=guardrail, look=look, minutes=len(minutes), unmeasured=unmeasured)

    async def _bound(
        self, scout: Scout, asked: GuardrailDocument, values: dict[str, str], path: str
    ) -> tuple[int, tuple[str, ...]]:
        at = f"{path}.threshold"
        wanted_ms = asked.threshold
        if wanted_ms is None:
            raise Invalid([Fault(at, "a duration has a threshold", "the longest that is good, in ms")], "the ramp")
        try:
            spelled, problem = await scout.bounds(str(buckets_of(asked, self._maps, values, path)))
        except EvidenceUnavailable as error:
            raise EvidenceUnavailable(f"{path}: {error}") from error
        if not spelled and asked.map is None:
            # Nobody has served a request of the flag yet: what the middleware will show is known.
            spelled = tuple(map(str, BUCKETS))
        if not spelled:
            hint = "start it when there are requests, or leave this guardrail out"
            raise Invalid([Fault(path, problem or "its histogram has no bounds", hint)], "the ramp")
        unit_ms = 1000 / seconds_to_unit(asked, self._maps)
        offered = sorted({bound for text in spelled if math.isfinite(bound := _number(text)) and bound > 0})
        nearest = min(offered, key=lambda bound: abs(bound * unit_ms - wanted_ms), default=None)
        if nearest is None or abs(nearest * unit_ms - wanted_ms) > NEAR_ENOUGH * wanted_ms:
            near = sorted(offered, key=lambda bound: abs(math.log(bound * unit_ms / wanted_ms)))[:2]
            shown = " or ".join(f"{bound * unit_ms:g}" for bound in sorted(near))
            raise Invalid(
                [Fault(at, f"its histogram has no bound within 25 % of {wanted_ms:g} ms", f"give {shown}")],
                "the ramp",
            )
        # Clients spell a bound differently, and Prometheus 3 anew: 1 and 1.0 are the same.
        same = {text for text in spelled if _number(text) == nearest} | {f"{nearest:g}", str(float(nearest))}
        return round(nearest * unit_ms), tuple(sorted(same))


def faults_of(watched: Sequence[Watched]) -> list[Fault]:
    """Return what is wrong with the queries, by what they return now. That nothing is there yet is no fault."""
    return [
        Fault(f"guardrails[{one.index}]", one.look.problem, "; ".join(one.look.hints) or None)
        for one in watched
        if one.look.problem is not None and one.look.series
    ]


def now_lines(one: Watched) -> tuple[str, ...]:
    """Return what the guardrail's queries return now, in lines for people."""
    name, look = one.guardrail.name, one.look
    if look.problem is not None and not look.series:
        return (f"{name}: {look.problem}",)
    lines = []
    if look.arms:
        for arm, seen in sorted(look.arms.items(), reverse=True):
            who = "the whole service" if one.guardrail.queries and one.guardrail.queries.armless else arm
            rate = f", {100 * seen.bad / seen.requests:.2f} %" if seen.requests else ""
            shown = f"{count(seen.requests)} requests in {duration(look.seconds)}, {count(seen.bad)} bad{rate}"
            lines.append(f"{name}: {who} has {count(seen.series)} series: {shown}")
    else:
        lines.append(f"{name}: there are no series yet; while there are none, the ramp is blind and stays")
    lines += [f"{name}: {selector} selects nothing now" for selector in look.absent if look.arms]
    lines += [f"{name}: {hint}" for hint in look.hints]
    return tuple(lines)


def _is_watched(asked: GuardrailDocument, *, looked_at: bool) -> bool:
    # The application's errors need no look to be known: without one the plan has its own word on them.
    own = asked.source == "application" and (looked_at or asked.metric == DURATION)
    return asked.bad is not None or asked.map is not None or own


def _kept(asked: GuardrailDocument, queries: Queries, bound_ms: int | None) -> Queries | None:
    if asked.source == "application" and bound_ms is None:
        return None  # its family says it all
    return msgspec.structs.replace(queries, history=())


def _name(asked: GuardrailDocument) -> str:
    whose = asked.map or "application"
    return f"{whose}-duration" if asked.metric == DURATION else f"{whose}-errors"


def _ceiling(asked: GuardrailDocument) -> float | None:
    if asked.metric == DURATION:
        return SLOW_CEILING
    if asked.threshold is None:
        return None
    return asked.threshold / 100 if asked.bad is not None else round(1 - asked.threshold / 100, 12)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
