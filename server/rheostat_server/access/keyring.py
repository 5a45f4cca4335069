"""Who the holder of a secret is, answered from memory."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from rheostat.clock import Clock
from rheostat_server.access.model import Principal
from rheostat_server.access.secret import hash_secret
from rheostat_server.access.ticket import believe_ticket, expiry_of, read_ticket, sign_ticket
from rheostat_server.errors import StorageUnavailable, Unauthenticated
from rheostat_server.ports.access import TokenRow
from rheostat_server.ports.storage import Storage, Transaction

NOTE_MS = 60_000
"""``last used`` is written at most this often for each secret."""
_LONGEST_SECRET = 512

log = structlog.get_logger("rheostat.access")


class KeyRing:
    """Keys and tokens by their hash, read anew when the access revision changes.

    With the database away it goes on with what it knows.
    """

    def __init__(self, storage: Storage, clock: Clock, *, poll_seconds: float = 1.0) -> None:
        self._storage = storage
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._by_hash: dict[bytes, tuple[Principal, int | None]] = {}
        self._hashes: dict[str, bytes] = {}
        self._expiry: dict[str, int | None] = {}
        self._revision = -1
        self._used: dict[str, int] = {}
        self._noted: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Read the keys, then follow changes.

        Raises:
            StorageUnavailable: the first reading failed.
        """
        await self.refresh()
        self._task = asyncio.create_task(self._follow(), name="keyring")

    async def stop(self) -> None:
        """Stop following, and note the last uses."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        with suppress(StorageUnavailable):
            await self._note_uses(all_of_them=True)

    def principal(self, authorization: str | None, api_key: str | None) -> Principal:
        """Return who sent ``Authorization: Bearer …`` or ``X-API-Key``; the first counts where both came.

        Raises:
            Unauthenticated: neither came, or the secret is unknown, expired or revoked.
        """
        secret = _secret_in(authorization, api_key)
        found = self._by_hash.get(hash_secret(secret)) if len(secret) <= _LONGEST_SECRET else None
        if found is None:
            raise Unauthenticated("the key or token is unknown or revoked")
        principal, expires_at_ms = found
        now_ms = self._clock.wall_ms()
        if expires_at_ms is not None and expires_at_ms <= now_ms:
            raise Unauthenticated(f"the key or token {principal.label!r} has expired")
        self._used[principal.token_id] = now_ms
        return principal

    def valid(self, token_id: str) -> bool:
        """Say whether a key or token, known by its id, still opens anything: for streams that are open."""
        if token_id not in self._expiry:
            return False
        expires_at_ms = self._expiry[token_id]
        return expires_at_ms is None or expires_at_ms > self._clock.wall_ms()

    def ticket(self, token_id: str, spread: bytes) -> str:
        """Return a ticket that stands in for a key that is valid, and stays the same for an hour for one ``spread``.

        Raises:
            Unauthenticated: the key is gone by now.
        """
        key_hash = self._hashes.get(token_id)
        if key_hash is None:
            raise Unauthenticated("the key or token is unknown or revoked")
        return sign_ticket(token_id, key_hash, expiry_of(self._clock.wall_ms(), spread))

    def ticket_holder(self, ticket: str) -> Principal:
        """Return whose ticket this is.

        Raises:
            Unauthenticated: it is no ticket, it has expired, or its key was revoked or has expired.
        """
        said = read_ticket(ticket)
        key_hash = self._hashes.get(said.token_id)
        if key_hash is None or not self.valid(said.token_id):
            raise Unauthenticated("the key of this stream is unknown, expired or revoked")
        believe_ticket(said, key_hash, self._clock.wall_ms())
        return self._by_hash[key_hash][0]

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each reading that found a change."""
        self._listeners.append(listener)

    def nudge(self) -> None:
        """Look soon: somebody said that keys changed."""
        self._wake.set()

    async def refresh_soon(self) -> None:
        """Read the keys again now; where that fails, at the next poll. Never raises: a commit stands all the same."""
        try:
            await self.refresh()
        except StorageUnavailable:
            self.nudge()

    async def refresh(self) -> None:
        """Read the keys again if they changed."""
        # One at a time, or a slow reading could put an older state over a newer one.
        async with self._reading, self._storage.transaction(snapshot=True) as tx:
            revision = await tx.access_revision()
            if revision != self._revision:
                self._take(await tx.tokens.all())
                self._revision = revision

    def _take(self, rows: list[TokenRow]) -> None:
        valid = [row for row in rows if row.revoked_at_ms is None]
        self._by_hash = {row.hash: (_principal(row), row.expires_at_ms) for row in valid}
        self._hashes = {row.id: row.hash for row in valid}
        self._expiry = {row.id: row.expires_at_ms for row in valid}
        for listener in self._listeners:
            listener()

    async def _follow(self) -> None:
        away = False
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._poll_seconds)
            self._wake.clear()
            try:
                await self.refresh()
                await self._note_uses()
                away = False
            except StorageUnavailable as error:
                if not away:
                    log.warning("keys_not_read", why=str(error))
                away = True
            except Exception:
                # Or a revoked key would open this node until it is restarted.
                log.exception("keys_not_read")

    async def _note_uses(self, *, all_of_them: bool = False) -> None:
        due = {
            token_id: at_ms
            for token_id, at_ms in self._used.items()
            if all_of_them or at_ms - self._noted.get(token_id, -NOTE_MS) >= NOTE_MS
        }
        if not due:
            return

        async def note(tx: Transaction) -> None:
            await tx.tokens.used(due)

        await self._storage.run(note)
        self._noted.update(due)
        for token_id, at_ms in due.items():
            if self._used.get(token_id) == at_ms:
                del self._used[token_id]


def _secret_in(authorization: str | None, api_key: str | None) -> str:
    if authorization:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() == "bearer" and secret.strip():
            return secret.strip()
        raise Unauthenticated("the Authorization header is not `Bearer …`")
    if api_key:
        return api_key
    raise Unauthenticated("no key or token came with the request: send `Authorization: Bearer …` or `X-API-Key`")


def _principal(row: TokenRow) -> Principal:
    return Principal(
        kind=row.kind,
        scope=row.scope,
        token_id=row.id,
        label=row.label or row.hint,
        project=row.project,
        environment_id=row.environment_id,
        environment=row.environment,
    )
