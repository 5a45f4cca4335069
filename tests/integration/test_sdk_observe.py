"""A flag that was evaluated elsewhere, counted where the request is served."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rheostat import Context, Rheostat
from rheostat.middleware.wsgi import RheostatWSGIMiddleware
from rheostat.model.evaluation import Arm
from tests.builders import a_flag, a_rollout, a_snapshot, an_overlay
from tests.integration.sdk_scripted_node import ScriptedNode


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    """A node that serves a ramping flag, which exposes everybody, and one at rest."""
    flag = a_flag("checkout", rollout=a_rollout(1_000_000))
    overlay = an_overlay(1_000_000, unit_key="0f" * 16)
    node = ScriptedNode(a_snapshot(flag, a_flag("quiet"), ramps=(overlay,)))
    yield node
    node.stop()


def test_an_observed_flag_counts_the_request_in_its_arm(node: ScriptedNode, tmp_path: Path) -> None:
    """The arm is derived from the context; nothing is counted as evaluated, and once is as good as twice."""
    with Rheostat(node.url, "rhs_test", cache_dir=tmp_path) as flags:
        assert flags.wait_until_ready(10)

        def shop(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            flags.observe("checkout")
            flags.observe("checkout", Context("user-1"))
            flags.observe("quiet")
            flags.observe("unknown")
            start_response("500 Oh", [])
            return [b"no"]

        flags.observe("checkout", Context("user-2"))  # outside a request: nothing
        application = RheostatWSGIMiddleware(shop, flags=flags, context=lambda _: Context("user-1"), metrics=False)
        respond: Any = lambda *_: None  # noqa: E731
        answer = application({"REQUEST_METHOD": "GET"}, respond)
        list(answer)
        getattr(answer, "close", list)()
        end = time.monotonic() + 20
        while not any(batch.rows for batch in node.batches):
            assert time.monotonic() < end
            time.sleep(0.02)

    rows = [row for batch in node.batches for row in batch.rows]
    assert [(row.arm, row.started, row.ended, row.bad) for row in rows] == [(Arm.TREATMENT, 1, 1, 1)]
    assert not any(batch.evaluations for batch in node.batches)


def test_without_a_server_observing_does_nothing() -> None:
    """A client that has nobody to tell takes the call all the same."""
    with Rheostat(bootstrap=a_snapshot(a_flag("checkout"))) as flags:
        flags.observe("checkout", Context("user-1"))
