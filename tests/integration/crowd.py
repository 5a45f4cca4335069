"""Users who differ, behind the real SDK: they visit, some are broken, and a change may hurt the exposed."""

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Sequence
from itertools import accumulate, cycle

from rheostat.engine.evaluate import Ruleset
from rheostat.engine.hashing import place
from rheostat.model.context import Context
from rheostat.model.flag import Answer, Flag, FlagType, Rollout
from rheostat.model.outcome import Outcome
from rheostat.model.snapshot import FORMAT, Snapshot
from rheostat.outcomes.outcomes import Outcomes
from tests.integration.ramp_world import ENVIRONMENT, FLAG, PROJECT, RampWorld


def _flag_of(split: dict[str, float]) -> Flag:
    return Flag(
        key=FLAG,
        type=FlagType.BOOLEAN,
        variants={"on": True, "off": False},
        version=1,
        enabled=True,
        off_variant="off",
        default=Answer(rollout=Rollout(exposure_ppm=0, split=split, salt=FLAG, fallback="off")),
    )


class Crowd:
    """``users`` users, whose activity is as ``weights`` say, through one process's evaluations and outcomes.

    ``usual`` is the share of requests that fail whatever the flag says, ``harm`` that of exposed users in its place;
    the ``broken`` first users fail at ``broken_rate``, always. Requests take 20 ms; those of ``slow`` users, and
    ``slow_harm`` of the exposed ones, 900 ms. Users have ``regions`` in turn, and only exposed ones of the ``harmed``
    regions are harmed, where these are named. What the flag gives the exposed is drawn by ``split``.
    """

    def __init__(
        self,
        world: RampWorld,
        weights: Sequence[float],
        *,
        usual: float = 0.005,
        harm: float | None = None,
        broken: int = 0,
        broken_rate: float = 1.0,
        slow: Container[int] = (),
        slow_harm: float = 0.0,
        seed: int = 1,
        split: dict[str, float] | None = None,
        regions: Sequence[str | None] = (None,),
        harmed: Container[str | None] | None = None,
        service: str = "shop",
    ) -> None:
        self.world = world
        self.usual = usual
        self.harm = usual if harm is None else harm
        self.broken = broken
        self.broken_rate = broken_rate
        self.slow = slow
        self.slow_harm = slow_harm
        self.exposed_requests = 0
        self.harmed = harmed
        self.exposed_of: Counter[str | None] = Counter()
        self.requests_of: Counter[str | None] = Counter()
        self._flag = _flag_of({"on": 1.0} if split is None else split)
        self._random = random.Random(seed)
        self._sums = list(accumulate(weights))
        # The regions take turns; of ``None`` nothing is known.
        self._contexts = [
            Context(f"user-{number}", **({} if region is None else {"region": region}))
            for number, region in zip(range(len(weights)), cycle(regions), strict=False)
        ]
        # Never started: no thread, no wire. What the sender would send is made when the second is over.
        self._outcomes = Outcomes("http://127.0.0.1:9", "rhs_test", service=service, clock=world.clock)
        self._sequence = 0
        self._identity = 0

    def put_exposed_first(self, exposure_ppm: int) -> None:
        """Number the users anew, so that those whom this exposure exposes come first."""
        self._contexts.sort(key=lambda context: place(FLAG, str(context.targeting_key)) >= exposure_ppm)

    async def visit(self, requests: int) -> None:
        """Serve requests of users at random by what is served now, and report them as the SDK would."""
        overlays, kills = await self.world.served()
        self._identity += 1
        ruleset = Ruleset.of(
            Snapshot(
                format=FORMAT,
                generation=1,
                revision=self._identity,
                project=PROJECT,
                environment=ENVIRONMENT,
                flags=(self._flag,),
                ramps=tuple(overlays),
                kills=tuple(kills),
            )
        )
        live = {overlay.ramp: overlay for found in ruleset.overlays.values() for overlay in found}
        self._outcomes.snapshot_applied(
            ruleset.snapshot.identity,
            tuple(kill.kill_id for kill in kills),
            live,
            project=PROJECT,
            environment=ENVIRONMENT,
            flags={FLAG: self._flag},
        )
        chance, total = self._random.random, self._sums[-1]
        for _ in range(requests):
            number = bisect_left(self._sums, chance() * total)
            evaluation = ruleset.evaluate(FLAG, self._contexts[number])
            self._outcomes.evaluated(FLAG, evaluation.variant)
            exposed = bool(evaluation.value)
            region = self._contexts[number].attributes.get("region")
            self.exposed_requests += exposed
            self.requests_of[region] += 1
            self.exposed_of[region] += exposed
            hurt = exposed and (self.harmed is None or region in self.harmed)
            rate = self.broken_rate if number < self.broken else self.harm if hurt else self.usual
            recorder = self._outcomes.recorder()
            recorder.note(evaluation, self._outcomes)
            slow = number in self.slow or (exposed and self.slow_harm > 0 and chance() < self.slow_harm)
            recorder.finish(Outcome.ERROR if chance() < rate else Outcome.OK, 0.9 if slow else 0.02)
        self._sequence += 1
        await self.world.report(self._outcomes._make(self._sequence, False))


def pareto(users: int, *, seed: int = 3) -> list[float]:
    """Return activities of which a fifth of the users have about four fifths."""
    draw = random.Random(seed)
    return [draw.paretovariate(1.16) for _ in range(users)]
