"""What a scheduled change makes of the flag as it is when its time comes."""

from typing import Any

import msgspec
import pytest

from rheostat_server.errors import Invalid
from rheostat_server.scheduled.change import ScheduledChange, TargetEdit, changed_document

EVERYONE = {"attribute": "targetingKey", "operator": "exists"}
ROLLOUT = {"exposure": 5, "split": {"on": 1}, "fallback": "off"}


def a_document(**here: Any) -> bytes:
    return msgspec.json.encode(
        {
            "kind": "flag",
            "key": "checkout",
            "type": "boolean",
            "variants": {"on": True, "off": False},
            "off_variant": "off",
            "environments": {"production": {"enabled": True, "default": {"rollout": ROLLOUT}, **here}},
        }
    )


def a_rule(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "when": EVERYONE, "serve": "on", **changes}


def made(stored: bytes, environment: str = "production", **change: Any) -> Any:
    """Return what the change makes of the environment's part, as JSON."""
    document = changed_document(stored, ScheduledChange(environment=environment, **change))
    return msgspec.json.decode(msgspec.json.encode(document))["environments"][environment]


def paths(stored: bytes, change: ScheduledChange) -> list[str]:
    with pytest.raises(Invalid) as refused:
        changed_document(stored, change)
    return [fault.path for fault in refused.value.faults]


def test_a_patch_is_of_the_part_of_the_environment() -> None:
    """It merges into what is there: other fields, and other environments, stay."""
    here = made(a_document(), patch={"default": {"rollout": {"exposure": 50}}, "max_staleness": "5m"})

    assert here == {"enabled": True, "max_staleness": "5m", "default": {"rollout": {**ROLLOUT, "exposure": 50}}}


def test_an_environment_that_the_document_lacks_is_begun() -> None:
    """Its part is what the patch says."""
    assert made(a_document(), "staging", patch={"enabled": True}) == {"enabled": True}


def test_without_an_environment_the_patch_is_of_the_document() -> None:
    """Any field can be changed, but the key stays and no environment goes."""
    changed = changed_document(a_document(), ScheduledChange(patch={"owner": "ann", "off_variant": None}))

    assert (changed.owner, changed.off_variant) == ("ann", None)
    assert paths(a_document(), ScheduledChange(patch={"key": "other"})) == ["key"]
    assert paths(a_document(), ScheduledChange(patch={"environments": {"production": None}})) == [
        "environments.production"
    ]


def test_rules_are_changed_by_name() -> None:
    """A rule is merged with its patch or taken out; the others, and the order, stay."""
    stored = a_document(rules=[a_rule("one"), a_rule("two"), a_rule("three")])

    here = made(stored, rules={"two": {"serve": None, "rollout": ROLLOUT}, "one": None})

    assert [rule["name"] for rule in here["rules"]] == ["two", "three"]
    assert here["rules"][0] == {"name": "two", "when": EVERYONE, "rollout": ROLLOUT}


def test_rules_come_after_the_patch() -> None:
    """So a change can write the list and then edit in it."""
    here = made(a_document(), patch={"rules": [a_rule("one")]}, rules={"one": {"serve": "off"}})

    assert here["rules"] == [a_rule("one", serve="off")]


def test_every_rule_that_is_not_there_is_a_fault() -> None:
    """Each is told, with what was meant."""
    stored = a_document(rules=[a_rule("beta")])
    change = ScheduledChange(environment="production", rules={"betta": None, "gone": {"serve": "on"}})

    with pytest.raises(Invalid) as refused:
        changed_document(stored, change)

    assert [(fault.path, fault.hint) for fault in refused.value.faults] == [
        ("rules.betta", "did you mean beta?"),
        ("rules.gone", "one of: beta"),
    ]


def test_a_unit_becomes_a_target_and_leaves_the_others() -> None:
    """Who is added to one variant is taken from any other; who is listed already stays once, in place."""
    stored = a_document(targets={"on": ["ann"], "off": ["bob", "cem"]})

    here = made(stored, targets={"on": TargetEdit(add=("bob", "ann", "dan"))})

    assert here["targets"] == {"on": ["bob", "ann", "dan"], "off": ["cem"]}


def test_units_are_removed_from_one_variant() -> None:
    """Who is no target of it is no fault; a list that is empty then is not kept."""
    stored = a_document(targets={"on": ["ann"], "off": ["bob"]})

    here = made(stored, targets={"on": TargetEdit(remove=("ann", "bob", "eve"))})

    assert here["targets"] == {"off": ["bob"]}
    assert "targets" not in made(a_document(), targets={"on": TargetEdit(remove=("ann",))})


def test_targets_of_an_unknown_variant_are_a_fault() -> None:
    """Also where they would only be removed: nobody meant that."""
    change = ScheduledChange(environment="production", targets={"of": TargetEdit(remove=("ann",))})

    assert paths(a_document(), change) == ["environments.production.targets.of"]


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        ({"rules": 5}, "rules"),
        ({"rules": [5]}, "rules[0]"),
        ({"targets": 5}, "targets"),
        ({"targets": {"on": 5}}, "targets.on"),
    ],
)
def test_what_the_patch_makes_wrong_is_told_as_that(patch: dict[str, Any], path: str) -> None:
    """Rules and targets that are none are faults of the document, not a failure of ours."""
    change = ScheduledChange(
        environment="production",
        patch=patch,
        rules={} if path != "rules" else {"one": None},
        targets={"on": TargetEdit(add=("ann",))},
    )

    assert paths(a_document(), change) == [f"environments.production.{path}"]


def test_a_stored_change_reads_back() -> None:
    """What is kept as JSON is the change again, with the nulls that take away."""
    change = ScheduledChange(
        environment="production",
        patch={"default": {"serve": None}},
        rules={"one": None, "two": {"serve": None}},
        targets={"on": TargetEdit(add=("ann",))},
    )

    assert msgspec.json.decode(msgspec.json.encode(change), type=ScheduledChange) == change
