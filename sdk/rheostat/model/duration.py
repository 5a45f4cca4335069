"""Lengths of time as people write them: ``500ms``, ``60s``, ``10m``, ``1h30m``, ``7d``."""

import re

_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_PATTERN = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?(?:([0-9]{1,9})ms)?")


def duration_ms(text: str) -> int:
    """Return the length in milliseconds.

    Raises:
        ValueError: the text is not whole numbers with the units d, h, m, s, ms, each at most once and in this order.
    """
    match = _PATTERN.fullmatch(text) if text else None
    if match is None:
        raise ValueError(f"{text!r} is not a length of time such as 60s, 10m or 1h30m")
    return sum(int(number) * size for number, size in zip(match.groups("0"), _UNITS_MS.values(), strict=True))


def duration_text(milliseconds: int) -> str:
    """Return the shortest text that ``duration_ms`` reads as this length (0 or more)."""
    parts: list[str] = []
    for unit, size in _UNITS_MS.items():
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
