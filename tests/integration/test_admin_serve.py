"""The server as a process: its start, its refusals, its end."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

UP_SECONDS = 40.0


class Served:
    """A server process that is up."""

    def __init__(self, child: "subprocess.Popen[str]", output: str) -> None:
        self.child = child
        self.output = output
        self.url = re.search(r"http://\S+", output)[0]  # type: ignore[index]

    def secret(self, prefix: str) -> str:
        """Return a secret that was shown."""
        return re.search(prefix + r"_\S+", self.output)[0]  # type: ignore[index]

    def stop(self, sign: signal.Signals = signal.SIGINT) -> float:
        """Send a signal; return how many seconds it took to end."""
        began = time.monotonic()
        self.child.send_signal(sign)
        self.child.wait(20)
        return time.monotonic() - began


class Launcher:
    """Starts servers, and ends at the end what still runs."""

    def __init__(self, directory: Path) -> None:
        self.data_dir = directory / "data"
        self._children: list[subprocess.Popen[str]] = []

    def command(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        """Start a command on the data directory."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RHEOSTAT_")}
        child = subprocess.Popen(
            [sys.executable, "-m", "rheostat_server", *arguments],
            env={**kept, "RHEOSTAT_DATA_DIR": str(self.data_dir), "RHEOSTAT_PORT": "0", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._children.append(child)
        return child

    def serve(self, **environ: str) -> Served:
        """Start a server and wait until it says that it runs."""
        child = self.command("serve", **environ)
        assert child.stdout is not None
        lines: list[str] = []
        for line in child.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                return Served(child, "".join(lines))
        _, said = child.communicate(timeout=UP_SECONDS)
        raise AssertionError(f"the server did not start: {said}")

    def refused(self, *arguments: str, **environ: str) -> str:
        """Run a command that is to fail; return its only line."""
        child = self.command(*arguments, **environ)
        out, said = child.communicate(timeout=UP_SECONDS)
        assert child.returncode == 1, (out, said)
        assert out == ""
        assert said.startswith("rheostat: ")
        assert said.count("\n") == 1, said
        return said

    def close(self) -> None:
        """End what still runs."""
        for child in self._children:
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
            for stream in (child.stdout, child.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    """A launcher on an empty directory."""
    found = Launcher(tmp_path)
    try:
        yield found
    finally:
        found.close()


def flags(url: str, token: str) -> httpx.Response:
    return httpx.get(f"{url}/api/v1/projects/default/flags", headers={"authorization": f"Bearer {token}"})


def test_the_second_start_has_everything_and_shows_no_secret(launcher: Launcher) -> None:
    """The first start shows a token and a key, once; the second has the data, and both still work."""
    first = launcher.serve()
    token, key = first.secret("rht"), first.secret("rhs")
    body = {"kind": "flag", "key": "kept", "type": "boolean", "variants": {"on": True, "off": False}}
    written = httpx.put(
        f"{first.url}/api/v1/projects/default/flags/kept", json=body, headers={"authorization": f"Bearer {token}"}
    )
    assert written.status_code == 201
    assert first.stop() < 5
    assert first.child.returncode == 0

    began = time.monotonic()
    second = launcher.serve()
    assert time.monotonic() - began < 10
    assert "rht_" not in second.output
    assert [flag["key"] for flag in flags(second.url, token).json()["flags"]] == ["kept"]
    snapshot = httpx.get(f"{second.url}/sdk/v1/snapshot", headers={"authorization": f"Bearer {key}"})
    assert [flag["key"] for flag in snapshot.json()["flags"]] == ["kept"]
    with httpx.stream(
        "GET", f"{second.url}/sdk/v1/stream", headers={"authorization": f"Bearer {key}"}, timeout=10
    ) as stream:
        chunks = stream.iter_text()
        assert "event: beat" in next(chunks)
        assert second.stop(signal.SIGTERM) < 5
    assert second.child.returncode == 0


def test_presets_are_the_first_secrets(launcher: Launcher) -> None:
    """A preset token and key are used at the first start, and another preset is added at the next and said."""
    token, key = "a-token-of-my-own-choice", "a-key-of-my-own-choice"
    first = launcher.serve(RHEOSTAT_ADMIN_TOKEN=token, RHEOSTAT_SDK_KEY=key)
    assert flags(first.url, token).status_code == 200
    first.stop()
    second = launcher.serve(RHEOSTAT_ADMIN_TOKEN="another-token-by-now", RHEOSTAT_SDK_KEY=key)
    assert "RHEOSTAT_ADMIN_TOKEN differs from what is stored" in second.output
    assert "RHEOSTAT_SDK_KEY" not in second.output
    for each in (token, "another-token-by-now"):
        assert flags(second.url, each).status_code == 200


def test_what_cannot_start_says_so_in_one_line(launcher: Launcher, tmp_path: Path) -> None:
    """A taken port, a data directory in use, an unreachable database, a wrong setting: one line, exit 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port} on 127.0.0.1 is taken" in launcher.refused("serve", RHEOSTAT_PORT=port)
    assert not launcher.data_dir.exists()
    password = "hunter2-is-secret"
    for url in (
        f"postgresql://u:{password}@127.0.0.1:1/x",
        f"mysql://u:{password}@h/x",
        f"postgresql://u:p/{password}@h:x/y",
    ):
        said = launcher.refused("serve", RHEOSTAT_DATABASE_URL=url)
        assert "RHEOSTAT_DATABASE_URL" in said
        assert password not in said
    assert "RHEOSTAT_PORT" in launcher.refused("serve", RHEOSTAT_PORT="many")
    assert "RHEOSTAT_LOG_LEVEL" in launcher.refused("serve", RHEOSTAT_LOG_LEVEL="loud")
    assert "RHEOSTAT_HOST" in launcher.refused("serve", RHEOSTAT_HOST="192.0.2.1")
    assert "there is no data" in launcher.refused("token", "reset", RHEOSTAT_DATA_DIR=str(tmp_path / "nothing"))
    running = launcher.serve()
    assert f"is in use by process {running.child.pid}" in launcher.refused("serve")


def test_a_token_reset_works_on_a_running_and_on_a_stopped_server(launcher: Launcher) -> None:
    """The new token opens, the former does not; the command prints nothing else to standard output."""

    def reset() -> str:
        out, said = launcher.command("token", "reset").communicate(timeout=UP_SECONDS)
        assert re.fullmatch(r"rht_\S+\n", out), said
        return out.strip()

    running = launcher.serve()
    old = running.secret("rht")
    fresh = reset()
    for _ in range(100):
        if flags(running.url, old).status_code == 401:
            break
        time.sleep(0.05)
    assert [flags(running.url, token).status_code for token in (old, fresh)] == [401, 200]
    running.stop()
    again = reset()
    second = launcher.serve()
    assert [flags(second.url, token).status_code for token in (fresh, again)] == [401, 200]


def test_an_outside_database_serves_by_the_same_code(
    launcher: Launcher, fresh_database: Callable[[], str], tmp_path: Path
) -> None:
    """Two servers on one database both serve; what one writes the other has."""
    url = fresh_database()
    first = launcher.serve(RHEOSTAT_DATABASE_URL=url)
    token = first.secret("rht")
    second = launcher.serve(RHEOSTAT_DATABASE_URL=url, RHEOSTAT_DATA_DIR=str(tmp_path / "other"))
    assert "rht_" not in second.output
    body = {"kind": "flag", "key": "shared", "type": "boolean", "variants": {"on": True, "off": False}}
    headers = {"authorization": f"Bearer {token}"}
    httpx.put(f"{first.url}/api/v1/projects/default/flags/shared", json=body, headers=headers)
    assert [flag["key"] for flag in flags(second.url, token).json()["flags"]] == ["shared"]
    assert not (tmp_path / "other" / "postgres").exists()
