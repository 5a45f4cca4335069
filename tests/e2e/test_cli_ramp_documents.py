"""Templates, environments, restarts, adoption and applied ramps, by the command line against a running server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.e2e.cli_process import Cli, a_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

CAREFUL = "kind: template\nkey: careful\nsteps: [10, 50]\npreflight: 10h\nowner: payments\n"


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command, as the administrator of a running server."""
    with a_server() as (stage, _):
        yield Cli(tmp_path_factory.mktemp("home"), url=stage.url, token=stage.token, sdk_key=stage.sdk_key)


def test_templates_and_the_environments_default(cli: Cli) -> None:
    """`template put, get, list, used-by, history, delete` and `environment list, default-template`."""
    assert "Make one: rheostat template put FILE" in cli("template", "list")
    assert cli("template", "put", "-", stdin=CAREFUL) == "careful is at version 1, used by nothing\n"
    assert "there is no such field" in cli.fails("template", "put", "-", stdin=CAREFUL + "stepps: [1]\n")
    assert "did you mean careful?" in cli.fails("environment", "default-template", "production", "carefull")
    said = cli("environment", "default-template", "production", "careful")
    assert said == "ramps in production take the template careful by default\n"
    assert cli("environment", "default-template", "production") == said
    assert "careful" in cli("environment", "list")
    assert "environment production" in cli("template", "list")
    assert "default_template" in cli("template", "used-by", "careful")
    assert "used by the environment production" in cli.fails("template", "delete", "careful")

    cli("flag", "create", "by-default")
    started = cli("ramp", "start", "by-default")
    assert "template careful, version 1, the default of production: it gives steps, preflight" in started
    cli("flag", "create", "without")
    assert "template" not in cli("ramp", "start", "without", "--template", "none")

    assert "take no template" in cli("environment", "default-template", "production", "--none")
    assert cli.fails("environment", "default-template", "production", "careful", "--none", code=2)
    cli("template", "delete", "careful")
    assert "delete" in cli("template", "history", "careful")


def test_a_ramps_document_starts_it_again(cli: Cli, tmp_path: Path) -> None:
    """`ramp show` prints YAML that `ramp start -f` takes; `ramp restart` begins where it is told."""
    file = tmp_path / "ramp.yaml"
    file.write_text("kind: ramp\nflag: shown\nenvironment: production\nsteps: [10, 50]\npreflight: 10h\n")
    cli("flag", "create", "shown")
    cli("ramp", "start", "-f", str(file))
    shown = cli("ramp", "show", "shown")
    assert YAML(typ="safe").load(shown) == YAML(typ="safe").load(file.read_text())
    assert "# steps 10, 50 %" in shown

    assert "rheostat ramp abort shown" in cli.fails("ramp", "restart", "shown")
    cli("ramp", "abort", "shown", "--reason", "once more")
    assert "there are 10 %, 50 %" in cli.fails("ramp", "restart", "shown", "--from", "20")
    again = cli("ramp", "restart", "shown", "--from", "50", "--reason", "it was fine up to here")
    assert "beginning at 50 %" in again
    shown = cli("ramp", "show", "shown")
    assert "# started again from ramp" in shown
    cli("ramp", "abort", "shown", "--reason", "once more")
    file.write_text(shown)
    assert cli.json("ramp", "start", "-f", str(file))["steps"] == [10, 50]


def test_a_promoted_exposure_is_adopted_into_the_file(cli: Cli, tmp_path: Path) -> None:
    """`apply --start-ramps` starts it once; declared and in force are told apart until `flag adopt` makes them one."""
    cli("flag", "create", "grown", "--exposure", "5")
    flag = tmp_path / "grown.yaml"
    flag.write_text(cli("flag", "get", "grown"))
    ramp = "steps: [50, 100]\nmin_dwell: 0s\nsoak: 0s\nunguarded: true\n"
    (tmp_path / "ramp.yaml").write_text(f"kind: ramp\nflag: grown\nenvironment: production\n{ramp}")
    assert "rheostat apply --start-ramps" in cli("apply", str(tmp_path))
    would = cli("apply", str(tmp_path), "--start-ramps", "--dry-run")
    assert "+ ramp grown: start (production)" in would
    assert "steps 50, 100 %" in would
    assert cli.json("ramp", "status")["ramps"][0]["flag"] != "grown"
    assert "+ ramp grown: start (production)" in cli("apply", str(tmp_path), "--start-ramps")

    view = cli.until("ramp", "status", "grown", fits=lambda body: body["status"] == "promoted")
    words = f"declared 5 %, in force 100 % by ramp {view['id']}"
    assert f"default {words}" in cli("apply", str(flag), "--dry-run")
    assert f"default: {words}" in cli("flag", "get", "grown")
    assert f"production: default: {words}" in cli("flag", "diff", "grown")
    said = cli("apply", str(tmp_path), "--start-ramps")
    assert f"ramp {view['id']} of this document is promoted: nothing to do" in said

    adopted = cli("flag", "adopt", "grown")
    assert f"# default: 5 % → 100 %, by ramp {view['id']}" in adopted
    assert cli.evaluate("grown") is True
    flag.write_text(adopted)
    assert "= flag grown: unchanged" in cli("apply", str(flag))
    assert "in force" not in cli("flag", "diff", "grown")
    assert "# nothing to adopt in production" in cli("flag", "adopt", "grown", "--rollout", "default")
