"""The client where processes fork, end, and are killed."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rheostat.model.snapshot import Identity
from tests.builders import a_flag, a_snapshot
from tests.integration.sdk_scripted_node import ScriptedNode

FORKED = """
import json, os, sys, time
from rheostat import Rheostat
flags = Rheostat(sys.argv[1], "rhs_test", cache_dir=sys.argv[2])
assert flags.wait_until_ready(10)
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    before = flags.boolean("checkout", True)
    os.write(writing, b"ready")
    end = time.monotonic() + 10
    while flags.status().identity.revision < 2 and time.monotonic() < end:
        time.sleep(0.01)
    status = flags.status()
    answer = [before, status.identity.revision, status.instance, status.stream]
    os.write(writing, json.dumps(answer).encode())
    os._exit(0)
assert os.read(reading, 5) == b"ready"
print("forked", flush=True)
os.waitpid(child, 0)
print(json.dumps([json.loads(os.read(reading, 4096)), flags.status().instance]), flush=True)
flags.close()
"""

ENDS = """
import sys, time
from rheostat import Rheostat
flags = Rheostat(sys.argv[1], "rhs_test", cache_dir=sys.argv[2])
assert flags.wait_until_ready(10) == (sys.argv[3] == "up")
{then}
print(time.monotonic(), flush=True)
"""


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    node = ScriptedNode(a_snapshot(a_flag()))
    yield node
    node.stop()


def start(script: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_forked_child_follows_on_its_own(node: ScriptedNode, tmp_path: Path) -> None:
    """Without a call from the application it has a stream and an instance of its own; the parent's goes on."""
    process = start(FORKED, node.url, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "forked\n"
    end = time.monotonic() + 10
    while node.streams < 2:
        assert time.monotonic() < end
        time.sleep(0.01)

    node.cut()
    node.snapshot = a_snapshot(a_flag(), revision=2)
    out, err = process.communicate(timeout=30)

    (before, revision, instance, stream), parent = json.loads(out)
    assert (before, revision) == (False, 2)
    assert stream in ("streaming", "polling")
    assert instance != parent
    assert "Traceback" not in err


@pytest.mark.parametrize("then", ["pass", "sys.exit(0)", "flags.close()", "del flags"])
@pytest.mark.parametrize("server", ["up", "silent"])
def test_the_interpreter_ends_quietly(then: str, server: str, node: ScriptedNode, tmp_path: Path) -> None:
    """Whatever the threads are at, the end is prompt and without a traceback."""
    if server == "silent":
        node.status = 503
    process = start(
        ENDS.replace("{then}", f"print(time.monotonic(), flush=True); {then}").replace("(10)", "(1)"),
        node.url,
        tmp_path,
        server,
    )
    out, err = process.communicate(timeout=30)
    ended = time.monotonic()

    assert process.returncode == 0
    assert "Traceback" not in err
    assert "Exception" not in err
    # A server that answers leaves nothing to say; one that does not is warned of once.
    assert ("cannot be followed" in err) == (server == "silent")
    # Generous: the interpreter's own end on a busy machine is in it too.
    assert ended - float(out.split()[-1]) < 2.0


def test_what_a_killed_process_knew_is_on_disk(node: ScriptedNode, tmp_path: Path) -> None:
    """kill -9 takes no state along that was served."""
    process = start(ENDS.replace("{then}", "print('ready', flush=True); time.sleep(60)"), node.url, tmp_path, "up")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    end = time.monotonic() + 5
    while not list(tmp_path.glob("*.rheostat")):
        assert time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    process.communicate()
    node.stop()

    script = """
import sys
from rheostat import Rheostat
flags = Rheostat(sys.argv[1], "rhs_test", cache_dir=sys.argv[2])
print(flags.evaluate("checkout", True).value, flags.status().source, flags.status().identity)
"""
    out, _ = start(script, node.url, tmp_path).communicate(timeout=30)

    assert out.split() == ["False", "disk", str(Identity(1, 1))]


def test_making_a_client_loads_no_http(tmp_path: Path) -> None:
    """urllib3 is half of what the SDK would cost to import; the application's start does not wait for it."""
    script = """
import sys, threading
threading.Thread.start = lambda self: None
from rheostat import Rheostat
flags = Rheostat("http://127.0.0.1:1", "rhs_test", cache_dir=sys.argv[1])
flags.boolean("checkout", False)
print("urllib3" in sys.modules)
"""
    out, _ = start(script, tmp_path).communicate(timeout=30)

    assert out == "False\n"


def test_without_threads_to_be_had_defaults_are_served(tmp_path: Path) -> None:
    """A process that may start no thread still gets its client and its answers."""
    script = """
import sys, threading
def refuse(self): raise RuntimeError("can't start new thread")
threading.Thread.start = refuse
from rheostat import Rheostat
flags = Rheostat("http://127.0.0.1:1", "rhs_test", cache_dir=sys.argv[1])
print(flags.boolean("checkout", True))
flags.close()
"""
    process = start(script, tmp_path)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (0, "True\n")
    assert err.splitlines() == ["flags are not followed: can't start new thread"]


def test_many_processes_share_one_cache(node: ScriptedNode, tmp_path: Path) -> None:
    """All write the same file, and it is whole in the end."""
    script = ENDS.replace("{then}", "flags.close()")
    processes = [start(script, node.url, tmp_path, "up") for _ in range(6)]

    for process in processes:
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")

    # One that ends in the middle of a write leaves its own part behind, which a later one sweeps; nothing else is there
    left = re.compile(r".*\.rheostat\.\d+\.[0-9a-f]{8}").fullmatch
    assert {file.suffix for file in tmp_path.iterdir() if not left(file.name)} == {".rheostat", ".lock"}
    node.stop()
    out, _ = start(
        "import sys; from rheostat import Rheostat; "
        "print(Rheostat(sys.argv[1], 'rhs_test', cache_dir=sys.argv[2]).status().source)",
        node.url,
        tmp_path,
    ).communicate(timeout=30)
    assert out == "disk\n"
