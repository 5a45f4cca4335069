"""Plans that end earlier than their steps, or begin later."""

import pytest

from rheostat.model.shares import percent_to_ppm
from rheostat_server.errors import Invalid
from rheostat_server.ramps.cutting import beginning_at, cut_at
from rheostat_server.ramps.model import Gate, Step
from tests.unit.server.ramps.test_ramp_plan import a_document, faults, planned

STEPS = (
    Step(exposure_ppm=10_000, min_dwell_s=1),
    Step(exposure_ppm=100_000, min_dwell_s=2, gate=Gate.MANUAL),
    Step(exposure_ppm=500_000, min_dwell_s=3, max_dwell_s=9, gate=Gate.MANUAL),
)


def cut(percent: float | None, *, above: float = 0) -> list[tuple[int, float, Gate]]:
    """The steps that are left: exposure in percent, dwell, gate."""
    last = None if percent is None else percent_to_ppm(percent)
    return [
        (step.exposure_ppm // 10_000, step.min_dwell_s, step.gate)
        for step in cut_at(STEPS, last, above_ppm=percent_to_ppm(above))
    ]


def test_steps_above_the_end_are_cut() -> None:
    """A step at the end stays as it is; without an end all of them do."""
    assert cut(10) == [(1, 1, Gate.NONE), (10, 2, Gate.MANUAL)]
    assert cut(None) == cut(50)


def test_an_end_between_two_steps_becomes_a_step() -> None:
    """It dwells as the one above it would have; the manual gate of that one is not its own."""
    assert cut(20) == [(1, 1, Gate.NONE), (10, 2, Gate.MANUAL), (20, 3, Gate.NONE)]
    assert cut_at(STEPS, 200_000, above_ppm=0)[-1].max_dwell_s == 9
    assert cut(0.5) == [(0, 1, Gate.NONE)]


def test_an_end_above_all_steps_becomes_the_last() -> None:
    """It dwells as the last one."""
    assert cut(100)[-1] == (100, 3, Gate.NONE)


def test_an_end_that_is_in_force_leaves_nothing() -> None:
    """No step is put in at or below the exposure in force; neither where there are no steps at all."""
    assert cut(0.5, above=0.5) == []
    assert cut_at((), 200_000, above_ppm=300_000) == ()
    assert cut_at((), 200_000, above_ppm=0) == ()


def test_a_document_may_say_where_it_ends() -> None:
    """Of its own steps and of the default ones; at or below what is in force it cannot be planned."""
    assert [step.exposure_ppm for step in planned(a_document(1, 50, to=20)).steps] == [10_000, 200_000]
    assert [step.exposure_ppm for step in planned(a_document(to=10)).steps] == [10_000, 50_000, 100_000]
    [fault] = faults(a_document(1, 50, to=20), start_ppm=200_000)
    assert "every step is at or below the exposure in force, 20 %" in fault.message


def test_faults_name_the_step_as_it_was_written() -> None:
    """Where the first steps are skipped and the last cut, too few users are found at the right one."""
    [fault] = faults(a_document(1, 2, 50, 100, to=60, users=60), start_ppm=10_000)

    assert fault.path == "steps[1]"


def test_a_plan_begins_at_one_of_its_steps() -> None:
    """The steps below it are left out."""
    plan = planned(a_document(1, 5, 25))

    assert [step.exposure_ppm for step in beginning_at(plan, 50_000).steps] == [50_000, 250_000]
    assert beginning_at(plan, 10_000) == plan


@pytest.mark.parametrize("percent", [2, 30, 0])
def test_a_plan_does_not_begin_between_its_steps(percent: float) -> None:
    """The fault names the steps that there are."""
    plan = planned(a_document(1, 5, 25))

    with pytest.raises(Invalid) as caught:
        beginning_at(plan, percent_to_ppm(percent))

    [fault] = caught.value.faults
    assert (fault.path, fault.hint) == ("from", "there are 1 %, 5 %, 25 %")
