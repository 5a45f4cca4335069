"""``rheostat promote`` as a step of a pipeline, as a process, against a running server."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from rheostat_server.demo.stage import Stage
from tests.e2e.cli_process import Cli, a_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

QUICK = "kind: ramp\nsteps: [50, 100]\nmin_dwell: 0s\nsoak: 0s\nunguarded: true\n"
SLOW = "kind: ramp\nsteps: [50, 100]\npreflight: 10h\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Stage]:
    """A running server."""
    with a_server() as (stage, _):
        yield stage


@pytest.fixture
def cli(server: Stage, tmp_path: Path) -> Cli:
    """The command, as the server's administrator."""
    return Cli(tmp_path, url=server.url, token=server.token, sdk_key=server.sdk_key)


def a_plan(folder: Path, text: str, **fields: Any) -> str:
    """Write a plan, and return the file's name."""
    file = folder / "plan.yaml"
    file.write_text(text + "".join(f"{name}: {value}\n" for name, value in fields.items()))
    return str(file)


def lines_until(process: Any, words: str) -> None:
    """Read what a running command prints until a line has these words."""
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"it never said {words!r}: {process.stderr.read()}")


def test_a_promotion_is_waited_for_and_told(cli: Cli, tmp_path: Path) -> None:
    """It exits with 0 once promoted, tells each move, and writes both summaries; again it has nothing to do."""
    cli("flag", "create", "smooth")
    plan, report, xml = a_plan(tmp_path, QUICK), tmp_path / "report.json", tmp_path / "report.xml"
    command = ("promote", "smooth", "--to", "100", "--plan", plan, "--wait", "--timeout", "2h")

    said = cli(*command, "--summary", str(report), "--junit", str(xml)).splitlines()

    assert said[-1].startswith("smooth in production is promoted: 100 % by ramp ")
    assert any(line.startswith("smooth: running") for line in said)
    assert cli.evaluate("smooth") is True
    written = json.loads(report.read_text())
    assert (written["outcome"], written["exit_code"], written["new"]) == ("promoted", 0, True)
    assert written["steps"] == [50, 100]
    suite = Xml.parse(xml).getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "0", "0")

    again = cli(*command)
    assert "of this document is promoted: nothing to do" in again
    assert len(cli.json("ramp", "status")["ramps"]) == 1
    # Since then somebody has killed it: the pipeline is not told that all is well.
    cli("flag", "kill", "smooth", "--reason", "it burns", "--scope", "rollout")
    assert "it was promoted, and killed since" in cli.run(*command, code=2).stdout


def test_a_killed_ramp_exits_with_2_until_something_changes(cli: Cli, tmp_path: Path) -> None:
    """While it is live the command attaches to it; after a kill only `--again` or another document starts anew."""
    cli("flag", "create", "burns")
    plan, report, xml = a_plan(tmp_path, SLOW, flag="burns"), tmp_path / "report.json", tmp_path / "report.xml"
    command = ("promote", "burns", "--plan", plan)
    assert "and nobody waits for it here" in cli(*command)
    with cli.starts(*command, "--wait", "--summary", str(report), "--junit", str(xml)) as process:
        lines_until(process, "of this document is arming: it goes on")
        cli("flag", "kill", "burns", "--reason", "\x07errors & <alarms>")
    assert process.returncode == 2

    written = json.loads(report.read_text())
    assert (written["outcome"], written["status"], written["new"]) == ("killed", "killed", False)
    assert "errors & <alarms>" in written["reason"]
    failure = Xml.parse(xml).getroot().find("testsuite/testcase/failure")
    assert failure is not None
    assert "errors & <alarms>" in (failure.text or "")
    assert "--again, or another document, starts a new ramp" in cli.run(*command, "--wait", code=2).stdout
    assert "is killed in production" in cli.fails(*command, "--again")
    cli("flag", "revive", "burns", "--reason", "fixed")
    assert "aborted" in cli.run(*command, code=4).stdout
    assert "is started: arming" in cli(*command, "--again")
    assert len(cli.json("ramp", "status")["ramps"]) >= 2


def test_what_is_not_promoted_in_time_exits_with_3(cli: Cli, tmp_path: Path) -> None:
    """Late or held, the ramp goes on; with `--abort-on-timeout` it is aborted."""
    cli("flag", "create", "late")
    report, xml = tmp_path / "report.json", tmp_path / "report.xml"
    command = ("promote", "late", "--plan", a_plan(tmp_path, SLOW), "--wait", "--timeout", "1s")
    reports = ("--summary", str(report), "--junit", str(xml))

    late = cli.run(*command, *reports, code=3).stdout
    assert "The ramp goes on: rheostat ramp watch late" in late
    assert json.loads(report.read_text())["outcome"] == "timeout"
    assert cli.json("ramp", "status", "late")["status"] == "arming"
    cli("ramp", "pause", "late")
    held = json.loads(cli.run(*command, *reports, "--json", code=3).stdout)
    assert (held["outcome"], held["exit_code"], held["status"]) == ("held", 3, "paused")
    assert held == json.loads(report.read_text()) | {"waited_seconds": held["waited_seconds"]}
    error = Xml.parse(xml).getroot().find("testsuite/testcase/error")
    assert error is not None
    assert error.get("type") == "held"
    assert "The ramp was aborted" in cli.run(*command, "--abort-on-timeout", code=3).stdout
    assert cli.json("ramp", "status", "late")["status"] == "aborted"


def test_an_interrupted_step_leaves_the_ramp_alone(cli: Cli, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM end the command, not the ramp, and it says so."""
    cli("flag", "create", "left")
    command = ("promote", "left", "--plan", a_plan(tmp_path, SLOW), "--wait", "--summary", str(tmp_path / "s.json"))
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with cli.starts(*command) as process:
            lines_until(process, "left: arming")
            process.send_signal(number)
            rest = process.stdout.read() if process.stdout else ""
        assert process.returncode == code
        assert "its ramp goes on: watch it: rheostat ramp watch left" in rest
        assert json.loads((tmp_path / "s.json").read_text())["outcome"] == "interrupted"
    assert cli.json("ramp", "status", "left")["status"] == "arming"


def test_a_server_that_is_away_is_waited_for(cli: Cli, server: Stage, tmp_path: Path) -> None:
    """Before the ramp is started, and while it runs: the command goes on when the server is back."""
    cli("flag", "create", "patient")
    assert server.server is not None
    server.server.stop(signal.SIGTERM)
    with cli.starts("promote", "patient", "--plan", a_plan(tmp_path, SLOW), "--wait") as process:
        assert process.stderr is not None
        assert "trying again" in process.stderr.readline()
        asyncio.run(server.start_server())
        lines_until(process, "patient: arming")
        server.server.stop(signal.SIGTERM)
        assert "waiting for it" in process.stderr.readline()
        asyncio.run(server.start_server())
        cli("ramp", "abort", "patient", "--reason", "seen enough")
    assert process.returncode == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "0"), "--to"),
        (("--to", "5", "--bogus"), "bogus"),
        (("--timeout", "soon"), "not a length of time"),
        (("--plan", "nowhere.yaml"), "nowhere.yaml"),
        (("--template", "carefull"), "there is no template 'carefull'"),
        (("--summary", "/no/such/folder/report.json"), "there is no folder"),
    ],
)
def test_what_is_wrong_exits_with_1(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    """Also a wrong command line: 2 is a kill here. Nothing is started."""
    assert words in cli.fails("promote", "wrong", *arguments)


def test_errors_are_in_the_summaries(cli: Cli, tmp_path: Path) -> None:
    """A pipeline that shows the report shows why nothing was started."""
    xml, plan = tmp_path / "report.xml", a_plan(tmp_path, QUICK, environment="staging")

    cli.fails("promote", "nothing", "--junit", str(xml))
    error = Xml.parse(xml).getroot().find("testsuite/testcase/error")
    assert error is not None
    assert "there is no flag 'nothing'" in (error.text or "")
    assert "this is for staging, and production is to be promoted" in cli.fails(
        "promote", "nothing", "--plan", plan, "-e", "production"
    )
    several = a_plan(tmp_path, "".join(f"---\n{QUICK}environment: {name}\n" for name in ("production", "staging")))
    assert "2 ramp documents for nothing" in cli.fails("promote", "nothing", "--plan", several)
    assert "there is no flag" in cli.fails("promote", "nothing", "--plan", several, "-e", "staging")
    flags = a_plan(tmp_path, "kind: flag\nkey: a\n")
    assert "has no ramp document" in cli.fails("promote", "nothing", "--plan", flags)


def test_a_plan_for_several_ends_earlier_by_to(cli: Cli, tmp_path: Path) -> None:
    """A template is enough; `--to` cuts it, and each end is a document of its own."""
    cli("template", "put", "-", stdin="kind: template\nkey: quick\n" + QUICK.partition("\n")[2])
    cli("flag", "create", "partly")
    command = ("promote", "partly", "--template", "quick", "--wait", "--to")

    cli(*command, "20")
    cli(*command, "100")

    ramps = cli.json("ramp", "status")["ramps"]
    mine = [ramp for ramp in ramps if ramp["flag"] == "partly"]
    assert [(ramp["status"], ramp["steps"]) for ramp in mine] == [("promoted", [50, 100]), ("promoted", [20])]
