"""Where the client's settings come from, and which are refused."""

from pathlib import Path
from typing import Any

import pytest

from rheostat import ConfigurationError, Rheostat
from rheostat.settings import read_settings

GIVEN = {
    "RHEOSTAT_URL": "https://flags.example.com/base/",
    "RHEOSTAT_SDK_KEY": "rhs_1",
    "RHEOSTAT_SERVICE": "shop",
    "RHEOSTAT_CACHE_DIR": "/var/cache/shop",
}


def test_the_environment_is_read() -> None:
    """Each variable has its setting; a url's last slash goes."""
    settings = read_settings(GIVEN)

    assert settings.url == "https://flags.example.com/base"
    assert (settings.sdk_key, settings.service, settings.cache_dir) == ("rhs_1", "shop", Path("/var/cache/shop"))
    assert settings.connected


def test_arguments_win() -> None:
    """What the code says stands over the environment."""
    settings = read_settings(GIVEN, url="http://localhost:8080", sdk_key="k", service="s", cache_dir="c")

    assert (settings.url, settings.sdk_key, settings.service, settings.cache_dir) == (
        "http://localhost:8080",
        "k",
        "s",
        Path("c"),
    )


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({"HOME": "/home/ada"}, "/home/ada/.cache/rheostat"),
        ({"HOME": "/home/ada", "XDG_CACHE_HOME": "/cache"}, "/cache/rheostat"),
        ({}, "/tmp/.cache/rheostat"),
    ],
)
def test_the_cache_has_a_place(environ: dict[str, str], where: str) -> None:
    """The user's cache directory, unless told otherwise."""
    assert read_settings(environ).cache_dir == Path(where)


def test_empty_variables_are_not_set() -> None:
    """A container's empty variable is no setting, and what is missing can be named."""
    settings = read_settings({"RHEOSTAT_URL": "", "RHEOSTAT_SDK_KEY": ""})

    assert not settings.connected
    assert settings.missing() == ["RHEOSTAT_URL", "RHEOSTAT_SDK_KEY"]


@pytest.mark.parametrize(
    "bad",
    [
        {"url": "flags.example.com"},
        {"url": "ftp://flags.example.com"},
        {"url": "http://"},
        {"url": "http://host:port"},
        {"url": "http://me:secret@host"},
        {"url": "http://host/?key=1"},
        {"url": 8080},
        {"sdk_key": "two words"},
        {"sdk_key": "line\nbreak"},
        {"sdk_key": b"bytes"},
        {"service": 3},
        {"cache_dir": 3},
        {"stale_after": 0},
        {"stale_after": True},
        {"stale_after": "60"},
        {"bootstrap": 3},
    ],
)
def test_nonsense_is_refused_by_name(bad: dict[str, Any]) -> None:
    """A value that cannot be meant raises at once and says which it is."""
    with pytest.raises(ConfigurationError, match=next(iter(bad))):
        Rheostat(**bad)


def test_the_key_stays_out_of_logs() -> None:
    """Printing settings shows whether there is a key, not which."""
    assert "rhs_1" not in repr(read_settings(GIVEN))
