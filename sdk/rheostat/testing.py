"""Flags for an application's own tests: no server, no thread, no file."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rheostat.client import Rheostat
from rheostat.clock import Clock
from rheostat.engine.evaluate import Ruleset
from rheostat.feed.serving import Serving, Source
from rheostat.model.flag import Answer, Flag
from rheostat.model.snapshot import FORMAT, Snapshot
from rheostat.settings import Settings
from rheostat.values import type_of

ONLY_VARIANT = "value"


class FakeRheostat(Rheostat):
    """A client whose flags are given in code: ``FakeRheostat({"checkout-v2": True, "limit": 5})``.

    A value stands for a flag that gives it to everyone; a ``Flag`` is evaluated as in production. Flags not
    named are not found, so the code's default is served. A default of another type raises
    ``DefaultTypeMismatch``, unless ``strict`` is false.

    Raises:
        TypeError: a value is of a type that no flag has.
    """

    def __init__(
        self, flags: Mapping[str, Any] | None = None, *, strict: bool = True, clock: Clock | None = None
    ) -> None:
        self._begin(Settings(cache_dir=Path(), strict=strict), clock)
        self._flags = {key: flag_of(key, value) for key, value in (flags or {}).items()}
        self._revision = 0
        self._rebuild()

    def set(self, key: str, value: Any) -> None:
        """Give the flag this value (or a ``Flag``) from now on."""
        self._flags = {**self._flags, key: flag_of(key, value)}
        self._rebuild()

    def remove(self, key: str) -> None:
        """Make the flag one that is not found."""
        self._flags = {other: flag for other, flag in self._flags.items() if other != key}
        self._rebuild()

    @contextmanager
    def override(self, key: str, value: Any) -> Iterator[None]:
        """Give the flag this value inside the block."""
        before = self._flags
        self.set(key, value)
        try:
            yield
        finally:
            self._flags = before
            self._rebuild()

    def _rebuild(self) -> None:
        self._revision += 1
        snapshot = Snapshot(
            format=FORMAT,
            generation=1,
            revision=self._revision,
            project="testing",
            environment="testing",
            flags=tuple(self._flags[key] for key in sorted(self._flags)),
        )
        before = self._serving.ruleset
        ruleset = Ruleset.of(snapshot) if before is None else before.with_snapshot(snapshot)
        self._serve(Serving(ruleset, Source.MEMORY, 0, self._monotonic(), float("inf")))


def flag_of(key: str, value: Any) -> Flag:
    """Return the flag that gives everyone this value; a ``Flag`` as it is.

    Raises:
        TypeError: the value is of a type that no flag has.
    """
    if isinstance(value, Flag):
        return value
    kind = type_of(value)
    if kind is None:
        raise TypeError("a flag's value is not None; remove the flag to have the default served")
    return Flag(
        key=key, type=kind, variants={ONLY_VARIANT: value}, version=1, enabled=True, default=Answer(serve=ONLY_VARIANT)
    )
