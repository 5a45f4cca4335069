"""Hashes that flag systems have used or might, and that the proofs must refuse."""

from zlib import crc32


def place_by_crc(salt: str, unit: str) -> int:
    """CRC-32 is linear: two salts of one length give places that differ by a constant exclusive or."""
    return crc32(f"{salt}/{unit}".encode()) * 1_000_000 >> 32


def place_without_salt(salt: str, unit: str) -> int:
    """Every flag has the same first users."""
    del salt
    return crc32(unit.encode()) * 1_000_000 >> 32


def place_by_fnv(salt: str, unit: str) -> int:
    """FNV-1a does not stir its last bytes up into the high bits, where a place is read."""
    h = 0x811C9DC5
    for byte in f"{salt}/{unit}".encode():
        h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    return h * 1_000_000 >> 32


def place_by_polynomial(salt: str, unit: str) -> int:
    """The string hash of Java, as a place by remainder."""
    h = 0
    for byte in f"{salt}/{unit}".encode():
        h = h * 31 + byte & 0xFFFFFFFF
    return h % 1_000_000
