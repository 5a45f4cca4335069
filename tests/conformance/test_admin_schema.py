"""The admin API against its own description, with requests of the right form made from it."""

import asyncio
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.core.result import Ok

from tests.conformance.conftest import Served
from tests.conformance.test_schemas import CHECKS

EXAMPLES = 4
"""Requests to each operation; tests/fuzz sends many more, of a wrong form."""
KNOWN = {"project": "default", "environment": "production", "key": "conf-bool-on", "version": 1}
METHODS = ("get", "put", "patch", "post")


async def described(http: httpx.AsyncClient) -> dict[str, Any]:
    document: dict[str, Any] = (await http.get("/docs/openapi.json")).json()
    document["paths"] = {
        path: {method: operation for method, operation in item.items() if method in METHODS}
        for path, item in document["paths"].items()
        if path.startswith("/api/v1")
    }
    del document["security"]
    return document


def ask(document: dict[str, Any], served: Served) -> set[int]:
    """Send requests made from the description; return the statuses. Fails where an answer breaks it."""
    seen: set[int] = set()
    headers = {"authorization": f"Bearer {served.running.token}"}
    for index, result in enumerate(schemathesis.openapi.from_dict(document).get_all_operations()):
        assert isinstance(result, Ok), result

        @seed(20_260_201 + index)
        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=result.ok().as_strategy())
        def one(case: schemathesis.Case[Any]) -> None:
            for name in KNOWN.keys() & case.path_parameters.keys():
                case.path_parameters[name] = KNOWN[name]
            answer = case.call(base_url=served.url, headers=headers)
            seen.add(answer.status_code)
            case.validate_response(answer, checks=CHECKS, headers=headers)

        one()
    return seen


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
async def test_admin_answers_are_as_described(served: Served, http: httpx.AsyncClient) -> None:
    """Each answer of the admin API has a status, headers and a form that the description lists."""
    seen = await asyncio.to_thread(ask, await described(http), served)

    assert {200, 404, 422} <= seen
