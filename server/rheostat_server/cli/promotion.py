"""What became of a ramp that a pipeline waits for: the outcome, its exit code, and how it is told. Pure."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from rheostat_server.cli.ramp_panel import standing_line

Outcome = Literal["promoted", "killed", "held", "timeout", "aborted", "started", "interrupted", "error"]

EXIT_CODES: Final[dict[Outcome, int]] = {
    "promoted": 0,
    "started": 0,
    "error": 1,
    "killed": 2,
    "held": 3,
    "timeout": 3,
    "aborted": 4,
    "interrupted": 130,
}
HELD: Final = frozenset({"held", "blind", "paused", "awaiting-approval"})
"""Where a ramp waits for something other than its own time and proof."""


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the ramp. ``view`` is the server's last view of it; empty where there is none.

    ``seconds`` is how long it was waited for. ``new``: it was started by this command. ``killed_by`` are the guardrails
    that killed it.
    """

    flag: str
    project: str
    environment: str
    outcome: Outcome
    reason: str
    seconds: float = 0.0
    new: bool = False
    view: dict[str, Any] = {}
    decisions: Sequence[dict[str, Any]] = ()
    notes: Sequence[str] = ()
    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """What the command exits with."""
        return EXIT_CODES[self.outcome] if self.signal is None else 128 + self.signal

    @property
    def killed_by(self) -> list[str]:
        """The guardrail of the rule's last kill; none where a person killed, or what was promoted was killed since."""
        if self.outcome != "killed" or self.view.get("status") != "killed":
            return []
        last: dict[str, Any] = next((one for one in reversed(self.decisions) if one["kind"] == "kill"), {})
        decision = last.get("detail", {}).get("decision") or {}
        return [str(decision["guardrail"])] if "guardrail" in decision else []

    @property
    def sentence(self) -> str:
        """The outcome in a line for people."""
        where = f"{self.flag} in {self.environment}"
        if not self.view:
            return f"{where}: {self.reason}"
        at = f"{self.view['exposure']:g} %"
        match self.outcome:
            case "promoted":
                return f"{where} is promoted: {at} by ramp {self.view['id']}"
            case "started":
                return f"{where}: ramp {self.view['id']} goes on, and nobody waits for it here"
            case "held" | "timeout":
                return f"{where} is not promoted in time: {self.reason}"
            case "interrupted":
                return f"{where} is not waited for any more, and its ramp goes on: {self.reason}"
            case _:
                return f"{where} was {self.outcome}: {self.reason}"


def outcome_of_end(view: dict[str, Any]) -> tuple[Outcome, str]:
    """Return what became of a ramp that has ended, and why."""
    outcome: Outcome = (
        "promoted" if view["status"] == "promoted" else "killed" if view["status"] == "killed" else "aborted"
    )
    return outcome, str(view.get("why") or outcome)


def outcome_in_time(view: dict[str, Any]) -> tuple[Outcome, str]:
    """Return what to say of a ramp that is live when the time is over."""
    return ("held" if view["status"] in HELD else "timeout"), standing_line(view)
