"""A flag's exposure in words, and changed in its document."""

from typing import Any

import pytest

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.flag_exposure import exposure_patch, exposure_words, with_exposure


def a_view(settings: dict[str, Any] | None, force: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    document = {"key": "f", "type": "boolean", "variants": {"on": True, "off": False}, "environments": {}}
    if settings is not None:
        document["environments"] = {"production": settings}
    return {"document": document, "in_force": {"production": force} if force else {}, **more}


ROLLOUT = {"rollout": {"exposure": 5, "split": {"on": 1}, "fallback": "off"}}


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (a_view(None), "disabled"),
        (a_view({"enabled": False, "default": ROLLOUT}), "disabled"),
        (a_view({"enabled": True, "default": {"serve": "on"}}), "serves on"),
        (a_view({"enabled": True}), "off variant"),
        (a_view({"enabled": True, "default": ROLLOUT}), "5 %"),
        (a_view({"enabled": True, "default": ROLLOUT, "rules": [{}]}), "5 %, 1 rule"),
        (a_view({"enabled": True, "default": ROLLOUT, "rules": [{}, {}]}), "5 %, 2 rules"),
        (a_view({"enabled": True, "default": ROLLOUT}, archived=True), "archived"),
        (a_view({"enabled": True, "default": ROLLOUT}, {"kills": [{"scope": "flag"}]}), "killed"),
        (
            a_view(
                {"enabled": True, "default": ROLLOUT},
                {"rollouts": {"default": {"declared": 5, "in_force": 100, "ramp": "R"}}, "kills": []},
            ),
            "declared 5 %, in force 100 % by a ramp",
        ),
        (
            a_view(
                {"enabled": True, "default": ROLLOUT},
                {"rollouts": {"default": {"declared": 5, "in_force": 0}}, "kills": [{"scope": "rollout"}]},
            ),
            "declared 5 %, in force 0 %, rollout killed",
        ),
    ],
)
def test_what_a_flag_does_is_said_in_a_few_words(view: dict[str, Any], words: str) -> None:
    """Declared and in force are told apart wherever they differ."""
    assert exposure_words(view, "production") == words


def test_only_the_named_exposure_changes() -> None:
    """The document that was given stays as it was."""
    document = a_view({"enabled": True, "default": ROLLOUT})["document"]

    changed = with_exposure(document, "production", 10, None)

    assert changed["environments"]["production"]["default"]["rollout"] == {**ROLLOUT["rollout"], "exposure": 10}
    assert document["environments"]["production"]["default"] == ROLLOUT


def test_a_rule_s_rollout_can_be_named() -> None:
    """With a rule's name, its rollout changes and the default's does not."""
    settings = {"enabled": True, "rules": [{"name": "staff", **ROLLOUT}], "default": ROLLOUT}

    changed = with_exposure(a_view(settings)["document"], "production", 50, "staff")

    rule = changed["environments"]["production"]["rules"][0]
    assert rule["rollout"]["exposure"] == 50
    assert changed["environments"]["production"]["default"] == ROLLOUT


def test_a_boolean_flag_without_a_rollout_gets_one() -> None:
    """The true variant is exposed and the false one is the fallback; `serve` goes."""
    changed = with_exposure(a_view({"enabled": True, "default": {"serve": "off"}})["document"], "production", 10, None)

    assert changed["environments"]["production"]["default"] == {
        "rollout": {"exposure": 10, "split": {"on": 1}, "fallback": "off"}
    }


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        (a_view(None)["document"], None),
        (a_view({"enabled": True, "rules": [{"name": "staff"}]})["document"], "stuff"),
        (
            {**a_view({"enabled": True})["document"], "variants": {"a": "x", "b": "y", "c": "z"}},
            None,
        ),
    ],
    ids=["no such environment", "no such rule", "which variant to expose?"],
)
def test_what_cannot_be_exposed_is_explained(document: dict[str, Any], rule: str | None) -> None:
    """Nothing is guessed."""
    with pytest.raises(CommandFailed):
        with_exposure(document, "production", 10, rule)


def test_an_exposure_is_a_patch() -> None:
    """Of the rollout that is there, a rule's or the default's, or of a new one in place of what is served."""
    rule = {"name": "beta", **ROLLOUT}
    document = a_view({"enabled": True, "default": {"serve": "on"}, "rules": [rule]})["document"]

    assert exposure_patch(document, "production", 10, "beta") == {"rollout": {"exposure": 10}}
    assert exposure_patch(document, "production", 10, None) == {
        "serve": None,
        "rollout": {"exposure": 10, "split": {"on": 1}, "fallback": "off"},
    }
    with pytest.raises(CommandFailed, match="there: beta"):
        exposure_patch(document, "production", 10, "gone")
