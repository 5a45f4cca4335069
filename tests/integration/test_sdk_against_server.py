"""The client against the real server on its embedded PostgreSQL: what is written there is answered here."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from rheostat import Context, Reason, Rheostat, Source
from rheostat.model.evaluation import Arm
from tests.integration.test_sdk_orphans import APPLICATION

TOKEN = "rht_0123456789abcdef0123456789abcdef"
KEY = "rhs_0123456789abcdef0123456789abcdef"
FLAGS = "/api/v1/projects/default/flags"


class Server:
    """One ``rheostat serve`` with a directory of its own."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._directory = directory
        self._http = urllib3.PoolManager()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        environ = {
            **os.environ,
            "RHEOSTAT_HOST": "127.0.0.1",
            "RHEOSTAT_PORT": str(self.port),
            "RHEOSTAT_DATA_DIR": str(self._directory / "data"),
            "RHEOSTAT_ADMIN_TOKEN": TOKEN,
            "RHEOSTAT_SDK_KEY": KEY,
        }
        environ.pop("RHEOSTAT_DATABASE_URL", None)
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rheostat_server", "serve"], env=environ, stdout=log, stderr=log
            )
        eventually(self._ready, 60)

    def kill(self) -> None:
        """kill -9."""
        self.stop(signal.SIGKILL)

    def stop(self, by: signal.Signals = signal.SIGINT) -> None:
        """Stop it and wait until it is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(by)
            process.wait(30)

    def ask(self, method: str, path: str, body: Any = None, *, token: str = TOKEN) -> Any:
        """Call the API; anything but success fails the test."""
        answer = self._http.request(method, self.url + path, json=body, headers={"Authorization": f"Bearer {token}"})
        assert 200 <= answer.status < 300, answer.data
        return answer.json() if answer.data else None

    def put_flag(self, key: str, default: Any, **changes: Any) -> None:
        """Write a boolean flag that is enabled in production."""
        document = {
            "kind": "flag",
            "key": key,
            "type": "boolean",
            "variants": {"on": True, "off": False},
            "off_variant": "off",
            "environments": {"production": {"enabled": True, "default": default}},
            **changes,
        }
        self.ask("PUT", f"{FLAGS}/{key}", document)

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "log").read_text()
        try:
            return self._http.request("GET", f"{self.url}/readyz", retries=False, timeout=2.0).status == 200
        except urllib3.exceptions.HTTPError:
            return False


def eventually(holds: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until it holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # PostgreSQL runs as another user under root, and pytest's own directories are private to the tester.
    with tempfile.TemporaryDirectory(prefix="rheostat-sdk-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        server = Server(Path(name))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def flags(server: Server, tmp_path: Path) -> Iterator[Rheostat]:
    with Rheostat(server.url, KEY, cache_dir=tmp_path, service="shop") as flags:
        assert flags.wait_until_ready(10)
        eventually(lambda: flags.status().stream == "streaming")
        yield flags


def test_what_is_written_is_answered(server: Server, flags: Rheostat) -> None:
    """A new flag, its change and a rollout arrive by the stream within a second."""
    server.put_flag("written", {"serve": "on"})
    eventually(lambda: flags.boolean("written", False) is True, 1.0)
    assert flags.evaluate("written", False).reason is Reason.STATIC

    server.put_flag("written", {"serve": "off"})
    eventually(lambda: flags.boolean("written", True) is False, 1.0)

    server.put_flag("written", {"rollout": {"exposure": 50, "split": {"on": 1}, "fallback": "off"}})
    eventually(lambda: flags.evaluate("written", True, Context("user-1")).reason is Reason.SPLIT, 1.0)
    exposed = sum(flags.boolean("written", False, Context(number)) for number in range(2_000))
    assert 900 < exposed < 1_100
    assert flags.status().stream == "streaming"


def test_here_and_there_the_answer_is_the_same(server: Server, flags: Rheostat) -> None:
    """What the process evaluates is what the server answers over OFREP, user by user."""
    server.put_flag("same", {"rollout": {"exposure": 30, "split": {"on": 1}, "fallback": "off"}})
    eventually(lambda: flags.evaluate("same", True, Context("u")).reason is Reason.SPLIT)

    for number in range(50):
        context = {"targetingKey": f"user-{number}"}
        remote = server.ask("POST", "/ofrep/v1/evaluate/flags/same", {"context": context}, token=KEY)
        local = flags.evaluate("same", False, Context(f"user-{number}"))
        assert (local.value, local.variant, local.reason.value) == (
            remote["value"],
            remote["variant"],
            remote["reason"],
        )


def test_a_kill_is_in_force_within_a_second_and_revive_ends_it(server: Server, flags: Rheostat) -> None:
    """From the request to the answer in the process, both ways."""
    server.put_flag("killed", {"serve": "on"})
    eventually(lambda: flags.boolean("killed", False) is True)
    path = "/api/v1/projects/default/environments/production/flags/killed"

    server.ask("POST", f"{path}/kill", {"scope": "flag", "reason": "it hurts"})
    eventually(lambda: flags.boolean("killed", True) is False, 1.0)
    assert flags.status().kills == 1

    server.ask("POST", f"{path}/revive", {"reason": "fixed"})
    eventually(lambda: flags.boolean("killed", False) is True, 1.0)
    assert flags.status().kills == 0


def test_a_key_that_is_not_one_is_refused(server: Server, tmp_path: Path) -> None:
    """The status says so, and defaults are served."""
    with Rheostat(server.url, KEY[:-1] + "0", cache_dir=tmp_path) as flags:
        eventually(lambda: flags.status().stream == "refused")
        assert "401" in (flags.status().last_error or "")
        assert flags.boolean("written", False) is False


def test_a_request_that_kills_its_process_counts_in_its_arm(
    server: Server, flags: Rheostat, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The next process of the service reports it: a bad request of a failing user, in the ramp's own figures."""
    server.put_flag("crashes", {"rollout": {"exposure": 0, "split": {"on": 1}, "fallback": "off"}})
    document = {"kind": "ramp", "flag": "crashes", "steps": [50, 100], "preflight": "0s", "users": 100_000}
    path = "/api/v1/projects/default/environments/production/ramps"
    ramp = f"{path}/{server.ask('POST', path, document)['id']}"
    eventually(lambda: flags.evaluate("crashes", False, Context("u")).arm is not None)
    treated = next(
        user
        for number in range(100)
        if flags.evaluate("crashes", False, Context(user := f"user-{number}")).arm is Arm.TREATMENT
    )
    application = APPLICATION.replace("rhs_test", KEY).replace("checkout", "crashes")
    cache = tmp_path_factory.mktemp("cache")

    def start(script: str) -> "subprocess.Popen[bytes]":
        environ = {**os.environ, "RHEOSTAT_SERVICE": "shop"}
        return subprocess.Popen([sys.executable, "-c", application + script, server.url, str(cache)], env=environ)

    assert start(f"request({treated!r}, kill_me)").wait(60) == -signal.SIGKILL
    following = start("\nwhile True:\n    request('another')\n    time.sleep(0.2)")

    def seen() -> bool:
        exposed = server.ask("GET", ramp)["guardrails"][0]["treatment"]
        return bool(exposed["bad"] == exposed["failing"] == 1)

    eventually(seen, 30)
    services = {each["service"]: each["reports"] for each in server.ask("GET", ramp)["reporting"]["services"]}
    following.kill()
    following.wait()
    assert services == {"shop": True}


def test_kill_9_of_the_server_is_survived(server: Server, flags: Rheostat, tmp_path: Path) -> None:
    """Answers go on; a process started meanwhile answers from disk; both are live again after the restart."""
    server.put_flag("survives", {"serve": "on"})
    eventually(lambda: flags.boolean("survives", False) is True)
    before = flags.status().identity
    time.sleep(0.1)
    flags.close()
    flags = Rheostat(server.url, KEY, cache_dir=tmp_path)
    eventually(lambda: flags.status().stream == "streaming")

    server.kill()

    eventually(lambda: flags.status().stream == "polling")
    assert flags.boolean("survives", False) is True
    with Rheostat(server.url, KEY, cache_dir=tmp_path) as late:
        details = late.evaluate("survives", False)
        assert (details.value, details.reason, late.status().source) == (True, Reason.STALE, Source.DISK)

        server.start()
        server.put_flag("survives", {"serve": "off"})

        eventually(lambda: late.boolean("survives", True) is False, 20)
        eventually(lambda: flags.boolean("survives", True) is False, 20)
        assert flags.status().identity > before
    flags.close()
