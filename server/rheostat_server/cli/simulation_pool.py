"""Runs of a simulation on all cores, as they come; an interrupt ends them and keeps what there is."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
_MOST_WORKERS = 8
_LOOK_SECONDS = 0.5


def run_all(work: Callable[[int], T], count: int, *, workers: int | None = None) -> Iterator[list[T]]:
    """Yield the results of ``work(0) … work(count - 1)`` as they are ready, some at a time, in no order.

    ``work`` has to be picklable. With one worker it runs in this process.
    """
    workers = min(workers or cores(), _MOST_WORKERS, count)
    if workers <= 1:
        for index in range(count):
            yield [work(index)]
        return
    with ProcessPoolExecutor(workers, initializer=_begin, initargs=(os.getpid(),)) as pool:
        waiting: set[Future[T]] = set()
        try:
            for index in range(count):
                waiting.add(pool.submit(work, index))
                if len(waiting) > 2 * workers:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield [future.result() for future in done]
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield [future.result() for future in done]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin(parent: int) -> None:
    # The terminal's interrupt reaches every process; only the first is to act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    """End this process when its parent was killed: nobody would ever tell it to."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)
