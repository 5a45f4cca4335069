"""What a pipeline reads of a promotion: outcomes, exit codes, JSON and JUnit's XML."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.promotion import EXIT_CODES, Outcome, Promotion, outcome_in_time, outcome_of_end
from rheostat_server.cli.promotion_report import check_writable, evidence, junit, summary, write_reports

REASON = "errors: 9 treated and 4 other users newly failed, treated share 10 %; M 33 645, kill line 200"


def a_guardrail(name: str = "errors", **changes: Any) -> dict[str, Any]:
    arm = {"requests": 1_200, "bad": 60, "failing": 9, "units": 400, "rate": 0.05}
    base = {
        "name": name, "may_kill": True, "sight": "seen", "detail": "", "m": 33_645.2, "kill_line": 200.0,
        "e": 1.0, "a": 0.5, "advance_line": 5.0, "proved": False, "ceiling": None, "c": None, "ceiling_line": None,
        "treatment": arm, "control": {**arm, "requests": 10_800, "bad": 54, "failing": 4, "rate": None},
    }  # fmt: skip
    return {**base, **changes}


def a_view(status: str = "killed", why: str = REASON, **changes: Any) -> dict[str, Any]:
    base = {
        "id": "r1", "status": status, "why": why, "exposure": 0.0, "declared": 0.0, "steps": [10.0, 50.0], "step": 0,
        "rollout": "default", "started_at": "2026-11-29T12:00:00.000Z", "digest": "d", "template": "careful",
        "template_version": 2, "guardrails": [a_guardrail(), a_guardrail("request-duration")],
    }  # fmt: skip
    return {**base, **changes}


def a_promotion(outcome: Outcome = "killed", reason: str = REASON, **changes: Any) -> Promotion:
    base: dict[str, Any] = {
        "flag": "checkout", "project": "default", "environment": "production", "outcome": outcome, "reason": reason,
        "seconds": 61.26, "view": a_view(),
        "decisions": [{"at": "2026-11-29T12:01:00.000Z", "kind": "kill", "why": reason,
                       "detail": {"decision": {"type": "kill", "guardrail": "errors"}}}],
    }  # fmt: skip
    return Promotion(**{**base, **changes})


def suite_of(promotion: Promotion) -> Xml.Element:
    suite = Xml.fromstring(junit(promotion)).find("testsuite")
    assert suite is not None
    return suite


def test_each_outcome_has_its_exit_code() -> None:
    """0 promoted or started, 1 errors, 2 killed, 3 held or late, 4 aborted; 128 and the signal when interrupted."""
    assert EXIT_CODES == {
        "promoted": 0, "started": 0, "error": 1, "killed": 2, "held": 3, "timeout": 3, "aborted": 4, "interrupted": 130
    }  # fmt: skip
    assert a_promotion("interrupted", signal=15).exit_code == 143
    assert a_promotion("held").exit_code == 3


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("promoted", "promoted"), ("killed", "killed"), ("aborted", "aborted")],
)
def test_the_end_of_a_ramp_is_the_outcome(status: str, outcome: str) -> None:
    """With the reason that the ramp gives."""
    assert outcome_of_end(a_view(status)) == (outcome, REASON)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("held", "held"), ("blind", "held"), ("paused", "held"), ("awaiting-approval", "held"), ("running", "timeout"),
     ("arming", "timeout"), ("soaking", "timeout")],
)  # fmt: skip
def test_what_is_live_when_time_is_over_is_held_or_late(status: str, outcome: str) -> None:
    """Held is what waits for something other than its own time and proof."""
    assert outcome_in_time(a_view(status, why="it waits")) == (outcome, "it waits")


def test_a_kill_is_a_failure_of_the_ramp_and_of_what_killed_it() -> None:
    """The other guardrails passed; each has its evidence."""
    suite = suite_of(a_promotion())

    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "time")} == {
        "tests": "3", "failures": "2", "errors": "0", "time": "61.3"
    }  # fmt: skip
    cases = {case.get("name"): case for case in suite.findall("testcase")}
    assert list(cases) == ["the ramp to 50 %", "errors", "request-duration"]
    for name in ("the ramp to 50 %", "errors"):
        failure = cases[name].find("failure")
        assert failure is not None
        assert failure.get("message") == f"checkout in production was killed: {REASON}"
    assert cases["request-duration"].find("failure") is None
    assert cases["errors"].get("classname") == "rheostat.production.checkout"
    assert "kill: errors: 9 treated" in (cases["the ramp to 50 %"].findtext("system-out") or "")
    assert cases["errors"].findtext("system-out") == evidence(a_guardrail())
    properties = {one.get("name"): one.get("value") for one in suite.findall("properties/property")}
    assert (properties["outcome"], properties["ramp"], properties["template"]) == ("killed", "r1", "careful")


def test_what_killed_is_known_from_the_rules_own_record() -> None:
    """Not from the words of the reason, which in a rolling ramp begin with the stage."""
    said = f"region us: {REASON}"
    rolling = a_promotion(reason=said, view=a_view(why=said))

    assert rolling.killed_by == ["errors"]
    assert suite_of(rolling).get("failures") == "2"
    by_hand = {"at": "2026-11-29T12:02:00.000Z", "kind": "kill", "why": REASON, "detail": {"action": "kill"}}
    assert a_promotion(decisions=[by_hand]).killed_by == []
    assert a_promotion(decisions=[]).killed_by == []
    assert a_promotion(view=a_view("promoted")).killed_by == []


@pytest.mark.parametrize("outcome", ["held", "timeout", "aborted", "error", "interrupted"])
def test_what_is_neither_promoted_nor_killed_is_an_error(outcome: Outcome) -> None:
    """Of the ramp; of no guardrail."""
    suite = suite_of(a_promotion(outcome, "it waits"))

    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")
    assert suite.find("testcase[1]/error") is not None


@pytest.mark.parametrize("outcome", ["promoted", "started"])
def test_what_went_well_is_a_pass(outcome: Outcome) -> None:
    """Neither failures nor errors."""
    suite = suite_of(a_promotion(outcome, "the soak is over", view=a_view("promoted")))

    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "0", "0")


def test_evidence_is_in_words() -> None:
    """Both arms, harm and proof against their lines, a ceiling, and why nothing is seen."""
    assert evidence(a_guardrail()).splitlines() == [
        "exposed: 60 bad of 1 200 requests, 5 %; 9 users failed",
        "control: 54 bad of 10 800 requests; 4 users failed",
        "harm: M = 3.365e+04, kills at 200",
        "proof: 1 of 5",
    ]
    blind = a_guardrail(
        may_kill=False, proved=True, ceiling=0.01, c=3.0, ceiling_line=500.0, sight="absent", detail="no series"
    )
    assert evidence(blind).splitlines()[2:] == [
        "harm: M = 3.365e+04, holds, does not kill",
        "proof: 1 of 5, proved",
        "ceiling of 1 %: 3, crossed at 500",
        "no evidence now: absent (no series)",
    ]


def test_any_reason_is_well_formed_xml() -> None:
    """People write what they like, also what XML cannot say."""
    suite = suite_of(a_promotion(reason="\x00\x1b[31m]]> & <b> \ud800 é\n", environment="a<b"))

    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.text == "��[31m]]> & <b> � é\n"


def test_the_summary_has_all_that_a_program_asks() -> None:
    """Also where nothing was started."""
    told = summary(a_promotion())
    assert (told["outcome"], told["exit_code"], told["killed_by"], told["ramp"]) == ("killed", 2, ["errors"], "r1")
    assert told["decisions"] == [{"at": "2026-11-29T12:01:00.000Z", "kind": "kill", "why": REASON}]
    nothing = a_promotion("error", "there is no flag", view={}, decisions=())
    assert (summary(nothing)["ramp"], summary(nothing)["guardrails"]) == (None, [])
    assert suite_of(nothing).find("testcase").get("name") == "the ramp to its last step"  # type: ignore[union-attr]


def test_sentences_say_what_became_of_it() -> None:
    """One line, last of what is printed."""
    view = a_view("promoted", exposure=50.0)
    said = {
        outcome: a_promotion(outcome, "why", view=view).sentence
        for outcome in ("promoted", "started", "held", "interrupted", "aborted")
    }
    assert said == {
        "promoted": "checkout in production is promoted: 50 % by ramp r1",
        "started": "checkout in production: ramp r1 goes on, and nobody waits for it here",
        "held": "checkout in production is not promoted in time: why",
        "interrupted": "checkout in production is not waited for any more, and its ramp goes on: why",
        "aborted": "checkout in production was aborted: why",
    }
    assert a_promotion("error", "why", view={}).sentence == "checkout in production: why"


def test_summaries_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    """A folder that is not there is refused before anything is started; a file that cannot be written is named."""
    report, xml = tmp_path / "a.json", tmp_path / "a.xml"
    check_writable([report, None])
    write_reports(a_promotion(), json=report, xml=xml)
    assert report.read_text().startswith("{\n")
    assert xml.read_bytes().startswith(b"<?xml")
    with pytest.raises(CommandFailed, match="there is no folder"):
        check_writable([tmp_path / "b" / "a.json"])
    with pytest.raises(CommandFailed, match="directory"):
        write_reports(a_promotion(), json=tmp_path, xml=None)
