"""HTTP for segments, layers and templates of ramps."""

from typing import Annotated, Any, Final

from litestar import Response, Router, delete, get, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, QueryParameter, RawBody

from rheostat.model.document import LayerDocument, SegmentDocument, TemplateDocument
from rheostat_server.access.guard import Caller
from rheostat_server.errors import NotFound
from rheostat_server.flags.routes import AnyRequest, condition_of
from rheostat_server.flags.wire import VersionView
from rheostat_server.ports.shared import SharedKind
from rheostat_server.shared.documents import SharedDocument
from rheostat_server.shared.service import SharedService
from rheostat_server.shared.wire import SharedHistory, SharedPage, SharedView
from rheostat_server.web.decoding import DOCUMENT_BODY_BYTES, decode_plain
from rheostat_server.web.openapi import takes

_NEWEST = 2**53
_FORMS: Final[dict[SharedKind, tuple[type[SharedDocument], str]]] = {
    "segment": (SegmentDocument, "segments"),
    "layer": (LayerDocument, "layers"),
    "template": (TemplateDocument, "ramp-templates"),
}
_MADE = ResponseSpec(SharedView, description="It was not there and has been made.", generate_examples=False)


def shared_routes(service: SharedService) -> Router:
    """Return the routes of segments, of layers, or of templates."""
    kind = service.kind
    form, plural = _FORMS[kind]
    all_of_them = f"/projects/{{project:str}}/{plural}"
    one = all_of_them + "/{key:str}"

    def answer(view: SharedView, status_code: int = 200) -> Response[SharedView]:
        return Response(view, status_code=status_code, headers={"ETag": f'"{view.version}"'})

    @get(all_of_them, description=f"List the {kind}s, each with its users.")
    async def list_shared(
        project: FromPath[str],
        *,
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
        after: FromQuery[str | None] = None,
    ) -> SharedPage:
        return await service.page(project, limit=limit, after=after)

    @get(one, description=f"Get a {kind}: its document, and who uses it.")
    async def get_shared(project: FromPath[str], key: FromPath[str]) -> Response[SharedView]:
        return answer(await service.get(project, key))

    @put(
        one,
        request_max_body_size=DOCUMENT_BODY_BYTES,
        operation_class=takes(form, conditional=True),
        responses={201: _MADE},
        description=f"Write a whole {kind} document.",
    )
    async def put_shared(
        request: AnyRequest,
        project: FromPath[str],
        key: FromPath[str],
        *,
        body: RawBody,
        principal: Caller,
        restart_ramp: FromQuery[bool] = False,
    ) -> Response[SharedView]:
        view, created = await service.put(
            project, key, decode_plain(body), principal, condition=condition_of(request), restart_ramp=restart_ramp
        )
        return answer(view, 201 if created else 200)

    @delete(one, operation_class=takes(None, conditional=True), description=f"Delete a {kind} that nothing uses.")
    async def delete_shared(request: AnyRequest, project: FromPath[str], key: FromPath[str], principal: Caller) -> None:
        await service.delete(project, key, principal, condition=condition_of(request))

    @get(one + "/history", description=f"List the versions of a {kind}, newest first; of a deleted one too.")
    async def shared_history(project: FromPath[str], key: FromPath[str]) -> SharedHistory:
        return await service.history(project, key)

    @get(one + "/versions/{version:int}", description=f"Get one version of a {kind}.")
    async def shared_version(project: FromPath[str], key: FromPath[str], version: FromPath[int]) -> VersionView:
        if not 0 < version <= _NEWEST:
            raise NotFound(f"there is no version {version}")
        return await service.version(project, key, version)

    handlers: list[Any] = [list_shared, get_shared, put_shared, delete_shared, shared_history, shared_version]
    return Router("/", route_handlers=handlers, tags=[plural])
