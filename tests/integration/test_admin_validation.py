"""Whatever a document may have wrong, over HTTP and from files: refused, with each fault's path and hint."""

import asyncio
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.main import rheostat
from rheostat_server.flags.chains import MOST_FLAGS, MOST_SEGMENTS
from tests.admin_server import RunningNode, flag_document, rolled_out

PROJECT = "/projects/default"
HERE = "environments.production"
CLAUSE = {"attribute": "plan", "operator": "in", "values": ["pro"]}


def here(**fields: Any) -> dict[str, Any]:
    """Return a flag whose production has these fields."""
    return flag_document(environments={"production": rolled_out(5, **fields)})


def ruled(when: Any, **rule: Any) -> dict[str, Any]:
    """Return a flag with one rule."""
    return here(rules=[{"name": "r", "when": when, "serve": "on", **rule}])


def clause(operator: str, *values: Any) -> dict[str, Any]:
    """Return a flag with one rule of one clause."""
    return ruled({"attribute": "a", "operator": operator, "values": list(values)})


def rollout(**changes: Any) -> dict[str, Any]:
    """Return a flag with such a rollout as its default."""
    found = {"exposure": 5, "split": {"on": 1}, "fallback": "off", **changes}
    return here(default={"rollout": found})


def nested(levels: int) -> dict[str, Any]:
    """Return a condition of so many levels."""
    found: dict[str, Any] = CLAUSE
    for _ in range(levels - 1):
        found = {"all": [found]}
    return found


def needs(key: str, *others: str) -> dict[str, Any]:
    """Return a flag with these prerequisites."""
    prerequisites = [{"flag": other, "variants": ["on"]} for other in others]
    return flag_document(key, environments={"production": rolled_out(5, prerequisites=prerequisites)})


def segment(key: str, *others: str) -> dict[str, Any]:
    """Return a segment that names these."""
    return {"kind": "segment", "key": key, "conditions": [{"segment": other} for other in others]}


def in_layer(key: str, *bounds: float) -> dict[str, Any]:
    """Return a flag whose rollout owns a part of the layer."""
    own = {"exposure": 5, "split": {"on": 1}, "fallback": "off", "layer": "line", "range": list(bounds)}
    return flag_document(key, environments={"production": {"enabled": True, "default": {"rollout": own}}})


class Wrong(NamedTuple):
    """A document, where its fault is, and parts of what is said."""

    document: dict[str, Any]
    path: str
    message: str
    hint: str


WHEN, DEFAULT = f"{HERE}.rules[0].when", f"{HERE}.default.rollout"

BY_THEMSELVES = {
    "unknown field": Wrong(flag_document(owne="me"), "owne", "no such field", "did you mean owner?"),
    "unknown field within": Wrong(here(rule=[]), f"{HERE}.rule", "no such field", "did you mean rules?"),
    "unlike any field": Wrong(flag_document(zzz=1), "zzz", "no such field", "one of: kind, key, type"),
    "unknown variant": Wrong(
        ruled(CLAUSE, serve="onn"), f"{HERE}.rules[0].serve", "no variant onn", "did you mean on?"
    ),
    "unknown variant in a split": Wrong(
        rollout(split={"of": 1}), f"{DEFAULT}.split.of", "no variant of", "did you mean off?"
    ),
    "unknown operator": Wrong(clause("semver_gte", "1.0.0"), f"{WHEN}.operator", "semver_gte", "did you mean semver_g"),
    "wrong value type": Wrong(
        flag_document(variants={"on": 1, "off": False}), "variants.on", "cannot be 1", "true or false"
    ),
    "wrong value type of an integer": Wrong(
        flag_document(type="integer", variants={"on": 1.5, "off": 0}), "variants.on", "cannot be 1.5", "whole number"
    ),
    "bad pattern": Wrong(clause("matches", "a("), f"{WHEN}.values[0]", "this is no pattern", ""),
    "pattern of another dialect": Wrong(clause("matches", "(?=a)b"), f"{WHEN}.values[0]", "this is no pattern", ""),
    "bad CIDR": Wrong(clause("in_cidr", "10.0.0.0/33"), f"{WHEN}.values[0]", "not an IP address", "such as 10.0.0.0/8"),
    "CIDR with bits beyond": Wrong(
        clause("in_cidr", "10.0.0.1/8"), f"{WHEN}.values[0]", "not an IP address", "did you mean 10.0.0.0/8?"
    ),
    "bad semver": Wrong(clause("semver_ge", "1.4"), f"{WHEN}.values[0]", "not a semantic version", "such as 1.4.0"),
    "bad date": Wrong(clause("before", "2026-13-01"), f"{WHEN}.values[0]", "not a date and time", "RFC 3339"),
    "bad window": Wrong(
        ruled(CLAUSE, active={"from": "tomorrow"}),
        f"{HERE}.rules[0].active.from",
        "not a date and time",
        "with timezone",
    ),
    "negative weight": Wrong(rollout(split={"on": -1}), f"{DEFAULT}.split.on", "0 or more", "0 keeps"),
    "weights all zero": Wrong(rollout(split={"on": 0, "off": 0}), f"{DEFAULT}.split", "at least one", "such as split"),
    "exposure below 0": Wrong(rollout(exposure=-0.1), f"{DEFAULT}.exposure", "not between 0 and 100", "four decimals"),
    "exposure above 100": Wrong(
        rollout(exposure=100.1), f"{DEFAULT}.exposure", "not between 0 and 100", "four decimals"
    ),
    "exposure too fine": Wrong(rollout(exposure=0.00001), f"{DEFAULT}.exposure", "decimals", "four decimals"),
    "conditions too deep": Wrong(
        ruled(nested(17)), WHEN + ".all[0]" * 16, "more than 16 levels", "name a part of them as a segment"
    ),
    "value too deep": Wrong(
        flag_document(type="object", variants={"on": json.loads('{"a":' * 17 + "1" + "}" * 17), "off": {}}),
        "variants.on" + ".a" * 16,
        "more than 16 levels",
        "flatten it",
    ),
    "value too large": Wrong(
        flag_document(type="string", variants={"on": "x" * (256 << 10), "off": ""}),
        "variants.on",
        "the most is 262,144",
        "serve where it is kept",
    ),
    "document too large": Wrong(
        here(targets={"on": [f"user-{n:09}" for n in range(70_000)]}), "", "the most is 1,048,576", "belong in segments"
    ),
    "its own prerequisite": Wrong(
        needs("checkout", "checkout"), f"{HERE}.prerequisites[0].flag", "cannot be its own", ""
    ),
}
"""What is wrong whatever else there is."""

AMONG_OTHERS = {
    "unknown environment": Wrong(
        flag_document(environments={"prodution": rolled_out(5)}),
        "environments.prodution",
        "no environment",
        "did you mean production?",
    ),
    "missing segment": Wrong(ruled({"segment": "bta"}), f"{WHEN}.segment", "no segment 'bta'", "did you mean beta?"),
    "missing flag": Wrong(needs("a", "fist"), f"{HERE}.prerequisites[0].flag", "no flag 'fist'", "did you mean first?"),
    "missing layer": Wrong(
        rollout(layer="lin", range=[0, 50]), f"{DEFAULT}.layer", "no layer 'lin'", "did you mean line?"
    ),
    "variant of another flag": Wrong(
        here(prerequisites=[{"flag": "first", "variants": ["onn"]}]),
        f"{HERE}.prerequisites[0].variants[0]",
        "first has no variant",
        "did you mean on?",
    ),
    "cycle": Wrong(
        needs("first", "second"), f"{HERE}.prerequisites[0].flag", "in a circle: first → second → first", "take"
    ),
    "cycle of segments": Wrong(
        segment("beta", "outer"), "conditions[0].segment", "in a circle: beta → outer → beta", "take"
    ),
    "overlapping ranges": Wrong(
        in_layer("b", 40, 60), f"{DEFAULT}.range", "overlaps 0–50 %, which the flag owner owns", "that nobody owns"
    ),
    "chain too long": Wrong(
        needs("top", "f0"),
        f"{HERE}.prerequisites[0].flag",
        "32 are the most: top → f0 → ",
        "link",
    ),
    "chain lengthened below": Wrong(
        needs(f"f{MOST_FLAGS - 1}", "spare"),
        f"{HERE}.prerequisites[0].flag",
        "flags, and 32 are the most: ",
        "take a link out",
    ),
    "chain of segments too long": Wrong(
        segment("top", "s0"),
        "conditions[0].segment",
        "16 are the most: top → s0 → ",
        "link",
    ),
    "chain of segments lengthened below": Wrong(
        segment(f"s{MOST_SEGMENTS - 1}", "beta2"),
        "conditions[0].segment",
        "segments, and 16 are the most: ",
        "take a link out",
    ),
}
"""What is wrong with what is there already."""


def shelf() -> list[dict[str, Any]]:
    """Return the documents that are there already."""
    return [
        {"kind": "layer", "key": "line"},
        segment("beta"),
        segment("beta2"),
        segment("outer", "beta"),
        *(segment(f"s{n}", *([f"s{n + 1}"] if n < MOST_SEGMENTS - 1 else [])) for n in range(MOST_SEGMENTS)),
        flag_document("spare"),
        flag_document("first"),
        needs("second", "first"),
        in_layer("owner", 0, 50),
        *(needs(f"f{n}", *([f"f{n + 1}"] if n < MOST_FLAGS - 1 else [])) for n in range(MOST_FLAGS)),
    ]


async def stock(running: RunningNode) -> None:
    applied = await running.admin.post(f"{PROJECT}/apply", json={"documents": shelf()})
    assert applied.status_code == 200, applied.text


def address_of(document: dict[str, Any]) -> str:
    return f"{PROJECT}/{document['kind']}s/{document['key']}"


async def test_each_fault_is_refused_with_its_path_and_a_hint(running: RunningNode) -> None:
    """422, and nothing is changed; the fault is the only one."""
    await stock(running)
    before = await running.revisions()
    for name, wrong in {**BY_THEMSELVES, **AMONG_OTHERS}.items():
        answer = await running.admin.put(address_of(wrong.document), json=wrong.document)

        assert answer.status_code == 422, (name, answer.text[:300])
        assert answer.headers["content-type"].startswith("application/problem+json")
        [fault] = answer.json()["faults"]
        assert fault.get("path", "") == wrong.path, name
        assert wrong.message in fault["message"], (name, fault)
        assert fault.get("hint"), (name, fault)
        assert wrong.hint in fault["hint"], (name, fault)
    assert await running.revisions() == before


@pytest.mark.parametrize("wrongs", [BY_THEMSELVES, AMONG_OTHERS], ids=["by themselves", "among others"])
async def test_all_faults_of_all_documents_come_at_once(running: RunningNode, wrongs: dict[str, Wrong]) -> None:
    """One answer of `apply` lists each of them by its document."""
    await stock(running)
    documents: list[dict[str, Any]] = []
    expected: set[str] = set()
    for name, wrong in wrongs.items():
        # Two documents of one key are a fault of their own, and flags that differ in nothing else may share no key.
        key = (
            wrong.document["key"]
            if wrongs is AMONG_OTHERS and name.startswith(("cycle", "chain"))
            else f"k{len(documents)}"
        )
        if name == "its own prerequisite":
            continue
        expected.add(f"documents[{len(documents)}]" + (f".{wrong.path}" if wrong.path else ""))
        documents.append({**wrong.document, "key": key})
    answer = await running.admin.post(f"{PROJECT}/apply", json={"documents": documents})

    assert answer.status_code == 422
    assert expected <= {fault["path"] for fault in answer.json()["faults"]}
    assert [fault for fault in answer.json()["faults"] if not fault.get("hint")] == []


async def test_all_faults_of_one_document_come_at_once(running: RunningNode) -> None:
    """Fields, values, clauses, shares and windows alike."""
    rules = [
        {"name": f"r{n}", "when": when, "serve": "on"}
        for n, when in enumerate(
            [
                {"attribute": "a", "operator": "matches", "values": ["a("]},
                {"attribute": "a", "operator": "in_cidr", "values": ["10.0.0.1/8"]},
                {"attribute": "a", "operator": "semver_ge", "values": ["1.4"]},
                {"attribute": "a", "operator": "after", "values": ["soon"]},
                nested(17),
            ]
        )
    ]
    wrong = rollout(exposure=101, split={"onn": 1, "on": -1})["environments"]["production"]
    document = flag_document(
        owne="me", variants={"on": 1, "off": False}, environments={"production": {**wrong, "rules": rules}}
    )
    answer = await running.admin.put(f"{PROJECT}/flags/checkout", json=document)

    assert answer.status_code == 422
    assert [fault["path"] for fault in answer.json()["faults"]] == [
        "owne",
        "variants.on",
        *(f"{HERE}.rules[{n}].when.values[0]" for n in range(4)),
        f"{HERE}.rules[4].when" + ".all[0]" * 16,
        f"{DEFAULT}.exposure",
        f"{DEFAULT}.split.onn",
        f"{DEFAULT}.split.on",
    ]


def refused(running: RunningNode, home: Path, *files: Path) -> str:
    """Run `rheostat apply`, which must fail; return what it says."""
    environ = {"RHEOSTAT_URL": running.url, "RHEOSTAT_TOKEN": running.token, "XDG_CONFIG_HOME": str(home)}
    result = CliRunner().invoke(rheostat, ["apply", *map(str, files)], env=environ)
    assert isinstance(result.exception, CommandFailed), result.output
    return str(result.exception)


@pytest.mark.parametrize("wrongs", [BY_THEMSELVES, AMONG_OTHERS], ids=["by themselves", "among others"])
async def test_files_are_refused_with_file_document_and_path(
    running: RunningNode, tmp_path: Path, wrongs: dict[str, Wrong]
) -> None:
    """`rheostat apply` names where each fault is: also those that only the server can know of."""
    await stock(running)
    expected: list[tuple[str, Wrong]] = []
    files: list[Path] = []
    for name, wrong in wrongs.items():
        if name.startswith(("value too large", "document too large")):
            continue
        file = tmp_path / f"{name}.yaml"
        with file.open("w") as out:
            unique = name.startswith(("cycle", "chain", "its own"))
            fine = flag_document(f"fine{len(files)}")
            YAML().dump_all([fine, wrong.document if unique else {**wrong.document, "key": f"k{len(files)}"}], out)
        expected.append((f"{file}#2: {wrong.path}: ", wrong))
        files.append(file)
    said = (await asyncio.to_thread(refused, running, tmp_path, *files)).splitlines()

    for start, wrong in expected:
        lines = [line for line in said if line.strip().startswith(start) and wrong.message in line]
        assert len(lines) == 1, (start, said)
        assert wrong.hint in lines[0]


async def test_what_a_client_can_forge_is_kept_with_a_warning(running: RunningNode) -> None:
    """Over HTTP and by `apply`: it is written, and the writer is told of the rule."""
    document = {**ruled(CLAUSE), "client": True}
    put = await running.admin.put(address_of(document), json=document)
    both = await running.admin.post(f"{PROJECT}/apply", json={"documents": [{**document, "key": "other"}]})

    assert (put.status_code, both.status_code) == (201, 200)
    for note in (*put.json()["notes"], *both.json()["changes"][0]["notes"]):
        assert note.startswith(f"warning: {WHEN}: ")
        assert "plan" in note
        assert "set client: false" in note
