"""Published JavaScript clients: installed once from the lock file, run under Node, spoken to line by line."""

import asyncio
import fcntl
import hashlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
LOCK = HERE / "package-lock.json"
NEEDED = "node 18 or newer and npm are needed: scripts/need-test-programs"
ANSWER_SECONDS = 20


def install() -> None:
    """Install what the lock file pins, unless it is there already.

    Raises:
        AssertionError: Node or npm is missing or too old, or npm could not install.
    """
    assert shutil.which("node"), NEEDED
    assert shutil.which("npm"), NEEDED
    version = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout
    assert int(version.removeprefix("v").split(".")[0]) >= 18, f"{NEEDED}; this is {version}"
    pinned = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    stamp = MODULES / ".installed"
    # Two test runs in one tree install once.
    with (HERE / "package.json").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == pinned:
            return
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        run = subprocess.run(command, check=False, cwd=HERE, capture_output=True, text=True)
        assert run.returncode == 0, f"npm ci failed: {run.stderr}"
        stamp.write_text(pinned)


class NpmClient:
    """A running client. ``ask`` does one of its commands."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, command: str, **given: Any) -> Any:
        """Return what the client says to a command.

        Raises:
            AssertionError: the command failed, or the client is gone; the message has its error.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": command, **given}).encode() + b"\n")
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self._process.stdout.readline()
        assert line, "the client ended: its stderr says why"
        answer = json.loads(line)
        assert "failed" not in answer, answer["failed"]
        return answer["said"]

    async def until(self, command: str, count: int) -> list[Any]:
        """Return the command's list once it has this many entries."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while len(said := await self.ask(command)) < count:
                await asyncio.sleep(0.05)
        return list(said)


@asynccontextmanager
async def npm_client(script: str) -> AsyncIterator[NpmClient]:
    """Run one of the scripts beside this file."""
    await asyncio.to_thread(install)
    process = await asyncio.create_subprocess_exec(
        "node",
        str(HERE / script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 22,
    )
    try:
        yield NpmClient(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
