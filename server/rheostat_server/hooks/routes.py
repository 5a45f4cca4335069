"""HTTP for hooks: their secrets below /api/v1, and the webhook itself."""

from typing import Any

import msgspec
from litestar import Request, Response, Router, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, RawBody

from rheostat.clock import Clock
from rheostat_server.access.guard import Caller
from rheostat_server.access.model import Scope
from rheostat_server.errors import Fault, Invalid
from rheostat_server.hooks.alertmanager import Notification, read_notification
from rheostat_server.hooks.secrets import HookSecrets
from rheostat_server.hooks.service import FAILED, HookService, truncated_words
from rheostat_server.hooks.wire import AlertsDone, AlertsProblem, HookBody, HookList, HookView, hook_view
from rheostat_server.ports.metrics import Metrics
from rheostat_server.web.decoding import decode
from rheostat_server.web.errors import PROBLEM
from rheostat_server.web.openapi import takes
from rheostat_server.web.times import read_duration, read_moment

BODY_BYTES = 1 << 20
_HOOKS = "/projects/{project:str}/hooks"


def hook_secret_routes(secrets: HookSecrets, clock: Clock) -> Router:
    """Return the routes of the secrets."""

    @get(_HOOKS, scope=Scope.ADMIN)
    async def list_hooks(project: FromPath[str]) -> HookList:
        """List the hooks that may kill flags of a project."""
        return HookList([hook_view(row) for row in await secrets.all(project)])

    @post(_HOOKS, operation_class=takes(HookBody), scope=Scope.ADMIN)
    async def make_hook(project: FromPath[str], body: RawBody, principal: Caller) -> HookView:
        """Make a hook; its secret is in this answer only."""
        asked = decode(body, HookBody)
        row, secret = await secrets.make(
            principal,
            project,
            label=asked.label,
            environments=asked.environments,
            flags=asked.flags,
            expires_at_ms=_expiry(asked, clock),
        )
        return hook_view(row, secret)

    @delete(_HOOKS + "/{hook_id:str}", status_code=200, scope=Scope.ADMIN)
    async def revoke_hook(project: FromPath[str], hook_id: FromPath[str], principal: Caller) -> HookView:
        """Revoke a hook."""
        return hook_view(await secrets.revoke(principal, project, hook_id))

    handlers: list[Any] = [list_hooks, make_hook, revoke_hook]
    return Router("/", route_handlers=handlers, tags=["keys and tokens"])


def alertmanager_routes(secrets: HookSecrets, service: HookService, metrics: Metrics) -> list[HTTPRouteHandler]:
    """Return the handler of ``/hooks/alertmanager``."""

    @post(
        "/hooks/alertmanager",
        status_code=200,
        request_max_body_size=BODY_BYTES,
        operation_class=takes(Notification),
        responses={
            200: ResponseSpec(AlertsDone, description="All is carried out.", generate_examples=False),
            422: ResponseSpec(
                AlertsProblem,
                description="Some alerts killed nothing; the others are carried out.",
                media_type=PROBLEM,
                generate_examples=False,
            ),
        },
        tags=["hooks"],
        summary="Kill what firing alerts of Alertmanager name (its webhook's payload, version 4)",
    )
    async def receive(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Carry out a notification; the answer lists each alert with what was done."""
        hook = await secrets.holder(request.headers.get("authorization"))
        notification = read_notification(await request.body())
        results = await service.receive(hook, notification)
        failed = sum(result.result in FAILED for result in results)
        truncated = notification.truncated_alerts
        status = 422 if failed or truncated else 200
        metrics.request("alertmanager", status)
        if status == 200:
            return Response(msgspec.json.encode(AlertsDone(results)), media_type="application/json")
        said = [f"{failed} of {len(results)} alerts killed nothing"] if failed else []
        said += [truncated_words(truncated)] if truncated else []
        problem = AlertsProblem(
            type="urn:rheostat:problem:alerts-unmatched",
            title="Alerts unmatched",
            status=status,
            detail="; ".join(said),
            alerts=results,
        )
        return Response(msgspec.json.encode(problem), status_code=status, media_type=PROBLEM)

    return [receive]


def _expiry(body: HookBody, clock: Clock) -> int | None:
    if body.expires_at is not None and body.expires_in is not None:
        raise Invalid([Fault("expires_in", "give expires_at or expires_in, not both")], "the request")
    if body.expires_in is not None:
        return clock.wall_ms() + read_duration(body.expires_in, "expires_in")
    return None if body.expires_at is None else read_moment(body.expires_at, "expires_at")
