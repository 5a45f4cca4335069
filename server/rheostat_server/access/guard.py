"""What stands before every route of the admin API."""

from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from rheostat_server.access.keyring import KeyRing
from rheostat_server.access.model import Principal, Scope
from rheostat_server.errors import Malformed

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class AdminGuard:
    """Lets API tokens of the needed scope and project pass.

    Reading needs ``read`` and anything else ``write``, unless the route says otherwise by ``scope="admin"``.
    """

    def __init__(self, keyring: KeyRing) -> None:
        self._keyring = keyring

    def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Raise unless this request may go on; leave who it is for ``provide_principal``."""
        headers = connection.headers
        principal = self._keyring.principal(headers.get("authorization"), headers.get("x-api-key"))
        # PostgreSQL has no NUL in its texts, so nothing can be named by one.
        if "\x00" in connection.scope["path"] or b"%00" in connection.scope["query_string"]:
            raise Malformed("the address has a NUL in it")
        usual = Scope.READ if connection.scope.get("method") in _READING else Scope.WRITE
        principal.require(handler.opt.get("scope", usual))
        project = connection.path_params.get("project")
        if project is not None:
            principal.require_project(project)
        connection.scope["auth"] = principal


def provide_principal(request: Request[Any, Any, Any]) -> Principal:
    """Return who asks, for the routes."""
    principal: Principal = request.auth
    return principal
