"""``rheostat ramp simulate`` tells what a ramp would do, without a server."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.main import rheostat
from rheostat_server.cli.simulation_pool import run_all
from rheostat_server.cli.simulation_report import clock

RAMP = """kind: ramp
flag: checkout
environment: production
users: 2000
steps: [10, 50]
preflight: 1m
"""
FLAG = "kind: flag\nkey: checkout\ntype: boolean\nvariants: {on: true, off: false}\n"
QUICK = ["--rps", "50", "--runs", "4", "--for", "2m", "--regression", "30%", "--workers", "1"]


def simulated(folder: Path, *arguments: str, document: str = RAMP) -> Result:
    path = folder / "ramp.yaml"
    path.write_text(document, encoding="utf-8")
    return CliRunner().invoke(rheostat, ["ramp", "simulate", str(path), *QUICK, *arguments])


def test_report(tmp_path: Path) -> None:
    """It says what was simulated and what each rule did, in lines of at most 120 characters and without colours."""
    result = simulated(tmp_path, document=f"{FLAG}---\n{RAMP}")

    assert result.exit_code == 0
    assert "50 requests/s of 2 000 users of Pareto activity, 0.3 % of them broken" in result.output
    lines = result.output.splitlines()
    assert any(line.startswith("Harmful: killed") and "100 %" in line for line in lines)
    assert all(name in result.output for name in ("Rheostat", "Flagger", "Argo Rollouts"))
    assert max(map(len, lines)) <= 120
    assert "\x1b" not in result.output


def test_json_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    """With --json it prints the figures and nothing else; a seed gives the same ones, with two workers too."""
    once = json.loads(simulated(tmp_path, "--json", "--seed", "7").output)
    again = json.loads(simulated(tmp_path, "--json", "--seed", "7", "--workers", "2").output)

    assert once == again
    assert once["runs"] == 4
    assert [rule["rule"] for rule in once["rules"]] == ["rheostat", "flagger", "argo"]
    assert once["rules"][0]["caught"] == 4


def test_picture(tmp_path: Path) -> None:
    """--plot writes an SVG that a parser reads, with every rule's curve and name in it."""
    picture = tmp_path / "ramp.svg"
    result = simulated(tmp_path, "--plot", str(picture))

    assert result.exit_code == 0
    root = ET.fromstring(picture.read_text(encoding="utf-8"))
    words = "".join(root.itertext())
    assert root.tag.endswith("svg")
    assert all(name in words for name in ("checkout", "Rheostat", "Flagger", "Argo Rollouts"))
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) >= 14


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--regression", "0.1%"], "--regression"),
        (["--broken", "100%"], "--broken"),
        (["--baseline", "100%"], "--baseline"),
        (["--for", "5s"], "--for"),
        (["--argo-pause", "1s"], "--argo-pause"),
        (["--rps", "1000000"], "--rps"),
        (["--plot", "picture.png"], ".svg"),
        (["--users", "20"], "would not start"),
    ],
)
def test_what_cannot_be_simulated(tmp_path: Path, arguments: list[str], words: str) -> None:
    """A combination that makes no sense is refused with the option to blame, before anything runs."""
    result = simulated(tmp_path, *arguments)

    assert isinstance(result.exception, CommandFailed)
    assert words in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--baseline", "a lot"], "0.5%"),
        (["--baseline", "101%"], "between 0% and 100%"),
        (["--onset", "10"], "60s, 10m"),
        (["--activity", "lazy"], "equal"),
        (["--runs", "0"], "range"),
    ],
)
def test_wrong_options(tmp_path: Path, arguments: list[str], words: str) -> None:
    """A value that is none is a wrong command line, and the message shows a right one."""
    result = simulated(tmp_path, *arguments)

    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (RAMP.replace("users: 2000\n", ""), "--users"),
        (RAMP + "unguarded: true\n", "unguarded"),
        (RAMP + "---\n" + RAMP, "2 documents"),
        (RAMP + "colour: red\n", "colour"),
        (RAMP.replace("[10, 50]", "[0.1, 50]"), "would not start"),
        (RAMP + "template: careful\n", "rheostat template get careful"),
        (RAMP + "strategy: rolling\nby: region\nvalues: [eu]\n", "strategy rolling is not simulated"),
    ],
)
def test_documents_that_cannot_be_simulated(tmp_path: Path, document: str, words: str) -> None:
    """What could not start, or has nothing to simulate, is said so."""
    result = simulated(tmp_path, document=document)

    assert isinstance(result.exception, CommandFailed)
    assert words in str(result.exception)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (15, "15 s"), (60, "1 min"), (390, "6.5 min"), (1080, "18 min"), (9000, "2.5 h"), (86400, "24 h")],
)
def test_times_have_two_figures(seconds: float, text: str) -> None:
    """Times are told as a person would."""
    assert clock(seconds) == text


def test_work_is_spread_and_all_of_it_comes_back() -> None:
    """Every number is worked on once, with one worker or two."""
    for workers in (1, 2):
        assert sorted(one for portion in run_all(abs, 130, workers=workers) for one in portion) == list(range(130))
