"""Where reported outcomes are counted, each batch once. Adapter: postgres."""

from typing import Protocol


class OutcomeStore(Protocol):
    """Batches, units, increments, evaluations."""
