"""Unleash's SDK: a compiled (Rust) core behind Python; features bootstrapped, no fetching, metrics off."""

import tempfile
from typing import Any

from loadtests.inprocess.cases import COUNTRIES, LEAST_VERSION, RULES, SUFFIX, Run, User, shares
from UnleashClient import UnleashClient
from UnleashClient.cache import FileCache

PACKAGES = ("UnleashClient",)


def _feature(key: str, *strategies: dict[str, Any]) -> dict[str, Any]:
    return {"name": key, "type": "release", "enabled": True, "strategies": list(strategies)}


def _share(key: str) -> dict[str, Any]:
    parameters = {"rollout": "50", "stickiness": "userId", "groupId": key}
    return _feature(key, {"name": "flexibleRollout", "parameters": parameters, "constraints": []})


def _rules() -> dict[str, Any]:
    # There is no "greater or equal" for versions: not below.
    constraints: tuple[dict[str, Any], ...] = (
        {"contextName": "country", "operator": "IN", "values": list(COUNTRIES)},
        {"contextName": "version", "operator": "SEMVER_LT", "value": LEAST_VERSION, "inverted": True},
        {"contextName": "email", "operator": "STR_ENDS_WITH", "values": [SUFFIX]},
    )
    return _feature(RULES, *({"name": "default", "parameters": {}, "constraints": [each]} for each in constraints))


class Subject:
    """The client."""

    def __init__(self, client: UnleashClient) -> None:
        self._is_enabled = client.is_enabled

    def one_flag(self, key: str, users: list[User]) -> Run:
        is_enabled, contexts = self._is_enabled, [_context(user) for user in users]
        return lambda: [is_enabled(key, context) for context in contexts]

    def all_flags(self, keys: list[str], user: User) -> Run:
        is_enabled, context = self._is_enabled, _context(user)
        return lambda: [is_enabled(key, context) for key in keys]


def _context(user: User) -> dict[str, Any]:
    properties = {name: str(value) if isinstance(value, bool) else value for name, value in user.attributes.items()}
    return {"userId": user.key, "properties": properties}


def load(count: int) -> Subject:
    """Return the subject with so many flags."""
    cache = FileCache(f"inprocess-{count}", directory=tempfile.mkdtemp(prefix="rheostat-bench-"))
    cache.bootstrap_from_dict({"version": 2, "features": [*(_share(key) for key in shares(count)), _rules()]})
    client = UnleashClient(
        "http://127.0.0.1:9",
        f"inprocess-{count}",
        cache=cache,
        refresh_interval=86_400,
        disable_metrics=True,
        disable_registration=True,
    )
    client.initialize_client(fetch_toggles=False)
    return Subject(client)
