"""The description of the API: ``/docs`` for people, ``/docs/openapi.json`` for programs. Needs no internet."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

import msgspec
from litestar import Litestar, Request
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, Operation, SecurityScheme

from rheostat_server.web.described import with_described
from rheostat_server.web.errors import PROBLEM, Problem

_REF = "#/components/schemas/{name}"
_PROBLEM_REF = {"$ref": "#/components/responses/Problem"}
_CONDITIONS = (
    {"name": "If-Match", "in": "header", "schema": {"type": "string"}, "required": False,
     "description": "Write only at one of these versions, such as \"3\", or * for any; else 412."},
    {"name": "If-None-Match", "in": "header", "schema": {"type": "string", "const": "*"}, "required": False,
     "description": "Write only what is not there yet; else 412."},
)  # fmt: skip
_WITH_PROBLEMS = ("/api/", "/sdk/")
_ON_READING = (400, 401, 403, 404, 422, 503)
_ON_WRITING = (400, 401, 403, 404, 409, 412, 413, 422, 503)


@dataclass
class BodyOperation(Operation):
    """An operation whose route reads its body by itself, so that the framework cannot know its form."""

    body: ClassVar[Any] = None
    conditional: ClassVar[bool] = False

    def to_schema(self) -> dict[str, Any]:
        """Return the operation with the form of its body, and the headers that make it conditional."""
        schema = super().to_schema()
        if self.body is not None:
            [form], _ = msgspec.json.schema_components([self.body], ref_template=_REF)
            schema["requestBody"] = {"content": {"application/json": {"schema": form}}}
        if self.conditional:
            schema["parameters"] = [*(schema.get("parameters") or ()), *_CONDITIONS]
        return schema


def takes(kind: Any, *, conditional: bool = False) -> type[BodyOperation]:
    """Return the ``operation_class`` of a route that takes this body; ``conditional``: it heeds ``If-Match``."""
    return type("TakingOperation", (BodyOperation,), {"body": kind, "conditional": conditional})


def openapi_config(version: str) -> OpenAPIConfig:
    """Return how the framework is to describe the API."""
    key = SecurityScheme(
        type="http", scheme="bearer", description="An API token (rht_…) for /api/v1, an SDK key (rhs_…, rhc_…) else."
    )
    return OpenAPIConfig(
        title="Rheostat",
        version=version,
        description=(
            "Feature flags with progressive exposure that advances on evidence and takes itself back. "
            "Every error of /api/v1 and /sdk/v1 is a Problem (RFC 9457); OFREP, below /ofrep/v1, has its own errors. "
            "Beside what is listed here: the event stream at /sdk/v1/stream."
        ),
        path="/docs",
        use_handler_docstrings=True,
        components=Components(security_schemes={"key": key}),
        security=[{"key": []}],
        render_plugins=[_Page(path="/"), _Json(path="/openapi.json")],
    )


class _Json(JsonRenderPlugin):
    """The document itself."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the document, with the forms of all bodies."""
        return self.render_json(request, _with_bodies(request.app, openapi_schema))


class _Page(OpenAPIRenderPlugin):
    """A page that lists every operation, without the usual viewers, which a browser fetches from elsewhere."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the page."""
        whole = _with_bodies(request.app, openapi_schema)
        sections = "".join(_operations(whole["paths"], whole["components"]["schemas"]))
        title = escape(f"{openapi_schema['info']['title']} {openapi_schema['info']['version']}")
        return _PAGE.format(title=title, sections=sections).encode()


def _with_bodies(app: Litestar, document: dict[str, Any]) -> dict[str, Any]:
    kinds = {
        handler.operation_class.body
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if issubclass(getattr(handler, "operation_class", object), BodyOperation)
    } - {None}
    _, forms = msgspec.json.schema_components([*sorted(kinds, key=str), Problem], ref_template=_REF)
    components = document.get("components", {})
    problem = {
        "description": "What is wrong, where, and what to do.",
        "content": {PROBLEM: {"schema": {"$ref": _REF.format(name=Problem.__name__)}}},
    }
    whole = {
        **document,
        "paths": {path: _with_problems(path, item) for path, item in document.get("paths", {}).items()},
        "components": {
            **components,
            "schemas": {**components.get("schemas", {}), **forms},
            "responses": {"Problem": problem},
        },
    }
    return with_described(app, _any_of(whole))


def _any_of(node: Any) -> Any:
    """Return the document with ``anyOf`` for ``oneOf``: the framework's refuses null where anything may stand."""
    if isinstance(node, dict):
        return {("anyOf" if name == "oneOf" else name): _any_of(value) for name, value in node.items()}
    return [_any_of(item) for item in node] if isinstance(node, list) else node


def _with_problems(path: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the operations of a path with our errors in place of the framework's."""
    if not path.startswith(_WITH_PROBLEMS):
        return dict(item)
    told: dict[str, Any] = {}
    for method, operation in item.items():
        errors = _ON_READING if method == "get" else _ON_WRITING
        done = {status: answer for status, answer in operation["responses"].items() if status < "400"}
        told[method] = {**operation, "responses": done | {str(status): _PROBLEM_REF for status in errors}}
    return told


def _operations(paths: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterable[str]:
    for path, item in sorted(paths.items()):
        for method, operation in item.items():
            if not isinstance(operation, dict):
                continue
            words = escape(operation.get("description") or operation.get("summary") or "")
            names = ", ".join(
                escape(one["name"] + ("" if one.get("required") else "?")) for one in operation.get("parameters") or ()
            )
            form = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            body = f"<pre>{escape(_pretty(form, schemas))}</pre>" if form else ""
            yield (
                f"<details><summary><b class={method}>{method.upper()}</b> <code>{escape(path)}</code> "
                f"<span>{words}</span></summary><p>{names}</p>{body}</details>"
            )


def _pretty(form: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    name = str(form.get("$ref", "")).rpartition("/")[2]
    return msgspec.json.format(msgspec.json.encode(schemas.get(name, form)), indent=2).decode()


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body{{font:15px/1.5 system-ui,sans-serif;max-width:68rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}}
details{{border-top:1px solid #d8dee4;padding:.4rem 0}}summary{{cursor:pointer}}span{{color:#57606a}}
b{{display:inline-block;min-width:4.5rem;font-family:monospace}}.get{{color:#0550ae}}.delete{{color:#a40e26}}
.post,.put,.patch{{color:#116329}}pre{{background:#f6f8fa;padding:.6rem;overflow:auto}}
@media(prefers-color-scheme:dark){{body{{background:#0d1117;color:#e6edf3}}pre{{background:#161b22}}}}
</style><h1>{title}</h1><p>For programs: <a href="/docs/openapi.json">openapi.json</a></p>{sections}</html>"""
