"""What a person is told when a ramp starts is about what the ramp then does."""

import pytest
from msgspec.structs import replace

from rheostat_server.ramps.memory import Proof
from rheostat_server.ramps.simulation.estimate import expectation, outlook
from rheostat_server.ramps.stats import requests_needed
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


def test_proof_takes_the_requests_of_each_step() -> None:
    """Where 0.5 % fail the relative proof comes first, and takes more requests where fewer are left to compare with."""
    found = expectation(PLAN, 100)
    needed = [
        requests_needed(Proof(), bad_rate=0.005, event_rate=0.005, acceptable=0.005, x=share)
        for share in (0.01, 0.1, 0.5)
    ]

    assert [ppm for ppm, _, _ in found.proofs] == [10_000, 100_000, 500_000]
    assert [requests for _, requests, _ in found.proofs] == needed == sorted(needed)
    assert [seconds for _, _, seconds in found.proofs] == pytest.approx([needed[0], needed[1] / 10, needed[2] / 50])


def test_a_service_without_errors_is_proved_absolutely() -> None:
    """Where nothing fails only the absolute proof comes, after as many requests at each step."""
    proofs = expectation(PLAN, 100, usual=0.0, harm=0.02).proofs

    assert [requests for _, requests, _ in proofs] == pytest.approx([452.5] * 3, rel=1e-3)


def test_requests_need_phi_times_as_much() -> None:
    """Evidence that is divided by φ takes φ times the requests."""
    requests = replace(PLAN, guardrails=(replace(REQUESTS, may_kill=True),))

    assert expectation(requests, 1_000).proofs[0][1] == pytest.approx(5 * expectation(PLAN, 1_000).proofs[0][1])


def test_outlook_in_time_or_in_requests() -> None:
    """With a rate it tells times, without one requests; of an unguarded ramp nothing."""
    timed, counted = outlook(PLAN, 1_000), outlook(PLAN, None)

    assert "at 1000 requests/s" in timed[0]
    assert timed[1] == "if it is harmless: past 50 % after ~4:12, as proof comes"
    assert "treated requests" in counted[0]
    assert counted[1] == "if it is harmless: 1 % is proved after ~1 400 treated requests"
    held_back = outlook(replace(PLAN, holdback_ppm=100_000), 1_000)
    assert held_back[1].startswith("if it is harmless: every step is proved after ~")
    assert outlook(replace(PLAN, guarded=False, guardrails=()), 10) == ()


def test_too_little_traffic_is_said() -> None:
    """Where most runs see no kill within half an hour, it says so."""
    assert outlook(PLAN, 1)[0].endswith("most likely not killed within 30:00")
