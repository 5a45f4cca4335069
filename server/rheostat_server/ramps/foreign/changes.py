"""What becomes of a foreign block's fields, a line each, and what is refused. Pure."""

from typing import Final

from rheostat_server.faults import Fields, below

BY_THRESHOLD: Final = "or `rule: threshold`, which counts as it did"
"""A hint's end: what honours a figure that the guard cannot."""


class Changes:
    """The lines so far, in the order of the block."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def say(self, path: str, what: str) -> None:
        """Say what becomes of the field at ``path``."""
        self._lines.append(f"{path}: {what}")

    def left_out(self, fields: Fields, reasons: dict[str, str]) -> None:
        """Say of each of these fields that is there why it is left out."""
        by_reason: dict[str, list[str]] = {}
        for name, reason in reasons.items():
            if name in fields:
                by_reason.setdefault(reason, []).append(name)
        for reason, names in by_reason.items():
            self.say(", ".join(below(fields.path, name) for name in names), f"left out: {reason}")

    @property
    def lines(self) -> tuple[str, ...]:
        """What was said, each once: a template may be used twice."""
        return tuple(dict.fromkeys(self._lines))
