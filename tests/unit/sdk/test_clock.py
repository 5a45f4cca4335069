"""The clock that another process may move, or stop."""

import time
from pathlib import Path

from rheostat.clock import SystemClock, write_offset


def test_without_a_file_it_is_the_machines_clock() -> None:
    """Wall time is Unix time in ms, monotonic time does not run backwards."""
    clock = SystemClock()
    before = time.time_ns() // 1_000_000

    assert before <= clock.wall_ms() <= time.time_ns() // 1_000_000
    assert clock.monotonic() <= clock.monotonic()


def test_an_offset_moves_a_running_clock(tmp_path: Path) -> None:
    """What is written to the file holds at once, for wall and monotonic time apart."""
    file = tmp_path / "offset"
    write_offset(file)
    clock = SystemClock(str(file))
    wall_ms, monotonic = clock.wall_ms(), clock.monotonic()

    write_offset(file, wall_ms=3_600_000, monotonic=60.0)

    assert clock.wall_ms() >= wall_ms + 3_600_000
    assert clock.monotonic() >= monotonic + 60
    assert clock.monotonic() < monotonic + 3_600


def test_a_stopped_clock_shows_what_is_written(tmp_path: Path) -> None:
    """Stopped, the two figures are the times themselves; then the clock can go on."""
    file = tmp_path / "offset"
    write_offset(file, wall_ms=1_000, monotonic=5.0, stopped=True)
    clock = SystemClock(str(file))

    assert (clock.wall_ms(), clock.monotonic()) == (1_000, 5.0)
    write_offset(file, wall_ms=2_000, monotonic=6.5, stopped=True)
    assert (clock.wall_ms(), clock.monotonic()) == (2_000, 6.5)
    write_offset(file)
    assert clock.wall_ms() > 1_700_000_000_000


def test_a_file_of_two_figures_will_do(tmp_path: Path) -> None:
    """A file of 16 bytes moves the clock, which runs."""
    file = tmp_path / "offset"
    write_offset(file, wall_ms=86_400_000)
    file.write_bytes(file.read_bytes()[:16])

    assert SystemClock(str(file)).wall_ms() > time.time_ns() // 1_000_000 + 80_000_000
