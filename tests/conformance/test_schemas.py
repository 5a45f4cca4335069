"""OFREP's routes against two descriptions, our own and the published one, with requests made from them."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
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

PUBLISHED = Path(__file__).parent / "published" / "ofrep-0.3.0.yaml"
EXAMPLES = 40
"""Requests to each operation, of the right form, and as many of a wrong one."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MORE_REASONS = ["DEFAULT", "STALE", "ERROR"]
"""OpenFeature's reasons that the published list leaves out."""


def lenient(node: Any) -> Any:
    """Return the published description as servers can keep it.

    Its ``oneOf`` refuses each success, which always fits the form without a value too; its list of reasons is short;
    and clients send contexts without a targeting key, although it calls that required.
    """
    if isinstance(node, list):
        return [lenient(item) for item in node]
    if not isinstance(node, dict):
        return node
    changed = {("anyOf" if name == "oneOf" else name): lenient(value) for name, value in node.items()}
    if changed.get("enum") == ["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"]:
        changed["enum"] += MORE_REASONS
    if changed.get("required") == ["targetingKey"]:
        del changed["required"]
    return changed


def published() -> dict[str, Any]:
    document: dict[str, Any] = lenient(YAML(typ="safe").load(PUBLISHED.read_text(encoding="utf-8")))
    for path in document["paths"].values():
        # What any HTTP server may say, and the protocol leaves open.
        for status in ("413", "503"):
            path["post"]["responses"][status] = {"description": "refused"}
    # Or it would make keys of its own, beside the one that is sent; test_twelve_points.py tries wrong keys.
    del document["security"]
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
@pytest.mark.parametrize("description", ["ours", "published"])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
async def test_answers_are_as_described(
    served: Served, http: httpx.AsyncClient, description: str, mode: GenerationMode
) -> None:
    """Whatever is made from a description, each answer has a status, headers and a form that it lists."""
    document = published() if description == "published" else await ours(http)
    seen = await asyncio.to_thread(attack, document, served, mode)

    statuses = {status for _, status in seen}
    assert (200 if mode is GenerationMode.POSITIVE else 400) in statuses
    assert len({path for path, _ in seen}) == 2


def form_of(document: dict[str, Any], name: str) -> jsonschema_rs.Validator:
    """Return a validator of one of the published forms."""
    return jsonschema_rs.validator_for({**document, "$ref": f"#/components/schemas/{name}"})


@pytest.fixture
def forms() -> dict[str, jsonschema_rs.Validator]:
    document = published()
    names = ("serverEvaluationSuccess", "bulkEvaluationSuccess", "flagNotFound", "evaluationFailure")
    return {name: form_of(document, name) for name in names}


async def test_each_flag_is_as_published(
    served: Served, http: httpx.AsyncClient, forms: dict[str, jsonschema_rs.Validator]
) -> None:
    """Each flag's answer, alone and among all, has the published form."""
    for context in ({}, {"targetingKey": "user-1", "plan": "premium"}):
        for flag in documents():
            path = f"/ofrep/v1/evaluate/flags/{flag['key']}"
            answer = await http.post(path, json={"context": context}, headers=served.bearer)
            form = "serverEvaluationSuccess" if answer.status_code == 200 else "evaluationFailure"
            forms[form].validate(answer.json())
        everything = await http.post("/ofrep/v1/evaluate/flags", json={"context": context}, headers=served.bearer)
        forms["bulkEvaluationSuccess"].validate(everything.json())
    missing = await http.post("/ofrep/v1/evaluate/flags/none", json={"context": {}}, headers=served.bearer)
    forms["flagNotFound"].validate(missing.json())
    with pytest.raises(jsonschema_rs.ValidationError):
        forms["flagNotFound"].validate({"key": "none", "errorCode": "GENERAL"})
