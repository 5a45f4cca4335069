"""OFREP's routes against their own description, with requests made from it."""

import asyncio
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies
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
async def test_answers_are_as_described(served: Served, http: httpx.AsyncClient, mode: GenerationMode) -> None:
    """Whatever is made from a description, each answer has a status, headers and a form that it lists."""
    seen = await asyncio.to_thread(attack, await ours(http), served, mode)

    statuses = {status for _, status in seen}
    assert (200 if mode is GenerationMode.POSITIVE else 400) in statuses
    assert len({path for path, _ in seen}) == 2
