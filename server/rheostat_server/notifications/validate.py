"""From what people send of a channel to a channel, with every fault named. Pure."""

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import msgspec

from rheostat_server.faults import Faults, Fields, did_you_mean, items_at, spelled, type_name
from rheostat_server.notifications.signature import key_of
from rheostat_server.notifications.smtp_address import mailbox
from rheostat_server.ports.notifications import ChannelKind, Filters, Target
from rheostat_server.ramps.news import News

MOST_ADDRESSES = 50
MOST_NAMES = 100
_LONGEST_URL = 2048
_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}")
_KEY_HINT = "letters, digits, . _ - only, at most 128"
_FILTERS = ("environments", "events", "flags", "tags")
_OF_KIND = {
    ChannelKind.WEBHOOK: ("url", "secret"),
    ChannelKind.SLACK: ("url",),
    ChannelKind.EMAIL: ("to",),
}
_KNOWN = ("name", "kind", "url", "secret", "to", *_FILTERS)


class ChannelDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as people describe it."""

    name: str
    kind: ChannelKind
    target: Target
    filters: Filters


def new_channel(data: Any, environments: Collection[str]) -> tuple[ChannelDocument | None, Faults]:
    """Return the channel that was described, and its faults; it is whole where there are none."""
    faults = Faults()
    fields = Fields(data, "", faults, _KNOWN)
    fields.required("name", "kind")
    name = fields.text("name")
    if name is not None and not _KEY.fullmatch(name):
        fields.fault("name", f"{spelled(name)} is no name", _KEY_HINT)
    kind = fields.choice("kind", [kind.value for kind in ChannelKind])
    filters = _filters(fields, Filters(), environments)
    if kind is None or name is None:
        return None, faults
    target = _target(fields, ChannelKind(kind), Target(), new=True)
    return ChannelDocument(name=name, kind=ChannelKind(kind), target=target, filters=filters), faults


def changed_channel(
    data: Any, kind: ChannelKind, target: Target, filters: Filters, environments: Collection[str]
) -> tuple[Target, Filters, Faults]:
    """Return the target and the filters after a change of the fields that were sent, and the change's faults."""
    faults = Faults()
    fields = Fields(data, "", faults, _KNOWN)
    for name in ("name", "kind"):
        if name in fields:
            fields.fault(name, f"a channel's {name} does not change", "add another channel, and remove this one")
    changed = _target(fields, kind, target, new=False)
    return changed, _filters(fields, filters, environments), faults


def _target(fields: Fields, kind: ChannelKind, before: Target, *, new: bool) -> Target:
    mine = _OF_KIND[kind]
    for name in ("url", "secret", "to"):
        if name in fields and name not in mine:
            fields.fault(name, f"a channel of kind {kind} has none", f"it has {' and '.join(mine)}")
    target = before
    if "url" in mine:
        if new:
            fields.required("url")
        if (url := fields.text("url")) is not None:
            _check_url(fields, url)
            target = msgspec.structs.replace(target, url=url)
        elif "url" in fields and fields.raw("url") is None:
            fields.fault("url", "a channel needs its address", "leave it out to keep it")
    if "secret" in mine and (secret := fields.text("secret")) is not None:
        try:
            key_of(secret)
        except ValueError as error:
            fields.fault("secret", str(error), "leave it out to have one made")
        target = msgspec.structs.replace(target, secret=secret, old_secret="", old_secret_until_ms=0)
    if "to" in mine:
        if new:
            fields.required("to")
        if "to" in fields:
            target = msgspec.structs.replace(target, to=_addresses(fields))
    return target


def _check_url(fields: Fields, url: str) -> None:
    """Note what is wrong with an address. The address itself is not repeated: it may be a secret."""
    hint = "such as https://hooks.example.com/rheostat"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        fields.fault("url", "it does not parse as a URL", hint)
        return
    if not (url.isascii() and url.isprintable() and " " not in url) or len(url) > _LONGEST_URL:
        fields.fault("url", f"a URL is at most {_LONGEST_URL} visible ASCII characters", hint)
    elif parts.scheme not in {"http", "https"} or not host or port == 0:
        fields.fault("url", "it is not of the form http(s)://host[:port]/path", hint)
    elif parts.username is not None or parts.password is not None:
        fields.fault("url", "there is a user or a password in it", "receivers check the signature; leave them out")
    elif parts.fragment:
        fields.fault("url", "what follows # is never sent", "leave it out")


def _addresses(fields: Fields) -> tuple[str, ...]:
    found: list[str] = []
    for path, value in items_at(fields.raw("to"), fields.at("to"), fields.faults):
        if not isinstance(value, str):
            fields.faults.add(path, f"this is {type_name(value)}, not text", "such as team@example.com")
            continue
        try:
            name, address = mailbox(value)
        except ValueError as error:
            fields.faults.add(path, f"{spelled(value)}: {error}", "such as team@example.com")
            continue
        if name:
            fields.faults.add(path, "give the address alone, without a name", address)
        elif address not in found:
            found.append(address)
    if not found and isinstance(fields.raw("to"), (list, tuple)) and not fields.raw("to"):
        fields.fault("to", "nobody would get it", "such as [team@example.com]")
    if len(found) > MOST_ADDRESSES:
        fields.fault("to", f"there are {len(found)} addresses", f"at most {MOST_ADDRESSES}; use a mailing list")
    return tuple(found)


def _filters(fields: Fields, before: Filters, environments: Collection[str]) -> Filters:
    events = [news.value for news in News]
    changes: dict[str, tuple[str, ...]] = {}
    for name, known, what in (
        ("environments", environments, "the project has no environment"),
        ("events", events, "there is no event"),
        ("flags", None, ""),
        ("tags", None, ""),
    ):
        if name in fields:
            changes[name] = _names(fields, name, known, what)
    return msgspec.structs.replace(before, **changes)


def _names(fields: Fields, name: str, known: Collection[str] | None, what: str) -> tuple[str, ...]:
    if fields.raw(name) is None:
        return ()
    found: list[str] = []
    for path, value in items_at(fields.raw(name), fields.at(name), fields.faults):
        if not isinstance(value, str):
            fields.faults.add(path, f"this is {type_name(value)}, not text", "such as production")
        elif known is not None and value not in known:
            fields.faults.add(path, f"{what} {spelled(value)}", did_you_mean(value, known))
        elif known is None and not _usable(name, value):
            fields.faults.add(path, f"{spelled(value)} cannot be one of {name}", _KEY_HINT)
        elif value not in found:
            found.append(value)
    if len(found) > MOST_NAMES:
        fields.fault(name, f"there are {len(found)}", f"at most {MOST_NAMES}; leave it out for all")
    return tuple(found)


def _usable(name: str, value: str) -> bool:
    if name == "flags":
        return _KEY.fullmatch(value) is not None
    return 0 < len(value) <= 128 and value.isprintable()
