"""Moments as RFC 3339 writes them."""

import re
from datetime import date

_PATTERN = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,32}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_EPOCH = date(1970, 1, 1).toordinal()


def moment_ns(text: object) -> int | None:
    """Return nanoseconds since the Unix epoch; ``None`` for what is not an RFC 3339 date and time.

    Digits finer than a nanosecond are cut off. The leap second 60 is the second after 59.
    """
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hour, offset_minute = match.group(7, 8, 9, 10)
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        days = date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return None
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second
    if sign is not None:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            return None
        offset = (int(offset_hour) * 60 + int(offset_minute)) * 60
        seconds += -offset if sign == "+" else offset
    return seconds * 1_000_000_000 + int((fraction or "0")[:9].ljust(9, "0"))
