"""What stands against deleting an environment."""

from collections.abc import Sequence

import msgspec

from rheostat.model.ramp import RampOverlay
from rheostat_server.errors import Conflict
from rheostat_server.ports.storage import EnvironmentRow, Transaction


async def refuse_live_ramps(tx: Transaction, environments: Sequence[EnvironmentRow]) -> None:
    """Let a deletion pass under which no ramp runs.

    Raises:
        Conflict: one is live; the message names it.
    """
    keys = {environment.id: environment.key for environment in environments}
    for environment_id, row in await tx.served.over_flags(list(keys)):
        if row.kind == "ramp" and row.body is not None:
            ramp = msgspec.json.decode(row.body, type=RampOverlay)
            if ramp.live:
                raise Conflict(f"a ramp of {ramp.flag} runs in {keys[environment_id]}; abort it first")
