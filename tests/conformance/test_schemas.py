"""OFREP's routes against their own description, and against the published one, with requests made from each.

The published one is not kept here. ``RHEOSTAT_OFREP_DESCRIPTION`` is the path of OFREP's ``openapi.yaml``: with it the
same tests run once more, by that.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies
from ruamel.yaml import YAML
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.conformance.conftest import Served
from tests.conformance.flags import documents

EXAMPLES = 40
"""Requests to each operation, of the right form, and as many of a wrong one."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


PUBLISHED = os.environ.get("RHEOSTAT_OFREP_DESCRIPTION")


def published(path: str) -> dict[str, Any]:
    """Return OFREP's own description, in the two places where it forbids what its clients accept and need.

    Its ``oneOf`` of value types is true of no number, for each is a float too; its reasons lack ``DEFAULT``.
    """
    document: dict[str, Any] = YAML(typ="safe").load(Path(path))
    document["paths"] = {
        path: item for path, item in document["paths"].items() if path.startswith("/ofrep/v1/evaluate")
    }
    document.pop("security", None)
    waiting: list[Any] = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "oneOf" in part:
                part["anyOf"] = part.pop("oneOf")
            if isinstance(part.get("enum"), list) and "TARGETING_MATCH" in part["enum"]:
                part["enum"] = [*part["enum"], "DEFAULT"]
            part.pop("security", None)
        waiting += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return document


async def ours(http: httpx.AsyncClient) -> dict[str, Any]:
    document: dict[str, Any] = (await http.get("/docs/openapi.json")).json()
    document["paths"] = {path: item for path, item in document["paths"].items() if path.startswith("/ofrep/")}
    for path in document["paths"].values():
        del path["post"]["security"]
    return document


def attack(document: dict[str, Any], served: Served, mode: GenerationMode) -> set[tuple[str, int]]:
    """Send requests made from a description; return which statuses each path gave. Fails where an answer breaks it."""
    seen: set[tuple[str, int]] = set()
    keys = [flag["key"] for flag in documents()]
    for index, result in enumerate(schemathesis.openapi.from_dict(document).get_all_operations()):
        assert isinstance(result, Ok), result
        operation = result.ok()

        @seed(20_260_101 + index)
        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(
            case=operation.as_strategy(generation_mode=mode), known=strategies.none() | strategies.sampled_from(keys)
        )
        def one(case: schemathesis.Case[Any], known: str | None) -> None:
            # By chance alone no flag would be asked for that is there.
            if known is not None and "key" in case.path_parameters:
                case.path_parameters["key"] = known
            answer = case.call(base_url=served.url, headers=served.bearer)
            seen.add((case.path, answer.status_code))
            case.validate_response(answer, checks=CHECKS, headers=served.bearer)

        one()
    return seen


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("path", [None, PUBLISHED] if PUBLISHED else [None])
async def test_answers_are_as_described(
    served: Served, http: httpx.AsyncClient, path: str | None, mode: GenerationMode
) -> None:
    """Whatever is made from a description, each answer has a status, headers and a form that it lists."""
    document = await ours(http) if path is None else published(path)
    seen = await asyncio.to_thread(attack, document, served, mode)

    statuses = {status for _, status in seen}
    assert (200 if mode is GenerationMode.POSITIVE else 400) in statuses
    assert len({path for path, _ in seen}) == 2
