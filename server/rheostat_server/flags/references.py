"""Whether what a flag names is there: environments, other flags and their variants, segments. Pure."""

from collections.abc import Collection, Mapping
from typing import Final

from rheostat.model.document import FlagDocument
from rheostat_server.errors import Fault
from rheostat_server.faults import did_you_mean
from rheostat_server.flags.chains import MOST_FLAGS, chain_fault, reversed_links
from rheostat_server.flags.conditions import segments_named

_MAKE_IT: Final = "make it first"
_OPEN_IT: Final = "take one of these links out"


def check_environments(document: FlagDocument, environments: Collection[str]) -> list[Fault]:
    """Return a fault for each environment that the project does not have."""
    return [
        Fault(
            f"environments.{name}",
            f"the project has no environment {name!r}",
            did_you_mean(name, environments) or _MAKE_IT,
        )
        for name in document.environments
        if name not in environments
    ]


def check_segments(document: FlagDocument, segments: Collection[str]) -> list[Fault]:
    """Return a fault for each condition on a segment that is not there."""
    faults: list[Fault] = []
    for name, here in document.environments.items():
        for index, rule in enumerate(here.rules):
            path = f"environments.{name}.rules[{index}].when"
            faults += [
                Fault(f"{where}.segment", f"there is no segment {key!r}", did_you_mean(key, segments) or _MAKE_IT)
                for where, key in segments_named(rule.when, path)
                if key not in segments
            ]
    return faults


def check_prerequisites(document: FlagDocument, flags: Mapping[str, FlagDocument]) -> list[Fault]:
    """Return a fault for each prerequisite that is not there, lacks the variant, leads back here, or leads too far.

    A chain is counted from the flags that need this one, however far away, down to the last that it needs.

    ``flags`` are all flags of the project that are not archived, as they will be after the write.
    """
    faults: list[Fault] = []
    for name, here in document.environments.items():
        links = _links(name, flags) if here.prerequisites else {}
        needed_by = reversed_links(links)
        for index, prerequisite in enumerate(here.prerequisites):
            path = f"environments.{name}.prerequisites[{index}]"
            other = flags.get(prerequisite.flag)
            if other is None:
                others = [key for key in flags if key != document.key]
                hint = did_you_mean(prerequisite.flag, others) or _MAKE_IT
                faults.append(Fault(f"{path}.flag", f"there is no flag {prerequisite.flag!r}", hint))
                continue
            faults += [
                Fault(
                    f"{path}.variants[{place}]",
                    f"{other.key} has no variant {variant!r}",
                    did_you_mean(variant, list(other.variants)),
                )
                for place, variant in enumerate(prerequisite.variants)
                if variant not in other.variants
            ]
            if circle := _way_back(document.key, prerequisite.flag, name, flags):
                faults.append(Fault(f"{path}.flag", f"this goes in a circle: {' → '.join(circle)}", _OPEN_IT))
            elif fault := chain_fault(
                f"{path}.flag",
                document.key,
                prerequisite.flag,
                links,
                needed_by,
                most=MOST_FLAGS,
                what="flags",
            ):
                faults.append(fault)
    return faults


def _links(environment: str, flags: Mapping[str, FlagDocument]) -> dict[str, list[str]]:
    """Return by key what each flag needs there."""
    found: dict[str, list[str]] = {}
    for key, flag in flags.items():
        here = flag.environments.get(environment)
        if here is not None and here.prerequisites:
            found[key] = [prerequisite.flag for prerequisite in here.prerequisites]
    return found


def check_dependents(document: FlagDocument, flags: Mapping[str, FlagDocument]) -> list[Fault]:
    """Return a fault for each variant that another flag's prerequisite names and the document no longer has."""
    return [
        Fault(
            "variants", f"{key} needs the variant {variant!r} of this flag in {environment}", f"keep it, or edit {key}"
        )
        for key, environment, variants in dependents(document.key, flags)
        for variant in variants
        if variant not in document.variants
    ]


def dependents(key: str, flags: Mapping[str, FlagDocument]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return which flags have this one as a prerequisite, in which environment, and the variants they need."""
    return [
        (other.key, name, prerequisite.variants)
        for other in flags.values()
        if other.key != key
        for name, here in other.environments.items()
        for prerequisite in here.prerequisites
        if prerequisite.flag == key
    ]


def _way_back(target: str, start: str, environment: str, flags: Mapping[str, FlagDocument]) -> list[str]:
    """Return the flags from ``target`` over ``start`` back to ``target``; nothing where no way leads back."""
    came_from: dict[str, str] = {start: target}
    open_ends = [start]
    while open_ends:
        key = open_ends.pop()
        if key == target:
            circle = [target]
            step = came_from[target]
            while step != target:
                circle.append(step)
                step = came_from[step]
            return [target, *reversed(circle)]
        here = flags[key].environments.get(environment) if key in flags else None
        for prerequisite in here.prerequisites if here else ():
            if prerequisite.flag not in came_from:
                came_from[prerequisite.flag] = key
                open_ends.append(prerequisite.flag)
    return []
