"""What a segment names, and what names a segment. Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from rheostat.model.document import FlagDocument, SegmentDocument
from rheostat_server.errors import Fault
from rheostat_server.faults import did_you_mean
from rheostat_server.flags.chains import MOST_SEGMENTS, chain_fault, reversed_links
from rheostat_server.flags.conditions import segments_named

_MAKE_IT: Final = "make it first"
_OPEN_IT: Final = "take one of these links out"


class Use(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who uses a segment, a layer or a template: the kind and key of the document, and where in it."""

    kind: str
    key: str
    path: str
    environment: str | None = None


def check_named_segments(document: SegmentDocument, segments: Mapping[str, SegmentDocument]) -> list[Fault]:
    """Return a fault for each segment that is not there, that leads back to this one, or that leads too far.

    ``segments`` are all of the project, as they will be after the write.
    """
    faults: list[Fault] = []
    own = _named(document)
    links = {key: [name for _, name in _named(segment)] for key, segment in segments.items()} if own else {}
    named_by = reversed_links(links)
    for path, key in own:
        if key not in segments:
            others = [other for other in segments if other != document.key]
            faults.append(
                Fault(f"{path}.segment", f"there is no segment {key!r}", did_you_mean(key, others) or _MAKE_IT)
            )
        elif circle := _way_back(document.key, key, segments):
            faults.append(Fault(f"{path}.segment", f"this goes in a circle: {' → '.join(circle)}", _OPEN_IT))
        elif fault := chain_fault(
            f"{path}.segment",
            document.key,
            key,
            links,
            named_by,
            most=MOST_SEGMENTS,
            what="segments",
        ):
            faults.append(fault)
    return faults


def uses_of_segment(key: str, flags: Mapping[str, FlagDocument], segments: Mapping[str, SegmentDocument]) -> list[Use]:
    """Return each condition, of flags and of other segments, that names this segment."""
    of_flags = [
        Use(kind="flag", key=flag.key, environment=name, path=path)
        for flag in flags.values()
        for name, here in flag.environments.items()
        for index, rule in enumerate(here.rules)
        for path, named in segments_named(rule.when, f"environments.{name}.rules[{index}].when")
        if named == key
    ]
    of_segments = [
        Use(kind="segment", key=segment.key, path=path)
        for segment in segments.values()
        if segment.key != key
        for path, named in _named(segment)
        if named == key
    ]
    return [*of_flags, *of_segments]


def _named(document: SegmentDocument) -> list[tuple[str, str]]:
    return [
        found
        for index, condition in enumerate(document.conditions)
        for found in segments_named(condition, f"conditions[{index}]")
    ]


def _way_back(target: str, start: str, segments: Mapping[str, SegmentDocument]) -> list[str]:
    """Return the segments from ``target`` over ``start`` back to ``target``; nothing where no way leads back."""
    ways: list[list[str]] = [[target, start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        if way[-1] == target:
            return way
        if way[-1] not in seen and way[-1] in segments:
            seen.add(way[-1])
            ways += [[*way, key] for _, key in _named(segments[way[-1]])]
    return []
