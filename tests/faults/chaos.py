"""Ramps under crashes: nodes killed at random moments, batches duplicated, delayed and out of order, stepped time.

Time stands still but for the steps that the driver makes: post what arrives in this step, let the leader look, go on.
So two rides with the same arrivals differ in nothing that the rule sees, unless a crash or a duplicate makes them.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from rheostat.clock import write_offset
from rheostat.engine.hashing import arm_of, is_exposed, is_held_back, level_entry, place, unit_hash
from rheostat.model.evaluation import Arm
from rheostat.model.flag import Rollout
from rheostat.model.outcome import Batch, FailingUnit, FailingUnits, Row, SampledUnit, SampledUnits
from rheostat.model.ramp import RampOverlay
from rheostat_server.ports.ramps import DecisionRow
from rheostat_server.ramps.replay import replay
from tests.e2e.waiting import until
from tests.faults.two_nodes import FLAGS, RAMPS, Cluster, FaultyNode, cluster, flag_document

STEP_MS = 10_000
MONOTONIC_STEP = 0.2
"""Above the ramps' interval, and so little that no living leader looks silent."""
SILENCE = 7.0
LATE_STEPS = 13
"""A batch that comes so many steps late has rows older than 2 min."""
USERS = 2_000
WINDOW_MS = 300_000
BEGAN_MS = 1_767_225_600_000
DOCUMENT = {
    "kind": "ramp",
    "steps": [10, 50, 100],
    "preflight": "1s",
    "min_dwell": "10s",
    "soak": "60s",
    "holdback": 5,
    "interval": "100ms",
    "acceptable": 5,
    "users": 100_000,
}


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """So many ramps; the first ``harmful`` fail for 30 % of the exposed. ``requests`` are of each ramp and step."""

    ramps: int
    harmful: int
    requests: int = 150
    steps: int = 60
    seed: int = 1
    delays: bool = True


class Disturbance(msgspec.Struct, frozen=True, kw_only=True):
    """How often a node is killed in a step, and a batch sent again (0 … 1)."""

    kills: float
    duplicates: float = 0.25
    seed: int = 1


class Course(msgspec.Struct, kw_only=True):
    """What came of a ride: each flag's log, verdict and reports; how often nodes were killed, and led anew."""

    logs: dict[str, list[DecisionRow]]
    verdicts: dict[str, str]
    sent: dict[str, dict[str, list[int]]]
    kills: int = 0
    takeovers: int = 0
    duplicates: int = 0
    steps: int = 0

    def decisions(self, flag: str) -> list[Any]:
        """Return a flag's log without what may differ where the same was decided: where sources had read up to."""
        return [[row.seq, row.at_ms, row.kind, _bare(msgspec.json.decode(row.body))] for row in self.logs[flag]]

    def read(self, flag: str) -> dict[str, list[int]]:
        """Return requests and bad ones of both arms, as the log's evidence adds up."""
        found = {"treatment": [0, 0], "control": [0, 0]}
        for row in self.logs[flag]:
            for reading in (msgspec.json.decode(row.body).get("evidence") or {}).get("readings", []):
                for block in (*reading.get("blocks", ()), *reading.get("late", ())):
                    for arm, figures in found.items():
                        figures[0] += block.get(arm, {}).get("ended", 0)
                        figures[1] += block.get(arm, {}).get("bad", 0)
        return found

    def late(self) -> int:
        """Return how many requests came too late to be evidence."""
        count = 0
        for rows in self.logs.values():
            for row in rows:
                for reading in (msgspec.json.decode(row.body).get("evidence") or {}).get("readings", []):
                    for block in reading.get("late", ()):
                        count += sum(block.get(arm, {}).get("ended", 0) for arm in ("treatment", "control"))
        return count

    def disagreeing(self) -> list[str]:
        """Return the flags whose log does not follow again from itself."""
        return [flag for flag, rows in self.logs.items() if any(again.differences for again in replay(rows))]


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(each) for key, each in value.items() if key not in {"cursor", "crowd_cursor", "actor"}}
    return [_bare(each) for each in value] if isinstance(value, list) else value


class Instance:
    """One process of an application, with users of its own. What it draws depends on the step alone."""

    def __init__(self, flag: str, number: int, scenario: Scenario, harm: float) -> None:
        self._rollout = Rollout(exposure_ppm=0, split={"on": 1.0}, salt=flag, fallback="off")
        self._users = [(user, place(flag, user)) for user in (f"user-{n}" for n in range(number, USERS, 2))]
        self._name = f"{scenario.seed}/{flag}/{number}"
        self._instance = f"{random.Random(self._name).getrandbits(128):032x}"
        self._requests = scenario.requests // 2
        self._harm = harm
        self._sequence = 0
        self._sampled: set[tuple[str, int]] = set()
        self._late = scenario.delays and number == 1
        self.flag = flag

    def serve(self, overlay: RampOverlay, step: int, now_ms: int) -> tuple[int, bytes, dict[str, list[int]]]:
        """Serve a step's requests; return how many steps later the batch arrives, the batch, and what is in it."""
        draw = random.Random(f"{self._name}/{step}")
        self._sequence += 1
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        failing: dict[str, FailingUnit] = {}
        sampled: list[SampledUnit] = []
        key = bytes.fromhex(overlay.unit_key or "")
        for user, at in draw.choices(self._users, k=self._requests):
            arm = arm_of(overlay, self._rollout, at)
            assert arm is not None
            exposed = not is_held_back(at, overlay.holdback_ppm) and is_exposed(at, overlay.exposure_ppm)
            bad = draw.random() < (self._harm if exposed else 0.01)
            counts[arm][0] += 1
            counts[arm][1] += bad
            unit, entry = unit_hash(key, user), level_entry(overlay, self._rollout, at)
            if bad:
                failing[unit] = FailingUnit(unit, entry, overlay.epoch)
            if (unit, overlay.epoch) not in self._sampled:
                self._sampled.add((unit, overlay.epoch))
                sampled.append(SampledUnit(unit, entry, overlay.epoch, now_ms // WINDOW_MS, bad))
        rows = tuple(
            Row(
                ramp=overlay.ramp,
                epoch=overlay.epoch,
                exposure_ppm=overlay.arm_ppm,
                arm=Arm(arm),
                variant="on",
                started=ended,
                ended=ended,
                bad=bad,
            )
            for arm, (ended, bad) in sorted(counts.items())
        )
        batch = Batch(
            instance=self._instance,
            sequence=self._sequence,
            service="shop",
            rows=rows,
            failing={overlay.ramp: FailingUnits(1.0, tuple(failing.values()))},
            sampled={overlay.ramp: SampledUnits(1.0, tuple(sampled))},
        )
        delay = draw.choices((0, 1, 2, 3, LATE_STEPS), (45, 20, 12, 8, 15))[0] if self._late else 0
        return delay, msgspec.json.encode(batch), counts


class Arrival(msgspec.Struct, frozen=True):
    """A batch on its way: the step that it was made in, and what is in it."""

    flag: str
    number: int
    made: int
    body: bytes
    counts: Mapping[str, list[int]]


class Ride:
    """One ride of a scenario over one cluster, whose clock it steps."""

    def __init__(self, nodes: Cluster, clock: Path, scenario: Scenario, disturbance: Disturbance | None) -> None:
        self._nodes = nodes
        self._clock = clock
        self._scenario = scenario
        self._disturbance = disturbance
        self._chance = random.Random(disturbance.seed if disturbance else 0)
        # Apart from the other: who is killed in which step must not depend on which batch was first.
        self._fate = random.Random(disturbance.seed if disturbance else 0)
        self._monotonic = 1_000.0
        self._flags = [f"flag-{number:03}" for number in range(scenario.ramps)]
        self._instances = {
            flag: [Instance(flag, n, scenario, 0.3 if index < scenario.harmful else 0.01) for n in (0, 1)]
            for index, flag in enumerate(self._flags)
        }
        self._ways: dict[int, list[Arrival]] = defaultdict(list)
        self._old: list[tuple[bytes, int]] = []
        self._ramps: dict[str, str] = {}
        self.course = Course(logs={}, verdicts={}, sent={flag: {} for flag in self._flags})

    async def run(self) -> Course:
        """Ride to the end of all ramps, or of the scenario's steps."""
        self._set(0)
        await self._start()
        await self._observed(0)
        for step in range(1, self._scenario.steps + 1):
            overlays = await self._live()
            if not overlays:
                break
            self.course.steps = step
            self._set(step)
            for flag, overlay in overlays.items():
                for number, instance in enumerate(self._instances[flag]):
                    delay, body, counts = instance.serve(overlay, step, self._wall(step))
                    self._ways[step + delay].append(Arrival(flag, number, step, body, counts))
            victim, posting = await self._victim()
            await asyncio.gather(self._post(step, overlays), self._kill(victim if posting else None, 0.3))
            self._monotonic += MONOTONIC_STEP
            self._set(step)
            await self._kill(None if posting else victim, 0.1)
            await self._recover(step, victim)
            await self._observed(step)
        await self._conclude()
        return self.course

    def _wall(self, step: int) -> int:
        return BEGAN_MS + step * STEP_MS

    def _set(self, step: int) -> None:
        write_offset(self._clock, wall_ms=self._wall(step), monotonic=self._monotonic, stopped=True)

    async def _start(self) -> None:
        node = self._nodes.nodes[0]
        for flag in self._flags:
            await self._nodes.call(node, "PUT", f"{FLAGS}/{flag}", flag_document(flag))
            started = await self._nodes.call(node, "POST", RAMPS, {**DOCUMENT, "flag": flag})
            self._ramps[flag] = started["id"]

    async def _live(self) -> dict[str, RampOverlay]:
        rows = await self._nodes.database.fetch(
            "SELECT r.flag, s.body FROM ramps r JOIN served s ON s.kind = 'ramp' AND s.key = r.id::text WHERE r.live"
        )
        return {row["flag"]: msgspec.json.decode(row["body"], type=RampOverlay) for row in rows}

    async def _post(self, step: int, overlays: Mapping[str, RampOverlay]) -> None:
        lanes: dict[tuple[str, int], list[Arrival]] = defaultdict(list)
        for arrival in self._ways.pop(step, ()):
            lanes[arrival.flag, arrival.number].append(arrival)
        # In a lane one waits for the other: which of a user's failures is the first is told by what came first.
        await asyncio.gather(*(self._lane(step, lane, overlays) for lane in lanes.values()))

    async def _lane(self, step: int, lane: Sequence[Arrival], overlays: Mapping[str, RampOverlay]) -> None:
        for arrival in sorted(lane, key=lambda arrival: arrival.made):
            age_ms = (step - arrival.made) * STEP_MS
            await self._deliver(arrival.body, age_ms)
            if arrival.flag in overlays:
                for arm, (ended, bad) in arrival.counts.items():
                    told = self.course.sent[arrival.flag].setdefault(_side(arm), [0, 0])
                    told[0] += ended
                    told[1] += bad
            if self._disturbance is not None and self._chance.random() < self._disturbance.duplicates:
                self._old.append((arrival.body, arrival.made))
                for body, made in (self._old[-1], self._chance.choice(self._old)):
                    self.course.duplicates += 1
                    await self._deliver(body, (step - made) * STEP_MS)

    async def _deliver(self, body: bytes, age_ms: int) -> None:
        while True:
            node = self._chance.choice([node for node in self._nodes.nodes if node.running])
            if await self._nodes.report(node, body, age_ms=age_ms):
                return
            await asyncio.sleep(0.05)

    async def _victim(self) -> tuple[FaultyNode | None, bool]:
        """Return who is killed in this step, if anybody, and whether while batches are posted or afterwards."""
        dies, leads, posting = (self._fate.random() for _ in range(3))
        if self._disturbance is None or dies >= self._disturbance.kills:
            return None, False
        leader, other = await self._nodes.roles()
        return leader if leads < 0.75 else other, posting < 0.5

    async def _kill(self, victim: FaultyNode | None, within: float) -> None:
        if victim is not None:
            await asyncio.sleep(self._chance.random() * within)
            victim.kill()
            self.course.kills += 1

    async def _recover(self, step: int, victim: FaultyNode | None) -> None:
        if victim is None:
            return
        token = await self._nodes.token()
        [other] = [node for node in self._nodes.nodes if node is not victim]
        if await self._nodes.leader() is not other:
            while await self._nodes.token() == token:
                # Nobody beats while time stands: the other has to see silence.
                self._monotonic += SILENCE
                self._set(step)
                with suppress(AssertionError):
                    await until(self._nodes.token, lambda found: found > token, within=4, every=0.05)
            self.course.takeovers += 1
            await until(self._nodes.leader, lambda leader: leader is other, within=20)
        await self._observed(step)
        await victim.start()
        # The new leader's first round is over by then: it looks at each ramp, whether or not there is something new.
        await asyncio.sleep(0.5 + 0.02 * self._scenario.ramps)

    async def _observed(self, step: int) -> None:
        await until(lambda: self._behind(step), lambda behind: behind == 0, within=60, every=0.03)

    async def _behind(self, step: int) -> int:
        behind: int = await self._nodes.database.fetchval(
            "SELECT count(*) FROM ramps WHERE live AND coalesce((state::json->>'observed_ms')::bigint, 0) < $1",
            self._wall(step),
        )
        return behind

    async def _conclude(self) -> None:
        for flag, ramp in self._ramps.items():
            rows = await self._nodes.database.fetch(
                "SELECT seq, at_ms, kind, body FROM decisions WHERE ramp_id = $1::text::uuid ORDER BY seq", ramp
            )
            self.course.logs[flag] = [
                DecisionRow(
                    seq=row["seq"], at_ms=row["at_ms"], kind=row["kind"], body=msgspec.Raw(row["body"].encode())
                )
                for row in rows
            ]
            self.course.verdicts[flag] = await self._nodes.database.fetchval(
                "SELECT status FROM ramps WHERE id = $1::text::uuid", ramp
            )


def _side(arm: str) -> str:
    return "treatment" if arm == Arm.TREATMENT else "control"


async def ride(directory: Path, database_url: str, scenario: Scenario, disturbance: Disturbance | None) -> Course:
    """Ride a scenario on a fresh database: on one node, or disturbed on two."""
    directory.mkdir()
    clock = directory / "clock"
    write_offset(clock, wall_ms=BEGAN_MS, monotonic=1_000.0, stopped=True)
    environ = {"RHEOSTAT_CLOCK_OFFSET_FILE": str(clock), "RHEOSTAT_TICK_SECONDS": "0.05"}
    names = ("one",) if disturbance is None else ("one", "two")
    async with cluster(directory, database_url, *names, environ=environ) as nodes:
        return await Ride(nodes, clock, scenario, disturbance).run()
