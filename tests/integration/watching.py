"""What a node shows and tells of ramps that nobody moves and of kills after which exposure stays, for tests."""

from prometheus_client import CollectorRegistry

from rheostat_server.ports.alarms import AlarmEvent
from rheostat_server.ports.storage import Transaction


class HeardAlarms:
    """An alarm that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[AlarmEvent] = []

    async def raised(self, tx: Transaction, event: AlarmEvent) -> None:
        """Keep it."""
        self.events.append(event)


def gauge(registry: CollectorRegistry, name: str) -> dict[str, float]:
    """Return the values of a gauge by its last label."""
    return {
        list(sample.labels.values())[-1] if sample.labels else "": sample.value
        for family in registry.collect()
        if family.name == name
        for sample in family.samples
    }
