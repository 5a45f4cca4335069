"""The one application: the admin API behind its guard, and everything else beside it."""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler

from rheostat_server.access.guard import admin_guard, provide_principal
from rheostat_server.access.keyring import KeyRing
from rheostat_server.errors import RheostatServerError
from rheostat_server.web.decoding import MAX_BODY_BYTES
from rheostat_server.web.errors import answer_error, answer_http_exception, answer_unexpected
from rheostat_server.web.openapi import openapi_config

ADMIN_PATH = "/api/v1"


def create_app(
    *,
    admin: Sequence[ControllerRouterHandler],
    others: Sequence[ControllerRouterHandler],
    keyring: KeyRing,
    version: str,
) -> Litestar:
    """Return the application. ``admin`` are mounted below ``/api/v1``; ``others`` guard themselves."""
    handlers: dict[Any, Any] = {
        RheostatServerError: answer_error,
        HTTPException: answer_http_exception,
        Exception: answer_unexpected,
    }
    api = Router(
        ADMIN_PATH,
        route_handlers=list(admin),
        guards=[admin_guard(keyring)],
        dependencies={"principal": Provide(provide_principal, sync_to_thread=False)},
    )
    return Litestar(
        route_handlers=[api, *others],
        exception_handlers=handlers,
        openapi_config=openapi_config(version),
        request_max_body_size=MAX_BODY_BYTES,
        # Our own log; the framework's would print tracebacks of errors that we answer.
        logging_config=None,
    )
