"""What is told of a simulated crowd adds up as a store's counts of the same requests would."""

import pytest

from rheostat_server.ramps.simulation.crowd import Crowd, Group, steady
from rheostat_server.ramps.simulation.stream import Stream, Tally
from tests.unit.server.ramps_simulation.simulated import (
    FIELDS,
    NEVER_S,
    PARETO,
    a_crowd,
    a_view,
    of_both,
    summed,
    told,
)


def a_stream(crowd: Crowd, **changes: float) -> Stream:
    levels = [(0, 0.0), (100_000, 0.1), (500_000, 0.5)]
    return Stream(crowd, levels, **changes)


def test_every_count_has_a_place() -> None:
    """A tally has the fields of the totals that it becomes."""
    assert Tally.__struct_fields__ == FIELDS


def test_requests_and_failures_have_their_rates() -> None:
    """Requests come at their rate, split by exposure, and fail by their chance in both arms."""
    found = told(a_stream(a_crowd(users=20_000)), until_s=3_600)

    assert of_both(found, "ended") == pytest.approx(360_000, rel=0.01)
    assert summed(found, "treatment", "ended") == pytest.approx(36_000, rel=0.06)
    assert of_both(found, "bad") == pytest.approx(1_800, rel=0.08)
    assert summed(found, "treatment", "bad") == pytest.approx(180, rel=0.25)


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_harm_meets_the_treated_alone(share: float) -> None:
    """Failures that the variant brings are the treatment's; the control fails as ever."""
    crowd = a_crowd(Group(1.0, lambda at, variant: share if variant else 0.01))
    found = told(a_stream(crowd))

    assert summed(found, "treatment", "bad") / summed(found, "treatment", "ended") == pytest.approx(share, rel=0.1)
    assert summed(found, "control", "bad") / summed(found, "control", "ended") == pytest.approx(0.01, rel=0.2)


def test_a_unit_fails_newly_once() -> None:
    """Of a crowd that always fails each unit fails newly once, however often it fails."""
    found = told(a_stream(a_crowd(Group(1.0, steady(1.0)), users=300)), until_s=1_200)

    assert of_both(found, "failing") == 300
    assert of_both(found, "bad") > 100_000
    assert of_both(found, "active_failed") == of_both(found, "active") == 300


def test_units_fail_again_after_five_quiet_minutes() -> None:
    """A unit that fails every 6 min is counted each time, one that fails every 4 min once; k² is added up."""
    for every_s, times in ((360.0, 10), (240.0, 1)):
        crowd = a_crowd(Group(1.0, steady(0.0), every_s), users=100)
        found = told(a_stream(crowd), until_s=3_600)

        assert of_both(found, "recounted") == 100 * times
        assert of_both(found, "recounted_squares") == 100 * times**2


def test_samples_and_failures_are_of_the_same_requests() -> None:
    """A unit's first request of the ramp, when it is bad, is its first failure: none was before it."""
    found = told(a_stream(a_crowd(Group(1.0, steady(1.0)), users=1_000, rps=2.0)), until_s=300, block_s=5.0)

    assert of_both(found, "active") == of_both(found, "units_bad") == of_both(found, "failing")


def test_samples_are_counted_by_window() -> None:
    """Busy units are seen and kept once a window; they arrive and become active once."""
    found = told(a_stream(a_crowd(users=200)), until_s=1_800)

    assert of_both(found, "seen") == 6 * 200
    # A sample in 200 is bad, and its unit has no more.
    assert 6 * 200 - 40 < of_both(found, "sampled") < 6 * 200
    assert of_both(found, "units") == of_both(found, "arrivals") == of_both(found, "active") == 200


def test_a_bad_sample_counts_once() -> None:
    """Grade 2 leaves out a unit that had a bad sample before."""
    found = told(a_stream(a_crowd(Group(1.0, steady(1.0)), users=200)), until_s=1_800)

    assert of_both(found, "sampled") == of_both(found, "sampled_bad") == 200


def test_rare_units_arrive_again() -> None:
    """A unit that was not seen in the window before arrives anew."""
    found = told(a_stream(a_crowd(users=1_000, rps=1.0)), until_s=3_600)

    assert of_both(found, "arrivals") > of_both(found, "active")
    assert of_both(found, "arrivals") < of_both(found, "seen")


def test_a_new_epoch_has_its_own_units() -> None:
    """After a change of exposure units are sampled anew, and the exposed ones are counted from 0."""
    stream = a_stream(a_crowd(users=200))
    told(stream, a_view(10), until_s=150)
    before = stream.exposed_units
    found = stream.blocks(150, 285, (a_view(50, epoch=2),), 0.0)

    assert before == pytest.approx(20, abs=12)
    assert of_both(found, "units") == 200
    assert of_both(found, "active") == 0
    assert stream.exposed_units == summed(found, "treatment", "units") == pytest.approx(100, abs=25)


def test_while_arming_nobody_has_the_variant() -> None:
    """Arms are drawn as they will be, the harm has not begun, and arrivals are told by level."""
    crowd = a_crowd(Group(1.0, lambda at, variant: 0.9 if variant else 0.0), users=400)
    stream = a_stream(crowd)
    found = told(stream, a_view(10, served=0.0), until_s=300, exposed_s=NEVER_S)
    levels = dict(stream.arrivals_by_level)

    assert of_both(found, "bad") == stream.harmed == 0
    assert summed(found, "treatment", "units") == levels[100_000] == pytest.approx(40, abs=18)
    assert sum(levels.values()) == 400
    assert levels[-1] == pytest.approx(200, abs=40)


def test_vanished_requests_are_not_told() -> None:
    """Requests with the variant that vanish end nowhere, and nobody samples them."""
    crowd = a_crowd(users=400, vanished=1.0)
    found = told(a_stream(crowd))

    assert summed(found, "treatment", "ended") == summed(found, "treatment", "units") == 0
    assert summed(found, "control", "units") == pytest.approx(360, abs=20)


def test_lost_reports() -> None:
    """A share of reports is lost in both arms alike."""
    found = told(a_stream(a_crowd(Group(1.0, steady(0.5)))), a_view(50, lost=0.4))

    for arm in ("treatment", "control"):
        assert summed(found, arm, "bad") / summed(found, arm, "ended") == pytest.approx(0.5, rel=0.05)
    assert of_both(found, "ended") == pytest.approx(0.6 * 60_000, rel=0.03)


def test_two_views_share_the_requests() -> None:
    """Requests that are evaluated by an older state are told apart, at its exposure."""
    views = (a_view(50, epoch=1, share=0.25, delay_s=9.0), a_view(10, epoch=2, share=0.75))
    found = told(a_stream(a_crowd(Group(1.0, steady(0.2)), users=20_000)), *views)
    old, new = [[one for one in found if one.block.epoch == epoch] for epoch in (1, 2)]

    assert of_both(old, "ended") == pytest.approx(15_000, rel=0.05)
    assert of_both(new, "bad") == pytest.approx(0.2 * 45_000, rel=0.05)
    assert summed(old, "treatment", "bad") == pytest.approx(0.5 * of_both(old, "bad"), rel=0.1)
    assert {one.delay_s for one in old} == {9.0}


def test_a_batch_names_a_thousand_units_at_most() -> None:
    """Beyond the limit those with the smallest hashes are told, whatever their arm."""
    crowd = a_crowd(Group(1.0, steady(0.5)), rps=20_000, users=40_000)
    stream = a_stream(crowd, batches_a_second=1.0)
    (found,) = stream.blocks(0, 1, (a_view(50),), 0.0)

    named = found.block.treatment.failing + found.block.control.failing
    assert named == 1_000
    assert found.block.treatment.failing == pytest.approx(500, abs=70)
    assert of_both([found], "bad") == pytest.approx(10_000, rel=0.1)


def test_busy_users_fail_sooner() -> None:
    """With Pareto activity fewer units fail newly than requests do, and more of the busy ones."""
    equal = told(a_stream(a_crowd()), until_s=1_800)
    unequal = told(a_stream(a_crowd(activity=PARETO)), until_s=1_800)

    assert of_both(unequal, "failing") < of_both(equal, "failing")
    assert of_both(unequal, "bad") == pytest.approx(of_both(equal, "bad"), rel=0.15)
