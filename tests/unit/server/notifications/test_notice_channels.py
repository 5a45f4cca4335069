"""Channels as people describe them, and the faults in them."""

from typing import Any

import pytest

from rheostat_server.notifications.signature import secret_of
from rheostat_server.notifications.validate import changed_channel, new_channel
from rheostat_server.notifications.wire import shown_url
from rheostat_server.ports.notifications import ChannelKind, Filters, Target

ENVIRONMENTS = ("production", "staging")
WEBHOOK: dict[str, Any] = {"name": "audit", "kind": "webhook", "url": "https://hooks.example.com/x"}
EMAIL: dict[str, Any] = {"name": "team", "kind": "email", "to": ["ops@example.com"]}


def faults(**fields: Any) -> dict[str, str]:
    """Return the faults of the webhook with these fields, by path."""
    _, found = new_channel({**WEBHOOK, **fields}, ENVIRONMENTS)
    assert all(fault.hint for fault in found.found), found.found
    return {fault.path: fault.message for fault in found.found}


def test_a_channel_with_everything() -> None:
    """Filters and target are read; names that are twice there are once."""
    channel, found = new_channel(
        {
            **WEBHOOK,
            "environments": ["production", "production"],
            "events": ["killed"],
            "flags": ["a"],
            "tags": ["é p"],
        },
        ENVIRONMENTS,
    )
    assert not found.found
    assert channel is not None
    assert (channel.name, channel.kind, channel.target) == ("audit", ChannelKind.WEBHOOK, Target(url=WEBHOOK["url"]))
    assert channel.filters == Filters(environments=("production",), events=("killed",), flags=("a",), tags=("é p",))


def test_every_fault_is_named_at_once() -> None:
    """One answer has all that is wrong, each with its place."""
    found = faults(
        name="a b",
        url="ftp://x",
        secret="short",
        to=["x@example.com"],
        environments=["prod", 5],
        events=["kiled"],
        flags=["a b"],
        tags="payments",
        colour="red",
    )
    assert set(found) == {
        "name", "url", "secret", "to", "environments[0]", "environments[1]", "events[0]", "flags[0]", "tags", "colour",
    }  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.example.com", "https://", "https:///path", "file:///etc/passwd", "https://user:pw@example.com/",
        "https://example.com/#part", "https://example.com/a b", "https://exämple.com/", "https://example.com:0/",
        "https://example.com:99999/", "https://[::1/", "https://example.com/" + "a" * 2048, "https://a.b/\r\nx: y",
    ],
)  # fmt: skip
def test_wrong_addresses(url: str) -> None:
    """What is no address to POST to is a fault, and is not repeated: it may be a secret."""
    [(path, message)] = faults(url=url).items()
    assert path == "url"
    assert not url or url not in message


@pytest.mark.parametrize(
    ("to", "path"),
    [
        ([], "to"),
        ("ops@example.com", "to"),
        (["ops@example.com", "nobody"], "to[1]"),
        (["ops@example.com\r\nBcc: x@example.com"], "to[0]"),
        (["Ops <ops@example.com>"], "to[0]"),
        ([5], "to[0]"),
        ([f"a{number}@example.com" for number in range(51)], "to"),
    ],
)
def test_wrong_recipients(to: Any, path: str) -> None:
    """Each address is checked by itself; nobody at all is a fault too."""
    _, found = new_channel({**EMAIL, "to": to}, ENVIRONMENTS)
    assert [fault.path for fault in found.found] == [path]


def test_what_a_kind_needs_and_what_it_has_not() -> None:
    """Slack has no secret, e-mail no address of the web; each needs its own."""
    for data, paths in (
        ({"name": "s", "kind": "slack"}, {"url"}),
        ({"name": "s", "kind": "slack", "url": WEBHOOK["url"], "secret": secret_of(bytes(32))}, {"secret"}),
        ({**EMAIL, "url": WEBHOOK["url"]}, {"url"}),
        ({"name": "e", "kind": "email"}, {"to"}),
        ({"name": "e", "kind": "pager"}, {"kind"}),
        ({}, {"name", "kind"}),
        ([], {""}),
    ):
        _, found = new_channel(data, ENVIRONMENTS)
        assert paths <= {fault.path for fault in found.found}, data


def test_a_change_keeps_what_it_does_not_say() -> None:
    """``null`` takes a filter away, a field that is left out stays, name and kind are for ever."""
    target, filters = Target(url=WEBHOOK["url"], secret=secret_of(bytes(32))), Filters(events=("killed",), tags=("a",))

    changed, after, found = changed_channel({"events": None}, ChannelKind.WEBHOOK, target, filters, ENVIRONMENTS)
    assert (changed, after, found.found) == (target, Filters(tags=("a",)), ())

    changed, _, found = changed_channel(
        {"url": "https://b.example/"}, ChannelKind.WEBHOOK, target, filters, ENVIRONMENTS
    )
    assert (changed.url, changed.secret, found.found) == ("https://b.example/", target.secret, ())

    for data in ({"name": "b"}, {"kind": "slack"}, {"url": None}, {"to": ["a@example.com"]}):
        *_, found = changed_channel(data, ChannelKind.WEBHOOK, target, filters, ENVIRONMENTS)
        assert [fault.path for fault in found.found] == list(data)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.slack.com/services/T0/B0/secret", "https://hooks.slack.com/…"),
        ("https://hooks.example.com:8443", "https://hooks.example.com:8443"),
        ("https://hooks.example.com/?key=secret", "https://hooks.example.com/…"),
    ],
)
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    """The path and the query of an incoming webhook are its secret."""
    assert shown_url(url) == shown
