"""HTTP for the audit log."""

from typing import Annotated, Any

from litestar import Router, get
from litestar.params import FromQuery, QueryParameter

from rheostat_server.access.guard import Caller
from rheostat_server.audit.service import AuditService
from rheostat_server.audit.wire import AuditPage, ChangeList


def audit_routes(service: AuditService) -> Router:
    """Return the routes of the audit log."""

    @get("/audit")
    async def read_audit(
        principal: Caller,
        *,
        project: FromQuery[str | None] = None,
        environment: FromQuery[str | None] = None,
        subject: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
        before: Annotated[int | None, QueryParameter(ge=1, le=2**53)] = None,
    ) -> AuditPage:
        """Read who did what, the newest first."""
        return await service.page(
            principal, project=project, environment=environment, subject=subject, limit=limit, before=before
        )

    @get("/changes")
    async def read_changes(
        principal: Caller,
        *,
        since: FromQuery[str] = "30m",
        project: FromQuery[str | None] = None,
        environment: FromQuery[str | None] = None,
    ) -> ChangeList:
        """Read what changed since then (``30m`` ago, or an RFC 3339 time)."""
        return await service.changes(principal, since=since, project=project, environment=environment)

    handlers: list[Any] = [read_audit, read_changes]
    return Router("/", route_handlers=handlers, tags=["audit"])
