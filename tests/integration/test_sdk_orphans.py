"""Applications whose processes are killed in the middle of requests."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rheostat.engine.hashing import unit_hash
from rheostat.model.outcome import Batch, Orphans
from tests.builders import a_flag, a_rollout, a_snapshot, an_overlay
from tests.integration.sdk_scripted_node import ScriptedNode

KEY = "0f" * 16

APPLICATION = """
import os, signal, sys, time
from rheostat import Context, Rheostat
from rheostat.middleware.wsgi import RheostatWSGIMiddleware

flags = Rheostat(sys.argv[1], "rhs_test", cache_dir=sys.argv[2])
assert flags.wait_until_ready(10)

def shop(environ, start_response):
    flags.boolean("checkout", False)
    environ["then"]()
    start_response("200 OK", [])
    return [b"done"]

served = RheostatWSGIMiddleware(shop, flags=flags, context=lambda environ: Context(environ["user"]), metrics=False)

def request(user, then=lambda: None):
    body = served({"user": user, "then": then, "REQUEST_METHOD": "GET"}, lambda *_: None)
    list(body)
    body.close()

def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    """A node that serves a flag with a live ramp."""
    flag = a_flag("checkout", rollout=a_rollout(500_000))
    node = ScriptedNode(a_snapshot(flag, ramps=(an_overlay(500_000, unit_key=KEY),)))
    yield node
    node.stop()


def start(node: ScriptedNode, cache: Path, script: str) -> "subprocess.Popen[bytes]":
    """Start a process of the application, in a group of its own."""
    return subprocess.Popen([sys.executable, "-c", APPLICATION + script, node.url, str(cache)], start_new_session=True)


def reported(node: ScriptedNode, seconds: float = 20) -> tuple[Batch, Orphans]:
    """Return the first batch that tells of a dead process, and what it tells."""
    end = time.monotonic() + seconds
    while True:
        for batch in list(node.batches):
            for dead in batch.orphans:
                return batch, dead
        assert time.monotonic() < end
        time.sleep(0.02)


def name_of(user: str) -> str:
    """Return the hash by which a user is reported."""
    return unit_hash(bytes.fromhex(KEY), user)


def rings(cache: Path) -> list[Path]:
    """Return the files of open requests."""
    return list(cache.rglob("*.ring"))


WAIT = "\ntime.sleep(30)"


def test_the_next_process_reports_what_a_killed_one_left(node: ScriptedNode, tmp_path: Path) -> None:
    """Who was served when the process was killed is reported by the next one, and who was done is not."""
    killed = start(node, tmp_path, "request('done')\nrequest('unlucky', kill_me)")
    assert killed.wait(30) == -9
    assert len(rings(tmp_path)) == 1
    following = start(node, tmp_path, WAIT)

    batch, dead = reported(node)

    following.kill()
    following.wait()
    assert [orphan.unit for orphan in dead.requests] == [name_of("unlucky")]
    assert (dead.replaced, dead.instance != batch.instance) == (False, True)
    assert 0 <= dead.requests[0].age_ms < 60_000


def test_a_sibling_of_one_master_reports_a_killed_worker(node: ScriptedNode, tmp_path: Path) -> None:
    """Workers forked from one process, as gunicorn does, report for each other; master and sibling live on."""
    script = """
if os.fork() == 0:
    request('fine')
    time.sleep(30)
    os._exit(0)
if os.fork() == 0:
    request('fine too')
    request('unlucky', kill_me)
time.sleep(30)
"""
    master = start(node, tmp_path, script)

    batch, dead = reported(node)

    os.killpg(master.pid, signal.SIGKILL)
    master.wait()
    assert [orphan.unit for orphan in dead.requests] == [name_of("unlucky")]
    assert batch.instance != dead.instance


def test_a_forked_child_does_not_keep_its_dead_parent_alive(node: ScriptedNode, tmp_path: Path) -> None:
    """A child that was forked in the middle of the parent's request has the parent's file, and not its lock."""
    script = """
def fork_and_die():
    if os.fork() == 0:
        request('of the child')
        time.sleep(10)
        os._exit(0)
    kill_me()
request('unlucky', fork_and_die)
"""
    killed = start(node, tmp_path, script)
    assert killed.wait(30) == -9

    _, dead = reported(node)

    os.killpg(killed.pid, signal.SIGKILL)  # the child
    assert [orphan.unit for orphan in dead.requests] == [name_of("unlucky")]


def test_a_process_that_becomes_another_program_says_so(node: ScriptedNode, tmp_path: Path) -> None:
    """After exec the open requests are lost and reported, and the instance has not vanished: it was replaced."""
    script = """
if len(sys.argv) == 3:
    request('lost', lambda: os.execv(sys.executable, [sys.executable, '-c', CODE, *sys.argv[1:], 'again']))
time.sleep(30)
"""
    code = APPLICATION + script
    process = subprocess.Popen([sys.executable, "-c", f"CODE = {code!r}\nexec(CODE)", node.url, str(tmp_path)])

    _, dead = reported(node)

    process.kill()
    process.wait()
    assert dead.replaced
    assert [orphan.unit for orphan in dead.requests] == [name_of("lost")]


def test_an_end_in_good_order_leaves_nothing(node: ScriptedNode, tmp_path: Path) -> None:
    """A process that ends while a thread still serves a request says goodbye, and leaves no file."""
    script = """
import threading
threading.Thread(target=request, args=('open', lambda: time.sleep(30)), daemon=True).start()
request('done')
assert any(name.endswith('.ring') for _, _, names in os.walk(sys.argv[2]) for name in names)
"""
    process = start(node, tmp_path, script)

    assert process.wait(30) == 0
    assert rings(tmp_path) == []
    assert any(batch.goodbye for batch in node.batches)
    assert not any(batch.orphans for batch in node.batches)


def test_a_child_of_multiprocessing_says_goodbye(node: ScriptedNode, tmp_path: Path) -> None:
    """It ends without the interpreter's own end, and has not vanished for all that."""
    script = """
import multiprocessing
child = multiprocessing.get_context("fork").Process(target=request, args=("of the child",))
child.start()
child.join()
print(flags.status().instance, flush=True)
"""
    process = subprocess.run(
        [sys.executable, "-c", APPLICATION + script, node.url, str(tmp_path)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
        text=True,
    )

    goodbyes = {batch.instance for batch in node.batches if batch.goodbye}
    assert process.stdout.strip() in goodbyes
    assert len(goodbyes) == 2
    assert rings(tmp_path) == []
