"""From the documents that people write to what an environment serves."""

from collections.abc import Iterable, Mapping

import msgspec

from rheostat.model.context import TARGETING_KEY
from rheostat.model.document import (
    AnswerDocument,
    EnvironmentDocument,
    FlagDocument,
    LayerDocument,
    RolloutDocument,
    RuleDocument,
    SegmentDocument,
)
from rheostat.model.duration import duration_ms
from rheostat.model.flag import DEFAULT_ROLLOUT, Answer, Flag, Rollout, Rule, Segment
from rheostat.model.layer import NO_LAYERS, Layer, default_salt
from rheostat.model.shares import percent_to_ppm
from rheostat.model.window import serve_window

_UNLISTED = EnvironmentDocument()


def serve(document: FlagDocument, environment: str, version: int, layers: Mapping[str, Layer] = NO_LAYERS) -> Flag:
    """Return the flag as this environment serves it. An environment that the document does not list is disabled.

    Owner, description, tags and what only the server asks about are not served. ``layers`` are the project's.

    Raises:
        KeyError: a rollout names a layer that is not among them.
    """
    here = document.environments.get(environment, _UNLISTED)
    return Flag(
        key=document.key,
        type=document.type,
        variants=document.variants,
        version=version,
        enabled=here.enabled,
        off_variant=document.off_variant,
        client=document.client,
        metadata=document.metadata,
        max_staleness_ms=None if here.max_staleness is None else duration_ms(here.max_staleness),
        prerequisites=here.prerequisites,
        targets=here.targets,
        rules=tuple(_rule(rule, document.key, layers) for rule in here.rules),
        default=Answer() if here.default is None else _answer(here.default, document.key, layers),
    )


def _rule(rule: RuleDocument, key: str, layers: Mapping[str, Layer]) -> Rule:
    active = None if rule.active is None else serve_window(rule.active)
    return Rule(name=rule.name, when=rule.when, answer=_answer(rule, key, layers), active=active)


def _answer(answer: AnswerDocument | RuleDocument, key: str, layers: Mapping[str, Layer]) -> Answer:
    rollout = None if answer.rollout is None else serve_rollout(answer.rollout, key, layers)
    return Answer(serve=answer.serve, rollout=rollout)


def serve_rollout(rollout: RolloutDocument, key: str, layers: Mapping[str, Layer] = NO_LAYERS) -> Rollout:
    """Return the rollout of the flag with this key, in parts per million and with its defaults filled in.

    Raises:
        KeyError: it names a layer that is not among these.
    """
    served = Rollout(
        exposure_ppm=percent_to_ppm(rollout.exposure),
        split={variant: float(weight) for variant, weight in rollout.split.items()},
        salt=key if rollout.salt is None else rollout.salt,
        fallback=rollout.fallback,
        bucket_by=TARGETING_KEY if rollout.bucket_by is None else rollout.bucket_by,
    )
    if rollout.layer is None:
        return served
    layer = layers[rollout.layer]
    low, high = (0, 100) if rollout.range is None else rollout.range
    return msgspec.structs.replace(
        served, salt=layer.salt, bucket_by=layer.unit, low=percent_to_ppm(low), high=percent_to_ppm(high)
    )


def serve_layer(document: LayerDocument) -> Layer:
    """Return what the layer fixes for its rollouts."""
    salt = default_salt(document.key) if document.salt is None else document.salt
    return Layer(key=document.key, unit=document.unit, salt=salt)


def serve_segment(document: SegmentDocument) -> Segment:
    """Return the segment as every environment serves it."""
    return Segment(
        key=document.key,
        unit=document.unit,
        included=document.included,
        excluded=document.excluded,
        conditions=document.conditions,
    )


def rollout_of(flag: Flag, name: str) -> Rollout | None:
    """Return the rollout of this name: a rule's, or ``default``'s; ``None`` where there is none."""
    if name == DEFAULT_ROLLOUT:
        return flag.default.rollout
    return next((rule.answer.rollout for rule in flag.rules if rule.name == name), None)


def environments_changed(
    before: FlagDocument | None,
    after: FlagDocument,
    environments: Iterable[str],
    layers: Mapping[str, Layer] = NO_LAYERS,
    layers_before: Mapping[str, Layer] | None = None,
) -> set[str]:
    """Return which of these environments serve something else after the edit than before it.

    A flag that was not there before changes them all: each serves it, if only as disabled. ``layers`` are the
    project's, and ``layers_before`` what they were, where the edit changes them too.

    Raises:
        KeyError: a rollout names a layer that is not among these.
    """
    if before is None:
        return set(environments)
    then = layers if layers_before is None else layers_before
    # As JSON, because Python holds 1 and true for equal, and an edit from one to the other is an edit.
    encode = msgspec.json.encode
    return {
        name for name in environments if encode(serve(before, name, 0, then)) != encode(serve(after, name, 0, layers))
    }


def keep_unlisted(before: FlagDocument | None, after: FlagDocument) -> FlagDocument:
    """Return ``after`` with the environments that it does not list as they were before."""
    kept: Mapping[str, EnvironmentDocument] = {} if before is None else before.environments
    return msgspec.structs.replace(after, environments={**kept, **after.environments})
