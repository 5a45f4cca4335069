"""Everything that can go wrong on the server.

RheostatServerError
├── NotFound
├── Unauthenticated         no credential, or one that is unknown, expired or revoked
├── Forbidden               the credential is good, but not for this
├── Conflict                someone else changed it first, or it clashes with what is there
│   └── VersionConflict     the record moved on from the version that was read
├── Refused                 the request is well formed, but a rule forbids it
│   └── Invalid             what was sent has faults; all of them are listed
├── Malformed               what was sent cannot be read at all
├── TooLarge
├── Unavailable             try again later; nothing was changed
│   ├── StorageUnavailable
│   └── EvidenceUnavailable
└── StartupRefused          the server cannot start; one line says why
    ├── DataDirectoryInUse
    ├── AddressInUse
    ├── SchemaTooNew
    └── MigrationChanged
"""

import msgspec


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault in what was sent. ``path`` is like ``environments.production.rules[0].serve``."""

    path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        line = f"{self.path}: {self.message}" if self.path else self.message
        return f"{line} ({self.hint})" if self.hint else line


class RheostatServerError(Exception):
    """Base class. Catch this to catch everything we raise on purpose."""


class NotFound(RheostatServerError):
    """The thing named does not exist."""


class Unauthenticated(RheostatServerError):
    """No credential, or one that is unknown, expired or revoked."""


class Forbidden(RheostatServerError):
    """The credential is good, but not for this."""


class Conflict(RheostatServerError):
    """It clashes with what is there."""


class VersionConflict(Conflict):
    """The record moved on from the version that was read."""


class Refused(RheostatServerError):
    """A rule forbids this."""


class Invalid(Refused):
    """What was sent has faults."""

    def __init__(self, faults: tuple[Fault, ...] | list[Fault], what: str = "the document") -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        super().__init__(f"{what} has {count} fault{'s' if count != 1 else ''}")


class Malformed(RheostatServerError):
    """What was sent cannot be read at all: not JSON, a header that does not parse."""


class TooLarge(RheostatServerError):
    """What was sent is larger than the limit that the message names."""


class Unavailable(RheostatServerError):
    """A dependency is down. Nothing was changed."""


class StorageUnavailable(Unavailable):
    """The database cannot be reached."""


class EvidenceUnavailable(Unavailable):
    """Prometheus did not answer what has to be known."""


class StartupRefused(RheostatServerError):
    """The server cannot start. The message is one line."""


class DataDirectoryInUse(StartupRefused):
    """Another server holds this data directory."""


class AddressInUse(StartupRefused):
    """The port is taken."""


class SchemaTooNew(StartupRefused):
    """The database was migrated by a newer server that this one cannot run beside."""


class MigrationChanged(StartupRefused):
    """A migration file differs from the one that was applied."""
