"""The formulas and the order of evaluation once more, written plainly and apart from the engine.

No hash library, nothing compiled, plain JSON in and out: slow, and easy to hold beside the documentation.
"""

import hashlib
import math
from fractions import Fraction
from typing import Any

PLACE_SEED, SPLIT_SEED = 0x504C4143, 0x53504C54
MILLION = 1_000_000
Json = dict[str, Any]


def murmur3_32(data: bytes, seed: int) -> int:
    """Return murmur3_x86_32, as Austin Appleby published it."""
    mask, h = 0xFFFFFFFF, seed

    def mixed(k: int) -> int:
        k = k * 0xCC9E2D51 & mask
        k = (k << 15 | k >> 17) & mask
        return k * 0x1B873593 & mask

    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        h ^= mixed(int.from_bytes(data[at : at + 4], "little"))
        h = (h << 13 | h >> 19) & mask
        h = (h * 5 + 0xE6546B64) & mask
    h ^= mixed(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h ^= h >> shift
        h = h * factor & mask
    return h ^ h >> 16


def place(salt: str, unit: str) -> int:
    return math.floor(Fraction(murmur3_32(f"{salt}/{unit}".encode(), PLACE_SEED), 2**32) * MILLION)


def held_back(at: int, holdback_ppm: int, low: int = 0, high: int = MILLION) -> bool:
    return at < high and at >= high - math.floor(Fraction((high - low) * holdback_ppm, MILLION))


def exposed(at: int, exposure_ppm: int, low: int = 0, high: int = MILLION) -> bool:
    return low <= at < low + math.floor(Fraction((high - low) * exposure_ppm, MILLION))


def score(weight: float, salt: str, unit: str, name: str) -> float:
    return -math.log((murmur3_32(f"{salt}/{unit}/{name}".encode(), SPLIT_SEED) + 0.5) / 2**32) / weight


def variant_of(split: dict[str, float], salt: str, unit: str) -> str | None:
    names = [name for name in sorted(split, key=str.encode) if split[name] > 0]
    return min(names, key=lambda name: score(split[name], salt, unit, name), default=None)


def entry(levels: list[int], holdback_ppm: int, at: int, low: int = 0, high: int = MILLION) -> int:
    if held_back(at, holdback_ppm, low, high):
        return -1
    exposing = [level for level in levels if exposed(at, level, low, high)]
    return levels.index(min(exposing)) if exposing else -2


def unit_hash(key: bytes, unit: str) -> str:
    return hashlib.blake2b(unit.encode(), digest_size=8, key=key).hexdigest()


def truth(condition: Json, context: Json, segments: dict[str, Json]) -> bool | None:
    if "all" in condition or "any" in condition:
        parts = [truth(part, context, segments) for part in condition["any" if "any" in condition else "all"]]
        decisive = "any" in condition
        return decisive if decisive in parts else None if None in parts else not decisive
    if "not" in condition:
        inner = truth(condition["not"], context, segments)
        return None if inner is None else not inner
    if "segment" in condition:
        segment = segments[condition["segment"]]
        unit = context.get(segment.get("unit", "targetingKey"))
        if unit is None or unit in segment.get("excluded", ()):
            return None if unit is None else False
        if unit in segment.get("included", ()):
            return True
        parts = segment.get("conditions", ())
        return truth({"all": parts}, context, segments) if parts else False
    value = context.get(condition["attribute"])
    operator, values = condition["operator"], condition.get("values", [])
    if operator == "exists" or value is None:
        return value is not None if operator == "exists" else None
    same = any(type(value) is type(other) and value == other for other in values)
    match operator:
        case "in":
            return same
        case "not_in":
            return not same
        case "ends_with":
            return any(value.endswith(text) for text in values) if isinstance(value, str) else None
        case "ge":
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return value >= values[0] if number else None
    raise NotImplementedError(operator)


class Oracle:
    """Evaluates the flags of a snapshot given as JSON."""

    def __init__(self, snapshot: Json) -> None:
        self.flags = {flag["key"]: flag for flag in snapshot["flags"]}
        self.segments = {segment["key"]: segment for segment in snapshot["segments"]}
        self.ramps = snapshot["ramps"]
        self.kills = [kill for kill in snapshot["kills"] if not kill.get("revived")]

    def evaluate(self, key: str, context: Json) -> Json:
        if key not in self.flags:
            return {"variant": None, "reason": "ERROR", "error_code": "FLAG_NOT_FOUND"}
        flag = self.flags[key]
        off = flag.get("off_variant")
        if self.is_off(key):
            return {"variant": off, "reason": "DISABLED"}
        for needed in flag.get("prerequisites", ()):
            other = needed["flag"]
            fine = other in self.flags and not self.is_off(other)
            if not fine or self.evaluate(other, context)["variant"] not in needed["variants"]:
                return {"variant": off, "reason": "DEFAULT"}
        for variant, units in flag.get("targets", {}).items():
            if context.get("targetingKey") in units:
                return {"variant": variant, "reason": "TARGETING_MATCH"}
        for rule in flag.get("rules", ()):
            if truth(rule["when"], context, self.segments) is True:
                return self.answer(flag, rule["answer"], context, rule["name"]) | {"rule": rule["name"]}
        found = self.answer(flag, flag["default"], context, "default")
        if found["reason"] == "TARGETING_MATCH":
            plain = not any(flag.get(part) for part in ("rules", "targets", "prerequisites"))
            found["reason"] = "STATIC" if plain else "DEFAULT"
        return found

    def is_off(self, key: str) -> bool:
        killed = any(kill["flag"] == key and kill["scope"] == "flag" for kill in self.kills)
        return killed or not self.flags[key].get("enabled", False)

    def answer(self, flag: Json, answer: Json, context: Json, name: str) -> Json:
        if "rollout" not in answer:
            return {"variant": answer["serve"], "reason": "TARGETING_MATCH"}
        rollout = answer["rollout"]
        by = rollout.get("bucket_by", "targetingKey")
        fallback = rollout.get("fallback", flag.get("off_variant"))
        unit = context.get(by)
        if unit is None and by == "targetingKey":
            return {"variant": None, "reason": "ERROR", "error_code": "TARGETING_KEY_MISSING"}
        if unit is None:
            return {"variant": fallback, "reason": "DEFAULT"}
        unit = str(unit)
        at = place(rollout["salt"], unit)
        exposure, holdback = rollout["exposure_ppm"], 0
        ramp = next((r for r in self.ramps if r["flag"] == flag["key"] and r.get("rollout", "default") == name), None)
        if ramp is not None:
            exposure, holdback = ramp["exposure_ppm"], ramp.get("holdback_ppm", 0)
        killed = any(
            kill["flag"] == flag["key"] and kill["scope"] == "rollout" and kill.get("rollout", "default") == name
            for kill in self.kills
        )
        if killed:
            exposure = 0
        held = held_back(at, holdback)
        chosen = variant_of(rollout["split"], rollout["salt"], unit) if exposed(at, exposure) and not held else fallback
        found = {"variant": chosen, "reason": "SPLIT"}
        if ramp is not None and ramp.get("live", True) and not killed:
            treated = exposed(at, ramp.get("arming_ppm", exposure))
            found |= {"arm": "holdback" if held else "treatment" if treated else "control", "unit": unit, "place": at}
        return found
