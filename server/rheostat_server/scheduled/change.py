"""A change that waits for its time, and what it makes of the flag's document as it is then. Pure."""

from typing import Any

import msgspec

from rheostat.model.document import FlagDocument
from rheostat_server.errors import Fault, Invalid
from rheostat_server.faults import did_you_mean
from rheostat_server.flags.change import check_patch, merge
from rheostat_server.flags.validate import validate_flag


class TargetEdit(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Units that become targets of a variant, taken from any other, and units that are no longer."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class ScheduledChange(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Any change of a flag: in one environment, or (``environment`` is ``None``) of its whole document.

    ``patch`` is a merge patch (RFC 7396) of that part. What a merge patch can only replace as a whole is said by name:
    ``rules`` are merge patches of rules, ``None`` takes the rule out; ``targets`` adds and removes units of variants.
    Both need an environment. The patch comes first, then the rules, then the targets.
    """

    environment: str | None = None
    patch: dict[str, Any] = {}
    rules: dict[str, dict[str, Any] | None] = {}
    targets: dict[str, TargetEdit] = {}


def changed_document(stored: bytes, change: ScheduledChange) -> FlagDocument:
    """Return the stored document with the change.

    Raises:
        Invalid: the change names a rule that is not there, or makes a document that has faults; all are listed.
    """
    before = msgspec.json.decode(stored)
    document = validate_flag(_changed(before, change))
    if document.key != before["key"]:
        raise Invalid([Fault("key", "a flag keeps its key")], "the change")
    return document


def _changed(before: dict[str, Any], change: ScheduledChange) -> dict[str, Any]:
    if change.environment is None:
        check_patch(change.patch)
        whole: dict[str, Any] = merge(before, change.patch)
        return whole
    merged: dict[str, Any] = merge(before, {"environments": {change.environment: change.patch}})
    here = merged["environments"][change.environment]
    _edit_rules(here, change)
    _edit_targets(here, change, merged["variants"])
    return merged


def _edit_rules(here: dict[str, Any], change: ScheduledChange) -> None:
    found = here.get("rules", [])
    if not change.rules or not isinstance(found, list):
        return
    rules, faults = list(found), []
    for name, edit in change.rules.items():
        names = [rule.get("name") if isinstance(rule, dict) else None for rule in rules]
        if name not in names:
            known = [known for known in names if isinstance(known, str)]
            message = f"there is no rule {name} in {change.environment}"
            faults.append(Fault(f"rules.{name}", message, did_you_mean(name, known)))
        elif edit is None:
            del rules[names.index(name)]
        else:
            rules[names.index(name)] = merge(rules[names.index(name)], edit)
    if faults:
        raise Invalid(faults, "the change")
    here["rules"] = rules


def _edit_targets(here: dict[str, Any], change: ScheduledChange, variants: dict[str, Any]) -> None:
    found = here.get("targets", {})
    if (
        not change.targets
        or not isinstance(found, dict)
        or not all(isinstance(units, list) for units in found.values())
    ):
        return
    # By unit, in the order of the lists: who becomes a target of one variant is no longer one of another.
    targets = {variant: dict.fromkeys(units) for variant, units in found.items()}
    for variant, edit in change.targets.items():
        for units in targets.values():
            for unit in edit.add:
                units.pop(unit, None)
        own = targets.setdefault(variant, {})
        for unit in edit.remove:
            own.pop(unit, None)
        own.update(dict.fromkeys(edit.add))
    # An empty list says nothing, unless of a variant that the flag does not have: then it is to be found.
    here["targets"] = {variant: list(units) for variant, units in targets.items() if units or variant not in variants}
