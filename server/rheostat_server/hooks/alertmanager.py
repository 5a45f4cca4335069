"""What Alertmanager's webhook sends, and which flag each alert names. Pure."""

import re
from collections.abc import Mapping

import msgspec

from rheostat_server.errors import Fault, Invalid, Malformed, TooLarge

VERSION = "4"
MOST_ALERTS = 1_000
REASON_LENGTH = 1_000
NAMES = ("rheostat_project", "rheostat_environment", "rheostat_flag")
"""The labels by which an alert says what to kill."""
_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert. Fields that are not known here are ignored."""

    status: str = "firing"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    generator_url: str = msgspec.field(default="", name="generatorURL")

    @property
    def name(self) -> str:
        """What it is called."""
        return printable(self.labels.get("alertname", "")) or "(no alertname)"

    @property
    def firing(self) -> bool:
        """Whether it is not resolved."""
        return self.status != "resolved"


class Notification(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A notification of Alertmanager (payload version 4)."""

    version: str
    alerts: tuple[Alert, ...]
    group_labels: dict[str, str] = {}
    common_labels: dict[str, str] = {}
    common_annotations: dict[str, str] = {}
    truncated_alerts: int = 0


class Target(msgspec.Struct, frozen=True):
    """The flag that an alert names."""

    project: str
    environment: str
    flag: str


_DECODER = msgspec.json.Decoder(Notification)


def read_notification(body: bytes) -> Notification:
    """Return the notification in a body.

    Raises:
        Malformed: it is not JSON.
        Invalid: it is no notification of version 4.
        TooLarge: it has more than 1 000 alerts.
    """
    try:
        found = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        hint = f"send what Alertmanager's webhook_configs sends (payload version {VERSION})"
        raise Invalid([Fault(path.rstrip("`").lstrip("."), message, hint)], "the notification") from error
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the body is not JSON: {error}") from error
    if found.version != VERSION:
        fault = Fault("version", f"this is {printable(found.version)[:40]!r}", f"version {VERSION} is understood")
        raise Invalid([fault], "the notification")
    if len(found.alerts) > MOST_ALERTS:
        raise TooLarge(f"a notification has at most {MOST_ALERTS} alerts; set max_alerts, or group by more labels")
    return found


def target_of(alert: Alert, notification: Notification) -> Target | str:
    """Return the flag that an alert names, or in words why it names none.

    Its own labels count before its annotations, and those before what the group has in common.
    """
    places = (
        alert.labels,
        alert.annotations,
        notification.common_labels,
        notification.group_labels,
        notification.common_annotations,
    )
    values = [_first(name, places) for name in NAMES]
    if missing := [name for name, value in zip(NAMES, values, strict=True) if not value]:
        return f"it has no {', '.join(missing)}"
    for name, value in zip(NAMES, values, strict=True):
        if not _KEY(value):
            return f"its {name} is no key: {printable(value)[:60]!r}"
    return Target(*values)


def reason_of(alert: Alert, notification: Notification) -> str:
    """Return why the alert kills: its name, its summary and where it comes from."""
    said = (_first(name, (alert.annotations, notification.common_annotations)) for name in ("summary", "description"))
    words = next(filter(None, map(printable, said)), "")
    source = printable(alert.generator_url)
    text = f"alert {alert.name}" + (f": {words}" if words else "")
    room = REASON_LENGTH - (len(source) + 3 if source else 0)
    if room < len(alert.name):
        return text[:REASON_LENGTH]
    return text[:room] + (f" ({source})" if source else "")


def printable(text: str) -> str:
    """Return a text on one line, without what PostgreSQL or a terminal chokes on."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _first(name: str, places: tuple[Mapping[str, str], ...]) -> str:
    return next((place[name].strip() for place in places if place.get(name, "").strip()), "")
