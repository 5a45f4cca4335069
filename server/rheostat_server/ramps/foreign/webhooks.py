"""What becomes of Flagger's webhooks: gates are approvals, notices are left out, checks are refused. Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from rheostat_server.faults import Fields, did_you_mean, items_at
from rheostat_server.ramps.foreign.changes import Changes

_WEBHOOK: Final = ("type", "name", "url", "muteAlert", "timeout", "metadata", "retries", "disableTLS")
_TYPES: Final = (
    "rollout",
    "pre-rollout",
    "post-rollout",
    "confirm-rollout",
    "confirm-traffic-increase",
    "confirm-promotion",
    "event",
    "rollback",
)
_REFUSED: Final = {
    "pre-rollout": (
        "what it tests before anybody is exposed would go untested",
        "test it before `rheostat ramp start`, and leave it out here",
    ),
    "confirm-rollout": (
        "a ramp begins when it is started, and asks nobody first",
        "ask it before `rheostat ramp start`, and leave it out here",
    ),
    "rollback": (
        "Rheostat asks no webhook whether to go back",
        "have what answers it call POST …/flags/KEY/kill, and leave it out here",
    ),
    "rollout": (
        "what it checks in each round would go unchecked",
        "make it a guardrail (a pair of queries), or have it call POST …/flags/KEY/kill; then leave it out here",
    ),
}


class Gates(msgspec.Struct, frozen=True):
    """Where a person has to approve: before each step, and before the promotion."""

    increase: bool = False
    promotion: bool = False


def check_webhooks(fields: Fields, changes: Changes, *, last: int, at_once: bool) -> Gates:
    """Return the gates among the webhooks of an analysis; a fault for each that keeps a promise of its own.

    ``last`` is the weight from which it promotes; ``at_once``: it switches all users.
    """
    if fields.raw("webhooks") is None:
        return Gates()
    found: set[str] = set()
    for where, data in items_at(fields.raw("webhooks"), fields.at("webhooks"), fields.faults):
        webhook = Fields(data, where, fields.faults, _WEBHOOK)
        kind = webhook.text("type") or "rollout"
        name = webhook.text("name") or kind
        if kind not in _TYPES:
            webhook.fault("type", f"there is no type {kind}", did_you_mean(kind, _TYPES))
        elif kind == "rollout" and _makes_load(webhook.raw("metadata")):
            changes.say(where, f"left out: {name} makes traffic, and a ramp has its users'")
        elif kind in ("post-rollout", "event"):
            changes.say(where, f"left out: {name} is told what happened; Rheostat's own notifications do that")
        elif kind == "confirm-traffic-increase":
            found.add(kind)
            waits = (
                f"{last} % waits for `rheostat ramp approve` before its soak; nobody is asked before all users have it"
                if at_once
                else "each step waits for `rheostat ramp approve` before the next; nobody is asked before the first"
            )
            changes.say(where, f"instead of asking {name}, {waits}")
        elif kind == "confirm-promotion":
            found.add(kind)
            then = " before its soak" if at_once else ""
            changes.say(where, f"instead of asking {name}, {last} % waits for `rheostat ramp approve`{then}")
        else:
            message, hint = _REFUSED[kind]
            fields.faults.add(where, f"{name} ({kind}): {message}", hint)
    return Gates(increase="confirm-traffic-increase" in found, promotion="confirm-promotion" in found)


def _makes_load(metadata: object) -> bool:
    """Whether it is the load tester's: a command that is run in the background, and not waited for."""
    return isinstance(metadata, Mapping) and "cmd" in metadata and metadata.get("type", "cmd") == "cmd"
