"""What goes over a stream, and how a snapshot is put together."""

import gzip
import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from rheostat.engine import apply_patch
from rheostat.model.flag import Flag
from rheostat.model.snapshot import FORMAT, Beat, Identity, Patch, Resync, Snapshot
from rheostat_server.ports.storage import ServedRow
from rheostat_server.streaming.compression import deflate, gzip_joined
from rheostat_server.streaming.contents import Contents, snapshot_head, snapshot_tail
from rheostat_server.streaming.decoding import one_line, snapshot_of
from rheostat_server.streaming.events import beat_event, kill_event, patch_event, resync_event, retry_event
from tests.builders import a_flag, a_kill, an_overlay
from tests.data_plane import Thing, place

GENERATION = 3


def a_served(thing: Thing, revision: int = 1) -> ServedRow:
    return ServedRow(*place(thing), revision, msgspec.json.encode(thing))


def fields(event: bytes) -> dict[str, str]:
    text = event.decode()
    assert text.endswith("\n\n")
    return dict(line.split(": ", 1) for line in text.rstrip("\n").split("\n"))


def whole(contents: Contents, revision: int) -> bytes:
    return snapshot_head(0) + snapshot_tail(
        contents.present(),
        snapshot_format=FORMAT,
        identity=Identity(GENERATION, revision),
        project=b'"default"',
        environment=b'"production"',
    )


def test_events_have_a_name_and_data_of_one_line() -> None:
    """Each event is a name, an id where it moves the reader's identity, and JSON."""
    at = Identity(3, 7)

    resync = fields(resync_event(at, 250))
    assert (resync["event"], resync["id"]) == ("resync", "3-7")
    assert msgspec.json.decode(resync["data"], type=Resync) == Resync(to=at, spread_ms=250)
    beat = fields(beat_event(Beat(age_ms=12, path=("n",), instances=4)))
    assert (beat["event"], "id" in beat) == ("beat", False)
    assert json.loads(beat["data"]) == {"age_ms": 12, "path": ["n"], "instances": 4}
    assert fields(kill_event(b"{}")) == {"event": "kill", "data": "{}"}
    assert retry_event(900) == b"retry: 900\n\n"


def test_a_patch_carries_bodies_as_they_are_and_removals_by_key() -> None:
    """A patch decodes to what its rows say."""
    rows = [a_served(a_flag("a")), a_served(an_overlay()), a_served(a_kill()), ServedRow("flag", "gone", 2, None)]

    event = fields(patch_event(Identity(3, 1), Identity(3, 2), rows))

    patch = msgspec.json.decode(event["data"], type=Patch)
    assert event["id"] == "3-2"
    assert (patch.from_, patch.to) == (Identity(3, 1), Identity(3, 2))
    assert (patch.flags, patch.ramps, patch.kills) == ((a_flag("a"),), (an_overlay(),), (a_kill(),))
    assert patch.removed.flags == ("gone",)


def test_the_same_rows_give_the_same_snapshot_bytes() -> None:
    """The order in which rows came does not show in the bytes."""
    rows = [a_served(a_flag("b")), a_served(a_flag("a")), a_served(a_kill()), a_served(an_overlay())]

    assert whole(Contents(1, rows), 1) == whole(Contents(1, reversed(rows)), 1)


def test_a_body_with_line_breaks_is_put_on_one_line() -> None:
    """A stored body that is pretty-printed would end an event's data early, so it is written anew."""
    row = ServedRow("flag", "a", 1, b'{\n "key": "a"\n}')

    assert one_line(row).body == b'{"key":"a"}'
    assert one_line(a_served(a_flag())) == a_served(a_flag())


def test_a_flag_of_a_newer_server_evaluates_to_its_off_variant() -> None:
    """A flag with a construct that this server lacks is kept, as one that needs a newer format."""
    body = json.loads(msgspec.json.encode(a_flag("new")))
    body["rules"] = [{"name": "r", "when": {"attribute": "a", "operator": "sounds_like"}, "answer": {"serve": "on"}}]
    rows = [ServedRow("flag", "new", 1, json.dumps(body).encode()), ServedRow("flag", "broken", 1, b"{}")]

    snapshot = snapshot_of(rows, Identity(1, 1), "default", "production")

    [flag] = snapshot.flags
    assert (flag.key, flag.off_variant, flag.needs) == ("new", "off", FORMAT + 1)


changes = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "d"]), st.one_of(st.none(), st.integers(1, 9))), min_size=1, max_size=20
)


@given(changes=changes, data=st.data())
def test_a_reader_from_any_revision_gets_the_present_by_one_patch(
    changes: list[tuple[str, int | None]], data: st.DataObject
) -> None:
    """Whatever was written and removed since, one patch from a held revision gives the snapshot of now."""
    contents = Contents(0, ())
    snapshots: list[Snapshot] = []
    for revision, (key, version) in enumerate([("z", 1), *changes], start=1):
        flag: Flag = a_flag(key, version=version or 1)
        body = None if version is None else msgspec.json.encode(flag)
        contents.merge([ServedRow("flag", key, revision, body)])
        snapshots.append(msgspec.json.decode(whole(contents, revision), type=Snapshot))
    held, now = data.draw(st.sampled_from(snapshots)), snapshots[-1]

    event = fields(patch_event(held.identity, now.identity, contents.since(held.revision)))

    assert apply_patch(held, msgspec.json.decode(event["data"], type=Patch)) == now


@given(head=st.binary(max_size=100), tail=st.binary(max_size=5_000))
def test_a_joined_gzip_unpacks_to_both_parts(head: bytes, tail: bytes) -> None:
    """A head made anew and a tail compressed before are one gzip member of the two."""
    assert gzip.decompress(gzip_joined(head, tail, deflate(tail))) == head + tail
