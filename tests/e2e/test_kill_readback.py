"""A kill that tells which processes applied it: real SDK processes, one of them frozen."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli_process import Cli, a_server

pytestmark = pytest.mark.e2e

APPLICATION = """
import sys, time
from rheostat import Context, Rheostat
flags = Rheostat(sys.argv[1], sys.argv[2], service=sys.argv[3], cache_dir=sys.argv[4])
assert flags.wait_until_ready(30)
print("ready", flush=True)
while True:
    flags.boolean("checkout", False, Context("user-1"))
    time.sleep(0.2)
"""


@contextlib.contextmanager
def applications(url: str, sdk_key: str, directory: Path, *services: str) -> "Iterator[list[subprocess.Popen[str]]]":
    """Run one process for each service."""
    processes = []
    try:
        for service in services:
            command = [sys.executable, "-c", APPLICATION, url, sdk_key, service, str(directory / service)]
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_kill_tells_who_applied_it_and_names_the_frozen_one(tmp_path: Path) -> None:
    """`flag kill` prints it; a process that stands still is named, and has it a moment after it goes on."""
    with a_server() as (stage, _):
        rheostat = Cli(tmp_path, url=stage.url, token=stage.token, sdk_key=stage.sdk_key)
        rheostat("flag", "create", "checkout", "--exposure", "50")
        nobody = rheostat("flag", "kill", "checkout", "--reason", "a try")
        assert "no SDK has been heard from in the last minute" in nobody
        rheostat("flag", "revive", "checkout", "--reason", "it was one")

        with applications(stage.url, stage.sdk_key, tmp_path, "cart", "pay", "web") as processes:
            wait_for_instances(rheostat, 3)
            told = rheostat("flag", "kill", "checkout", "--reason", "it burns", "--wait", "60")
            assert "3 of 3 instances applied it: p50 " in told
            again = rheostat.json("flag", "kill", "checkout", "--reason", "again")
            assert "killed in production already: it burns" in again["notes"][0]
            assert (again["readback"]["known"], again["readback"]["complete"]) == (3, True)
            assert 0 <= again["readback"]["p50_ms"] <= again["readback"]["p99_ms"]
            rheostat("flag", "revive", "checkout", "--reason", "fixed")

            processes[1].send_signal(signal.SIGSTOP)
            seen = rheostat.json("flag", "kill", "checkout", "--reason", "it burns again", "--wait", "5")
            readback = seen["readback"]
            assert (readback["known"], readback["applied"], readback["complete"]) == (3, 2, False)
            assert [one["service"] for one in readback["stragglers"]] == ["pay"]
            said = rheostat("flag", "kill", "checkout", "--reason", "who?", "--wait", "0")
            assert "2 of 3 instances applied it" in said
            assert "  pay " in said

            processes[1].send_signal(signal.SIGCONT)
            thawed = rheostat("flag", "kill", "checkout", "--reason", "and now?", "--wait", "60")
            assert "3 of 3 instances applied it" in thawed


def test_a_killed_ramp_shows_who_applied_it(tmp_path: Path) -> None:
    """`ramp status` of a ramp that was killed has the read-back of its kill."""
    with a_server() as (stage, _):
        rheostat = Cli(tmp_path, url=stage.url, token=stage.token, sdk_key=stage.sdk_key)
        rheostat("flag", "create", "checkout")
        rheostat("ramp", "start", "checkout", "--steps", "10,50,100", "--no-preflight")
        with applications(stage.url, stage.sdk_key, tmp_path, "web"):
            wait_for_instances(rheostat, 1)
            rheostat("flag", "kill", "checkout", "--reason", "it burns", "--wait", "60")
        assert "1 of 1 instances applied it" in rheostat("ramp", "status", "checkout")
        assert rheostat.json("ramp", "status", "checkout")["kill"]["complete"] is True


def wait_for_instances(rheostat: Cli, number: int) -> None:
    """Wait until the server has heard of so many processes: a kill of another flag knows of them."""
    end = time.monotonic() + 60
    rheostat("flag", "create", "another")
    rheostat("flag", "kill", "another", "--reason", "who is there?", "--no-wait")
    path = "/projects/default/environments/production/kills"
    [kill] = rheostat.api("GET", f"{path}?flag=another", None)["kills"]
    seen: Any = None
    while seen is None or seen["known"] < number:
        assert time.monotonic() < end, seen
        time.sleep(0.2)
        seen = rheostat.api("GET", f"{path}/{kill['kill_id']}/readback", None)
