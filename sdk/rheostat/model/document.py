"""What people write: the documents of the API, of files, of the export and of Git.

The server checks them (all faults at once) before one of these is made, so that code which holds one
never asks again. Exposures are percentages here and parts per million everywhere else.
"""

import enum
from typing import Any, Literal

import msgspec

from rheostat.model.advance_window import AdvanceWindowDocument, FreezeDocument
from rheostat.model.context import TARGETING_KEY
from rheostat.model.flag import DEFAULT_ROLLOUT, Condition, FlagType, Prerequisite
from rheostat.model.kill import KillScope
from rheostat.model.window import WindowDocument


class RolloutDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Who is exposed (``exposure`` in percent, at most four decimals), and how the exposed are split.

    Without ``salt`` the flag key is it. The not exposed get ``fallback``; without one the off variant. A rollout
    in a ``layer`` owns a ``range`` of it (from and to in percent, at most four decimals); salt and unit are then the
    layer's.
    """

    exposure: int | float
    split: dict[str, int | float]
    fallback: str | None = None
    bucket_by: str | None = None
    salt: str | None = None
    layer: str | None = None
    range: tuple[int | float, int | float] | None = None


class AnswerDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What the default gives: one variant, or a rollout. Exactly one is set."""

    serve: str | None = None
    rollout: RolloutDocument | None = None


class RuleDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What the contexts get whose condition is true: ``serve`` or ``rollout``, exactly one.

    Outside the window ``active`` the rule is passed over.
    """

    name: str
    when: Condition
    active: WindowDocument | None = None
    serve: str | None = None
    rollout: RolloutDocument | None = None


class EnvironmentDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """The flag in one environment. Without ``default`` the off variant is served."""

    enabled: bool = False
    max_staleness: str | None = None
    prerequisites: tuple[Prerequisite, ...] = ()
    targets: dict[str, tuple[str, ...]] = {}
    rules: tuple[RuleDocument, ...] = ()
    default: AnswerDocument | None = None

    def rollout(self, name: str) -> RolloutDocument | None:
        """Return the rollout of this name: a rule's, or ``default``'s; ``None`` where there is none."""
        if name == DEFAULT_ROLLOUT:
            return None if self.default is None else self.default.rollout
        return next((rule.rollout for rule in self.rules if rule.name == name), None)


class FlagDocument(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="flag",
):
    """A flag in all environments. An environment that is not listed is left as it was."""

    key: str
    type: FlagType
    variants: dict[str, Any]
    off_variant: str | None = None
    temporary: bool = True
    client: bool = False
    hook_kill: bool = False
    owner: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, str | int | float | bool] = {}
    environments: dict[str, EnvironmentDocument] = {}


class SegmentDocument(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="segment",
):
    """A named set of units, the same in all environments: excluded, then included, then all conditions."""

    key: str
    unit: str = TARGETING_KEY
    included: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    owner: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()


class LayerDocument(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="layer",
):
    """A line of units, the same in all environments, of which rollouts own ranges. The salt is ``layer:`` + key."""

    key: str
    unit: str = TARGETING_KEY
    salt: str | None = None
    owner: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()


class RampStrategy(enum.StrEnum):
    """How the steps of a ramp come about."""

    CANARY = "canary"
    CUSTOM = "custom"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    BLUE_GREEN = "blue-green"
    ROLLING = "rolling"
    """An attribute's values in order, each a canary within itself; or equal shards of the line."""
    A_B = "a-b"
    """All other variants against a baseline, at one exposure, until a date or a sample: it decides nothing."""


class StepDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """One step: its exposure in percent; how long it lasts at least, and is tried at most; what opens the next."""

    exposure: int | float
    min_dwell: str | None = None
    max_dwell: str | None = None
    gate: Literal["manual", "none"] | None = None


class HistoryDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Whose past tells how bursty the requests are: a pair of PromQL queries, or a label map. No arms are wanted."""

    bad: str | None = None
    total: str | None = None
    map: str | None = None
    select: str | None = None


class GuardrailDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What is watched: a metric that Rheostat knows, or a pair of PromQL queries (``bad`` of ``total``).

    ``threshold`` is a ceiling: the least success rate in percent, the longest duration in ms, or the most of a pair
    that may be bad, in percent. ``source`` is where its evidence comes from (``application``: the families on the
    application's own registry); ``None`` lets the server take the best it has. ``kill`` says whether it may kill;
    ``None`` is the grade's own rule. A ``map`` names somebody else's metrics, of which ``select`` (label conditions)
    says which series. ``bad`` and ``total`` are one query each, or one an arm. Series are of the arm that ``arms``
    gives for the value of their label ``arm_label``; ``arms: none`` watches the whole service. ``min_difference`` is by
    how many percentage points the exposed must be worse to be killed.
    """

    metric: str | None = None
    threshold: int | float | None = None
    name: str | None = None
    source: Literal["reported", "prometheus", "application"] | None = None
    kill: bool | None = None
    bad: str | dict[str, str] | None = None
    total: str | dict[str, str] | None = None
    map: str | None = None
    select: str | None = None
    arm_label: str | None = None
    arms: dict[str, tuple[str, ...]] | Literal["none"] | None = None
    history: HistoryDocument | None = None
    min_difference: int | float | None = None


class UntilDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """A local date and time with its timezone."""

    at: str
    timezone: str


class RampPlanDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What ramps and templates of ramps have in common. ``None`` leaves a figure to the plan's own default.

    ``holdback`` is in percent (``keep_holdback``: also after promotion), ``acceptable`` in percent of requests (or
    ``auto``), ``alpha`` the ramp's budget of false kills. ``users`` is how many distinct units are expected. Below
    ``min_coverage`` (percent of evaluations that come from services which report) nothing goes up. ``missing_users``
    says what exposed users who stay away do: kill, or hold.

    A ``strategy`` makes the steps from weights in percent: ``step_weight`` (linear), ``first_weight`` and ``factor``
    (exponential), both up to ``max_weight``. ``gate`` is each step's that says none itself. ``timezone`` is that of
    ``start_at``, and of the windows and freezes that have none.

    ``analysis`` (``canaryAnalysis``) is a block of Flagger's, with its ``metricTemplates`` and what the holes in them
    stand for (``template_values``); ``argo`` has ``steps``, ``analysis`` and ``analysisTemplates`` of Argo Rollouts.
    Once checked, the guard's documents have none of these any more; ``rule: threshold`` counts by them, and a template
    keeps them for the ramps that take it.

    Of ``rolling``: ``by`` is an attribute, each item of ``values`` a stage of users who have one of them, ``others``
    whether all other users are the last stage; or ``shards`` is how many equal parts of the line are the steps. Of
    ``a-b``: ``baseline`` is the variant that the others are compared with, until a moment or until both sides have had
    ``sample`` distinct users.
    """

    steps: tuple[StepDocument, ...] = ()
    rollout: str = DEFAULT_ROLLOUT
    strategy: RampStrategy = RampStrategy.CANARY
    holdback: int | float = 0
    keep_holdback: bool = False
    soak: str | None = None
    preflight: str | None = None
    guardrails: tuple[GuardrailDocument, ...] = ()
    alpha: float = 0.01
    kill: KillScope = KillScope.ROLLOUT
    on_inconclusive: Literal["hold", "advance"] = "hold"
    on_blind: Literal["hold", "retreat"] = "hold"
    min_units: int | None = None
    acceptable: int | float | Literal["auto"] | None = None
    min_dwell: str | None = None
    max_dwell: str | None = None
    interval: str | None = None
    users: int | None = None
    unguarded: bool = False
    min_coverage: int | float | None = None
    missing_users: Literal["kill", "hold"] = "kill"
    rule: Literal["guard", "threshold"] = "guard"
    analysis: dict[str, Any] | None = None
    canary_analysis: dict[str, Any] | None = msgspec.field(default=None, name="canaryAnalysis")
    argo: dict[str, Any] | None = None
    metric_templates: tuple[dict[str, Any], ...] = msgspec.field(default=(), name="metricTemplates")
    template_values: dict[str, str] = {}
    by: str | None = None
    values: tuple[tuple[Any, ...], ...] = ()
    others: bool = True
    shards: int | None = None
    baseline: str | None = None
    until: str | UntilDocument | None = None
    sample: int | None = None
    step_weight: int | float | None = None
    first_weight: int | float | None = None
    max_weight: int | float | None = None
    factor: int | float | None = None
    gate: Literal["manual"] | None = None
    advance_windows: tuple[AdvanceWindowDocument, ...] = ()
    freezes: tuple[FreezeDocument, ...] = ()
    start_at: str | None = None
    timezone: str | None = None


class RampDocument(RampPlanDocument, frozen=True, kw_only=True, tag_field="kind", tag="ramp"):
    """How one rollout of a flag is turned up.

    ``template`` names the template whose fields hold where this document has none of its own; ``none`` takes none, also
    where the environment has one by default. ``to`` (percent) cuts the steps: it is the last one.
    """

    flag: str
    environment: str
    template: str | None = None
    to: int | float | None = None


class TemplateDocument(RampPlanDocument, frozen=True, kw_only=True, tag_field="kind", tag="template"):
    """A named plan of a project: a ramp document without flag and environment."""

    key: str
    owner: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
