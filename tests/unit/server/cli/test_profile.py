"""A person's profiles."""

import stat
from pathlib import Path

import pytest

from rheostat_server.cli.profile import (
    Profile,
    ProfileBroken,
    Profiles,
    profiles_path,
    read_profiles,
    write_profiles,
)


def test_profiles_are_kept_for_their_owner_alone(tmp_path: Path) -> None:
    """What is written is read again, and nobody else may read it: it holds tokens."""
    path = profiles_path({"XDG_CONFIG_HOME": str(tmp_path / "config")})
    profiles = Profiles("work", {"work": Profile(url="https://flags.example.com", token="rht_secret")})

    write_profiles(path, profiles)

    assert read_profiles(path) == profiles
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.parent.name == "rheostat"


def test_a_machine_without_profiles_has_none(tmp_path: Path) -> None:
    """A file that is not there is no error."""
    assert read_profiles(profiles_path({"HOME": str(tmp_path)})) == Profiles()


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    """The message says which file cannot be read."""
    path = tmp_path / "profiles.json"
    path.write_text("{")

    with pytest.raises(ProfileBroken, match=r"profiles\.json"):
        read_profiles(path)
