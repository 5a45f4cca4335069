"""Where a person's settings of the command line are kept: ``~/.config/rheostat/profiles.json``."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

DEFAULT_URL = "http://127.0.0.1:8080"


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to reach one server, and what is meant when nothing is said."""

    url: str | None = None
    token: str | None = None
    project: str | None = None
    environment: str | None = None


class Profiles(msgspec.Struct, frozen=True):
    """All profiles, and which is used when none is named."""

    current: str = "default"
    profiles: dict[str, Profile] = {}


class ProfileBroken(Exception):
    """The file is not what this command writes."""


def profiles_path(environ: Mapping[str, str]) -> Path:
    """Return the file of this user, by the XDG rule."""
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "~").expanduser() / ".config"
    return Path(base) / "rheostat" / "profiles.json"


def read_profiles(path: Path) -> Profiles:
    """Read the file; one that is not there has no profiles.

    Raises:
        ProfileBroken: it cannot be read or parsed.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Profiles)
    except FileNotFoundError:
        return Profiles()
    except (OSError, msgspec.DecodeError) as error:
        raise ProfileBroken(f"{path}: {error}") from error


def write_profiles(path: Path, profiles: Profiles) -> None:
    """Replace the file at once; it holds tokens, so nobody else may read it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(profiles), indent=2) + b"\n")
    fresh.replace(path)
