"""Which raw counters a guardrail on Prometheus reads, and what their growth counts as."""

import msgspec


class Term(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Counters that a guardrail reads: their growth counts as requests, or as bad ones, or is taken away again.

    ``selector`` is PromQL; of what it selects those count whose labels have one of the values of ``where``. ``of`` is
    ``total`` or ``bad``; ``sign`` is 1 or -1. ``arm`` is ``treatment`` or ``control`` where all of it is of that arm.
    """

    selector: str
    of: str
    sign: int = 1
    arm: str | None = None
    where: dict[str, tuple[str, ...]] = {}


class Queries(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a guardrail's requests are counted in Prometheus.

    The arm of a series is its term's, else the one that ``arms`` gives for the value of its label ``arm_label``.
    Without either the whole service is counted, as if it were treatment: nobody is to be compared with. ``history`` are
    the terms that φ is measured on, where they are others.
    """

    terms: tuple[Term, ...]
    arm_label: str | None = None
    arms: dict[str, str] = {}
    history: tuple[Term, ...] = ()

    @property
    def armless(self) -> bool:
        """Whether nothing tells the arms apart."""
        return self.arm_label is None and all(term.arm is None for term in self.terms)
