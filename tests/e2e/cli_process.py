"""The command ``rheostat`` as a process, and a server for it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from rheostat_server.demo.stage import Stage

_SECONDS = 60


@contextlib.contextmanager
def a_server() -> Iterator[tuple[Stage, Path]]:
    """Start a server on an empty database; give its stage and its data directory."""
    with tempfile.TemporaryDirectory(prefix="rheostat-cli-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        # PostgreSQL may run as another user, who has to pass through.
        directory.chmod(0o755)
        stage = Stage(directory, background=0.0, with_prometheus=False)
        asyncio.run(stage.start_server())
        assert stage.server is not None
        try:
            yield stage, directory / "data"
        finally:
            stage.server.stop(signal.SIGTERM)


class Cli:
    """Runs ``rheostat`` with an empty home and no other settings than these."""

    def __init__(self, home: Path, *, url: str, token: str, sdk_key: str) -> None:
        self.url = url
        self.token = token
        self._sdk_key = sdk_key
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RHEOSTAT_")}
        self.environ = inherited | {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
        self.environ |= {"RHEOSTAT_URL": url, "RHEOSTAT_TOKEN": token}

    def without(self, *names: str) -> "Cli":
        """Return one that does not have these variables."""
        other = Cli(Path(self.environ["HOME"]), url=self.url, token=self.token, sdk_key=self._sdk_key)
        other.environ = {name: value for name, value in self.environ.items() if name not in names}
        return other

    def run(self, *arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the command; it must exit with ``code``."""
        ended = subprocess.run(
            self._command(arguments),
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environ,
            timeout=_SECONDS,
            check=False,
        )
        assert ended.returncode == code, f"{arguments}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}"
        return ended

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Run the command, which must succeed; return its standard output."""
        return self.run(*arguments, stdin=stdin).stdout

    def fails(self, *arguments: str, stdin: str = "", code: int = 1) -> str:
        """Run the command, which must fail; return what it says."""
        return self.run(*arguments, stdin=stdin, code=code).stderr

    def json(self, *arguments: str) -> Any:
        """Run the command with ``--json`` and return the JSON, which must be all that it prints."""
        return json.loads(self(*arguments, "--json"))

    def until(self, *arguments: str, fits: Callable[[Any], bool]) -> Any:
        """Run the command with ``--json`` again and again, also while it fails, until its answer fits."""
        end = time.monotonic() + _SECONDS
        while True:
            ended = subprocess.run(
                self._command((*arguments, "--json")),
                capture_output=True,
                text=True,
                env=self.environ,
                timeout=_SECONDS,
                check=False,
            )
            if ended.returncode == 0 and fits(json.loads(ended.stdout)):
                return json.loads(ended.stdout)
            assert time.monotonic() < end, f"{arguments}: {ended.stdout}{ended.stderr}"
            time.sleep(0.2)

    @contextlib.contextmanager
    def starts(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start the command and go on; on leaving it has ended."""
        # Tests that run in the background of a shell would hand down that Ctrl-C is ignored.
        with subprocess.Popen(
            ["env", "--default-signal=INT", *self._command(arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ,
        ) as process:
            try:
                yield process
                process.wait(_SECONDS)
            finally:
                process.kill()

    def api(self, method: str, path: str, body: Any) -> Any:
        """Ask the admin API for what no command does."""
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.request(method, f"{self.url}/api/v1{path}", json=body, headers=headers).raise_for_status().json()

    def evaluate(self, key: str, *, sdk_key: str | None = None) -> Any:
        """Return what an application gets for one user; ``None`` where the flag has no answer."""
        return self._ask(f"/{key}", sdk_key).json().get("value")

    def status(self, sdk_key: str) -> int:
        """Return the HTTP status that an application with this key gets."""
        return self._ask("", sdk_key).status_code

    def _ask(self, path: str, sdk_key: str | None) -> httpx.Response:
        headers = {"authorization": f"Bearer {sdk_key or self._sdk_key}"}
        context = {"context": {"targetingKey": "user-1"}}
        return httpx.post(f"{self.url}/ofrep/v1/evaluate/flags{path}", json=context, headers=headers)

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "rheostat_server", *arguments]
