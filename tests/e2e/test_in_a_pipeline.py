"""The examples of the how-to about pipelines: what is written there is read, and its command lines are run."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e.cli_process import Cli, a_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "in-a-pipeline.md"
FLAG = "checkout-v2"


def blocks(language: str) -> list[str]:
    """The page's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def command_in(text: str) -> list[str]:
    """The arguments of the one `rheostat promote` in a text."""
    [command] = re.findall(r"^ *rheostat promote (.*)$", text.replace("\\\n", " "), re.MULTILINE)
    line = command.partition("||")[0].replace("$FLAG", FLAG).replace("$ENVIRONMENT", "production")
    return shlex.split(line)


PLAN, GITHUB, TEKTON = (YAML(typ="safe").load(text) for text in blocks("yaml"))
[JENKINS] = blocks("groovy")
COMMANDS = {
    "page": command_in(PAGE.read_text().partition("The plan is")[0]),
    "github": command_in(next(step["run"] for step in GITHUB["jobs"]["promote"]["steps"] if "Promote" in str(step))),
    "tekton": command_in(TEKTON["spec"]["steps"][0]["script"]),
    "jenkins": command_in(JENKINS),
}


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command, as the administrator of a running server that has the flag."""
    with a_server() as (stage, _):
        made = Cli(tmp_path_factory.mktemp("home"), url=stage.url, token=stage.token, sdk_key=stage.sdk_key)
        made("flag", "create", FLAG)
        yield made


def test_the_examples_are_what_their_systems_read() -> None:
    """A workflow with a job of steps, and a task with steps, that give the token by its name."""
    assert GITHUB["jobs"]["promote"]["env"]["RHEOSTAT_TOKEN"] == "${{ secrets.RHEOSTAT_TOKEN }}"
    assert all(("uses" in step) != ("run" in step) for step in GITHUB["jobs"]["promote"]["steps"])
    assert (TEKTON["apiVersion"], TEKTON["kind"]) == ("tekton.dev/v1", "Task")
    names = [one["name"] for one in TEKTON["spec"]["steps"][0]["env"]]
    assert {"FLAG", "ENVIRONMENT", "RHEOSTAT_URL", "RHEOSTAT_TOKEN"} <= set(names)
    assert JENKINS.count("{") == JENKINS.count("}")


@pytest.mark.parametrize("where", COMMANDS)
def test_the_command_lines_are_accepted(cli: Cli, tmp_path: Path, where: str) -> None:
    """Each starts the page's ramp or attaches to it, waits, and ends with 4 and its summaries when it is aborted."""
    plan = tmp_path / "ramp.yaml"
    YAML().dump({**PLAN, "preflight": "10h", "soak": f"{1 + list(COMMANDS).index(where)}m"}, plan)
    files = {"deploy/checkout-ramp.yaml": str(plan)}
    files |= {name: str(tmp_path / name) for name in ("rheostat.json", "rheostat.xml")}
    arguments = [files.get(argument, argument) for argument in COMMANDS[where]]
    assert arguments[0] == FLAG

    with cli.starts("promote", *arguments) as process:
        assert process.stdout is not None
        assert any("arming" in line for line in process.stdout)
        cli("ramp", "abort", FLAG, "--reason", "in a test")
        rest: Any = process.stdout.read()
    assert process.returncode == 4, rest

    if where != "page":
        written = json.loads((tmp_path / "rheostat.json").read_text())
        assert (written["outcome"], written["steps"]) == ("aborted", PLAN["steps"])
        assert (tmp_path / "rheostat.xml").read_text().startswith("<?xml")
