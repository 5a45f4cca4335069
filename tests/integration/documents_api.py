"""The admin API of a world of ramps, with all that writes documents; and who gets what from it."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx

from rheostat.engine.evaluate import Ruleset
from rheostat.model.context import Context
from rheostat.model.snapshot import Identity
from rheostat_server.access.keyring import KeyRing
from rheostat_server.access.model import Scope, TokenKind
from rheostat_server.access.secret import hash_secret
from rheostat_server.audit.routes import audit_routes
from rheostat_server.audit.service import AuditService
from rheostat_server.flags.adopting import AdoptService
from rheostat_server.flags.adopting_routes import adopt_routes
from rheostat_server.flags.applied_ramps import AppliedRamps
from rheostat_server.flags.apply import ApplyService
from rheostat_server.flags.routes import flag_routes
from rheostat_server.ports.access import TokenRow
from rheostat_server.projects.environments import EnvironmentService
from rheostat_server.projects.routes import project_routes
from rheostat_server.projects.service import ProjectService
from rheostat_server.ramps.overlay_rules import OverlayRules
from rheostat_server.ramps.routes import ramp_routes
from rheostat_server.shared.routes import shared_routes
from rheostat_server.shared.service import SharedService
from rheostat_server.streaming.decoding import snapshot_of
from rheostat_server.web.app import create_app
from tests.integration.ramp_world import ENVIRONMENT, FLAG, PROJECT, Application, RampWorld

HOME = f"/api/v1/projects/{PROJECT}"
HERE = f"{HOME}/environments/{ENVIRONMENT}"
RAMPS = f"{HERE}/ramps"
TEMPLATES = f"{HOME}/ramp-templates"
ADMIN_TOKEN = "rht_administers-in-a-test"


class Api:
    """The admin API, as its administrator."""

    def __init__(self, client: httpx.AsyncClient, world: RampWorld) -> None:
        self._client = client
        self.world = world

    async def ask(self, method: str, path: str, body: Any = None, *, status: int | None = 200, **params: Any) -> Any:
        """Send a request, which must be answered with this status (``None``: any good one); return the JSON."""
        answer = await self._client.request(method, path, json=body, params=params)
        fits = answer.is_success if status is None else answer.status_code == status
        assert fits, f"{answer.status_code}: {answer.text}"
        return answer.json() if answer.content else None

    async def apply(self, *documents: Any, status: int = 200, **how: Any) -> Any:
        """Apply documents."""
        return await self.ask("POST", f"{HOME}/apply", {"documents": list(documents), **how}, status=status)

    async def answers(self, users: int = 3_000) -> list[str | None]:
        """Return the variant that each of so many users gets now, by the engine, from what is served."""
        async with self.world.storage.transaction() as tx:
            rows = await tx.served.since(self.world.environment.id, 0)
        ruleset = Ruleset.of(snapshot_of(rows, Identity(), PROJECT, ENVIRONMENT))
        return [ruleset.evaluate(FLAG, Context(f"user-{number}")).variant for number in range(users)]

    async def promoted(self, ramp: str) -> None:
        """Take a ramp to its end by hand, and through its soak."""
        while (view := await self.world.view(ramp)).status != "soaking":
            assert view.status in {"arming", "running"}, view.status
            await self.ask("POST", f"{RAMPS}/{ramp}/advance", {"reason": "in a test"})
        application = Application(self.world) if view.guarded else None
        await self.world.ride(ramp, application, until=["promoted"], seconds=60)


@asynccontextmanager
async def documents_api(world: RampWorld) -> AsyncIterator[Api]:
    """Give the API over this world."""
    storage, clock, watcher, announce = world.storage, world.clock, OverlayRules(), world.announced.extend
    async with storage.transaction() as tx:
        await tx.tokens.add(
            TokenRow(
                id=str(uuid.uuid4()),
                kind=TokenKind.API,
                scope=Scope.ADMIN,
                hash=hash_secret(ADMIN_TOKEN),
                hint=ADMIN_TOKEN[:8],
                label="ana",
                project=None,
                environment_id=None,
                environment=None,
                created_at_ms=0,
            )
        )
        await tx.tokens.raise_access_revision()
    keyring = KeyRing(storage, clock, poll_seconds=1)
    await keyring.start()
    applying = ApplyService(storage, clock, watcher, announce, ramps=AppliedRamps(world.ramps.starter))
    admin = [
        project_routes(
            ProjectService(storage, keyring, clock, announce), EnvironmentService(storage, keyring, clock, announce)
        ),
        flag_routes(world.flags, applying),
        adopt_routes(AdoptService(storage, clock, watcher, announce)),
        shared_routes(SharedService("template", storage, clock, watcher, announce)),
        ramp_routes(world.ramps),
        audit_routes(AuditService(storage, clock)),
    ]
    app = create_app(admin=admin, others=[], keyring=keyring, version="test")
    transport = httpx.ASGITransport(app=cast(Any, app), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://node", headers=headers) as client:
            yield Api(client, world)
    finally:
        await keyring.stop()
