"""The controller's lease in PostgreSQL."""

from typing import Any

from rheostat_server.ports.ramps import LeaseRow


class PostgresLease:
    """Fulfils ``LeaseStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def read(self) -> LeaseRow:
        """Return the lease as it stands."""
        return LeaseRow(*await self._connection.fetchrow("SELECT holder, token, beat FROM lease"))

    async def take(self, holder: str, seen: LeaseRow) -> int | None:
        """Take the lease if it still stands as seen."""
        token: int | None = await self._connection.fetchval(
            """
            UPDATE lease SET holder = $1, token = token + 1, beat = beat + 1
            WHERE token = $2 AND beat = $3 RETURNING token
            """,
            holder,
            seen.token,
            seen.beat,
        )
        return token

    async def beat(self, token: int) -> bool:
        """Raise the beat; return whether the token still holds."""
        done: str = await self._connection.execute("UPDATE lease SET beat = beat + 1 WHERE token = $1", token)
        return done == "UPDATE 1"

    async def give_up(self, token: int) -> None:
        """Leave the lease to whoever asks first; the old token holds no more."""
        await self._connection.execute(
            "UPDATE lease SET holder = '', token = token + 1, beat = beat + 1 WHERE token = $1", token
        )

    async def hold(self, token: int) -> bool:
        """Return whether the token still holds; a takeover then waits for this transaction."""
        return await self._connection.fetchval("SELECT 1 FROM lease WHERE token = $1 FOR SHARE", token) is not None
