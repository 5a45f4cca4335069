"""All that one environment serves, at one identity; and the changes between two identities."""

import msgspec

from rheostat.model.flag import Flag, Segment
from rheostat.model.kill import Kill
from rheostat.model.ramp import RampOverlay

FORMAT = 1
"""The newest snapshot format that this code reads and writes."""


class Identity(msgspec.Struct, frozen=True, order=True):
    """Which state this is. Compared in this order; a reader never moves to a lower one."""

    generation: int = 0
    revision: int = 0

    def __str__(self) -> str:
        return f"{self.generation}-{self.revision}"

    @classmethod
    def parse(cls, text: str) -> "Identity":
        """Read what ``str`` wrote.

        Raises:
            ValueError: the text is not two numbers joined by ``-``.
        """
        generation, _, revision = text.partition("-")
        return cls(int(generation), int(revision))


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``GET /sdk/v1/snapshot``.

    ``age_ms`` is the time since control last confirmed the identity in PostgreSQL, when this was sent.
    ``kills`` holds every latched kill, and revived ones for as long as holders may still carry them.
    """

    format: int
    generation: int
    revision: int
    project: str
    environment: str
    age_ms: int = 0
    flags: tuple[Flag, ...] = ()
    segments: tuple[Segment, ...] = ()
    ramps: tuple[RampOverlay, ...] = ()
    kills: tuple[Kill, ...] = ()

    @property
    def identity(self) -> Identity:
        """The pair that orders snapshots."""
        return Identity(self.generation, self.revision)


class Removed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Keys that are gone since the identity before."""

    flags: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    ramps: tuple[str, ...] = ()


class Patch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """SSE ``patch``: applied only by a holder that is exactly at ``from``."""

    from_: Identity = msgspec.field(name="from")
    to: Identity
    flags: tuple[Flag, ...] = ()
    segments: tuple[Segment, ...] = ()
    ramps: tuple[RampOverlay, ...] = ()
    kills: tuple[Kill, ...] = ()
    removed: Removed = Removed()


class Resync(msgspec.Struct, frozen=True, kw_only=True):
    """SSE ``resync``: fetch the snapshot at a random moment within ``spread_ms``."""

    to: Identity
    spread_ms: int = 0


class Beat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """SSE ``beat``, every 5 s: how old the node's knowledge is, and the nodes it came through."""

    age_ms: int
    path: tuple[str, ...] = ()
    instances: int = 0
    behind: bool = False
