"""What a client is told when it is made: by arguments, else by the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from rheostat.errors import ConfigurationError

STALE_AFTER_SECONDS = 60.0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A client's settings. ``url`` has no slash at its end; without ``url`` or ``sdk_key`` there is no feed."""

    url: str | None = None
    sdk_key: str | None = None
    service: str = ""
    cache_dir: Path
    strict: bool = False
    stale_after: float = STALE_AFTER_SECONDS
    """Seconds. Answers from a snapshot that is older, end to end, say that they are stale."""

    @property
    def connected(self) -> bool:
        """Whether there is a server to follow."""
        return self.url is not None and self.sdk_key is not None

    def missing(self) -> list[str]:
        """Return the names of the environment variables that would have to be set for a feed."""
        given = {"RHEOSTAT_URL": self.url, "RHEOSTAT_SDK_KEY": self.sdk_key}
        return [name for name, value in given.items() if value is None]

    def __repr__(self) -> str:
        # The key opens the environment, so it stays out of logs and tracebacks.
        key = "set" if self.sdk_key else "not set"
        return f"Settings(url={self.url!r}, sdk_key={key}, service={self.service!r}, cache_dir={str(self.cache_dir)!r})"


def read_settings(
    environ: Mapping[str, str],
    *,
    url: str | None = None,
    sdk_key: str | None = None,
    service: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    strict: bool = False,
    stale_after: float = STALE_AFTER_SECONDS,
) -> Settings:
    """Return the settings: each argument, else its variable.

    These are ``RHEOSTAT_URL``, ``RHEOSTAT_SDK_KEY``, ``RHEOSTAT_SERVICE``, ``RHEOSTAT_CACHE_DIR``. An empty
    variable is one that is not set.

    Raises:
        ConfigurationError: a value makes no sense; the message names it.
    """
    return Settings(
        url=_url(_text("url", url) or environ.get("RHEOSTAT_URL") or None),
        sdk_key=_key(_text("sdk_key", sdk_key) or environ.get("RHEOSTAT_SDK_KEY") or None),
        service=_text("service", service) or environ.get("RHEOSTAT_SERVICE") or "",
        cache_dir=_directory(cache_dir, environ),
        strict=bool(strict),
        stale_after=_seconds(stale_after),
    )


def _text(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ConfigurationError(f"{name} is text, not {type(value).__name__}")


def _url(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        port_is_fine = False
    if not port_is_fine or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"the url {text!r} is not of the form http(s)://host[:port]")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ConfigurationError("the url carries more than a host, a port and a path")
    return text.rstrip("/")


def _key(text: str | None) -> str | None:
    # What cannot stand in a header would fail at each request, far from where it was written.
    if text is not None and not (text.isascii() and text.isprintable() and " " not in text):
        raise ConfigurationError("the sdk_key has characters that no key has")
    return text


def _directory(given: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Path:
    if given is not None:
        try:
            return Path(given)
        except TypeError as error:
            raise ConfigurationError(f"cache_dir is a path, not {type(given).__name__}") from error
    if environ.get("RHEOSTAT_CACHE_DIR"):
        return Path(environ["RHEOSTAT_CACHE_DIR"])
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or "/tmp") / ".cache")  # noqa: S108 - only where there is no home; the files are 0600
    return Path(base) / "rheostat"


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ConfigurationError(f"stale_after is a number of seconds above 0, not {value!r}")
    return float(value)
