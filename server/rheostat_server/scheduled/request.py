"""What is asked when a change is scheduled, with every fault in it. Pure, but for the timezones of the machine."""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from rheostat.model.window import has_offset, instant_ms, is_local
from rheostat_server.errors import Fault, Invalid
from rheostat_server.faults import Faults, Fields, below, did_you_mean, items_at, object_at, spelled, type_name
from rheostat_server.flags.change import check_patch
from rheostat_server.flags.windows import timezones
from rheostat_server.scheduled.change import ScheduledChange, TargetEdit

HORIZON_MS: Final = 5 * 366 * 86_400_000
"""How far ahead a change may be scheduled: five years."""
_FIELDS: Final = ("at", "timezone", "environment", "patch", "rules", "targets", "if_version", "note")
_LONGEST_NOTE: Final = 500
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_HINT: Final = 'a local "2026-12-01T09:00" with timezone: Europe/Madrid, or "2026-12-01T09:00:00+01:00" without'


class Moment(msgspec.Struct, frozen=True):
    """An instant in ms since the epoch, and how it was written."""

    at_ms: int
    text: str
    timezone: str | None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked. ``moment`` and ``change`` are ``None`` where they have ``faults``."""

    moment: Moment | None
    change: ScheduledChange | None
    if_version: int | None
    note: str | None
    faults: tuple[Fault, ...]


def read_request(data: object, now_ms: int) -> Request:
    """Return what was asked, with all its faults; whether the flag can take the change is for who has the flag."""
    faults = Faults()
    fields = Fields(data, "", faults, _FIELDS)
    moment = _moment(fields, now_ms)
    note = fields.text("note", longest=_LONGEST_NOTE)
    if note is not None and _CONTROL.search(note):
        fields.fault("note", "a note is one line")
    if_version = fields.count("if_version")
    before = len(faults.found)
    change = _change(fields)
    sound = len(faults.found) == before
    return Request(
        moment=moment, change=change if sound else None, if_version=if_version, note=note, faults=faults.found
    )


def _moment(fields: Fields, now_ms: int) -> Moment | None:
    text = fields.text("at", longest=256)
    zone = fields.text("timezone", longest=256)
    if "at" not in fields or fields.raw("at") is None:
        fields.fault("at", "this field is required", _HINT)
    if zone is not None and zone not in timezones():
        hint = did_you_mean(zone, timezones()) or "such as Europe/Madrid or UTC"
        fields.fault("timezone", f"there is no timezone {spelled(zone)}", hint)
        return None
    if text is None:
        return None
    local = is_local(text)
    if local and zone is None:
        fields.fault("at", f"{text} needs an offset, or a timezone beside it", _HINT)
        return None
    if not local and zone is not None and has_offset(text):
        fields.fault("at", f"{text} has an offset, and there is a timezone: one of them is enough", _HINT)
        return None
    try:
        at_ms = instant_ms(text, zone)
    except (ValueError, OverflowError):
        fields.fault("at", f"{spelled(text)} is not a date and time", _HINT)
        return None
    if at_ms <= now_ms:
        fields.fault("at", f"{text} is past", "what should be so now is written to the flag itself")
        return None
    if at_ms > now_ms + HORIZON_MS:
        fields.fault("at", f"{text} is more than five years ahead")
        return None
    return Moment(at_ms, text, zone)


def _change(fields: Fields) -> ScheduledChange:
    environment = fields.text("environment", longest=128)
    patch = _patch(fields, environment)
    rules = _rules(fields)
    targets = _targets(fields)
    if environment is None:
        for name in ("rules", "targets"):
            if fields.raw(name):
                fields.fault(name, "this needs an environment: rules and targets are of one")
    if not any(fields.raw(name) for name in ("patch", "rules", "targets")):
        fields.faults.add("", "nothing would change: give patch, rules or targets")
    return ScheduledChange(environment=environment, patch=patch, rules=rules, targets=targets)


def _patch(fields: Fields, environment: str | None) -> dict[str, Any]:
    raw = fields.raw("patch")
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        fields.fault("patch", f"a merge patch is an object, not {type_name(raw)}")
        return {}
    if environment is None:
        try:
            check_patch(raw)
        except Invalid as error:
            for fault in error.faults:
                fields.faults.add(below("patch", fault.path), fault.message, fault.hint)
    return raw


def _rules(fields: Fields) -> dict[str, dict[str, Any] | None]:
    if fields.raw("rules") is None:
        return {}
    rules: dict[str, dict[str, Any] | None] = {}
    for name, edit in object_at(fields.raw("rules"), "rules", fields.faults).items():
        if edit is None or isinstance(edit, dict):
            rules[name] = edit
        else:
            hint = "the whole list of rules goes into patch.rules"
            message = f"this is {type_name(edit)}: a rule is changed by a merge patch, and taken out by null"
            fields.faults.add(below("rules", name), message, hint)
    return rules


def _targets(fields: Fields) -> dict[str, TargetEdit]:
    if fields.raw("targets") is None:
        return {}
    targets: dict[str, TargetEdit] = {}
    added: dict[str, str] = {}
    for variant, data in object_at(fields.raw("targets"), "targets", fields.faults).items():
        where = below("targets", variant)
        edit = Fields(data, where, fields.faults, ("add", "remove"))
        add = tuple(_units(edit, "add"))
        for unit in add:
            if added.setdefault(unit, where) != where:
                edit.fault("add", f"{unit} becomes a target of another variant too, at {added[unit]}")
        targets[variant] = TargetEdit(add=add, remove=tuple(_units(edit, "remove")))
    return targets


def _units(edit: Fields, name: str) -> Iterable[str]:
    if edit.raw(name) is None:
        return
    for place, unit in items_at(edit.raw(name), edit.at(name), edit.faults):
        if isinstance(unit, str):
            yield unit
        else:
            edit.faults.add(place, f"a targeting key is text, not {type_name(unit)}")
