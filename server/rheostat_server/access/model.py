"""Who is asking, and what they may do."""

import enum

import msgspec

from rheostat_server.errors import Forbidden


class TokenKind(enum.StrEnum):
    """What a secret is for."""

    API = "api"
    SDK = "sdk"
    EDGE = "edge"


class Scope(enum.StrEnum):
    """What a secret allows: the first three are of API tokens, the last two of SDK keys."""

    ADMIN = "admin"
    WRITE = "write"
    READ = "read"
    SERVER = "server"
    CLIENT = "client"


API_SCOPES = (Scope.READ, Scope.WRITE, Scope.ADMIN)
"""In ascending power: each includes those before it."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Whose credential came with a request.

    ``project`` is ``None`` for an API token of every project; ``environment_id`` and ``environment`` are
    set for SDK keys.
    """

    kind: TokenKind
    scope: Scope
    token_id: str
    label: str
    project: str | None = None
    environment_id: int | None = None
    environment: str | None = None

    @property
    def actor(self) -> str:
        """How the audit log names them."""
        return self.label

    def require(self, scope: Scope) -> None:
        """Let an API token of at least this scope pass.

        Raises:
            Forbidden: it is an SDK key, or a token of a lesser scope.
        """
        if self.kind is not TokenKind.API:
            raise Forbidden("an SDK key does not open the admin API; send an API token (rht_…)")
        if API_SCOPES.index(self.scope) < API_SCOPES.index(scope):
            raise Forbidden(f"this needs the scope {scope}; the token {self.label!r} has {self.scope}")

    def require_project(self, project: str) -> None:
        """Let a token pass that covers this project.

        Raises:
            Forbidden: it is bound to another. So it is told whether or not that other exists.
        """
        if self.project is not None and self.project != project:
            raise Forbidden(f"the token {self.label!r} is bound to the project {self.project!r}")
