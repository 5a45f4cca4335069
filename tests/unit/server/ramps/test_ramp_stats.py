"""The formulas of GUARD.md, held against evaluation with fifty digits."""

import math
import random
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat_server.ramps.memory import KillProcess, Proof
from rheostat_server.ramps.stats import (
    ABSOLUTE_GRID,
    KILL_GRID,
    LOG_PROOF_BAR,
    RELATIVE_GRID,
    absolute_step,
    failing_users_to_kill,
    kill_step,
    log_add,
    log_kill_bar,
    log_m,
    log_mean_exp,
    onset_tail,
    onset_weight,
    relative_step,
    requests_needed,
)
from tests.unit.server.ramps.ramp_builders import poisson

# (treatment events, control events, x, seconds that the block lasts)
blocks = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.integers(0, 400),
        st.sampled_from([0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.99]),
        st.sampled_from([0.0, 1.0, 15.0, 600.0, 40_000.0]),
    ),
    min_size=1,
    max_size=30,
)
phis = st.sampled_from([1.0, 5.0])


def walked(stream: list[tuple[int, int, float, float]], phi: float = 1.0) -> KillProcess:
    """The process after the stream."""
    process, at = KillProcess(), 0.0
    for treatment, control, x, lasts in stream:
        process = kill_step(
            process,
            treatment_events=treatment,
            control_events=control,
            treatment_n=x,
            control_n=1 - x,
            phi=phi,
            t1_s=at,
            t2_s=at + lasts,
        )
        at += lasts
    return process


def exact_log_m(stream: list[tuple[int, int, float, float]], phi: float) -> Decimal:
    """The recursion as GUARD.md writes it, without logarithms until the end."""

    def tail(t: Decimal) -> Decimal:
        return 1 / (Decimal(1).exp() + t / 3600).ln()

    rho0, half, power = Decimal("1.1"), Decimal("0.5"), 1 / Decimal(phi)
    sums = [Decimal(0) for _ in KILL_GRID]
    spent, at = Decimal(0), Decimal(0)
    for i, (treatment, control, x, lasts) in enumerate(stream):
        n_t, n_c = Decimal(x), Decimal(1 - x)
        until = at + Decimal(lasts)
        w = half if i == 0 else half * (tail(at) - tail(until))
        spent, at = spent + w, until
        for j, g in enumerate(map(Decimal, KILL_GRID)):
            ratio = (n_c + n_t * rho0) / (n_c + n_t * g * rho0)
            sums[j] = (sums[j] + w) * (g**treatment * ratio ** (treatment + control)) ** power
    return (sum(sums, Decimal(0)) / len(sums) + 1 - spent).ln()


@given(stream=blocks, phi=phis)
def test_kill_process_equals_its_formula(stream: list[tuple[int, int, float, float]], phi: float) -> None:
    """The code in log space agrees with the formula to ten digits on any stream."""
    with localcontext() as context:
        context.prec = 50
        context.Emin, context.Emax = -999_999_999, 999_999_999
        expected = float(exact_log_m(stream, phi))

    assert log_m(walked(stream, phi)) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@given(stream=blocks, phi=phis)
def test_proofs_equal_their_formulas(stream: list[tuple[int, int, float, float]], phi: float) -> None:
    """Both proofs agree with their formulas to ten digits on any stream."""
    proof = Proof()
    with localcontext() as context:
        context.prec = 50
        e, a = [Decimal(0)] * 3, [Decimal(0)] * 3
        for treatment, control, x, _ in stream:
            requests = 10 * treatment + 7
            proof = relative_step(
                proof, treatment_events=treatment, control_events=control, treatment_n=x, control_n=1 - x, phi=phi
            )
            proof = absolute_step(proof, bad=treatment, requests=requests, acceptable=0.005, phi=phi)
            n_t, n_c = Decimal(x), Decimal(1 - x)
            for i, q in enumerate(map(Decimal, RELATIVE_GRID)):
                ratio = (n_c + 2 * n_t) / (n_c + q * n_t)
                e[i] += (treatment * (q / 2).ln() + (treatment + control) * ratio.ln()) / Decimal(phi)
            for i, q in enumerate(map(Decimal, ABSOLUTE_GRID)):
                a[i] += (treatment * q.ln() + (1 - q) * Decimal("0.005") * requests) / Decimal(phi)

    assert proof.log_e == pytest.approx([float(v) for v in e], rel=1e-10, abs=1e-9)
    assert proof.log_a == pytest.approx([float(v) for v in a], rel=1e-10, abs=1e-9)


@given(stream=blocks, phi=phis, at=st.integers(0, 29), more=st.integers(1, 5))
def test_more_treatment_failures_never_lower_m(
    stream: list[tuple[int, int, float, float]], phi: float, at: int, more: int
) -> None:
    """One more bad treatment event anywhere never lowers M."""
    worse = list(stream)
    i = at % len(stream)
    treatment, control, x, lasts = stream[i]
    worse[i] = (treatment + more, control, x, lasts)

    assert log_m(walked(worse, phi)) >= log_m(walked(stream, phi)) - 1e-12


@given(stream=blocks, at=st.integers(0, 29))
def test_more_treatment_failures_never_help_a_proof(stream: list[tuple[int, int, float, float]], at: int) -> None:
    """One more bad treatment event never brings a proof nearer."""
    treatment, control, x, _ = stream[at % len(stream)]

    def proof(events: int) -> Proof:
        relative = relative_step(
            Proof(), treatment_events=events, control_events=control, treatment_n=x, control_n=1 - x
        )
        return absolute_step(relative, bad=events, requests=1_000, acceptable=0.005)

    assert all(
        after <= before for before, after in zip(proof(treatment).log_e, proof(treatment + 1).log_e, strict=True)
    )
    assert all(after < before for before, after in zip(proof(treatment).log_a, proof(treatment + 1).log_a, strict=True))


@given(stream=blocks)
def test_onset_weight_is_never_overspent(stream: list[tuple[int, int, float, float]]) -> None:
    """The weights of all blocks sum to less than 1, also when blocks of two epochs cover the same time."""
    process = walked(stream + stream)
    again = kill_step(
        process, treatment_events=0, control_events=0, treatment_n=0.1, control_n=0.9, t1_s=0.0, t2_s=process.until_s
    )

    assert 0.5 <= process.spent < 1
    assert again.spent == process.spent
    assert again.log_s == process.log_s


def test_late_block_of_an_earlier_time_gives_no_weight_back() -> None:
    """After a block that ends earlier than the last one, the next one spends only what is new."""
    process = walked([(0, 0, 0.1, 15.0), (0, 0, 0.1, 15.0)])
    late = kill_step(process, treatment_events=0, control_events=0, treatment_n=0.1, control_n=0.9, t1_s=0.0, t2_s=10.0)

    assert late.until_s == 30
    assert onset_weight(late, 0, 45) == onset_weight(process, 30, 45)


@pytest.mark.parametrize(("x", "users"), [(0.001, 3), (0.01, 3), (0.05, 3), (0.1, 4), (0.25, 6), (0.5, 11)])
def test_users_to_kill_are_those_that_are_published(x: float, users: int) -> None:
    """A step can kill after 3 failing users at up to 5 %, after 4 at 10 %, 6 at 25 % and 11 at 50 %."""
    assert failing_users_to_kill(x) == users


def test_more_parts_of_the_budget_need_more_users() -> None:
    """A ramp whose α is shared by several guardrails needs at least as many failing users."""
    assert failing_users_to_kill(0.25, parts=10) == 8


@pytest.mark.parametrize("x", [0.0, 1.0, 0.999])
def test_no_number_of_users_kills_where_there_is_nobody_to_compare_with(x: float) -> None:
    """With no control, or next to none, no number of failing users kills."""
    assert failing_users_to_kill(x) is None


@pytest.mark.parametrize(("treatment_n", "control_n"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_one_empty_arm_moves_nothing_relative(treatment_n: float, control_n: float) -> None:
    """Without one of the arms neither the kill process nor the relative proof moves."""
    sizes = {"treatment_n": treatment_n, "control_n": control_n}

    assert kill_step(KillProcess(), treatment_events=9, control_events=0, **sizes, t1_s=0, t2_s=9) == KillProcess()
    assert relative_step(Proof(), treatment_events=9, control_events=0, **sizes) == Proof()


def test_m_starts_at_one_and_stays_there_while_nothing_fails() -> None:
    """M is 1 before the first block and after any number of blocks without a failure."""
    assert log_m(KillProcess()) == 0
    assert log_m(walked([(0, 0, 0.1, 15.0)] * 500)) == pytest.approx(0, abs=1e-12)


def test_carry_multiplies_m() -> None:
    """What an earlier process ended at multiplies M, before and after evidence."""
    carried = KillProcess(carry=math.log(0.25))
    after = kill_step(carried, treatment_events=3, control_events=0, treatment_n=0.1, control_n=0.9, t1_s=0, t2_s=15)
    plain = kill_step(
        KillProcess(), treatment_events=3, control_events=0, treatment_n=0.1, control_n=0.9, t1_s=0, t2_s=15
    )

    assert log_m(carried) == pytest.approx(math.log(0.25))
    assert log_m(after) == pytest.approx(log_m(plain) + math.log(0.25))


def test_millions_of_events_stay_finite() -> None:
    """A million failures on either side neither overflow nor become minus infinity."""
    for treatment, control in ((1_000_000, 0), (0, 1_000_000)):
        process = walked([(treatment, control, 0.5, 15.0)] * 3)

        assert all(math.isfinite(value) for value in process.log_s)
        assert math.isfinite(log_m(process))


def test_first_block_gets_half_and_later_ones_their_share_of_the_tail() -> None:
    """The weights are those of GUARD.md: 0.5, then 0.5·(F(t1) - F(t2)) with F(0) = 1."""
    assert onset_tail(0) == 1
    assert onset_weight(KillProcess(), 0, 15) == 0.5
    first = walked([(0, 0, 0.1, 15.0)])
    assert onset_weight(first, 15, 30) == 0.5 * (onset_tail(15) - onset_tail(30))
    assert onset_weight(first, 0, 30) == onset_weight(first, 15, 30)


def test_logs_of_sums() -> None:
    """Sums are taken in log space without losing the smaller part or overflowing."""
    assert log_add(-math.inf, 1.5) == 1.5
    assert log_add(math.log(2), math.log(3)) == pytest.approx(math.log(5))
    assert log_mean_exp([2_000.0, 2_000.0]) == 2_000.0
    assert log_kill_bar(0.01, 2) == pytest.approx(math.log(200))


def needed(rate: float, x: float = 0.01, proof: Proof = Proof()) -> float:  # noqa: B008 - frozen
    """Treated requests to a proof of 0.5 %, where each bad request is another unit's."""
    return requests_needed(proof, bad_rate=rate, event_rate=rate, acceptable=0.005, x=x)


def test_requests_needed_are_exact_where_nothing_fails() -> None:
    """So many clean requests bring the absolute proof to its bar, and one less does not."""
    requests = math.ceil(needed(0.0))
    proof = absolute_step(Proof(), bad=0, requests=requests, acceptable=0.005)
    before = absolute_step(Proof(), bad=0, requests=requests - 1, acceptable=0.005)

    assert requests == 453
    assert log_mean_exp(before.log_a) < LOG_PROOF_BAR <= log_mean_exp(proof.log_a)
    half = absolute_step(Proof(), bad=0, requests=200, acceptable=0.005)
    assert needed(0.0, proof=half) == pytest.approx(needed(0.0) - 200)
    assert needed(0.0, proof=proof) == 0


def test_requests_needed_grow_with_errors_until_the_relative_proof_is_nearer() -> None:
    """The proofs, moved by as many bad requests as the control's rate brings, are at their bars then."""
    few = needed(0.001)
    absolute = absolute_step(Proof(), bad=10, requests=10_000, acceptable=0.005)
    grown = [log * few / 10_000 for log in absolute.log_a]
    assert few > needed(0.0)
    assert log_mean_exp(grown) == pytest.approx(LOG_PROOF_BAR)

    usual = needed(0.005, x=0.25)
    relative = relative_step(Proof(), treatment_events=50, control_events=150, treatment_n=0.25, control_n=0.75)
    assert log_mean_exp([log * usual / 10_000 for log in relative.log_e]) == pytest.approx(LOG_PROOF_BAR)
    assert needed(0.05, x=0.25) == pytest.approx(usual / 10)


def test_requests_needed_are_more_where_the_control_is_small() -> None:
    """A treated request brings less of the control to compare with the more are exposed; with nobody left, nothing."""
    assert needed(0.005, x=0.01) < needed(0.005, x=0.25) < needed(0.005, x=0.5)
    assert needed(0.005, x=1.0) == needed(0.005, x=0.0) == math.inf


def test_half_of_the_harmless_steps_are_proved_within_the_estimate() -> None:
    """Chance proves more than half of the steps sooner than on average, and few very much sooner."""
    draw, sooner, far = random.Random(3), 0, needed(0.002)
    for _ in range(100):
        proof, requests = Proof(), 0
        while requests < far and max(log_mean_exp(proof.log_e), log_mean_exp(proof.log_a)) < LOG_PROOF_BAR:
            bad, others = poisson(draw, 20 * 0.002), poisson(draw, 1_980 * 0.002)
            requests += 20
            proof = absolute_step(proof, bad=bad, requests=20, acceptable=0.005)
            proof = relative_step(proof, treatment_events=bad, control_events=others, treatment_n=0.01, control_n=0.99)
        sooner += requests < far

    assert 55 <= sooner <= 95
