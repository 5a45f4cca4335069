"""Callbacks for changes when windows open and close by the clock, though nothing arrives."""

import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rheostat import Rheostat
from rheostat.clock import ManualClock, write_offset
from rheostat.model.flag import Condition, Flag
from rheostat.model.snapshot import Removed, Snapshot
from rheostat.model.window import Window
from rheostat.testing import FakeRheostat
from tests.builders import a_flag, a_patch, a_prerequisite, a_rule, a_snapshot
from tests.integration.sdk_scripted_node import ScriptedNode

START = 1_800_000_000_000
HOUR = 3_600_000


def a_sale(key: str = "sale", opens: int = START + HOUR, closes: int = START + 2 * HOUR, **changes: Any) -> Flag:
    """Return a flag that serves ``on`` to everyone while its window is open."""
    return a_flag(key, rules=(a_rule(when=Condition(all=()), active=Window(opens, closes)),), **changes)


class Heard:
    """What callbacks were told, with the flag's answer at that moment."""

    def __init__(self, flags: Rheostat, *keys: str) -> None:
        self.told: list[tuple[str, bool]] = []
        self._flags = flags
        self._changed = threading.Condition()
        for key in keys:
            flags.on_change(key, self._hear)

    def _hear(self, key: str) -> None:
        with self._changed:
            self.told.append((key, self._flags.boolean(key)))
            self._changed.notify_all()

    def until(self, *told: tuple[str, bool]) -> None:
        """Wait until exactly this was told, in any order."""
        with self._changed:
            assert self._changed.wait_for(lambda: sorted(self.told) == sorted(told), 15), self.told
            self.told.clear()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall_ms=START)


@pytest.fixture
def offline(clock: ManualClock, tmp_path: Path) -> Iterator[Callable[..., Rheostat]]:
    """Makes clients without a server; all are closed in the end."""
    made: list[Rheostat] = []

    def make(*flags: Flag) -> Rheostat:
        made.append(Rheostat(bootstrap=a_snapshot(*flags), cache_dir=tmp_path, clock=clock))
        return made[-1]

    yield make
    for flags in made:
        flags.close()


def test_a_window_that_opens_and_closes_is_told(clock: ManualClock, offline: Callable[..., Rheostat]) -> None:
    """Without a server too; each callback finds the new answer, and other flags hear nothing."""
    flags = offline(a_sale(), a_flag("other"))
    heard = Heard(flags, "sale", "other")

    clock.advance(3_600)
    heard.until(("sale", True))
    clock.advance(3_600)
    heard.until(("sale", False))


def test_who_needs_the_flag_hears_of_its_window(clock: ManualClock, offline: Callable[..., Rheostat]) -> None:
    """A prerequisite's window changes the answers of all flags that lead to it."""
    needs = a_flag("near", prerequisites=(a_prerequisite("sale"),))
    flags = offline(a_sale(), needs, a_flag("far", prerequisites=(a_prerequisite("near"),)))
    heard = Heard(flags, "near", "far")

    clock.advance(3_600)
    heard.until(("near", False), ("far", False))


def test_a_clock_that_is_set_back_turns_windows_back(clock: ManualClock, offline: Callable[..., Rheostat]) -> None:
    """Whichever way the clock goes, what it passes is told; a jump over a whole window is told once."""
    flags = offline(a_sale())
    heard = Heard(flags, "sale")

    clock.advance(3_600)
    heard.until(("sale", True))
    clock.advance(-600)
    heard.until(("sale", False))
    clock.advance(4 * 3_600)
    heard.until(("sale", False))


def test_nothing_is_told_after_the_end(clock: ManualClock, offline: Callable[..., Rheostat]) -> None:
    """A listener that stopped and a client that was closed hear of no window, and their thread is gone."""
    stopped, closed, alive = offline(a_sale()), offline(a_sale()), offline(a_sale())
    told: list[str] = []
    stopped.on_change("sale", told.append)()
    closed.on_change("sale", told.append)
    heard = Heard(alive, "sale")
    closed.close()

    clock.advance(3_600)
    heard.until(("sale", True))

    assert told == []
    assert sum(thread.name == "rheostat-windows" for thread in threading.enumerate()) == 2
    alive.close()
    stopped.close()
    assert not any(thread.name == "rheostat-windows" for thread in threading.enumerate())


def test_no_thread_without_need(offline: Callable[..., Rheostat]) -> None:
    """Neither windows alone nor listeners alone make one, nor does a client for tests."""
    offline(a_sale())
    offline(a_flag()).on_change("checkout", print)
    FakeRheostat({"sale": a_sale()}).on_change("sale", print)

    assert not any(thread.name == "rheostat-windows" for thread in threading.enumerate())


def test_a_client_that_nobody_holds_is_not_kept(clock: ManualClock, tmp_path: Path) -> None:
    """The thread holds its client only while it looks, also where a callback holds it."""
    flags = Rheostat(bootstrap=a_snapshot(a_sale()), cache_dir=tmp_path, clock=clock)
    heard = Heard(flags, "sale")
    clock.advance(3_600)
    heard.until(("sale", True))
    gone = threading.Event()
    weakref.finalize(flags, gone.set)
    del flags, heard

    def collected() -> bool:
        gc.collect()
        return gone.is_set()

    wait_for(collected)


def test_a_new_ruleset_brings_its_own_windows(clock: ManualClock, tmp_path: Path) -> None:
    """A flag that comes, moves or goes is told of as a change, and its windows are those of the newest ruleset."""
    first = a_snapshot(a_flag("other"))
    node = ScriptedNode(first)
    flags = Rheostat(node.url, "rhs_test", cache_dir=tmp_path, clock=clock)
    try:
        heard = Heard(flags, "sale")
        wait_for(lambda: node.streams == 1)

        second = publish(node, first, flags=(a_sale(),))
        heard.until(("sale", False))
        third = publish(node, second, flags=(a_sale(opens=START + HOUR // 2, version=2),))
        heard.until(("sale", False))
        clock.advance(1_800)
        heard.until(("sale", True))
        publish(node, third, flags=(a_flag("other", version=2),), removed=Removed(flags=("sale",)))
        heard.until(("sale", False))
        clock.advance(7_200)
        # Whatever were told of the flag that is gone would be told before the one that is new.
        fourth = node.snapshot
        publish(node, fourth, flags=(a_sale(opens=START + 4 * HOUR, closes=START + 5 * HOUR, version=3),))
        heard.until(("sale", False))
        clock.advance(7_200)
        heard.until(("sale", True))
    finally:
        flags.close()
        node.stop()


def publish(node: ScriptedNode, before: Snapshot, **changes: Any) -> Snapshot:
    """Have the node move on by a patch; return where it is then."""
    from rheostat.engine.patch import apply_patch

    patch = a_patch(before, **changes)
    after = apply_patch(before, patch)
    node.publish(patch, after)
    return after


def wait_for(holds: Callable[[], bool]) -> None:
    """Wait until it holds; fail when it does not in time."""
    tick = threading.Event()
    for _ in range(1_500):
        if holds():
            return
        tick.wait(0.01)
    pytest.fail("it did not come to that")


LISTENS = """
import os, sys, threading
from rheostat import Rheostat
flags = Rheostat(bootstrap=sys.argv[1], cache_dir=sys.argv[2])
def say(*words):
    # One write a line: a forked child writes into the same pipe, and what ``print`` writes in parts would mix.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def tell(key):
    say(os.getpid(), key, flags.boolean(key))
flags.on_change("sale", tell)
{then}
say(os.getpid(), "ready")
sys.stdin.read()
flags.close()
"""


class Process:
    """A process with a client that prints what it hears, and whose clock a test steers."""

    def __init__(self, directory: Path, then: str = "") -> None:
        self.offset = directory / "clock"
        write_offset(self.offset)
        bootstrap = directory / "bootstrap.json"
        # The test's own clock is the machine's: windows are far in the future of any machine.
        self.opens = 9_000_000_000_000
        flag = a_sale(opens=self.opens, closes=self.opens + HOUR)
        bootstrap.write_bytes(msgspec.json.encode(a_snapshot(flag)))
        environment = {**os.environ, "RHEOSTAT_CLOCK_OFFSET_FILE": str(self.offset)}
        for name in ("RHEOSTAT_URL", "RHEOSTAT_SDK_KEY"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", LISTENS.replace("{then}", then), str(bootstrap), str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def line(self) -> list[str]:
        """Return the words of the next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def set_clock(self, wall_ms: int) -> None:
        """Make it this time in the process, give or take how long it takes to say so."""
        from rheostat.clock import SystemClock

        write_offset(self.offset, wall_ms=wall_ms - SystemClock().wall_ms())

    def end(self) -> str:
        """Let it end; return what it complained of."""
        _, complaints = self.process.communicate("", timeout=30)
        return complaints


def test_a_frozen_process_catches_up(tmp_path: Path) -> None:
    """A boundary that passes while the process is stopped is told when it goes on."""
    child = Process(tmp_path)
    pid = str(child.process.pid)
    assert child.line() == [pid, "ready"]
    child.process.send_signal(signal.SIGSTOP)
    os.waitpid(child.process.pid, os.WUNTRACED)
    child.set_clock(child.opens + 60_000)
    child.process.send_signal(signal.SIGCONT)

    assert child.line() == [pid, "sale", "True"]
    child.set_clock(child.opens + 2 * HOUR)
    assert child.line() == [pid, "sale", "False"]
    assert "Traceback" not in child.end()


def test_a_boundary_is_met_by_the_clock_alone(tmp_path: Path) -> None:
    """A process that waits for a boundary tells of it when it comes, with nobody touching anything."""
    child = Process(tmp_path)
    child.set_clock(child.opens - 2_500)
    pid = str(child.process.pid)

    assert child.line() == [pid, "ready"]
    assert child.line() == [pid, "sale", "True"]
    assert "Traceback" not in child.end()


def test_a_forked_child_is_told_too(tmp_path: Path) -> None:
    """Parent and child each hear of each boundary once, also when the fork comes in the middle of looking."""
    fork = """
child = os.fork()
if child == 0:
    threading.Event().wait()
import atexit, signal
atexit.register(lambda: os.kill(child, signal.SIGKILL))
"""
    process = Process(tmp_path, fork)
    pid, word = process.line()
    assert (pid, word) == (str(process.process.pid), "ready")
    process.set_clock(process.opens)
    opened = [process.line(), process.line()]
    process.set_clock(process.opens + HOUR)
    closed = [process.line(), process.line()]

    assert [line[1:] for line in opened] == [["sale", "True"]] * 2
    assert [line[1:] for line in closed] == [["sale", "False"]] * 2
    assert len({line[0] for line in opened}) == len({line[0] for line in closed}) == 2
    assert "Traceback" not in process.end()
