"""Rolling ramps and comparisons as documents: what they may say, and what plan comes of it."""

from typing import Any

import pytest
from msgspec.structs import replace

from rheostat.model.document import UntilDocument
from rheostat.model.flag import Flag, FlagType, Rollout
from rheostat_server.errors import Fault, Invalid
from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.model import Family, Guardrail, Plan, Stage
from rheostat_server.ramps.plan import plan_of, replanned
from rheostat_server.ramps.remarks import remarks
from rheostat_server.ramps.terms import Queries, Term
from rheostat_server.ramps.validate import validate_ramp

ROLLOUT = Rollout(exposure_ppm=0, split={"on": 1.0}, salt="checkout", fallback="off")
THREE = Rollout(exposure_ppm=0, split={"on": 3.0, "off": 1.0, "blue": 4.0}, salt="checkout", fallback="off")
FLAG = Flag(key="checkout", type=FlagType.BOOLEAN, variants={}, version=1, off_variant="off")
UNTIL = "2026-12-01T00:00:00Z"
UNTIL_MS = 1_796_083_200_000


def rolling(**changes: Any) -> dict[str, Any]:
    """A document of a rolling ramp by region."""
    return {
        "flag": "checkout",
        "environment": "production",
        "strategy": "rolling",
        "by": "region",
        "values": ["eu", "us", ["ap", "au"]],
        **changes,
    }


def comparing(**changes: Any) -> dict[str, Any]:
    """A document of a comparison with ``off``."""
    fields = {"flag": "checkout", "environment": "production", "strategy": "a-b", "baseline": "off", "until": UNTIL}
    return {name: value for name, value in {**fields, **changes}.items() if value is not None}


def planned(document: dict[str, Any], rollout: Rollout = ROLLOUT, start_ppm: int = 0, **changes: Any) -> Plan:
    """The plan of a document."""
    return plan_of(
        validate_ramp(document),
        project="default",
        rollout=rollout,
        start_ppm=start_ppm,
        family=Family.REPORTED,
        **changes,
    )


def faults(document: dict[str, Any], rollout: Rollout = ROLLOUT, start_ppm: int = 0) -> tuple[Fault, ...]:
    """What is wrong with it."""
    with pytest.raises(Invalid) as caught:
        planned(document, rollout, start_ppm)
    return caught.value.faults


@pytest.mark.parametrize(
    ("document", "path", "says"),
    [
        (rolling(strategy="canary"), "by", "only a ramp of the strategy rolling"),
        (comparing(strategy="custom", steps=[5]), "baseline", "only a ramp of the strategy a-b"),
        (rolling(by=None), "by", ""),
        (rolling(by=""), "by", "has a name"),
        (rolling(values=None), "values", ""),
        (rolling(by=5), "by", "not text"),
        (rolling(values="eu"), "values", "not a list"),
        (rolling(values=[]), "values", "at least one stage"),
        (rolling(values=["eu", []]), "values[1]", "at least one value"),
        (rolling(values=["eu", None]), "values[1]", "not null"),
        (rolling(values=["eu", ["us", {}]]), "values[1][1]", "not an object"),
        (rolling(values=["eu", ["us", "eu"]]), "values[1][1]", "eu is of an earlier stage already"),
        (rolling(values=[1, 1.0]), "values[1]", "earlier stage already"),
        (rolling(values=[str(n) for n in range(51)]), "values", "at most 50 stages"),
        (rolling(values=[list(range(1_001))]), "values", "1000 values"),
        (rolling(others="no"), "others", "not true or false"),
        (rolling(shards=4), "by", "equal parts of all users"),
        ({**comparing(strategy="rolling"), "shards": 4}, "until", "only a ramp of the strategy a-b"),
        ({**comparing(until=None), "sample": 0}, "sample", "at least 1"),
        (comparing(baseline=None), "baseline", "required"),
        (comparing(baseline="a b"), "baseline", "1 to 128"),
        (comparing(until=None), "until", "until a date or a sample"),
        (comparing(until="tomorrow"), "until", "not a date and time"),
        (comparing(until="2026-12-01T00:00"), "until", "needs an offset"),
        (comparing(until=5), "until", "text, not a number"),
        (comparing(until={"at": "2026-12-01T00:00"}), "until.timezone", "required"),
        (comparing(until={"at": "2026-12-01T00:00", "timezone": "Mars"}), "until", "no timezone Mars"),
        (comparing(steps=[5, 50]), "steps", "has one exposure"),
        (comparing(holdback=5), "holdback", "the baseline is what"),
        (comparing(gate="manual"), "gate", "at its end, and for none before"),
        (comparing(steps=[{"exposure": 50, "gate": "manual"}]), "steps[0].gate", "at its end, and for none before"),
    ],
)
def test_what_cannot_be_is_named(document: dict[str, Any], path: str, says: str) -> None:
    """A fault with the path of what is wrong, and no other."""
    if not says:
        document, says = {name: value for name, value in document.items() if value is not None}, "required"
    with pytest.raises(Invalid) as caught:
        validate_ramp(document)
    assert any(fault.path == path and says in fault.message for fault in caught.value.faults), caught.value.faults


@pytest.mark.parametrize("shards", [101, 1, "4"])
def test_shards_are_a_few_parts_of_the_line(shards: object) -> None:
    """Two to a hundred, in place of steps."""
    document = {"flag": "checkout", "environment": "production", "strategy": "rolling", "shards": shards}

    assert faults(document)[0].path == "shards"
    assert "leave out one of the two" in str(faults({**document, "shards": 4, "steps": [5]})[0])


def test_values_are_stages_and_all_others_the_last() -> None:
    """Each stage has all steps; α is for all of them together."""
    plan = planned(rolling(steps=[5, 25, 100]))

    assert plan.by == "region"
    assert plan.stages == (Stage(("eu",)), Stage(("us",)), Stage(("ap", "au")), Stage())
    assert [step.exposure_ppm for step in plan.steps] == [50_000, 250_000, 1_000_000]
    assert plan.budget_parts == 2 * 4
    assert treated_share(plan, 250_000) == 0.25
    assert planned(rolling(others=False)).stages == plan.stages[:3]
    assert len(planned(rolling()).steps) == 6


@pytest.mark.parametrize(
    ("family", "arm", "refused"),
    [(Family.QUERIES, "treatment", True), (Family.QUERIES, None, False), (Family.APPLICATION, "treatment", False)],
)
def test_other_counters_would_compare_stages(family: Family, arm: str | None, refused: bool) -> None:
    """Whose arms are not drawn within a stage is not asked about it; the whole service may be watched."""
    terms = (Term(selector="a", of="bad", arm=arm), Term(selector="b", of="total", arm=arm))
    watched = {0: Guardrail(name="mesh", family=family, grade=3, may_kill=False, queries=Queries(terms=terms))}
    guardrail = {"name": "mesh", "bad": "a", "total": "b", "arms": "none"}

    for document, is_refused in (
        (rolling(guardrails=[guardrail]), refused),
        (comparing(guardrails=[guardrail]), False),
    ):
        if not is_refused:
            assert planned(document, THREE, watched=watched).guardrails[1] == watched[0]
            continue
        with pytest.raises(Invalid) as caught:
            planned(document, THREE, watched=watched)
        assert "would compare users of different stages" in caught.value.faults[0].message


def test_shards_are_steps() -> None:
    """Equal parts of the line, each of which only adds users."""
    document = {"flag": "checkout", "environment": "production", "strategy": "rolling"}

    quarters, thirds = planned({**document, "shards": 4}), planned({**document, "shards": 3})

    assert [step.exposure_ppm for step in quarters.steps] == [250_000, 500_000, 750_000, 1_000_000]
    assert [step.exposure_ppm for step in thirds.steps] == [333_333, 666_666, 1_000_000]
    assert (quarters.stages, quarters.budget_parts) == ((), 2)


def test_a_comparison_is_at_the_exposure_in_force() -> None:
    """Of everybody where nobody is exposed; where some are, of those, and without a pre-flight: they are served."""
    fresh, served = planned(comparing(), THREE), planned(comparing(), THREE, 200_000, users=1_000)
    raised = planned(comparing(steps=[50], users=30_000), THREE, 200_000)

    assert [step.exposure_ppm for plan in (fresh, served, raised) for step in plan.steps] == [
        1_000_000,
        200_000,
        500_000,
    ]
    assert [plan.preflight_s for plan in (fresh, served, raised)] == [600, 0, 600]
    assert [plan.users for plan in (fresh, served, raised)] == [None, 200, 15_000]
    assert (fresh.baseline, fresh.until_ms, fresh.sample) == ("off", UNTIL_MS, None)
    # 7 of 8 weights, whatever the exposure; nobody is compared where nobody is exposed.
    assert [treated_share(fresh, ppm) for ppm in (0, 10_000, 1_000_000)] == [0, 7 / 8, 7 / 8]


def test_it_ends_at_a_local_time_or_a_sample() -> None:
    """In the timezone that is named."""
    until = {"at": "2026-12-01T01:00", "timezone": "Europe/Madrid"}
    document = validate_ramp(comparing(until=until, sample=20_000))

    plan = planned(comparing(until=until, sample=20_000), THREE)

    assert document.until == UntilDocument(at="2026-12-01T01:00", timezone="Europe/Madrid")
    assert (plan.until_ms, plan.sample) == (UNTIL_MS, 20_000)


@pytest.mark.parametrize(
    ("split", "says"),
    [
        ({"on": 1.0}, "exposes nobody to 'off'"),
        ({"on": 1.0, "off": 0.0}, "exposes nobody to 'off'"),
        ({"off": 1.0}, "exposes to nothing but 'off'"),
        ({}, "exposes nobody to 'off'"),
    ],
)
def test_a_baseline_is_one_of_several(split: dict[str, float], says: str) -> None:
    """A variant of the rollout's split, with a weight, and another one to compare."""
    found = faults(comparing(), replace(ROLLOUT, split=split))

    assert [fault.path for fault in found] == ["baseline"]
    assert says in found[0].message


def test_all_that_is_wrong_with_a_comparison_is_told_at_once() -> None:
    """A moment that is past, a variant that is not there, an exposure that would take something away."""
    with pytest.raises(Invalid) as caught:
        planned(comparing(baseline="red", steps=[10]), THREE, 200_000, now_ms=UNTIL_MS)

    assert [fault.path for fault in caught.value.faults] == ["baseline", "until", "steps"]


def test_a_comparison_takes_nothing_away() -> None:
    """Its exposure is not below the one in force."""
    (fault,) = faults(comparing(steps=[10]), THREE, 200_000)

    assert (fault.path, fault.message) == ("steps", "10 % is below the exposure in force, 20 %")


def test_an_edit_of_the_split_is_a_comparison_of_other_shares() -> None:
    """Started afresh it is compared by the new weights; without its baseline it cannot be."""
    plan = planned(comparing(), THREE, 200_000)
    even = replace(THREE, split={"on": 1.0, "off": 1.0})

    again = replanned(plan, FLAG, even, 200_000)
    lower = replanned(plan, FLAG, even, 100_000)

    assert (again.compared_share, again.preflight_s, again.steps) == (0.5, 0, plan.steps)
    assert treated_share(lower, 200_000) == 0.5
    for rollout, start_ppm, says in (
        (replace(THREE, split={"on": 1.0}), 200_000, "exposes nobody to 'off'"),
        (even, 300_000, "below the exposure in force"),
    ):
        with pytest.raises(Invalid) as caught:
            replanned(plan, FLAG, rollout, start_ppm)
        assert says in str(caught.value.faults[0])


def test_a_rolling_ramp_starts_afresh_with_its_stages() -> None:
    """What is of the strategy stays."""
    plan = planned(rolling(steps=[5, 100]))

    assert replanned(plan, FLAG, ROLLOUT, 0) == plan
    assert len(replanned(plan, FLAG, ROLLOUT, 60_000).steps) == 1


def test_a_person_is_told_of_stages() -> None:
    """Who goes when, who is left out, and how α is shared."""
    lines = remarks(planned(rolling(values=["eu", [1, True, "ap", "au", "nz"]])))
    left_out = remarks(planned(rolling(others=False, missing_users="hold")))

    stages = "region eu; region 1, true, ap and 2 more; everyone else"
    assert f"one stage after the other, each with a pre-flight and all steps: {stages}" in lines
    assert "at most 1 % of harmless ramps are killed, by 3 stages with 2 ways to kill each, all together" in lines
    assert "all other users stay at 0 %, also after promotion" in left_out
    assert "at most 1 % of harmless ramps are killed, by 3 stages with 1 way to kill each, all together" in left_out


def test_a_person_is_told_of_a_comparison() -> None:
    """What is compared, that it decides nothing, and that it kills all the same."""
    fresh, served = (remarks(planned(comparing(), THREE, start)) for start in (0, 200_000))

    assert "all other variants are compared with off, among those whom 100 % exposes" in fresh
    assert any("waits for a person at its end; but harm kills" in line for line in fresh)
    assert "there is no pre-flight: the variants are served already" in served
    assert "there is no pre-flight: the variants are served already" not in fresh


def test_a_comparison_may_say_that_it_has_no_gate() -> None:
    """Nothing is asked for by ``none``; what is no list of steps is told as that."""
    assert validate_ramp(comparing(steps=[{"exposure": 50, "gate": "none"}])).baseline == "off"
    assert [fault.path for fault in faults(comparing(steps=50))] == ["steps"]
