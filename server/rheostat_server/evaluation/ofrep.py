"""The OpenFeature Remote Evaluation Protocol, without its transport: bytes in, bytes out."""

from collections.abc import Iterator
from hashlib import blake2b
from urllib.parse import parse_qs

import msgspec

from rheostat.clock import Clock
from rheostat.engine.evaluate import not_found
from rheostat.model.snapshot import Identity
from rheostat_server.access.model import Principal, Scope
from rheostat_server.errors import Unauthenticated, Unavailable
from rheostat_server.evaluation.answers import Reply, failure, flag_answer
from rheostat_server.evaluation.context import BODY_BYTES, BadRequest, read_context
from rheostat_server.evaluation.counter import EvaluationCounter
from rheostat_server.evaluation.sample import ContextSample
from rheostat_server.streaming.callers import Keys
from rheostat_server.streaming.feed import EnvironmentFeed
from rheostat_server.streaming.hub import Hub
from rheostat_server.streaming.subscriber import Subscriber

CATCH_UP_SECONDS = 2.0
"""How long a node that is behind the one that told a client of a change lets it wait."""
STREAM = "/v1/streams"
"""Where event streams are, below OFREP's own prefix; clients are told, and know it from nowhere else."""


class Ofrep:
    """Answers evaluations from the hub's rulesets. Client-scoped keys see flags with ``client: true`` only."""

    def __init__(
        self, hub: Hub, keys: Keys, counter: EvaluationCounter, clock: Clock, *, sample: ContextSample | None = None
    ) -> None:
        self._hub = hub
        self._keys = keys
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

    async def catch_up(self, environment_id: int, query: bytes) -> None:
        """Wait, 2 s at most, for the state that an event stream told the client of: another node may have told it."""
        told = parse_qs(query.decode("latin-1")).get("flagConfigEtag")
        if not told:
            return
        try:
            generation, revision = told[0].strip('"').split("-")[:2]
            identity = Identity(int(generation), int(revision))
        except ValueError:
            return
        now = self._hub.feed(environment_id).identity
        if now < identity and now.generation == identity.generation:
            await self._hub.wait_for(environment_id, identity.revision, CATCH_UP_SECONDS)

    def watch(self, ticket: str, held: str | None) -> tuple[EnvironmentFeed, Subscriber]:
        """Begin an event stream; ``held`` is the id of the last event that the client saw.

        Raises:
            Unauthenticated: the ticket or its key is not good, or no longer.
            NotFound, Unavailable: the environment is gone, or nothing was read yet, or the node stops.
        """
        principal = self._keys.ticket_holder(ticket)
        if principal.environment_id is None:
            raise Unauthenticated("this is not the ticket of an SDK key")
        feed = self._hub.feed(principal.environment_id)
        if self._hub.closing:
            raise Unavailable("this node stops; connect again")
        return feed, feed.watchers.add(held, lambda: self._keys.valid(principal.token_id))

    def bulk(self, principal: Principal, environment_id: int, body: bytes, if_none_match: str | None) -> Reply:
        """Evaluate every flag that the key may see; a flag's error is an item. Not an exposure: nothing is counted.

        Raises:
            NotFound, Unavailable: as ``single``.
            Unauthenticated: the key was revoked in this moment.
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
        asked = msgspec.json.encode(sent, order="deterministic")
        answer = msgspec.json.encode(
            {
                "flags": items,
                # Spread by the context, or all browsers' addresses would change in one moment.
                "eventStreams": [_event_stream(self._keys.ticket(principal.token_id, asked))],
                "metadata": {"rheostat.revision": ruleset.snapshot.revision},
            }
        )
        etag = _etag(feed, asked, answer)
        headers = ((b"etag", etag.encode()), (b"cache-control", b"no-cache"))
        if if_none_match is not None and etag in _listed(if_none_match):
            return Reply(304, b"", headers)
        return Reply(200, answer, headers)


_TOO_LARGE = f"the request is larger than {BODY_BYTES >> 10} KiB"


def _event_stream(ticket: str) -> dict[str, object]:
    # No origin: behind a proxy only the client knows by which it came.
    return {"type": "sse", "endpoint": {"requestUri": f"/ofrep{STREAM}?ticket={ticket}"}}


def _etag(feed: EnvironmentFeed, asked: bytes, answer: bytes) -> str:
    """Return the tag of one context's answers at one identity and kill set.

    The whole context is in it, for browsers keep a tag when an attribute changes; and the answer itself, which time
    windows and staleness change without a new revision. So is the address of the event stream: who comes back because
    it has expired must get another one, and not a 304.
    """
    parts = (feed.etag.encode(), asked, answer)
    hashed = blake2b(digest_size=12)
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big") + part)
    return f'"{feed.identity}-{hashed.hexdigest()}"'


def _listed(if_none_match: str) -> Iterator[str]:
    return (part.strip().removeprefix("W/") for part in if_none_match.split(","))
