"""What the feed holds, and what it does next."""

import math
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.engine.evaluate import Ruleset
from rheostat.engine.kills import in_force
from rheostat.engine.patch import apply_patch
from rheostat.feed.commands import Connect, Failure, Fetch, Read, Wait
from rheostat.feed.events import ServerEvent
from rheostat.feed.pace import Pace, around, full_jitter
from rheostat.feed.protocol import Confirmation, FeedProtocol, FeedState, etag_of
from rheostat.model.kill import Kill
from rheostat.model.snapshot import Beat, Identity, Patch, Resync, Snapshot
from tests.builders import a_flag, a_kill, a_patch, a_snapshot

GONE = Failure("connection refused")
NAMES: dict[type, str] = {Beat: "beat", Patch: "patch", Resync: "resync", Kill: "kill"}


def event(message: Beat | Patch | Resync | Kill) -> ServerEvent:
    return ServerEvent(NAMES[type(message)], msgspec.json.encode(message))


def body(snapshot: Snapshot) -> bytes:
    return msgspec.json.encode(snapshot)


def half() -> float:
    return 0.5


def following(snapshot: Snapshot, draw: Callable[[], float] = half) -> FeedProtocol:
    """Return a protocol that streams at the snapshot, at time 0."""
    protocol = FeedProtocol(draw)
    protocol.snapshot_arrived(body(snapshot), etag_of(snapshot), 0.0, 0.0)
    protocol.stream_opened(0.0)
    protocol.event_arrived(event(Beat(age_ms=0)), 0.0)
    return protocol


def killed(protocol: FeedProtocol) -> set[str]:
    assert protocol.ruleset is not None
    ruleset = protocol.ruleset
    return {kill.kill_id for kill in in_force(ruleset.snapshot.kills, ruleset.extra_kills)}


class TestStart:
    def test_the_first_thing_is_the_snapshot(self) -> None:
        """Who holds nothing asks for all of it, at once, and opens no stream before."""
        protocol = FeedProtocol(half)

        assert protocol.next(0.0) == Fetch(None)
        protocol.fetch_failed(GONE, 0.0)
        assert isinstance(protocol.next(0.0), Wait)

    def test_then_comes_the_stream(self) -> None:
        """The stream is asked to go on from the identity held."""
        protocol = FeedProtocol(half)
        protocol.snapshot_arrived(body(a_snapshot(revision=7)), None, 0.0, 0.1)

        assert protocol.next(0.1) == Connect("1-7")

    def test_who_comes_from_disk_asks_whether_it_still_holds(self) -> None:
        """The etag of what is on disk goes along; a 304 with an age confirms it."""
        snapshot = a_snapshot(a_flag())
        protocol = FeedProtocol(half, None, Ruleset.of(snapshot), etag_of(snapshot))

        assert protocol.next(5.0) == Fetch(etag_of(snapshot))
        assert protocol.confirmation is None
        protocol.not_modified(120, 5.0, 5.2)
        assert protocol.confirmation == Confirmation(120, 5.0)

    def test_the_age_counts_from_the_question(self) -> None:
        """The time that an answer takes makes it older, never younger."""
        protocol = FeedProtocol(half)
        protocol.snapshot_arrived(body(a_snapshot(age_ms=300)), None, 2.0, 9.0)

        assert protocol.confirmation == Confirmation(300, 2.0)


class TestStream:
    def test_a_patch_from_here_is_applied(self) -> None:
        """A holder exactly at ``from`` moves to ``to`` and asks for nothing."""
        before = a_snapshot(a_flag())
        protocol = following(before)
        patch = a_patch(before, flags=(a_flag("new"),))

        protocol.event_arrived(event(patch), 1.0)

        assert protocol.ruleset is not None
        assert protocol.ruleset.snapshot == apply_patch(before, patch)
        assert isinstance(protocol.next(1.0), Read)

    def test_a_patch_from_elsewhere_is_not_applied(self) -> None:
        """A gap is closed by the whole snapshot, at once, while the stream stays open."""
        protocol = following(a_snapshot(a_flag()))

        protocol.event_arrived(event(Patch(from_=Identity(1, 5), to=Identity(1, 6))), 1.0)

        assert protocol.identity == Identity(1, 1)
        assert isinstance(protocol.next(1.0), Fetch)
        assert protocol.streaming
        protocol.snapshot_arrived(body(a_snapshot(a_flag(), revision=6)), None, 1.0, 1.1)
        assert isinstance(protocol.next(1.1), Read)

    def test_a_gap_is_asked_for_until_it_is_closed(self) -> None:
        """A node behind a balancer that has less than the stream told of is asked again, after a pause."""
        protocol = following(a_snapshot(a_flag()))
        protocol.event_arrived(event(Resync(to=Identity(1, 6))), 1.0)

        protocol.snapshot_arrived(body(a_snapshot(a_flag(), revision=4)), None, 1.0, 1.0)

        command = protocol.next(1.0)
        assert isinstance(command, Read)
        assert 0 < command.seconds < 1
        assert isinstance(protocol.next(2.0), Fetch)

    def test_a_patch_that_was_replayed_changes_nothing(self) -> None:
        """What leads to where the holder has been is old news."""
        protocol = following(a_snapshot(a_flag(), revision=6))

        protocol.event_arrived(event(Patch(from_=Identity(1, 4), to=Identity(1, 5))), 1.0)

        assert isinstance(protocol.next(1.0), Read)

    @given(draw=st.floats(0, 1, exclude_max=True), spread_ms=st.integers(0, 60_000))
    def test_a_resync_waits_a_moment_within_its_spread(self, draw: float, spread_ms: int) -> None:
        """Many readers told to fetch all do not come at once, and none later than was said."""
        protocol = following(a_snapshot(a_flag()), lambda: draw)

        protocol.event_arrived(event(Resync(to=Identity(1, 2), spread_ms=spread_ms)), 10.0)

        due = 10.0 + draw * spread_ms / 1000
        assert isinstance(protocol.next(due), Fetch)
        if due > 10.0:
            command = protocol.next(10.0)
            assert isinstance(command, Read)
            assert command.seconds <= due - 10.0

    def test_a_read_that_ends_for_a_resync_is_no_failure(self) -> None:
        """The stream closed to be in time is opened again right after the fetch."""
        protocol = following(a_snapshot(a_flag()))
        protocol.event_arrived(event(Resync(to=Identity(1, 2), spread_ms=4_000)), 10.0)

        protocol.stream_timed_out(12.0)

        assert isinstance(protocol.next(12.0), Fetch)
        protocol.snapshot_arrived(body(a_snapshot(a_flag(), revision=2)), None, 12.0, 12.1)
        assert protocol.next(12.1) == Connect("1-2")
        assert protocol.last_failure is None

    def test_a_resync_to_the_past_is_not_followed(self) -> None:
        """A node that is behind has nothing to offer."""
        protocol = following(a_snapshot(a_flag(), revision=6))

        protocol.event_arrived(event(Resync(to=Identity(1, 5))), 1.0)

        assert isinstance(protocol.next(1.0), Read)

    def test_beats_tell_the_age(self) -> None:
        """Each beat confirms what is held, as old as the node says."""
        protocol = following(a_snapshot(a_flag()))

        protocol.event_arrived(event(Beat(age_ms=70)), 5.0)

        assert protocol.confirmation == Confirmation(70, 5.0)

    @pytest.mark.parametrize("ahead", [True, False])
    def test_a_beat_about_another_state_confirms_nothing(self, ahead: bool) -> None:
        """Neither a node that is behind, nor one that is ahead of what is held, vouches for it."""
        protocol = following(a_snapshot(a_flag(), revision=6))
        if ahead:
            protocol.event_arrived(event(Resync(to=Identity(1, 9), spread_ms=9_000)), 4.0)

        protocol.event_arrived(event(Beat(age_ms=1, behind=not ahead)), 5.0)

        assert protocol.confirmation == Confirmation(0, 0.0)

    def test_after_standing_still_no_beat_is_believed(self) -> None:
        """A process that was stopped for minutes reads old beats: their age is unknown until a stream is new."""
        protocol = following(a_snapshot(a_flag()))

        protocol.event_arrived(event(Beat(age_ms=0)), 300.0)
        protocol.event_arrived(event(Beat(age_ms=0)), 300.0)
        protocol.event_arrived(event(a_kill()), 300.0)

        assert protocol.confirmation == Confirmation(0, 0.0)
        assert killed(protocol) == {a_kill().kill_id}
        assert protocol.next(300.0) == Connect("1-1")
        protocol.stream_opened(300.1)
        protocol.event_arrived(event(Beat(age_ms=5)), 300.2)
        assert protocol.confirmation == Confirmation(5, 300.2)

    def test_silence_is_a_broken_stream(self) -> None:
        """A stream that says nothing for 15 s, half open or buffered by a proxy, is left for polls."""
        protocol = following(a_snapshot(a_flag()))

        command = protocol.next(5.0)
        assert command == Read(10.0)
        protocol.stream_timed_out(15.0)

        assert protocol.state is FeedState.POLLING
        assert not protocol.streaming
        assert isinstance(protocol.next(15.0), Wait)

    @pytest.mark.parametrize("name", ["patch", "resync", "kill", "beat"])
    def test_what_cannot_be_read_is_asked_for_whole(self, name: str) -> None:
        """A broken event costs a fetch and not the feed."""
        protocol = following(a_snapshot(a_flag()))

        protocol.event_arrived(ServerEvent(name, b'{"from": 3'), 1.0)

        assert isinstance(protocol.next(1.0), Fetch)

    def test_unknown_events_are_left_alone(self) -> None:
        """A newer server may say more than this reader knows."""
        protocol = following(a_snapshot(a_flag()))

        protocol.event_arrived(ServerEvent("weather", b"sunny"), 1.0)

        assert isinstance(protocol.next(1.0), Read)


class TestFailures:
    def test_a_broken_stream_is_polled_for_and_comes_back(self) -> None:
        """Polls go out about every 10 s, and the stream is tried between them."""
        protocol = following(a_snapshot(a_flag()))
        protocol.stream_failed(GONE, 0.0)

        assert protocol.next(0.5) == Connect("1-1")
        protocol.stream_failed(GONE, 0.5)
        assert protocol.next(5.0) == Fetch(etag_of(a_snapshot(a_flag())))
        protocol.not_modified(0, 5.0, 5.0)
        assert protocol.next(5.0) == Connect("1-1")
        protocol.stream_opened(5.0)
        assert protocol.state is FeedState.STREAMING
        assert protocol.next(5.0) == Read(15.0)

    @given(failures=st.integers(1, 10_000), draw=st.floats(0, 1, exclude_max=True))
    def test_waits_are_drawn_from_the_whole_span(self, failures: int, draw: float) -> None:
        """Full jitter: anything from 0 to the bound, which doubles up to 30 s."""
        wait = full_jitter(Pace(), failures, lambda: draw)

        assert wait == pytest.approx(draw * min(30.0, 0.5 * 2.0 ** min(failures, 60)))
        assert 7.5 <= around(10.0, lambda: draw) <= 12.5

    def test_a_server_that_is_back_is_streamed_from_soon(self) -> None:
        """A poll that works after ones that did not ends the stream's long wait."""
        protocol = following(a_snapshot(a_flag()), lambda: 0.9)
        for _ in range(9):
            protocol.stream_failed(GONE, 0.0)
        protocol.fetch_failed(GONE, 0.0)
        protocol.not_modified(0, 1.0, 1.0)

        assert protocol.next(3.0) == Connect("1-1")

    def test_one_beat_forgets_earlier_failures_and_an_open_stream_does_not(self) -> None:
        """A server that takes streams and drops them is backed off from; one that speaks is trusted."""
        protocol = following(a_snapshot(a_flag()), lambda: 0.999)
        for _ in range(9):
            protocol.stream_opened(0.0)
            protocol.stream_failed(GONE, 0.0)
        patient = protocol._connect_at
        protocol.stream_opened(0.0)
        protocol.event_arrived(event(Beat(age_ms=0)), 0.0)
        protocol.stream_failed(GONE, 0.0)

        assert patient > 25
        assert protocol._connect_at < 1

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refused_key_is_tried_seldom(self, status: int) -> None:
        """A refusal stops stream and polls; once a minute it is asked again, and all goes on when it is taken."""
        protocol = following(a_snapshot(a_flag()))

        protocol.stream_failed(Failure("refused", status), 0.0)

        assert protocol.state.value == "refused"
        assert protocol.next(0.0) == Wait(60.0)
        protocol.fetch_failed(Failure("refused", status), 60.0)
        assert protocol.next(60.0) == Wait(60.0)
        protocol.not_modified(0, 120.0, 120.0)
        assert protocol.state.value == "polling"
        assert isinstance(protocol.next(122.0), Connect)

    def test_the_server_may_ask_for_a_pause(self) -> None:
        """Retry-After is kept to, with jitter on top, and not for ever."""
        protocol = FeedProtocol(half)

        protocol.fetch_failed(Failure("busy", 503, 20.0), 0.0)
        command = protocol.next(0.0)
        assert isinstance(command, Wait)
        assert 20.0 < command.seconds < 31.0

        protocol.fetch_failed(Failure("busy", 503, 1e9), 0.0)
        command = protocol.next(0.0)
        assert isinstance(command, Wait)
        assert command.seconds < 320.0

    def test_a_server_that_was_never_reached_is_said(self) -> None:
        """From the first failure on the state is no longer that of a start."""
        protocol = FeedProtocol(half)

        protocol.fetch_failed(GONE, 0.0)

        assert protocol.state is FeedState.POLLING
        assert protocol.last_failure == GONE

    def test_bytes_that_are_no_snapshot_change_nothing(self) -> None:
        """What is held goes on being served."""
        protocol = following(a_snapshot(a_flag()))

        protocol.snapshot_arrived(b'{"flags": [', "x", 1.0, 1.0)

        assert protocol.identity == Identity(1, 1)
        assert protocol.last_failure is not None

    def test_another_environment_is_taken_as_it_is(self) -> None:
        """Identities of two environments cannot be compared: a key bound anew starts from nothing."""
        protocol = following(a_snapshot(a_flag(), revision=900))

        protocol.snapshot_arrived(body(a_snapshot(a_flag(), environment="staging")), None, 1.0, 1.0)

        assert protocol.identity == Identity(1, 1)


class TestKills:
    def test_a_kill_is_in_force_at_once(self) -> None:
        """Without a new revision, over whatever snapshot is held."""
        protocol = following(a_snapshot(a_flag()))

        protocol.event_arrived(event(a_kill()), 1.0)

        assert killed(protocol) == {a_kill().kill_id}
        assert protocol.identity == Identity(1, 1)

    def test_a_kill_heard_twice_is_one(self) -> None:
        """Nodes repeat kills at each reconnect; that is no change."""
        protocol = following(a_snapshot(a_flag()))
        protocol.event_arrived(event(a_kill()), 1.0)
        before = protocol.ruleset

        protocol.event_arrived(event(a_kill()), 2.0)

        assert protocol.ruleset is before

    def test_a_kill_outlives_snapshots_that_do_not_name_it(self) -> None:
        """A newer state from a node that has not heard of the kill does not undo it."""
        protocol = following(a_snapshot(a_flag()))
        protocol.event_arrived(event(a_kill()), 1.0)

        protocol.snapshot_arrived(body(a_snapshot(a_flag(), revision=5)), None, 2.0, 2.0)

        assert killed(protocol) == {a_kill().kill_id}

    def test_a_kill_that_one_node_names_outlives_another_that_does_not(self) -> None:
        """A node may name what it has not committed, so only a revival ends it."""
        protocol = following(a_snapshot(a_flag(), kills=(a_kill(),)))

        protocol.snapshot_arrived(body(a_snapshot(a_flag(), revision=2)), None, 2.0, 2.0)

        assert killed(protocol) == {a_kill().kill_id}

    def test_a_new_generation_takes_no_kill_back(self) -> None:
        """A kill that the old snapshot named stands beside one of a new generation, until that names it as revived."""
        protocol = following(a_snapshot(a_flag(), kills=(a_kill(),)))

        protocol.snapshot_arrived(body(a_snapshot(a_flag(), generation=2)), None, 2.0, 2.0)
        assert killed(protocol) == {a_kill().kill_id}

        revived = a_snapshot(a_flag(), generation=2, revision=2, kills=(a_kill(revived=True),))
        protocol.snapshot_arrived(body(revived), None, 3.0, 3.0)
        assert killed(protocol) == set()

    def test_a_revival_ends_it_for_good(self) -> None:
        """Once named as revived, the same kill heard again stays without effect."""
        before = a_snapshot(a_flag())
        protocol = following(before)
        protocol.event_arrived(event(a_kill()), 1.0)

        protocol.event_arrived(event(a_patch(before, kills=(a_kill(revived=True),))), 2.0)
        assert killed(protocol) == set()
        protocol.event_arrived(event(a_kill()), 3.0)

        assert killed(protocol) == set()

    def test_a_kill_of_another_environment_is_not_ours(self) -> None:
        """Only the environment's own kills count."""
        protocol = following(a_snapshot(a_flag()))

        protocol.event_arrived(event(a_kill(environment="staging")), 1.0)

        assert killed(protocol) == set()


# --- any order of events ---

identities = st.builds(Identity, st.integers(0, 2), st.integers(0, 6))
kill_ids = st.sampled_from(["k1", "k2"])
kills = st.builds(lambda kill_id: a_kill(kill_id=kill_id), kill_ids)
snapshots = st.builds(
    lambda identity, named: a_snapshot(
        a_flag(), generation=identity.generation, revision=identity.revision, kills=tuple(named)
    ),
    identities,
    st.lists(kills, max_size=2, unique_by=lambda kill: kill.kill_id),
)
messages: st.SearchStrategy[Beat | Patch | Resync | Kill] = st.one_of(
    st.builds(Beat, age_ms=st.integers(0, 10), behind=st.booleans()),
    st.builds(lambda start, to: Patch(from_=start, to=to), identities, identities),
    st.builds(lambda to, spread: Resync(to=to, spread_ms=spread), identities, st.integers(0, 9_000)),
    kills,
)
failures = st.builds(Failure, st.just("x"), st.sampled_from([None, 401, 503]), st.sampled_from([None, 5.0]))
inputs = st.one_of(
    st.tuples(st.just("snapshot"), snapshots),
    st.tuples(st.just("event"), messages),
    st.tuples(st.just("fetch_failed"), failures),
    st.tuples(st.just("stream_failed"), failures),
    st.tuples(st.sampled_from(["not_modified", "opened", "timed_out"]), st.none()),
)


def tell(protocol: FeedProtocol, what: str, value: object, now: float) -> None:
    match what, value:
        case "snapshot", Snapshot():
            protocol.snapshot_arrived(body(value), None, now, now)
        case "event", Beat() | Patch() | Resync() | Kill():
            protocol.event_arrived(event(value), now)
        case "fetch_failed", Failure():
            protocol.fetch_failed(value, now)
        case "stream_failed", Failure():
            protocol.stream_failed(value, now)
        case "not_modified", _:
            protocol.not_modified(0, now, now)
        case "opened", _:
            protocol.stream_opened(now)
        case "timed_out", _:
            protocol.stream_timed_out(now)


@given(history=st.lists(inputs, max_size=30), draw=st.floats(0, 1, exclude_max=True))
def test_the_identity_never_goes_down(history: list[tuple[str, object]], draw: float) -> None:
    """In any order of snapshots, events and failures, a reader never moves to a lower pair."""
    protocol = FeedProtocol(lambda: draw)
    highest = Identity()
    for now, (what, value) in enumerate(history):
        tell(protocol, what, value, float(now))
        assert protocol.identity >= highest
        highest = protocol.identity


@given(history=st.lists(inputs, max_size=30))
def test_a_kill_in_force_stays_in_force(history: list[tuple[str, object]]) -> None:
    """Nothing but a revival (there is none here) takes a kill back, in whatever generation."""
    protocol = FeedProtocol(half)
    protocol.snapshot_arrived(body(a_snapshot(a_flag())), None, 0.0, 0.0)
    stands: set[str] = set()
    for now, (what, value) in enumerate(history):
        tell(protocol, what, value, float(now))
        assert killed(protocol) >= stands
        stands = killed(protocol)


@given(history=st.lists(inputs, max_size=30), draw=st.floats(0, 1, exclude_max=True))
def test_there_is_always_something_to_do_next(history: list[tuple[str, object]], draw: float) -> None:
    """No order of events leaves a feed that waits for ever: at most 400 s, and mostly far less."""
    protocol = FeedProtocol(lambda: draw)
    for now, (what, value) in enumerate(history):
        tell(protocol, what, value, float(now))
        match protocol.next(float(now)):
            case Wait(seconds) | Read(seconds):
                assert 0 <= seconds <= 400
                assert not math.isnan(seconds)
            case Connect(last_event_id):
                assert Identity.parse(last_event_id) == protocol.identity
            case Fetch():
                pass
