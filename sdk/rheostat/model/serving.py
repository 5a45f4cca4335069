"""From the document that people write to the flag that an environment serves."""

from collections.abc import Iterable, Mapping

import msgspec

from rheostat.model.document import AnswerDocument, EnvironmentDocument, FlagDocument, RolloutDocument, RuleDocument
from rheostat.model.duration import duration_ms
from rheostat.model.flag import DEFAULT_ROLLOUT, Answer, Flag, Rollout, Rule
from rheostat.model.shares import percent_to_ppm

_UNLISTED = EnvironmentDocument()


def serve(document: FlagDocument, environment: str, version: int) -> Flag:
    """Return the flag as this environment serves it. An environment that the document does not list is disabled.

    Owner, description, tags and what only the server asks about are not served.
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
        rules=tuple(Rule(name=rule.name, when=rule.when, answer=_answer(rule, document.key)) for rule in here.rules),
        default=Answer() if here.default is None else _answer(here.default, document.key),
    )


def _answer(answer: AnswerDocument | RuleDocument, key: str) -> Answer:
    rollout = None if answer.rollout is None else serve_rollout(answer.rollout, key)
    return Answer(serve=answer.serve, rollout=rollout)


def serve_rollout(rollout: RolloutDocument, key: str) -> Rollout:
    """Return the rollout of the flag with this key, in parts per million and with its defaults filled in."""
    return Rollout(
        exposure_ppm=percent_to_ppm(rollout.exposure),
        split={variant: float(weight) for variant, weight in rollout.split.items()},
        salt=key if rollout.salt is None else rollout.salt,
        fallback=rollout.fallback,
        bucket_by="targetingKey" if rollout.bucket_by is None else rollout.bucket_by,
    )


def rollout_of(flag: Flag, name: str) -> Rollout | None:
    """Return the rollout of this name: a rule's, or ``default``'s; ``None`` where there is none."""
    if name == DEFAULT_ROLLOUT:
        return flag.default.rollout
    return next((rule.answer.rollout for rule in flag.rules if rule.name == name), None)


def environments_changed(before: FlagDocument | None, after: FlagDocument, environments: Iterable[str]) -> set[str]:
    """Return which of these environments serve something else after the edit than before it.

    A flag that was not there before changes them all: each serves it, if only as disabled.
    """
    if before is None:
        return set(environments)
    # As JSON, because Python holds 1 and true for equal, and an edit from one to the other is an edit.
    encode = msgspec.json.encode
    return {name for name in environments if encode(serve(before, name, 0)) != encode(serve(after, name, 0))}


def keep_unlisted(before: FlagDocument | None, after: FlagDocument) -> FlagDocument:
    """Return ``after`` with the environments that it does not list as they were before."""
    kept: Mapping[str, EnvironmentDocument] = {} if before is None else before.environments
    return msgspec.structs.replace(after, environments={**kept, **after.environments})
