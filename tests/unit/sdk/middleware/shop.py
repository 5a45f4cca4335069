"""A client as the middleware sees it: real outcomes with a ramp applied, and a flag to read."""

from contextlib import AbstractContextManager

from rheostat.bound import bind
from rheostat.clock import ManualClock
from rheostat.model.context import Context
from rheostat.model.evaluation import Arm, Evaluation, Reason
from rheostat.model.snapshot import Identity
from rheostat.outcomes import Outcomes, current_recorder
from tests.builders import a_flag, a_rollout, an_overlay

OVERLAYS = {flag: an_overlay(flag=flag, unit_key="0f" * 16) for flag in ("checkout", "search")}
FLAGS = {flag: a_flag(flag, rollout=a_rollout(100_000)) for flag in OVERLAYS}


class Shop:
    """Outcomes that are never started: tests read what would be sent."""

    def __init__(self, *, ramping: bool = True) -> None:
        self.outcomes: Outcomes | None = Outcomes("http://127.0.0.1:9", "sdk-key", clock=ManualClock())
        if ramping:
            self.ramp()

    def ramp(self) -> None:
        """Apply a state in which both flags ramp."""
        assert self.outcomes is not None
        self.outcomes.snapshot_applied(
            Identity(1, 1), (), OVERLAYS, project="default", environment="production", flags=FLAGS
        )

    def bind(self, context: Context) -> AbstractContextManager[Context]:
        """Bind as the client does."""
        return bind(context)


def read_flag(shop: Shop, flag: str = "checkout", arm: Arm = Arm.TREATMENT) -> None:
    """Do what the client does after an evaluation in a ramp."""
    recorder = current_recorder.get()
    if recorder is not None:
        evaluation = Evaluation(
            flag,
            value=True,
            variant="on",
            reason=Reason.SPLIT,
            ramp=OVERLAYS[flag],
            arm=arm,
            unit="user-1",
            place=5,
        )
        recorder.note(evaluation, shop.outcomes)


def counts(shop: Shop) -> tuple[int, int, int]:
    """Return started, ended, bad since the last call."""
    assert shop.outcomes is not None
    rows = shop.outcomes._make(1, False).rows
    return sum(row.started for row in rows), sum(row.ended for row in rows), sum(row.bad for row in rows)
