"""Where a unit stands on the line, and what follows from its place.

The formulas are those of "Consistent hashing" in docs/reference/hashing.md. Shares are integers, so that
no two languages can round them two ways. Golden values: tests/golden/places.json and splits.json.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from math import inf, log
from typing import Final

from mmh3 import mmh3_32_uintdigest

from rheostat.model.evaluation import Arm
from rheostat.model.flag import Rollout
from rheostat.model.outcome import HELD, NEVER
from rheostat.model.ramp import RampOverlay
from rheostat.model.shares import TOTAL_PPM

PLACE_SEED: Final = 0x504C_4143
"""The seed of the hash that gives a unit its place: "PLAC" in ASCII."""
SPLIT_SEED: Final = 0x5350_4C54
"""The seed of the hashes that choose among variants: "SPLT" in ASCII."""

_HASH_RANGE: Final = 1 << 32


def hash32(text: str, seed: int) -> int:
    """Return murmur3_x86_32 of the text in UTF-8, 0 … 2^32 − 1.

    A lone surrogate, which UTF-8 cannot say, hashes as U+FFFD, as other languages write it.
    """
    return mmh3_32_uintdigest(utf8(text), seed)


def utf8(text: str) -> bytes:
    """Return the text in UTF-8, with each lone surrogate replaced by U+FFFD."""
    # Encoded here, and not by mmh3: its `hash` crashes the process on text with a lone surrogate.
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def place(salt: str, unit: str) -> int:
    """Return the unit's fixed place on this salt's line, 0 … 999 999."""
    return hash32(f"{salt}/{unit}", PLACE_SEED) * TOTAL_PPM >> 32


def first_hash(at: int) -> int:
    """Return the smallest hash whose place is ``at`` or above, so that a hash compares without arithmetic."""
    return -(-(at << 32) // TOTAL_PPM)


def exposed_below(low: int, high: int, exposure_ppm: int) -> int:
    """Return the place below which the units of the range ``[low, high)`` are exposed."""
    return low + (high - low) * exposure_ppm // TOTAL_PPM


def held_from(low: int, high: int, holdback_ppm: int) -> int:
    """Return the place from which the units of the range ``[low, high)`` are held back."""
    return high - (high - low) * holdback_ppm // TOTAL_PPM


def is_exposed(at: int, exposure_ppm: int, low: int = 0, high: int = TOTAL_PPM) -> bool:
    """Return whether the exposure reaches this place. A holdback is taken first: ask ``is_held_back`` before."""
    return low <= at < exposed_below(low, high, exposure_ppm)


def is_held_back(at: int, holdback_ppm: int, low: int = 0, high: int = TOTAL_PPM) -> bool:
    """Return whether the holdback keeps the unit at this place from any exposure."""
    return held_from(low, high, holdback_ppm) <= at < high


def arm_of(overlay: RampOverlay, rollout: Rollout, at: int) -> Arm | None:
    """Return the arm of a unit at this place, as it is drawn now; ``None`` outside the rollout's range.

    Of a ramp with cells: of a unit that it is at now. One with a baseline draws by the split: ask an evaluation.
    """
    if not rollout.low <= at < rollout.high:
        return None
    if is_held_back(at, overlay.holdback_ppm, rollout.low, rollout.high):
        return Arm.HOLDBACK
    exposed = is_exposed(at, overlay.arm_ppm, rollout.low, rollout.high)
    return Arm.TREATMENT if exposed else Arm.CONTROL


def level_entry(overlay: RampOverlay, rollout: Rollout, at: int) -> int:
    """Return the index in ``overlay.levels`` of the smallest that exposes this place, ``HELD`` or ``NEVER``.

    No level exposes the units of a baseline to anything else: their place is ``NO_PLACE``.
    """
    if is_held_back(at, overlay.holdback_ppm, rollout.low, rollout.high):
        return HELD
    exposing = (
        (level, index) for index, level in enumerate(overlay.levels) if is_exposed(at, level, rollout.low, rollout.high)
    )
    return min(exposing, default=(0, NEVER))[1]


def choose(split: Mapping[str, float], salt: str, unit: str) -> str | None:
    """Return the unit's variant by weighted rendezvous; ``None`` when no weight is above 0."""
    return compile_split(split)(utf8(f"{salt}/{unit}"))


def compile_split(split: Mapping[str, float]) -> Callable[[bytes], str | None]:
    """Return a function from ``salt + "/" + unit`` in UTF-8 to the variant; to ``None`` when no weight is above 0.

    The variant is the one of the least ``−ln((h + 0.5) / 2^32) / weight`` with ``h`` the hash of
    ``salt/unit/variant``; of equals the first in byte order. Reweighting two variants moves only the
    share that has to move.
    """
    candidates = [(f"/{name}".encode(), name, -float(weight)) for name, weight in split.items() if weight > 0]
    candidates.sort()
    if len(candidates) <= 1:
        only = candidates[0][1] if candidates else None
        return lambda _: only

    def chosen(salted: bytes) -> str | None:
        best, least = None, inf
        for suffix, name, negated in candidates:
            score = log((mmh3_32_uintdigest(salted + suffix, SPLIT_SEED) + 0.5) / _HASH_RANGE) / negated
            if score < least:
                best, least = name, score
        return best

    return chosen


def unit_hash(unit_key: bytes, unit: str) -> str:
    """Return the name by which a unit is reported: BLAKE2b-64 keyed with the ramp's secret, 16 hex digits.

    Raises:
        ValueError: the key is longer than 64 bytes.
    """
    return blake2b(utf8(unit), digest_size=8, key=unit_key).hexdigest()
