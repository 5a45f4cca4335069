"""The tutorial, typed command by command."""

import os
import queue
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rheostat_server.demo.processes import Process, free_port
from tests.e2e.tutorial_page import Block, blocks_of, shows

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-ramp.md"
START = "make run\n"
"""What the reader types in the first terminal."""
_DONE = "--- this block is done"
_LONGEST_SECONDS = 200


class Terminal:
    """A shell in which one block after the other is typed, with its jobs and variables."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env=environ,
            # So that what was left running in the background can be ended with it.
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            self._lines.put(line)

    def type(self, commands: str) -> str:
        """Type these commands; return what was printed by the time they were done."""
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{commands}\necho; echo '{_DONE}'\n")
        self._shell.stdin.flush()
        printed = ""
        while not printed.endswith(_DONE + "\n"):
            printed += self._lines.get(timeout=_LONGEST_SECONDS)
        return printed.removesuffix(_DONE + "\n")

    def close(self) -> None:
        """End the shell and all that it started."""
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()


@pytest.fixture
def server(open_directory: Path) -> Iterator[tuple[Process, int]]:
    """What `make run` starts, on a free port and with data of its own."""
    # Not make itself: it would make the environment anew under the tests that run in it.
    assert "run: .venv/run.stamp\n\t@exec $(BIN)/rheostat serve\n" in (ROOT / "Makefile").read_text()
    port = free_port()
    environ = {"RHEOSTAT_PORT": str(port), "RHEOSTAT_DATA_DIR": str(open_directory / "data")}
    environ |= dict.fromkeys(("RHEOSTAT_DATABASE_URL", "RHEOSTAT_REDIS_URL", "RHEOSTAT_PROMETHEUS_URL"), "")
    environ |= dict.fromkeys(("RHEOSTAT_ADMIN_TOKEN", "RHEOSTAT_SDK_KEY"), "")
    command = [str(ROOT / ".venv" / "bin" / "rheostat"), "serve"]
    process = Process(command, log=open_directory / "server.log", environ=environ)
    try:
        yield process, port
    finally:
        process.stop()


async def test_the_tutorial_is_true(server: tuple[Process, int], open_directory: Path) -> None:
    """Each block does what the page says, from the server's start to the promotion."""
    process, port = server
    await process.answers(f"http://127.0.0.1:{port}/readyz", within=60)
    blocks = blocks_of(PAGE)
    assert blocks[0] == Block("bash", START)
    mine = {
        "rht_…": re.findall(r"\brht_[\w-]+", process.output)[0],
        "rhs_…": re.findall(r"\brhs_[\w-]+", process.output)[0],
        "127.0.0.1:8080": f"127.0.0.1:{port}",
        "8000": str(free_port()),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RHEOSTAT_")}
    home = {"HOME": str(open_directory), "XDG_CACHE_HOME": str(open_directory), "TMPDIR": str(open_directory)}
    terminal = Terminal({**inherited, **home, "XDG_CONFIG_HOME": str(open_directory)})
    printed, typed = "", ""
    try:
        for block in blocks[1:]:
            body = block.body
            for theirs, ours in mine.items():
                body = body.replace(theirs, ours)
            match block.language:
                case "bash":
                    typed, printed = body, terminal.type(body)
                case "python":
                    terminal.type(f"cat > {block.name} <<'END OF FILE'\n{body}END OF FILE")
                case _:
                    assert shows(body, printed), f"after\n{typed}\nthe page shows\n{body}\nand this came\n{printed}"
    finally:
        terminal.close()
