"""Previews on the wire: what is asked."""

import msgspec
from msgspec import UNSET, UnsetType

from rheostat.model.kill import KillScope
from rheostat_server.web.decoding import Body, Key


class RestorePreview(Body, frozen=True):
    """Who moves if this version is written again."""

    version: int


class ArchivePreview(Body, frozen=True):
    """Who moves if the flag goes out of service; ``force`` as for the archival."""

    force: bool = False


class UnarchivePreview(Body, frozen=True):
    """Who moves if the flag comes back into service."""


class KillPreview(Body, frozen=True):
    """Who moves if the flag is taken back in an environment; ``scope`` and ``to_code_default`` as for the kill."""

    environment: Key
    scope: KillScope | None = None
    to_code_default: bool = False


class RevivePreview(Body, frozen=True):
    """Who moves if the kills of the flag are lifted in an environment."""

    environment: Key


class PreviewBody(Body, frozen=True):
    """The change of a flag that might be made: exactly one of these. ``document`` is one that might be written."""

    document: msgspec.Raw | UnsetType = UNSET
    restore: RestorePreview | UnsetType = UNSET
    archive: ArchivePreview | UnsetType = UNSET
    unarchive: UnarchivePreview | UnsetType = UNSET
    kill: KillPreview | UnsetType = UNSET
    revive: RevivePreview | UnsetType = UNSET


class SharedPreviewBody(Body, frozen=True):
    """The document of a segment or layer that might be written."""

    document: msgspec.Raw
