"""HTTP for the use of flags."""

from litestar import Router, get
from litestar.params import FromPath

from rheostat_server.flags.usage import FlagUsage, StaleFlags, UsageService


def usage_routes(service: UsageService) -> Router:
    """Return the routes of usage and stale flags."""

    # Not below the flags: one of them may have the key `stale`.
    @get("/projects/{project:str}/stale-flags")
    async def stale_flags(project: FromPath[str]) -> StaleFlags:
        """List the temporary flags that have done their work, with the reasons."""
        return await service.stale(project)

    @get("/projects/{project:str}/flags/{key:str}/usage")
    async def flag_usage(project: FromPath[str], key: FromPath[str]) -> FlagUsage:
        """Say when each variant of a flag was last evaluated, by environment."""
        return await service.usage(project, key)

    return Router("/", route_handlers=[stale_flags, flag_usage], tags=["flags"])
