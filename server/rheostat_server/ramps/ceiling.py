"""The absolute ceiling: more bad requests than anybody wants, whatever the control shows.

It counts requests, all of them, for that is what a ceiling promises ("99 % of requests"): not units' first bad
samples, which would hide an account that is always slow, nor one sample a window, which would be late. Requests of one
user go wrong together, so the evidence is divided by φ, and fewer than three failing users kill nobody.
"""

import math

from msgspec.structs import replace

from rheostat_server.ramps.evidence import ArmTotals, Block
from rheostat_server.ramps.grades import REPORTS, SEEING
from rheostat_server.ramps.memory import CeilingMemory, Retreat
from rheostat_server.ramps.model import Guardrail, GuardrailState, Plan
from rheostat_server.ramps.stats import (
    ASSUMED_PHI,
    FEWEST_EVENTS_PER_PHI,
    FEWEST_FAILING_UNITS,
    RELATIVE_SHARE,
    ceiling_step,
    log_m,
    restarted,
)
from rheostat_server.ramps.words import duration, odds, rate

PROBE_MS = 120_000
"""How long the ramp stands one level lower to see whether the arms recover."""


def log_ceiling_bar(plan: Plan) -> float:
    """Return log(K / (0.2·α)): the line of a ceiling's process."""
    return math.log(plan.budget_parts / ((1 - RELATIVE_SHARE) * plan.alpha))


def ceiling_phi(guardrail: Guardrail) -> float:
    """Return φ of the guardrail's requests."""
    return max(guardrail.phi, ASSUMED_PHI) if guardrail.family in REPORTS else guardrail.phi


def ceiling_counted(
    guardrail: Guardrail,
    ceiling: float,
    memory: CeilingMemory,
    block: Block,
    *,
    present: bool,
    arming: bool,
    span_s: tuple[float, float],
) -> CeilingMemory:
    """Return the memory after a block; ``present``: it was evaluated at the present exposure.

    While arming nobody is exposed, so both arms tell whether the service is above the ceiling without the change.
    ``span_s`` is (t1, t2] of the block, in s since the first exposure.
    """
    if memory.retreat is not Retreat.NONE:
        return _in_retreat(memory, block) if present else memory
    others = block.control if arming else ArmTotals()
    process = ceiling_step(
        memory.process,
        bad=block.treatment.bad + others.bad,
        requests=block.treatment.ended + others.ended,
        ceiling=ceiling,
        phi=ceiling_phi(guardrail),
        t1_s=span_s[0],
        t2_s=span_s[1],
    )
    return replace(memory, process=process, log_c=log_m(process))


def crossed(plan: Plan, guardrail: Guardrail, memory: CeilingMemory) -> bool:
    """Whether the treated requests are above the ceiling, beyond doubt."""
    return (
        guardrail.ceiling is not None
        and memory.log_c >= log_ceiling_bar(plan)
        and memory.process.treatment_events >= FEWEST_EVENTS_PER_PHI * ceiling_phi(guardrail)
    )


def kills_alone(plan: Plan, guardrail: Guardrail, seen: GuardrailState) -> bool:
    """Whether the crossed ceiling kills where there is no control: not on the word of two users, or of the blind."""
    if not guardrail.may_kill or seen.sight not in SEEING or not crossed(plan, guardrail, seen.ceiling):
        return False
    failing = max(seen.treatment.failing, seen.step_treatment.units_bad)
    return failing >= FEWEST_FAILING_UNITS or guardrail.family not in REPORTS


def retreating(memory: CeilingMemory, now_ms: int, *, retreat: Retreat) -> CeilingMemory:
    """Return the memory at the beginning of a retreat."""
    return replace(_fresh_stretch(memory, now_ms), retreat=retreat)


def settled(ceiling: float, memory: CeilingMemory, at_ms: int) -> CeilingMemory:
    """Return the memory after the retreat's stretch of two minutes, if it is over and anybody was seen in it."""
    if memory.retreat not in {Retreat.PROBE, Retreat.WAIT}:
        return memory
    if at_ms - memory.since_ms < PROBE_MS or not memory.treatment_ended + memory.control_ended:
        return memory
    recovered = (
        memory.control_bad <= ceiling * memory.control_ended
        and memory.treatment_bad <= ceiling * memory.treatment_ended
    )
    if not recovered:
        return retreating(memory, at_ms, retreat=Retreat.WAIT)
    if memory.retreat is Retreat.PROBE:
        return retreating(memory, at_ms, retreat=Retreat.STAY)
    return begun_anew(memory)


def begun_anew(memory: CeilingMemory) -> CeilingMemory:
    """Return the memory with nothing crossed: the process starts again at min(1, what it was)."""
    process = restarted(memory.process)
    return CeilingMemory(process=process, log_c=process.carry)


def ceiling_words(plan: Plan, guardrail: Guardrail, totals: ArmTotals, memory: CeilingMemory) -> str:
    """Return what was counted, against the ceiling, in words."""
    most = 0.0 if guardrail.ceiling is None else 100 * guardrail.ceiling
    return (
        f"{guardrail.name}: {rate(totals.bad, totals.ended)} treated requests are bad, the ceiling is {most:.3g} %; "
        f"its process {odds(memory.log_c)}, line {odds(log_ceiling_bar(plan))}"
    )


def retreat_words(guardrail: Guardrail, memory: CeilingMemory, now_ms: int) -> str:
    """Return why a ramp stands still below a crossed ceiling, and what comes next."""
    name = guardrail.name
    match memory.retreat:
        case Retreat.PROBE:
            left = duration((memory.since_ms + PROBE_MS - now_ms) / 1000)
            return f"{name}: above its ceiling; one level back to see whether both arms recover, {left} left"
        case Retreat.STAY:
            return (
                f"{name}: below its ceiling again since the step back, in both arms; the change may have hurt both, or "
                "an outage is over: look, then advance or abort by hand"
            )
        case _:
            return f"{name}: above its ceiling, and it is not the last step; waiting until both arms are below it"


def _in_retreat(memory: CeilingMemory, block: Block) -> CeilingMemory:
    return replace(
        memory,
        treatment_ended=memory.treatment_ended + block.treatment.ended,
        treatment_bad=memory.treatment_bad + block.treatment.bad,
        control_ended=memory.control_ended + block.control.ended,
        control_bad=memory.control_bad + block.control.bad,
    )


def _fresh_stretch(memory: CeilingMemory, now_ms: int) -> CeilingMemory:
    return replace(memory, since_ms=now_ms, treatment_ended=0, treatment_bad=0, control_ended=0, control_bad=0)
