"""The examples of the how-tos are what they say: each is taken as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from rheostat_server.ramps.validate import validate_ramp
from tests.unit.server.ramps.counted_rides import counted_plan
from tests.unit.server.ramps.foreign_builders import CANONICAL, an_analysis, translation

HOW_TO = Path(__file__).parents[4] / "docs" / "how-to"


def examples(page: str) -> list[dict[str, Any]]:
    """The YAML of a page."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    return [YAML(typ="safe").load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


def test_the_block_of_the_flagger_page_is_the_documented_one() -> None:
    """A ramp with it starts as the page says."""
    [ramp, beside] = examples("from-flagger.md")

    block = ramp["analysis"]
    assert {name: block[name] for name in block if name != "metrics"} == {
        name: value for name, value in CANONICAL.items() if name != "metrics"
    }
    assert [(one["name"], one["threshold"]) for one in block["metrics"]] == [
        ("request-success-rate", 99),
        ("request-duration", 500),
    ]
    assert [step.exposure for step in validate_ramp(ramp).steps] == [10, 20, 30, 40, 50, 100]
    asking = an_analysis({"name": "own", "templateRef": {"name": "gateway-errors"}, "thresholdRange": {"max": 1}})
    [guardrail] = translation({**ramp, **beside, "analysis": asking}).document["guardrails"]
    assert (guardrail["threshold"], "arms" in guardrail) == (1, False)


@pytest.mark.parametrize("rule", ["guard", "threshold"])
def test_the_block_of_the_argo_page(rule: str) -> None:
    """By both rules."""
    [ramp] = examples("from-argo-rollouts.md")

    assert validate_ramp({**ramp, "rule": rule}).rule == rule
    assert [step.exposure_ppm for step in counted_plan(argo=ramp["argo"]).steps] == [200_000, 500_000, 1_000_000]
