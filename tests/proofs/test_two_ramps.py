"""Two ramps of two flags in one crowd: neither is blamed for what the other does."""

import random
from bisect import bisect
from itertools import accumulate

import msgspec

from rheostat.engine.hashing import place
from rheostat_server.ramps.evidence import ArmTotals, Block, Evidence, Reading, Sight
from rheostat_server.ramps.ladder import drawn_ppm, treated_share
from rheostat_server.ramps.model import LIVE, State, Status
from rheostat_server.ramps.transition import start
from tests.proofs.bounds import binomial_bounds
from tests.unit.server.ramps.ramp_builders import MINUTE, SECOND, a_plan, poisson, tick

ALPHA = 0.01
BLOCK_S = 15
"""As often as reports are read."""
PLAN = a_plan(5, 10, 25, 50, 100, alpha=ALPHA, holdback_ppm=20_000, preflight_s=60.0, soak_s=120.0)


class Flag(msgspec.Struct):
    """One of the two flags: its ramp, and where each user stands on its line. ``harm`` is added to those exposed."""

    salt: str
    harm: float
    places: list[float]
    state: State
    failed: set[int]


APART = ("checkout", "search")
USERS = 3_000
MINUTES = 40
RIDES = 60


def together(seed: int, *, harms: tuple[float, float], salts: tuple[str, str] = APART) -> list[State]:
    """Return where the ramps of two flags stand in the end, which every request of one crowd met both.

    A request fails by what the user meets from either flag, or as it would anyway: 1 % of the accounts are broken.
    """
    draw = random.Random(seed)
    sums = list(accumulate(draw.paretovariate(1.2) for _ in range(USERS)))
    broken = {user for user in range(USERS) if draw.random() < 0.01}
    flags = [
        Flag(salt, harm, [place(salt, f"{seed}-{user}") / 1e6 for user in range(USERS)], start(PLAN, 0), set())
        for salt, harm in zip(salts, harms, strict=True)
    ]
    for now_ms in range(BLOCK_S * SECOND, MINUTES * MINUTE, BLOCK_S * SECOND):
        if not any(flag.state.status in LIVE for flag in flags):
            break
        visits = [bisect(sums, draw.random() * sums[-1]) for _ in range(poisson(draw, 25.0 * BLOCK_S))]
        bad = [draw.random() < _rate(flags, user, usual=0.5 if user in broken else 0.005) for user in visits]
        for flag in flags:
            if flag.state.status in LIVE:
                block = _block(flag, visits, bad, now_ms)
                flag.state, _ = tick(PLAN, flag.state, _evidence(block))
    return [flag.state for flag in flags]


def _rate(flags: list[Flag], user: int, *, usual: float) -> float:
    well = 1 - usual
    for flag in flags:
        if flag.places[user] < _exposed(flag.state):
            well *= 1 - flag.harm
    return 1 - well


def _exposed(state: State) -> float:
    """Return the share of users who have the variant: killed and refused ramps give it to nobody."""
    return treated_share(PLAN, state.exposure_ppm)


def _block(flag: Flag, visits: list[int], bad: list[bool], now_ms: int) -> Block:
    """What one flag's reports tell of these requests: users at their first failure, in this flag's own arms."""
    x = treated_share(PLAN, drawn_ppm(PLAN, flag.state))
    counts: list[dict[str, int]] = [{"ended": 0, "bad": 0, "failing": 0, "units": 0, "units_bad": 0} for _ in "tc"]
    for user, failed in zip(visits, bad, strict=True):
        arm = counts[0 if flag.places[user] < x else 1]
        arm["ended"] += 1
        arm["units"] += 1
        arm["bad"] += failed
        arm["units_bad"] += failed
        if failed and user not in flag.failed:
            flag.failed.add(user)
            arm["failing"] += 1
    return Block(
        from_ms=now_ms - BLOCK_S * SECOND,
        until_ms=now_ms,
        epoch=flag.state.epoch,
        exposure_ppm=drawn_ppm(PLAN, flag.state),
        treatment=ArmTotals(**counts[0]),
        control=ArmTotals(**counts[1]),
    )


def _evidence(block: Block) -> Evidence:
    reading = Reading(guardrail="errors", sight=Sight.SEEN, blocks=(block,))
    return Evidence(at_ms=block.until_ms, readings=(reading,), exposed_units=1_000)


def _blamed(states: list[State]) -> int:
    return sum(state.status in {Status.KILLED, Status.ABORTED} for state in states)


def most_kills(ramps: int) -> int:
    """Return how many of so many harmless ramps are killed at most, but for a chance of 1 %, where each is at α."""
    return binomial_bounds(ramps, ALPHA, 0.02)[1]


def test_a_harmful_change_does_not_blame_a_harmless_one() -> None:
    """One flag fails a twelfth of its exposed requests, among the same users: it is killed, the other hardly ever."""
    ends = [together(seed, harms=(0.08, 0.0)) for seed in range(RIDES)]

    assert sum(harmful.status is Status.KILLED for harmful, _ in ends) >= RIDES - 1
    assert _blamed([harmless for _, harmless in ends]) <= most_kills(RIDES)
    assert sum(harmless.step > 0 for _, harmless in ends) >= 2 * RIDES / 3, "it goes up meanwhile"


def test_two_harmless_changes_do_not_blame_each_other() -> None:
    """Of two harmless flags in one crowd each is killed as seldom as it would be alone: α a ramp."""
    ends = [together(1_000 + seed, harms=(0.0, 0.0)) for seed in range(RIDES)]

    for which in (0, 1):
        assert _blamed([pair[which] for pair in ends]) <= most_kills(RIDES)


def test_two_flags_with_one_salt_would_blame_each_other() -> None:
    """What the bound rests on: with one salt for both, those whom one flag hurts are those whom the other has."""
    ends = [together(seed, harms=(0.08, 0.0), salts=("checkout", "checkout")) for seed in range(6)]

    assert _blamed([harmless for _, harmless in ends]) >= 5
