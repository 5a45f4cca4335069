"""`rheostat ramp watch` in a terminal and in a pipe, against a running server."""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rheostat_server.demo.stage import Stage
from tests.e2e.cli_process import Cli, a_server
from tests.e2e.pty_process import a_terminal, plain

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

COMMAND = [sys.executable, "-m", "rheostat_server", "ramp", "watch"]
MOVE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cli, Stage]]:
    """A running server, and the command as its administrator."""
    with a_server() as (stage, _):
        yield Cli(tmp_path_factory.mktemp("home"), url=stage.url, token=stage.token, sdk_key=stage.sdk_key), stage


def arming(cli: Cli, flag: str) -> str:
    """Start a ramp that arms for an hour; return its id."""
    cli("flag", "create", flag)
    started = cli.json("ramp", "start", flag, "--users", "100000", "--preflight", "1h", "--steps", "5,50,100")
    return str(started["id"])


def test_a_terminal_shows_the_ramp_through_all_that_happens(world: tuple[Cli, Stage]) -> None:
    """It fits when the terminal shrinks, waits for a server that is away, and leaves the ramp alone on Ctrl-C."""
    cli, stage = world
    ramp_id = arming(cli, "shown")
    environ = {**cli.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    with a_terminal([*COMMAND, "shown"], environ, columns=80, rows=24) as terminal:
        terminal.until(lambda: "Ctrl-C: the ramp goes on" in terminal.screen)
        assert "pre-flight" in terminal.screen
        assert "ahead, at least 1:00" in terminal.screen
        assert len(terminal.screen.splitlines()) <= 24

        terminal.resize(60, 16)
        terminal.until(lambda: len(terminal.screen.splitlines()) <= 16 and "shown  production" in terminal.screen)
        assert max(map(len, terminal.screen.splitlines())) <= 60
        terminal.resize(80, 24)

        assert stage.server is not None
        stage.server.stop()
        terminal.until(lambda: "cannot reach" in terminal.screen)
        assert "shown  production" in terminal.screen, "what was seen last stays"
        asyncio.run(stage.start_server())
        terminal.until(lambda: "Ctrl-C: the ramp goes on" in terminal.screen)

        terminal.press("\x03")
        assert terminal.wait() == 130

    assert "\x1b[?1049l" in terminal.raw, "the terminal's own screen is back"
    after = plain(terminal.raw.rpartition("\x1b[?1049l")[2])
    assert "Stopped watching shown; the ramp goes on" in after
    assert f"ramp {ramp_id}" in after, "the last picture stays in the terminal"
    assert cli.json("ramp", "status", "shown")["ended_at"] is None


def test_a_terminal_keeps_the_ending(world: tuple[Cli, Stage]) -> None:
    """When the ramp is killed the picture stays with what to do now; the exit code is 1."""
    cli, _ = world
    arming(cli, "ending")
    environ = {**cli.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "NO_COLOR": "1"}
    with a_terminal([*COMMAND, "ending"], environ) as terminal:
        terminal.until(lambda: "Ctrl-C" in terminal.screen)
        cli("flag", "kill", "ending", "--reason", "no more")
        assert terminal.wait() == 1

    after = plain(terminal.raw.rpartition("\x1b[?1049l")[2])
    assert "ending  production  KILLED" in after
    assert "killed by a person: no more" in " ".join(after.split())
    assert "rheostat flag revive ending --reason WHY" in after
    assert not re.search(r"\x1b\[(?:\d+;)*3\d", terminal.raw), "NO_COLOR: no colour"


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_poor_terminal_is_good_enough(world: tuple[Cli, Stage], term: str) -> None:
    """A dumb terminal gets a line for each move, one without Unicode a picture in ASCII."""
    cli, _ = world
    flag = f"poor-{term}"
    arming(cli, flag)
    environ = {**cli.environ, "TERM": term, "PYTHONIOENCODING": "ascii"}
    with a_terminal([*COMMAND, flag], environ) as terminal:
        terminal.until(lambda: "arming" in terminal.raw)
        cli("ramp", "abort", flag, "--reason", "enough…")
        assert terminal.wait() == 1

    assert terminal.raw.isascii()
    assert "aborted" in terminal.raw
    if term == "dumb":
        assert "\x1b" not in terminal.raw
        assert all(MOVE.match(line) for line in terminal.raw.splitlines())
    else:
        assert "+..." in plain(terminal.raw)


def test_a_pipe_follows_a_restart_and_has_a_line_for_each_move(world: tuple[Cli, Stage], tmp_path: Path) -> None:
    """By its flag a ramp is watched on when a write restarts it; each line has its time; the last says what to do."""
    cli, _ = world
    first = arming(cli, "again")
    with cli.starts("ramp", "watch", "again") as watching, cli.starts("ramp", "watch", "again", "--json") as machine:
        assert watching.stdout is not None
        assert machine.stdout is not None
        begun = watching.stdout.readline()
        assert MOVE.match(begun)
        assert "again: " in begun
        assert json.loads(machine.stdout.readline())["id"] == first
        document = cli.json("flag", "get", "again")["document"]
        document["environments"]["production"]["default"]["rollout"]["salt"] = "fresh"
        file = tmp_path / "flag.yaml"
        file.write_text(json.dumps(document))
        cli("flag", "put", str(file), "--restart-ramp")
        second = cli.json("ramp", "status", "again")["id"]
        lines = [watching.stdout.readline()]
        while "goes on" not in lines[-1]:
            lines.append(watching.stdout.readline())
        cli("ramp", "pause", "again", "--reason", "lunch")
        cli("ramp", "abort", "again", "--reason", "enough")
        out, _ = watching.communicate(timeout=60)
        views, _ = machine.communicate(timeout=60)

    assert second != first
    assert second in lines[-1]
    assert all(MOVE.match(line) for line in out.splitlines())
    moves = [line.split("again: ", 1)[1] for line in out.splitlines()]
    assert [line.split(",")[0] for line in moves if line.startswith(("pause", "abort"))] == ["pause", "abort"]
    assert "`rheostat ramp start again`" in moves[-1]
    assert (watching.returncode, machine.returncode) == (1, 1)
    assert MOVE.match(cli.run("ramp", "watch", "again", code=1).stdout), "what is over is told at once"
    told: list[dict[str, Any]] = [json.loads(line) for line in views.splitlines()]
    assert told[-1]["id"] == second
    assert told[-1]["status"] == "aborted"


def test_ramps_of_all_environments_are_listed(world: tuple[Cli, Stage]) -> None:
    """`ramp status` is about one environment, with --all-environments about each of the project."""
    cli, _ = world
    arming(cli, "here")
    cli("-e", "staging", "flag", "create", "there")
    cli("-e", "staging", "ramp", "start", "there", "--users", "100000")

    listed = cli("ramp", "status", "--all-environments")
    assert re.search(r"^here +production +", listed, re.MULTILINE)
    assert re.search(r"^there +staging +", listed, re.MULTILINE)
    assert "there" not in cli("ramp", "status")
    assert {view["environment"] for view in cli.json("ramp", "status", "-A")["ramps"]} == {"production", "staging"}
    assert "say its environment" in cli.fails("ramp", "status", "here", "-A")
