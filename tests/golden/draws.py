"""Snapshots, contexts and values drawn at random, the same from one seed on every machine.

Everything is plain JSON. Only ``Random.random`` is used: of all methods it alone promises the same sequence in
every version of Python.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tests.golden.awkward import ADDRESSES, BLOCKS, MOMENTS, NAMES, NUMBERS, TEXTS, UNITS, VERSIONS

Json = dict[str, Any]
T = TypeVar("T")

ATOMS = [
    "a",
    "b",
    "k",
    "S",
    "ß",
    "日",
    "🙂",
    "0",
    "_",
    "-",
    ".",
    "^",
    "$",
    r"\d",
    r"\w",
    r"\W",
    r"\s",
    r"\S",
    r"\D",
    r"\.",
    r"\x4b",
    r"\x{1F642}",
    "[ab]",
    "[^a]",
    "[a-k]",
    "[^\\W_]",
    "[-0]",
    "[]a]",
    "[a-]",
    r"[\d\-]",
]
COUNTS = ["*", "+", "?", "{2}", "{0}", "{0,2}", "{1,3}", "{2,}"]
WEIGHTS = [0, 0.0, 1, 1.0, 2, 3, 0.1, 1e-9, 1e9, 33.3333, 99.9999]
KINDS: dict[str, list[str]] = {
    "texts": ["contains", "starts_with", "ends_with"],
    "numbers": ["lt", "le", "gt", "ge"],
    "moments": ["before", "after"],
    "versions": ["semver_eq", "semver_lt", "semver_le", "semver_gt", "semver_ge"],
    "blocks": ["in_cidr"],
    "lists": ["any_of", "all_of"],
    "patterns": ["matches"],
    "any": ["in", "not_in", "equals", "exists"],
}
SEGMENTS = ["beta", "staff", "outer", "round-1", "round-2", "gone"]
MILLION = 1_000_000


class Draws:
    """A source of things; each method draws one."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, limit: int) -> int:
        """An integer from 0 to one less than the limit."""
        return int(self._random.random() * limit)

    def between(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def some(self, items: Sequence[T], most: int) -> list[T]:
        """Up to so many of the items, each at most once, in random order."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(min(self.between(0, most), len(left)))]

    def many(self, draw: Callable[[], T], most: int) -> list[T]:
        return [draw() for _ in range(self.between(0, most))]

    # --- values ---

    def text(self) -> str:
        if self.chance(0.5):
            return self.pick(TEXTS)
        return "".join(self.pick("ab1./-_ éß日🙂") for _ in range(self.between(1, 6)))

    def unit(self) -> str:
        return self.pick(UNITS) if self.chance(0.3) else f"user-{self.below(100_000)}"

    def number(self) -> int | float:
        if self.chance(0.6):
            return self.pick(NUMBERS)
        return self.between(-50, 50) if self.chance(0.5) else self.between(-500, 500) / 8

    def version(self) -> str:
        if self.chance(0.5):
            return self.pick(VERSIONS)
        core = ".".join(str(self.below(3)) for _ in range(3))
        ids = ".".join(self.pick(["0", "1", "2", "10", "a", "b", "a1", "-", "rc"]) for _ in range(self.below(4)))
        return core + (f"-{ids}" if ids else "") + self.pick(["", "+b", "+01"])

    def moment(self) -> str:
        if self.chance(0.4):
            return self.pick(MOMENTS)
        year = self.pick([1, 1900, 1999, 2000, 2024, 2025, 2026, 9999])
        day = f"{year:04}-{self.between(1, 12):02}-{self.between(1, 31):02}"
        time = f"{self.between(0, 23):02}:{self.between(0, 59):02}:{self.between(0, 60):02}"
        return f"{day}T{time}{self.pick(['', '.5', '.123456789', '.1234567899'])}{self.pick(['Z', '+05:30', '-11:00'])}"

    def pattern(self, depth: int = 2) -> str:
        """A pattern, one in a few spoilt."""
        chains = ["".join(self._counted(depth) for _ in range(self.between(0, 3))) for _ in range(self.between(1, 2))]
        found = "|".join(chains)
        if depth == 2 and self.chance(0.1):
            at = self.between(0, len(found))
            found = found[:at] + self.pick("\\[](){}*+?|^$-:=,i09") + found[at:]
        return f"(?i){found}" if depth == 2 and self.chance(0.3) else found

    def _counted(self, depth: int) -> str:
        body = (
            self.pick(ATOMS)
            if depth == 0 or self.chance(0.8)
            else f"{self.pick(['(', '(?:'])}{self.pattern(depth - 1)})"
        )
        return body if self.chance(0.6) else body + self.pick(COUNTS) + self.pick(["", "", "?"])

    def address(self) -> str:
        if self.chance(0.5):
            return self.pick(ADDRESSES)
        if self.chance(0.5):
            return ".".join(str(self.pick([0, 1, 10, 127, 128, 255])) for _ in range(4))
        return ":".join(self.pick(["0", "1", "", "db8", "2001", "ffff", "0001"]) for _ in range(self.between(6, 9)))

    def block(self) -> str:
        return self.pick(BLOCKS) if self.chance(0.5) else f"{self.address()}/{self.between(0, 40)}"

    def scalar(self) -> Any:
        draws: list[Callable[[], Any]] = [self.text, self.number, lambda: self.chance(0.5), lambda: None]
        return self.pick(draws)()

    def json(self, depth: int = 2) -> Any:
        if depth and self.chance(0.25):
            return self.many(lambda: self.json(depth - 1), 3)
        if depth and self.chance(0.15):
            return {name: self.json(depth - 1) for name in self.some(["plan", "x", "b", "", "c", "1"], 3)}
        return self.scalar()

    # --- conditions ---

    def of_kind(self, kind: str) -> Any:
        """A value of the kind that operators of this kind compare; now and then any other."""
        if self.chance(0.12):
            return self.json()
        match kind:
            case "texts":
                return self.text()
            case "numbers":
                return self.number()
            case "moments":
                return self.moment()
            case "versions":
                return self.version()
            case "blocks":
                return self.address()
            case "patterns":
                return "".join(self.pick("aabBkKsſß0 -_\n日🙂") for _ in range(self.between(0, 8)))
            case "lists":
                return self.many(self.scalar, 4)
        return self.json()

    def operands(self, kind: str, x: Any) -> list[Any]:
        """The values of a clause; now and then with the attribute's own value among them."""
        draw: Callable[[], Any] = lambda: self.of_kind(kind)  # noqa: E731
        if kind == "blocks":
            draw = self.block
        elif kind == "lists":
            draw = self.scalar
        elif kind == "patterns":
            draw = self.pattern
        if kind in {"numbers", "moments", "versions"} and self.chance(0.9):
            return [draw()] if self.chance(0.85) else [x]
        values = self.many(draw, 4)
        if self.chance(0.4):
            values.append(x)
        if isinstance(x, list) and self.chance(0.6):
            values = self.some(x, 3) + values[:1]
        return values

    def clause(self, read: Json | None = None) -> Json:
        """A clause on an attribute; half of the time with values near what the context has."""
        kind = self.pick(list(KINDS))
        name = self.pick(list(read)) if read and self.chance(0.7) else self.pick(NAMES)
        near = read.get(name) if read else None
        operator = self.pick(KINDS[kind])
        clause: Json = {"attribute": name, "operator": operator}
        if operator != "exists":
            clause["values"] = self.operands(kind, self.of_kind(kind) if near is None else near)
        return clause

    def condition(self, depth: int = 3, read: Json | None = None) -> Json:
        chance = self._random.random()
        if depth == 0 or chance < 0.5:
            return self.clause(read)
        if chance < 0.62:
            return {"segment": self.pick(SEGMENTS)}
        if chance < 0.64:
            return {}
        if chance < 0.76:
            return {"not": self.condition(depth - 1, read)}
        parts = self.many(lambda: self.condition(depth - 1, read), 3)
        return {"all" if chance < 0.88 else "any": parts}

    def segments(self) -> list[Json]:
        round_about = [
            {"key": "round-1", "included": ["user-1"], "conditions": [{"not": {"segment": "round-2"}}]},
            {"key": "round-2", "included": ["user-1"], "conditions": [{"any": [{"segment": "round-1"}]}]},
        ]
        plain = [self._segment("beta", []), self._segment("staff", ["beta"])]
        return [*plain, self._segment("outer", ["beta", "staff", "round-1"]), *round_about]

    def _segment(self, key: str, inner: list[str]) -> Json:
        conditions = self.many(lambda: self.condition(1), 2)
        conditions = [part for part in conditions if not _names_segment(part)]
        conditions += [{"segment": name} for name in inner if self.chance(0.5)]
        unit = self.pick(["targetingKey", "targetingKey", "plan", "age", "user.plan"])
        found = {"key": key, "unit": unit, "included": self.many(self._member, 3), "conditions": conditions}
        return {**found, "excluded": self.many(self._member, 2)}

    def _member(self) -> str:
        return self.pick(["user-1", "user-2", "pro", "7", "18", "", "ñandú"])

    def context(self) -> Json:
        attributes: Json = {}
        for name in self.some(NAMES, 6):
            if name != "targetingKey":
                attributes[name] = self.of_kind(self.pick(list(KINDS)))
        if self.chance(0.4):
            attributes["user"] = {"plan": self.json(1), "": self.scalar()}
        return attributes if self.chance(0.1) else {"targetingKey": self.unit(), **attributes}

    # --- snapshots ---

    def ppm(self) -> int:
        return self.pick([0, 1, 9_999, 333_333, 500_000, 999_999, MILLION]) if self.chance(0.5) else self.below(MILLION)

    def rollout(self, key: str, variants: list[str]) -> Json:
        names = self.some(variants, len(variants)) if self.chance(0.9) else []
        found: Json = {
            "exposure_ppm": self.ppm(),
            "split": {name: self.pick(WEIGHTS) for name in names},
            "salt": key if self.chance(0.7) else self.pick(["shared", "layer:banners", "s"]),
        }
        if self.chance(0.7):
            found["fallback"] = self.pick(variants)
        if self.chance(0.3):
            found["bucket_by"] = self.pick(NAMES)
        if self.chance(0.3):
            found["low"] = self.pick([0, 1, 333_333, 500_000])
            found["high"] = self.pick([500_001, 666_667, 999_999, MILLION])
        return found

    def answer(self, key: str, variants: list[str]) -> Json:
        return {"serve": self.pick(variants)} if self.chance(0.3) else {"rollout": self.rollout(key, variants)}

    def flag(self, key: str, others: list[str], contexts: list[Json]) -> Json:
        variants: Json = {name: self.json(1) for name in self.some(["on", "off", "2", "10", "blue", "ñ", "ﬀ", "𝒳"], 5)}
        variants = variants or {"on": True, "off": False}
        names = list(variants)
        flag: Json = {"key": key, "type": "object", "variants": variants, "version": self.between(1, 9)}
        flag["enabled"] = self.chance(0.93)
        if self.chance(0.8):
            flag["off_variant"] = self.pick(names)
        if self.chance(0.2):
            flag["max_staleness_ms"] = self.pick([0, 1_000, 60_000])
        if self.chance(0.2):
            wanted = [self.pick(names), "on", "off", "2"]
            flag["prerequisites"] = [
                {"flag": self.pick([*others, "gone"]), "variants": wanted} for _ in range(self.between(1, 2))
            ]
        if self.chance(0.4):
            flag["targets"] = {name: self.many(self.unit, 4) for name in self.some(names, 3)}
        flag["rules"] = [self.rule(number, key, names, contexts) for number in range(self.between(0, 3))]
        if self.chance(0.95):
            flag["default"] = self.answer(key, names)
        return self._spoiled(flag)

    def rule(self, number: int, key: str, variants: list[str], contexts: list[Json]) -> Json:
        found: Json = {"name": f"rule-{number}", "when": self.condition(3, self.pick(contexts))}
        found["answer"] = self.answer(key, variants)
        if self.chance(0.2):
            bounds = {"from_ms": self.pick([0, 1_000, 2_000]), "until_ms": self.pick([1_000, 2_001, 3_000])}
            found["active"] = {name: bound for name, bound in bounds.items() if self.chance(0.8)}
        return found

    def _spoiled(self, flag: Json) -> Json:
        """Now and then a flag that is not to be read."""
        if self.chance(0.01):
            flag["needs"] = self.pick([1, 2])
        if self.chance(0.01):
            flag["off_variant"] = "no-such-variant"
        if self.chance(0.01):
            flag.setdefault("targets", {})["no-such-variant"] = []
        return flag

    def ramp(self, number: int, flag: Json) -> Json:
        rollout = self.pick(["default", *(rule["name"] for rule in flag["rules"])])
        levels = sorted(self.ppm() for _ in range(self.between(1, 5)))
        found: Json = {
            "ramp": f"ramp-{number}",
            "flag": flag["key"],
            "rollout": rollout,
            "exposure_ppm": self.pick(levels),
            "epoch": self.between(1, 5),
            "levels": levels,
            "live": self.chance(0.8),
        }
        if self.chance(0.2):
            found |= {"exposure_ppm": levels[0], "arming_ppm": levels[-1]}
        if self.chance(0.4):
            found["holdback_ppm"] = self.pick([1, 10_000, 100_000, MILLION])
        return found

    def kill(self, number: int, flag: Json) -> Json:
        found: Json = {
            "kill_id": f"kill-{number}",
            "project": "default",
            "environment": "production" if self.chance(0.9) else "staging",
            "flag": flag["key"],
            "scope": self.pick(["rollout", "rollout", "flag"]),
            "source": "person",
            "at_ms": 1_767_225_600_000,
        }
        if found["scope"] == "rollout" and self.chance(0.7):
            found["rollout"] = self.pick(["default", *(rule["name"] for rule in flag["rules"])])
        if self.chance(0.25):
            found["revived"] = True
        return found

    def world(self, flags: int, cases: int) -> Json:
        """A snapshot, kills beside it, and cases: flag, context, age, time. Answers are for others to find."""
        contexts = [self.context() for _ in range(max(4, cases // 4))]
        keys = [f"flag-{number}" for number in range(flags)]
        made = [self.flag(key, keys, contexts) for key in keys]
        ramps = [self.ramp(number, self.pick(made)) for number in range(self.between(0, 2 * flags))]
        kills = [self.kill(number, self.pick(made)) for number in range(self.between(0, max(1, flags // 3)))]
        snapshot = {
            "format": 1,
            "generation": 1,
            "revision": 1,
            "project": "default",
            "environment": "production",
            "flags": made,
            "segments": self.segments(),
            "ramps": ramps,
            "kills": [kill for kill in kills if self.chance(0.6)],
        }
        beside = [{**kill, "revived": False} if self.chance(0.5) else kill for kill in kills if self.chance(0.5)]
        asked = []
        for _ in range(cases):
            case: Json = {"flag": self.pick(keys) if self.chance(0.99) else "gone", "context": self.pick(contexts)}
            if self.chance(0.4):
                case["age_ms"] = self.pick([0, 999, 1_000, 1_001, 60_001])
            if self.chance(0.7):
                case["now_ms"] = self.pick([0, 999, 1_000, 2_000, 2_001, 3_000])
            asked.append(case)
        return {"snapshot": snapshot, "kills": beside, "cases": asked}


def _names_segment(condition: Json) -> bool:
    inner = [*condition.get("all", ()), *condition.get("any", ()), *([condition["not"]] if "not" in condition else [])]
    return "segment" in condition or any(map(_names_segment, inner))
