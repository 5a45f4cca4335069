"""Work that a component does again and again until it is stopped."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from rheostat_server.errors import Unavailable

log = structlog.get_logger()


async def keep_doing(act: Callable[[], Awaitable[object]], seconds: float, *, waits: str, failed: str) -> NoReturn:
    """Do it, wait so many seconds, and do it again: whatever goes wrong, or it would never be done again.

    ``waits`` is what the log says while the database is away, ``failed`` what it says, with a traceback, of all else.
    """
    while True:
        try:
            await act()
        except Unavailable as error:
            log.warning(waits, error=str(error))
        except Exception:
            log.exception(failed)
        await asyncio.sleep(seconds)
