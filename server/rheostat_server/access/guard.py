"""What stands before every route of the admin API."""

from collections.abc import Callable
from typing import Any, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler

from rheostat_server.access.keyring import KeyRing
from rheostat_server.access.model import Principal, Scope
from rheostat_server.errors import Malformed

Caller: TypeAlias = NamedDependency[Principal]
"""Who asks, as a parameter of a route: ``principal``."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def admin_guard(keyring: KeyRing) -> Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], None]:
    """Return the guard that lets API tokens of the needed scope and project pass.

    Reading needs ``read`` and anything else ``write``, unless the route says otherwise by ``scope="admin"``.
    """

    # A function and not an object: the framework copies deeply what it is given, but not functions.
    def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        headers = connection.headers
        principal = keyring.principal(headers.get("authorization"), headers.get("x-api-key"))
        # PostgreSQL has no NUL in its texts, so nothing can be named by one.
        if "\x00" in connection.scope["path"] or b"%00" in connection.scope["query_string"]:
            raise Malformed("the address has a NUL in it")
        usual = Scope.READ if connection.scope.get("method") in _READING else Scope.WRITE
        principal.require(handler.opt.get("scope", usual))
        project = connection.path_params.get("project")
        if project is not None:
            principal.require_project(project)
        connection.scope["auth"] = principal

    return guard


def provide_principal(request: Request[Any, Any, Any]) -> Principal:
    """Return who asks, for the routes."""
    principal: Principal = request.auth
    return principal
