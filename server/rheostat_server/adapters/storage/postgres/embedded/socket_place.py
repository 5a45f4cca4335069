"""Where PostgreSQL's socket goes: its path must be short."""

import os
import shutil
import tempfile
from pathlib import Path

from rheostat_server.adapters.storage.postgres.embedded.account import Account
from rheostat_server.errors import StartupRefused

LONGEST_PATH_BYTES = 100
"""The kernel takes 107; some systems take 103."""
SOCKET_NAME = ".s.PGSQL.5432"
PLACES = (Path("/run"), Path("/tmp"))  # noqa: S108 - only a fresh 0700 directory in it is used
PREFIX = "rheostat-socket-"


def fits(directory: Path) -> bool:
    """Say whether a socket in this directory has a short enough path."""
    return len(os.fsencode(directory / SOCKET_NAME)) <= LONGEST_PATH_BYTES


def make_short_directory(account: Account) -> Path:
    """Return a fresh directory for the socket that only the account can enter.

    Raises:
        StartupRefused: none can be made.
    """
    for place in PLACES:
        try:
            directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        except OSError:
            continue
        account.give(directory)
        return directory
    places = " nor ".join(map(str, PLACES))
    raise StartupRefused(f"the data directory's path is too long for a socket, and neither {places} can be written")


def remove(directory: Path) -> None:
    """Remove a directory that `make_short_directory` made; any other is left alone."""
    if directory.name.startswith(PREFIX) and directory.parent in PLACES:
        shutil.rmtree(directory, ignore_errors=True)
