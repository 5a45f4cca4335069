"""A ramp document that holds Flagger's or Argo Rollouts' block: our own document, and what changes in meaning. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from rheostat_server.errors import Fault
from rheostat_server.faults import Faults, Fields, object_at
from rheostat_server.ramps.foreign import argo_guard, flagger_guard
from rheostat_server.ramps.foreign.argo import ArgoCanary, check_argo
from rheostat_server.ramps.foreign.changes import Changes
from rheostat_server.ramps.foreign.flagger import FlaggerAnalysis, check_analysis
from rheostat_server.ramps.foreign.templates import check_templates

ANALYSES: Final = ("analysis", "canaryAnalysis")
ARGO: Final = "argo"
BLOCKS: Final = (*ANALYSES, ARGO)
BESIDE: Final = ("metricTemplates", "template_values")
FIELDS: Final = (*BLOCKS, *BESIDE)
"""The fields of a ramp document that are not ours, or stand beside what is not."""
THRESHOLD: Final = "threshold"
_HOLES: Final = ("name", "namespace", "target", "service", "ingress", "route")
_SAID_BY_THE_BLOCK: Final = ("strategy", "steps", "min_dwell")


class Translation(msgspec.Struct, frozen=True, kw_only=True):
    """``document`` is one that the guard, or ``rule: threshold``, takes. ``changes`` say what became of the block.

    What the block says is in one of ``analysis`` and ``argo``, whatever the rule.
    """

    document: Any
    changes: tuple[str, ...] = ()
    analysis: FlaggerAnalysis | None = None
    argo: ArgoCanary | None = None


def is_foreign(data: object) -> bool:
    """Whether the document holds a block of somebody else's."""
    return isinstance(data, Mapping) and any(data.get(name) is not None for name in FIELDS)


def translated(data: object, faults: Faults, *, project: str = "$project") -> Translation:
    """Return the document without foreign blocks; as it is where there is none, or with ``rule: threshold``.

    ``project`` is what ``{{ project }}`` in a query stands for. Faults have the paths of the document that was sent.
    """
    if not is_foreign(data):
        return Translation(document=data)
    given = object_at(data, "", Faults())
    fields = Fields(given, "", faults, tuple(given))
    blocks = [name for name in BLOCKS if given.get(name) is not None]
    kept = {name: value for name, value in given.items() if name not in FIELDS}
    if len(blocks) != 1:
        if blocks:
            faults.add(blocks[1], f"{blocks[0]} says already how the ramp goes", "leave out one of the two")
        else:
            name = next(name for name in FIELDS if given.get(name) is not None)
            faults.add(name, "this belongs to a block of Flagger's or Argo Rollouts'", "add analysis, or leave it out")
        return Translation(document=kept)
    [block] = blocks
    for name in (*_SAID_BY_THE_BLOCK, *(("metricTemplates",) if block == ARGO else ())):
        if name in given:
            faults.add(name, f"{block} says this already", "leave out one of the two")
    values = _values(fields, given, project)
    changes = Changes()
    if block == ARGO:
        canary = check_argo(given[ARGO], ARGO, faults, changes, values)
        analysis = None
    else:
        templates = check_templates(fields, "metricTemplates")
        analysis = check_analysis(given[block], block, faults, changes, templates=templates, values=values)
        canary = None
        for index, template in enumerate(templates):
            if template.address is not None:
                changes.say(
                    f"metricTemplates[{index}]", f"not {template.address} is asked, but RHEOSTAT_PROMETHEUS_URL"
                )
    if given.get("rule") == THRESHOLD:
        _say_uncounted(analysis, canary, changes)
        return Translation(document=data, changes=changes.lines, analysis=analysis, argo=canary)
    before = len(faults)
    ours: dict[str, Any] = {}
    if analysis is not None:
        ours = flagger_guard.guarded(analysis, frozenset(given[block]) if before == 0 else frozenset(), faults, changes)
    if canary is not None:
        ours = argo_guard.guarded(canary, faults, changes)
    _say_defaults(given, ours, changes)
    return Translation(document=_together(kept, ours), changes=changes.lines, analysis=analysis, argo=canary)


def in_block(faults: Sequence[Fault], given: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of a plan with their places in the document; what its block made is named by the block."""
    block = next((name for name in BLOCKS if given.get(name) is not None), None)
    if block is None:
        return list(faults)
    own = given.get("guardrails")
    return [
        msgspec.structs.replace(fault, path=_place(fault.path, block, len(own) if isinstance(own, list) else 0))
        for fault in faults
    ]


def _place(path: str, block: str, own_guardrails: int) -> str:
    name, _, rest = path.partition("[")
    if name == "guardrails" and rest:
        return path if int(rest.partition("]")[0]) < own_guardrails else block
    if name == "strategy":
        return f"{block}.iterations"
    return block if name in _SAID_BY_THE_BLOCK else path


def _say_uncounted(analysis: FlaggerAnalysis | None, canary: ArgoCanary | None, changes: Changes) -> None:
    """Say what `rule: threshold` does not do of a block."""
    if analysis is not None and analysis.promotion_step:
        # There it moves traffic between two sets of pods that both run what was promoted.
        changes.say(f"{analysis.path}.stepWeightPromotion", "left out: who is promoted serves everybody at once")
    if canary is not None:
        every = (*canary.background, *(check for step in canary.steps for check in step.checks or ()))
        for check in every:
            if check.advisory:
                changes.say(check.path, f"left out: {check.name} is a dry run, from which nothing follows")


def _values(fields: Fields, given: Mapping[str, Any], project: str) -> dict[str, str]:
    ours = {name: text for name in ("flag", "environment") if isinstance(text := given.get(name), str)}
    if fields.raw("template_values") is None:
        return {**ours, "project": project}
    inner = Fields(fields.raw("template_values"), "template_values", fields.faults, _HOLES)
    found = {name: text for name in _HOLES if (text := inner.text(name)) is not None}
    return {**found, **ours, "project": project}


def _say_defaults(given: Mapping[str, Any], ours: Mapping[str, Any], changes: Changes) -> None:
    if "preflight" not in given and not given.get("unguarded"):
        changes.say("preflight", "10m of watching come before the first step; preflight: 0s leaves them out")
    if "soak" not in given and "soak" not in ours:
        changes.say("soak", "100 % is watched for 1h before the ramp is promoted; soak: 0s ends it at once")


def _together(kept: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    together = {**kept, **ours}
    own = kept.get("guardrails")
    if isinstance(own, list) and "guardrails" in ours:
        # The document's own first: what is wrong with them is named by their places.
        together["guardrails"] = [*own, *ours["guardrails"]]
    elif own is not None:
        together["guardrails"] = own
    return together
