"""The OpenFeature Remote Evaluation Protocol, without its transport: bytes in, bytes out."""

from collections.abc import Iterator
from hashlib import blake2b

import msgspec

from rheostat.clock import Clock
from rheostat.engine.evaluate import not_found
from rheostat_server.access.model import Principal, Scope
from rheostat_server.evaluation.answers import Reply, failure, flag_answer
from rheostat_server.evaluation.context import BODY_BYTES, BadRequest, read_context
from rheostat_server.evaluation.counter import EvaluationCounter
from rheostat_server.evaluation.sample import ContextSample
from rheostat_server.streaming.feed import EnvironmentFeed
from rheostat_server.streaming.hub import Hub


class Ofrep:
    """Answers evaluations from the hub's rulesets. Client-scoped keys see flags with ``client: true`` only."""

    def __init__(
        self, hub: Hub, counter: EvaluationCounter, clock: Clock, *, sample: ContextSample | None = None
    ) -> None:
        self._hub = hub
        self._counter = counter
        self._clock = clock
        self._sample = sample

    def single(self, principal: Principal, environment_id: int, key: str, body: bytes, service: str | None) -> Reply:
        """Evaluate one flag.

        Raises:
            NotFound, Unavailable: the environment is gone, or nothing was read yet.
        """
        feed = self._hub.feed(environment_id)
        if len(body) > BODY_BYTES:
            return failure(413, _TOO_LARGE, key=key, code="GENERAL")
        try:
            context, sent = read_context(body)
        except BadRequest as error:
            return failure(400, error.details, key=key, code=error.code)
        if self._sample is not None:
            self._sample.see(environment_id, sent)
        ruleset = feed.ruleset
        flag = ruleset.flag(key)
        if flag is None or (principal.scope is Scope.CLIENT and not flag.client):
            evaluation = not_found(key)
        else:
            evaluation = ruleset.evaluate(key, context, now_ms=self._clock.wall_ms(), age_ms=feed.age_ms())
            self._counter.count(environment_id, key, evaluation.variant or "", service or principal.label)
        status, answer = flag_answer(evaluation, ruleset)
        return Reply(status, msgspec.json.encode(answer))

    def bulk(self, principal: Principal, environment_id: int, body: bytes, if_none_match: str | None) -> Reply:
        """Evaluate every flag that the key may see; a flag's error is an item. Not an exposure: nothing is counted.

        Raises:
            NotFound, Unavailable: as ``single``.
        """
        feed = self._hub.feed(environment_id)
        if len(body) > BODY_BYTES:
            return failure(413, _TOO_LARGE, code="GENERAL")
        try:
            context, sent = read_context(body)
        except BadRequest as error:
            return failure(400, error.details, code=error.code)
        if self._sample is not None:
            self._sample.see(environment_id, sent)
        ruleset = feed.ruleset
        evaluations = ruleset.bulk(
            context, principal.scope is Scope.CLIENT, now_ms=self._clock.wall_ms(), age_ms=feed.age_ms()
        )
        items = [flag_answer(evaluations[key], ruleset)[1] for key in sorted(evaluations)]
        answer = msgspec.json.encode({"flags": items, "metadata": {"rheostat.revision": ruleset.snapshot.revision}})
        etag = _etag(feed, sent, answer)
        headers = ((b"etag", etag.encode()), (b"cache-control", b"no-cache"))
        if if_none_match is not None and etag in _listed(if_none_match):
            return Reply(304, b"", headers)
        return Reply(200, answer, headers)


_TOO_LARGE = f"the request is larger than {BODY_BYTES >> 10} KiB"


def _etag(feed: EnvironmentFeed, sent: dict[str, object], answer: bytes) -> str:
    """Return the tag of one context's answers at one identity and kill set.

    The whole context is in it, for browsers keep a tag when an attribute changes; and the answer itself, which time
    windows and staleness change without a new revision.
    """
    parts = (feed.etag.encode(), msgspec.json.encode(sent, order="deterministic"), answer)
    hashed = blake2b(digest_size=12)
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big") + part)
    return f'"{feed.identity}-{hashed.hexdigest()}"'


def _listed(if_none_match: str) -> Iterator[str]:
    return (part.strip().removeprefix("W/") for part in if_none_match.split(","))
