"""Short-lived stand-ins for SDK keys, for addresses: a browser's event stream sends no headers. Pure.

A ticket is signed with the stored hash of its key. So every node can read it without a secret of its own, and it is
worth nothing once the key is revoked; whoever has the key could make tickets, and has the key already.
"""

import hmac
from hashlib import sha256

import msgspec

from rheostat_server.errors import Unauthenticated

TICKET_MS = 3_600_000
"""The least time that a new ticket is good for, in ms; the most is twice that."""


class Ticket(msgspec.Struct, frozen=True):
    """What a ticket says: of which key it is, and until when it is good (ms since the epoch)."""

    token_id: str
    expires_at_ms: int
    mac: str


def expiry_of(now_ms: int, spread: bytes) -> int:
    """Return when a ticket of now expires, in ms since the epoch.

    For one ``spread`` it moves once in ``TICKET_MS``, so that an address stays the same for a while; for many
    it does not move in one moment.
    """
    offset = int.from_bytes(sha256(spread).digest()[:8], "big") % TICKET_MS
    return (now_ms + TICKET_MS - offset - 1) // TICKET_MS * TICKET_MS + offset + TICKET_MS


def sign_ticket(token_id: str, key_hash: bytes, expires_at_ms: int) -> str:
    """Return the ticket as text of letters, digits, dots and hyphens."""
    return f"{token_id}.{expires_at_ms}.{_mac(token_id, key_hash, expires_at_ms)}"


def read_ticket(text: str) -> Ticket:
    """Return what a ticket says, not yet believed.

    Raises:
        Unauthenticated: it is none.
    """
    token_id, _, rest = text.partition(".")
    expires, _, mac = rest.partition(".")
    if not (token_id and mac and expires.isascii() and expires.isdigit() and len(expires) <= 16):
        raise Unauthenticated("the address of this stream is not one that was given out")
    return Ticket(token_id, int(expires), mac)


def believe_ticket(ticket: Ticket, key_hash: bytes, now_ms: int) -> None:
    """Let a ticket pass that this key signed and that is still good.

    Raises:
        Unauthenticated: it is not.
    """
    expected = _mac(ticket.token_id, key_hash, ticket.expires_at_ms)
    if not hmac.compare_digest(expected.encode(), ticket.mac.encode("utf-8", "replace")):
        raise Unauthenticated("the address of this stream is not one that was given out")
    if ticket.expires_at_ms <= now_ms:
        raise Unauthenticated("the address of this stream has expired; ask for all flags again")


def _mac(token_id: str, key_hash: bytes, expires_at_ms: int) -> str:
    return hmac.new(key_hash, f"rheostat stream {token_id} {expires_at_ms}".encode(), sha256).hexdigest()[:32]
