"""The success rate of exposed requests, from the batches that SDKs sent, over the last so many seconds."""

from collections.abc import Sequence

from rheostat_server.errors import Unavailable
from rheostat_server.outcomes.pruning import BATCH_ROWS, in_batches
from rheostat_server.ports.evidence import CheckQuestion
from rheostat_server.ports.storage import Storage
from rheostat_server.ramps.checks import Check, CheckValue

KEPT_WINDOWS = 2


class ReportedChecks:
    """Fulfils ``CheckSource`` for checks without a query. Rows of the ramp's inbox stay as long as one looks back."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def find(self, question: CheckQuestion) -> tuple[CheckValue, ...]:
        """Return for each check the share, in percent, of the exposed requests in its window that ended well."""
        try:
            return await self._values(question)
        except Unavailable as error:
            return tuple(CheckValue(name=check.name, problem=str(error)) for check in question.checks)

    async def forget(self, ramp: str, checks: Sequence[Check], now_ms: int) -> None:
        """Drop what was reported longer ago than twice the longest window."""
        longest_s = max((check.window_s for check in checks if check.query is None), default=0.0)
        before_ms = round(now_ms - KEPT_WINDOWS * longest_s * 1000)
        await in_batches(self._storage, lambda tx: tx.outcomes.forget_inbox_before(ramp, before_ms, BATCH_ROWS))

    async def _values(self, question: CheckQuestion) -> tuple[CheckValue, ...]:
        values: list[CheckValue] = []
        async with self._storage.transaction() as tx:
            for check in question.checks:
                since_ms = round(question.asked_ms - check.window_s * 1000)
                ended, bad = await tx.outcomes.exposed_requests(question.ramp, since_ms)
                found = (repr(100 * (ended - bad) / ended),) if ended else ()
                values.append(CheckValue(name=check.name, found=found))
        return tuple(values)
