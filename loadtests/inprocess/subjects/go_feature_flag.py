"""GO Feature Flag's OpenFeature provider, in process (WebAssembly); asked directly, data collection off."""

import json
from typing import Any

import urllib3
from gofeatureflag_python_provider.options import GoFeatureFlagOptions
from gofeatureflag_python_provider.provider import GoFeatureFlagProvider
from loadtests.inprocess.cases import COUNTRIES, LEAST_VERSION, RULES, SUFFIX, Run, User, shares
from openfeature.evaluation_context import EvaluationContext

PACKAGES = ("gofeatureflag-python-provider",)


class _Relay(urllib3.PoolManager):
    """Answers in this process what the relay would, for the provider reads no file."""

    def __init__(self, flags: dict[str, Any]) -> None:
        super().__init__()
        self._body = json.dumps({"flags": flags, "evaluationContextEnrichment": {}}).encode()

    def request(self, *args: Any, **kwargs: Any) -> urllib3.HTTPResponse:  # type: ignore[override]
        del args, kwargs
        return urllib3.HTTPResponse(self._body, status=200, headers={"ETag": '"1"'})


def _flag(default: dict[str, Any], *queries: str) -> dict[str, Any]:
    return {
        "variations": {"on": True, "off": False},
        "targeting": [
            {"name": f"rule-{number}", "query": query, "variation": "on"} for number, query in enumerate(queries)
        ],
        "defaultRule": default,
        "trackEvents": False,
    }


class Subject:
    """The provider."""

    def __init__(self, provider: GoFeatureFlagProvider) -> None:
        self._resolve = provider.resolve_boolean_details

    def one_flag(self, key: str, users: list[User]) -> Run:
        resolve, contexts = self._resolve, [_context(user) for user in users]
        return lambda: [resolve(key, False, context).value for context in contexts]

    def all_flags(self, keys: list[str], user: User) -> Run:
        resolve, context = self._resolve, _context(user)
        return lambda: [resolve(key, False, context).value for key in keys]


def _context(user: User) -> EvaluationContext:
    return EvaluationContext(user.key, user.attributes)


def load(count: int) -> Subject:
    """Return the subject with so many flags."""
    half = {"name": "half", "percentage": {"on": 50, "off": 50}}
    flags = {key: _flag(half) for key in shares(count)}
    flags[RULES] = _flag(
        {"name": "rest", "variation": "off"},
        f"country in {json.dumps(list(COUNTRIES))}",
        f"version ge {LEAST_VERSION}",
        f'email ew "{SUFFIX}"',
    )
    options = GoFeatureFlagOptions(
        endpoint="http://127.0.0.1:9",
        urllib3_pool_manager=_Relay(flags),
        disable_data_collection=True,
        flag_config_poll_interval_seconds=86_400,
        wasm_pool_size=1,
    )
    provider = GoFeatureFlagProvider(options=options)
    provider.initialize(EvaluationContext())
    return Subject(provider)
