"""HTTP for flags."""

import re
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get, patch, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, QueryParameter, RawBody

from rheostat.model.document import FlagDocument
from rheostat_server.access.guard import Caller
from rheostat_server.errors import Fault, Invalid, Malformed, NotFound
from rheostat_server.flags.apply import ApplyService
from rheostat_server.flags.service import Condition, FlagService
from rheostat_server.flags.wire import (
    AppliedView,
    ApplyBody,
    ArchiveBody,
    DiffView,
    Export,
    FlagPage,
    FlagView,
    History,
    RestoreBody,
    VersionView,
)
from rheostat_server.web.decoding import DOCUMENT_BODY_BYTES, DOCUMENTS_BODY_BYTES, decode, decode_plain
from rheostat_server.web.openapi import takes

_FLAGS = "/projects/{project:str}/flags"
_FLAG = _FLAGS + "/{key:str}"
_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_NEWEST = 2**53
_MADE = ResponseSpec(FlagView, description="It was not there and has been made.", generate_examples=False)

AnyRequest = Request[Any, Any, Any]


def condition_of(request: AnyRequest) -> Condition:
    """Return what ``If-Match`` and ``If-None-Match`` ask.

    Raises:
        Malformed: one of them is not made of entity tags.
    """
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if none_match is not None and none_match.strip() != "*":
        raise Malformed("If-None-Match of a write is *")
    if match is None:
        return Condition(absent=none_match is not None)
    if match.strip() == "*":
        return Condition(exists=True, absent=none_match is not None)
    tags = _TAG.findall(match)
    if not tags:
        raise Malformed('If-Match is a version in quotes, such as "3", or *')
    # A tag that is no version of ours matches nothing.
    return Condition(versions=frozenset(int(tag) for tag in tags if tag.isdecimal() and len(tag) < 18))


def flag_routes(service: FlagService, applying: ApplyService) -> Router:
    """Return the routes of flags, apply and export."""

    def answer(view: FlagView, status_code: int = 200) -> Response[FlagView]:
        return Response(view, status_code=status_code, headers={"ETag": f'"{view.version}"'})

    @get(_FLAGS)
    async def list_flags(
        project: FromPath[str],
        *,
        archived: FromQuery[bool] = False,
        tag: FromQuery[str | None] = None,
        words: Annotated[str | None, QueryParameter(name="query")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
        after: FromQuery[str | None] = None,
    ) -> FlagPage:
        """List flags."""
        return await service.page(project, archived=archived, tag=tag, query=words, limit=limit, after=after)

    @get(_FLAG)
    async def get_flag(project: FromPath[str], key: FromPath[str]) -> Response[FlagView]:
        """Get a flag: its document, and what is in force over it."""
        return answer(await service.get(project, key))

    @put(
        _FLAG,
        request_max_body_size=DOCUMENT_BODY_BYTES,
        operation_class=takes(FlagDocument, conditional=True),
        responses={201: _MADE},
    )
    async def put_flag(
        request: AnyRequest,
        project: FromPath[str],
        key: FromPath[str],
        *,
        body: RawBody,
        principal: Caller,
        restart_ramp: FromQuery[bool] = False,
    ) -> Response[FlagView]:
        """Write a whole flag document; environments that it does not list stay as they were."""
        view = await service.put(
            project, key, decode_plain(body), principal, condition=condition_of(request), restart_ramp=restart_ramp
        )
        return answer(view, 201 if view.version == 1 else 200)

    @patch(_FLAG, request_max_body_size=DOCUMENT_BODY_BYTES, operation_class=takes(dict[str, Any], conditional=True))
    async def patch_flag(
        request: AnyRequest,
        project: FromPath[str],
        key: FromPath[str],
        *,
        body: RawBody,
        principal: Caller,
        restart_ramp: FromQuery[bool] = False,
    ) -> Response[FlagView]:
        """Merge a patch (RFC 7396) into a flag's document."""
        view = await service.patch(
            project, key, decode_plain(body), principal, condition=condition_of(request), restart_ramp=restart_ramp
        )
        return answer(view)

    @post(_FLAG + "/archive", operation_class=takes(ArchiveBody, conditional=True), status_code=200)
    async def archive_flag(
        request: AnyRequest, project: FromPath[str], key: FromPath[str], body: RawBody, principal: Caller
    ) -> Response[FlagView]:
        """Take a flag out of service."""
        asked = decode(body, ArchiveBody)
        return answer(
            await service.archive(project, key, principal, condition=condition_of(request), force=asked.force)
        )

    @post(_FLAG + "/unarchive", operation_class=takes(None, conditional=True), status_code=200)
    async def unarchive_flag(
        request: AnyRequest, project: FromPath[str], key: FromPath[str], principal: Caller
    ) -> Response[FlagView]:
        """Put a flag back into service."""
        return answer(await service.unarchive(project, key, principal, condition=condition_of(request)))

    @get(_FLAG + "/history")
    async def flag_history(project: FromPath[str], key: FromPath[str]) -> History:
        """List a flag's versions, newest first."""
        return await service.history(project, key)

    @get(_FLAG + "/versions/{version:int}")
    async def flag_version(project: FromPath[str], key: FromPath[str], version: FromPath[int]) -> VersionView:
        """Get one version of a flag."""
        if not 0 < version <= _NEWEST:
            raise NotFound(f"there is no version {version}")
        return await service.version(project, key, version)

    @get(_FLAG + "/diff")
    async def flag_diff(
        project: FromPath[str],
        key: FromPath[str],
        from_version: Annotated[int | None, QueryParameter(name="from", ge=1, le=_NEWEST)] = None,
        to_version: Annotated[int | None, QueryParameter(name="to", ge=1, le=_NEWEST)] = None,
    ) -> DiffView:
        """Compare two versions of a flag; by default the newest with the one before."""
        return await service.diff(project, key, from_version, to_version)

    @post(_FLAG + "/restore", operation_class=takes(RestoreBody, conditional=True), status_code=200)
    async def restore_flag(
        request: AnyRequest,
        project: FromPath[str],
        key: FromPath[str],
        *,
        body: RawBody,
        principal: Caller,
        restart_ramp: FromQuery[bool] = False,
    ) -> Response[FlagView]:
        """Write an earlier version again, as a new version."""
        asked = decode(body, RestoreBody)
        if not 0 < asked.version <= _NEWEST:
            raise NotFound(f"there is no version {asked.version}")
        view = await service.restore(
            project,
            key,
            asked.version,
            asked.note,
            principal,
            condition=condition_of(request),
            restart_ramp=restart_ramp,
        )
        return answer(view)

    @post(
        "/projects/{project:str}/apply",
        request_max_body_size=DOCUMENTS_BODY_BYTES,
        operation_class=takes(ApplyBody),
        status_code=200,
    )
    async def apply_documents(project: FromPath[str], body: RawBody, principal: Caller) -> AppliedView:
        """Hold all of these documents, or, when something is wrong, change nothing."""
        asked = decode(body, ApplyBody)
        documents = [msgspec.json.decode(document) for document in asked.documents]
        if not documents and asked.prune:
            # An empty file given by mistake would take everything out of service.
            raise Invalid([Fault("documents", "prune needs at least one document")], "the request")
        return await applying.apply(
            project,
            documents,
            principal,
            dry_run=asked.dry_run,
            prune=asked.prune,
            force=asked.force,
            start_ramps=asked.start_ramps,
        )

    @get("/projects/{project:str}/export")
    async def export_documents(project: FromPath[str]) -> Export:
        """Export all documents of a project."""
        return await applying.export(project)

    handlers: list[Any] = [
        list_flags, get_flag, put_flag, patch_flag, archive_flag, unarchive_flag, flag_history, flag_version,
        flag_diff, restore_flag, apply_documents, export_documents,
    ]  # fmt: skip
    return Router("/", route_handlers=handlers, tags=["flags"])
