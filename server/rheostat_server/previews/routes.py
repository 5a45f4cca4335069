"""HTTP for previews. All need the scope ``read``: they change nothing."""

from typing import Any

import msgspec
from litestar import Router, post
from litestar.params import FromPath, FromQuery, RawBody
from msgspec import UNSET

from rheostat_server.access.guard import Caller
from rheostat_server.access.model import Principal, Scope
from rheostat_server.errors import Fault, Invalid, NotFound
from rheostat_server.flags.preview import PreviewView
from rheostat_server.ports.shared import SharedKind
from rheostat_server.previews.service import PreviewService
from rheostat_server.previews.wire import PreviewBody, SharedPreviewBody
from rheostat_server.web.decoding import DOCUMENT_BODY_BYTES, decode
from rheostat_server.web.openapi import takes

_PROJECT = "/projects/{project:str}"
_NEWEST = 2**53


def preview_routes(service: PreviewService) -> Router:
    """Return the routes of previews."""

    @post(
        _PROJECT + "/flags/{key:str}/preview",
        request_max_body_size=DOCUMENT_BODY_BYTES,
        operation_class=takes(PreviewBody),
        status_code=200,
        scope=Scope.READ,
    )
    async def preview_flag(
        project: FromPath[str],
        key: FromPath[str],
        *,
        body: RawBody,
        principal: Caller,
        restart_ramp: FromQuery[bool] = False,
    ) -> PreviewView:
        """Say who would move by a change of a flag: by environment, rule and variant."""
        return await _of_flag(service, project, key, decode(body, PreviewBody), principal, restart_ramp=restart_ramp)

    handlers: list[Any] = [preview_flag, _of_shared(service, "segment"), _of_shared(service, "layer")]
    return Router("/", route_handlers=handlers, tags=["previews"])


async def _of_flag(
    service: PreviewService, project: str, key: str, asked: PreviewBody, principal: Principal, *, restart_ramp: bool
) -> PreviewView:
    kinds = PreviewBody.__struct_fields__
    if sum(getattr(asked, kind) is not UNSET for kind in kinds) != 1:
        raise Invalid([Fault("", f"give exactly one of {', '.join(kinds)}")], "the request")
    if asked.document is not UNSET:
        document = msgspec.json.decode(asked.document)
        return await service.document(project, key, document, principal, restart_ramp=restart_ramp)
    if asked.restore is not UNSET:
        if not 0 < asked.restore.version <= _NEWEST:
            raise NotFound(f"there is no version {asked.restore.version}")
        return await service.restore(project, key, asked.restore, principal, restart_ramp=restart_ramp)
    if asked.archive is not UNSET:
        return await service.archive(project, key, asked.archive, principal)
    if asked.unarchive is not UNSET:
        return await service.unarchive(project, key, principal)
    if asked.kill is not UNSET:
        return await service.kill(project, key, asked.kill, principal)
    assert asked.revive is not UNSET, "one is given"
    return await service.revive(project, key, asked.revive, principal)


def _of_shared(service: PreviewService, kind: SharedKind) -> Any:
    @post(
        f"{_PROJECT}/{kind}s/{{key:str}}/preview",
        request_max_body_size=DOCUMENT_BODY_BYTES,
        operation_class=takes(SharedPreviewBody),
        status_code=200,
        scope=Scope.READ,
        description=f"Say who would move by a {kind}'s document, by the flags that use it.",
    )
    async def preview_shared(
        project: FromPath[str],
        key: FromPath[str],
        *,
        body: RawBody,
        principal: Caller,
        restart_ramp: FromQuery[bool] = False,
    ) -> PreviewView:
        document = msgspec.json.decode(decode(body, SharedPreviewBody).document)
        return await service.shared(kind, project, key, document, principal, restart_ramp=restart_ramp)

    return preview_shared
