"""When a ramp may go up, as people write it."""

import msgspec


class AdvanceWindowDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Hours of some days of the week: ``mon-fri``, ``mon,wed``, ``daily`` (as without), from one local time to another.

    Where ``to`` is the earlier time the window ends on the day after the one on which it begins. Without ``timezone``
    it is the ramp's.
    """

    days: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None
    timezone: str | None = None


class FreezeDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """A stretch of time in which no ramp goes up: local dates or times with a timezone, or RFC 3339 times without.

    A date is its first moment: ``until`` a date ends when that day begins.
    """

    from_: str | None = msgspec.field(default=None, name="from")
    until: str | None = None
    timezone: str | None = None
    reason: str | None = None
