"""Where segments, layers and templates of ramps are kept, every version of them. Adapter: postgres."""

from collections.abc import Mapping
from typing import Final, Literal, Protocol

import msgspec

from rheostat.model.layer import NO_LAYERS, Layer
from rheostat_server.ports.flags import FlagRow, FlagVersion

SharedKind = Literal["segment", "layer", "template"]
"""What flags, or their ramps, share: each is one document, the same in all environments."""


class SharedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A segment, layer or template as stored. ``document`` is its JSON; times are ms since the epoch.

    A deleted one keeps its row and its versions; written again, it goes on from there.
    """

    id: int
    project_id: int
    kind: SharedKind
    key: str
    version: int
    document: bytes
    created_at_ms: int
    updated_at_ms: int
    deleted_at_ms: int | None = None


class SharedChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a write makes of what flags share: the layers before it and after it, as they are served.

    ``segments`` are those in which other units may be than before.
    """

    layers_before: Mapping[str, Layer] = NO_LAYERS
    layers: Mapping[str, Layer] = NO_LAYERS
    segments: frozenset[str] = frozenset()


NOTHING_SHARED: Final = SharedChange()


class SharedStore(Protocol):
    """Segments, layers, templates. Writers of one project take turns by ``ProjectStore.lock``, before anything else."""

    async def of_project(self, project_id: int, kind: SharedKind) -> list[SharedRow]:
        """Return all that are not deleted, in byte order of their keys."""
        ...

    async def keys(self, project_id: int, kind: SharedKind) -> list[str]:
        """Return the keys of all that are not deleted: documents can be long."""
        ...

    async def users(self, project_id: int, kind: SharedKind) -> list[FlagRow]:
        """Return all flags in service that may name one of this kind, in byte order of their keys."""
        ...

    async def naming_segments(self, project_id: int) -> list[SharedRow]:
        """Return the segments, none deleted, that may name another, in byte order of their keys."""
        ...

    async def find(self, project_id: int, kind: SharedKind, key: str) -> SharedRow | None:
        """Return one, a deleted one too."""
        ...

    async def write(
        self,
        project_id: int,
        kind: SharedKind,
        key: str,
        document: bytes,
        *,
        deleted_at_ms: int | None,
        action: str,
        actor: str,
        at_ms: int,
    ) -> SharedRow:
        """Keep a next version; the first where there is none."""
        ...

    async def versions(self, shared_id: int) -> list[FlagVersion]:
        """Return every version, newest first."""
        ...

    async def version(self, shared_id: int, version: int) -> FlagVersion:
        """Return one version.

        Raises:
            NotFound: there is no such version.
        """
        ...
