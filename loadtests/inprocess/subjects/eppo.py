"""Eppo's SDK: a compiled (Rust) core behind Python; flags as an initial configuration, no polling, nothing logged."""

import json
from typing import Any

import eppo_client
from eppo_client import ClientConfig, Configuration
from eppo_client.assignment_logger import AssignmentLogger
from loadtests.inprocess.cases import COUNTRIES, LEAST_VERSION, RULES, Run, User, shares

PACKAGES = ("eppo-server-sdk",)


def _split(variation: str, *shards: dict[str, Any]) -> dict[str, Any]:
    return {"variationKey": variation, "shards": list(shards)}


def _allocation(key: str, splits: list[dict[str, Any]], *conditions: dict[str, Any]) -> dict[str, Any]:
    rules = [{"conditions": list(conditions)}] if conditions else []
    return {"key": key, "rules": rules, "splits": splits, "doLog": False}


def _flag(key: str, allocations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "key": key,
        "enabled": True,
        "variationType": "BOOLEAN",
        "variations": {"on": {"key": "on", "value": True}, "off": {"key": "off", "value": False}},
        "allocations": allocations,
        "totalShards": 10_000,
    }


def _share(key: str) -> dict[str, Any]:
    shard = {"salt": key, "ranges": [{"start": 0, "end": 5_000}]}
    return _flag(key, [_allocation("half", [_split("on", shard), _split("off")])])


def _rules() -> dict[str, Any]:
    on = [_split("on")]
    return _flag(
        RULES,
        [
            _allocation("list", on, {"attribute": "country", "operator": "ONE_OF", "value": list(COUNTRIES)}),
            _allocation("version", on, {"attribute": "version", "operator": "GTE", "value": LEAST_VERSION}),
            _allocation("suffix", on, {"attribute": "email", "operator": "MATCHES", "value": "@example\\.com$"}),
            _allocation("rest", [_split("off")]),
        ],
    )


class Subject:
    """The client."""

    def __init__(self, client: Any) -> None:
        self._get = client.get_boolean_assignment

    def one_flag(self, key: str, users: list[User]) -> Run:
        get, subjects = self._get, [(user.key, user.attributes) for user in users]
        return lambda: [get(key, unit, attributes, False) for unit, attributes in subjects]

    def all_flags(self, keys: list[str], user: User) -> Run:
        get, unit, attributes = self._get, user.key, user.attributes
        return lambda: [get(key, unit, attributes, False) for key in keys]


def load(count: int) -> Subject:
    """Return the subject with so many flags."""
    document = {
        "createdAt": "2026-01-01T00:00:00.000Z",
        "format": "SERVER",
        "environment": {"name": "production"},
        "flags": {key: _share(key) for key in shares(count)} | {RULES: _rules()},
    }
    configuration = Configuration(flags_configuration=json.dumps(document).encode())
    config = ClientConfig(
        api_key="none",
        base_url="http://127.0.0.1:9",
        assignment_logger=AssignmentLogger(),
        poll_interval_seconds=None,
        initial_configuration=configuration,
    )
    return Subject(eppo_client.init(config))
