"""What an edit makes of a flag's document, and how two documents differ. Pure."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from rheostat.model.document import EnvironmentDocument, FlagDocument
from rheostat_server.errors import Fault, Invalid

_MOST_CHANGES = 50


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One place where two documents differ. A side that has nothing there is ``None``."""

    path: str
    before: Any = None
    after: Any = None


def merge(target: Any, patch: Any) -> Any:
    """Return the target with a merge patch applied (RFC 7396): objects merge, ``null`` removes, all else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def check_patch(patch: Any) -> None:
    """Refuse a merge patch that cannot mean what it says.

    Raises:
        Invalid: it is not an object, or it takes an environment out of the flag.
    """
    if not isinstance(patch, dict):
        raise Invalid([Fault("", "a merge patch is an object")], "the patch")
    environments = patch.get("environments", {})
    if environments is None:
        raise Invalid([Fault("environments", "environments cannot be taken out of a flag", _DISABLE)], "the patch")
    gone = [name for name, value in environments.items() if value is None] if isinstance(environments, dict) else []
    if gone:
        faults = [
            Fault(f"environments.{name}", "an environment cannot be taken out of a flag", _DISABLE) for name in gone
        ]
        raise Invalid(faults, "the patch")


_DISABLE = "write enabled: false"


def without_environments(document: FlagDocument, gone: Collection[str]) -> FlagDocument:
    """Return the document without these environments."""
    kept = {name: here for name, here in document.environments.items() if name not in gone}
    return msgspec.structs.replace(document, environments=kept)


def with_environment(document: FlagDocument, name: str, here: EnvironmentDocument) -> FlagDocument:
    """Return the document with this environment."""
    return msgspec.structs.replace(document, environments={**document.environments, name: here})


def changes(before: msgspec.Struct | None, after: msgspec.Struct | None) -> list[Change]:
    """Return every place where the documents differ, by path; the first 50."""
    found: list[Change] = []
    for change in _differences("", _plain(before), _plain(after)):
        found.append(change)
        if len(found) == _MOST_CHANGES:
            break
    return found


def unified(before: FlagDocument, after: FlagDocument, from_name: str, to_name: str) -> list[str]:
    """Return a unified diff of the documents, line by line; nothing where they are the same."""
    lines = difflib.unified_diff(_lines(before), _lines(after), from_name, to_name, lineterm="")
    return list(lines)


def _plain(document: msgspec.Struct | None) -> Any:
    return {} if document is None else msgspec.json.decode(msgspec.json.encode(document))


def _lines(document: FlagDocument) -> list[str]:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode().split("\n")


def _differences(path: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _differences(f"{path}.{name}" if path else name, before.get(name), after.get(name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{path}[{index}]", old, new)
    # As JSON, because Python holds 1 and true for equal.
    elif msgspec.json.encode(before) != msgspec.json.encode(after):
        yield Change(path, before, after)
