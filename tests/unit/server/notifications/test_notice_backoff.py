"""When a delivery is tried again."""

from rheostat_server.notifications.backoff import GIVE_UP_MS, next_try_ms, pause_s

NOW = 1_767_225_600_000


def test_pauses_double_from_5_s_to_15_min_and_are_spread() -> None:
    """At most 5 s, 10 s, … 15 min; at least half of that, by chance."""
    assert [pause_s(attempts, 1.0) for attempts in (1, 2, 3, 7, 8, 9, 1000)] == [5, 10, 20, 320, 640, 900, 900]
    assert pause_s(1, 0.0) == 2.5


def test_after_a_day_it_is_given_up() -> None:
    """So long after it was first due a failure is the last; a minute before, it is not."""
    assert next_try_ms(200, 1.0, since_ms=NOW - GIVE_UP_MS, now_ms=NOW, asked_s=None) is None
    assert next_try_ms(200, 1.0, since_ms=NOW - GIVE_UP_MS + 60_000, now_ms=NOW, asked_s=None) == NOW + 900_000


def test_a_receiver_may_ask_for_a_longer_pause_up_to_an_hour() -> None:
    """``Retry-After`` makes a pause longer and never shorter."""
    asked = {asked_s: next_try_ms(1, 1.0, since_ms=NOW, now_ms=NOW, asked_s=asked_s) for asked_s in (0.0, 60.0, 1e9)}
    assert asked == {0.0: NOW + 5_000, 60.0: NOW + 60_000, 1e9: NOW + 3_600_000}
