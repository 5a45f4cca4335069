"""HTTP for projects and environments."""

from typing import Any

from litestar import Router, delete, get, patch, post
from litestar.params import FromPath, FromQuery, RawBody

from rheostat_server.access.guard import Caller
from rheostat_server.access.model import Scope
from rheostat_server.projects.environments import EnvironmentService
from rheostat_server.projects.service import ProjectService
from rheostat_server.projects.wire import (
    EnvironmentBody,
    EnvironmentChange,
    EnvironmentList,
    EnvironmentView,
    ProjectBody,
    ProjectChange,
    ProjectList,
    ProjectView,
    environment_view,
    project_view,
)
from rheostat_server.web.decoding import decode
from rheostat_server.web.openapi import takes

_PROJECT = "/projects/{project:str}"
_ENVIRONMENTS = _PROJECT + "/environments"


def project_routes(projects: ProjectService, environments: EnvironmentService) -> Router:
    """Return the routes of projects and environments."""

    @get("/projects")
    async def list_projects(principal: Caller) -> ProjectList:
        """List projects with their environments."""
        return ProjectList([project_view(*found) for found in await projects.all(principal)])

    @post("/projects", operation_class=takes(ProjectBody), scope=Scope.ADMIN)
    async def make_project(body: RawBody, principal: Caller) -> ProjectView:
        """Make a project."""
        asked = decode(body, ProjectBody)
        return project_view(*await projects.create(principal, asked.key, asked.name or asked.key))

    @get(_PROJECT)
    async def get_project(project: FromPath[str]) -> ProjectView:
        """Get a project."""
        return project_view(*await projects.get(project))

    @patch(_PROJECT, operation_class=takes(ProjectChange), scope=Scope.ADMIN)
    async def change_project(project: FromPath[str], body: RawBody, principal: Caller) -> ProjectView:
        """Rename a project."""
        return project_view(*await projects.rename(principal, project, decode(body, ProjectChange).name))

    @delete(_PROJECT, scope=Scope.ADMIN)
    async def delete_project(project: FromPath[str], principal: Caller, confirm: FromQuery[str | None] = None) -> None:
        """Delete a project with all that is in it; ``confirm`` repeats its key."""
        await projects.delete(principal, project, confirm)

    @get(_ENVIRONMENTS)
    async def list_environments(project: FromPath[str]) -> EnvironmentList:
        """List a project's environments."""
        return EnvironmentList([environment_view(row) for row in await environments.all(project)])

    @post(_ENVIRONMENTS, operation_class=takes(EnvironmentBody), scope=Scope.ADMIN)
    async def make_environment(project: FromPath[str], body: RawBody, principal: Caller) -> EnvironmentView:
        """Make an environment, as a copy of another perhaps."""
        asked = decode(body, EnvironmentBody)
        row = await environments.create(
            principal, project, asked.key, name=asked.name or asked.key, copy_from=asked.copy_from
        )
        return environment_view(row)

    @get(_ENVIRONMENTS + "/{environment:str}")
    async def get_environment(project: FromPath[str], environment: FromPath[str]) -> EnvironmentView:
        """Get an environment."""
        return environment_view(await environments.get(project, environment))

    @patch(_ENVIRONMENTS + "/{environment:str}", operation_class=takes(EnvironmentChange), scope=Scope.ADMIN)
    async def change_environment(
        project: FromPath[str], environment: FromPath[str], body: RawBody, principal: Caller
    ) -> EnvironmentView:
        """Rename an environment, or say which template its ramps take by default."""
        return environment_view(
            await environments.change(principal, project, environment, decode(body, EnvironmentChange))
        )

    @delete(_ENVIRONMENTS + "/{environment:str}", scope=Scope.ADMIN)
    async def delete_environment(
        project: FromPath[str], environment: FromPath[str], principal: Caller, confirm: FromQuery[str | None] = None
    ) -> None:
        """Delete an environment with its keys, ramps and counts; ``confirm`` repeats its key."""
        await environments.delete(principal, project, environment, confirm)

    handlers: list[Any] = [
        list_projects, make_project, get_project, change_project, delete_project,
        list_environments, make_environment, get_environment, change_environment, delete_environment,
    ]  # fmt: skip
    return Router("/", route_handlers=handlers, tags=["projects"])
