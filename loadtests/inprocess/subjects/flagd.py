"""flagd's OpenFeature provider, in process: flags from a file. Asked directly, without OpenFeature's client over it."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtests.inprocess.cases import COUNTRIES, LEAST_VERSION, RULES, SUFFIX, Run, User, shares
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext

PACKAGES = ("openfeature-provider-flagd",)


def _flag(targeting: dict[str, Any]) -> dict[str, Any]:
    variants = {"on": True, "off": False}
    return {"state": "ENABLED", "variants": variants, "defaultVariant": "off", "targeting": targeting}


def _rules() -> dict[str, Any]:
    conditions: tuple[dict[str, Any], ...] = (
        {"in": [{"var": "country"}, list(COUNTRIES)]},
        {"sem_ver": [{"var": "version"}, ">=", LEAST_VERSION]},
        {"ends_with": [{"var": "email"}, SUFFIX]},
    )
    return _flag({"if": [part for condition in conditions for part in (condition, "on")] + ["off"]})


class Subject:
    """The provider."""

    def __init__(self, provider: FlagdProvider) -> None:
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
    half = {"fractional": [["on", 50], ["off", 50]]}
    flags = {key: _flag(half) for key in shares(count)} | {RULES: _rules()}
    path = Path(tempfile.mkdtemp(prefix="rheostat-bench-"), "flags.json")
    path.write_text(json.dumps({"flags": flags}))
    # The file is looked at once a day: how often that is done is no part of an evaluation.
    provider = FlagdProvider(
        resolver_type=ResolverType.FILE, offline_flag_source_path=str(path), retry_backoff_ms=86_400_000
    )
    provider.initialize(EvaluationContext())
    time.sleep(0.2)
    return Subject(provider)
