"""What one environment serves, row by row, as the bytes that go out. Pure."""

from collections.abc import Iterable

from rheostat.model.snapshot import Identity
from rheostat_server.ports.storage import ServedKind, ServedRow

PLACES: dict[ServedKind, bytes] = {"flag": b"flags", "segment": b"segments", "ramp": b"ramps", "kill": b"kills"}
"""The lists of a snapshot or patch that each kind of row goes to."""


class Contents:
    """The rows of one environment at one revision. Removed ones stay, as what a reader from before must hear of.

    ``known_from`` is the revision from which on removals are known: readers below it need a whole snapshot.
    """

    def __init__(self, revision: int, rows: Iterable[ServedRow]) -> None:
        self.known_from = revision
        self._rows: dict[tuple[ServedKind, str], ServedRow] = {}
        # The removed ones, the longest gone first.
        self._removed: dict[tuple[ServedKind, str], int] = {}
        self.merge(rows)

    def merge(self, rows: Iterable[ServedRow]) -> None:
        """Take over rows of a later revision."""
        for row in sorted(rows, key=lambda row: row.revision):
            place = row.kind, row.key
            self._rows[place] = row
            self._removed.pop(place, None)
            if row.body is None:
                self._removed[place] = row.revision

    def forget(self, revision: int) -> None:
        """Forget what was removed up to this revision: readers below it need a whole snapshot from now on."""
        self.known_from = max(self.known_from, revision)
        while self._removed:
            place, removed_at = next(iter(self._removed.items()))
            if removed_at > revision:
                break
            del self._removed[place], self._rows[place]

    def since(self, revision: int) -> list[ServedRow]:
        """Return the rows above this revision, removals too, by kind and key.

        Each row is there once, at its last state; so this is shorter than the patches between, and as good.
        """
        return sorted((row for row in self._rows.values() if row.revision > revision), key=_place)

    def present(self) -> list[ServedRow]:
        """Return what is served, by kind and key."""
        return sorted((row for row in self._rows.values() if row.body is not None), key=_place)

    def kills(self) -> list[ServedRow]:
        """Return the kills that are there, revived ones too, by key."""
        return sorted((row for row in self._rows.values() if row.kind == "kill" and row.body is not None), key=_place)


def _place(row: ServedRow) -> tuple[str, str]:
    return row.kind, row.key


def lists_of(rows: Iterable[ServedRow], *, always: bool) -> bytes:
    """Return ``"flags":[…],…`` with the bodies of these rows in their order; ``always``: empty lists too."""
    bodies: dict[bytes, list[bytes]] = {place: [] for place in PLACES.values()}
    for row in rows:
        if row.body is not None:
            bodies[PLACES[row.kind]].append(row.body)
    parts = [b'"%s":[%s]' % (place, b",".join(found)) for place, found in bodies.items() if found or always]
    return b",".join(parts)


def snapshot_tail(
    rows: Iterable[ServedRow], *, snapshot_format: int, identity: Identity, project: bytes, environment: bytes
) -> bytes:
    """Return a snapshot's JSON from its format on; what stands before (the age) differs with each answer.

    ``project`` and ``environment`` are JSON texts. The same rows give the same bytes, for they are sorted here:
    PostgreSQL's collations differ between hosts.
    """
    head = b'"format":%d,"generation":%d,"revision":%d,"project":%s,"environment":%s,' % (
        snapshot_format,
        identity.generation,
        identity.revision,
        project,
        environment,
    )
    return head + lists_of(rows, always=True) + b"}"


def snapshot_head(age_ms: int) -> bytes:
    """Return the beginning of a snapshot's JSON."""
    return b'{"age_ms":%d,' % age_ms
