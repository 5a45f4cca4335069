"""The making, copying, changing and deleting of environments."""

import msgspec
from msgspec import UNSET

from rheostat.clock import Clock
from rheostat.model.serving import serve
from rheostat_server.access.keyring import KeyRing
from rheostat_server.access.model import Principal
from rheostat_server.errors import Fault, Invalid
from rheostat_server.flags.announcing import Announce, Arrive, at_once
from rheostat_server.flags.catalogue import read_document
from rheostat_server.flags.change import with_environment, without_environments
from rheostat_server.ports.storage import AuditEntry, EnvironmentRow, Storage, Transaction
from rheostat_server.projects.removal import refuse_live_ramps
from rheostat_server.projects.service import confirm_by
from rheostat_server.projects.wire import EnvironmentChange
from rheostat_server.ramps.template import unknown_template
from rheostat_server.scheduled.ending import cancel_pending
from rheostat_server.shared.documents import read_shared, served_form
from rheostat_server.shared.state import read_served_layers


class EnvironmentService:
    """Environments of projects."""

    def __init__(
        self, storage: Storage, keyring: KeyRing, clock: Clock, announce: Announce, *, arrive: Arrive = at_once
    ) -> None:
        self._storage = storage
        self._keyring = keyring
        self._clock = clock
        self._announce = announce
        self._arrive = arrive

    async def all(self, project: str) -> list[EnvironmentRow]:
        """Return a project's environments, the oldest first.

        Raises:
            NotFound: there is no such project.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            await tx.projects.get(project)
            return await tx.environments.of_project(project)

    async def get(self, project: str, key: str) -> EnvironmentRow:
        """Return one.

        Raises:
            NotFound: there is no such project or environment.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            return await tx.environments.get(project, key)

    async def create(
        self, principal: Principal, project: str, key: str, *, name: str, copy_from: str | None
    ) -> EnvironmentRow:
        """Make an environment. It serves every segment and flag at once: as ``copy_from`` declares it, or disabled.

        Neither keys nor ramps nor kills are copied.

        Raises:
            Conflict: there is one with this key.
            NotFound: there is no such project, or no environment to copy.
        """

        async def work(tx: Transaction) -> EnvironmentRow:
            home = await tx.projects.lock(project)
            source = None if copy_from is None else await tx.environments.get(project, copy_from)
            rows = await tx.flags.of_project(home.id)
            if source is not None:
                await tx.flags.lock(home.id, [row.key for row in rows])
            now_ms = self._clock.wall_ms()
            environment_id = await tx.projects.add_environment(home.id, key, name, now_ms)
            layers = await read_served_layers(tx, home.id)
            bodies: dict[str, bytes] = {}
            for row in rows:
                document, version = read_document(row), row.version
                if source is not None and source.key in document.environments:
                    document = with_environment(document, key, document.environments[source.key])
                    written = await tx.flags.write(
                        row.id,
                        msgspec.json.encode(document),
                        archived_at_ms=row.archived_at_ms,
                        action="copy-environment",
                        actor=principal.actor,
                        at_ms=now_ms,
                        note=f"{key} copied from {source.key}",
                    )
                    version = written.version
                if row.archived_at_ms is None:
                    bodies[row.key] = msgspec.json.encode(serve(document, key, version, layers))
            revision = (await tx.environments.bump([environment_id]))[environment_id]
            for flag, body in bodies.items():
                await tx.served.put(environment_id, revision, "flag", flag, body)
            for segment in await tx.shared.of_project(home.id, "segment"):
                body = msgspec.json.encode(served_form(read_shared(segment)))
                await tx.served.put(environment_id, revision, "segment", segment.key, body)
            copied = "" if source is None else f", copied from {source.key}"
            await self._record(
                tx, principal, project, key, verb="create", summary=f"made the environment {key}{copied}"
            )
            await tx.notify([environment_id])
            return await tx.environments.get(project, key)

        made = await self._storage.run(work)
        self._announce([made.id])
        await self._arrive({made.id: made.revision})
        return made

    async def change(self, principal: Principal, project: str, key: str, wanted: EnvironmentChange) -> EnvironmentRow:
        """Give an environment another name, or the template that its ramps take by default; return it.

        Raises:
            Invalid: there is no such template.
            NotFound: there is no such project or environment.
        """

        async def work(tx: Transaction) -> EnvironmentRow:
            # Held, so that no template is deleted meanwhile.
            home = await tx.projects.lock(project)
            row = await tx.environments.get(project, key)
            name = row.name if wanted.name is UNSET else wanted.name
            template = row.default_template if wanted.default_template is UNSET else wanted.default_template
            if (name, template) == (row.name, row.default_template):
                return row
            if template is not None and template != row.default_template:
                known = await tx.shared.keys(home.id, "template")
                if template not in known:
                    fault = unknown_template(template, known)
                    raise Invalid([Fault("default_template", fault.message, fault.hint)], "the request")
            await tx.projects.change_environment(row.id, name=name, default_template=template)
            said = [] if name == row.name else [f"its name is {name!r}"]
            if template != row.default_template:
                said.append(
                    "its ramps take no template by default" if template is None else f"its ramps take {template}"
                )
            summary = f"changed the environment {key}: {', '.join(said)}"
            await self._record(tx, principal, project, key, verb="change", summary=summary)
            return await tx.environments.get(project, key)

        return await self._storage.run(work)

    async def delete(self, principal: Principal, project: str, key: str, confirm: str | None) -> None:
        """Delete an environment with its keys, and take it out of every flag.

        Raises:
            Refused: ``confirm`` does not repeat the key.
            Conflict: a ramp is live in it.
            NotFound: there is no such project or environment.
        """

        async def work(tx: Transaction) -> int:
            home = await tx.projects.lock(project)
            here = await tx.environments.get(project, key)
            confirm_by(key, confirm)
            rows = await tx.flags.of_project(home.id)
            await tx.flags.lock(home.id, [row.key for row in rows])
            await refuse_live_ramps(tx, [here])
            await tx.environments.lock_to_delete([here.id])
            now_ms = self._clock.wall_ms()
            for row in rows:
                document = read_document(row)
                if key not in document.environments:
                    continue
                await tx.flags.write(
                    row.id,
                    msgspec.json.encode(without_environments(document, {key})),
                    archived_at_ms=row.archived_at_ms,
                    action="delete-environment",
                    actor=principal.actor,
                    at_ms=now_ms,
                    note=f"{key} was deleted",
                )
            why = f"the environment {key} was deleted"
            await cancel_pending(tx, home.id, environment=key, why=why, actor=principal.actor, at_ms=now_ms)
            await tx.environments.bump([here.id])
            await tx.tokens.raise_access_revision()
            await tx.projects.delete_environment(here.id)
            await self._record(tx, principal, project, key, verb="delete", summary=f"deleted the environment {key}")
            await tx.notify([here.id])
            await tx.notify([])
            return here.id

        self._announce([await self._storage.run(work)])
        await self._keyring.refresh_soon()

    async def _record(
        self, tx: Transaction, principal: Principal, project: str, key: str, *, verb: str, summary: str
    ) -> None:
        await tx.audit.add(
            AuditEntry(
                at_ms=self._clock.wall_ms(),
                actor=principal.actor,
                action=f"environment.{verb}",
                project=project,
                environment=key,
                subject=key,
                summary=summary,
            )
        )
