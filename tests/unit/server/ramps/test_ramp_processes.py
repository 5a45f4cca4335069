"""The processes beside the kill process, held against evaluation with fifty digits."""

import math
import random
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat_server.ramps.memory import KillProcess
from rheostat_server.ramps.silence import MISSING_GRID, TOLERATED, expected_share, missing_step
from rheostat_server.ramps.srm import LOG_SRM_ALARM, log_srm
from rheostat_server.ramps.stats import KILL_GRID, ceiling_step, log_m, restarted, still_holds

spans = st.sampled_from([1.0, 15.0, 600.0])
arrivals = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 200), st.sampled_from([0.01, 0.1, 0.5, 0.9]), spans),
    min_size=1,
    max_size=20,
)
requests = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3_000), spans), min_size=1, max_size=20)


def mixed(ratios: list[list[Decimal]], lasts: list[float]) -> Decimal:
    """M of likelihood ratios, a list over the grid for each block, as GUARD.md writes it."""

    def tail(t: Decimal) -> Decimal:
        return 1 / (Decimal(1).exp() + t / 3600).ln()

    half, spent, at = Decimal("0.5"), Decimal(0), Decimal(0)
    sums = [Decimal(0)] * len(ratios[0])
    for i, (block, length) in enumerate(zip(ratios, lasts, strict=True)):
        until = at + Decimal(length)
        w = half if i == 0 else half * (tail(at) - tail(until))
        spent, at = spent + w, until
        sums = [(s + w) * ratio for s, ratio in zip(sums, block, strict=True)]
    return sum(sums, Decimal(0)) / len(sums) + 1 - spent


@given(stream=arrivals)
def test_missing_users_equal_their_formula(stream: list[tuple[int, int, float, float]]) -> None:
    """The code in log space agrees with the formula to ten digits on any stream."""
    process, at = KillProcess(), 0.0
    for treatment, control, share, lasts in stream:
        process = missing_step(process, treatment=treatment, control=control, share=share, t1_s=at, t2_s=at + lasts)
        at += lasts
    with localcontext() as context:
        context.prec = 50
        context.Emin, context.Emax = -999_999_999, 999_999_999
        ratios = []
        for treatment, control, share, _ in stream:
            s, tolerated = Decimal(share), Decimal(TOLERATED)
            base = 1 - s + tolerated * s
            grid = [Decimal(str(d)) for d in MISSING_GRID]
            ratios.append([d**treatment * (base / (1 - s + tolerated * s * d)) ** (treatment + control) for d in grid])
        expected = float(mixed(ratios, [lasts for *_, lasts in stream]).ln())

    assert log_m(process) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@given(stream=requests, phi=st.sampled_from([1.0, 5.0]))
def test_ceiling_equals_its_formula(stream: list[tuple[int, int, float]], phi: float) -> None:
    """The code in log space agrees with the formula to ten digits on any stream."""
    process, at = KillProcess(), 0.0
    for bad, ended, lasts in stream:
        process = ceiling_step(process, bad=bad, requests=ended, ceiling=0.01, phi=phi, t1_s=at, t2_s=at + lasts)
        at += lasts
    with localcontext() as context:
        context.prec = 50
        context.Emin, context.Emax = -999_999_999, 999_999_999
        ratios = [
            [
                ((bad * g.ln() - (g - 1) * Decimal("0.01") * ended) / Decimal(phi)).exp()
                for g in (Decimal(g) for g in KILL_GRID)
            ]
            for bad, ended, _ in stream
        ]
        expected = float(mixed(ratios, [lasts for *_, lasts in stream]).ln())

    assert log_m(process) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@given(treatment=st.integers(0, 300), control=st.integers(0, 300), percent=st.sampled_from([1, 10, 50, 99]))
def test_sample_ratio_equals_its_formula(treatment: int, control: int, percent: int) -> None:
    """E agrees with the ratio of Beta functions, evaluated as products with fifty digits."""
    with localcontext() as context:
        context.prec = 50
        a, b, x = 10 * percent, 1000 - 10 * percent, Decimal(percent) / 100
        value = Decimal(1)
        for i in range(treatment):
            value *= Decimal(a + i) / (a + b + i) / x
        for i in range(control):
            value *= Decimal(b + i) / (a + b + treatment + i) / (1 - x)
        expected = float(value.ln())

    assert log_srm(treatment, control, percent / 100) == pytest.approx(expected, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("x", [0.0, 1.0])
def test_no_sample_ratio_where_one_arm_is_empty(x: float) -> None:
    """At x = 0 and x = 1 there is nothing to compare."""
    assert log_srm(500, 500, x) == 0.0


def test_arms_of_the_right_size_never_alarm() -> None:
    """Of 300 crowds that fall to the arms as the exposure says hardly one ever looks wrong; a tenth short soon does."""
    alarms = 0
    for seed in range(300):
        draw, arms = random.Random(seed), [0, 0]
        for _ in range(2_000):
            arms[draw.random() < 0.1] += 1
            if log_srm(arms[1], arms[0], 0.1) >= LOG_SRM_ALARM:
                alarms += 1
                break

    assert alarms <= 2
    assert log_srm(4_500, 5_000, 0.5) >= LOG_SRM_ALARM


def test_expected_share_is_what_arming_saw_of_the_cohort() -> None:
    """s comes from those who arrived while arming and will be exposed; x alone counts as much as 50 of them."""
    assert expected_share((), 50_000, 0.05) == 0.05
    seen = ((-1, 700), (50_000, 100), (250_000, 200))
    assert expected_share(seen, 50_000, 0.05) == (100 + 2.5) / 1_050
    assert expected_share(seen, 250_000, 0.25) == (300 + 12.5) / 1_050


def test_users_who_come_as_they_should_are_not_missed() -> None:
    """Over arrivals as they should be M_d reaches 100 in at most 1 % of streams; total loss is seen in no time."""
    crossed = 0
    for seed in range(300):
        draw, process = random.Random(seed), KillProcess()
        for minute in range(60):
            treated = sum(draw.random() < 0.1 for _ in range(30))
            process = missing_step(
                process, treatment=treated, control=30 - treated, share=0.1, t1_s=60.0 * minute, t2_s=60.0 * minute + 60
            )
            if log_m(process) >= math.log(100):
                crossed += 1
                break
    gone = missing_step(KillProcess(), treatment=0, control=270, share=0.1, t1_s=0.0, t2_s=300.0)

    assert crossed <= 3
    assert log_m(gone) >= math.log(100)


@given(stream=requests, at=st.integers(0, 19), more=st.integers(1, 5))
def test_more_bad_requests_never_lower_a_ceiling(stream: list[tuple[int, int, float]], at: int, more: int) -> None:
    """One more bad request anywhere never lowers the ceiling's process."""

    def walked(blocks: list[tuple[int, int, float]]) -> float:
        process, now = KillProcess(), 0.0
        for bad, ended, lasts in blocks:
            process = ceiling_step(process, bad=bad, requests=ended, ceiling=0.01, phi=5.0, t1_s=now, t2_s=now + lasts)
            now += lasts
        return log_m(process)

    i = at % len(stream)
    bad, ended, lasts = stream[i]
    worse = [*stream[:i], (bad + more, ended, lasts), *stream[i + 1 :]]

    assert walked(worse) >= walked(stream) - 1e-12


def test_no_request_moves_no_ceiling() -> None:
    """Without a treated request the process stays as it was."""
    assert ceiling_step(KillProcess(), bad=0, requests=0, ceiling=0.01, phi=1.0, t1_s=0, t2_s=9) == KillProcess()


def test_a_restart_keeps_what_was_lost_and_not_what_was_gained() -> None:
    """A fresh process begins at min(1, M)."""
    lost = KillProcess(log_s=(-9.0,) * 6, spent=0.5)
    gained = KillProcess(log_s=(9.0,) * 6, spent=0.5)

    assert log_m(restarted(lost)) == pytest.approx(log_m(lost))
    assert restarted(gained) == KillProcess()


def test_holds_begin_at_ten_and_end_below_three() -> None:
    """Between the two lines a hold lasts, and none begins."""
    assert [still_holds(math.log(m), held=False) for m in (2.9, 9.9, 10.1)] == [False, False, True]
    assert [still_holds(math.log(m), held=True) for m in (2.9, 3.1, 10.1)] == [False, True, True]
