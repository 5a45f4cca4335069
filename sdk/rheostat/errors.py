"""Everything that the SDK raises on purpose.

RheostatError
├── ConfigurationError     a setting is missing or wrong
├── InvalidContext         a targeting key or attribute of a type that cannot be used
├── DefaultTypeMismatch    the default given in code has another type than the flag (strict mode only)
└── InvalidSnapshot        bytes that are not a snapshot of a format that this SDK reads
"""


class RheostatError(Exception):
    """Base class. Catch this to catch everything that the SDK raises on purpose."""


class ConfigurationError(RheostatError, ValueError):
    """A setting is missing or wrong; the message names it."""


class InvalidContext(RheostatError, TypeError):
    """A targeting key or attribute has a type that cannot be used."""


class DefaultTypeMismatch(RheostatError, TypeError):
    """The default given in code has another type than the flag."""


class InvalidSnapshot(RheostatError, ValueError):
    """These bytes are not a snapshot of a format that this SDK reads."""
