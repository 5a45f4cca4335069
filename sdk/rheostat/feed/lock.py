"""A lock between the processes of one machine, on a file beside what they share."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover - a system without it
    fcntl = None  # type: ignore[assignment]

WAIT_SECONDS = 2.0
"""Many workers that hear of one kill write in turn, each within some 30 ms. Who holds on longer has been stopped."""
_BETWEEN_SECONDS = 0.01


@contextmanager
def exclusive(path: Path, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[bool]:
    """Hold the lock of this file within the block; yield whether it is held.

    Waits ``wait_seconds`` at most and then goes on without it: a process that was stopped while it held the lock must
    not keep the others from writing. The file is made, with its folder, and stays.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        held = _take(descriptor, wait_seconds)
        try:
            yield held
        finally:
            if held and fcntl is not None:
                # Let go by word: a child that was forked meanwhile has the descriptor too.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _take(descriptor: int, wait_seconds: float) -> bool:
    if fcntl is None:
        return False
    for attempt in range(round(wait_seconds / _BETWEEN_SECONDS) + 1):
        if attempt:
            time.sleep(_BETWEEN_SECONDS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except OSError:
            # A file system without locks.
            return False
        return True
    return False
