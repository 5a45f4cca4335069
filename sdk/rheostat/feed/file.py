"""A snapshot that the application brings along, for when neither the server nor the disk has one."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from rheostat.errors import InvalidSnapshot
from rheostat.feed.protocol import decode_snapshot
from rheostat.model.snapshot import Snapshot

Bootstrap: TypeAlias = str | os.PathLike[str] | bytes | Mapping[str, Any] | Snapshot
"""A file's path, or what such a file holds: the answer of ``GET /sdk/v1/snapshot``, as bytes or decoded."""


def read_bootstrap(bootstrap: Bootstrap) -> Snapshot:
    """Return the snapshot.

    Raises:
        InvalidSnapshot: there is no such file, or it is not a snapshot.
    """
    if isinstance(bootstrap, Snapshot):
        return bootstrap
    if isinstance(bootstrap, bytes):
        return decode_snapshot(bootstrap)
    if isinstance(bootstrap, Mapping):
        try:
            return msgspec.convert(json.loads(json.dumps(dict(bootstrap))), Snapshot)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidSnapshot(f"not a snapshot: {error}") from error
    try:
        body = Path(bootstrap).read_bytes()
    except (OSError, TypeError, ValueError) as error:
        raise InvalidSnapshot(f"the bootstrap file cannot be read: {error}") from error
    return decode_snapshot(body)
