"""Windows and layers in a flag document, and what its writer is warned of."""

from typing import Any

import pytest

from rheostat.model.document import FlagDocument
from rheostat.model.window import WindowDocument
from rheostat_server.errors import Invalid
from rheostat_server.flags.validate import validate_flag
from rheostat_server.flags.warnings import warnings_of

EVERYONE = {"attribute": "targetingKey", "operator": "exists"}


def a_flag(*rules: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "key": "checkout",
        "type": "boolean",
        "variants": {"on": True, "off": False},
        "environments": {"production": {"rules": list(rules)}},
        **changes,
    }


def a_rule(**changes: Any) -> dict[str, Any]:
    return {"when": EVERYONE, "serve": "on", **changes}


@pytest.mark.parametrize(
    "window",
    [
        {"from": "2026-11-27T00:00", "until": "2026-12-01T00:00", "timezone": "Europe/Madrid"},
        {"from": "2026-11-27T00:00:00+01:00"},
        {"until": "2026-11-27T00:00:00Z"},
        {"until": "2026-11-27T00:00:30", "timezone": "UTC"},
    ],
)
def test_a_window_is_kept_as_it_was_written(window: dict[str, str]) -> None:
    """Either bound may be missing; local times come with their timezone."""
    document = validate_flag(a_flag(a_rule(active=window)))

    kept = document.environments["production"].rules[0].active
    assert kept == WindowDocument(from_=window.get("from"), until=window.get("until"), timezone=window.get("timezone"))


def test_a_null_window_is_none() -> None:
    """As with every field, null is the same as leaving it out."""
    document = validate_flag(a_flag(a_rule(active=None)))

    assert document.environments["production"].rules[0].active is None


def test_the_faults_of_a_window_are_found_at_once() -> None:
    """A timezone that is not one does not hide a bound that is none."""
    with pytest.raises(Invalid) as caught:
        validate_flag(a_flag(a_rule(active={"from": "soon", "until": "2026-11-27T00:00", "timezone": "Mars"})))

    path = "environments.production.rules[0].active"
    assert [fault.path for fault in caught.value.faults] == [f"{path}.timezone", f"{path}.from"]
    assert "Europe/Madrid" in str(caught.value.faults[0])


def test_a_range_of_a_layer_is_kept() -> None:
    """With at most four decimals."""
    rollout = {"exposure": 50, "split": {"on": 1}, "layer": "page", "range": [0, 33.3333], "salt": None}
    document = validate_flag(a_flag(environments={"production": {"default": {"rollout": rollout}}}))

    found = document.environments["production"].rollout("default")
    assert found is not None
    assert (found.layer, found.range, found.salt) == ("page", (0, 33.3333), None)


def kept(*conditions: dict[str, Any], client: bool = True) -> FlagDocument:
    return validate_flag(a_flag(*(a_rule(when=condition) for condition in conditions), client=client))


def test_a_client_flag_is_warned_of_what_clients_can_forge() -> None:
    """One warning a rule, naming each attribute and segment once, however deep; server flags have none."""
    clause = {"attribute": "plan", "operator": "in", "values": ["pro"]}
    deep = {"any": [{"not": clause}, {"all": [clause, {"segment": "staff"}]}]}

    plan, both = warnings_of(kept(clause, deep))

    assert plan.path == "environments.production.rules[0].when"
    assert "any plan it likes" in plan.message
    assert "any plan and membership of staff it likes" in both.message
    assert warnings_of(kept(clause, client=False)) == []
    assert warnings_of(kept()) == []
