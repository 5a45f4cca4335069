"""A source of evidence that can be struck blind."""

from collections.abc import Sequence

from rheostat_server.ports.evidence import EvidenceSource, Question
from rheostat_server.ramps.evidence import Reading, Sight


class SometimesBlind:
    """Another source, which cannot be read while ``blind``."""

    def __init__(self, source: EvidenceSource) -> None:
        self._source = source
        self.blind = False

    async def read_all(self, questions: Sequence[Question]) -> tuple[Reading, ...]:
        """Answer each."""
        return tuple([await self.read(question) for question in questions])

    async def read(self, question: Question) -> Reading:
        """Answer, or see nothing."""
        if self.blind:
            return Reading(guardrail=question.guardrail.name, sight=Sight.QUERY_FAILED, cursor=question.cursor)
        return await self._source.read(question)

    async def forget(self, ramp: str, cursors: Sequence[str]) -> None:
        """Let go of what was read."""
        await self._source.forget(ramp, cursors)

    async def close(self) -> None:
        """Let go of nothing."""
