"""When flags were last evaluated, and which of them can go."""

from collections.abc import Mapping

import msgspec

from rheostat.clock import Clock
from rheostat.engine.evaluate import Ruleset
from rheostat.model.document import FlagDocument
from rheostat.model.layer import Layer
from rheostat.model.serving import serve
from rheostat_server.flags.catalogue import read_document
from rheostat_server.flags.moved import Sides
from rheostat_server.flags.sides import read_sides
from rheostat_server.flags.staleness import SETTLED_MS, given, is_settled, settled_since, stale_reasons
from rheostat_server.ports.flags import FlagRow
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.shared.state import read_served_layers
from rheostat_server.web.times import rfc3339_or_none


class StaleReasonView(msgspec.Struct, frozen=True, kw_only=True):
    """Why a flag is stale: ``settled`` or ``unseen``, since when, and in words."""

    kind: str
    since: str | None
    text: str


class StaleFlag(msgspec.Struct, frozen=True, kw_only=True):
    """A flag that has done its work."""

    key: str
    owner: str | None
    version: int
    last_evaluated: str | None
    reasons: list[StaleReasonView]


class StaleFlags(msgspec.Struct, frozen=True):
    """The stale flags, in byte order of their keys."""

    flags: list[StaleFlag]


class VariantUsage(msgspec.Struct, frozen=True, kw_only=True):
    """How often an environment gave a variant in the last 90 days, and when last. No variant: the caller's default."""

    environment: str
    variant: str | None
    evaluations: int
    last_evaluated: str | None


class FlagUsage(msgspec.Struct, frozen=True):
    """The use of each variant in each environment, those never used too."""

    variants: list[VariantUsage]


class UsageService:
    """Tells what is known of the use of flags."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    async def usage(self, project: str, key: str) -> FlagUsage:
        """Return when each variant of a flag was last evaluated, by environment.

        Raises:
            NotFound: there is no such project or flag.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            document = read_document(await tx.flags.get(home.id, key))
            environments = [environment.key for environment in await tx.environments.of_project(project)]
            uses = {(use.environment, use.variant): use for use in await tx.usage.of_flag(home.id, key)}
        places = [(environment, variant) for environment in environments for variant in document.variants]
        places += [place for place in uses if place not in places]
        return FlagUsage(
            [
                VariantUsage(
                    environment=environment,
                    variant=variant or None,
                    evaluations=0 if use is None else use.count,
                    last_evaluated=rfc3339_or_none(None if use is None else use.last_at_ms),
                )
                for environment, variant in places
                for use in [uses.get((environment, variant))]
            ]
        )

    async def stale(self, project: str) -> StaleFlags:
        """Return the temporary flags that have done their work, each with the reasons.

        Raises:
            NotFound: there is no such project.
        """
        now_ms = self._clock.wall_ms()
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            rows = [row for row in await tx.flags.of_project(home.id) if row.archived_at_ms is None]
            documents = {row.key: document for row in rows if (document := read_document(row)).temporary}
            seen, ramped = await tx.usage.seen(home.id), await tx.usage.ramped(home.id)
            sides = await read_sides(tx, await tx.environments.of_project(project), list(documents), whole=False)
            layers = await read_served_layers(tx, home.id)
            found: list[StaleFlag] = []
            for row in rows:
                if row.key not in documents:
                    continue
                since_ms = await _settled_since(tx, row, sides, layers, now_ms)
                reasons = stale_reasons(
                    now_ms=now_ms,
                    created_at_ms=row.created_at_ms,
                    settled_since_ms=None if since_ms is None else max(since_ms, ramped.get(row.key, 0)),
                    seen_at_ms=seen.get(row.key),
                )
                if reasons:
                    views = [
                        StaleReasonView(kind=one.kind, since=rfc3339_or_none(one.since_ms), text=one.text)
                        for one in reasons
                    ]
                    last = rfc3339_or_none(seen.get(row.key))
                    owner = documents[row.key].owner
                    found.append(
                        StaleFlag(key=row.key, owner=owner, version=row.version, last_evaluated=last, reasons=views)
                    )
        return StaleFlags(found)


async def _settled_since(
    tx: Transaction, row: FlagRow, sides: Sides, layers: Mapping[str, Layer], now_ms: int
) -> int | None:
    """Return since when the document gives what it gives now (ms), ``None`` where it is young or not settled."""
    now = [given(side, row.key) for side in sides.values()]
    if not is_settled(now) or row.created_at_ms > now_ms - SETTLED_MS:
        return None
    if row.updated_at_ms <= now_ms - SETTLED_MS:
        return row.updated_at_ms
    versions: list[tuple[int, list[frozenset[str | None]]]] = []
    for version in await tx.flags.versions(row.id):
        document = msgspec.json.decode(version.document, type=FlagDocument)
        try:
            then = [given(_with(side, document, layers), row.key) for side in sides.values()]
        except KeyError:
            break  # it names a layer that is gone
        versions.append((version.at_ms, then))
        if version.action == "unarchive":
            break
    return settled_since(now, versions)


def _with(side: Ruleset, document: FlagDocument, layers: Mapping[str, Layer]) -> Ruleset:
    """Return what the environment would serve of an earlier document, under what stands over it now."""
    flag = serve(document, side.snapshot.environment, 0, layers)
    return Ruleset.of(msgspec.structs.replace(side.snapshot, flags=(flag,)))
