"""LaunchDarkly's SDK: flags from a file, events off."""

import json
import tempfile
from pathlib import Path
from typing import Any

from ldclient import Config, Context, LDClient
from ldclient.integrations import Files
from loadtests.inprocess.cases import COUNTRIES, LEAST_VERSION, RULES, SUFFIX, Run, User, shares

PACKAGES = ("launchdarkly-server-sdk",)


def _flag(key: str, fallthrough: dict[str, Any], *clauses: dict[str, Any]) -> dict[str, Any]:
    return {
        "key": key,
        "version": 1,
        "on": True,
        "variations": [True, False],
        "offVariation": 1,
        "salt": key,
        "fallthrough": fallthrough,
        "targets": [],
        "prerequisites": [],
        "rules": [{"id": clause["attribute"], "variation": 0, "clauses": [clause]} for clause in clauses],
    }


def _share(key: str) -> dict[str, Any]:
    halves = [{"variation": 0, "weight": 50_000}, {"variation": 1, "weight": 50_000}]
    return _flag(key, {"rollout": {"variations": halves}})


def _rules() -> dict[str, Any]:
    # There is no "greater or equal" for versions: not below.
    return _flag(
        RULES,
        {"variation": 1},
        {"attribute": "country", "op": "in", "values": list(COUNTRIES), "negate": False},
        {"attribute": "version", "op": "semVerLessThan", "values": [LEAST_VERSION], "negate": True},
        {"attribute": "email", "op": "endsWith", "values": [SUFFIX], "negate": False},
    )


class Subject:
    """The client."""

    def __init__(self, client: LDClient) -> None:
        self._variation = client.variation

    def one_flag(self, key: str, users: list[User]) -> Run:
        variation, contexts = self._variation, [_context(user) for user in users]
        return lambda: [variation(key, context, False) for context in contexts]

    def all_flags(self, keys: list[str], user: User) -> Run:
        variation, context = self._variation, _context(user)
        return lambda: [variation(key, context, False) for key in keys]


def _context(user: User) -> Context:
    builder = Context.builder(user.key)
    for name, value in user.attributes.items():
        builder.set(name, value)
    return builder.build()


def load(count: int) -> Subject:
    """Return the subject with so many flags."""
    flags = {key: _share(key) for key in shares(count)} | {RULES: _rules()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "flags.json")
        path.write_text(json.dumps({"flags": flags}))
        source = Files.new_data_source(paths=[str(path)])
        client = LDClient(Config("sdk-none", update_processor_class=source, send_events=False), start_wait=60)
    return Subject(client)
