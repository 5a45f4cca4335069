"""HTTP for adopting what ramps made of a flag."""

from litestar import Response, Router, post
from litestar.params import FromPath, RawBody

from rheostat_server.access.guard import Caller
from rheostat_server.flags.adopting import AdoptService
from rheostat_server.flags.wire import AdoptBody, FlagView
from rheostat_server.web.decoding import decode
from rheostat_server.web.openapi import takes


def adopt_routes(service: AdoptService) -> Router:
    """Return the route."""

    @post(
        "/projects/{project:str}/environments/{environment:str}/flags/{key:str}/adopt",
        operation_class=takes(AdoptBody),
        status_code=200,
    )
    async def adopt_flag(
        project: FromPath[str], environment: FromPath[str], key: FromPath[str], body: RawBody, principal: Caller
    ) -> Response[FlagView]:
        """Write into a flag's document what promoted ramps have in force over it. Nobody moves."""
        asked = decode(body, AdoptBody)
        view = await service.adopt(project, environment, key, principal, rollout=asked.rollout)
        return Response(view, headers={"ETag": f'"{view.version}"'})

    return Router("/", route_handlers=[adopt_flag], tags=["flags"])
