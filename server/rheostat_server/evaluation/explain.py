"""Explanations of what a flag gives, from what this node serves."""

import msgspec

from rheostat.clock import Clock
from rheostat.model.explanation import Explanation, Step
from rheostat_server.errors import Fault, Invalid, Malformed, NotFound, TooLarge, Unavailable
from rheostat_server.evaluation.context import BODY_BYTES, BadRequest, read_context
from rheostat_server.streaming.feed import EnvironmentFeed
from rheostat_server.streaming.hub import Hub


class ExplainService:
    """Asks the engine of this node's rulesets. Nothing is counted: explaining is no exposure."""

    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock

    def explain(self, project: str, environment: str, key: str, body: bytes) -> Explanation:
        """Return each step to what the flag gives the context in ``{"context": {…}}`` now.

        Raises:
            NotFound: there is no such environment, or no such flag in service.
            Malformed, Invalid, TooLarge: the body is not JSON, holds no context, or is above 64 KiB.
            Unavailable: this node has read nothing yet.
        """
        feed = self._feed(project, environment)
        if len(body) > BODY_BYTES:
            raise TooLarge(f"the request is larger than {BODY_BYTES >> 10} KiB")
        try:
            context, _ = read_context(body)
        except BadRequest as error:
            if error.code == "PARSE_ERROR":
                raise Malformed(error.details) from error
            raise Invalid([Fault("context", error.details)], "the request") from error
        if feed.ruleset.flag(key) is None:
            raise NotFound(f"there is no flag {key!r} in service in {environment}")
        now_ms, age_ms = self._clock.wall_ms(), feed.age_ms()
        return _public(feed.ruleset.explain(key, context, now_ms=now_ms, age_ms=age_ms))

    def _feed(self, project: str, environment: str) -> EnvironmentFeed:
        if not self._hub.ready:
            raise Unavailable("this node has not read its first snapshot yet")
        for feed in self._hub.feeds():
            if (feed.project, feed.environment) == (project, environment):
                return feed
        raise NotFound(f"there is no environment {environment!r} in project {project!r}")


def _public(explanation: Explanation) -> Explanation:
    """Return the explanation without the secret that keys the hash of a ramp's units."""
    evaluation = explanation.evaluation
    if evaluation.ramp is not None:
        overlay = msgspec.structs.replace(evaluation.ramp, unit_key=None)
        evaluation = msgspec.structs.replace(evaluation, ramp=overlay)
    steps = tuple(map(_public_step, explanation.steps))
    return msgspec.structs.replace(explanation, evaluation=evaluation, steps=steps)


def _public_step(step: Step) -> Step:
    if step.prerequisite is None:
        return step
    return msgspec.structs.replace(step, prerequisite=_public(step.prerequisite))
