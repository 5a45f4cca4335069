"""Server-sent events come out the same however their bytes were split."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.feed import events as module
from rheostat.feed.events import EventOverflow, EventParser, ServerEvent

pieces = st.sampled_from(
    [b"data: {}\n", b"data:x\r\n", b"event: patch\r", b"id: 1-2\n", b"\n", b"\r\n", b"\r", b": beat\n", b"data\n"]
)
streams = st.lists(st.one_of(pieces, st.binary(max_size=6)), max_size=20).map(b"".join)


def parse(*parts: bytes) -> list[ServerEvent]:
    parser = EventParser()
    return [event for part in parts for event in parser.feed(part)]


@given(stream=streams, cuts=st.lists(st.integers(0, 200), max_size=12))
def test_the_events_are_the_same_however_the_bytes_are_split(stream: bytes, cuts: list[int]) -> None:
    """Splitting anywhere, inside a character or a line end too, changes nothing."""
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    parts = [stream[start:end] for start, end in itertools.pairwise(edges)]

    assert parse(*parts) == parse(stream)


@given(stream=streams)
def test_byte_by_byte_is_as_good_as_whole(stream: bytes) -> None:
    """The finest split of all gives the same events."""
    assert parse(*(stream[i : i + 1] for i in range(len(stream)))) == parse(stream)


@given(
    wanted=st.lists(
        st.tuples(
            st.sampled_from(["patch", "beat"]),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1),
        ),
        max_size=5,
    ),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_is_written_is_read(wanted: list[tuple[str, str]], end: str) -> None:
    """Each line end of the standard separates, and text comes back as it was written."""
    text = "".join(f"event: {name}{end}data: {data}{end}{end}" for name, data in wanted)

    read = [(event.name, event.data.decode()) for event in parse(text.encode("utf-8", "surrogatepass"))]

    assert read == [(name, data) for name, data in wanted]


def test_the_standards_own_rules() -> None:
    """Data lines are joined, one space goes, comments are skipped, an id stays, no data is no event."""
    stream = b"\xef\xbb\xbf: hello\nid: 1-7\nevent: patch\ndata: a\ndata:  b\n\nevent: kill\n\ndata:c\n\ndata: cut off"

    assert parse(stream) == [ServerEvent("patch", b"a\n b", "1-7"), ServerEvent("message", b"c", "1-7")]


@pytest.mark.parametrize(("text", "wait"), [(b"700", 700), (b"soon", None), (b"-1", None), (b"9" * 30, None)])
def test_the_server_may_say_when_to_come_back(text: bytes, wait: int | None) -> None:
    """A ``retry`` of digits is kept, anything else is not."""
    parser = EventParser()

    assert parser.feed(b"retry: " + text + b"\n\n") == []
    assert parser.retry_ms == wait


@pytest.mark.parametrize("filler", [b"x", b"data: y\n"])
def test_an_endless_event_is_given_up(filler: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that never ends an event cannot fill the memory."""
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", 100)
    parser = EventParser()

    with pytest.raises(EventOverflow):
        for _ in range(300):
            parser.feed(filler)
