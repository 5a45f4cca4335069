"""Strategies, calendars and drafts of ramps by the command line, against a server whose clock is moved."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rheostat.clock import OFFSET_FILE, write_offset
from tests.e2e.cli_process import Cli, a_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def offset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that moves the server's clock."""
    return tmp_path_factory.mktemp("clock") / "offset"


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory, offset: Path) -> Iterator[Cli]:
    """The command, as the administrator of a server."""
    write_offset(offset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OFFSET_FILE, str(offset))
        with a_server() as (stage, _):
            home = tmp_path_factory.mktemp("home")
            yield Cli(home, url=stage.url, token=stage.token, sdk_key=stage.sdk_key)


def test_a_strategy_says_what_its_steps_came_to(cli: Cli) -> None:
    """`ramp start` prints the steps, `status` names the strategy; bad combinations name field and way out."""
    cli("flag", "create", "linear")
    said = cli("ramp", "start", "linear", "--strategy", "linear", "--step-weight", "10", "--max-weight", "50")

    assert "linear: steps 10, 20, 30, 40, 50, 100 %" in said
    shown = cli("ramp", "status", "linear")
    assert "linear · proof: randomised" in shown
    assert all(f"{step} % " in shown for step in (10, 20, 30, 40, 50, 100))
    cli("flag", "create", "blue")
    wrong = cli.fails("ramp", "start", "blue", "--strategy", "blue-green")
    assert "strategy: at 100 % nobody is left to compare with" in wrong
    assert "add holdback: 2" in wrong
    assert "blue-green: steps 100 %" in cli("ramp", "start", "blue", "--strategy", "blue-green", "--holdback", "5")
    assert "leave out steps" in cli.fails("ramp", "start", "blue", "--strategy", "exponential", "--steps", "5")


def test_a_ramp_waits_for_its_window_and_a_person_need_not(cli: Cli, tmp_path: Path) -> None:
    """It says when it opens, everywhere; `advance` goes before it and says so."""
    cli("flag", "create", "windowed")
    # A day of the week on which it is not now, wherever that is.
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    other = days[(datetime.now(UTC).weekday() + 3) % 7]
    window = {"days": other, "from": "09:00", "to": "17:00", "timezone": "Europe/Madrid"}
    file = tmp_path / "ramp.yaml"
    file.write_text(
        json.dumps({"kind": "ramp", "flag": "windowed", "environment": "production", "advance_windows": [window]})
    )

    said = cli("ramp", "start", "-f", str(file))

    opens = f"opens {other.capitalize()} "
    assert f"it goes up only within {other} 09:00-17:00 Europe/Madrid" in said
    assert f"waits for the advance window: {opens}" in said
    cli.until("ramp", "status", "windowed", fits=lambda view: opens in (view["standing"]["shut"] or ""))
    assert "calendar: waits for the advance window" in cli("ramp", "status", "windowed")
    advanced = cli("ramp", "advance", "windowed", "--reason", "the customer waits")
    assert "by hand, against its calendar (waits for the advance window" in advanced
    assert "against its calendar" in cli("changes")


def test_a_draft_is_listed_ended_started_and_starts_by_itself(cli: Cli, offset: Path) -> None:
    """With its time; by hand at once; and when the server's clock has come to it."""
    cli("flag", "create", "later")
    at = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0).isoformat()

    said = cli("ramp", "start", "later", "--start-at", at)
    assert said.startswith("later: draft: starts ")
    assert "in 2 days" in said or "in 48 h" in said
    assert "draft" in cli("ramp", "status")
    assert "not started yet" in cli.fails("ramp", "pause", "later")
    assert "aborted" in cli("ramp", "abort", "later", "--reason", "never mind")

    cli("ramp", "start", "later", "--start-at", at)
    assert "later: arming" in cli("ramp", "advance", "later", "--reason", "today after all")
    cli("ramp", "abort", "later", "--reason", "enough")

    draft = cli.json("ramp", "start", "later", "--start-at", at)["id"]
    assert cli.json("ramp", "status", "later")["id"] == draft
    write_offset(offset, wall_ms=2 * DAY_MS)
    started = cli.until("ramp", "status", draft, fits=lambda view: view["status"] != "draft")
    assert started["in_force"] is True
    kinds = [one["kind"] for one in cli.json("ramp", "decisions", draft)["decisions"]]
    assert kinds[:2] == ["draft", "start"]
    assert "all agree" in cli("ramp", "replay", draft)
