"""HTTP for kills as they stand, and for their read-back."""

from typing import Annotated

from litestar import Router, get
from litestar.params import FromPath, FromQuery, QueryParameter

from rheostat_server.ramps.kill_service import MOST_KILLS, KillService
from rheostat_server.ramps.kill_wire import KillList, ReadbackView

_KILLS = "/projects/{project:str}/environments/{environment:str}/kills"


def kill_routes(service: KillService) -> Router:
    """Return the routes that read kills; they are made where the flag is."""

    @get(_KILLS)
    async def list_kills(
        project: FromPath[str],
        environment: FromPath[str],
        flag: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_KILLS)] = 100,
    ) -> KillList:
        """List kills, newest first; those that were revived too."""
        return await service.all(project, environment, flag=flag, limit=limit)

    @get(_KILLS + "/{kill_id:str}/readback")
    async def read_back_kill(
        project: FromPath[str], environment: FromPath[str], kill_id: FromPath[str]
    ) -> ReadbackView:
        """Say which instances have applied a kill, how long it took, and who has not."""
        return await service.readback(project, environment, kill_id)

    return Router("/", route_handlers=[list_kills, read_back_kill], tags=["ramps"])
