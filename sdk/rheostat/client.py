"""The client: answers from memory, kept fresh behind its back."""

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeAlias, TypeVar

from rheostat.bound import bind, bound_context, carry
from rheostat.clock import Clock, system_clock
from rheostat.complaints import Complaints
from rheostat.details import EvaluationDetails
from rheostat.engine.evaluate import Ruleset
from rheostat.engine.kills import in_force
from rheostat.errors import ConfigurationError, DefaultTypeMismatch
from rheostat.feed.file import Bootstrap
from rheostat.feed.serving import Serving
from rheostat.lifecycle import Lifecycle
from rheostat.listeners import Listeners
from rheostat.model.context import Context
from rheostat.model.evaluation import CODE_DEFAULT, Evaluation, Reason
from rheostat.model.explanation import Explanation
from rheostat.model.flag import FlagType
from rheostat.model.snapshot import FORMAT, Snapshot
from rheostat.outcomes.outcomes import Outcomes
from rheostat.outcomes.recorder import note_meeting
from rheostat.settings import STALE_AFTER_SECONDS, Settings, read_settings
from rheostat.status import Status
from rheostat.unanswered import name_of, not_ready, unexplained, unreadable, wrong_type
from rheostat.values import MISMATCH, as_type, fits, type_of

if TYPE_CHECKING:
    from rheostat.middleware.asgi import RheostatMiddleware
    from rheostat.middleware.connection import ASGIApp, Scope
    from rheostat.middleware.request import Latency

log = logging.getLogger("rheostat")

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# The class has methods of these names, which would hide the types in its own annotations.
Integer: TypeAlias = int
Real: TypeAlias = float

_ANONYMOUS: Final = Context()
_NO_FLAGS: Final = Ruleset.of(Snapshot(format=FORMAT, generation=0, revision=0, project="", environment=""))


class Rheostat:
    """Evaluates feature flags in this process.

    Made once and shared by all threads. Making it reads no network and returns at once; a daemon thread then
    follows the server. Evaluation never blocks and never raises: what cannot be answered is answered by the
    ``default``. Without a URL or a key it says so once in the log and serves its bootstrap, else defaults.

    ``url``, ``sdk_key``, ``service`` and ``cache_dir`` are taken from ``RHEOSTAT_URL``, ``RHEOSTAT_SDK_KEY``,
    ``RHEOSTAT_SERVICE`` and ``RHEOSTAT_CACHE_DIR`` where they are not given. ``bootstrap`` is a snapshot to
    serve until the server or the disk has a better one. ``strict`` raises ``DefaultTypeMismatch`` for a
    default of another type than the flag: for development. ``stale_after`` (s) is the end-to-end age above
    which answers have the reason ``STALE``.

    Raises:
        ConfigurationError: an argument or variable makes no sense.
    """

    def __init__(
        self,
        url: str | None = None,
        sdk_key: str | None = None,
        *,
        service: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        bootstrap: Bootstrap | None = None,
        strict: bool = False,
        stale_after: Real = STALE_AFTER_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        settings = read_settings(
            os.environ,
            url=url,
            sdk_key=sdk_key,
            service=service,
            cache_dir=cache_dir,
            strict=strict,
            stale_after=stale_after,
        )
        self._begin(settings, clock, bootstrap)
        self._lifecycle.start()

    def _begin(self, settings: Settings, clock: Clock | None, bootstrap: Bootstrap | None = None) -> None:
        try:
            self._clock = system_clock() if clock is None else clock
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"RHEOSTAT_CLOCK_OFFSET_FILE cannot be used: {error}") from error
        self._monotonic = self._clock.monotonic
        self._strict = settings.strict
        self._serving = Serving()
        self._ruleset = _NO_FLAGS
        self._complaints = Complaints()
        self._listeners = Listeners()
        self._lifecycle = Lifecycle(settings, self._clock, self, bootstrap)
        self._outcomes = self._lifecycle.outcomes

    # --- evaluation ---

    def boolean(self, key: str, default: bool = False, context: Context | None = None) -> bool:
        """Return the flag's value, or ``default`` where there is none of this type."""
        # Written out here and in `string`, with no call but the flag's own: each would cost a tenth of an evaluation.
        if context is None:
            context = bound_context.get() or _ANONYMOUS
        ruleset, outcomes = self._ruleset, self._outcomes
        try:
            evaluation = ruleset.direct[key](context, ruleset, None)
            value = evaluation.value
            if (value is True or value is False) and (default is False or default is True):
                if outcomes is not None:
                    next(outcomes.counters[key][evaluation.variant])
                    if evaluation.ramp is not None:
                        self._meet(evaluation, outcomes)
                return value
        except Exception:  # noqa: BLE001, S110 - what it was is said on the long way, which counts what was not counted
            pass
        settled: bool = self._settle(self._evaluation(self._serving, key, context), default, FlagType.BOOLEAN)
        return settled

    def string(self, key: str, default: str, context: Context | None = None) -> str:
        """Return the flag's value, or ``default`` where there is none of this type."""
        if context is None:
            context = bound_context.get() or _ANONYMOUS
        ruleset, outcomes = self._ruleset, self._outcomes
        try:
            evaluation = ruleset.direct[key](context, ruleset, None)
            value = evaluation.value
            if type(value) is str and type(default) is str:
                if outcomes is not None:
                    next(outcomes.counters[key][evaluation.variant])
                    if evaluation.ramp is not None:
                        self._meet(evaluation, outcomes)
                return value
        except Exception:  # noqa: BLE001, S110 - as in `boolean`
            pass
        settled: str = self._settle(self._evaluation(self._serving, key, context), default, FlagType.STRING)
        return settled

    def integer(self, key: str, default: Integer, context: Context | None = None) -> Integer:
        """Return the flag's value, or ``default`` where there is none of this type. A float flag is another type."""
        value: Integer = self._settle(self._evaluation(self._serving, key, context), default, FlagType.INTEGER)
        return value

    def float(self, key: str, default: Real, context: Context | None = None) -> Real:
        """Return the flag's value, or ``default`` where there is none of this type. An integer flag answers too."""
        value: Real = self._settle(self._evaluation(self._serving, key, context), default, FlagType.FLOAT)
        return value

    def object(self, key: str, default: Any, context: Context | None = None) -> Any:
        """Return a copy of the flag's value (a dict or a list), or ``default`` itself where there is none."""
        return self._settle(self._evaluation(self._serving, key, context), default, FlagType.OBJECT)

    def evaluate(self, key: str, default: T, context: Context | None = None) -> EvaluationDetails[T]:
        """Return the value with variant, reason, error, identity and age. The default's type is the type asked for.

        ``None`` as default asks for no type: the flag's own is given.
        """
        serving = self._serving
        kind = type(default)
        if kind is bool or kind is str:
            # By far the most: what follows is the same and takes longer.
            evaluation = self._evaluation(serving, key, context)
            if type(evaluation.value) is kind:
                self._count(evaluation)
                return self._details(serving, evaluation, evaluation.value)
        try:
            wanted = type_of(default)
        except TypeError as error:
            name = name_of(key)
            self._mismatch(name, str(error))
            return self._details(serving, wrong_type(name, str(error)), default)
        evaluation = self._evaluation(serving, key, context)
        value: T = as_type(evaluation.value, wanted)
        if value is MISMATCH:
            if evaluation.value is not CODE_DEFAULT:
                evaluation = self._mismatched(evaluation, wanted)
            value = default
        self._count(evaluation)
        return self._details(serving, evaluation, value)

    def observe(self, key: str, context: Context | None = None) -> None:
        """Count the running request for a flag that was evaluated elsewhere for this user: a browser, another service.

        The arm is the one that the flag gives the context now. Nothing is counted as evaluated here; without a
        request that the middleware watches, or where the flag does not ramp, nothing happens.
        """
        evaluation = self._evaluation(self._serving, key, context)
        if evaluation.ramp is not None and self._outcomes is not None:
            self._meet(evaluation, self._outcomes)

    def all(self, context: Context | None = None) -> dict[str, EvaluationDetails[Any]]:
        """Return every flag's answer by key, ``None`` as the value where only the caller has a default.

        Looking at all flags exposes nobody: nothing is counted.
        """
        serving = self._serving
        if serving.ruleset is None:
            return {}
        subject = _subject(context)
        age_ms = serving.age_at(self._monotonic())
        answers = serving.ruleset.bulk(subject, now_ms=self._clock.wall_ms(), age_ms=age_ms)
        return {
            key: self._details(serving, answer, None if (value := as_type(answer.value, None)) is MISMATCH else value)
            for key, answer in answers.items()
        }

    def explain(self, key: str, context: Context | None = None) -> Explanation:
        """Return each step to what the flag gives now, for people to read. Nothing is counted; takes its time."""
        serving = self._serving
        if serving.ruleset is None:
            return unexplained(not_ready(key), serving.identity)
        now_ms, age_ms = self._clock.wall_ms(), serving.age_at(self._monotonic())
        try:
            return serving.ruleset.explain(key, _subject(context), now_ms=now_ms, age_ms=age_ms)
        except Exception as error:  # noqa: BLE001 - as in an evaluation
            return unexplained(unreadable(key, error), serving.identity)

    def _settle(self, evaluation: Evaluation, default: Any, wanted: FlagType) -> Any:
        """Return the value as the type asked for, else the default; count what was given."""
        value = as_type(evaluation.value, wanted)
        if value is MISMATCH:
            if evaluation.value is not CODE_DEFAULT:
                evaluation = self._mismatched(evaluation, wanted)
            value = default
        elif default is not None and not fits(default, wanted):
            message = f"the default is of type {type(default).__name__}, asked for is {wanted}"
            self._mismatch(evaluation.flag, message)
            evaluation, value = wrong_type(evaluation.flag, message), default
        self._count(evaluation)
        return value

    def _evaluation(self, serving: Serving, key: str, context: Context | None) -> Evaluation:
        ruleset = serving.ruleset
        if ruleset is None:
            return not_ready(key)
        try:
            if ruleset.reads_time:
                age_ms = serving.age_at(self._monotonic())
                return ruleset.evaluate(key, _subject(context), self._clock.wall_ms(), age_ms)
            return ruleset.evaluate(key, _subject(context))
        except Exception as error:  # noqa: BLE001 - whatever was passed as key or context, the application goes on
            return unreadable(key, error)

    def _count(self, evaluation: Evaluation) -> None:
        outcomes = self._outcomes
        if outcomes is None:
            return
        try:
            outcomes.evaluated(evaluation.flag, evaluation.variant)
        except Exception:  # noqa: BLE001 - never the application's concern
            self._uncounted()
        if evaluation.ramp is not None:
            self._meet(evaluation, outcomes)

    def _meet(self, evaluation: Evaluation, outcomes: Outcomes) -> None:
        """Note that the request which runs here, if one does, met a ramping flag."""
        try:
            note_meeting(evaluation, outcomes)
        except Exception:  # noqa: BLE001 - as above
            self._uncounted()

    def _uncounted(self) -> None:
        self._complaints.say("outcomes", "", "an evaluation could not be counted", exc_info=True)

    def _mismatched(self, evaluation: Evaluation, wanted: FlagType | None) -> Evaluation:
        message = f"the flag's value is of type {type(evaluation.value).__name__}, asked for is {wanted}"
        self._mismatch(evaluation.flag, message)
        # The application acts on its default, so it stands in no arm.
        return wrong_type(evaluation.flag, message)

    def _mismatch(self, key: str, message: str) -> None:
        if self._strict:
            raise DefaultTypeMismatch(f"flag {key!r}: {message}")
        self._complaints.say("type", key, f"flag {key!r}: {message}; the default is served")

    def _details(self, serving: Serving, evaluation: Evaluation, value: T) -> EvaluationDetails[T]:
        now = self._monotonic()
        reason = evaluation.reason
        if now >= serving.fresh_until and reason is not Reason.ERROR:
            reason = Reason.STALE
        return EvaluationDetails(
            evaluation.flag,
            value,
            evaluation.variant,
            reason,
            evaluation.error_code,
            evaluation.error_message,
            serving.identity,
            serving.age_at(now),
            evaluation.arm,
            evaluation.metadata,
        )

    # --- context ---

    @staticmethod
    def bind(context: Context) -> AbstractContextManager[Context]:
        """Use this context inside the ``with`` block for evaluations that are given none."""
        return bind(context)

    @staticmethod
    def carry(function: Callable[P, R]) -> Callable[P, R]:
        """Return the function with the bound context and the request's recorder of now, for a thread pool."""
        return carry(function)

    def middleware(
        self,
        app: "ASGIApp",
        *,
        context: "Callable[[Scope], Context | None] | None" = None,
        latency: "Latency" = "last_byte",
        metrics: bool = True,
        registry: Any = None,
    ) -> "RheostatMiddleware":
        """Wrap an ASGI application: bind each request's context, count how requests of ramping flags end.

        Frameworks that take a class are given ``rheostat.middleware.asgi.RheostatMiddleware`` with ``flags``;
        for WSGI there is ``rheostat.middleware.wsgi``.
        """
        from rheostat.middleware.asgi import RheostatMiddleware

        return RheostatMiddleware(app, flags=self, context=context, latency=latency, metrics=metrics, registry=registry)

    def status(self) -> Status:
        """Return what is being served, from where, how old it is, and how the feed does."""
        serving, now = self._serving, self._monotonic()
        ruleset = serving.ruleset
        kills = () if ruleset is None else in_force(ruleset.snapshot.kills, ruleset.extra_kills)
        return Status(
            identity=serving.identity,
            source=serving.source,
            age_ms=serving.age_at(now),
            stale=now >= serving.fresh_until,
            stream=self._lifecycle.stream_state,
            last_error=self._lifecycle.last_error,
            instance=self._lifecycle.instance,
            flags=0 if ruleset is None else len(ruleset.programs),
            kills=len(kills),
        )

    def wait_until_ready(self, timeout: Real = 5.0) -> bool:
        """Wait at most ``timeout`` seconds for the server's first snapshot, and return whether it is there.

        Nothing else waits. Without a server a bootstrap counts.
        """
        return self._lifecycle.wait_until_ready(timeout)

    def on_change(self, key: str, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call ``callback(key)`` whenever the flag, its ramps or its kills change; return what ends that.

        So it is when a segment changes that its conditions ask, when all this happens to a flag that it needs as a
        prerequisite, and when a window opens or closes by the clock.
        It is called in a thread of the client's, the feed's or the one that waits for windows, and must be quick.
        What it raises is logged.
        """
        stop = self._listeners.add(key, callback)
        self._lifecycle.windows.look()
        return stop

    @property
    def outcomes(self) -> Outcomes | None:
        """Where requests' outcomes are counted; ``None`` without a server. For middleware."""
        return self._outcomes

    def close(self) -> None:
        """Stop following and send what was counted. Flags go on to be answered from memory."""
        self._lifecycle.close()

    def __enter__(self) -> "Rheostat":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    # --- the feed's side ---

    def _serve(self, serving: Serving) -> None:
        if serving.ruleset is not None:
            serving.ruleset.strange = self._complaints.strange
            self._ruleset = serving.ruleset
        before, self._serving = self._serving, serving
        if self._listeners and serving.ruleset is not before.ruleset and serving.ruleset is not None:
            # First: a window that turns while listeners are told of the change is one of the new ruleset.
            self._lifecycle.windows.look()
            self._listeners.replaced(before.ruleset, serving.ruleset)


def _subject(context: Context | None) -> Context:
    return context if context is not None else bound_context.get() or _ANONYMOUS
