"""What environments serve before and after a write, as far as somebody may move by it."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

import msgspec

from rheostat.engine.conditions import names
from rheostat.engine.evaluate import Ruleset
from rheostat.model.flag import Condition, Prerequisite
from rheostat.model.snapshot import Identity
from rheostat_server.flags.catalogue import read_document
from rheostat_server.flags.moved import Sides
from rheostat_server.layers.references import layers_of
from rheostat_server.ports.storage import EnvironmentRow, ServedRow, Transaction
from rheostat_server.shared.documents import Place
from rheostat_server.shared.state import leading_to, segments_of
from rheostat_server.streaming.decoding import snapshot_of

T = TypeVar("T")
Rows = Sequence[tuple[int, ServedRow]]
"""What is served, with the environment's id."""


class Concern(msgspec.Struct, frozen=True):
    """What a write edits: flags, and segments and layers. ``everything``: any flag of the project, perhaps."""

    flags: Collection[str] = ()
    shared: Collection[Place] = ()
    everything: bool = False


class _Rule(msgspec.Struct):
    when: Condition


class _Flag(msgspec.Struct):
    """The part of a served flag that names other things."""

    rules: tuple[_Rule, ...] = ()
    prerequisites: tuple[Prerequisite, ...] = ()


class _Segment(msgspec.Struct):
    conditions: tuple[Condition, ...] = ()


async def concerned(tx: Transaction, project_id: int, concern: Concern) -> set[str]:
    """Return the flags by which somebody may move: the edited ones, those in whose conditions or layers an edited
    segment or layer is, and all that need one of these, however far away.
    """
    if concern.everything:
        return {row.key for row in await tx.flags.of_project(project_id)} | set(concern.flags)
    keys = set(concern.flags)
    segments = {key for kind, key in concern.shared if kind == "segment"}
    layers = {key for kind, key in concern.shared if kind == "layer"}
    if segments:
        asked = await leading_to(tx, project_id, segments)
        rows = await tx.shared.users(project_id, "segment")
        keys |= {row.key for row in rows if segments_of(read_document(row)) & asked}
    if layers:
        rows = await tx.shared.users(project_id, "layer")
        keys |= {row.key for row in rows if layers_of(read_document(row)) & layers}
    needs = {
        row.key: {one.flag for here in read_document(row).environments.values() for one in here.prerequisites}
        for row in await tx.flags.with_prerequisites(project_id)
    }
    while more := {key for key, needed in needs.items() if key not in keys and needed & keys}:
        keys |= more
    return keys


async def read_sides(
    tx: Transaction, environments: Sequence[EnvironmentRow], keys: Collection[str], *, whole: bool
) -> Sides:
    """Return what these environments serve of these flags, with the ramps and kills over them.

    ``whole``: with all that evaluating them takes, which are segments and the flags that they need.
    """
    return await compiled(environments, await read_rows(tx, environments, keys, whole=whole))


async def read_rows(
    tx: Transaction, environments: Sequence[EnvironmentRow], keys: Collection[str], *, whole: bool
) -> Rows:
    """Return what ``read_sides`` is made of: to hold locks no longer than it takes to read."""
    ids = [environment.id for environment in environments]
    rows = await _flags(tx, ids, keys, whole=whole)
    if whole:
        rows += await _segments(tx, ids, rows)
    return [*rows, *await tx.served.over_flags(ids)]


async def compiled(environments: Sequence[EnvironmentRow], rows: Rows) -> Sides:
    """Return the sides that these rows make."""
    # Thousands of flags take a second to compile, and others are being served.
    return await asyncio.to_thread(_compiled, environments, rows)


def _compiled(environments: Sequence[EnvironmentRow], rows: Rows) -> Sides:
    served: dict[int, list[ServedRow]] = {environment.id: [] for environment in environments}
    for id_, row in rows:
        served[id_].append(row)
    return {
        environment.key: Ruleset.of(
            snapshot_of(served[environment.id], Identity(), environment.project, environment.key)
        )
        for environment in environments
    }


async def _flags(
    tx: Transaction, ids: Sequence[int], keys: Collection[str], *, whole: bool
) -> list[tuple[int, ServedRow]]:
    rows: list[tuple[int, ServedRow]] = []
    read: set[str] = set()
    wanted = set(keys)
    while wanted:
        found = await tx.served.of_flags(ids, sorted(wanted))
        rows += found
        read |= wanted
        wanted = {one.flag for flag in _decoded(found, _Flag) for one in flag.prerequisites} - read if whole else set()
    return rows


async def _segments(
    tx: Transaction, ids: Sequence[int], flags: Sequence[tuple[int, ServedRow]]
) -> list[tuple[int, ServedRow]]:
    rows: list[tuple[int, ServedRow]] = []
    read: set[str] = set()
    wanted = _named(rule.when for flag in _decoded(flags, _Flag) for rule in flag.rules)
    while wanted:
        found = await tx.served.of_segments(ids, sorted(wanted))
        rows += found
        read |= wanted
        wanted = _named(part for one in _decoded(found, _Segment) for part in one.conditions) - read
    return rows


def _named(conditions: Iterable[Condition]) -> set[str]:
    return {name for condition in conditions for name in names(condition)}


def _decoded(rows: Sequence[tuple[int, ServedRow]], kind: type[T]) -> Iterable[T]:
    for _, row in rows:
        if row.body is not None:
            yield msgspec.json.decode(row.body, type=kind)
