"""The client against a node over real HTTP: what it serves as the node speaks, dies and comes back."""

import asyncio
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rheostat import Context, ErrorCode, Identity, Reason, Rheostat, Source
from rheostat.clock import system_clock
from rheostat.engine.evaluate import Ruleset
from rheostat.engine.patch import apply_patch
from rheostat.feed.pace import Pace
from rheostat.feed.protocol import FeedState
from rheostat.feed.serving import Serving
from rheostat.feed.source import FeedSource
from rheostat.feed.store import DiskStore
from rheostat.model.flag import Answer
from rheostat.model.kill import KillScope
from rheostat.model.snapshot import Beat, Resync
from rheostat.settings import Settings
from tests.builders import a_flag, a_kill, a_patch, a_rollout, a_snapshot, an_overlay
from tests.integration.sdk_scripted_node import ScriptedNode

ON = a_flag(default=Answer(serve="on"))
OFF = a_flag(default=Answer(serve="off"))


def eventually(holds: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until it holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    node = ScriptedNode(a_snapshot(ON))
    yield node
    node.stop()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def client(node: ScriptedNode, cache: Path) -> Iterator[Callable[..., Rheostat]]:
    """Makes clients of the node; all are closed in the end."""
    made: list[Rheostat] = []

    def make(**settings: Any) -> Rheostat:
        made.append(Rheostat(node.url, "rhs_test", cache_dir=cache, **settings))
        return made[-1]

    yield make
    for flags in made:
        flags.close()


def streaming(flags: Rheostat) -> Callable[[], bool]:
    return lambda: flags.status().stream == "streaming"


def test_the_first_value_comes_from_the_node(node: ScriptedNode, client: Callable[..., Rheostat]) -> None:
    """After the first snapshot answers are the environment's, fresh, and the stream is open."""
    flags = client()

    assert flags.wait_until_ready(5)
    details = flags.evaluate("checkout", False)
    assert (details.value, details.reason, details.identity) == (True, Reason.STATIC, Identity(1, 1))
    eventually(streaming(flags))
    path, headers = node.asked[0]
    assert path == "/sdk/v1/snapshot"
    assert headers["authorization"] == "Bearer rhs_test"
    assert node.asked[-1][1]["last-event-id"] == "1-1"


def test_before_that_defaults_are_served(node: ScriptedNode, client: Callable[..., Rheostat]) -> None:
    """With neither server nor disk the code's default is the answer, with PROVIDER_NOT_READY, at once."""
    node.stop()
    flags = client()

    details = flags.evaluate("checkout", True)

    assert (details.value, details.error_code) == (True, ErrorCode.PROVIDER_NOT_READY)
    assert flags.status().source is Source.DEFAULTS
    assert not flags.wait_until_ready(0.05)


def test_a_patch_changes_the_answer(node: ScriptedNode, client: Callable[..., Rheostat]) -> None:
    """A new revision arrives by the stream alone, and listeners hear of it."""
    flags = client()
    heard: list[str] = []
    eventually(streaming(flags))
    flags.on_change("checkout", heard.append)
    patch = a_patch(node.snapshot, flags=(OFF,))

    node.publish(patch, apply_patch(node.snapshot, patch))

    eventually(lambda: flags.boolean("checkout", True) is False)
    assert flags.status().identity == Identity(1, 2)
    assert node.count("/sdk/v1/snapshot") == 1
    eventually(lambda: heard == ["checkout"])


def test_a_gap_is_closed_by_the_snapshot(node: ScriptedNode, client: Callable[..., Rheostat]) -> None:
    """A patch that does not start here is not applied; the whole state is fetched, and the stream stays."""
    flags = client()
    eventually(streaming(flags))
    later = a_snapshot(OFF, revision=7)
    patch = a_patch(a_snapshot(ON, revision=6), flags=(OFF,))

    node.publish(patch, later)

    eventually(lambda: flags.status().identity == Identity(1, 7))
    assert flags.boolean("checkout", True) is False
    assert node.count("/sdk/v1/stream") == 1


def test_a_kill_is_in_force_on_disk_and_acknowledged_within_a_second(
    node: ScriptedNode, client: Callable[..., Rheostat], cache: Path
) -> None:
    """It takes the variant back, is stored before it is acknowledged, and a restart without a server keeps it."""
    flags = client()
    eventually(streaming(flags))
    assert flags.boolean("checkout", False) is True

    node.send(a_kill(scope=KillScope.FLAG))

    eventually(lambda: flags.boolean("checkout", True) is False, 1.0)
    eventually(lambda: any(a_kill().kill_id in batch.applied.kills for batch in node.batches), 1.0)
    stored = DiskStore(cache, node.url, "rhs_test").load()
    assert stored is not None
    assert [kill.kill_id for kill in stored.kills] == [a_kill().kill_id]
    node.stop()
    again = client()
    assert again.boolean("checkout", True) is False
    assert again.status().kills == 1


def test_the_server_dies_and_comes_back(node: ScriptedNode, client: Callable[..., Rheostat]) -> None:
    """Answers go on from memory, say when they are stale, and are live again without anyone's help."""
    flags = client(stale_after=0.5)
    eventually(streaming(flags))

    node.stop()

    eventually(lambda: flags.status().stream == "polling")
    eventually(lambda: flags.evaluate("checkout", False).reason is Reason.STALE)
    stale = flags.evaluate("checkout", False)
    assert stale.value is True
    assert stale.age_ms is not None
    assert stale.age_ms >= 500
    assert flags.status().last_error is not None

    node.snapshot = a_snapshot(OFF, revision=2)
    node.start()

    eventually(lambda: flags.boolean("checkout", True) is False, 15)
    eventually(streaming(flags), 15)
    assert flags.status().last_error is None


def test_a_cut_stream_is_opened_again(node: ScriptedNode, client: Callable[..., Rheostat]) -> None:
    """A balancer that drops connections costs a reconnect, and no change is lost."""
    flags = client()
    for revision in range(2, 5):
        eventually(lambda: node.streams == 1)
        node.cut()
        node.snapshot = a_snapshot(OFF if revision % 2 else ON, revision=revision)

        eventually(lambda wanted=revision: flags.status().identity == Identity(1, wanted), 15)  # type: ignore[misc]


def test_a_node_that_stops_says_when_to_come_back(node: ScriptedNode, client: Callable[..., Rheostat]) -> None:
    """The wait that it gives each reader is kept to, so that its readers do not come back together."""
    flags = client()
    eventually(streaming(flags))
    drained = time.monotonic()

    node.drain(1_500)

    eventually(lambda: node.count("/sdk/v1/stream") == 2)
    assert time.monotonic() - drained >= 1.5
    eventually(streaming(flags))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_said_once(
    status: int, node: ScriptedNode, client: Callable[..., Rheostat], caplog: pytest.LogCaptureFixture
) -> None:
    """One error in the log, the standing in the status, no hammering, defaults meanwhile."""
    node.status = status

    flags = client()

    eventually(lambda: flags.status().stream == "refused")
    time.sleep(0.3)
    assert flags.boolean("checkout", False) is False
    assert str(status) in (flags.status().last_error or "")
    errors = [record for record in caplog.records if record.name == "rheostat.feed" and record.levelname == "ERROR"]
    assert len(errors) == 1
    assert node.count("/sdk/v1/snapshot") == 1


def test_a_cold_start_without_a_server_answers_from_disk(
    node: ScriptedNode, client: Callable[..., Rheostat], cache: Path
) -> None:
    """The first evaluation already has the last known state, marked stale; the server's word clears that."""
    first = client()
    assert first.wait_until_ready(5)
    first.close()
    node.stop()

    flags = client()
    details = flags.evaluate("checkout", False)
    assert (details.value, details.reason) == (True, Reason.STALE)
    assert flags.status().source is Source.DISK
    assert details.age_ms is not None
    files = list(cache.glob("*.rheostat"))
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600]

    node.start()
    assert flags.wait_until_ready(15)
    assert flags.evaluate("checkout", False).reason is Reason.STATIC
    assert node.asked[-1][1].get("if-none-match") or node.count("/sdk/v1/stream")


def test_disk_goes_before_bootstrap_and_the_server_before_both(
    node: ScriptedNode, client: Callable[..., Rheostat]
) -> None:
    """Memory, disk, bootstrap, defaults: each stands in for those before it."""
    node.stop()
    bootstrap = a_snapshot(OFF, revision=900)
    assert client(bootstrap=bootstrap).evaluate("checkout", True).value is False
    node.start()
    flags = client(bootstrap=bootstrap)

    assert flags.wait_until_ready(5)
    assert flags.evaluate("checkout", False).identity == Identity(1, 1)
    assert flags.boolean("checkout", False) is True
    flags.close()
    node.stop()
    assert client(bootstrap=bootstrap).status().source is Source.DISK


def test_a_large_cache_is_read_in_the_thread(node: ScriptedNode, client: Callable[..., Rheostat]) -> None:
    """Making a client does not wait for thousands of flags, which are there soon after."""
    node.snapshot = a_snapshot(ON, *(a_flag(f"flag-{number}") for number in range(2_000)))
    first = client()
    assert first.wait_until_ready(10)
    first.close()
    node.stop()

    flags = client()

    eventually(lambda: flags.status().source is Source.DISK)
    assert flags.status().flags == 2_001


def test_bytes_that_are_no_snapshot_change_nothing(node: ScriptedNode, client: Callable[..., Rheostat]) -> None:
    """A proxy's error page with status 200 leaves what is served as it is."""
    flags = client()
    eventually(streaming(flags))
    node.body = b"<html>It works!</html>"
    node.snapshot = a_snapshot(OFF, revision=2)

    node.send(Resync(to=Identity(1, 2)))

    eventually(lambda: node.count("/sdk/v1/snapshot") >= 2)
    eventually(lambda: "not a snapshot" in (flags.status().last_error or ""))
    assert flags.boolean("checkout", False) is True
    node.body = None
    eventually(lambda: flags.boolean("checkout", True) is False)
    assert flags.status().last_error is None


def test_an_older_state_is_not_gone_back_to(node: ScriptedNode, client: Callable[..., Rheostat]) -> None:
    """A node behind the one before is served from by nobody who knows better."""
    node.snapshot = a_snapshot(ON, revision=9)
    flags = client()
    eventually(streaming(flags))
    node.snapshot = a_snapshot(OFF, revision=8)
    node.cut()

    eventually(lambda: node.count("/sdk/v1/stream") >= 2)
    assert flags.boolean("checkout", False) is True
    assert flags.status().identity == Identity(1, 9)


def test_a_resync_is_done_within_its_spread_and_kills_do_not_wait_for_it(
    node: ScriptedNode, client: Callable[..., Rheostat]
) -> None:
    """While it waits its turn the stream is read on."""
    flags = client()
    eventually(streaming(flags))
    node.snapshot = a_snapshot(ON, revision=2)

    node.send(Resync(to=Identity(1, 2), spread_ms=3_000))
    node.send(a_kill(scope=KillScope.FLAG))

    eventually(lambda: flags.boolean("checkout", True) is False, 1.0)
    eventually(lambda: flags.status().identity == Identity(1, 2), 4.5)
    assert flags.boolean("checkout", True) is False
    eventually(streaming(flags))


def test_a_directory_that_cannot_be_used_is_lived_without(
    node: ScriptedNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No disk is one warning, and all else works."""
    (tmp_path / "file").write_text("in the way")
    with Rheostat(node.url, "rhs_test", cache_dir=tmp_path / "file") as flags:
        assert flags.wait_until_ready(5)
        eventually(streaming(flags))
        assert flags.boolean("checkout", False) is True
        eventually(lambda: "cannot be written" in caplog.text or "not used" in caplog.text)


def test_closing_ends_the_stream_and_keeps_the_answers(node: ScriptedNode, client: Callable[..., Rheostat]) -> None:
    """The last batch says goodbye; a second close is nothing; evaluation goes on from memory."""
    flags = client()
    eventually(streaming(flags))
    flags.boolean("checkout", False)

    flags.close()
    flags.close()

    assert flags.status().stream == "closed"
    assert flags.boolean("checkout", False) is True
    assert node.batches[-1].goodbye
    assert sum(batch.evaluations.get("checkout", {}).get("on", 0) for batch in node.batches) == 1


def test_outcomes_of_a_ramping_flag_reach_the_server(node: ScriptedNode, client: Callable[..., Rheostat]) -> None:
    """The middleware's requests are rows of the ramp, by arm, with their failures."""
    node.snapshot = a_snapshot(a_flag(rollout=a_rollout()), ramps=(an_overlay(500_000, unit_key="00" * 16),))
    flags = client(service="shop")
    assert flags.wait_until_ready(5)

    async def shop(scope: Any, receive: Any, send: Any) -> None:
        status = 500 if flags.boolean("checkout", False) else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = flags.middleware(shop, context=lambda scope: Context(scope["path"]), metrics=False)

    async def requests() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            pass

        for number in range(100):
            await app({"type": "http", "path": f"/{number}"}, receive, send)

    asyncio.run(requests())

    def counted() -> dict[str, tuple[int, int]]:
        arms: dict[str, tuple[int, int]] = {}
        for batch in node.batches:
            for row in batch.rows:
                ended, bad = arms.get(row.arm, (0, 0))
                arms[row.arm.value] = (ended + row.ended, bad + row.bad)
        return arms

    eventually(lambda: sum(ended for ended, _ in counted().values()) == 100)
    treated, control = counted()["treatment"], counted()["control"]
    assert treated[0] == treated[1] > 20
    assert control[1] == 0
    assert {batch.service for batch in node.batches} == {"shop"}


class Follower:
    """Keeps what the feed brings."""

    def __init__(self) -> None:
        self.serving = Serving()

    def serve(self, serving: Serving) -> None:
        self.serving = serving

    def applied(self, ruleset: Ruleset) -> None:
        pass


@pytest.fixture
def hasty(node: ScriptedNode, cache: Path) -> Iterator[tuple[FeedSource, Follower]]:
    """A feed whose times are short."""
    follower = Follower()
    settings = Settings(url=node.url, sdk_key="rhs_test", cache_dir=cache)
    pace = Pace(silence=0.4, poll=0.4, backoff_first=0.05, backoff_most=0.4)
    store = DiskStore(cache, node.url, "rhs_test")
    feed = FeedSource(settings, system_clock(), follower, store, held=Serving(), load=lambda: None, pace=pace)
    yield feed, follower
    feed.stop(1.0)


def test_a_stream_that_nothing_comes_through_is_polled_around(
    node: ScriptedNode, hasty: tuple[FeedSource, Follower]
) -> None:
    """Behind a proxy that buffers, changes arrive by polls, most of them answered by 304."""
    feed, follower = hasty
    node.beats = False
    feed.start()
    eventually(lambda: node.count("/sdk/v1/snapshot") >= 3)
    node.snapshot = a_snapshot(OFF, revision=2)

    eventually(lambda: follower.serving.identity == Identity(1, 2))
    assert any("if-none-match" in headers for path, headers in node.asked if path == "/sdk/v1/snapshot")


def test_an_answer_that_is_no_stream_is_polled_around(node: ScriptedNode, hasty: tuple[FeedSource, Follower]) -> None:
    """A gateway that answers with a page is not listened to."""
    feed, follower = hasty
    node.content_type = "text/html"
    feed.start()
    eventually(lambda: node.count("/sdk/v1/snapshot") >= 2)
    assert feed.state is FeedState.POLLING
    node.snapshot = a_snapshot(OFF, revision=2)

    eventually(lambda: follower.serving.identity == Identity(1, 2))
    node.content_type = "text/event-stream"
    eventually(lambda: feed.state is FeedState.STREAMING)


def test_beats_keep_it_fresh(node: ScriptedNode, hasty: tuple[FeedSource, Follower]) -> None:
    """The age served is the node's, end to end, from each beat on."""
    feed, follower = hasty
    feed.start()
    eventually(lambda: node.streams == 1)

    node.send(Beat(age_ms=12_345))

    eventually(lambda: follower.serving.age_ms == 12_345)
