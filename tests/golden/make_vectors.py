"""Writes golden vectors: answers that the engine gave once and that every later one must give.

    python -m tests.golden.make_vectors            write the files that are not there
    python -m tests.golden.make_vectors --again    write all of them anew: a promise is broken if one changes

The seeds are fixed, so that a second run gives the same bytes. What is drawn at random stands beside what was chosen
because it is awkward. ``places``, ``splits``, ``exposures``, ``entries``, ``units`` and ``evaluations`` were written
by hand and are not made here.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rheostat.engine.hashing import PLACE_SEED, SPLIT_SEED, choose, hash32, is_exposed, is_held_back, level_entry, place
from tests.builders import a_rollout, an_overlay
from tests.golden.answers import evaluations, truth_of, truths
from tests.golden.awkward import ADDRESSES, BLOCKS, MOMENTS, NUMBERS, TEXTS, UNITS, VERSIONS
from tests.golden.draws import KINDS, MILLION, WEIGHTS, Draws
from tests.golden.staged import staged_answers, staged_world

HERE = Path(__file__).parent
SALTS = ["checkout-v2", "a", "A", "layer:banners", "0", "flag-1", "flag-2", "x" * 128]
MORE_UNITS = [
    *UNITS,
    *TEXTS,
    "/",
    "//",
    "a/",
    "é",
    "e\u0301",
    "\U0010ffff",
    "a\ufffdb",
    *("x" * n for n in range(2, 9)),
]
MORE_UNITS += [*(str(number) for number in (0, 1, -1, 2**53, 2**53 + 1, 2**63, 10**30)), "ABCDEF", "abcdef"]
NAMES = ["on", "off", "1", "10", "9", "blue", "ñ", "\uffee", "𝒳", "a", "A"]
UNKNOWN = {"attribute": "gone", "operator": "in", "values": [1]}
TRUE = {"attribute": "plan", "operator": "equals", "values": ["pro"]}
FALSE = {"attribute": "plan", "operator": "equals", "values": ["free"]}

Vectors = list[list[Any]]


def distinct(items: list[Any]) -> list[Any]:
    """The items without repetitions, in order. As JSON, because 1 equals true in Python."""
    return list({json.dumps(item): item for item in items}.values())


def murmur() -> Vectors:
    """Lengths of 0 to 8 bytes, and text of one to four bytes a character."""
    texts = distinct([*MORE_UNITS, "checkout-v2/", "checkout-v2/user-1", "checkout-v2/user-1/on"])
    return [[text, seed, hash32(text, seed)] for text in texts for seed in (0, PLACE_SEED, SPLIT_SEED)]


def bucketing() -> Vectors:
    return [[salt, unit, place(salt, unit)] for salt in SALTS for unit in distinct(MORE_UNITS)]


def rendezvous() -> list[dict[str, Any]]:
    """Weights far apart, weights of 0, names whose order differs between UTF-8 and UTF-16 or that are numerals."""
    draws = Draws(4_001)
    splits: list[dict[str, Any]] = [{}, {"on": 0}, {"on": 0, "off": 0.0}, {"on": 1, "off": 0}, {"𝒳": 1, "\uffee": 1}]
    splits += [{"10": 1, "9": 1, "on": 1}, {"on": 1e-9, "off": 1e9}, {"on": 33.3333, "off": 33.3333, "blue": 33.3334}]
    splits += [{name: draws.pick(WEIGHTS) for name in draws.some(NAMES, 6)} for _ in range(12)]
    cases: list[dict[str, Any]] = []
    # One hash, so that the order of bytes decides; in UTF-16 it is the other way round.
    for tie in (["𝒳35130", "ﾮ31585"], ["𝒳80608", "ﾮ165368"]):
        split: dict[str, Any] = dict.fromkeys(tie, 2)
        cases.append({"salt": "tie", "split": split, "variants": [["user-1", choose(split, "tie", "user-1")]]})
    for number, split in enumerate(splits):
        salt = SALTS[number % len(SALTS)]
        units = distinct([draws.unit() for _ in range(24)])
        cases.append({"salt": salt, "split": split, "variants": [[unit, choose(split, salt, unit)] for unit in units]})
    return cases


def levels() -> list[dict[str, Any]]:
    """The places at the edges of each level, of the holdback and of the range."""
    draws, cases = Draws(4_002), []
    for number in range(40):
        low, high = draws.pick([(0, MILLION), (0, 333_333), (333_333, 666_666), (999_999, MILLION), (5, 12)])
        steps = [draws.ppm() for _ in range(draws.between(1, 5))]
        steps = sorted(steps) if number % 4 else steps + steps[:1]
        holdback = draws.pick([0, 0, 1, 10_000, 500_000, MILLION])
        overlay, rollout = an_overlay(levels=tuple(steps), holdback_ppm=holdback), a_rollout(low=low, high=high)
        edges = {low, high, high - (high - low) * holdback // MILLION}
        edges |= {low + (high - low) * step // MILLION for step in steps}
        near = sorted({edge + by for edge in edges for by in (-1, 0) if 0 <= edge + by < MILLION})
        case: dict[str, Any] = {"levels": steps, "holdback_ppm": holdback, "low": low, "high": high}
        case["places"] = [
            [
                at,
                [is_exposed(at, step, low, high) for step in steps],
                is_held_back(at, holdback, low, high),
                level_entry(overlay, rollout, at),
            ]
            for at in near
        ]
        cases.append(case)
    return cases


def operators() -> Vectors:
    draws = Draws(4_003)
    asked: Vectors = []
    asked += [["semver_lt", ["2.0.0-rc.2"], text] for text in VERSIONS]
    asked += [["semver_eq", [text], text] for text in VERSIONS]
    asked += [["before", ["2026-11-27T00:00:00Z"], text] for text in MOMENTS]
    asked += [["after", ["2026-11-26T23:59:59.999999999Z"], text] for text in MOMENTS]
    fine = [f"2026-11-27T00:00:00.000000001{rest}Z" for rest in ("", "0", "9", "99999999999999999999999")]
    asked += [[operator, [one], other] for operator in ("before", "after") for one in fine for other in fine]
    longest = [f"1.0.0-{'a' * (length - 6)}" for length in (255, 256, 257)]
    asked += [["semver_gt", ["1.0.0-0"], text] for text in longest]
    asked += [["in_cidr", ["10.0.0.0/8", "::/0"], text] for text in ADDRESSES]
    asked += [["in_cidr", [text], text] for text in ADDRESSES]
    asked += [["in_cidr", [text], x] for text in BLOCKS for x in ("10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1")]
    awkward = [*NUMBERS, True, False, "1", "", "true", [1], [True], [], {}, {"a": 1}, {"a": 1.0}]
    asked += [["in", [1], x] for x in awkward] + [["in", [True], x] for x in awkward]
    asked += [["in", [2**53], x] for x in awkward] + [["lt", [2**53 + 1], x] for x in awkward]
    asked += [["ge", [0], x] for x in awkward] + [["in", [[1], {"a": 1}, None, "1"], x] for x in awkward]
    asked += [["any_of", [1, None, "🙂"], x] for x in ([1.0], [True], ["1"], [None], ["🙂"], [], [[1]], "1", 1)]
    asked += [["all_of", [1, "a"], x] for x in (["a", 1.0], ["a", True], ["a"], [], "a1")] + [["all_of", [], []]]
    for operator in ("contains", "starts_with", "ends_with"):
        asked += [[operator, values, x] for values in ([], [""], ["a", 1], ["🙂"]) for x in TEXTS]
    for operator in (name for kind in KINDS.values() for name in kind if name != "exists"):
        asked += [[operator, values, x] for values in ([], [1, 2], [None]) for x in (1, "a", [1])]
    for _ in range(400):
        kind = draws.pick(list(KINDS))
        operator = draws.pick([name for name in KINDS[kind] if name != "exists"])
        x = draws.of_kind(kind)
        if x is not None:
            asked.append([operator, draws.operands(kind, x), x])
    return [[operator, values, x, truth_of(operator, values, x)] for operator, values, x in distinct(asked)]


def conditions() -> dict[str, Any]:
    """Every table of Kleene's, missing attributes under each of all, any and not, nested and circular segments."""
    draws = Draws(4_004)
    simple: list[Any] = [TRUE, FALSE, UNKNOWN, {}]
    asked: list[Any] = [*simple, {"all": []}, {"any": []}]
    asked += [{name: [one, other]} for name in ("all", "any") for one in simple for other in simple]
    asked += [{"not": part} for part in (*simple, {"all": []}, {"not": UNKNOWN}, {"any": [UNKNOWN, FALSE]})]
    asked += [{"attribute": "gone", "operator": name, "values": ["XX"]} for name in ("not_in", "exists", "contains")]
    asked += [{"not": {"attribute": "gone", "operator": "exists"}}, {"attribute": "null", "operator": "exists"}]
    asked += [{"segment": name} for name in ("beta", "staff", "outer", "round-1", "round-2", "gone", "empty", "by-age")]
    asked += [{"not": {"segment": name}} for name in ("beta", "round-1", "gone", "by-age")]
    asked += [
        {"attribute": name, "operator": "exists"}
        for name in ("user.plan", "user.", ".", "a.b", "tags.0", "targetingKey", "targetingKey.x", "toString")
    ]
    contexts: list[Any] = [
        {},
        {"targetingKey": "", "plan": "pro"},
        {"targetingKey": "user-1", "plan": "free", "null": None},
        {"targetingKey": "user-2", "plan": "pro", "age": 7.0, "user": {"plan": "pro", "": 1}},
        {"targetingKey": "7", "age": 7, "user.plan": None, "user": {"plan": "free"}},
        {"targetingKey": "ñandú", "age": "7", "user.plan": "pro", "user": {"plan": "free"}},
        {"plan": True, "age": 7.5, "user": ["plan"], "tags": ["a"], "a": {"b": None}},
        {"plan": "", "age": True, "a": {"b": {"c": 1}}, "a.b": 0, "targetingKey": "user-9"},
        *(draws.context() for _ in range(6)),
    ]
    asked += [draws.condition(3, draws.pick(contexts)) for _ in range(60)]
    segments: list[Any] = [
        {"key": "beta", "included": ["user-1", "ñandú", ""], "excluded": ["7", ""], "conditions": [TRUE]},
        {"key": "staff", "included": ["user-1"]},
        {"key": "outer", "conditions": [{"segment": "beta"}, {"not": {"segment": "staff"}}]},
        {"key": "round-1", "included": ["user-1"], "conditions": [{"not": {"segment": "round-2"}}]},
        {"key": "round-2", "included": ["user-1"], "conditions": [{"any": [{"all": [{"segment": "round-1"}]}]}]},
        {"key": "empty"},
        {"key": "by-age", "unit": "age", "included": ["7"], "excluded": ["true"], "conditions": [UNKNOWN]},
    ]
    asked = distinct(asked)
    found = truths(segments, contexts, asked)
    cases = [{"condition": condition, "truths": row} for condition, row in zip(asked, found, strict=True)]
    return {"segments": segments, "contexts": contexts, "cases": cases}


def edges() -> dict[str, Any]:
    """Flags at the edges of the order: unreadable and off, waiting round about, killed by halves, split by nothing."""

    def flag(key: str, **parts: Any) -> dict[str, Any]:
        shape = {"key": key, "type": "boolean", "variants": {"on": True, "off": False}, "version": 1, "enabled": True}
        return {**shape, "off_variant": "off", **parts}

    def rollout(key: str, exposure_ppm: int, **parts: Any) -> dict[str, Any]:
        return {"rollout": {"exposure_ppm": exposure_ppm, "split": {"on": 1}, "salt": key, **parts}}

    def kill(number: int, key: str, scope: str, **parts: Any) -> dict[str, Any]:
        named = {"kill_id": f"kill-{number}", "project": "default", "environment": "production", "flag": key}
        return {**named, "scope": scope, "source": "person", "at_ms": 1, **parts}

    def waits(*flags: str, variant: str = "on") -> dict[str, Any]:
        return {"prerequisites": [{"flag": name, "variants": [variant]} for name in flags]}

    def ramp(number: int, key: str, **parts: Any) -> dict[str, Any]:
        return {
            "ramp": f"ramp-{number}",
            "flag": key,
            "exposure_ppm": MILLION,
            "epoch": 1,
            "levels": [MILLION],
            **parts,
        }

    full = rollout("s", MILLION)
    flags = [
        flag("off-without-variant", enabled=False, off_variant="gone"),
        flag("killed-without-variant", off_variant="gone", default=full),
        flag("off-and-too-new", enabled=False, needs=2),
        flag("off-and-unreadable", enabled=False, default={"serve": "gone"}),
        flag("too-new", needs=2, default=full),
        flag("not-too-new", needs=1, default=full),
        flag("unreadable-weight", default=rollout("s", 0, split={"on": 1, "gone": 0})),
        flag("unreadable-fallback", rules=[{"name": "r", "when": {}, "answer": rollout("s", 0, fallback="gone")}]),
        flag("nothing"),
        flag("nothing-at-all", off_variant=None),
        flag("no-weight", default=rollout("s", MILLION, split={"on": 0, "off": 0.0}, fallback="off")),
        flag("no-variant", default=rollout("s", MILLION, split={}), off_variant=None),
        flag("both", default={"serve": "off", **full}),
        flag("twice-listed", variants={"2": 2, "10": 10, "off": 0}, targets={"10": ["user-1"], "2": ["user-1", ""]}),
        flag("in-itself", **waits("in-itself"), default={"serve": "on"}),
        flag("left", **waits("right"), default={"serve": "on"}),
        flag("right", **waits("left"), default={"serve": "on"}),
        # Whether the last waits in vain depends on what was found while the first was open.
        flag("first", **waits("second", variant="off"), default={"serve": "on"}),
        flag("second", **waits("third"), default={"serve": "on"}),
        flag("third", **waits("second"), default={"serve": "on"}),
        flag("last", prerequisites=[{"flag": "second", "variants": ["off"]}, {"flag": "third", "variants": ["on"]}]),
        flag("on-an-off-one", **waits("off-and-too-new", variant="off"), default={"serve": "on"}),
        flag("on-an-aged-one", **waits("aged"), default={"serve": "on"}),
        flag("aged", max_staleness_ms=1_000, default=rollout("s", 0)),
        flag("aged-targets", max_staleness_ms=0, targets={"on": ["user-1"]}, default={"serve": "off"}),
        flag("aged-plain", max_staleness_ms=0, default=rollout("s", MILLION, bucket_by="plan")),
        flag("killed-by-no-name", default=full),
        flag("killed-by-empty-name", default=full),
        flag("two-ramps", default=rollout("s", 0)),
        flag("two-old-ramps", default=rollout("s", 0)),
        flag("held", default=rollout("s", MILLION, low=0, high=900_000)),
        flag("by-age", default=rollout("s", 500_000, bucket_by="age", split={"on": 1, "off": 1})),
        flag("served-nothing", rules=[{"name": "r", "when": {"all": []}, "answer": {}}], default={"serve": "on"}),
        flag("same-key", default={"serve": "off"}),
        flag("same-key", default={"serve": "on"}),
    ]
    ramps = [
        ramp(1, "aged"),
        ramp(2, "two-ramps"),
        ramp(3, "two-ramps", live=False, exposure_ppm=0),
        ramp(4, "two-old-ramps", live=False, exposure_ppm=0),
        ramp(5, "two-old-ramps", live=False),
        ramp(6, "held", holdback_ppm=MILLION // 2),
    ]
    kills = [
        kill(1, "killed-without-variant", "flag"),
        kill(2, "killed-by-no-name", "rollout"),
        kill(3, "two-ramps", "flag", revived=True),
    ]
    beside = [
        kill(3, "two-ramps", "flag"),
        kill(4, "killed-by-empty-name", "rollout", rollout=""),
        kill(5, "held", "flag", environment="staging"),
        kill(6, "by-age", "flag", revived=True),
    ]
    contexts: list[dict[str, Any]] = [{}, {"targetingKey": ""}, {"targetingKey": "user-1", "age": 7.0, "plan": None}]
    contexts += [{"targetingKey": f"user-{n}", "age": age} for n, age in ((2, 2**53 + 1), (3, True), (4, "7"))]
    keys = list(dict.fromkeys(flag["key"] for flag in flags))
    cases = [{"flag": key, "context": context} for key in keys for context in contexts]
    aged = [key for key in keys if "aged" in key]
    cases += [{**case, "age_ms": age} for case in cases if case["flag"] in aged for age in (0, 1, 1_000, 1_001)]
    identity = {"format": 1, "generation": 1, "revision": 1, "project": "default", "environment": "production"}
    return {"snapshot": {**identity, "flags": flags, "ramps": ramps, "kills": kills}, "kills": beside, "cases": cases}


def snapshots() -> list[dict[str, Any]]:
    draws = Draws(4_005)
    worlds = [edges(), *(draws.world(8, 50) for _ in range(14))]
    for world in worlds:
        for case, answer in zip(world["cases"], evaluations(world), strict=True):
            case["expected"] = answer
    return worlds


def staged() -> list[dict[str, Any]]:
    """Ramps that go from one value of an attribute to the next, and such as compare with a baseline."""
    draws = Draws(4_006)
    worlds = [staged_world(draws, 6, 60) for _ in range(8)]
    for world in worlds:
        for case, answer in zip(world["cases"], staged_answers(world), strict=True):
            case["expected"] = answer
    return worlds


FILES: dict[str, Callable[[], Any]] = {
    "murmur": murmur,
    "bucketing": bucketing,
    "rendezvous": rendezvous,
    "levels": levels,
    "operators": operators,
    "conditions": conditions,
    "snapshots": snapshots,
    "staged": staged,
}


def written(vectors: Any) -> str:
    """The vectors as JSON: one item a line, of a list and of each list in an object."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False).replace("\ufeff", "\\ufeff")

    def lines(value: Any, indent: str) -> str:
        if not isinstance(value, list) or not value:
            return line(value)
        return "[\n" + ",\n".join(f"{indent}  {line(item)}" for item in value) + f"\n{indent}]"

    if isinstance(vectors, dict):
        return "{\n" + ",\n".join(f"  {line(name)}: {lines(item, '  ')}" for name, item in vectors.items()) + "\n}\n"
    return lines(vectors, "") + "\n"


def main(again: bool) -> None:
    for name, vectors in FILES.items():
        path = HERE / f"{name}.json"
        if again or not path.exists():
            path.write_text(written(vectors()), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main("--again" in sys.argv[1:])
