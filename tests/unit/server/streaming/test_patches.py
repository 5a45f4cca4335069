"""What is kept for readers that are behind is bounded, in bytes and in revisions."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.clock import ManualClock
from rheostat.model.snapshot import Identity
from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.ports.storage import EnvironmentRow, ServedRow
from rheostat_server.streaming.contents import Contents
from rheostat_server.streaming.feed import RING_REVISIONS, EnvironmentFeed
from rheostat_server.streaming.patches import KEPT_BYTES, PATCH_BYTES, Patches
from rheostat_server.streaming.subscriber import Subscriber
from tests.builders import a_flag


def a_row(key: str, revision: int, *, size: int = 0) -> ServedRow:
    """Return a served flag of about this many bytes."""
    return ServedRow("flag", key, revision, msgspec.json.encode(a_flag(key, metadata={"text": "x" * size})))


def at(revision: int) -> Identity:
    return Identity(1, revision)


def test_a_patch_is_made_once_for_all_who_need_it() -> None:
    """Readers at the same revision get the same bytes."""
    contents = Contents(1, [a_row("a", 1), a_row("b", 2)])
    patches = Patches(at(2))

    assert patches.since(at(1), contents) is patches.since(at(1), contents)
    assert patches.kept_bytes > 0


def test_a_large_patch_is_neither_sent_nor_kept() -> None:
    """Beyond 1 MiB readers fetch the snapshot; and so do all that are further behind."""
    contents = Contents(1, [a_row("a", 2, size=PATCH_BYTES), a_row("b", 3)])
    patches = Patches(at(3))

    assert patches.since(at(1), contents) is None
    assert patches.since(at(0), contents) is None
    assert patches.kept_bytes == 0
    assert patches.since(at(2), contents) is not None


def test_all_patches_together_take_no_more_than_8_mib() -> None:
    """Readers at a thousand revisions get their patches, and the memory for them is bounded."""
    contents = Contents(0, [a_row(f"flag-{n}", n, size=700) for n in range(1, 1_001)])
    patches = Patches(at(1_000))

    for revision in range(1_000):
        assert patches.since(at(revision), contents) is not None
        assert patches.kept_bytes <= KEPT_BYTES
    assert patches.kept_bytes > KEPT_BYTES / 2


@given(changes=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30), forgotten=st.integers(0, 30))
def test_what_is_forgotten_is_never_needed(changes: list[tuple[str, bool]], forgotten: int) -> None:
    """Above the revision up to which removals were forgotten, the patches are the same as before."""
    rows = [
        a_row(key, number) if there else ServedRow("flag", key, number, None)
        for number, (key, there) in enumerate(changes, start=1)
    ]
    whole, pruned = Contents(0, rows), Contents(0, rows)

    pruned.forget(forgotten)

    assert pruned.known_from == forgotten
    assert pruned.present() == whole.present()
    for revision in range(forgotten, len(rows) + 1):
        assert pruned.since(revision) == whole.since(revision)
    assert not [row for row in pruned.since(-1) if row.body is None and row.revision <= forgotten]


@pytest.fixture
def feed() -> EnvironmentFeed:
    """A feed that has gone through 1 500 revisions, each with a new flag in place of the last."""
    clock = ManualClock()
    row = EnvironmentRow(id=1, project_id=1, project="shop", key="production", name="", revision=1, created_at_ms=0)
    made = EnvironmentFeed(row, "node-1", clock, PrometheusMetrics(clock, version="test"))
    made.load(at(1), [a_row("flag-1", 1)])
    for revision in range(2, 1_501):
        gone = ServedRow("flag", f"flag-{revision - 1}", revision, None)
        made.advance(at(revision), [gone, a_row(f"flag-{revision}", revision)])
    return made


async def heard(subscriber: Subscriber) -> list[str]:
    """Return the names of the events that wait for the reader."""
    lines = (await subscriber.take()).decode().splitlines()
    return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]


@pytest.mark.parametrize(("behind", "event"), [(1, "patch"), (RING_REVISIONS, "patch"), (RING_REVISIONS + 1, "resync")])
async def test_who_is_more_than_a_thousand_revisions_behind_fetches_the_snapshot(
    feed: EnvironmentFeed, behind: int, event: str
) -> None:
    """Within the last 1 000 revisions a reader is patched; further back it is told to fetch."""
    subscriber = feed.subscribe(at(1_500 - behind), lambda: True)

    assert await heard(subscriber) == ["beat", event]
