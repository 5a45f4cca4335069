"""The published OFREP provider evaluates every flag type against the running server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from rheostat_server.demo.stage import Stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def constant(key: str, kind: str, variant: str, value: Any) -> dict[str, Any]:
    return {
        "kind": "flag",
        "key": key,
        "type": kind,
        "variants": {variant: value},
        "off_variant": variant,
        "environments": {"production": {"enabled": True, "default": {"serve": variant}}},
    }


FLAGS: list[dict[str, Any]] = [
    constant("bool-on", "boolean", "on", True),
    constant("bool-off", "boolean", "off", False),
    constant("text", "string", "greeting", 'hello wörld ✓ "q"'),
    constant("text-empty", "string", "empty", ""),
    constant("int", "integer", "answer", 42),
    constant("int-zero", "integer", "zero", 0),
    constant("int-big", "integer", "max-safe", 9007199254740991),
    constant("float", "float", "f", 3.25),
    constant("float-whole", "float", "ten", 10.0),
    constant("object", "object", "obj", {"a": 1, "b": [1, 2, {"c": True}], "s": "x", "n": None}),
    {**constant("metadata", "boolean", "on", True), "metadata": {"team": "ecommerce", "tier": 1, "beta": True}},
    constant("conf.dots_and-dashes.1", "boolean", "on", True),
    {
        "kind": "flag",
        "key": "disabled",
        "type": "boolean",
        "variants": {"on": True, "off": False},
        "environments": {"production": {"enabled": False, "default": {"serve": "on"}}},
    },
    {
        "kind": "flag",
        "key": "split",
        "type": "string",
        "variants": {"a": "a", "b": "b"},
        "off_variant": "a",
        "environments": {
            "production": {
                "enabled": True,
                "default": {"rollout": {"exposure": 100, "split": {"a": 1, "b": 1}, "fallback": "a"}},
            }
        },
    },
    {
        "kind": "flag",
        "key": "targeted",
        "type": "string",
        "variants": {"standard": "standard", "gold": "gold", "beta": "beta"},
        "off_variant": "standard",
        "environments": {
            "production": {
                "enabled": True,
                "rules": [
                    {
                        "name": "premium",
                        "when": {"attribute": "plan", "operator": "in", "values": ["premium"]},
                        "serve": "gold",
                    },
                    {
                        "name": "staff",
                        "when": {"attribute": "email", "operator": "ends_with", "values": ["@example.com"]},
                        "serve": "beta",
                    },
                ],
                "default": {"serve": "standard"},
            }
        },
    },
]


@pytest.fixture
async def client(open_directory: Path) -> AsyncIterator[OpenFeatureClient]:
    """An OpenFeature client on the published provider, against a server that holds FLAGS."""
    stage = Stage(open_directory, background=0.0, with_prometheus=False)
    try:
        await stage.start_server()
        answer = await stage.api.post("/projects/default/apply", json={"documents": FLAGS})
        assert answer.is_success, answer.text
        provider = OFREPProvider(
            stage.url, headers_factory=lambda: {"Authorization": f"Bearer {stage.sdk_key}"}, timeout=5.0
        )
        await asyncio.to_thread(api.set_provider_and_wait, provider)
        yield api.get_client()
    finally:
        await asyncio.to_thread(api.shutdown)
        await stage.close()


async def test_the_published_provider_evaluates_every_type(client: OpenFeatureClient) -> None:
    """Values, variants, reasons and errors of every flag type arrive as OpenFeature wants them."""
    someone = EvaluationContext("user-1", {"plan": "free"})

    def evaluate() -> None:
        assert client.get_boolean_value("bool-on", False, someone) is True
        assert client.get_boolean_value("bool-off", True, someone) is False
        assert client.get_string_value("text", "", someone) == 'hello wörld ✓ "q"'
        assert client.get_string_value("text-empty", "x", someone) == ""
        assert client.get_integer_value("int", 0, someone) == 42
        assert client.get_integer_value("int-zero", 7, someone) == 0
        assert client.get_integer_value("int-big", 0, someone) == 9007199254740991
        assert client.get_float_value("float", 0.0, someone) == 3.25
        whole = client.get_float_details("float-whole", 0.0, someone)
        assert (whole.value, whole.error_code, type(whole.value)) == (10.0, None, float)
        assert client.get_object_value("object", {}, someone) == {
            "a": 1,
            "b": [1, 2, {"c": True}],
            "s": "x",
            "n": None,
        }
        assert client.get_boolean_value("conf.dots_and-dashes.1", False, someone) is True
        details = client.get_boolean_details("metadata", False, someone)
        assert details.variant == "on"
        assert details.reason == Reason.STATIC
        assert {**details.flag_metadata} == {"team": "ecommerce", "tier": 1, "beta": True}

    await asyncio.to_thread(evaluate)


async def test_the_published_provider_sees_targeting_and_errors(client: OpenFeatureClient) -> None:
    """Rules match, splits need a targeting key, a missing or disabled flag ends in the caller's default."""

    def evaluate() -> None:
        nobody = EvaluationContext(None, {"plan": "premium"})
        matched = client.get_string_details("targeted", "", nobody)
        assert (matched.value, matched.reason) == ("gold", Reason.TARGETING_MATCH)
        assert client.get_string_value("targeted", "", EvaluationContext("u", {"email": "a@example.com"})) == "beta"
        assert client.get_string_value("targeted", "", EvaluationContext("u")) == "standard"
        split = client.get_string_details("split", "none", EvaluationContext("user-1"))
        assert split.value in {"a", "b"}
        assert split.reason == Reason.SPLIT
        keyless = client.get_string_details("split", "none", nobody)
        assert (keyless.value, keyless.error_code) == ("none", ErrorCode.TARGETING_KEY_MISSING)
        missing = client.get_boolean_details("conf-missing", True, EvaluationContext("u"))
        assert (missing.value, missing.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
        assert client.get_boolean_value("disabled", True, EvaluationContext("u")) is True
        assert client.get_boolean_value("disabled", False, EvaluationContext("u")) is False
        wrong = client.get_boolean_details("text", True, EvaluationContext("u"))
        assert (wrong.value, wrong.error_code) == (True, ErrorCode.TYPE_MISMATCH)

    await asyncio.to_thread(evaluate)
