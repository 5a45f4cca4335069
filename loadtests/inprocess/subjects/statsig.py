"""Statsig's SDK: a compiled (Rust) core behind Python; flags from a data store, network and exposure logging off."""

import json
from typing import Any

from loadtests.inprocess.cases import COUNTRIES, LEAST_VERSION, RULES, SUFFIX, Run, User, shares
from statsig_python_core import (
    DataStore,
    DataStoreResponse,
    FeatureGateEvaluationOptions,
    Statsig,
    StatsigOptions,
    StatsigUser,
)

PACKAGES = ("statsig-python-core",)
_CHANGED_MS = 1_767_225_600_000


def _condition(kind: str, operator: str | None, target: object, field: str | None) -> dict[str, Any]:
    return {
        "type": kind,
        "targetValue": target,
        "operator": operator,
        "field": field,
        "additionalValues": {},
        "isDeviceBased": False,
        "idType": "userID",
    }


_CONDITIONS = {
    "everyone": _condition("public", None, None, None),
    "list": _condition("user_field", "any", list(COUNTRIES), "country"),
    "version": _condition("user_field", "version_gte", LEAST_VERSION, "version"),
    "suffix": _condition("user_field", "str_ends_with_any", [SUFFIX], "email"),
}


def _gate(key: str, *rules: tuple[str, int]) -> dict[str, Any]:
    return {
        "type": "feature_gate",
        "entity": "feature_gate",
        "salt": key,
        "enabled": True,
        "defaultValue": False,
        "isDeviceBased": False,
        "idType": "userID",
        "version": 1,
        "rules": [
            {
                "name": condition,
                "groupName": condition,
                "id": condition,
                "salt": condition,
                "passPercentage": percent,
                "conditions": [condition],
                "returnValue": True,
                "isDeviceBased": False,
                "idType": "userID",
            }
            for condition, percent in rules
        ],
    }


class _Store(DataStore):  # type: ignore[misc]  # the package has no types for it
    def __init__(self, specs: str) -> None:
        super().__init__()
        self._specs = specs

    def get(self, key: str) -> DataStoreResponse:
        del key
        return DataStoreResponse(result=self._specs, time=_CHANGED_MS)


class Subject:
    """The client."""

    def __init__(self, client: Statsig) -> None:
        self._check = client.check_gate
        self._quiet = FeatureGateEvaluationOptions(disable_exposure_logging=True)

    def one_flag(self, key: str, users: list[User]) -> Run:
        check, quiet, subjects = self._check, self._quiet, [_user(user) for user in users]
        return lambda: [check(user, key, quiet) for user in subjects]

    def all_flags(self, keys: list[str], user: User) -> Run:
        check, quiet, subject = self._check, self._quiet, _user(user)
        return lambda: [check(subject, key, quiet) for key in keys]


def _user(user: User) -> StatsigUser:
    return StatsigUser(user_id=user.key, custom=user.attributes)


def load(count: int) -> Subject:
    """Return the subject with so many flags."""
    gates = {key: _gate(key, ("everyone", 50)) for key in shares(count)}
    gates[RULES] = _gate(RULES, ("list", 100), ("version", 100), ("suffix", 100))
    specs = {
        "feature_gates": gates,
        "dynamic_configs": {},
        "layer_configs": {},
        "condition_map": _CONDITIONS,
        "experiment_to_layer": {},
        "has_updates": True,
        "time": _CHANGED_MS,
    }
    options = StatsigOptions(
        data_store=_Store(json.dumps(specs)),
        disable_network=True,
        disable_all_logging=True,
        disable_country_lookup=True,
        output_log_level="none",
    )
    client = Statsig("secret-none", options)
    client.initialize().wait()
    return Subject(client)
