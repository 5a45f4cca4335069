"""What a person is told when a ramp starts is about what the ramp then does."""

import math

import pytest
from msgspec.structs import replace

from rheostat_server.ramps.simulation.estimate import expectation, outlook
from tests.unit.server.ramps.ramp_builders import REQUESTS, a_plan

PLAN = replace(a_plan(1, 10, 50, 100), users=20_000)


def test_harm_is_expected_to_be_killed() -> None:
    """At 1 000 requests/s a fourfold error rate is killed within minutes, after some ten failing requests."""
    found = expectation(PLAN, 1_000)

    assert found.kill_s is not None
    assert found.failed is not None
    assert found.treated is not None
    assert 10 <= found.kill_s <= 240
    assert 3 <= found.failed <= 40
    assert found.failed / found.treated == pytest.approx(0.02, rel=0.6)


def test_proof_takes_the_published_number_of_requests() -> None:
    """Where 0.5 % fail the relative proof comes first: log 5 / (p·(1 − log 2)) treated requests, at each step."""
    found = expectation(PLAN, 100)
    needed = math.log(5) / (0.005 * (1 - math.log(2)))

    assert [ppm for ppm, _, _ in found.proofs] == [10_000, 100_000, 500_000]
    assert [requests for _, requests, _ in found.proofs] == pytest.approx([needed] * 3)
    assert [seconds for _, _, seconds in found.proofs] == pytest.approx([needed, needed / 10, 60])


def test_a_service_without_errors_is_proved_absolutely() -> None:
    """Where nothing fails only the absolute proof comes: log 5 / (0.9·p_ok)."""
    assert expectation(PLAN, 100, usual=0.0, harm=0.02).proofs[0][1] == pytest.approx(math.log(5) / (0.9 * 0.005))


def test_requests_need_phi_times_as_much() -> None:
    """Evidence that is divided by φ takes φ times the requests."""
    requests = replace(PLAN, guardrails=(replace(REQUESTS, may_kill=True),))

    assert expectation(requests, 1_000).proofs[0][1] == pytest.approx(5 * expectation(PLAN, 1_000).proofs[0][1])


def test_outlook_in_time_or_in_requests() -> None:
    """With a rate it tells times, without one requests; of an unguarded ramp nothing."""
    timed, counted = outlook(PLAN, 1_000), outlook(PLAN, None)

    assert "at 1000 requests/s" in timed[0]
    assert timed[1] == "if it is harmless: past 50 % after ~3:45, as proof comes"
    assert "treated requests" in counted[0]
    assert counted[1] == "if it is harmless: 1 % is proved after ~1 100 treated requests"
    held_back = outlook(replace(PLAN, holdback_ppm=100_000), 1_000)
    assert held_back[1].startswith("if it is harmless: every step is proved after ~")
    assert outlook(replace(PLAN, guarded=False, guardrails=()), 10) == ()


def test_too_little_traffic_is_said() -> None:
    """Where most runs see no kill within half an hour, it says so."""
    assert outlook(PLAN, 1)[0].endswith("most likely not killed within 30:00")
