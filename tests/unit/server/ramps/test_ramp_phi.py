"""How bursty requests are, from their past."""

import random
import statistics

import pytest

from rheostat_server.ramps.memory import KillProcess
from rheostat_server.ramps.phi import LEAST_BAD, LEAST_MINUTES, phi_of
from rheostat_server.ramps.stats import FEWEST_EVENTS_PER_PHI, kill_step, log_kill_bar, log_m
from tests.unit.server.ramps.ramp_builders import poisson

PER_MINUTE = 3_000


def minutes_of(draw: random.Random, minutes: int, burst_min: int | None = None) -> list[tuple[int, int]]:
    """(requests, bad) by the minute at 0.5 %; with bursts, of so many minutes each, at ten times as much."""
    counted, left = [], 0
    for _ in range(minutes):
        if burst_min is not None and left == 0 and draw.random() < 0.1 / burst_min:
            left = burst_min
        rate = 0.05 if left else 0.005
        left = max(0, left - 1)
        counted.append((PER_MINUTE, poisson(draw, PER_MINUTE * rate)))
    return counted


def test_independent_requests_have_a_phi_of_about_one() -> None:
    """Without bursts it is close to 1, and never below."""
    found = [phi_of(minutes_of(random.Random(seed), 480)) or 0.0 for seed in range(30)]

    assert min(found) >= 1
    assert statistics.median(found) < 2
    assert max(found) < 4


@pytest.mark.parametrize("burst_min", [5, 15, 30])
def test_bursts_have_a_large_phi(burst_min: int) -> None:
    """Bursts of minutes show, at one block length or another."""
    found = [phi_of(minutes_of(random.Random(seed), 960, burst_min)) or 0 for seed in range(10)]

    assert sum(phi > 5 for phi in found) >= 8


def test_too_little_history_says_nothing() -> None:
    """Less than four hours, or hardly any bad request, is no history."""
    draw = random.Random(1)
    assert phi_of(minutes_of(draw, LEAST_MINUTES - 1)) is None
    assert phi_of([(100, 0)] * LEAST_MINUTES) is None
    assert phi_of([(100, 1)] * (LEAST_BAD - 1) + [(100, 0)] * LEAST_MINUTES) is None
    assert phi_of([(100, 1)] * LEAST_MINUTES) == 1.0


def test_blocks_without_requests_have_no_rate() -> None:
    """A history of which only the first hour had traffic is judged by that hour."""
    draw = random.Random(1)
    quiet = [*minutes_of(draw, 25), *[(0, 0)] * LEAST_MINUTES]

    assert (phi_of(quiet) or 0) < 3


@pytest.mark.parametrize("burst_min", [5, 30])
def test_requests_that_fail_in_bursts_keep_the_budget_with_their_phi(burst_min: int) -> None:
    """With φ from history, each arm's bursts its own, hardly a harmless ramp is killed; with φ = 1 many are."""

    def crossed(seed: int, *, measured: bool) -> bool:
        draw = random.Random(seed)
        phi = (phi_of(minutes_of(draw, 960, burst_min)) or 5.0) if measured else 1.0
        arms = [minutes_of(draw, 60, burst_min) for _ in range(2)]
        process = KillProcess()
        for minute, ((n_t, y_t), (n_c, y_c)) in enumerate(zip(*arms, strict=True)):
            process = kill_step(
                process,
                treatment_events=y_t,
                control_events=y_c,
                treatment_n=float(n_t),
                control_n=float(n_c),
                phi=phi,
                t1_s=60.0 * minute,
                t2_s=60.0 * minute + 60,
            )
            if log_m(process) >= log_kill_bar(0.01, 1) and process.treatment_events >= FEWEST_EVENTS_PER_PHI * phi:
                return True
        return False

    assert sum(crossed(seed, measured=True) for seed in range(100)) <= 3
    assert sum(crossed(seed, measured=False) for seed in range(40)) >= 5
