"""Which HTTP status each error becomes, and how an error looks on the wire. The only place that knows."""

import re
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import HTTPRouteHandler

from rheostat_server.errors import (
    Conflict,
    Fault,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    Refused,
    RheostatServerError,
    StartupRefused,
    TooLarge,
    Unauthenticated,
    Unavailable,
    VersionConflict,
)
from rheostat_server.web.decoding import MAX_BODY_BYTES

STATUS: dict[type[RheostatServerError], int] = {
    Malformed: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    VersionConflict: 412,
    TooLarge: 413,
    Refused: 422,
    StartupRefused: 500,
    Unavailable: 503,
}

PROBLEM = "application/problem+json"
RETRY_AFTER_SECONDS = 1

_log = structlog.get_logger("rheostat.web")
_LONGEST_SHOWN = 200
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as RFC 9457 has it. ``faults`` lists each fault in what was sent, with its path."""

    type: str
    title: str
    status: int
    detail: str = ""
    faults: tuple[Fault, ...] = ()


def status_for(error: RheostatServerError) -> int:
    """Return the status of the nearest listed ancestor."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def problem_of(error: RheostatServerError) -> Problem:
    """Return the error as it goes over the wire."""
    name = _WORDS.sub(" ", type(error).__name__)
    return Problem(
        type=f"urn:rheostat:problem:{name.lower().replace(' ', '-')}",
        title=name.capitalize(),
        status=status_for(error),
        detail=str(error),
        faults=error.faults if isinstance(error, Invalid) else (),
    )


def answer_error(_: Request[Any, Any, Any], error: RheostatServerError) -> Response[bytes]:
    """Answer an error that we raised on purpose."""
    headers: dict[str, str] = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="rheostat"'
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return _response(problem_of(error), headers)


def answer_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what the framework raises: no such route, wrong method, a wrong query parameter, a body too large."""
    status = HTTPStatus(error.status_code)
    detail = _said_of(request, status, error) if error.detail == status.phrase else error.detail
    faults: tuple[Fault, ...] = ()
    if isinstance(error, ValidationException):
        detail, faults = "the request has faults", _faults_of(error)
    elif error.status_code >= 500:
        detail = ""
    problem = Problem(type="about:blank", title=status.phrase, status=status, detail=detail, faults=faults)
    return _response(problem, dict(error.headers or {}))


def answer_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a mistake of ours: everything to the log, nothing to the caller."""
    _log.error("unexpected_error", method=request.method, path=request.url.path, exc_info=error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    problem = Problem(
        type="about:blank", title=status.phrase, status=status, detail="the server made a mistake; its log says more"
    )
    return _response(problem, {})


def _said_of(request: Request[Any, Any, Any], status: HTTPStatus, error: HTTPException) -> str:
    """Return what is wrong, where the framework says no more than the status does."""
    if status == HTTPStatus.NOT_FOUND:
        return f"there is nothing at {request.url.path[:_LONGEST_SHOWN]}; /docs lists the addresses"
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = next((value for name, value in (error.headers or {}).items() if name.lower() == "allow"), "")
        return f"{request.method} is not answered here" + (f", but {allowed}" if allowed else "")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        handler = request.route_handler
        most = handler.resolve_request_max_body_size() if isinstance(handler, HTTPRouteHandler) else None
        return f"a body is at most {(most or MAX_BODY_BYTES) >> 10} KiB here"
    return ""


def _faults_of(error: ValidationException) -> tuple[Fault, ...]:
    extra = error.extra if isinstance(error.extra, list) else []
    return tuple(
        Fault(str(item.get("key", "")), str(item.get("message", ""))) for item in extra if isinstance(item, dict)
    )


def _response(problem: Problem, headers: dict[str, str]) -> Response[bytes]:
    return Response(
        content=msgspec.json.encode(problem), status_code=problem.status, media_type=PROBLEM, headers=headers
    )
