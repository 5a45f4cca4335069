"""What a rollout gives each unit, with the ramp and the kill that stand over it."""

from mmh3 import mmh3_32_uintdigest

from rheostat.engine.attributes import unit_reader, unit_remark
from rheostat.engine.cells import Cell, by_cell, exposure_of
from rheostat.engine.hashing import (
    PLACE_SEED,
    compile_split,
    exposed_below,
    first_hash,
    hash32,
    held_from,
    utf8,
)
from rheostat.engine.programs import Outcomes, Pass, Program, Scope
from rheostat.model.context import TARGETING_KEY, Context
from rheostat.model.evaluation import Arm, Evaluation, Reason
from rheostat.model.flag import Rollout
from rheostat.model.ramp import RampOverlay
from rheostat.model.shares import TOTAL_PPM


def compile_rollout(
    outcomes: Outcomes,
    rollout: Rollout,
    rule: str | None,
    overlay: RampOverlay | None = None,
    *,
    killed: bool = False,
    stale: bool = False,
) -> Program:
    """Return the rollout's program.

    The overlay's exposure and holdback are in force over the rollout's exposure, also when the overlay is not
    live; only a live one gives arms. A kill wins over both: exposure 0, and no arm. ``stale``: the snapshot is
    older than the flag allows, so a ramping rollout gives everyone its fallback without an arm. Which of all this a
    rollout needs is settled here, and not when it is asked.
    """
    cells = None if overlay is None or killed else overlay.cells
    if overlay is not None and overlay.live and not killed:
        if stale:
            answer = outcomes.fallback(rollout.fallback, Reason.STALE, rule)
            return lambda context, scope, run: answer
        if overlay.baseline is not None:
            return _compared(outcomes, rollout, rule, overlay, overlay.baseline)

        def ramping(exposure_ppm: int, arm_ppm: int | None) -> Program:
            return _ramping(outcomes, rollout, rule, overlay, exposure_ppm=exposure_ppm, arm_ppm=arm_ppm)

        if cells is None:
            return ramping(overlay.exposure_ppm, overlay.arm_ppm)
        drawn = {Cell.NOW: overlay.arm_ppm}
        return by_cell(cells, {cell: ramping(exposure_of(overlay, cell), drawn.get(cell)) for cell in Cell})
    reason = Reason.STALE if stale else Reason.SPLIT

    def fixed(cell: Cell | None) -> Program:
        exposure_ppm, holdback_ppm = shares_in_force(rollout, overlay, killed=killed, cell=cell)
        return _fixed_share(outcomes, rollout, rule, reason, exposure_ppm=exposure_ppm, holdback_ppm=holdback_ppm)

    return fixed(None) if cells is None else by_cell(cells, {cell: fixed(cell) for cell in Cell})


def shares_in_force(
    rollout: Rollout, overlay: RampOverlay | None, *, killed: bool, cell: Cell | None = None
) -> tuple[int, int]:
    """Return the exposure and the holdback that stand, in ppm; ``cell`` is of the users that are asked about."""
    exposure_ppm, holdback_ppm = rollout.exposure_ppm, 0
    if overlay is not None:
        exposure_ppm, holdback_ppm = exposure_of(overlay, cell), overlay.holdback_ppm
    return 0 if killed else exposure_ppm, holdback_ppm


def _fixed_share(
    outcomes: Outcomes, rollout: Rollout, rule: str | None, reason: Reason, *, exposure_ppm: int, holdback_ppm: int
) -> Program:
    low, high = rollout.low, rollout.high
    below = min(exposed_below(low, high, exposure_ppm), held_from(low, high, holdback_ppm))
    start, end = first_hash(low), first_hash(below)
    missing, salted, seed = _missing(outcomes, rollout, rule, reason), f"{rollout.salt}/", PLACE_SEED
    given = _given(outcomes, rollout, rule, reason)
    rest = given[None]
    weighted = [variant for variant, weight in rollout.split.items() if weight > 0]

    if len(weighted) <= 1 and rollout.bucket_by == TARGETING_KEY:
        only = given[weighted[0]] if weighted else rest

        # The commonest rollout by far, so its path is written out: one hash, two comparisons, nothing made.
        def simple(context: Context, scope: Scope, run: Pass | None) -> Evaluation:
            unit = context.targeting_key
            if unit is None:
                return missing
            try:
                hashed = mmh3_32_uintdigest((salted + unit).encode(), seed)
            except UnicodeEncodeError:
                hashed = mmh3_32_uintdigest(utf8(salted + unit), seed)
            return only if hashed < end else rest

        def ranged(context: Context, scope: Scope, run: Pass | None) -> Evaluation:
            unit = context.targeting_key
            return missing if unit is None else only if start <= hash32(salted + unit, seed) < end else rest

        return ranged if start else simple

    choose, unit_of = compile_split(rollout.split), unit_reader(rollout.bucket_by)
    strange_unit = unit_remark(rollout.bucket_by)

    def program(context: Context, scope: Scope, run: Pass | None) -> Evaluation:
        unit = unit_of(context)
        if unit is None:
            strange_unit(context, scope.strange)
            return missing
        data = utf8(salted + unit)
        return given[choose(data)] if start <= mmh3_32_uintdigest(data, seed) < end else rest

    return program


def _ramping(
    outcomes: Outcomes,
    rollout: Rollout,
    rule: str | None,
    overlay: RampOverlay,
    *,
    exposure_ppm: int,
    arm_ppm: int | None,
) -> Program:
    """Return what exposes at this share, with arms drawn at ``arm_ppm``: ``None`` gives none."""
    low, high = rollout.low, rollout.high
    exposed = exposed_below(low, high, exposure_ppm)
    treated = None if arm_ppm is None else exposed_below(low, high, arm_ppm)
    held = held_from(low, high, overlay.holdback_ppm)
    missing, salted, seed = _missing(outcomes, rollout, rule, Reason.SPLIT), f"{rollout.salt}/", PLACE_SEED
    given, choose = _given(outcomes, rollout, rule, Reason.SPLIT), compile_split(rollout.split)
    rest, unit_of, strange_unit = given[None], unit_reader(rollout.bucket_by), unit_remark(rollout.bucket_by)
    key, version, metadata = outcomes.flag.key, outcomes.flag.version, outcomes.flag.metadata
    split, treatment, control = Reason.SPLIT, Arm.TREATMENT, Arm.CONTROL
    holdback = None if treated is None else Arm.HOLDBACK

    def program(context: Context, scope: Scope, run: Pass | None) -> Evaluation:
        unit = unit_of(context)
        if unit is None:
            strange_unit(context, scope.strange)
            return missing
        data = utf8(salted + unit)
        place = mmh3_32_uintdigest(data, seed) * TOTAL_PPM >> 32
        if not low <= place < high:
            return rest
        if place >= held:
            answer, arm = rest, holdback
        else:
            answer = given[choose(data)] if place < exposed else rest
            arm = None if treated is None else treatment if place < treated else control
        return Evaluation(
            key, answer.value, answer.variant, split, None, None, rule, overlay, arm, unit, place, version, metadata
        )

    return program


def _compared(outcomes: Outcomes, rollout: Rollout, rule: str | None, overlay: RampOverlay, baseline: str) -> Program:
    """Return what compares, among the exposed, all other variants with the baseline. The others have no arm."""
    low, high = rollout.low, rollout.high
    exposed, drawn = exposed_below(low, high, overlay.exposure_ppm), exposed_below(low, high, overlay.arm_ppm)
    held = held_from(low, high, overlay.holdback_ppm)
    missing, salted, seed = _missing(outcomes, rollout, rule, Reason.SPLIT), f"{rollout.salt}/", PLACE_SEED
    given, choose = _given(outcomes, rollout, rule, Reason.SPLIT), compile_split(rollout.split)
    rest, unit_of, strange_unit = given[None], unit_reader(rollout.bucket_by), unit_remark(rollout.bucket_by)
    key, version, metadata = outcomes.flag.key, outcomes.flag.version, outcomes.flag.metadata
    split, treatment, control = Reason.SPLIT, Arm.TREATMENT, Arm.CONTROL

    def program(context: Context, scope: Scope, run: Pass | None) -> Evaluation:
        unit = unit_of(context)
        if unit is None:
            strange_unit(context, scope.strange)
            return missing
        data = utf8(salted + unit)
        place = mmh3_32_uintdigest(data, seed) * TOTAL_PPM >> 32
        if not low <= place < high:
            return rest
        answer, arm = rest, None
        if place < held:
            variant = choose(data)
            if place < exposed:
                answer = given[variant]
            if place < drawn:
                arm = control if variant == baseline else treatment
        return Evaluation(
            key, answer.value, answer.variant, split, None, None, rule, overlay, arm, unit, place, version, metadata
        )

    return program


def _given(outcomes: Outcomes, rollout: Rollout, rule: str | None, reason: Reason) -> dict[str | None, Evaluation]:
    """Return the evaluation of each variant of the split, and under ``None`` that of who is not exposed."""
    given: dict[str | None, Evaluation] = {variant: outcomes.of(variant, reason, rule) for variant in rollout.split}
    given[None] = outcomes.fallback(rollout.fallback, reason, rule)
    return given


def _missing(outcomes: Outcomes, rollout: Rollout, rule: str | None, reason: Reason) -> Evaluation:
    """Return what a context without the rollout's unit gets."""
    if rollout.bucket_by == TARGETING_KEY:
        return outcomes.unit_missing(rule)
    return outcomes.fallback(rollout.fallback, Reason.DEFAULT if reason is Reason.SPLIT else reason, rule)
