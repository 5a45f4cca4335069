"""A reader's queue."""

from rheostat_server.streaming.subscriber import WAITING_BYTES, Subscriber


def always() -> bool:
    return True


async def test_what_waits_is_taken_in_one_piece_and_order() -> None:
    """Events that came since the last time are taken together, in order."""
    subscriber = Subscriber(always)
    for event in (b"one", b"two"):
        subscriber.push(event)

    assert await subscriber.take() == b"onetwo"


async def test_a_closed_reader_gets_what_waits_and_then_the_end() -> None:
    """Closing sends what waits; after it there is the end, and nothing more goes in."""
    subscriber = Subscriber(always)
    subscriber.push(b"last")
    subscriber.close()
    subscriber.push(b"too late")

    assert [await subscriber.take(), await subscriber.take()] == [b"last", b""]


async def test_a_reader_that_is_too_far_behind_is_let_go() -> None:
    """Beyond 4 MiB nothing is kept for a reader, and its stream ends."""
    subscriber = Subscriber(always)
    subscriber.push(b"x" * WAITING_BYTES)
    subscriber.push(b"y")

    assert subscriber.closed
    assert await subscriber.take() == b""
