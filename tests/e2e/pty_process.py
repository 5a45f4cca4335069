"""A command in a terminal: what stands on its screen, keys, and its size."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Callable, Iterator, Mapping

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\-_])")
_HOME = "\x1b[H"


class Terminal:
    """A child process in a terminal of so many columns and rows."""

    def __init__(self, command: list[str], environ: Mapping[str, str], *, columns: int, rows: int) -> None:
        # Readline leaves these in the environment of a process that loads it, and they would go before the real size.
        given = {name: value for name, value in environ.items() if name not in {"COLUMNS", "LINES"}}
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(command[0], command, given)
        self.resize(columns, rows)
        self.raw = ""
        self.code: int | None = None

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size; its program gets the signal."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        """Send keys."""
        os.write(self._fd, keys.encode())

    @property
    def screen(self) -> str:
        """The last whole picture that was drawn from the upper left corner on, without colours."""
        pictures = self.raw.split(_HOME)
        # The last one may be half drawn.
        return plain(pictures[-2] if len(pictures) > 2 else pictures[-1])

    def until(self, fits: Callable[[], bool], *, within: float = 60.0) -> None:
        """Read on until something fits, or the program has ended."""
        end = time.monotonic() + within
        while not fits():
            assert time.monotonic() < end, f"not within {within} s; seen last:\n{self.screen}"
            if not self._read():
                assert fits(), f"it has ended; seen last:\n{self.raw[-3000:]!r}"
                return

    def wait(self) -> int:
        """Read to the program's end; return its exit code."""
        while self._read():
            pass
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def _read(self) -> bool:
        if not select.select([self._fd], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._fd, 65536)
        except OSError:
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)


def plain(text: str) -> str:
    """Return text without what moves cursors and gives colours."""
    return _SEQUENCE.sub("", text).replace("\r", "")


@contextlib.contextmanager
def a_terminal(
    command: list[str], environ: Mapping[str, str], *, columns: int = 80, rows: int = 24
) -> Iterator[Terminal]:
    """Run a command in a terminal; on leaving it has ended."""
    terminal = Terminal(command, environ, columns=columns, rows=rows)
    try:
        yield terminal
    finally:
        if terminal.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(terminal.pid, 9)
            terminal.wait()
