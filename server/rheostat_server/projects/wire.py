"""Projects and environments on the wire."""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from rheostat_server.ports.projects import ProjectRow
from rheostat_server.ports.storage import EnvironmentRow
from rheostat_server.web.decoding import Body, Key, Line
from rheostat_server.web.times import rfc3339


class ProjectBody(Body, frozen=True):
    """A project to make; its environments are made one by one."""

    key: Key
    name: Line | None = None


class ProjectChange(Body, frozen=True):
    """What to change of a project."""

    name: Line


class EnvironmentBody(Body, frozen=True):
    """An environment to make. ``copy_from`` names one whose settings of every flag it starts with."""

    key: Key
    name: Line | None = None
    copy_from: Key | None = None


class EnvironmentChange(Body, frozen=True):
    """What to change of an environment. ``default_template`` is what ramps take that name none; ``null``: nothing."""

    name: Line | UnsetType = UNSET
    default_template: Key | UnsetType | None = UNSET


class EnvironmentView(msgspec.Struct, frozen=True, kw_only=True):
    """An environment, and the revision that it serves."""

    key: str
    name: str
    revision: int
    created_at: str
    default_template: str | None = None


class ProjectView(msgspec.Struct, frozen=True, kw_only=True):
    """A project and its environments."""

    key: str
    name: str
    created_at: str
    environments: list[EnvironmentView]


class ProjectList(msgspec.Struct, frozen=True):
    """Projects, by key."""

    projects: list[ProjectView]


class EnvironmentList(msgspec.Struct, frozen=True):
    """Environments, the oldest first."""

    environments: list[EnvironmentView]


def environment_view(row: EnvironmentRow) -> EnvironmentView:
    """Return what is shown of an environment."""
    return EnvironmentView(
        key=row.key,
        name=row.name,
        revision=row.revision,
        created_at=rfc3339(row.created_at_ms),
        default_template=row.default_template,
    )


def project_view(row: ProjectRow, environments: Sequence[EnvironmentRow]) -> ProjectView:
    """Return what is shown of a project."""
    return ProjectView(
        key=row.key,
        name=row.name,
        created_at=rfc3339(row.created_at_ms),
        environments=[environment_view(environment) for environment in environments],
    )
