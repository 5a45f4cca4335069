"""Checks whose query Prometheus answers now, as Flagger and Argo Rollouts ask them."""

import asyncio
from collections.abc import Sequence
from typing import Final

from rheostat_server.adapters.evidence.prometheus.client import PrometheusClient, QueryFailedError
from rheostat_server.ports.evidence import CheckQuestion
from rheostat_server.ramps.checks import Check, CheckValue

MOST_VALUES: Final = 1_000
"""So many values of one answer are kept; of a longer one the last are."""


class PrometheusChecks:
    """Fulfils ``CheckSource`` for checks that have a query."""

    def __init__(self, client: PrometheusClient) -> None:
        self._client = client

    async def find(self, question: CheckQuestion) -> tuple[CheckValue, ...]:
        """Return what each query comes to now."""
        return tuple(await asyncio.gather(*map(self._value, question.checks)))

    async def forget(self, ramp: str, checks: Sequence[Check], now_ms: int) -> None:
        """Prometheus forgets by itself."""

    async def _value(self, check: Check) -> CheckValue:
        try:
            numbers = await self._client.instant(check.query or "")
        except QueryFailedError as error:
            return CheckValue(name=check.name, problem=f"query failed: {error}")
        return CheckValue(name=check.name, found=numbers.found[-MOST_VALUES:], scalar=numbers.scalar)
