"""The making and deleting of projects."""

from rheostat.clock import Clock
from rheostat_server.access.keyring import KeyRing
from rheostat_server.access.model import Principal
from rheostat_server.errors import Forbidden, Refused
from rheostat_server.flags.announcing import Announce
from rheostat_server.ports.projects import ProjectRow
from rheostat_server.ports.storage import AuditEntry, EnvironmentRow, Storage, Transaction
from rheostat_server.projects.removal import refuse_live_ramps

Project = tuple[ProjectRow, list[EnvironmentRow]]


class ProjectService:
    """Projects."""

    def __init__(self, storage: Storage, keyring: KeyRing, clock: Clock, announce: Announce) -> None:
        self._storage = storage
        self._keyring = keyring
        self._clock = clock
        self._announce = announce

    async def all(self, principal: Principal) -> list[Project]:
        """Return the projects that this principal may see, by key."""
        async with self._storage.transaction(snapshot=True) as tx:
            environments = await tx.environments.all()
            return [
                (row, [environment for environment in environments if environment.project_id == row.id])
                for row in await tx.projects.all()
                if principal.project in (None, row.key)
            ]

    async def get(self, key: str) -> Project:
        """Return a project.

        Raises:
            NotFound: there is none with this key.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            return await tx.projects.get(key), await tx.environments.of_project(key)

    async def create(self, principal: Principal, key: str, name: str) -> Project:
        """Make a project without environments.

        Raises:
            Conflict: there is one with this key.
            Forbidden: the token is bound to a project.
        """
        if principal.project is not None:
            raise Forbidden(f"the token {principal.label!r} is bound to the project {principal.project!r}")

        async def work(tx: Transaction) -> Project:
            row = await tx.projects.add(key, name, self._clock.wall_ms())
            await tx.audit.add(self._entry(principal, "project.create", key, f"made the project {key}"))
            return row, []

        return await self._storage.run(work)

    async def rename(self, principal: Principal, key: str, name: str) -> Project:
        """Give a project another name.

        Raises:
            NotFound: there is none with this key.
        """

        async def work(tx: Transaction) -> Project:
            row = await tx.projects.lock(key)
            await tx.projects.rename(row.id, name)
            await tx.audit.add(self._entry(principal, "project.change", key, f"renamed the project {key} to {name!r}"))
            return await tx.projects.get(key), await tx.environments.of_project(key)

        return await self._storage.run(work)

    async def delete(self, principal: Principal, key: str, confirm: str | None) -> None:
        """Delete a project with all that is in it; its keys and tokens open nothing from now on.

        Raises:
            Refused: ``confirm`` does not repeat the key, or a ramp is live in it.
            NotFound: there is none with this key.
        """

        async def work(tx: Transaction) -> list[int]:
            row = await tx.projects.lock(key, to_delete=True)
            confirm_by(key, confirm)
            # A ramp or a kill begins by holding its flag.
            await tx.flags.lock(row.id, [flag.key for flag in await tx.flags.of_project(row.id)])
            environments = await tx.environments.of_project(key)
            await refuse_live_ramps(tx, environments)
            await tx.environments.lock_to_delete([environment.id for environment in environments])
            await tx.environments.bump([environment.id for environment in environments])
            await tx.tokens.raise_access_revision()
            await tx.projects.delete(row.id)
            await tx.audit.add(self._entry(principal, "project.delete", key, f"deleted the project {key}"))
            changed = [environment.id for environment in environments]
            await tx.notify(changed)
            await tx.notify([])
            return changed

        self._announce(await self._storage.run(work))
        await self._keyring.refresh_soon()

    def _entry(self, principal: Principal, action: str, project: str, summary: str) -> AuditEntry:
        return AuditEntry(
            at_ms=self._clock.wall_ms(),
            actor=principal.actor,
            action=action,
            project=project,
            subject=project,
            summary=summary,
        )


def confirm_by(key: str, confirm: str | None) -> None:
    """Let a deletion pass that repeats the key of what it deletes.

    Raises:
        Refused: it does not.
    """
    if confirm != key:
        raise Refused(f"this cannot be undone: repeat the key to confirm it, ?confirm={key}")
