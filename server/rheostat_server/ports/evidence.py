"""What happened to a ramp's traffic. Adapters: reported outcomes, Prometheus."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from rheostat_server.ports.ramps import EpochMark
from rheostat_server.ramps.checks import Check, CheckValue
from rheostat_server.ramps.evidence import Block, Reading
from rheostat_server.ramps.model import Guardrail, Plan
from rheostat_server.ramps.terms import Queries, Term


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a guardrail of a ramp asks its source.

    ``cursor`` is the one of the reading before, empty at first. ``marks`` are the ramp's epochs so far, in order:
    a source that does not name the epoch of what it counted finds it by them. ``exposed_epoch`` is the epoch of
    the first exposure, 0 while arming. ``asked_ms`` is the wall time.
    """

    ramp: str
    environment_id: int
    plan: Plan
    guardrail: Guardrail
    marks: tuple[EpochMark, ...]
    asked_ms: int
    exposed_epoch: int = 0
    cursor: str = ""


class EvidenceSource(Protocol):
    """A source of evidence. Its promises are tested in tests/contract/test_evidence.py.

    - What is in one reading is in none that continues from its cursor; a reading whose cursor is not used may
      be asked for again and says the same and more.
    - Blocks come in order of their epochs. Both arms of a block cover the same interval at the same exposure.
    - A source that cannot be reached, or knows nothing, says so by its sight; it never raises and its blocks
      are then empty (``late`` need not be). Nothing new within a moment (a few intervals, at least 15 s) after
      traffic is SEEN.
    """

    async def read(self, question: Question) -> Reading:
        """Return what is new since the cursor."""
        ...

    async def read_all(self, questions: Sequence[Question]) -> tuple[Reading, ...]:
        """Return what is new for each of these, which are of one ramp and moment; in order, as ``read`` would."""
        ...

    async def forget(self, ramp: str, cursors: Sequence[str]) -> None:
        """Let go of what no reading will ask for again.

        ``cursors`` are the saved ones of all guardrails that read this source for the ramp; none: nobody will read.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class CrowdQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What a ramp asks of those who report to it. ``cursor`` is the one of the answer before, empty at first."""

    ramp: str
    environment_id: int
    flag: str
    asked_ms: int
    cursor: str = ""


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """What SDK reports say of a ramp as a whole; the fields are those of ``Evidence``."""

    blocks: tuple[Block, ...] = ()
    cursor: str = ""
    arrivals_by_level: tuple[tuple[int, int], ...] = ()
    coverage: float | None = None
    vanished: int = 0


class CrowdSource(Protocol):
    """Those who report to a ramp, whatever its guardrails read. Adapter: reported.

    What is in one answer is in none that continues from its cursor. Never raises: where nothing can be told, nothing
    is, and the cursor stays.
    """

    async def crowd(self, question: CrowdQuestion) -> Crowd:
        """Return what is new since the cursor, and how well the flag is covered now."""
        ...


class CheckQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What a ramp that counts failed checks looks at now."""

    ramp: str
    checks: tuple[Check, ...]
    asked_ms: int


class CheckSource(Protocol):
    """Where checks are looked at: Prometheus (those with a query), or the reports of SDKs (the others).

    Never raises: a check that could not be looked at has a ``problem``.
    """

    async def find(self, question: CheckQuestion) -> tuple[CheckValue, ...]:
        """Return what each check found, in order."""
        ...

    async def forget(self, ramp: str, checks: Sequence[Check], now_ms: int) -> None:
        """Let go of what none of these checks looks back to any more."""
        ...


class ArmLook(msgspec.Struct, frozen=True, kw_only=True):
    """What one arm showed lately: its series, and the requests that they counted, with those that were bad."""

    series: int = 0
    requests: int = 0
    bad: int = 0


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the queries of a guardrail return now: over the last ``seconds``, by arm (``treatment``, ``control``).

    ``absent`` are the selectors that select nothing. ``values`` are those of the arm's label that no arm is given for.
    ``problem`` says why nothing could be looked at, or is wrong; ``hints`` what would do.
    """

    series: int = 0
    seconds: int = 0
    arms: dict[str, ArmLook] = {}
    absent: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    problem: str | None = None
    hints: tuple[str, ...] = ()


class Scout(Protocol):
    """Looks at a source of queries before a ramp reads it. What failed is a ``problem``."""

    async def look(self, queries: Queries) -> Look:
        """Return what the queries return now."""
        ...

    async def bounds(self, buckets: str) -> tuple[tuple[str, ...], str | None]:
        """Return the bounds of the buckets that a selector selects, as they are spelled; or why there are none.

        Raises:
            EvidenceUnavailable: nobody answered. Without its bounds nothing can be planned, so this is no ``problem``.
        """
        ...

    async def minutes(self, terms: Sequence[Term], asked_ms: int) -> tuple[tuple[tuple[int, int], ...], str | None]:
        """Return (requests, bad requests) of each minute of the last hours, oldest first; or a problem.

        The first minute is the first in which anything was counted.
        """
        ...
