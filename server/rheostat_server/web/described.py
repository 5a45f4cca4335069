"""Routes that the framework cannot describe, because they are plain ASGI, and say themselves what they are."""

from typing import Any

from litestar import Litestar
from litestar.routes import ASGIRoute

DESCRIBED = "described"
"""The option of a plain ASGI handler that has its share of the OpenAPI document."""


def with_described(app: Litestar, document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with what the application's plain ASGI routes say of themselves."""
    paths, components = dict(document["paths"]), dict(document["components"])
    for route in app.routes:
        share = route.route_handler.opt.get(DESCRIBED) if isinstance(route, ASGIRoute) else None
        if share is None:
            continue
        paths |= share["paths"]
        components |= {name: {**components.get(name, {}), **more} for name, more in share["components"].items()}
    return {**document, "paths": paths, "components": components}
