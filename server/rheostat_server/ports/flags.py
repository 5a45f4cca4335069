"""Where flag documents are kept, every version of them. Adapter: postgres."""

from typing import Protocol


class FlagStore(Protocol):
    """Flag documents."""
