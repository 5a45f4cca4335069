"""A flag's exposure in one environment: in words, and changed in its document. Pure."""

import copy
from typing import Any

import msgspec

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.flags.wire import RolloutInForce, said_of_cells


def exposure_words(view: dict[str, Any], environment: str) -> str:
    """Say in a few words what a flag does in an environment, as ``declared 5 %, in force 25 % by a ramp``."""
    settings = view["document"].get("environments", {}).get(environment)
    force = (view.get("in_force") or {}).get(environment) or {}
    if view.get("archived"):
        return "archived"
    if any(kill["scope"] == "flag" for kill in force.get("kills", [])):
        return "killed"
    if settings is None or not settings.get("enabled"):
        return "disabled"
    default = settings.get("default") or {}
    if "serve" in default:
        words = f"serves {default['serve']}"
    elif "rollout" in default:
        words = _rollout_words(default["rollout"], (force.get("rollouts") or {}).get("default"))
    else:
        words = "off variant"
    if any(kill["scope"] == "rollout" for kill in force.get("kills", [])):
        words += ", rollout killed"
    rules = len(settings.get("rules") or [])
    return f"{words}, {rules} rule{'s' if rules != 1 else ''}" if rules else words


def _rollout_words(rollout: dict[str, Any], force: dict[str, Any] | None) -> str:
    declared = rollout["exposure"]
    if force is not None and (cells := force.get("cells")):
        return f"declared {declared:g} %, in force by {cells['attribute']}, by a ramp"
    if force is None or force["in_force"] == declared:
        return f"{declared:g} %"
    by = " by a ramp" if force.get("ramp") else ""
    return f"declared {declared:g} %, in force {force['in_force']:g} %{by}"


def overlay_lines(view: dict[str, Any], environment: str) -> list[str]:
    """Return a line for each rollout whose exposure in force is not the declared one, with the ramp whose it is."""
    rollouts = ((view.get("in_force") or {}).get(environment) or {}).get("rollouts") or {}
    return [
        f"{name}: declared {force['declared']:g} %, in force {_in_force(force)} "
        + ("by a kill, until somebody revives it" if force.get("killed") else f"by ramp {force.get('ramp')}")
        for name, force in rollouts.items()
        # Of one that goes by an attribute what the others get may well be what is declared.
        if force.get("cells") or force["in_force"] != force["declared"]
    ]


def _in_force(force: dict[str, Any]) -> str:
    return said_of_cells(msgspec.convert(force, RolloutInForce))


def with_exposure(document: dict[str, Any], environment: str, percent: float, rule: str | None) -> dict[str, Any]:
    """Return the document with this exposure in one environment.

    A boolean flag that has no rollout there gets one, on its true variant.

    Raises:
        CommandFailed: there is no such environment, rule or rollout in the document.
    """
    changed = copy.deepcopy(document)
    holder = _holder(changed, environment, rule)
    if "rollout" not in holder:
        holder["rollout"] = _new_rollout(document)
        holder.pop("serve", None)
    holder["rollout"] = {**holder["rollout"], "exposure": percent}
    return changed


def exposure_patch(document: dict[str, Any], environment: str, percent: float, rule: str | None) -> dict[str, Any]:
    """Return the merge patch that gives the environment's default, or a rule of it, this exposure.

    Raises:
        CommandFailed: as ``with_exposure``.
    """
    if "rollout" in _holder(copy.deepcopy(document), environment, rule):
        return {"rollout": {"exposure": percent}}
    return {"serve": None, "rollout": {**_new_rollout(document), "exposure": percent}}


def _holder(document: dict[str, Any], environment: str, rule: str | None) -> dict[str, Any]:
    """Return what has the rollout in the document, or is to have it: the default (made where it is not), or a rule."""
    settings = document.get("environments", {}).get(environment)
    if settings is None:
        raise CommandFailed(f"{document['key']} has no settings for {environment}; write them with `flag put` first")
    if rule is None:
        default: dict[str, Any] = settings.setdefault("default", {})
        return default
    for one in settings.get("rules") or []:
        if one.get("name") == rule:
            found: dict[str, Any] = one
            return found
    names = ", ".join(one.get("name", "?") for one in settings.get("rules") or []) or "none"
    raise CommandFailed(f"{document['key']} has no rule {rule!r} in {environment} (there: {names})")


def _new_rollout(document: dict[str, Any]) -> dict[str, Any]:
    by_value = {value: name for name, value in document["variants"].items() if isinstance(value, bool)}
    if set(by_value) != {True, False}:
        raise CommandFailed(
            f"{document['key']} has no rollout there, and only a boolean flag says which variant to expose; "
            "write the rollout with `flag put`"
        )
    return {"exposure": 0, "split": {by_value[True]: 1}, "fallback": by_value[False]}
