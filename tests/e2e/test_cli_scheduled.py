"""``rheostat flag schedule``, ``scheduled`` and ``unschedule``, as a process, against a server whose clock is moved."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from rheostat.clock import OFFSET_FILE, write_offset
from tests.e2e.cli_process import Cli, a_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
DAY_MS = 86_400_000


class Scheduling:
    """The command, and the server's clock."""

    def __init__(self, cli: Cli, offset: Path) -> None:
        self.cli = cli
        self._offset = offset
        self._days = 0

    def in_days(self, days: int) -> datetime:
        """Return the moment so many days from the server's now, to the second."""
        return (datetime.now(UTC) + timedelta(days=self._days + days)).replace(microsecond=0)

    def days_pass(self, days: int) -> None:
        """Move the server's clock."""
        self._days += days
        write_offset(self._offset, wall_ms=self._days * DAY_MS)

    def schedule(self, *arguments: str) -> int:
        """Schedule a change for tomorrow; return its id."""
        at = self.in_days(1).isoformat()
        number: int = self.cli.json("flag", "schedule", *arguments, "--at", at)["id"]
        return number

    def wait_for(self, number: int, status: str) -> None:
        """Wait until a change has come to its end."""
        self.cli.until("flag", "scheduled", "--id", str(number), fits=lambda one: one["status"] == status)


@pytest.fixture(scope="module")
def scheduling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduling]:
    """The command, as the administrator of a server whose clock the test moves."""
    home = tmp_path_factory.mktemp("home")
    offset = home / "offset"
    write_offset(offset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OFFSET_FILE, str(offset))
        with a_server() as (stage, _):
            yield Scheduling(Cli(home, url=stage.url, token=stage.token, sdk_key=stage.sdk_key), offset)


def test_a_change_is_scheduled_seen_and_made(scheduling: Scheduling) -> None:
    """It says who would move and when it will be, is listed until then, and is what the application gets afterwards."""
    cli = scheduling.cli
    cli("flag", "create", "launch")
    local = scheduling.in_days(1).astimezone(ZoneInfo("Europe/Madrid"))

    told = cli(
        "flag", "schedule", "launch", "--exposure", "100", "--note", "the launch",
        "--at", local.strftime("%Y-%m-%dT%H:%M"), "--timezone", "Europe/Madrid",
    ).splitlines()  # fmt: skip

    assert told[0] == "as of now, production: rule default: 0 % → 100 %: 100 % of users gain `on`"
    when = f"{local:%Y-%m-%d %H:%M}:00 Europe/Madrid ({local.astimezone(UTC):%Y-%m-%d %H:%M}:00 UTC)"
    assert told[1] == f"launch will change in production at {when}: default.rollout.exposure: 100"
    number = int(told[-1].split("`")[1].split()[-1])
    row = cli("flag", "scheduled", "launch").splitlines()[1]
    assert row.split()[0] == str(number)
    assert row.endswith("default.rollout.exposure: 100")
    assert f"# scheduled for {when}, production: default.rollout.exposure: 100 ({number})" in cli(
        "flag", "get", "launch"
    )
    assert cli.evaluate("launch") is False

    scheduling.days_pass(2)
    scheduling.wait_for(number, "done")

    assert cli("flag", "scheduled", "launch") == "Nothing is scheduled.\n"
    assert "  done  " in cli("flag", "scheduled", "launch", "--all")
    assert cli.json("flag", "get", "launch")["version"] == 2
    assert cli.evaluate("launch") is True
    assert cli.json("flag", "history", "launch")["versions"][0]["note"] == "the launch"
    assert f"({number}), version 2 (production)" in cli("changes", "--since", "90d")


def test_a_change_is_unscheduled(scheduling: Scheduling) -> None:
    """Cancelled, it is not made, and stays to be looked up; archiving a flag cancels what waits for it."""
    cli = scheduling.cli
    cli("flag", "create", "never")
    number = scheduling.schedule("never", "--set", "enabled=false")
    other = scheduling.schedule("never", "--whole-flag", "--set", "owner=ann")

    assert f"The change {number} of never" in cli("flag", "unschedule", str(number), "--reason", "not yet")
    assert "is cancelled already" in cli.fails("flag", "unschedule", str(number))
    assert "the whole flag" in cli("flag", "scheduled", "never")
    assert f'({other}: owner: "ann") is cancelled' in cli("flag", "archive", "never", "--force")

    shown = cli("flag", "scheduled", "--id", str(number))
    assert "enabled: false" in shown
    assert ": not yet" in shown
    assert [one["status"] for one in cli.json("flag", "scheduled", "never", "--all")["changes"]] == ["cancelled"] * 2


def test_a_change_comes_from_a_file_and_from_options(scheduling: Scheduling, tmp_path: Path) -> None:
    """Rules and targets are edited by name; options add to the file; what is wrong is told with its path."""
    cli = scheduling.cli
    rule = {"name": "beta", "when": {"attribute": "plan", "operator": "in", "values": ["pro"]}, "serve": "on"}
    here = {"enabled": True, "rules": [rule], "default": {"serve": "off"}}
    document = {
        "key": "filed",
        "type": "boolean",
        "variants": {"on": True, "off": False},
        "environments": {"production": here},
    }
    cli("flag", "put", "-", stdin=json.dumps(document))
    file = tmp_path / "change.yaml"
    file.write_text("patch: {max_staleness: 5m}\nrules: {beta: {serve: off}}\n")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("patch: {enable: true}\n")

    number = scheduling.schedule(
        "filed", "--file", str(file), "--exposure", "20", "--set", "default.rollout.salt=a", "--add-target", "on=user-1"
    )
    refused = cli.fails("flag", "schedule", "filed", "--file", str(wrong), "--at", "2020-01-01T00:00:00Z")

    assert "environments.production.enable: there is no such field (did you mean enabled?)" in refused
    assert "at: 2020-01-01T00:00:00Z is past" in refused
    assert "say when" in cli.fails("flag", "schedule", "filed", "--set", "enabled=false")
    scheduling.days_pass(2)
    scheduling.wait_for(number, "done")
    made = cli.json("flag", "get", "filed")["document"]["environments"]["production"]
    assert made["rules"][0]["serve"] == "off"
    assert made["targets"] == {"on": ["user-1"]}
    assert made["default"]["rollout"] == {"exposure": 20, "split": {"on": 1}, "fallback": "off", "salt": "a"}
    assert cli.evaluate("filed") is True


def test_a_change_that_failed_says_why(scheduling: Scheduling) -> None:
    """What was found is shown with the change, and in the list of all."""
    cli = scheduling.cli
    cli("flag", "create", "moved")
    number = scheduling.schedule("moved", "--set", "enabled=false", "--if-version", "1")
    cli("flag", "rollout", "moved", "5")

    scheduling.days_pass(2)
    scheduling.wait_for(number, "failed")

    assert "the flag 'moved' has moved on to version 2" in cli("flag", "scheduled", "--id", str(number))
    assert "has moved on to version 2" in cli("flag", "scheduled", "moved", "--all")
    assert cli.json("flag", "get", "moved")["version"] == 2
