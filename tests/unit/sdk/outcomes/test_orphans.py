"""What a process notes of its open requests, and what others find when it is dead."""

import os
import threading
from pathlib import Path

import pytest

from rheostat.clock import ManualClock, SystemClock
from rheostat.engine.hashing import place, unit_hash
from rheostat.model.evaluation import Arm, Evaluation, Reason
from rheostat.model.outcome import Orphans, Outcome
from rheostat.model.snapshot import Identity
from rheostat.outcomes import Outcomes
from rheostat.outcomes.open_requests import OpenRequests
from rheostat.outcomes.orphans import SLOTS, Note, Ring, drop_oldest, find_remains, ring_directory
from rheostat.outcomes.standing import LiveRamp
from rheostat.outcomes.touch import Touch
from tests.builders import a_flag, a_rollout, an_overlay
from tests.unit.sdk.outcomes.collector import a_collector
from tests.unit.sdk.outcomes.test_outcome_summary import KEY, a_touch

ONE, TWO = "1" * 32, "2" * 32
UNIT = b"\x01" * 8


def dead(ring: Ring) -> None:
    """Let the ring's process die: its lock falls, and nothing is tidied up."""
    ring.abandon()


def test_what_was_open_at_the_death_is_found(tmp_path: Path) -> None:
    """Notes that were not cleared are there with all that was noted; cleared ones are not."""
    ring = Ring(tmp_path, ONE, 1_000.0)
    done = ring.note("ramp", UNIT, 5, 1, 1.0)
    ring.note("ramp", UNIT, 999_999, 2**40, 2.5)
    ring.clear(done)
    ring.note("a-ramp-whose-name-is-as-long-as-any", b"\xff" * 8, 0, 0, 3.0)
    dead(ring)

    remains = find_remains(tmp_path, None)

    assert remains is not None
    assert remains.instance == ONE
    assert sorted(remains.notes, key=lambda note: note.number) == [
        Note("ramp", "01" * 8, 999_999, 2**40, 1_002_500, 2),
        Note("a-ramp-whose-name-is-as-long-as-any", "ff" * 8, 0, 0, 1_003_000, 3),
    ]


def test_the_living_are_left_alone(tmp_path: Path) -> None:
    """A ring whose process lives is nobody else's to read, though it is in the same folder."""
    ring = Ring(tmp_path, ONE, 0.0)
    ring.note("ramp", UNIT, 5, 1, 1.0)

    assert find_remains(tmp_path, None) is None
    assert ring.path.exists()
    ring.remove()
    assert list(tmp_path.iterdir()) == []


def test_one_reports_at_a_time_and_another_after_it_died(tmp_path: Path) -> None:
    """What is claimed is nobody else's; what was let go, or counted, is what it was, or gone."""
    ring = Ring(tmp_path, ONE, 0.0)
    ring.note("ramp", UNIT, 5, 1, 1.0)
    dead(ring)

    first = find_remains(tmp_path, None)
    assert first is not None
    assert find_remains(tmp_path, None) is None
    first.abandon()
    first.abandon()
    again = find_remains(tmp_path, None)
    assert again is not None
    assert again.notes == first.notes
    again.remove()
    assert find_remains(tmp_path, None) is None
    assert list(tmp_path.iterdir()) == []


def test_a_full_ring_notes_no_more_until_one_ends(tmp_path: Path) -> None:
    """The ring is bounded: what is beyond goes unnoted, and nobody is held up."""
    ring = Ring(tmp_path, ONE, 0.0)
    slots = [ring.note("ramp", UNIT, number, 1, 1.0) for number in range(SLOTS)]

    assert ring.note("ramp", UNIT, 5, 1, 1.0) == -1
    ring.clear(slots[7])
    assert ring.note("ramp", UNIT, 5, 1, 1.0) == slots[7]
    assert len(set(slots)) == SLOTS
    assert ring.path.stat().st_size < 100_000
    ring.remove()


def test_threads_never_share_a_slot(tmp_path: Path) -> None:
    """However many threads note and clear, each note is one request's until it is cleared."""
    ring = Ring(tmp_path, ONE, 0.0)

    def work(number: int) -> None:
        for _ in range(500):
            ring.clear(ring.note("ramp", bytes([number]) * 8, number, 1, 1.0))
        ring.note("ramp", bytes([number]) * 8, number, 1, 1.0)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    dead(ring)

    remains = find_remains(tmp_path, None)
    assert remains is not None
    assert sorted((note.place, note.unit) for note in remains.notes) == [(n, f"{n:02x}" * 8) for n in range(8)]


def test_a_file_that_is_none_of_ours_or_broken_harms_nobody(tmp_path: Path) -> None:
    """Empty and broken rings go; what is being made, a folder and a link stay, and are not followed."""
    (tmp_path / f"{ONE}.ring").write_bytes(b"")
    (tmp_path / f"{TWO}.ring").write_bytes(b"x" * 100_000)
    (tmp_path / f"{TWO}.1234abcd").write_bytes(b"")
    (tmp_path / "folder.ring").mkdir()
    (tmp_path / "link.ring").symlink_to(tmp_path / f"{TWO}.1234abcd")

    assert find_remains(tmp_path, None) is None

    assert {path.name for path in tmp_path.iterdir()} == {f"{TWO}.1234abcd", "folder.ring", "link.ring"}
    assert find_remains(tmp_path / "nowhere", None) is None


def test_rings_without_an_open_request_are_cleared_away(tmp_path: Path) -> None:
    """The ring of a process that died between two requests says nothing, and goes."""
    other = os.getpid() + 1
    ring = Ring(tmp_path, ONE, 0.0)
    ring._map[24:32] = other.to_bytes(8, "little")
    dead(ring)

    assert find_remains(tmp_path, None) is None
    assert list(tmp_path.iterdir()) == []


def test_the_dead_are_kept_within_bounds(tmp_path: Path) -> None:
    """Where process after process dies before it can report, the oldest rings go; the living keep theirs."""
    living = Ring(tmp_path, "f" * 32, 0.0)
    os.utime(living.path, (0, 0))
    for number in range(10):
        ring = Ring(tmp_path, f"{number:032x}", 0.0)
        ring.note("ramp", UNIT, 5, 1, 1.0)
        dead(ring)
        os.utime(ring.path, (number + 1, number + 1))

    drop_oldest(tmp_path, 4)
    drop_oldest(tmp_path / "nowhere")

    left = {path.stem for path in tmp_path.iterdir()}
    assert left == {"f" * 32, *(f"{number:032x}" for number in range(6, 10))}
    living.remove()


def test_a_process_that_became_another_program_is_told_apart(tmp_path: Path) -> None:
    """At exec the lock falls, but the process is still there: it is the one that looks."""
    dead(Ring(tmp_path, ONE, 0.0))

    remains = find_remains(tmp_path, None)

    assert remains is not None
    assert (remains.replaced, remains.notes) == (True, [])


def test_where_the_cache_cannot_be_a_temporary_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder for the cache the rings are in one that all processes of this user find."""
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    assert ring_directory(tmp_path, "name") == tmp_path / "name.rings"
    assert ring_directory(file, "name") == tmp_path / f"rheostat-{os.getuid()}" / "name.rings"
    monkeypatch.setenv("TMPDIR", str(file))
    with pytest.raises(OSError, match="neither"):
        ring_directory(file, "name")


def opened(tmp_path: Path, instance: str, clock: ManualClock) -> OpenRequests:
    """Return open requests with their ring."""
    made = OpenRequests(tmp_path, "name", instance, clock)
    made.begin()
    return made


def test_the_dead_are_reported_as_the_server_counts_them(tmp_path: Path) -> None:
    """A note becomes the unit's hash, its entry among the ramp's levels, its epoch and age; of other ramps nothing."""
    clock = ManualClock()
    clock.advance(100)
    killed, sibling = opened(tmp_path, ONE, clock), opened(tmp_path, TWO, clock)
    touch = a_touch("user-1", at=clock.monotonic(), levels=(0, 1_000_000), epoch=4)
    killed.note(touch)
    killed.note(a_touch("user-2", ramp="gone"))
    clock.advance(2)
    killed.abandon()

    found = sibling.orphans({"ramp-of-checkout": LiveRamp(touch.overlay, a_rollout())}, 7)

    [reported] = found
    assert reported.instance == ONE
    unit = unit_hash(bytes.fromhex(KEY), "user-1")
    assert [list(_fields(orphan)) for orphan in reported.requests] == [["ramp-of-checkout", unit, 1, 4, 2_000, 1]]
    assert sibling.orphans({"ramp-of-checkout": LiveRamp(touch.overlay)}, 8) == ()
    sibling.settled(6)
    assert len(list(tmp_path.rglob("*.ring"))) == 2
    sibling.settled(7)
    assert len(list(tmp_path.rglob("*.ring"))) == 1
    sibling.end()
    assert list(tmp_path.rglob("*.ring")) == []


def _fields(struct: object) -> list[object]:
    return [getattr(struct, name) for name in struct.__struct_fields__]  # type: ignore[attr-defined]


def test_a_touch_is_noted_until_it_is_counted(tmp_path: Path) -> None:
    """Its end, its deadline and its withdrawal clear it; who has no unit is not noted at all."""
    requests = opened(tmp_path, ONE, ManualClock())
    noted, nameless = a_touch(), a_touch()
    nameless.place = None
    requests.note(noted)
    requests.note(nameless)
    assert (noted.slot >= 0, nameless.slot) == (True, -1)

    requests.clear(noted)
    requests.clear(noted)
    requests.clear(nameless)

    assert noted.slot == -1
    assert requests._ring is not None
    assert len(requests._ring._free) == SLOTS
    requests.end()


def test_without_a_place_nothing_is_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where no file can be made the application goes on, and it is said once."""
    unwanted = OpenRequests(None, "name", ONE, ManualClock())
    refused = OpenRequests(tmp_path, "name", f"no/{ONE}", ManualClock())
    touch = a_touch()

    for requests in (unwanted, refused):
        requests.begin()
        requests.begin()
        requests.note(touch)
        requests.clear(touch)
        assert requests.orphans({}, 1) == ()
        requests.end()

    assert touch.slot == -1
    assert len(caplog.records) == 1


def apply(outcomes: Outcomes) -> Evaluation:
    """Apply a state with one live ramp; return an evaluation in it."""
    overlay = an_overlay(unit_key=KEY)
    flag = a_flag("checkout", rollout=a_rollout(overlay.exposure_ppm))
    outcomes.snapshot_applied(Identity(3, 7), (), {"checkout": overlay}, flags={"checkout": flag})
    at = place("checkout", "user-1")
    return Evaluation(
        "checkout",
        value=True,
        variant="on",
        reason=Reason.SPLIT,
        ramp=overlay,
        arm=Arm.TREATMENT,
        unit="user-1",
        place=at,
    )


def test_a_sibling_reports_what_a_killed_process_left(tmp_path: Path) -> None:
    """While a flag ramps the next batch has it; the file goes once the batch is acknowledged, and not before."""
    with a_collector() as collector:
        killed, sibling = (
            Outcomes(collector.url, "key", clock=SystemClock(), cache=tmp_path, name="name") for _ in range(2)
        )
        killed._started = True  # without its thread: it says nothing more
        killed._threaded = True
        touch = killed.begin(apply(killed))
        assert isinstance(touch, Touch)
        ended = killed.begin(apply(killed))
        assert isinstance(ended, Touch)
        killed.end(ended, Outcome.OK, 0.1)
        killed._noted.abandon()
        collector.answers = [503]

        sibling.start()
        apply(sibling)
        reports: list[Orphans] = []
        count = 0
        while not reports:
            count += 1
            received = collector.wait_for(count)
            reports = [dead for each in received for dead in each.batch.orphans]
        sibling.close(10.0)

        assert reports[0].instance == killed.instance
        assert [orphan.unit for orphan in reports[0].requests] == [touch.unit_name]
        assert list(tmp_path.rglob("*.ring")) == []
