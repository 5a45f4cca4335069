"""Checks against thresholds, as Flagger and Argo Rollouts make them: what is asked, what was found, how far it got."""

import enum

import msgspec

from rheostat_server.ramps.counting import ArgoMetric, ArgoResult, FlaggerPlan


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A metric to look at. ``query`` is PromQL; ``None`` is the success rate, in percent, of what SDKs reported.

    It looks back over ``window_s``. ``whole`` cuts its value to a whole number, as Flagger does with milliseconds.
    ``success`` and ``failure`` are conditions of Argo Rollouts.
    """

    name: str
    query: str | None = None
    window_s: float = 60.0
    whole: bool = False
    success: str | None = None
    failure: str | None = None


class CheckValue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a check found: numbers as Prometheus writes them, for not all of them are JSON (``NaN``, ``+Inf``).

    ``problem`` says why nothing could be asked; then there are none. ``scalar``: a number, not a list of one.
    """

    name: str
    found: tuple[str, ...] = ()
    scalar: bool = False
    problem: str = ""


class ArgoStepPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A weight, a pause (``endless``: until a person goes on), or an analysis of ``metrics`` (their places)."""

    weight: int | None = None
    pause_s: float | None = None
    endless: bool = False
    metrics: tuple[int, ...] | None = None


class ArgoSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A canary of Argo Rollouts. ``metrics`` are the limits of the plan's checks, in their order.

    Those at the places ``background`` are measured from the step ``starting_step`` on.
    """

    steps: tuple[ArgoStepPlan, ...]
    metrics: tuple[ArgoMetric, ...]
    background: tuple[int, ...] = ()
    starting_step: int = 0


class ThresholdPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted, and how: by Flagger's rule or by that of Argo Rollouts. One of the two is set."""

    checks: tuple[Check, ...]
    flagger: FlaggerPlan | None = None
    argo: ArgoSchedule | None = None


class Round(enum.StrEnum):
    """What the last round came to."""

    NONE = "none"
    RAISE = "raise"
    FAILED = "failed"
    ROLL_BACK = "roll-back"
    PROMOTE = "promote"
    PAUSE = "pause"
    """Argo alone: an inconclusive analysis waits for a person."""


class ArgoProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a canary of Argo Rollouts got.

    ``step`` is the place among its own steps, ``stepped_ms`` when it came there. ``background`` began at
    ``background_ms``, the step's own analysis with the step; the results are in the order of their places.
    """

    step: int = 0
    stepped_ms: int = 0
    background_ms: int | None = None
    background: tuple[ArgoResult, ...] = ()
    inline: tuple[ArgoResult, ...] = ()


class ThresholdState(msgspec.Struct, frozen=True, kw_only=True):
    """Where the counting stands.

    The next round is due at ``next_ms``; the last was at ``judged_ms`` and came to ``verdict``, ``because`` of what it
    says. ``values`` are what the last round found.
    """

    next_ms: int = 0
    rounds: int = 0
    failed_checks: int = 0
    judged_ms: int | None = None
    verdict: Round = Round.NONE
    because: str = ""
    values: tuple[CheckValue, ...] = ()
    argo: ArgoProgress | None = None
