"""Identifiers that sort by the time they were made (UUID version 7, RFC 9562)."""

import secrets
from uuid import UUID


def time_ordered_id(now_ms: int) -> str:
    """Return a new identifier: 48 bits of time, 74 random ones."""
    number = (now_ms & (1 << 48) - 1) << 80 | secrets.randbits(80)
    number = number & ~(0xF << 76) | 7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=number))
