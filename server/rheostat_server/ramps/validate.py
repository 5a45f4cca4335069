"""Whether a ramp document can be planned, and every reason why not. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs

from rheostat.model.document import RampDocument, RampStrategy, StepDocument
from rheostat.model.duration import duration_ms
from rheostat.model.flag import DEFAULT_ROLLOUT
from rheostat.model.kill import KillScope
from rheostat_server.faults import Faults, Fields, is_number, items_at, plain_number, share_fault, spelled, type_name
from rheostat_server.flags.keys import key_at
from rheostat_server.ramps import calendar_fields, strategies
from rheostat_server.ramps.foreign.counted import check_threshold, foreign_fields
from rheostat_server.ramps.foreign.translation import FIELDS as FOREIGN_FIELDS
from rheostat_server.ramps.foreign.translation import THRESHOLD, translated
from rheostat_server.ramps.guardrails import check_guardrails
from rheostat_server.ramps.strategies import MOST_STEPS
from rheostat_server.ramps.validate_strategies import COMPARISON, ROLLING, check_comparison, check_rolling

DEFAULT_ALPHA: Final = 0.01
NO_TEMPLATE: Final = "none"
"""In place of a template's key: it takes none."""
MOST_HOLDBACK: Final = 50
_EVERYBODY: Final = 100

_RAMP: Final = (
    "kind",
    "flag",
    "environment",
    "rollout",
    "strategy",
    "steps",
    "holdback",
    "keep_holdback",
    "soak",
    "preflight",
    "guardrails",
    "alpha",
    "kill",
    "on_inconclusive",
    "on_blind",
    "min_units",
    "acceptable",
    "min_dwell",
    "max_dwell",
    "interval",
    "users",
    "min_coverage",
    "missing_users",
    "unguarded",
    "rule",
    "gate",
    *strategies.FIELDS,
    *calendar_fields.FIELDS,
    "template",
    "to",
    *FOREIGN_FIELDS,
    *ROLLING,
    *COMPARISON,
)
_STEP: Final = ("exposure", "min_dwell", "max_dwell", "gate")


def validate_ramp(data: object) -> RampDocument:
    """Return the document that was sent, with each step as an object; without steps the plan has its own.

    Whether the flag, its rollout and the environment exist is for who holds them.

    Raises:
        Invalid: it has faults; all of them are listed, each with its path.
    """
    faults = Faults()
    found = translated(data, faults)
    analysis = found.analysis
    at_once = analysis is not None and analysis.iterations > 0
    strategy_at = f"{analysis.path}.iterations" if analysis is not None and at_once else "strategy"
    document = _check_ramp(found.document, faults, strategy_at=strategy_at)
    if document.rule == THRESHOLD:
        check_threshold(data, found, faults)
    faults.raise_any("the ramp document")
    return document


def validate_plan(data: Mapping[str, Any]) -> RampDocument:
    """Return the document with a block of Flagger's or Argo Rollouts' as it was given, which is checked all the same.

    For plans that are kept: what the block comes to depends on the ramp that takes it.

    Raises:
        Invalid: as ``validate_ramp``.
    """
    checked = validate_ramp(data)
    if checked.rule == THRESHOLD or not any(data.get(name) is not None for name in FOREIGN_FIELDS):
        return checked
    own = {name: value for name, value in data.items() if name not in FOREIGN_FIELDS}
    # Where the steps come from, and what nobody would take back, was judged by what the block comes to.
    kept = _check_ramp(own, Faults())
    return structs.replace(kept, **foreign_fields(Fields(data, "", Faults(), tuple(data))))


def _check_ramp(data: object, faults: Faults, *, strategy_at: str = "strategy") -> RampDocument:
    fields = Fields(data, "", faults, _RAMP)
    if isinstance(data, Mapping):
        fields.required("flag", "environment")
    fields.choice("kind", ("ramp",))
    strategy = RampStrategy(fields.choice("strategy", tuple(RampStrategy)) or "canary")
    holdback = fields.percent("holdback", most=MOST_HOLDBACK) or 0
    guardrails = check_guardrails(fields)
    unguarded = fields.boolean("unguarded", False)
    if unguarded and guardrails:
        fields.fault("unguarded", "a ramp with guardrails is guarded", "leave out one of the two")
    min_dwell, max_dwell = _dwell(fields)
    by_threshold = fields.choice("rule", ("guard", THRESHOLD)) == THRESHOLD
    weights = strategies.check_weights(fields, strategy)
    calendar = calendar_fields.check_calendar(fields)
    rolling, comparison = check_rolling(fields, strategy), check_comparison(fields, strategy)
    document = RampDocument(
        flag=key_at(fields, "flag", "flag key") or "",
        environment=key_at(fields, "environment", "environment's key") or "",
        rollout=key_at(fields, "rollout", "rollout's name") or DEFAULT_ROLLOUT,
        strategy=strategy,
        steps=_check_steps(fields, strategy),
        holdback=holdback,
        keep_holdback=fields.boolean("keep_holdback", False),
        soak=fields.duration("soak", zero=True),
        preflight=fields.duration("preflight", zero=True),
        guardrails=guardrails,
        alpha=_check_alpha(fields),
        kill=KillScope(fields.choice("kill", tuple(KillScope)) or "rollout"),
        on_inconclusive="advance" if fields.choice("on_inconclusive", ("hold", "advance")) == "advance" else "hold",
        on_blind="retreat" if fields.choice("on_blind", ("hold", "retreat")) == "retreat" else "hold",
        min_units=fields.count("min_units"),
        acceptable=_check_acceptable(fields),
        min_dwell=min_dwell,
        max_dwell=max_dwell,
        interval=fields.duration("interval"),
        users=fields.count("users"),
        unguarded=unguarded,
        min_coverage=fields.percent("min_coverage"),
        missing_users="hold" if fields.choice("missing_users", ("kill", "hold")) == "hold" else "kill",
        gate=None if fields.choice("gate", ("manual",)) is None else "manual",
        step_weight=weights.step_weight,
        first_weight=weights.first_weight,
        max_weight=weights.max_weight,
        factor=weights.factor,
        advance_windows=calendar.advance_windows,
        freezes=calendar.freezes,
        start_at=calendar.start_at,
        timezone=calendar.timezone,
        template=key_at(fields, "template", "template's key"),
        to=_check_to(fields, strategy),
        rule="threshold" if by_threshold else "guard",
        **(foreign_fields(fields) if by_threshold else {}),
        by=rolling.by,
        values=rolling.values,
        others=rolling.others,
        shards=rolling.shards,
        baseline=comparison.baseline,
        until=comparison.until,
        sample=comparison.sample,
    )
    strategies.check_return(document, faults, strategy_at)
    return document


def _check_to(fields: Fields, strategy: RampStrategy) -> int | float | None:
    to = fields.percent("to")
    if to is not None and to <= 0:
        fields.fault("to", "a ramp goes up to more than 0 percent")
        return None
    if to is not None and to < _EVERYBODY and strategy is RampStrategy.BLUE_GREEN:
        hint = "leave it out, or say strategy: custom and name the steps"
        fields.fault("to", "a blue-green ramp goes to all users at once", hint)
        return None
    return to


def _dwell(fields: Fields) -> tuple[str | None, str | None]:
    least, most = fields.duration("min_dwell", zero=True), fields.duration("max_dwell")
    if least is not None and most is not None and duration_ms(least) > duration_ms(most):
        fields.fault("max_dwell", f"{most} is less than min_dwell, {least}")
    return least, most


def _check_steps(fields: Fields, strategy: RampStrategy) -> tuple[StepDocument, ...]:
    if fields.raw("steps") is None or strategies.makes_steps(strategy):
        if strategy is RampStrategy.CUSTOM and fields.raw("template") in (None, NO_TEMPLATE):
            fields.fault("steps", "a custom ramp names its steps")
        return ()
    steps: list[StepDocument] = []
    path = fields.at("steps")
    for where, data in items_at(fields.raw("steps"), path, fields.faults):
        step = _check_step(data, where, fields.faults)
        if step is None:
            continue
        if step.exposure <= 0:
            fields.faults.add(where, "a step exposes more than 0 percent")
        elif steps and step.exposure <= steps[-1].exposure:
            fields.faults.add(where, f"steps go up, and {step.exposure} is not above {steps[-1].exposure}")
        steps.append(step)
    if fields.raw("steps") == []:
        fields.fault("steps", "a ramp has at least one step")
    if len(steps) > MOST_STEPS:
        fields.fault("steps", f"a ramp has at most {MOST_STEPS} steps")
    return tuple(steps)


def _check_step(data: Any, path: str, faults: Faults) -> StepDocument | None:
    if isinstance(data, Mapping):
        step = Fields(data, path, faults, _STEP)
        step.required("exposure")
        exposure = step.percent("exposure")
        min_dwell, max_dwell = _dwell(step)
        gate = step.choice("gate", ("manual", "none"))
        if exposure is None:
            return None
        return StepDocument(
            exposure=exposure,
            min_dwell=min_dwell,
            max_dwell=max_dwell,
            gate="manual" if gate == "manual" else "none" if gate == "none" else None,
        )
    if not is_number(data):
        faults.add(path, f"a step is a percentage, or an object with an exposure, not {type_name(data)}")
        return None
    if fault := share_fault(data):
        faults.add(path, fault)
        return None
    return StepDocument(exposure=plain_number(data))


def _check_alpha(fields: Fields) -> float:
    alpha = fields.number("alpha")
    if alpha is None:
        return DEFAULT_ALPHA
    if not 0 < alpha <= 0.5:
        fields.fault("alpha", f"{spelled(alpha)} is not above 0 and at most 0.5")
        return DEFAULT_ALPHA  # a number of thousands of digits has no float
    return float(alpha)


def _check_acceptable(fields: Fields) -> Any:
    value = fields.raw("acceptable")
    if value is None or value == "auto":
        return None if value is None else "auto"
    if not is_number(value) or not 0 < value <= 100:
        fields.fault("acceptable", "this is a percentage of requests above 0, or auto")
        return None
    return plain_number(value)
