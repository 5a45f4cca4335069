"""What else moves beside a ramp: read for the interlocks, within the transaction that starts it."""

import msgspec

from rheostat.model.document import FlagDocument
from rheostat.model.flag import Flag, Rollout
from rheostat.model.serving import rollout_of, serve
from rheostat_server.errors import Conflict, Fault
from rheostat_server.ports.storage import EnvironmentRow, Transaction
from rheostat_server.ramps.interlocks import OWN_SALT, InForce, same_line, shared_lines
from rheostat_server.shared.state import read_served_layers


async def line_faults(tx: Transaction, environment: EnvironmentRow, flag: Flag, rollout: str) -> list[Fault]:
    """Return why the rollout cannot ramp: what decides who comes to it, and draws as it does.

    ``flag`` is as the environment serves it, or will.
    """
    flags: dict[str, Flag] = {}
    wanted = {prerequisite.flag for prerequisite in flag.prerequisites} - {flag.key}
    while wanted:
        found = await _served(tx, environment, sorted(wanted))
        flags |= found
        wanted = {one.flag for each in found.values() for one in each.prerequisites} - flags.keys() - {flag.key}
    forced: dict[tuple[str, str], InForce] = {}
    for key in (flag.key, *sorted(flags)):
        for row in await tx.ramps.of_flag(environment.id, key):
            forced[key, row.rollout] = InForce(row.state.exposure_ppm, row.live)
    return shared_lines(flag, rollout, flags, forced)


async def refuse_shared_line(
    tx: Transaction, environment: EnvironmentRow, flag: str, rollout: Rollout, *, but: str | None = None
) -> None:
    """Refuse a ramp beside a live ramp of another flag on the same salt and unit. ``but`` is its own id, once written.

    Asked at last when the environment's row is held: of two that start at the same time the second sees the first.

    Raises:
        Conflict: there is one; the message names it.
    """
    rows = [row for row in await tx.ramps.live_in(environment.id) if row.id != but and row.flag != flag]
    flags = await _served(tx, environment, sorted({row.flag for row in rows}))
    for row in rows:
        other = rollout_of(flags[row.flag], row.rollout) if row.flag in flags else None
        if other is not None and same_line(rollout, other):
            line = f"the same salt ({rollout.salt}) and unit ({rollout.bucket_by})"
            raise Conflict(
                f"ramp {row.id} of {row.flag} ({row.rollout}) is {row.state.status} on {line}, so the two would expose "
                f"the same users: {OWN_SALT}; or wait until it is over"
            )


async def _served(tx: Transaction, environment: EnvironmentRow, keys: list[str]) -> dict[str, Flag]:
    if not keys:
        return {}
    layers = await read_served_layers(tx, environment.project_id)
    return {
        row.key: serve(msgspec.json.decode(row.document, type=FlagDocument), environment.key, row.version, layers)
        for row in await tx.flags.several(environment.project_id, keys)
        if row.archived_at_ms is None
    }
