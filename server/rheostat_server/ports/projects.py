"""Where projects are kept. Adapter: postgres."""

from typing import Protocol


class ProjectStore(Protocol):
    """Projects, and the making and deleting of environments."""
