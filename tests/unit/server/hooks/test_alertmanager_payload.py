"""What is read of Alertmanager's notifications."""

import json
from typing import Any

import pytest

from rheostat_server.errors import Invalid, Malformed, TooLarge, Unauthenticated
from rheostat_server.hooks.alertmanager import (
    MOST_ALERTS,
    REASON_LENGTH,
    Alert,
    Notification,
    Target,
    read_notification,
    reason_of,
    target_of,
)
from rheostat_server.hooks.secrets import covers, secret_in
from rheostat_server.ports.hooks import HookRow

NAMES = {"rheostat_project": "shop", "rheostat_environment": "production", "rheostat_flag": "checkout"}


def notification(**fields: Any) -> Notification:
    return read_notification(json.dumps({"version": "4", "alerts": [], **fields}).encode())


@pytest.mark.parametrize("place", ["labels", "annotations"])
def test_an_alert_names_its_flag(place: str) -> None:
    """By labels of its own, or annotations."""
    found = notification(alerts=[{"status": "firing", place: NAMES}])

    assert target_of(found.alerts[0], found) == Target("shop", "production", "checkout")


@pytest.mark.parametrize("place", ["groupLabels", "commonLabels", "commonAnnotations"])
def test_what_the_group_has_in_common_counts_where_the_alert_says_nothing(place: str) -> None:
    """An alert's own label goes before it."""
    found = notification(alerts=[{"labels": {"rheostat_flag": "search"}}], **{place: NAMES})

    assert target_of(found.alerts[0], found) == Target("shop", "production", "search")


def test_what_is_missing_or_no_key_is_said() -> None:
    """So that the rule's author can put it right."""
    found = notification(
        alerts=[{"labels": {**NAMES, "rheostat_flag": " "}}, {"labels": {**NAMES, "rheostat_flag": "a b\0"}}]
    )

    assert target_of(found.alerts[0], found) == "it has no rheostat_flag"
    assert target_of(found.alerts[1], found) == "its rheostat_flag is no key: 'a b'"


def test_the_reason_has_name_summary_and_source() -> None:
    """As a person on call reads it: on one line, without characters that a terminal or the database chokes on."""
    alert = Alert(
        labels={"alertname": "Checkout\x1b[31m fails"},
        annotations={"summary": "5 % of\nrequests\0 fail"},
        generator_url="http://prometheus/graph?g0",
    )

    text = "alert Checkout [31m fails: 5 % of requests fail (http://prometheus/graph?g0)"
    assert reason_of(alert, notification()) == text
    assert reason_of(Alert(), notification(commonAnnotations={"description": "why"})) == "alert (no alertname): why"


@pytest.mark.parametrize(("summary", "source"), [(5_000, 10), (5_000, 5_000), (10, 5_000)])
def test_a_long_reason_is_cut(summary: int, source: int) -> None:
    """It fits where reasons are kept, and keeps its source where that fits."""
    alert = Alert(labels={"alertname": "A"}, annotations={"summary": "s" * summary}, generator_url="u" * source)
    text = reason_of(alert, notification())

    assert len(text) <= REASON_LENGTH
    assert text.startswith("alert A: s")
    assert text.endswith("u)") == (source < 100)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", Malformed),
        (b"{", Malformed),
        (b"\xff", Malformed),
        (b'{"version": "4", "alerts": [], "x": ' + b"[" * 100_000, Malformed),
        (b"[]", Invalid),
        (b'{"version": "4"}', Invalid),
        (b'{"version": "4", "alerts": [{"labels": {"a": 1}}]}', Invalid),
        (b'{"version": "3", "alerts": []}', Invalid),
        (b'{"version": "4", "alerts": [' + b",".join([b"{}"] * (MOST_ALERTS + 1)) + b"]}", TooLarge),
    ],
)
def test_what_is_no_notification_is_refused(body: bytes, error: type[Exception]) -> None:
    """With a fault that names the place, and nothing is carried out."""
    with pytest.raises(error):
        read_notification(body)


@pytest.mark.parametrize("header", ["Bearer rhh_secret", "bearer  rhh_secret ", "Basic YW06cmhoX3NlY3JldA=="])
def test_the_secret_comes_as_bearer_token_or_password(header: str) -> None:
    """Whichever Alertmanager's http_config is given."""
    assert secret_in(header) == "rhh_secret"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Basic", "Basic !", "Basic YW0=", "Basic /w==", "Digest x", "Bearer " + "x" * 600]
)
def test_other_headers_have_no_secret(header: str | None) -> None:
    """Nor does an empty password."""
    with pytest.raises(Unauthenticated):
        secret_in(header)


@pytest.mark.parametrize(
    ("environments", "flags", "is_covered"),
    [((), (), True), (("production",), ("checkout", "x"), True), (("staging",), (), False), ((), ("search",), False)],
)
def test_a_hook_covers_its_project_environments_and_flags(
    environments: tuple[str, ...], flags: tuple[str, ...], is_covered: bool
) -> None:
    """Empty lists: any of them. Never another project."""
    row = HookRow(
        id="h", project="shop", environments=environments, flags=flags, hash=b"", hint="", label="am", created_at_ms=0
    )

    assert covers(row, Target("shop", "production", "checkout")) == is_covered
    assert not covers(row, Target("other", "production", "checkout"))
