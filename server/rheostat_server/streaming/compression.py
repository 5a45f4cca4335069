"""A gzip answer of which the beginning changes each time and the rest was compressed before. Pure."""

import struct
import zlib

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_RAW = -15


def deflate(data: bytes, level: int = 6) -> bytes:
    """Return the data as a finished deflate stream."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, _RAW)
    return compressor.compress(data) + compressor.flush()


def gzip_joined(head: bytes, tail: bytes, tail_deflated: bytes) -> bytes:
    """Return ``head + tail`` as one gzip member, with the tail's part taken from ``deflate(tail)``.

    One member and not two: some readers stop after the first.
    """
    compressor = zlib.compressobj(1, zlib.DEFLATED, _RAW)
    # A flush ends on a byte boundary without ending the stream, so another deflate stream may follow.
    start = compressor.compress(head) + compressor.flush(zlib.Z_FULL_FLUSH)
    checksum = zlib.crc32(tail, zlib.crc32(head))
    size = (len(head) + len(tail)) & 0xFFFFFFFF
    return b"".join((_HEADER, start, tail_deflated, struct.pack("<II", checksum, size)))
