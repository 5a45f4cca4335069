"""The engine against a second one in JavaScript, written from docs/reference/porting.md."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from rheostat.engine.attributes import unit_of
from rheostat.engine.equality import strictly_equal
from tests.golden import oracle
from tests.golden.answers import evaluations, truth_of
from tests.golden.draws import KINDS, Draws
from tests.golden.staged import staged_answers, staged_world

HERE = Path(__file__).parent
WORLDS, CASES = 1_000, 100
NEAR = 1e-12
Json = dict[str, Any]


def golden(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def ported(*requests: Json) -> list[Any]:
    """Return the port's answer to each request."""
    asked = "".join(f"{json.dumps(request)}\n" for request in requests)
    command = ["node", str(HERE / "port" / "answers.mjs")]
    run = subprocess.run(command, check=False, input=asked.encode(), capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    return [json.loads(line) for line in run.stdout.split(b"\n") if line]


def is_near_tie(split: dict[str, float], salt: str, unit: str) -> bool:
    """Whether two logarithms are so close that the last bit of a library may decide."""
    scores = sorted(oracle.score(split[name], salt, unit, name) for name in split if split[name] > 0)
    return any(above - below < NEAR for below, above in pairwise(scores))


def may_differ(snapshot: Json, context: Json) -> bool:
    """Whether any rollout of the snapshot has a near-tie for any unit of the context."""
    found = {unit for value in context.values() if (unit := unit_of(value)) is not None}
    answers = [answer for flag in snapshot["flags"] for answer in _answers(flag) if "rollout" in answer]
    rollouts = [answer["rollout"] for answer in answers]
    return any(is_near_tie(rollout["split"], rollout["salt"], unit) for rollout in rollouts for unit in found)


def _answers(flag: Json) -> Iterable[Json]:
    return [*(rule["answer"] for rule in flag["rules"]), flag.get("default", {})]


def test_the_port_gives_the_vectors_of_hashing() -> None:
    """The port hashes, places and splits as the vectors say."""
    murmur, bucketing = golden("murmur"), golden("bucketing") + golden("places")["vectors"]
    rendezvous, splits, units = golden("rendezvous"), golden("splits"), golden("units")
    split_cases = [(case["split"], case["salt"], dict(case["variants"])) for case in rendezvous]
    split_cases += [(case["split"], case["salt"], case["variants"]) for case in splits]

    hashes, places, chosen, hashed = ported(
        {"hashes": [[text, seed] for text, seed, _ in murmur]},
        {"places": [[salt, unit] for salt, unit, _ in bucketing]},
        {"splits": [[split, salt, list(variants)] for split, salt, variants in split_cases]},
        {"unit_hashes": [[key, unit] for key, unit, _ in units]},
    )

    assert hashes == [expected for _, _, expected in murmur]
    assert places == [expected for _, _, expected in bucketing]
    assert chosen == [list(variants.values()) for _, _, variants in split_cases]
    assert hashed == [expected for _, _, expected in units]


def test_the_port_gives_the_vectors_of_shares() -> None:
    """The port exposes, holds back and enters as the vectors say."""
    asked, expected = [], []
    for case in golden("levels"):
        for at, *answer in case["places"]:
            asked.append([at, case["levels"], case["holdback_ppm"], case["low"], case["high"]])
            expected.append(answer)
    for case in golden("entries"):
        for at, entry in case["entries"]:
            asked.append([at, case["levels"], case["holdback_ppm"], case["low"], case["high"]])
            expected.append([None, None, entry])
    for case in golden("exposures"):
        asked.append([case["place"], [case["exposure_ppm"]], case["holdback_ppm"], case["low"], case["high"]])
        expected.append([[case["exposed"]], case["held"], None])

    (found,) = ported({"levels": asked})

    for answer, wanted in zip(found, expected, strict=True):
        assert all(part is None or part == given for part, given in zip(wanted, answer, strict=True))


def test_the_port_gives_the_vectors_of_conditions() -> None:
    """The port judges operators and conditions as the vectors say."""
    operators, conditions = golden("operators"), golden("conditions")
    asked = {"segments": conditions["segments"], "contexts": conditions["contexts"]}

    found, truths = ported(
        {"operators": [[operator, values, x] for operator, values, x, _ in operators]},
        {"conditions": {**asked, "conditions": [case["condition"] for case in conditions["cases"]]}},
    )

    for vector, truth in zip(operators, found, strict=True):
        assert truth is vector[3], vector
    for case, row in zip(conditions["cases"], truths, strict=True):
        assert row == case["truths"], case["condition"]


def test_the_port_gives_the_vectors_of_patterns() -> None:
    """The port matches, and refuses, the patterns that the vectors say."""
    vectors = golden("patterns")
    pairs = [(pattern, text, truth) for pattern, texts in vectors["matches"] for text, truth in texts]

    found, refused = ported(
        {"operators": [["matches", [pattern], text] for pattern, text, _ in pairs]},
        {"refused": [pattern for pattern, _ in vectors["refused"]]},
    )

    for pair, truth in zip(pairs, found, strict=True):
        assert truth is pair[2], pair
    for (pattern, _), gone in zip(vectors["refused"], refused, strict=True):
        assert gone, pattern


def test_the_port_gives_the_vectors_of_evaluations() -> None:
    """The port evaluates whole flags as the vectors say."""
    byhand, worlds = golden("evaluations"), golden("snapshots")

    first, *rest = ported(
        {"evaluations": {**byhand, "kills": []}},
        *({"evaluations": world} for world in worlds),
    )

    for case, answer in zip(byhand["cases"], first, strict=True):
        known = {name: answer[name] for name in answer if name not in {"value", "ramp"}}
        assert known == case["expected"], case
    for world, answers in zip(worlds, rest, strict=True):
        for case, answer in zip(world["cases"], answers, strict=True):
            assert strictly_equal(answer, case["expected"]), case


def test_the_port_gives_the_vectors_of_staged_ramps() -> None:
    """The port knows who is done, who is on and who waits, and compares with a baseline, as the vectors say."""
    worlds = golden("staged")

    for world, answers in zip(worlds, ported(*({"staged": world} for world in worlds)), strict=True):
        for case, answer in zip(world["cases"], answers, strict=True):
            assert strictly_equal(answer, case["expected"]), case


def test_the_port_agrees_on_random_staged_ramps() -> None:
    """Engine and port give one answer and one entry; each kind of ramp is met by all sorts of users."""
    draws = Draws(4_102)
    worlds = [staged_world(draws, 8, 100) for _ in range(500)]
    met: Counter[tuple[str, str | None]] = Counter()

    for world, answers in zip(worlds, ported(*({"staged": world} for world in worlds)), strict=True):
        kinds = {ramp["ramp"]: "cells" if "cells" in ramp else "baseline" for ramp in world["snapshot"]["ramps"]}
        for case, answer, expected in zip(world["cases"], answers, staged_answers(world), strict=True):
            if "ramp" in expected:
                met[kinds[expected["ramp"]], expected.get("arm")] += 1
            if not strictly_equal(answer, expected):
                assert may_differ(world["snapshot"], case["context"]), (case, answer, expected)
    assert all(met["cells", arm] > 100 for arm in ("treatment", "control", "holdback", None)), met
    assert all(met["baseline", arm] > 100 for arm in ("treatment", "control", None)), met
    assert not met["baseline", "holdback"]


def test_the_port_agrees_on_a_hundred_thousand_random_evaluations() -> None:
    """Engine and port give one answer, but where two logarithms are less than 1e-12 apart."""
    draws = Draws(4_100)
    worlds = [draws.world(12, CASES) for _ in range(WORLDS)]
    met: Counter[tuple[str, str | None]] = Counter()

    found = ported(*({"evaluations": world} for world in worlds))

    for world, answers in zip(worlds, found, strict=True):
        for case, answer, expected in zip(world["cases"], answers, evaluations(world), strict=True):
            met[expected["reason"], expected.get("arm") or expected.get("error_code")] += 1
            if not strictly_equal(answer, expected):
                assert may_differ(world["snapshot"], case["context"]), (case, answer, expected)
    assert met.total() == WORLDS * CASES
    # A case that is never drawn proves nothing.
    assert all(
        met[reason, None] > 200 for reason in ("STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "DISABLED", "STALE")
    )
    assert all(met["SPLIT", arm] > 200 for arm in ("treatment", "control", "holdback"))
    assert all(met["ERROR", code] > 200 for code in ("FLAG_NOT_FOUND", "PARSE_ERROR", "TARGETING_KEY_MISSING"))


def test_the_port_agrees_on_random_operands() -> None:
    """Engine and port judge alike what is and what is nearly a version, a moment, an address, a number."""
    draws = Draws(4_101)
    asked: list[list[Any]] = []
    while len(asked) < 40_000:
        kind = draws.pick(list(KINDS))
        operator = draws.pick([name for name in KINDS[kind] if name != "exists"])
        x = draws.of_kind(kind)
        if x is not None:
            asked.append([operator, draws.operands(kind, x), x])

    (found,) = ported({"operators": asked})

    for case, truth in zip(asked, found, strict=True):
        assert truth is truth_of(*case), case
