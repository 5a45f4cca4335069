"""The disk cache gives back what was written, or nothing."""

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.engine.kills import in_force
from rheostat.errors import InvalidSnapshot
from rheostat.feed.lock import exclusive
from rheostat.feed.store import DiskStore, Stored, decode, encode
from rheostat.model.kill import Kill
from rheostat.model.snapshot import Snapshot
from tests.builders import a_flag, a_kill, a_snapshot

WROTE_AT = 1_767_225_600_000


def stored(snapshot: Snapshot | None = None, *kills: Kill) -> Stored:
    snapshot = a_snapshot(a_flag()) if snapshot is None else snapshot
    return Stored(saved_at_ms=WROTE_AT, age_ms=40, snapshot=snapshot, extra_kills=kills)


def standing(found: Stored | None) -> set[str]:
    assert found is not None
    return {kill.kill_id for kill in in_force(found.snapshot.kills, found.extra_kills)}


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "cache", "http://rheostat.test", "rhs_key")


def test_what_was_saved_is_loaded(store: DiskStore) -> None:
    """Snapshot, kills beside it and age come back."""
    assert store.save(stored(None, a_kill()))

    assert store.load() == stored(None, a_kill())


def test_nothing_saved_is_nothing_loaded(store: DiskStore) -> None:
    """A first start has no cache, and that is no fault."""
    assert store.load() is None
    assert store.size() == 0


def test_only_the_owner_may_read(store: DiskStore) -> None:
    """Flags name units, so the file is 0600, and nothing else is left in the directory."""
    store.save(stored())
    store.save(stored(a_snapshot(a_flag(), revision=2)))

    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert set(store.path.parent.iterdir()) == {store.path, store.path.with_suffix(".lock")}


def test_each_server_and_key_has_its_own_file(tmp_path: Path) -> None:
    """Two environments never share a cache, and the key is not in the name."""
    paths = {
        DiskStore(tmp_path, url, key).path for url, key in [("http://a", "k1"), ("http://a", "k2"), ("http://b", "k1")]
    }

    assert len(paths) == 3
    assert not any("k1" in path.name or "k2" in path.name for path in paths)


@given(at=st.integers(0, 10_000), change=st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, change: int) -> None:
    """Whatever byte is damaged, the file gives what was written or is refused."""
    data = bytearray(encode(stored(None, a_kill())))
    data[at % len(data)] ^= change

    try:
        assert decode(bytes(data)) == stored(None, a_kill())
    except InvalidSnapshot:
        pass


@given(keep=st.integers(0, 10_000))
def test_a_cut_file_is_refused(keep: int) -> None:
    """A file that ends early, as after a full disk, is no snapshot."""
    data = encode(stored())

    with pytest.raises(InvalidSnapshot):
        decode(data[: keep % len(data)])


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_cache_or_refused(data: bytes) -> None:
    """Decoding raises nothing but InvalidSnapshot."""
    with pytest.raises(InvalidSnapshot):
        decode(data)


def test_a_damaged_file_is_written_over(store: DiskStore) -> None:
    """Damage costs the cache once and not for ever."""
    store.save(stored())
    store.path.write_bytes(b"rheostat-cache {}\nnonsense")

    assert store.load() is None
    assert store.save(stored())
    assert store.load() == stored()


def test_another_process_that_is_ahead_is_not_undone(store: DiskStore) -> None:
    """Of many processes with one file, the one that heard least does not take it back."""
    ahead = stored(a_snapshot(a_flag(), revision=9))
    store.save(ahead)

    assert store.save(stored(a_snapshot(a_flag(), revision=3)))

    assert store.load() == ahead


def test_kills_that_only_the_file_knows_are_kept(store: DiskStore) -> None:
    """A kill that another process heard outlives a newer snapshot that does not name it."""
    store.save(stored(None, a_kill()))

    store.save(stored(a_snapshot(a_flag(), revision=2)))

    found = store.load()
    assert found is not None
    assert found.snapshot.revision == 2
    assert standing(found) == {a_kill().kill_id}


def test_a_kill_heard_by_one_that_is_behind_is_added(store: DiskStore) -> None:
    """The kill goes to disk although the snapshot on disk is newer than its hearer's."""
    store.save(stored(a_snapshot(a_flag(), revision=9)))

    store.save(stored(a_snapshot(a_flag(), revision=3), a_kill()))

    found = store.load()
    assert found is not None
    assert found.snapshot.revision == 9
    assert standing(found) == {a_kill().kill_id}


def test_a_kill_that_the_file_names_outlives_a_snapshot_that_does_not(store: DiskStore) -> None:
    """Within a generation only a revival ends a kill: another node may not know of it yet."""
    store.save(stored(a_snapshot(a_flag(), kills=(a_kill(),))))

    store.save(stored(a_snapshot(a_flag(), revision=2)))

    assert standing(store.load()) == {a_kill().kill_id}


@pytest.mark.parametrize("revision", [1, 9])
def test_a_new_generation_takes_no_kill_from_the_file(store: DiskStore, revision: int) -> None:
    """A kill that the old generation's snapshot named, and one that none named, stand beside the new one's."""
    named, only_heard = a_kill(kill_id="k1"), a_kill(kill_id="k2")
    store.save(stored(a_snapshot(a_flag(), revision=5, kills=(named,)), only_heard))

    store.save(stored(a_snapshot(a_flag(), generation=2, revision=revision)))

    assert standing(store.load()) == {"k1", "k2"}


def test_a_revived_kill_does_not_come_back_from_the_file(store: DiskStore) -> None:
    """A snapshot that names the kill as revived ends it on disk too."""
    store.save(stored(None, a_kill()))

    store.save(stored(a_snapshot(a_flag(), revision=2, kills=(a_kill(revived=True),))))

    assert standing(store.load()) == set()


def test_a_directory_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a disk the client lives on, with one line in the log."""
    (tmp_path / "file").write_text("in the way")
    store = DiskStore(tmp_path / "file" / "cache", "http://rheostat.test", "rhs_key")

    assert not store.save(stored())
    assert not store.save(stored())
    assert store.load() is None

    assert len(caplog.records) == 1


def test_what_killed_writers_left_is_swept(store: DiskStore) -> None:
    """Old halves of files go; a write that is under way in another process is left alone."""
    store.save(stored())
    old, young = (store.path.with_name(f"{store.path.name}.1.{name}") for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))

    DiskStore(store.path.parent, "http://rheostat.test", "rhs_key").save(stored())

    assert set(store.path.parent.iterdir()) == {store.path, store.path.with_suffix(".lock"), young}


def test_no_write_falls_between_another_ones_reading_and_writing(store: DiskStore) -> None:
    """Of kills that many processes hear at the same moment, all are on disk when each has written its own."""
    writers = 8
    for number in range(5):
        kills = [a_kill(kill_id=f"{number}-{writer}") for writer in range(writers)]
        start = threading.Barrier(writers)

        def write(kill: Kill, start: threading.Barrier = start) -> None:
            own = DiskStore(store.path.parent, "http://rheostat.test", "rhs_key")
            start.wait()
            assert own.save(stored(None, kill))

        with ThreadPoolExecutor(writers) as threads:
            list(threads.map(write, kills))

        assert standing(store.load()) >= {kill.kill_id for kill in kills}


def test_who_was_stopped_while_writing_keeps_nobody_waiting_for_ever(tmp_path: Path) -> None:
    """The wait for the lock is bounded; after it the block runs all the same, and says that it holds nothing."""
    path = tmp_path / "file.lock"
    with exclusive(path) as first, exclusive(path, wait_seconds=0.02) as second:
        assert (first, second) == (True, False)

    with exclusive(path, wait_seconds=0) as third:
        assert third


def test_age_goes_on_while_nobody_runs() -> None:
    """What was 40 ms old when written is older by the time since; a clock set back makes nothing younger."""
    assert stored().age_at(WROTE_AT + 1_000) == 1_040
    assert stored().age_at(WROTE_AT - 1_000) == 40
