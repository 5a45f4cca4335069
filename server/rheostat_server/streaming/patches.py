"""The patches that lead to one identity, each made once and kept while there is room."""

from rheostat.model.snapshot import Identity
from rheostat_server.streaming.contents import Contents
from rheostat_server.streaming.events import patch_event

PATCH_BYTES = 1 << 20
"""A larger patch is not sent to everybody at once: readers fetch the snapshot, compressed and spread over time."""
KEPT_BYTES = 8 << 20
"""All patches of an environment that are kept at a time take no more."""


class Patches:
    """Patches to ``to`` from the revisions at which readers stand."""

    def __init__(self, to: Identity) -> None:
        self._to = to
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0
        # From here and from anywhere below, the patch is too large: it holds all that this one would.
        self._too_large_from = -1

    @property
    def kept_bytes(self) -> int:
        """How much is kept."""
        return self._kept_bytes

    def since(self, held: Identity, contents: Contents) -> bytes | None:
        """Return the patch from there, an event; ``None`` where it is larger than ``PATCH_BYTES``.

        ``contents`` are those at ``to``, and know what was removed since ``held``.
        """
        if held.revision <= self._too_large_from:
            return None
        if (kept := self._kept.get(held.revision)) is not None:
            return kept
        patch = patch_event(held, self._to, contents.since(held.revision))
        if len(patch) > PATCH_BYTES:
            self._too_large_from = held.revision
            return None
        self._keep(held.revision, patch)
        return patch

    def _keep(self, revision: int, patch: bytes) -> None:
        self._kept[revision] = patch
        self._kept_bytes += len(patch)
        while self._kept_bytes > KEPT_BYTES:
            # The one that was made first: readers of one revision come back together, soon after one another.
            self._kept_bytes -= len(self._kept.pop(next(iter(self._kept))))
