"""Flags on the wire."""

from collections.abc import Sequence
from typing import Any

import msgspec

from rheostat.engine.kills import NO_KILLS, by_flag
from rheostat.model.document import FlagDocument, RolloutDocument
from rheostat.model.flag import DEFAULT_ROLLOUT
from rheostat.model.kill import Kill
from rheostat.model.ramp import RampOverlay
from rheostat.model.shares import ppm_to_percent
from rheostat_server.faults import spelled
from rheostat_server.flags.catalogue import read_document
from rheostat_server.flags.change import Change
from rheostat_server.flags.movement_words import MovementView, Moves
from rheostat_server.ports.flags import FlagRow, FlagVersion
from rheostat_server.ports.storage import EnvironmentRow, ServedRow
from rheostat_server.web.decoding import Body, Line
from rheostat_server.web.times import rfc3339, rfc3339_or_none


class CellsInForce(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a ramp has come that goes from one value of ``attribute`` to the next.

    Who has a value of ``done`` is exposed to ``done_exposure`` percent, who has one of ``now`` to ``exposure``; with
    ``others`` it is all the others who are.
    """

    attribute: str
    done: tuple[Any, ...] = ()
    done_exposure: float
    now: tuple[Any, ...] = ()
    others: bool = False
    exposure: float


class RolloutInForce(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a rollout's document says and what users get, in percent: nothing while a kill of it or its flag stands.

    ``ramp`` is whose overlay is over the document. Where that goes by an attribute ``cells`` say how far it has come,
    and ``in_force`` what those get whom it has not reached.
    """

    declared: float
    in_force: float
    ramp: str | None = None
    live: bool = False
    epoch: int | None = None
    killed: bool = False
    cells: CellsInForce | None = None


class KillInForce(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A kill that stands over the flag until somebody revives it."""

    id: str
    scope: str
    source: str
    at: str
    rollout: str | None = None
    ramp: str | None = None


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force in one environment: rollouts by name (``default`` or the rule's), and kills."""

    rollouts: dict[str, RolloutInForce]
    kills: list[KillInForce]


class FlagView(msgspec.Struct, frozen=True, kw_only=True):
    """A flag: the document as written, and what is in force over it."""

    key: str
    document: msgspec.Raw
    version: int
    archived: bool
    created_at: str
    updated_at: str
    archived_at: str | None
    in_force: dict[str, InForce]
    notes: tuple[str, ...] = ()


class FlagPage(msgspec.Struct, frozen=True):
    """Flags in byte order of their keys; ``next`` goes into ``after`` for the following page."""

    flags: list[FlagView]
    next: str | None = None


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a flag."""

    version: int
    at: str
    actor: str
    action: str
    note: str | None = None
    document: msgspec.Raw | None = None


class History(msgspec.Struct, frozen=True):
    """A flag's versions, newest first."""

    versions: list[VersionView]


class DiffView(msgspec.Struct, frozen=True, kw_only=True):
    """How two versions differ: each place, and as a unified diff."""

    from_: int = msgspec.field(name="from")
    to: int
    changes: list[Change]
    lines: list[str]


class ArchiveBody(Body, frozen=True):
    """``force`` archives although something still needs the flag."""

    force: bool = False


class AdoptBody(Body, frozen=True):
    """Which rollout to adopt; without: all of the environment that a promoted ramp is over."""

    rollout: Line | None = None


class RestoreBody(Body, frozen=True):
    """Which version to write again, and why."""

    version: int
    note: Line | None = None


class ApplyBody(Body, frozen=True):
    """Documents to hold. ``prune`` archives the flags that are not among them, ``force`` also those still in use.

    ``start_ramps`` starts the ramps among them whose documents were never started.
    """

    documents: list[msgspec.Raw]
    dry_run: bool = False
    prune: bool = False
    force: bool = False
    start_ramps: bool = False


class AppliedChange(msgspec.Struct, frozen=True, kw_only=True):
    """What applying does to one thing: ``create``, ``update``, ``unchanged``, ``archive``.

    To a ramp: ``start`` or ``skip``. ``moves``: by environment who moves, in the answer of a dry run.
    """

    kind: str
    key: str
    action: str
    version: int
    environments: list[str]
    notes: tuple[str, ...] = ()
    moves: dict[str, MovementView] = {}


class AppliedView(msgspec.Struct, frozen=True):
    """What applying does; with ``dry_run`` what it would do.

    ``others``: in the answer of a dry run, who moves by flags that are not among the documents, but use a segment or
    layer that is, or need a flag that is.
    """

    changes: list[AppliedChange]
    dry_run: bool
    others: Moves = {}


class Export(msgspec.Struct, frozen=True):
    """All documents of a project, in a form that apply takes."""

    documents: list[msgspec.Raw]


Over = dict[str, tuple[list[RampOverlay], list[Kill]]]
"""What stands over flags, by environment key."""


def read_over(environments: Sequence[EnvironmentRow], rows: Sequence[tuple[int, ServedRow]]) -> Over:
    """Return ramps and kills in force, decoded from what is served."""
    keys = {environment.id: environment.key for environment in environments}
    over: Over = {environment.key: ([], []) for environment in environments}
    for environment_id, row in rows:
        ramps, kills = over[keys[environment_id]]
        if row.body is None:
            continue
        if row.kind == "ramp":
            ramps.append(msgspec.json.decode(row.body, type=RampOverlay))
        else:
            kill = msgspec.json.decode(row.body, type=Kill)
            if not kill.revived:
                kills.append(kill)
    return over


def flag_view(row: FlagRow, over: Over, notes: tuple[str, ...] = ()) -> FlagView:
    """Return what is shown of a flag."""
    return FlagView(
        key=row.key,
        document=msgspec.Raw(row.document),
        version=row.version,
        archived=row.archived_at_ms is not None,
        created_at=rfc3339(row.created_at_ms),
        updated_at=rfc3339(row.updated_at_ms),
        archived_at=rfc3339_or_none(row.archived_at_ms),
        in_force=in_force(read_document(row), over),
        notes=notes,
    )


def in_force(document: FlagDocument, over: Over) -> dict[str, InForce]:
    """Return what is in force of a flag in each environment."""
    return {environment: _in_force(document, environment, *here) for environment, here in over.items()}


def _in_force(document: FlagDocument, environment: str, ramps: Sequence[RampOverlay], kills: Sequence[Kill]) -> InForce:
    mine = [kill for kill in kills if kill.flag == document.key]
    taken = by_flag(mine).get(document.key, NO_KILLS)
    overlays = {ramp.rollout: ramp for ramp in ramps if ramp.flag == document.key}
    return InForce(
        rollouts={
            name: _rollout(rollout, overlays.get(name), killed=taken.flag or name in taken.rollouts)
            for name, rollout in _rollouts(document, environment)
        },
        kills=[_kill(kill) for kill in mine],
    )


def overlay_notes(document: FlagDocument, over: Over) -> tuple[str, ...]:
    """Return a line for each rollout whose exposure in force is not the declared one."""
    return tuple(
        f"{environment}: {name} declared {rollout.declared:g} %, in force {said_of_cells(rollout)} by "
        + ("a kill, until somebody revives it" if rollout.killed else f"ramp {rollout.ramp}")
        for environment, here in in_force(document, over).items()
        for name, rollout in here.rollouts.items()
        if rollout.cells is not None or rollout.in_force != rollout.declared
    )


def said_of_cells(rollout: RolloutInForce) -> str:
    """Return the exposure in force in words: ``5 %``, or ``100 % of region eu, 25 % of region us, 0 % of others``."""
    cells = rollout.cells
    if cells is None:
        return f"{rollout.in_force:g} %"
    parts = [
        f"{exposure:g} % of {cells.attribute} {', '.join(map(spelled, values))}"
        for exposure, values in ((cells.done_exposure, cells.done), (cells.exposure, cells.now))
        if values
    ]
    return ", ".join([*parts, f"{cells.exposure if cells.others else rollout.in_force:g} % of others"])


def version_view(version: FlagVersion, *, with_document: bool) -> VersionView:
    """Return what is shown of a version."""
    return VersionView(
        version=version.version,
        at=rfc3339(version.at_ms),
        actor=version.actor,
        action=version.action,
        note=version.note,
        document=msgspec.Raw(version.document) if with_document else None,
    )


def _rollouts(document: FlagDocument, environment: str) -> list[tuple[str, RolloutDocument]]:
    here = document.environments.get(environment)
    if here is None:
        return []
    named = [(rule.name, rule.rollout) for rule in here.rules]
    named.append((DEFAULT_ROLLOUT, here.rollout(DEFAULT_ROLLOUT)))
    return [(name, rollout) for name, rollout in named if rollout is not None]


def _rollout(rollout: RolloutDocument, ramp: RampOverlay | None, *, killed: bool) -> RolloutInForce:
    if ramp is None:
        return RolloutInForce(declared=rollout.exposure, in_force=0 if killed else rollout.exposure, killed=killed)
    return RolloutInForce(
        declared=rollout.exposure,
        in_force=0 if killed else ppm_to_percent(ramp.exposure_ppm),
        cells=None if killed else _cells(ramp),
        ramp=ramp.ramp,
        live=ramp.live,
        epoch=ramp.epoch,
        killed=killed,
    )


def _cells(ramp: RampOverlay) -> CellsInForce | None:
    cells = ramp.cells
    if cells is None:
        return None
    return CellsInForce(
        attribute=cells.attribute,
        done=cells.done,
        done_exposure=ppm_to_percent(cells.done_ppm),
        now=cells.now,
        others=cells.rest,
        exposure=ppm_to_percent(cells.exposure_ppm),
    )


def _kill(kill: Kill) -> KillInForce:
    return KillInForce(
        id=kill.kill_id,
        scope=kill.scope.value,
        source=kill.source,
        at=rfc3339(kill.at_ms),
        rollout=kill.rollout,
        ramp=kill.ramp,
    )
