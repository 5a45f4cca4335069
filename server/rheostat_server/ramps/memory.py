"""What the rule remembers of the evidence between two observations: a few floats, saved with the state."""

import enum

import msgspec


class KillProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process that grows with harm and mixes over the onset: GUARD.md, "The kill process (relative)".

    ``log_s`` are log S_g over the grid (empty: minus infinity everywhere, nothing seen). ``spent`` is Σ w.
    ``until_s`` is the time since the first exposure up to which weight was spent. ``treatment_events``
    and ``control_events`` are what was counted in (grade 1: units; requests: bad requests).
    ``carry`` is log of the multiplier taken over from an earlier grade or process (≤ 0).
    """

    log_s: tuple[float, ...] = ()
    spent: float = 0.0
    until_s: float = 0.0
    treatment_events: int = 0
    control_events: int = 0
    carry: float = 0.0


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The advance proofs of one guardrail in the present step: log E_q and log A_q over their grids."""

    log_e: tuple[float, ...] = (0.0, 0.0, 0.0)
    log_a: tuple[float, ...] = (0.0, 0.0, 0.0)


class Retreat(enum.StrEnum):
    """What came of a crossed ceiling."""

    NONE = "none"
    PROBE = "probe"
    """One level back for two minutes, to see whether the arms recover."""
    STAY = "stay"
    """Both arms recovered: a person has to find out why."""
    WAIT = "wait"
    """They did not: it is not the change, and the ramp goes on when it is over."""


class CeilingMemory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The absolute ceiling of one guardrail.

    ``log_c`` is the log of its process. ``since_ms`` is when the present stretch of the retreat began; the counts are
    the requests of both arms in it.
    """

    process: KillProcess = KillProcess()
    log_c: float = 0.0
    retreat: Retreat = Retreat.NONE
    since_ms: int = 0
    treatment_ended: int = 0
    treatment_bad: int = 0
    control_ended: int = 0
    control_bad: int = 0


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Half a minute of the crash clause: requests of both arms, treated units seen, sampled badly and newly failing.

    ``until_ms`` is the end of the last block in it.
    """

    until_ms: int
    treatment_ended: int = 0
    treatment_bad: int = 0
    seen: int = 0
    units: int = 0
    units_bad: int = 0
    failing: int = 0
    control_ended: int = 0
    control_bad: int = 0


class CrowdMemory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What SDK reports say of the ramp as a whole.

    - ``arrivals``: (exposure in ppm, units that it exposes at least) of the arrivals while arming.
    - ``missing``, ``log_missing``, ``missing_holds``: the process of missing users; ``expected`` treated arrivals, had
      they come as the control's did.
    - ``recount``, ``log_recount``, ``recount_holds``: the process M_h of units that fail again; ``recounted`` Σk and
      ``recounted_squares`` Σk² since arming began.
    - ``active``, ``active_failed``: control units seen in the ramp, and those of them that failed by now;
      ``users``: units seen in either arm.
    - ``armed_requests``: requests of (treatment, control) while arming; ``step_requests``: those of the step.
    - ``step_treatment``, ``step_control``: distinct units of the step; ``log_srm`` how badly they fit x.
      ``srm_stepped_back`` says that this has cost a level already; a person has to go on from there.
    - ``stretches``: the last five minutes of the epoch; ``crashed``: what came last makes it a crash.
    - ``arrivals_before``: those of earlier stages of a rolling ramp, which are not among ``arrivals``.
    - ``coverage`` as told last; ``vanished_ms`` when an instance last fell silent without a goodbye.
    """

    arrivals: tuple[tuple[int, int], ...] = ()
    missing: KillProcess = KillProcess()
    log_missing: float = 0.0
    missing_holds: bool = False
    expected: float = 0.0
    recount: KillProcess = KillProcess()
    log_recount: float = 0.0
    recount_holds: bool = False
    recounted: int = 0
    recounted_squares: int = 0
    active: int = 0
    active_failed: int = 0
    users: int = 0
    armed_requests: tuple[int, int] = (0, 0)
    step_requests: tuple[int, int] = (0, 0)
    step_treatment: int = 0
    step_control: int = 0
    log_srm: float = 0.0
    srm_stepped_back: bool = False
    stretches: tuple[Stretch, ...] = ()
    crashed: bool = False
    coverage: float | None = None
    vanished_ms: int | None = None
    arrivals_before: tuple[tuple[int, int], ...] = ()
