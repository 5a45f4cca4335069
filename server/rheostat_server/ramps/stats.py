"""How evidence adds up: the kill process, the advance proofs, and what they need to speak.

Everything is in log space, so that thousands of failing users neither overflow nor underflow.

Source: GUARD.md, "The kill process (relative)" and "Advance only on proof"; Lindon & Malek, NeurIPS 2022;
Lindon, Sanden, Shirikian 2022 (arXiv 2205.14762); Shiryaev-Roberts for the onset.
"""

import math
from collections.abc import Sequence

from rheostat_server.ramps.memory import KillProcess, Proof

KILL_GRID = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
"""How many times worse the treatment may be than the control is allowed to be."""
RELATIVE_GRID = (0.5, 0.75, 1.0)
"""p_t / p_c under which the relative proof is looked for."""
ABSOLUTE_GRID = (0.1, 0.3, 0.6)
"""p_t / p_ok under which the absolute proof is looked for."""

RELATIVE_SHARE = 0.8
"""The part of α that the comparison with the control has where there is a ceiling too; the ceiling has the rest."""

PROOF_BAR = 5.0
"""A proof that reaches this errs with at most 1/5."""
HOLD_AT = 10.0
"""M from which nobody new is exposed."""
RELEASE_BELOW = 3.0
"""M below which that ends."""
FEWEST_FAILING_UNITS = 3
"""Distinct failing treatment units without which grade 1 kills nobody."""
FEWEST_EVENTS_PER_PHI = 5
"""Bad treatment requests, times φ, without which grade 3 kills nobody."""

ASSUMED_PHI = 5.0
"""Overdispersion of requests where there is no history to measure it from (grade 3)."""

LOG_PROOF_BAR = math.log(PROOF_BAR)
LOG_HOLD_AT = math.log(HOLD_AT)
LOG_RELEASE_BELOW = math.log(RELEASE_BELOW)

_LOG_KILL_GRID = tuple(math.log(g) for g in KILL_GRID)
_LOG_HALF_RELATIVE = tuple(math.log(q / 2) for q in RELATIVE_GRID)
_LOG_ABSOLUTE = tuple(math.log(q) for q in ABSOLUTE_GRID)
_NO_EVENTS = (0.0,) * len(KILL_GRID)
_FIRST_WEIGHT = 0.5
_ONSET_SCALE_S = 3600.0
_NO_LIMIT = 1_000


def log_add(a: float, b: float) -> float:
    """Return log(e^a + e^b)."""
    high, low = (a, b) if a >= b else (b, a)
    return high + math.log1p(math.exp(low - high))


def log_mean_exp(values: Sequence[float]) -> float:
    """Return log of the mean of e^v. ``values`` are finite and at least one."""
    high = max(values)
    return high + math.log(math.fsum(math.exp(v - high) for v in values) / len(values))


def onset_tail(t_s: float) -> float:
    """Return F(t) = 1 / ln(e + t / 1 h): the share of the onset's prior that lies after ``t_s`` ≥ 0 seconds."""
    return 1.0 / math.log(math.e + t_s / _ONSET_SCALE_S)


def onset_weight(process: KillProcess, t1_s: float, t2_s: float) -> float:
    """Return w of a block over (t1, t2] s since the first exposure.

    What was spent on an earlier block is not spent again: rows of an older epoch arrive beside newer ones of the
    same interval, and Σ w ≤ 1 must hold for M to stay a supermartingale.
    """
    if not process.log_s:
        return _FIRST_WEIGHT
    start = max(t1_s, process.until_s)
    return 0.5 * (onset_tail(start) - onset_tail(t2_s)) if t2_s > start else 0.0


def kill_step(
    process: KillProcess,
    *,
    treatment_events: int,
    control_events: int,
    treatment_n: float,
    control_n: float,
    phi: float = 1.0,
    rho0: float = 1.1,
    t1_s: float,
    t2_s: float,
) -> KillProcess:
    """Return the process after one block over (t1, t2] s since the first exposure.

    Events are newly failing units (grade 1, where the two n are x and 1 - x) or bad requests (grade 3, where they
    are requests). Where one arm has no n there is nothing to compare and the process is returned as it was.
    """
    if treatment_n <= 0 or control_n <= 0:
        return process
    events = treatment_events + control_events
    if events:
        base = control_n + treatment_n * rho0
        steps = tuple(
            (treatment_events * log_g + events * math.log(base / (control_n + treatment_n * g * rho0))) / phi
            for g, log_g in zip(KILL_GRID, _LOG_KILL_GRID, strict=True)
        )
    else:
        steps = _NO_EVENTS
    return mixture_step(
        process, steps, treatment_events=treatment_events, control_events=control_events, t1_s=t1_s, t2_s=t2_s
    )


def ceiling_step(
    process: KillProcess, *, bad: int, requests: int, ceiling: float, phi: float, t1_s: float, t2_s: float
) -> KillProcess:
    """Return the ceiling's process after ``requests`` treated requests: evidence against p_t ≤ ``ceiling``.

    L_g = exp((y·log g - (g - 1)·p_max·n) / φ), over the grid and the onsets of the kill process. Source: GUARD.md,
    "Absolute ceiling".
    """
    if requests <= 0:
        return process
    steps = tuple(
        (bad * log_g - (g - 1) * ceiling * requests) / phi for g, log_g in zip(KILL_GRID, _LOG_KILL_GRID, strict=True)
    )
    return mixture_step(process, steps, treatment_events=bad, control_events=0, t1_s=t1_s, t2_s=t2_s)


def mixture_step(
    process: KillProcess,
    steps: Sequence[float],
    *,
    treatment_events: int,
    control_events: int,
    t1_s: float,
    t2_s: float,
) -> KillProcess:
    """Return the process after a block over (t1, t2] whose log likelihood ratios over the grid are ``steps``.

    S_g ← (S_g + w)·L_g: whatever the grid, each onset has its weight w before it.
    """
    weight = onset_weight(process, t1_s, t2_s)
    log_weight = math.log(weight) if weight > 0 else -math.inf
    befores = process.log_s or (-math.inf,) * len(steps)
    return KillProcess(
        log_s=tuple(log_add(before, log_weight) + step for before, step in zip(befores, steps, strict=True)),
        spent=process.spent + weight,
        until_s=max(process.until_s, t2_s),
        treatment_events=process.treatment_events + treatment_events,
        control_events=process.control_events + control_events,
        carry=process.carry,
    )


def restarted(process: KillProcess) -> KillProcess:
    """Return a fresh process that begins at min(1, M): what was gained is gone, what was lost stays lost."""
    return KillProcess(carry=min(0.0, log_m(process)))


def log_m(process: KillProcess) -> float:
    """Return log M, the mean over the grid with what weight is left. It starts at ``carry`` (0: M = 1)."""
    if not process.log_s:
        return process.carry
    return process.carry + log_add(log_mean_exp(process.log_s), math.log1p(-process.spent))


def still_holds(log_value: float, *, held: bool) -> bool:
    """Whether a process holds the ramp: from 10 on, and until it is below 3."""
    return log_value >= LOG_HOLD_AT or (held and log_value >= LOG_RELEASE_BELOW)


def log_kill_bar(alpha: float, parts: int) -> float:
    """Return log(K / α), the line that log M must reach to kill."""
    return math.log(parts / alpha)


def relative_step(
    proof: Proof,
    *,
    treatment_events: int,
    control_events: int,
    treatment_n: float,
    control_n: float,
    phi: float = 1.0,
) -> Proof:
    """Return the proof with E moved by one block: evidence against p_t ≥ 2·p_c. Arguments as in ``kill_step``."""
    if treatment_n <= 0 or control_n <= 0:
        return proof
    events = treatment_events + control_events
    log_e = tuple(
        before
        + (
            treatment_events * _LOG_HALF_RELATIVE[i]
            + events * math.log((control_n + 2 * treatment_n) / (control_n + q * treatment_n))
        )
        / phi
        for i, (before, q) in enumerate(zip(proof.log_e, RELATIVE_GRID, strict=True))
    )
    return Proof(log_e=log_e, log_a=proof.log_a)


def absolute_step(proof: Proof, *, bad: int, requests: int, acceptable: float, phi: float = 1.0) -> Proof:
    """Return the proof with A moved by ``requests`` treated requests: evidence against p_t ≥ ``acceptable``."""
    log_a = tuple(
        before + (bad * _LOG_ABSOLUTE[i] + (1 - q) * acceptable * requests) / phi
        for i, (before, q) in enumerate(zip(proof.log_a, ABSOLUTE_GRID, strict=True))
    )
    return Proof(log_e=proof.log_e, log_a=log_a)


def failing_users_to_kill(x: float, alpha: float = 0.01, parts: int = 1, rho0: float = 1.1) -> int | None:
    """Return after how many failing users, none in control, a step at x kills; ``None`` where it never can.

    It is the fastest case: all of them in the first block. x is the treated share, 0 … 1.
    """
    if not 0 < x < 1:
        return None
    bar = log_kill_bar(alpha, parts)
    for users in range(FEWEST_FAILING_UNITS, _NO_LIMIT):
        process = kill_step(
            KillProcess(),
            treatment_events=users,
            control_events=0,
            treatment_n=x,
            control_n=1 - x,
            rho0=rho0,
            t1_s=0.0,
            t2_s=0.0,
        )
        if log_m(process) >= bar:
            return users
    return None


def requests_needed(
    proof: Proof, *, bad_rate: float, event_rate: float, acceptable: float, x: float, phi: float = 1.0
) -> float:
    """Return about how many more treated requests a proof needs, whichever of the two is nearer; infinity: none comes.

    It supposes that treated requests go on as the control's do: ``bad_rate`` of requests are bad, and a request brings
    ``event_rate`` of what the relative proof counts (grade 1: newly failing units). ``x`` is the treated share, 0 … 1;
    ``acceptable`` is p_ok. By a treated request the logs of the proofs then grow, as expected from their formulas in
    GUARD.md ("Advance only on proof"), by

        A_q: ((1 - q)·p_ok + bad_rate·log q) / φ
        E_q: event_rate·(log(q/2) + log((1 - x + 2x) / (1 - x + q·x)) / x) / φ

    for an event of the treatment comes with (1 - x)/x of the control. What is returned is where the mean over q, grown
    so from what ``proof`` has reached, is at the bar. Without errors that is exact, 2.26 / p_ok; near p_ok no
    absolute proof comes. Chance takes more than half of the harmless steps there sooner, and a tenth much later.
    """
    absolute = [
        ((1 - q) * acceptable + bad_rate * log_q) / phi for q, log_q in zip(ABSOLUTE_GRID, _LOG_ABSOLUTE, strict=True)
    ]
    relative = [0.0] * len(RELATIVE_GRID)
    if 0 < x < 1:
        relative = [
            event_rate * (log_half + math.log((1 + x) / (1 - x + q * x)) / x) / phi
            for q, log_half in zip(RELATIVE_GRID, _LOG_HALF_RELATIVE, strict=True)
        ]
    return min(_until_bar(proof.log_a, absolute), _until_bar(proof.log_e, relative))


def _until_bar(logs: Sequence[float], growths: Sequence[float]) -> float:
    """Return after how much growth the mean of e^log is at the bar of a proof; infinity: never."""
    if log_mean_exp(logs) >= LOG_PROOF_BAR:
        return 0.0
    # There at the latest one of them is at the bar by itself. The log of the mean is convex, so it crosses once.
    alone = LOG_PROOF_BAR + math.log(len(logs))
    low, high = (
        0.0,
        min((alone - log) / growth if growth > 0 else math.inf for log, growth in zip(logs, growths, strict=True)),
    )
    if high == math.inf:
        return high
    for _ in range(50):
        middle = (low + high) / 2
        grown = [log + growth * middle for log, growth in zip(logs, growths, strict=True)]
        low, high = (middle, high) if log_mean_exp(grown) < LOG_PROOF_BAR else (low, middle)
    return high
