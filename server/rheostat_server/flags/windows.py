"""Whether a rule's window is one. Pure, but for the timezones of the machine."""

from collections.abc import Collection
from functools import lru_cache
from typing import Final
from zoneinfo import available_timezones

from rheostat.model.window import WindowDocument, instant_ms
from rheostat_server.faults import Faults, Fields, did_you_mean, spelled

_FIELDS: Final = ("from", "until", "timezone")
_NOT_EVERYWHERE: Final = {"localtime", "Factory", "posixrules"}
"""Names that mean another timezone, or none, on another machine."""


@lru_cache(maxsize=1)
def timezones() -> Collection[str]:
    """Return the names of the timezones that this machine knows and that mean the same on any other."""
    return sorted(available_timezones() - _NOT_EVERYWHERE)


def check_window(data: object, path: str, faults: Faults) -> WindowDocument | None:
    """Return the window; ``None`` where it is faulty."""
    fields = Fields(data, path, faults, _FIELDS)
    if not isinstance(data, dict):
        return None
    sound = True
    zone = fields.text("timezone", longest=256)
    if zone is not None and zone not in timezones():
        hint = did_you_mean(zone, timezones()) or "such as Europe/Madrid or UTC"
        fields.fault("timezone", f"there is no timezone {spelled(zone)}", hint)
        zone, sound = "UTC", False
    texts = {name: fields.text(name, longest=256) for name in ("from", "until")}
    if texts["from"] is None and texts["until"] is None:
        faults.add(path, "a window has from, until or both", 'such as from: "2026-11-27T00:00", in quotes')
        return None
    bounds: dict[str, int] = {}
    for name, text in texts.items():
        if text is None:
            continue
        try:
            bounds[name] = instant_ms(text, zone)
        except ValueError as error:
            hint = 'a local "2026-11-27T00:00" with timezone: Europe/Madrid, or "2026-11-27T00:00:00+01:00" without'
            fields.fault(name, spelled(error), hint)
            sound = False
    if len(bounds) == 2 and bounds["until"] <= bounds["from"]:
        fields.fault("until", "a window ends after it begins")
        sound = False
    return WindowDocument(from_=texts["from"], until=texts["until"], timezone=zone) if sound else None
