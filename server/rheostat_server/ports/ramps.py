"""Where ramps, kills and the controller's lease are kept, and who hears of a flag's writes. Adapter: postgres."""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from rheostat.model.flag import Rollout
from rheostat.model.kill import KillScope
from rheostat_server.ports.shared import NOTHING_SHARED, SharedChange
from rheostat_server.ramps.model import Plan, State

if TYPE_CHECKING:
    from rheostat.model.document import FlagDocument
    from rheostat_server.ports.storage import EnvironmentRow, Transaction


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a ramp was started from: its document as somebody gave it, and ``digest``, which tells it from others.

    ``template`` is the key of the template that it took, and its version then. A ramp that was started again from an
    ended one has that one's document: ``restart_of`` names it, and ``from_ppm`` is the step with which it began.
    """

    document: dict[str, Any]
    digest: str
    template: str | None = None
    template_version: int | None = None
    restart_of: str | None = None
    from_ppm: int | None = None


class RampRow(msgspec.Struct, frozen=True, kw_only=True):
    """A ramp as stored. ``origin`` is ``None`` of one that was started before documents were kept.

    ``live``: a controller moves it. ``overlaid``: its exposure is in force over the document's. ``version``
    goes up by one with each save and is the number of the decision saved with it. ``declared_ppm`` is the
    document's exposure when the ramp started, ``start_ppm`` the one in force then; ``before_ramp`` is the ramp
    whose overlay made the difference.
    """

    id: str
    environment_id: int
    flag: str
    rollout: str
    live: bool
    overlaid: bool
    version: int
    plan: Plan
    state: State
    unit_key: bytes
    declared_ppm: int
    start_ppm: int
    started_by: str
    started_at_ms: int
    before_ramp: str | None = None
    ended_at_ms: int | None = None
    origin: Origin | None = None


class DecisionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One thing decided of a ramp, by the rule or by a person. ``body`` is JSON that holds all its inputs."""

    seq: int
    at_ms: int
    kind: str
    body: msgspec.Raw


class EpochMark(msgspec.Struct, frozen=True):
    """When an epoch of a ramp began, and the exposure at which arms are drawn in it (ppm)."""

    epoch: int
    exposure_ppm: int
    at_ms: int


class RampStore(Protocol):
    """Ramps, their epochs and their decisions."""

    async def add(self, row: RampRow) -> None:
        """Keep a new ramp.

        Raises:
            Conflict: another ramp of this flag is live.
        """
        ...

    async def begin(self, row: RampRow) -> None:
        """Write all of a draft that starts; ``row.version`` is one above the version that was read.

        Raises:
            VersionConflict: it is no draft any more, or was changed; nothing was written.
            Conflict: another ramp of this flag is live.
        """
        ...

    async def get(self, ramp_id: str) -> RampRow:
        """Return a ramp.

        Raises:
            NotFound: there is no such ramp.
        """
        ...

    async def lock(self, ramp_id: str) -> RampRow:
        """Return a ramp and hold its row to the end of the transaction, or raise ``NotFound``."""
        ...

    async def lock_of_flag(self, environment_id: int, flag: str) -> list[RampRow]:
        """Return, held, a flag's ramps that are live or overlaid, by id."""
        ...

    async def of_flag(self, environment_id: int, flag: str) -> list[RampRow]:
        """Return a flag's ramps that are live or overlaid, by id."""
        ...

    async def lock_killed(self, environment_id: int, flag: str) -> list[RampRow]:
        """Return, held, a flag's ramps that were killed and not revived, by id."""
        ...

    async def in_environment(self, environment_id: int, *, flag: str | None = None, limit: int = 100) -> list[RampRow]:
        """Return an environment's ramps, newest first."""
        ...

    async def of_document(self, environment_id: int, flag: str, rollout: str, digest: str) -> RampRow | None:
        """Return the newest ramp of this rollout that was started from the document with this digest."""
        ...

    async def live(self) -> list[RampRow]:
        """Return every live ramp, by id."""
        ...

    async def live_in(self, environment_id: int) -> list[RampRow]:
        """Return an environment's live ramps, by id."""
        ...

    async def due(self, now_ms: int) -> list[RampRow]:
        """Return the drafts whose time has come, in the order of their times."""
        ...

    async def save(self, row: RampRow) -> None:
        """Write what may change of a ramp; ``row.version`` is one above the version that was read.

        Raises:
            VersionConflict: the stored version is another; nothing was written.
            Conflict: another ramp of this flag is live.
        """
        ...

    async def add_epoch(self, ramp_id: str, mark: EpochMark) -> None:
        """Keep when an epoch began."""
        ...

    async def epochs(self, ramp_id: str) -> list[EpochMark]:
        """Return a ramp's epochs in order."""
        ...

    async def add_decision(self, ramp_id: str, row: DecisionRow) -> None:
        """Keep a decision; its number is the version of the state that came of it."""
        ...

    async def decisions(
        self,
        ramp_id: str,
        *,
        after: int = 0,
        limit: int = 200,
        kinds: Collection[str] = (),
        since_ms: int | None = None,
    ) -> list[DecisionRow]:
        """Return the decisions above ``after``, in order: those of these ``kinds`` (none: all) made since then."""
        ...

    async def last_decisions(
        self, ramp_id: str, count: int, *, kinds: Collection[str] = (), since_ms: int | None = None
    ) -> list[DecisionRow]:
        """Return the newest decisions, in order: those of these ``kinds`` (none: all) made since then."""
        ...


class KillRow(msgspec.Struct, frozen=True, kw_only=True):
    """A kill as stored: latched until somebody revives it."""

    kill_id: str
    environment_id: int
    flag: str
    scope: KillScope
    source: str
    actor: str
    reason: str
    at_ms: int
    rollout: str | None = None
    ramp_id: str | None = None
    revived_at_ms: int | None = None
    revived_by: str | None = None
    revive_reason: str | None = None


class KillStore(Protocol):
    """Latched kills."""

    async def add(self, row: KillRow) -> bool:
        """Keep a kill; return whether it was new (by id)."""
        ...

    async def in_force(self, environment_id: int, flag: str | None = None) -> list[KillRow]:
        """Return the kills that nobody revived, oldest first."""
        ...

    async def get(self, environment_id: int, kill_id: str) -> KillRow:
        """Return a kill of an environment.

        Raises:
            NotFound: there is no such kill there.
        """
        ...

    async def newest(self, environment_id: int, *, flag: str | None, limit: int) -> list[KillRow]:
        """Return an environment's kills, or a flag's in it, newest first; revived ones too."""
        ...

    async def revive(self, kill_id: str, *, at_ms: int, by: str, reason: str) -> bool:
        """Mark a kill revived; return whether it was in force."""
        ...


class LeaseRow(msgspec.Struct, frozen=True):
    """The controller's lease. ``holder`` is empty when it was given up."""

    holder: str
    token: int
    beat: int


class LeaseStore(Protocol):
    """The one lease that says which node moves ramps. It knows no time: who contends measures its own."""

    async def read(self) -> LeaseRow:
        """Return the lease as it stands."""
        ...

    async def take(self, holder: str, seen: LeaseRow) -> int | None:
        """Take the lease if it still stands as seen; return the new token, or ``None``."""
        ...

    async def beat(self, token: int) -> bool:
        """Raise the beat; return whether the token still holds."""
        ...

    async def give_up(self, token: int) -> None:
        """Leave the lease to whoever asks first, if the token still holds."""
        ...

    async def hold(self, token: int) -> bool:
        """Return whether the token still holds, and keep it so to the end of this transaction."""
        ...


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """A ramp that a flag's write started afresh: its own id, and the rollout as it is now."""

    environment: str
    flag: str
    rollout: Rollout
    ramp_id: str


class RampEffects(msgspec.Struct, frozen=True, kw_only=True):
    """What a flag's write does to ramps: lines for the answer and the audit, and what to serve.

    ``overlays`` are by environment key, then by ramp id; ``None`` takes an overlay away. The writer puts them at
    the revision of its own write. ``restarts`` are to be looked at again when the environments' rows are held.
    """

    notes: tuple[str, ...] = ()
    overlays: dict[str, dict[str, bytes | None]] = {}
    restarts: tuple[Restart, ...] = ()


class RampWatcher(Protocol):
    """Hears of each write of a flag, within its transaction, after the flag's row is locked and before ``bump``."""

    async def flag_written(
        self,
        tx: "Transaction",
        *,
        project: str,
        before: "FlagDocument | None",
        after: "FlagDocument | None",
        actor: str,
        at_ms: int,
        restart: bool,
        archived: "FlagDocument | None" = None,
        shared: SharedChange = NOTHING_SHARED,
    ) -> RampEffects:
        """Return what the write does to the flag's ramps, which are changed in this transaction.

        ``before`` is ``None`` for a flag that was not in service; ``archived`` is then its document, unless it is
        new. ``after`` is ``None`` for one that is archived now. ``restart``: start a ramp afresh where the edit
        would spoil its evidence. ``shared`` is what the flag shares with others, before and after.

        Raises:
            Conflict: the edit would end a kill, or spoil the evidence of a live ramp.
        """
        ...

    async def restarted(
        self, tx: "Transaction", environments: Sequence["EnvironmentRow"], restarts: Iterable[Restart]
    ) -> None:
        """Look at the ramps that were started afresh beside all others, after ``bump``: nobody else starts one then.

        Raises:
            Conflict: a live ramp of another flag is on the same salt and unit.
        """
        ...
