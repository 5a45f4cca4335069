"""One HTTP request from its start to its end, whatever the server's interface."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Literal, Protocol, TypeAlias

from rheostat.middleware.faults import Faults
from rheostat.model.context import Context
from rheostat.model.outcome import Outcome
from rheostat.outcomes.outcomes import Outcomes
from rheostat.outcomes.recorder import current_recorder

Latency: TypeAlias = Literal["last_byte", "first_byte"]
"""When a request ends: with the last part of its body, or, for streams, with the first."""

EVENT_STREAM: Final = "text/event-stream"


class Flags(Protocol):
    """What the middleware needs of a client."""

    @property
    def outcomes(self) -> Outcomes | None:
        """Where the client counts; ``None`` when it has no server to tell."""
        ...

    def bind(self, context: Context) -> AbstractContextManager[Any]:
        """Make the context the one of the evaluations inside."""
        ...


class WatchedRequest:
    """Ends its recorder once, by what is seen of the response first.

    ``ok`` with the end of the body, ``error`` with it when the status was 5xx, and what the application or
    the client did before it otherwise. No method raises.
    """

    __slots__ = ("_clock", "_ended", "_faults", "_first_byte", "_status", "began", "recorder")

    def __init__(self, outcomes: Outcomes, latency: Latency, faults: Faults) -> None:
        self._clock = outcomes.clock
        self._faults = faults
        self._first_byte = latency == "first_byte"
        self._status: int | None = None
        self._ended = False
        self.began = self._clock.monotonic()
        self.recorder = outcomes.recorder()

    def responds(self, status: int, content_type: str) -> None:
        """Note the response's head. A stream of server-sent events has no end to wait for."""
        self._status = status
        if content_type.lower().startswith(EVENT_STREAM):
            self._first_byte = True

    def sent(self, *, last: bool) -> None:
        """Note that a part of the body has been sent."""
        if last or self._first_byte:
            self.end(Outcome.ERROR if self._status is None or self._status >= 500 else Outcome.OK)

    def end(self, outcome: Outcome) -> None:
        """Count the request's end, if it has not ended."""
        if self._ended:
            return
        self._ended = True
        try:
            self.recorder.finish(outcome, self._clock.monotonic() - self.began)
        except Exception:  # noqa: BLE001 - never the application's concern
            self._faults.say("an outcome could not be counted")


def watch(flags: Flags, latency: Latency, faults: Faults) -> WatchedRequest | None:
    """Return the request to watch; ``None`` when nobody counts, or an outer middleware of this client already."""
    try:
        outcomes = flags.outcomes
        if outcomes is None:
            return None
        outer = current_recorder.get()
        if outer is not None and outer.records(outcomes):
            return None
        return WatchedRequest(outcomes, latency, faults)
    except Exception:  # noqa: BLE001 - never the application's concern
        faults.say("a request could not be watched")
        return None


def binding(flags: Flags, context: Context | None, faults: Faults) -> AbstractContextManager[Any]:
    """Return the context manager that binds this context, or one that does nothing."""
    if context is None:
        return nullcontext()
    try:
        return flags.bind(context)
    except Exception:  # noqa: BLE001 - never the application's concern
        faults.say("a context could not be bound")
        return nullcontext()
