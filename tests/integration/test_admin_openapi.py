"""The description of the API."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.admin_server import RunningNode

METHODS = ("get", "put", "post", "patch", "delete")


@pytest.fixture
async def described(running: RunningNode) -> dict[str, Any]:
    """The document as programs read it."""
    async with httpx.AsyncClient(base_url=running.url) as client:
        document: dict[str, Any] = (await client.get("/docs/openapi.json")).json()
    return document


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation of the admin API."""
    for path, item in described["paths"].items():
        if path.startswith("/api/v1"):
            for method in METHODS:
                if method in item:
                    yield method, path, item[method]


async def test_every_route_is_described(running: RunningNode, described: dict[str, Any]) -> None:
    """Whatever the application routes below /api/v1 is in the description, by method."""
    routed = {
        (method.lower(), route.path_format)
        for route in running.node.app.routes
        for handler in getattr(route, "route_handlers", ())
        for method in handler.http_methods
        if route.path.startswith("/api/v1") and method != "OPTIONS"
    }
    assert {(method, path) for method, path, _ in operations(described)} == routed
    assert len(routed) > 40


async def test_every_operation_says_what_it_takes_gives_and_refuses(described: dict[str, Any]) -> None:
    """Writes have the form of their body, answers their form, and every error is a problem."""
    for method, path, operation in operations(described):
        where = f"{method} {path}"
        assert operation.get("description") or operation.get("summary"), where
        responses = operation["responses"]
        [good] = [status for status in responses if status in ("200", "204")] or ["201"]
        assert good == "204" or responses[good]["content"]["application/json"]["schema"], where
        assert {"400", "401", "403", "404", "503"} <= set(responses), where
        assert all(
            answer == {"$ref": "#/components/responses/Problem"} for status, answer in responses.items() if status > "4"
        ), where
        if method in ("put", "patch", "post") and not path.endswith("/unarchive"):
            assert operation["requestBody"]["content"]["application/json"]["schema"], where
    problem = described["components"]["responses"]["Problem"]["content"]
    assert problem == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


async def test_flag_writes_say_that_they_are_conditional(described: dict[str, Any]) -> None:
    """``If-Match`` and what a PUT makes are in the description."""
    flag = described["paths"]["/api/v1/projects/{project}/flags/{key}"]

    assert {"If-Match", "If-None-Match"} <= {one["name"] for one in flag["put"]["parameters"]}
    assert "If-Match" in {one["name"] for one in flag["patch"]["parameters"]}
    assert {"200", "201", "412"} <= set(flag["put"]["responses"])


async def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    """No form names another that is not there."""
    text = json.dumps(described)
    named = {part.split('"')[0] for part in text.split('"#/components/')[1:]}

    assert named
    for name in named:
        section, _, key = name.partition("/")
        assert key in described["components"][section], name
