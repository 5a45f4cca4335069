"""HTTP for ramps, kills and revivals."""

from typing import Annotated, Any

from litestar import Response, Router, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, QueryParameter, RawBody

from rheostat.model.document import RampDocument
from rheostat_server.access.guard import Caller
from rheostat_server.ramps.kills import KillOrder
from rheostat_server.ramps.model import Action
from rheostat_server.ramps.service import MOST_DECISIONS, MOST_RAMPS, RampService
from rheostat_server.ramps.starter import Once
from rheostat_server.ramps.wire import (
    ActionBody,
    DecisionList,
    KillAnswer,
    KillBody,
    RampList,
    RampView,
    RestartBody,
    ReviveBody,
    TranslationView,
    TrialList,
)
from rheostat_server.web.decoding import decode, decode_plain
from rheostat_server.web.openapi import takes

_ENVIRONMENT = "/projects/{project:str}/environments/{environment:str}"
_RAMPS = _ENVIRONMENT + "/ramps"
_RAMP = _RAMPS + "/{ramp_id:str}"
_THERE = ResponseSpec(RampView, description="One of this document is there.", generate_examples=False)
_FLAG = _ENVIRONMENT + "/flags/{key:str}"

_ASKED_BY_PATH = (
    (Action.PAUSE, "Stay at this exposure; evidence is still read, and still kills."),
    (Action.RESUME, "Go on after a pause."),
    (Action.APPROVE, "Let the ramp through the step that waits for a person."),
    (Action.ADVANCE, "Go up one step now, without proof. A draft starts now."),
    (Action.ABORT, "End the ramp; the exposure in force when it started comes back."),
)


def ramp_routes(service: RampService) -> Router:
    """Return the routes of ramps and kills."""

    @post(_RAMPS, operation_class=takes(RampDocument), responses={200: _THERE})
    async def start_ramp(
        project: FromPath[str],
        environment: FromPath[str],
        body: RawBody,
        principal: Caller,
        once: FromQuery[Once | None] = None,
    ) -> Response[RampView]:
        """Start the ramp that a document describes. ``once``: but not where one of this document was ever started, or
        is live; that one is the answer then.
        """
        view, new = await service.start_once(project, environment, decode_plain(body), actor=principal.actor, once=once)
        return Response(view, status_code=201 if new else 200)

    @post(_RAMP + "/restart", operation_class=takes(RestartBody))
    async def restart_ramp(
        project: FromPath[str], environment: FromPath[str], ramp_id: FromPath[str], body: RawBody, principal: Caller
    ) -> RampView:
        """Start a new ramp from the document of one that ended, at any of its steps."""
        asked = decode(body, RestartBody)
        return await service.restart(
            project, environment, ramp_id, asked.first, reason=asked.reason, actor=principal.actor
        )

    @post(_RAMPS + "/translate", operation_class=takes(RampDocument), status_code=200)
    async def translate_ramp(
        project: FromPath[str], environment: FromPath[str], body: RawBody, principal: Caller
    ) -> TranslationView:
        """Show what a document with Flagger's or Argo Rollouts' block comes to. Nothing is started."""
        return await service.translate(project, environment, decode_plain(body))

    @post(_ENVIRONMENT + "/guardrails/try", operation_class=takes(RampDocument), status_code=200)
    async def try_guardrails(
        project: FromPath[str], environment: FromPath[str], body: RawBody, principal: Caller
    ) -> TrialList:
        """Show what the queries of a ramp document's guardrails return now. Nothing is started."""
        return await service.try_guardrails(project, environment, decode_plain(body))

    @get(_RAMPS)
    async def list_ramps(
        project: FromPath[str],
        environment: FromPath[str],
        flag: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_RAMPS)] = 100,
    ) -> RampList:
        """List ramps, newest first."""
        return await service.all(project, environment, flag=flag, limit=limit)

    @get(_RAMP)
    async def get_ramp(project: FromPath[str], environment: FromPath[str], ramp_id: FromPath[str]) -> RampView:
        """Get a ramp: where it stands, its evidence against its lines, and its plan."""
        return await service.get(project, environment, ramp_id)

    @get(_RAMP + "/decisions")
    async def list_decisions(
        project: FromPath[str],
        environment: FromPath[str],
        ramp_id: FromPath[str],
        *,
        after: Annotated[int, QueryParameter(ge=0, le=2**53)] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_DECISIONS)] = 200,
        last: Annotated[int | None, QueryParameter(ge=1, le=MOST_DECISIONS)] = None,
        kind: FromQuery[list[str] | None] = None,
        since: FromQuery[str | None] = None,
    ) -> DecisionList:
        """List what was decided of a ramp, with the evidence: from a number on, or the last few.

        ``kind`` (several times: any of them) and ``since`` (``30m`` ago, or an RFC 3339 time) leave the others out.
        """
        return await service.decisions(
            project, environment, ramp_id, after=after, limit=limit, last=last, kinds=kind or (), since=since
        )

    @post(_FLAG + "/kill", operation_class=takes(KillBody), status_code=200)
    async def kill_flag(
        project: FromPath[str], environment: FromPath[str], key: FromPath[str], body: RawBody, principal: Caller
    ) -> KillAnswer:
        """Take a flag or its ramping rollout back, now. It stays so until it is revived."""
        asked = decode(body, KillBody)
        order = KillOrder(
            flag=key,
            reason=asked.reason,
            actor=principal.actor,
            scope=asked.scope,
            to_code_default=asked.to_code_default,
        )
        return await service.kill(project, environment, order)

    @post(_FLAG + "/revive", operation_class=takes(ReviveBody), status_code=200)
    async def revive_flag(
        project: FromPath[str], environment: FromPath[str], key: FromPath[str], body: RawBody, principal: Caller
    ) -> KillAnswer:
        """Lift a flag's kills. What was in force when a killed ramp started serves again."""
        asked = decode(body, ReviveBody)
        return await service.revive(project, environment, key, reason=asked.reason, actor=principal.actor)

    actions = [_action_route(service, action, words) for action, words in _ASKED_BY_PATH]
    handlers: list[Any] = [
        start_ramp,
        restart_ramp,
        translate_ramp,
        try_guardrails,
        list_ramps,
        get_ramp,
        list_decisions,
        *actions,
    ]
    handlers += [kill_flag, revive_flag]
    return Router("/", route_handlers=handlers, tags=["ramps"])


def _action_route(service: RampService, action: Action, words: str) -> HTTPRouteHandler:
    @post(
        f"{_RAMP}/{action.value}",
        operation_class=takes(ActionBody),
        operation_id=f"ramp_{action.value}",
        description=words,
        status_code=200,
    )
    async def act_on_ramp(
        project: FromPath[str], environment: FromPath[str], ramp_id: FromPath[str], body: RawBody, principal: Caller
    ) -> RampView:
        asked = decode(body, ActionBody)
        return await service.act(project, environment, ramp_id, action, reason=asked.reason, actor=principal.actor)

    return act_on_ramp
