"""A storage whose writes are looked at and taken back: who would move by them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from rheostat_server.flags.moved import Sides
from rheostat_server.flags.sides import Concern, Rows, compiled, concerned, read_rows
from rheostat_server.ports.storage import EnvironmentRow, Storage, Transaction

T = TypeVar("T")


class _OnlyLooked(Exception):
    """Leaves the transaction, so that nothing of it stays."""

    def __init__(self, result: Any, environments: Sequence[EnvironmentRow], before: Rows, after: Rows) -> None:
        super().__init__()
        self.result = result
        self.environments = environments
        self.before = before
        self.after = after


class Looking:
    """Fulfils ``Storage`` for one write of a project, which goes through all that it would, and leaves nothing.

    Afterwards ``before`` and ``after`` are what the environments served and would serve, and ``environments`` their
    ids by key. So a look refuses what the write would refuse, and knows of ramps and kills what the write would.
    """

    def __init__(self, storage: Storage, project: str, concern: Concern, *, whole: bool) -> None:
        """Look at nothing yet. ``whole``: the sides hold all that evaluating takes."""
        self._storage = storage
        self._project = project
        self._concern = concern
        self._whole = whole
        self.before: Sides = {}
        self.after: Sides = {}
        self.environments: Mapping[str, int] = {}

    def transaction(self, *, snapshot: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction to read."""
        return self._storage.transaction(snapshot=snapshot)

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work``, look at what it did, and undo it.

        Raises:
            NotFound: there is no such project.
        """

        async def looked(tx: Transaction) -> T:
            # The lock that every write of documents takes first: what is read is what the write then finds.
            home = await tx.projects.lock(self._project)
            environments = await tx.environments.of_project(self._project)
            keys = await concerned(tx, home.id, self._concern)
            before = await read_rows(tx, environments, keys, whole=self._whole)
            result = await work(tx)
            after = await read_rows(tx, environments, keys, whole=self._whole)
            raise _OnlyLooked(result, environments, before, after)

        try:
            return await self._storage.run(looked)
        except _OnlyLooked as found:
            # Only now, with no lock held: a kill may be waiting.
            self.environments = {row.key: row.id for row in found.environments}
            self.before = await compiled(found.environments, found.before)
            self.after = await compiled(found.environments, found.after)
            result: T = found.result
            return result

    async def check_generation(self, now_ms: int) -> int | None:
        """As the storage beneath."""
        return await self._storage.check_generation(now_ms)
