"""When flags were last evaluated and ramped. Adapter: postgres."""

from typing import Protocol

import msgspec


class VariantUse(msgspec.Struct, frozen=True, kw_only=True):
    """How often one environment gave a variant in what is remembered (90 days), and when last (ms).

    The empty variant is the caller's default.
    """

    environment: str
    variant: str
    count: int
    last_at_ms: int


class UsageStore(Protocol):
    """What is known of the use of a project's flags."""

    async def seen(self, project_id: int) -> dict[str, int]:
        """Return when each flag was last evaluated (ms), by key; without those of which nothing is remembered."""
        ...

    async def ramped(self, project_id: int) -> dict[str, int]:
        """Return when a ramp or a kill last changed what a flag gives (ms), by key, where one ever did."""
        ...

    async def of_flag(self, project_id: int, key: str) -> list[VariantUse]:
        """Return the use of a flag's variants, by environment and variant."""
        ...
