"""What may be kept, but was perhaps not meant. Pure."""

from rheostat.model.document import FlagDocument
from rheostat.model.flag import Condition
from rheostat_server.errors import Fault
from rheostat_server.flags.conditions import parts_of


def warnings_of(document: FlagDocument) -> list[Fault]:
    """Return what to tell the writer of a document that is valid. Each warning has a path, as a fault has."""
    return _forgeable(document) if document.client else []


def _forgeable(document: FlagDocument) -> list[Fault]:
    """Whoever holds a client key writes the context, and so decides which rule matches."""
    return [
        Fault(
            f"environments.{name}.rules[{index}].when",
            f"clients are answered by this flag, and a client can send any {' and '.join(_asked(rule.when))} it likes",
            "guard nothing with it, or set client: false and evaluate on a server",
        )
        for name, here in document.environments.items()
        for index, rule in enumerate(here.rules)
    ]


def _asked(condition: Condition) -> list[str]:
    """Return what a condition asks of the context: attributes, and segments by name; each once, in order."""
    asked: dict[str, None] = {}
    for _, part in parts_of(condition, ""):
        if part.attribute is not None:
            asked[part.attribute] = None
        if part.segment is not None:
            asked[f"membership of {part.segment}"] = None
    return list(asked)
