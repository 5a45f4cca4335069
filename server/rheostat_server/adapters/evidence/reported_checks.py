"""The success rate of exposed requests, from the batches that SDKs sent, over the last so many seconds."""

from collections.abc import Sequence

from rheostat_server.errors import Unavailable
from rheostat_server.outcomes.model import InboxRow
from rheostat_server.outcomes.pruning import BATCH_ROWS, in_batches
from rheostat_server.ports.evidence import CheckQuestion
from rheostat_server.ports.storage import Storage
from rheostat_server.ramps.checks import Check, CheckValue

ROWS_A_LOOK = 5_000
KEPT_WINDOWS = 2


class ReportedChecks:
    """Fulfils ``CheckSource`` for checks without a query. Rows of the ramp's inbox stay as long as one looks back."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def find(self, question: CheckQuestion) -> tuple[CheckValue, ...]:
        """Return for each check the share, in percent, of the exposed requests in its window that ended well."""
        try:
            rows = await self._rows(question.ramp)
        except Unavailable as error:
            return tuple(CheckValue(name=check.name, problem=str(error)) for check in question.checks)
        return tuple(_value(check, rows, question.asked_ms) for check in question.checks)

    async def forget(self, ramp: str, checks: Sequence[Check], now_ms: int) -> None:
        """Drop what lies further back than twice the longest window."""
        longest_s = max((check.window_s for check in checks if check.query is None), default=0.0)
        rows = await self._rows(ramp)
        old = [row.seq for row in rows if row.increment.until_ms < now_ms - KEPT_WINDOWS * longest_s * 1000]
        if old:
            behind = max(old)
            await in_batches(self._storage, lambda tx: tx.outcomes.forget_inbox(ramp, behind, BATCH_ROWS))

    async def _rows(self, ramp: str) -> list[InboxRow]:
        rows: list[InboxRow] = []
        async with self._storage.transaction() as tx:
            while page := await tx.outcomes.inbox_after(ramp, rows[-1].seq if rows else 0, ROWS_A_LOOK):
                rows += page
        return rows


def _value(check: Check, rows: Sequence[InboxRow], asked_ms: int) -> CheckValue:
    since_ms = asked_ms - check.window_s * 1000
    seen = [row.increment.treatment for row in rows if since_ms < row.increment.until_ms and not row.increment.late]
    ended = sum(one.ended for one in seen)
    if not ended:
        return CheckValue(name=check.name)
    return CheckValue(name=check.name, found=(repr(100 * (ended - sum(one.bad for one in seen)) / ended),))
