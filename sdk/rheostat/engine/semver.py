"""Semantic versions (semver.org 2.0.0) as keys that compare by precedence."""

import re
from functools import lru_cache
from typing import Final

VersionKey = tuple[int, int, int, tuple[object, ...]]

_NUMBER = r"(0|[1-9][0-9]*)"
_PATTERN = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
LONGEST: Final = 256
"""The most characters that a version has."""
_RELEASE: tuple[object, ...] = (1,)


def version_key(text: object) -> VersionKey | None:
    """Return a key that orders versions by precedence (build metadata does not count); ``None`` for no version."""
    if not isinstance(text, str) or len(text) > LONGEST:
        return None
    return parsed(text)


# Few versions of an application are out at a time, and each comes with every request.
@lru_cache(maxsize=512)
def parsed(text: str) -> VersionKey | None:
    """Return the key of a text that is at most ``LONGEST``; ``None`` for no version."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        return None
    major, minor, patch, prerelease = match.groups()
    if prerelease is None:
        return int(major), int(minor), int(patch), _RELEASE
    identifiers: list[object] = [0]
    for identifier in prerelease.split("."):
        if not identifier.isdigit():
            identifiers.append((1, identifier))
        elif identifier != "0" and identifier.startswith("0"):
            return None
        else:
            identifiers.append((0, int(identifier)))
    return int(major), int(minor), int(patch), tuple(identifiers)
