"""Which rollouts are in a layer, and whether two flags claim the same part of one. Pure."""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from rheostat.model.document import FlagDocument, RolloutDocument
from rheostat.model.flag import DEFAULT_ROLLOUT
from rheostat.model.layer import Layer, default_salt
from rheostat.model.shares import percent_to_ppm
from rheostat_server.errors import Fault
from rheostat_server.faults import did_you_mean
from rheostat_server.segments.references import Use


class _Placed(msgspec.Struct, frozen=True):
    """A rollout in a layer: of which flag, where, and what it owns, in ppm."""

    flag: str
    environment: str
    rollout: str
    path: str
    layer: str
    low: int
    high: int
    shown: str


def check_layers(document: FlagDocument, layers: Collection[str]) -> list[Fault]:
    """Return a fault for each rollout in a layer that is not there."""
    return [
        Fault(
            f"{placed.path}.layer",
            f"there is no layer {placed.layer!r}",
            did_you_mean(placed.layer, layers) or "make it first",
        )
        for placed in _placed(document)
        if placed.layer not in layers
    ]


def layer_overlaps(document: FlagDocument, flags: Mapping[str, FlagDocument]) -> list[Fault]:
    """Return a fault for each range that overlaps one of another flag, in the same layer and environment.

    ``flags`` are all of the project that are not archived, as they will be after the write. The rollouts of one flag
    may share a range: only one of them decides for a unit. A disabled flag keeps its ranges.
    """
    others = [placed for flag in flags.values() if flag.key != document.key for placed in _placed(flag)]
    return [
        Fault(
            f"{own.path}.range",
            f"{own.shown} of the layer {own.layer} overlaps {other.shown}, which the flag {other.flag} owns "
            f"({other.rollout})",
            "take a part of the layer that nobody owns",
        )
        for own in _placed(document)
        for other in others
        if (own.layer, own.environment) == (other.layer, other.environment)
        and own.low < other.high
        and other.low < own.high
    ]


def layers_of(document: FlagDocument) -> set[str]:
    """Return the layers that a flag's rollouts are in."""
    return {placed.layer for placed in _placed(document)}


def with_gone(document: FlagDocument, layers: Mapping[str, Layer]) -> Mapping[str, Layer]:
    """Return the layers, with those that an archived flag is in and that were deleted since."""
    gone = layers_of(document) - layers.keys()
    return {**layers, **{key: Layer(key=key, salt=default_salt(key)) for key in gone}} if gone else layers


def uses_of_layer(key: str, flags: Mapping[str, FlagDocument]) -> list[Use]:
    """Return each rollout in this layer."""
    return [
        Use(kind="flag", key=placed.flag, environment=placed.environment, path=placed.path)
        for flag in flags.values()
        for placed in _placed(flag)
        if placed.layer == key
    ]


def _placed(document: FlagDocument) -> Iterator[_Placed]:
    for name, here in document.environments.items():
        path = f"environments.{name}"
        for index, rule in enumerate(here.rules):
            yield from _one(document.key, name, rule.name, f"{path}.rules[{index}].rollout", rule.rollout)
        if here.default is not None:
            yield from _one(document.key, name, DEFAULT_ROLLOUT, f"{path}.default.rollout", here.default.rollout)


def _one(flag: str, environment: str, name: str, path: str, rollout: RolloutDocument | None) -> Iterator[_Placed]:
    if rollout is None or rollout.layer is None:
        return
    low, high = (0, 100) if rollout.range is None else rollout.range
    shown = f"{low:.10g}–{high:.10g} %"
    yield _Placed(flag, environment, name, path, rollout.layer, percent_to_ppm(low), percent_to_ppm(high), shown)
