"""How commands on the same machine find a running server: ``server.json`` in its data directory."""

import os
from pathlib import Path

import msgspec

NAME = "server.json"


class ServerFile(msgspec.Struct, frozen=True):
    """Where a server answers, and its process."""

    url: str
    pid: int


def write_server_file(data_dir: Path, found: ServerFile) -> None:
    """Write it whole, or not at all."""
    fresh = data_dir / f"{NAME}.new"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(found))
    fresh.replace(data_dir / NAME)


def remove_server_file(data_dir: Path) -> None:
    """Take it away when the server stops."""
    (data_dir / NAME).unlink(missing_ok=True)


def read_server_file(data_dir: Path) -> ServerFile | None:
    """Return what the file says, where its process still runs."""
    try:
        found = msgspec.json.decode((data_dir / NAME).read_bytes(), type=ServerFile)
        os.kill(found.pid, 0)
    except PermissionError:
        return found
    except (OSError, msgspec.DecodeError):
        return None
    return found
