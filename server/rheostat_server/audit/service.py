"""The reading of the audit log."""

from rheostat.clock import Clock
from rheostat_server.access.model import Principal
from rheostat_server.audit.wire import AuditPage, ChangeList, entry_view
from rheostat_server.ports.storage import Storage
from rheostat_server.web.times import read_since, rfc3339

_MOST_CHANGES = 1000
_NOT_CHANGES = ("key.", "token.")


class AuditService:
    """Who did what."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    async def page(
        self,
        principal: Principal,
        *,
        project: str | None,
        environment: str | None,
        subject: str | None,
        before: int | None,
        limit: int,
    ) -> AuditPage:
        """Return entries, the newest first, below the id ``before``.

        Raises:
            Forbidden: the token is bound to another project.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            found = await tx.audit.read(
                project=_seen(principal, project),
                environment=environment,
                subject=subject,
                before_id=before,
                limit=limit + 1,
            )
        following = found[limit - 1].id if len(found) > limit else None
        return AuditPage([entry_view(entry) for entry in found[:limit]], following)

    async def changes(
        self, principal: Principal, *, since: str, project: str | None, environment: str | None
    ) -> ChangeList:
        """Return what was done since then that can change an answer: flags, ramps, kills, environments, projects.

        Entries of a whole project are there too when an environment is given.

        Raises:
            Invalid: ``since`` is neither a length of time nor an RFC 3339 time.
            Forbidden: the token is bound to another project.
        """
        since_ms = read_since(since, self._clock.wall_ms(), "since")
        async with self._storage.transaction(snapshot=True) as tx:
            found = await tx.audit.read(
                project=_seen(principal, project), environment=environment, since_ms=since_ms, limit=_MOST_CHANGES + 1
            )
        told = [entry_view(entry) for entry in found[:_MOST_CHANGES] if not entry.action.startswith(_NOT_CHANGES)]
        return ChangeList(rfc3339(since_ms), told, len(found) > _MOST_CHANGES)


def _seen(principal: Principal, project: str | None) -> str | None:
    if project is not None:
        principal.require_project(project)
    return project or principal.project
