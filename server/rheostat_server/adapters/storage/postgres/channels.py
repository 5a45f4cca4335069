"""Notification channels in PostgreSQL."""

from typing import Any

import asyncpg
import msgspec

from rheostat_server.errors import Conflict, NotFound
from rheostat_server.ports.notifications import Channel, ChannelKind, Filters, Target

_ALL = "SELECT id, project_id, name, kind, target, filters, created_by, created_at_ms, updated_at_ms "
_ALL += "FROM notification_channels"
_TARGET = msgspec.json.Decoder(Target)
_FILTERS = msgspec.json.Decoder(Filters)


class PostgresChannels:
    """Fulfils ``ChannelStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def of_project(self, project_id: int) -> list[Channel]:
        """Return a project's, by name."""
        rows = await self._connection.fetch(f"{_ALL} WHERE project_id = $1 ORDER BY name", project_id)
        return [_channel(row) for row in rows]

    async def get(self, project_id: int, name: str) -> Channel:
        """Return one, or raise ``NotFound``."""
        row = await self._connection.fetchrow(f"{_ALL} WHERE project_id = $1 AND name = $2", project_id, name)
        if row is None:
            raise NotFound(f"there is no notification channel {name!r}")
        return _channel(row)

    async def by_id(self, channel_id: int) -> Channel | None:
        """Return one, or ``None`` where it is gone."""
        row = await self._connection.fetchrow(f"{_ALL} WHERE id = $1", channel_id)
        return None if row is None else _channel(row)

    async def add(self, channel: Channel) -> Channel:
        """Keep a new one; return it with its id."""
        try:
            added: int = await self._connection.fetchval(
                """
                INSERT INTO notification_channels
                    (project_id, name, kind, target, filters, created_by, created_at_ms, updated_at_ms)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id
                """,
                channel.project_id,
                channel.name,
                channel.kind.value,
                msgspec.json.encode(channel.target).decode(),
                msgspec.json.encode(channel.filters).decode(),
                channel.created_by,
                channel.created_at_ms,
                channel.updated_at_ms,
            )
        except asyncpg.UniqueViolationError as error:
            raise Conflict(f"there is a notification channel {channel.name!r} already") from error
        return msgspec.structs.replace(channel, id=added)

    async def save(self, channel: Channel) -> None:
        """Write its target and filters."""
        await self._connection.execute(
            "UPDATE notification_channels SET target = $2, filters = $3, updated_at_ms = $4 WHERE id = $1",
            channel.id,
            msgspec.json.encode(channel.target).decode(),
            msgspec.json.encode(channel.filters).decode(),
            channel.updated_at_ms,
        )

    async def remove(self, channel_id: int) -> None:
        """Delete it, with its deliveries."""
        await self._connection.execute("DELETE FROM notification_channels WHERE id = $1", channel_id)


def _channel(row: Any) -> Channel:
    return Channel(
        **{
            **row,
            "kind": ChannelKind(row["kind"]),
            "target": _TARGET.decode(row["target"]),
            "filters": _FILTERS.decode(row["filters"]),
        }
    )
