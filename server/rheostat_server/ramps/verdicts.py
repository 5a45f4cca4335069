"""What the rule may decide of a ramp."""

from typing import TypeAlias

import msgspec

from rheostat_server.ramps.model import Status


class Hold(msgspec.Struct, frozen=True, tag="hold"):
    """Stay where it is; ``status`` is what to show (running, held, blind, awaiting-approval, arming, soaking)."""

    status: Status
    why: str


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """The pre-flight is over and clean: expose the first step. M restarts at 1."""

    why: str


class Refuse(msgspec.Struct, frozen=True, tag="refuse"):
    """The pre-flight found that the cohort differs before it sees anything: the ramp does not start."""

    why: str


class Advance(msgspec.Struct, frozen=True, tag="advance"):
    """Go up one step."""

    to_step: int
    why: str


class NextStage(msgspec.Struct, frozen=True, tag="stage"):
    """A rolling ramp is done with a stage: arm the next one."""

    to_stage: int
    why: str


class StepBack(msgspec.Struct, frozen=True, tag="step-back"):
    """Go down one step (to the start exposure from the first)."""

    to_step: int
    why: str


class Soak(msgspec.Struct, frozen=True, tag="soak"):
    """The last step is proved: watch it for the soak."""

    why: str


class Promote(msgspec.Struct, frozen=True, tag="promote"):
    """The soak is over; the ramp is done."""

    why: str


class KillRamp(msgspec.Struct, frozen=True, tag="kill"):
    """Take the variant back, latched."""

    guardrail: str
    why: str


Decision: TypeAlias = Hold | Begin | Refuse | Advance | NextStage | StepBack | Soak | Promote | KillRamp
