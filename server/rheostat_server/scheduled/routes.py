"""HTTP for scheduled changes."""

from typing import Annotated, Any, Literal

from litestar import Router, get, post
from litestar.params import FromPath, FromQuery, QueryParameter, RawBody

from rheostat_server.access.guard import Caller
from rheostat_server.ports.scheduled import ScheduledStatus
from rheostat_server.scheduled.service import ScheduleService
from rheostat_server.scheduled.wire import CancelBody, ScheduleBody, ScheduledPage, ScheduledView
from rheostat_server.web.decoding import decode, decode_plain
from rheostat_server.web.openapi import takes

_OF_PROJECT = "/projects/{project:str}/scheduled-changes"
_ONE = _OF_PROJECT + "/{scheduled_id:int}"
_NEWEST = 2**53


def scheduled_routes(service: ScheduleService) -> Router:
    """Return the routes of scheduled changes."""

    @post("/projects/{project:str}/flags/{key:str}/scheduled-changes", operation_class=takes(ScheduleBody))
    async def schedule_change(
        project: FromPath[str], key: FromPath[str], body: RawBody, principal: Caller
    ) -> ScheduledView:
        """Schedule a change of a flag; the answer says who would move if it were written now."""
        return await service.schedule(project, key, decode_plain(body), principal)

    @get(_OF_PROJECT)
    async def list_scheduled(
        project: FromPath[str],
        *,
        flag: FromQuery[str | None] = None,
        environment: FromQuery[str | None] = None,
        status: FromQuery[Literal["pending", "done", "failed", "cancelled", "all"]] = "pending",
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
        after: Annotated[int | None, QueryParameter(ge=1, le=_NEWEST)] = None,
    ) -> ScheduledPage:
        """List scheduled changes by time: pending ones the soonest first, others the latest first."""
        statuses = tuple(ScheduledStatus) if status == "all" else (ScheduledStatus(status),)
        return await service.page(
            project, statuses=statuses, flag=flag, environment=environment, limit=limit, after=after
        )

    @get(_ONE)
    async def get_scheduled(project: FromPath[str], scheduled_id: FromPath[int]) -> ScheduledView:
        """Get a scheduled change, and what became of it."""
        return await service.get(project, scheduled_id)

    @post(_ONE + "/cancel", operation_class=takes(CancelBody), status_code=200)
    async def cancel_scheduled(
        project: FromPath[str], scheduled_id: FromPath[int], body: RawBody, principal: Caller
    ) -> ScheduledView:
        """Cancel a pending change."""
        asked = decode(body, CancelBody)
        return await service.cancel(project, scheduled_id, asked.reason, principal)

    handlers: list[Any] = [schedule_change, list_scheduled, get_scheduled, cancel_scheduled]
    return Router("/", route_handlers=handlers, tags=["flags"])
