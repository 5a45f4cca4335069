"""Settings that are wrong."""

import pytest

from rheostat_server.errors import StartupRefused
from rheostat_server.settings import read_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RHEOSTAT_PORT", "many"),
        ("RHEOSTAT_PORT", "65536"),
        ("RHEOSTAT_POLL_SECONDS", "0"),
        ("RHEOSTAT_TICK_SECONDS", "inf"),
        ("RHEOSTAT_PROMETHEUS_INTERVAL", "nan"),
        ("RHEOSTAT_PROMETHEUS_URL", "127.0.0.1:9090"),
        ("RHEOSTAT_REDIS_URL", "127.0.0.1:6379"),
        ("RHEOSTAT_PREVIEW_SAMPLE", "10001"),
        ("RHEOSTAT_PREVIEW_SAMPLE", "-1"),
        ("RHEOSTAT_ADMIN_TOKEN", "short"),
        ("RHEOSTAT_SDK_KEY", "no header can carry this"),
        ("RHEOSTAT_PUBLIC_URL", "flags.example.com"),
        ("RHEOSTAT_NOTIFY_ALLOW_PRIVATE", "yes"),
        ("RHEOSTAT_NOTIFY_ALLOW_PRIVATE", "10.0.0.0/33"),
        ("RHEOSTAT_SMTP_URL", "smtp.example.com:25"),
        ("RHEOSTAT_SMTP_URL", "smtp://user@smtp.example.com"),
        ("RHEOSTAT_SMTP_URL", "smtp://smtp.example.com"),
        ("RHEOSTAT_SMTP_FROM", "nobody"),
    ],
)
def test_a_wrong_setting_is_named_and_not_repeated(name: str, value: str) -> None:
    """One line names the variable and says what to give; the value may be a secret."""
    with pytest.raises(StartupRefused) as refusal:
        read_settings({name: value})

    assert str(refusal.value).startswith(f"{name}: give ")
    assert value not in str(refusal.value).partition(": give ")[2].split()
    assert "\n" not in str(refusal.value)


def test_an_empty_setting_is_one_that_is_not_set() -> None:
    """An empty variable leaves the default."""
    assert read_settings({"RHEOSTAT_PORT": "", "RHEOSTAT_REDIS_URL": ""}) == read_settings({})
