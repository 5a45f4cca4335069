"""Notifications and their deliveries in PostgreSQL."""

from collections.abc import Collection
from typing import Any

from rheostat_server.errors import NotFound
from rheostat_server.ports.notifications import (
    ChannelKind,
    DeliveryRow,
    DeliveryStatus,
    NewNotification,
    Told,
    Unsettled,
)

_FROM = """
d.id, d.channel_id, c.name AS channel, c.kind, n.id::text AS notification, n.event, e.key AS environment, n.flag,
n.at_ms, d.status, d.attempts, d.since_ms, d.next_at_ms, d.last_error, d.ended_at_ms, n.repeats
FROM notification_deliveries d JOIN notification_channels c ON c.id = d.channel_id
JOIN notifications n ON n.seq = d.seq JOIN environments e ON e.id = n.environment_id
"""
_WHOLE = "SELECT n.body," + _FROM
_LISTED = "SELECT NULL AS body," + _FROM
_DUE = """
WHERE d.channel_id = $1 AND d.status = 'pending' AND (d.next_at_ms <= $2 OR EXISTS (
    SELECT 1 FROM notification_deliveries later JOIN notifications o ON o.seq = later.seq
    WHERE later.channel_id = $1 AND later.status = 'pending' AND later.next_at_ms <= $2
      AND o.environment_id = n.environment_id AND o.subject = n.subject AND o.seq > n.seq))
ORDER BY d.seq LIMIT $3
"""
_LARGEST_ID = 2**63 - 1


class PostgresOutbox:
    """Fulfils ``OutboxStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def add(self, new: NewNotification) -> None:
        """Keep a notification; who gets it is settled later."""
        await self._connection.execute(
            """
            INSERT INTO notifications (id, environment_id, event, flag, subject, at_ms, body)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """,
            new.id,
            new.environment_id,
            new.event,
            new.flag,
            new.ramp or new.flag,
            new.at_ms,
            new.body.decode(),
        )

    async def unsettled(self, after_seq: int, limit: int) -> list[Unsettled]:
        """Return those above ``after_seq`` of which nobody has settled yet who gets them, the oldest first."""
        rows = await self._connection.fetch(
            """
            SELECT n.seq, n.environment_id, e.key AS environment, e.project_id, n.event, n.flag, n.subject, n.at_ms
            FROM notifications n JOIN environments e ON e.id = n.environment_id
            WHERE n.settled_at_ms IS NULL AND n.seq > $1 ORDER BY n.seq LIMIT $2
            """,
            after_seq,
            limit,
        )
        return [Unsettled(**row) for row in rows]

    async def last_told(self, one: Unsettled) -> Told | None:
        """Return the last settled one of the same kind and subject that was not left out."""
        row = await self._connection.fetchrow(
            """
            SELECT seq, at_ms FROM notifications
            WHERE environment_id = $1 AND subject = $2 AND event = $3 AND settled_at_ms IS NOT NULL AND NOT muted
            ORDER BY seq DESC LIMIT 1
            """,
            one.environment_id,
            one.subject,
            one.event,
        )
        return None if row is None else Told(**row)

    async def is_outdated(self, one: Unsettled) -> bool:
        """Return whether anything newer is known of its subject."""
        outdated: bool = await self._connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM notifications WHERE environment_id = $1 AND subject = $2 AND seq > $3)",
            one.environment_id,
            one.subject,
            one.seq,
        )
        return outdated

    async def count_muted(self, one: Unsettled, after_seq: int) -> int:
        """Return how many of its kind and subject were left out between ``after_seq`` and it."""
        count: int = await self._connection.fetchval(
            """
            SELECT count(*) FROM notifications
            WHERE environment_id = $1 AND subject = $2 AND event = $3 AND muted AND seq > $4 AND seq < $5
            """,
            one.environment_id,
            one.subject,
            one.event,
            after_seq,
            one.seq,
        )
        return count

    async def settle(self, seq: int, *, at_ms: int, muted: bool = False, repeats: int = 0) -> None:
        """Note that it is settled who gets it."""
        await self._connection.execute(
            "UPDATE notifications SET settled_at_ms = $2, muted = $3, repeats = $4 WHERE seq = $1",
            seq,
            at_ms,
            muted,
            repeats,
        )

    async def enqueue(self, seq: int, channel_ids: Collection[int], now_ms: int) -> None:
        """Make a pending delivery to each of these channels, due now."""
        await self._connection.execute(
            """
            INSERT INTO notification_deliveries (seq, channel_id, status, since_ms, next_at_ms)
            SELECT $1, c, 'pending', $3, $3 FROM unnest($2::bigint[]) AS c
            ON CONFLICT (seq, channel_id) DO NOTHING
            """,
            seq,
            sorted(channel_ids),
            now_ms,
        )

    async def due_channels(self, now_ms: int) -> list[int]:
        """Return the channels to which something is due, that which waits longest first."""
        rows = await self._connection.fetch(
            """
            SELECT channel_id FROM notification_deliveries WHERE status = 'pending' AND next_at_ms <= $1
            GROUP BY channel_id ORDER BY min(next_at_ms), channel_id
            """,
            now_ms,
        )
        return [row["channel_id"] for row in rows]

    async def due(self, channel_id: int, now_ms: int, limit: int) -> list[DeliveryRow]:
        """Return what is due to a channel in order, with bodies; and before it what else waits of the same subject."""
        rows = await self._connection.fetch(_WHOLE + _DUE, channel_id, now_ms, limit)
        return [_row(row) for row in rows]

    async def delivered(self, delivery_id: int, *, attempts: int, at_ms: int, remark: str | None) -> None:
        """Note that it arrived."""
        await self._connection.execute(
            """
            UPDATE notification_deliveries
            SET status = 'delivered', attempts = $2, ended_at_ms = $3, last_error = coalesce($4, last_error)
            WHERE id = $1
            """,
            delivery_id,
            attempts,
            at_ms,
            remark,
        )

    async def failed(self, delivery_id: int, *, attempts: int, at_ms: int, error: str) -> None:
        """Note that it is not tried any more."""
        await self._connection.execute(
            """
            UPDATE notification_deliveries SET status = 'failed', attempts = $2, ended_at_ms = $3, last_error = $4
            WHERE id = $1
            """,
            delivery_id,
            attempts,
            at_ms,
            error,
        )

    async def again(self, delivery_id: int, *, attempts: int, next_at_ms: int, error: str) -> None:
        """Note that it is to be tried again."""
        await self._connection.execute(
            """
            UPDATE notification_deliveries SET attempts = $2, next_at_ms = $3, last_error = $4
            WHERE id = $1 AND status = 'pending'
            """,
            delivery_id,
            attempts,
            next_at_ms,
            error,
        )

    async def hold_back(self, channel_id: int, until_ms: int) -> None:
        """Let nothing that waits for a channel be due before then."""
        await self._connection.execute(
            """
            UPDATE notification_deliveries SET next_at_ms = $2
            WHERE channel_id = $1 AND status = 'pending' AND next_at_ms < $2
            """,
            channel_id,
            until_ms,
        )

    async def page(
        self,
        project_id: int,
        *,
        channel: str | None,
        status: DeliveryStatus | None,
        flag: str | None,
        before: int | None,
        limit: int,
    ) -> list[DeliveryRow]:
        """Return deliveries below the id ``before``, newest first."""
        rows = await self._connection.fetch(
            _LISTED
            + """
            WHERE c.project_id = $1 AND ($2::text IS NULL OR c.name = $2) AND ($3::text IS NULL OR d.status = $3)
              AND ($4::text IS NULL OR n.flag = $4) AND ($5::bigint IS NULL OR d.id < $5)
            ORDER BY d.id DESC LIMIT $6
            """,
            project_id,
            channel,
            None if status is None else status.value,
            flag,
            before,
            limit,
        )
        return [_row(row) for row in rows]

    async def get(self, project_id: int, delivery_id: int) -> DeliveryRow:
        """Return one, with its body, or raise ``NotFound``."""
        row = None
        if 0 < delivery_id <= _LARGEST_ID:
            row = await self._connection.fetchrow(
                _WHOLE + " WHERE c.project_id = $1 AND d.id = $2", project_id, delivery_id
            )
        if row is None:
            raise NotFound(f"there is no delivery {delivery_id}")
        return _row(row)

    async def resend(self, delivery_id: int, now_ms: int) -> bool:
        """Make one that has ended pending again, due now; return whether it had ended."""
        done: str = await self._connection.execute(
            """
            UPDATE notification_deliveries
            SET status = 'pending', attempts = 0, since_ms = $2, next_at_ms = $2, ended_at_ms = NULL
            WHERE id = $1 AND status <> 'pending'
            """,
            delivery_id,
            now_ms,
        )
        return done == "UPDATE 1"

    async def oldest_pending_ms(self) -> int | None:
        """Return since when the oldest pending delivery is tried; ``None`` where nothing is pending."""
        oldest: int | None = await self._connection.fetchval(
            "SELECT min(since_ms) FROM notification_deliveries WHERE status = 'pending'"
        )
        return oldest

    async def prune(self, before_ms: int, limit: int) -> int:
        """Delete so many notifications of before then at most, with their deliveries; return how many."""
        done: str = await self._connection.execute(
            """
            DELETE FROM notifications WHERE seq IN (
                SELECT n.seq FROM notifications n WHERE n.at_ms < $1 AND NOT EXISTS (
                    SELECT 1 FROM notification_deliveries d WHERE d.seq = n.seq AND d.status = 'pending')
                ORDER BY n.at_ms LIMIT $2)
            """,
            before_ms,
            limit,
        )
        return int(done.removeprefix("DELETE "))


def _row(row: Any) -> DeliveryRow:
    body = row["body"]
    return DeliveryRow(
        **{
            **row,
            "kind": ChannelKind(row["kind"]),
            "status": DeliveryStatus(row["status"]),
            "body": None if body is None else body.encode(),
        }
    )
