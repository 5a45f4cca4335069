"""Batches that were made and not acknowledged yet."""

import gzip
from collections import deque
from typing import Final

import msgspec

from rheostat.model.outcome import Batch

GZIP_ABOVE: Final = 4_096
"""Bodies above this many bytes are compressed."""
MOST_BATCHES: Final = 1_000
MOST_BYTES: Final = 16 * 1024 * 1024

_ENCODER = msgspec.json.Encoder()


class EncodedBatch(msgspec.Struct, frozen=True):
    """A batch as it is sent, always with the same bytes. ``made_at`` is monotonic, in seconds."""

    sequence: int
    made_at: float
    body: bytes
    compressed: bool


def encode(batch: Batch, made_at: float) -> EncodedBatch:
    """Return the batch in JSON, compressed when that is worth it."""
    body = _ENCODER.encode(batch)
    if len(body) <= GZIP_ABOVE:
        return EncodedBatch(batch.sequence, made_at, body, compressed=False)
    return EncodedBatch(batch.sequence, made_at, gzip.compress(body, 5, mtime=0), compressed=True)


class PendingBatches:
    """A queue in the order of sequence. Beyond a bound the oldest go."""

    def __init__(self, most: int = MOST_BATCHES, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._batches: deque[EncodedBatch] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def oldest(self) -> EncodedBatch | None:
        """The batch to send next."""
        return self._batches[0] if self._batches else None

    def add(self, batch: EncodedBatch) -> int:
        """Queue the batch and return how many older ones had to go for it."""
        self._batches.append(batch)
        self._bytes += len(batch.body)
        dropped = 0
        while len(self._batches) > 1 and (len(self._batches) > self._most or self._bytes > self._most_bytes):
            self.drop_oldest()
            dropped += 1
        return dropped

    def drop_oldest(self) -> None:
        """Remove the batch that ``oldest`` gave: it was acknowledged, or never will be."""
        self._bytes -= len(self._batches.popleft().body)
