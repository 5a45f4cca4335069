"""Counters are read by raw samples: each used once, resets seen, the first error counted."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rheostat_server.adapters.evidence.prometheus.client import Series
from rheostat_server.adapters.evidence.prometheus.cursor import (
    FORGET_MS,
    Cursor,
    Growth,
    advanced,
    advanced_by_node,
    arm_is_stale,
    read_cursor,
    target_of,
    with_arms,
    write_cursor,
)

LABELS = {"job": "app", "instance": "a:1", "arm": "treatment", "outcome": "ok"}


def a_series(*samples: tuple[int, float], **labels: str) -> Series:
    """Return a counter's samples, at (ms, value)."""
    return Series("requests_total", {**LABELS, **labels}, samples)


def step(cursor: Cursor, *series: Series) -> tuple[Cursor, list[Growth]]:
    """Return what a reading of these series gives."""
    return advanced(cursor, series, asked_ms=99)


def a_servers(*samples: tuple[int, float], node: str = "n1", **labels: str) -> Series:
    """Return the samples of a server's counter of a ramp."""
    return Series("failing_total", {**LABELS, "ramp": "r", "node": node, **labels}, samples)


def servers(cursor: Cursor, *series: Series) -> tuple[Cursor, list[Growth]]:
    """Return what a reading of a server's series gives."""
    return advanced_by_node(cursor, series, asked_ms=99)


def amounts(growth: list[Growth]) -> list[int]:
    """Return the amounts alone."""
    return [grown.amount for grown in growth]


def test_a_new_target_counts_from_its_first_sample() -> None:
    """What an application counted before it was first seen is no evidence."""
    cursor, growth = step(Cursor(), a_series((1000, 500), (2000, 503)))

    assert amounts(growth) == [3]
    assert (growth[0].from_ms, growth[0].until_ms) == (1000, 2000)
    assert cursor.newest_ms == 2000


def test_a_new_series_on_a_known_target_starts_from_zero() -> None:
    """The first error of an application that was seen before counts."""
    cursor, _ = step(Cursor(), a_series((1000, 500)))

    _, growth = step(cursor, a_series((1000, 500), (2000, 501)), a_series((2000, 1), outcome="error"))

    assert amounts(growth) == [1, 1]
    assert (growth[1].labels["outcome"], growth[1].from_ms, growth[1].until_ms) == ("error", 1000, 2000)


def test_a_node_that_joins_starts_from_zero() -> None:
    """A node that joins during the ramp shows first what it counted since: all of it is the ramp's."""
    cursor, growth = servers(Cursor(), a_servers((1000, 4)))
    _, joined = servers(cursor, a_servers((2000, 4)), a_servers((2000, 3), node="n2"))

    assert (amounts(growth), amounts(joined)) == ([4], [3])


def test_a_node_scraped_twice_counts_once() -> None:
    """Two jobs, a pair of Prometheus servers, and labels of the scraper's make no second counter of one."""
    first = a_servers((1000, 4), (2000, 6))
    again = a_servers((1500, 5), (2500, 7), job="other", instance="b:1", replica="1", team="shop")

    cursor, growth = servers(Cursor(), first, again)
    _, later = servers(cursor, a_servers((3000, 7)), a_servers((3100, 9), job="other", prometheus="two"))

    assert (sum(amounts(growth)), amounts(later)) == (7, [2])
    assert (later[0].from_ms, later[0].until_ms) == (3000, 3100)


def test_labels_that_change_mid_ramp_begin_nothing_anew() -> None:
    """A scrape configuration that is edited during a ramp adds nothing to what was counted before."""
    cursor, _ = servers(Cursor(), a_servers((1000, 500)))
    relabelled = Series(
        "failing_total", {**LABELS, "ramp": "r", "node": "k8s-7", "exported_node": "n1"}, ((2000, 501),)
    )

    _, growth = servers(cursor, relabelled)

    assert amounts(growth) == [1]


def test_what_a_node_counted_is_never_counted_again() -> None:
    """A node that was not scraped for longer than targets are remembered goes on from its mark."""
    cursor, _ = servers(Cursor(), a_servers((1000, 500)), a_servers((1000, 1), node="n2"))
    cursor, _ = servers(cursor, a_servers((2 * FORGET_MS, 3), node="n2"))

    _, growth = servers(cursor, a_servers((2 * FORGET_MS + 1000, 502)))

    assert amounts(growth) == [2]


def test_the_first_event_of_a_node_began_at_the_reading_before() -> None:
    """A counter that stood at 0 needs no mark: it grew since the node was last seen."""
    cursor, _ = servers(Cursor(), a_servers((1000, 0)))

    cursor, growth = servers(cursor, a_servers((1000, 0), (2000, 1)))

    assert [(one.amount, one.from_ms, one.until_ms) for one in growth] == [(1, 1000, 2000)]
    assert len(cursor.series) == 1


def test_a_known_target_that_is_relabelled_counts_from_there() -> None:
    """A series that only gained a label of the scraper's does not start from 0, though its target is known."""
    cursor, _ = step(Cursor(), a_series((1000, 500)))

    cursor, growth = step(cursor, a_series((2000, 510), team="shop"))
    _, later = step(cursor, a_series((3000, 512), team="shop"), a_series((3000, 1), team="shop", outcome="error"))

    assert (growth, amounts(later)) == ([], [2, 1])


def test_where_all_series_of_a_name_ended_a_new_one_does_not_start_from_zero() -> None:
    """A label whose value is changed for all series of a target makes no news of what they had counted."""
    cursor, _ = step(Cursor(), a_series((1000, 500)), a_series((1000, 9), outcome="error"))

    cursor, growth = step(
        cursor, a_series((1000, 500)), a_series((2000, 510), team="b"), a_series((2000, 10), team="b", outcome="error")
    )

    assert growth == []


def test_a_counter_is_read_through_one_scraper_at_a_time() -> None:
    """Samples of two scrapers, whose clocks differ, are not mixed: none is a fall, and none counts twice."""
    cursor, _ = step(Cursor(), a_series((1000, 10), (2000, 12)), a_series((1500, 11), job="b"))

    cursor, growth = step(
        cursor,
        a_series((2000, 12), (3000, 20)),
        a_series((1500, 11), (2999, 19), (3100, 18), job="b", prometheus="two"),
    )

    assert amounts(growth) == [8]


def test_when_a_scraper_is_gone_another_goes_on_for_it() -> None:
    """The counter goes on from its mark, past what may be older than the mark by the other's clock."""
    replica = {"prometheus_replica": "b"}
    cursor, _ = step(Cursor(), a_series((1000, 10), (2000, 12)), a_series((2000, 12), **replica))

    patient, none = step(cursor, a_series((2000, 12)), a_series((2000, 12), (40_000, 30), **replica))
    after, growth = step(
        patient, a_series((2000, 12)), a_series((2000, 12), (3500, 11), (40_000, 30), (60_000, 33), **replica)
    )

    assert (none, amounts(growth)) == ([], [18, 3])
    assert step(after, a_series((2000, 12)), a_series((60_000, 33), (61_000, 34), **replica))[1][0].amount == 1


def test_replica_labels_of_ones_own_can_be_named() -> None:
    """Which labels tell a pair of scrapers apart is given."""
    pair = [a_series((1000, 10), monitor="a"), a_series((1000, 10), monitor="b")]
    more = [a_series((2000, 15), monitor="a"), a_series((2000, 15), monitor="b")]

    twice = advanced(advanced(Cursor(), pair, asked_ms=1)[0], more, asked_ms=2)[1]
    labels = frozenset(("monitor",))
    once = advanced(
        advanced(Cursor(), pair, asked_ms=1, replica_labels=labels)[0], more, asked_ms=2, replica_labels=labels
    )

    assert (amounts(twice), amounts(once[1])) == ([5, 5], [5])


def test_a_counter_of_fractions_loses_none_of_them() -> None:
    """Parts of an event add up over readings, and a standing counter is no reset."""
    cursor, total = step(Cursor(), a_series((1000, 0.5)))[0], 0
    for at in range(2, 22):
        cursor, growth = step(cursor, a_series((at * 1000, 0.5 + 0.3 * (at - 1))))
        total += sum(amounts(growth))

    cursor, still = step(cursor, a_series((30_000, 0.5 + 0.3 * 20)))

    assert (total, still) == (6, [])


def test_without_an_instance_the_job_is_the_target() -> None:
    """Pushed series, which no scraper names an instance of, are told apart by their job."""
    one = Series("pushed_total", {"job": "a"}, ((1000, 5.0),))
    cursor, _ = step(Cursor(), one)

    _, growth = step(
        cursor,
        Series("pushed_total", {"job": "a"}, ((2000, 7.0),)),
        Series("pushed_total", {"job": "b"}, ((2000, 9.0),)),
    )

    assert amounts(growth) == [2]


def test_an_address_of_another_cluster_is_another_target() -> None:
    """What a pod elsewhere counted before it was first seen is no evidence, though its address is known here."""
    cursor, _ = step(Cursor(), a_series((1000, 5), cluster="a"))

    _, growth = step(cursor, a_series((2000, 6), cluster="a"), a_series((2000, 900), cluster="b", outcome="error"))

    assert amounts(growth) == [1]


def test_an_arm_is_stale_when_none_of_its_targets_is_scraped() -> None:
    """An arm whose targets have ended is stale while others go on; one that has none never is."""
    cursor, _ = step(Cursor(), a_series((1000, 5)), a_series((1000, 5), instance="b:1"))
    cursor = with_arms(
        cursor, {"treatment": {target_of(a_series((1000, 5)))}, "control": {target_of(a_series(instance="b:1"))}}
    )
    cursor, _ = step(cursor, a_series((60_000, 9), instance="b:1"))

    assert arm_is_stale(cursor, "treatment", 45_000)
    assert not arm_is_stale(cursor, "treatment", 60_000)
    assert not arm_is_stale(cursor, "control", 45_000)
    assert not arm_is_stale(Cursor(), "treatment", 45_000)
    forgotten, _ = step(cursor, a_series((FORGET_MS + 60_000, 9), instance="b:1"))
    assert with_arms(forgotten, {}).arms["treatment"] == ()


def test_an_unknown_label_set_of_the_application_sets_a_mark_alone() -> None:
    """The application under a second job counts from its first sample there, not from 0."""
    cursor, _ = step(Cursor(), a_series((1000, 500)))

    _, growth = step(cursor, a_series((2000, 500), job="other"))

    assert growth == []


def test_each_sample_is_used_once() -> None:
    """Ranges overlap; what was read is not read again."""
    cursor, _ = step(Cursor(), a_series((1000, 10), (2000, 12)))

    cursor, growth = step(cursor, a_series((1000, 10), (2000, 12), (3000, 15)))
    _, again = step(cursor, a_series((2000, 12), (3000, 15)))

    assert (amounts(growth), again) == ([3], [])


def test_a_fall_is_a_reset() -> None:
    """A counter that begins anew has grown by what it shows."""
    cursor, _ = step(Cursor(), a_series((1000, 10)))

    _, growth = step(cursor, a_series((2000, 12), (3000, 4), (4000, 5)))

    assert amounts(growth) == [2, 4, 1]


def test_growth_over_a_gap_counts_from_the_cursor() -> None:
    """After an outage of Prometheus or of the controller nothing is missing, however long it was."""
    cursor, _ = step(Cursor(), a_series((1000, 10)))

    _, growth = step(cursor, a_series((1_000_000, 90)))

    assert amounts(growth) == [80]
    assert (growth[0].from_ms, growth[0].until_ms) == (1000, 1_000_000)


def test_a_target_long_gone_is_forgotten() -> None:
    """The cursor is saved with each observation and must not grow with every instance that ever was."""
    cursor, _ = step(Cursor(), a_series((1000, 10)), a_series((1000, 10), instance="b:1"))

    cursor, _ = step(cursor, a_series((FORGET_MS + 2000, 11)))

    assert len(cursor.series) == len(cursor.targets) == 1
    _, growth = step(cursor, a_series((FORGET_MS + 3000, 70), instance="b:1"))
    assert growth == []


def test_a_cursor_survives_being_saved() -> None:
    """What is written is what is read."""
    cursor, _ = step(Cursor(), a_series((1000, 10.5)), a_series((1000, 3), instance="b:1"))

    assert read_cursor(write_cursor(cursor)) == cursor
    assert read_cursor("") == Cursor()


@given(
    counts=st.lists(st.integers(0, 5), min_size=2, max_size=30),
    resets=st.sets(st.integers(1, 29)),
    cuts=st.sets(st.integers(1, 29)),
)
def test_however_it_is_read_it_adds_up_to_what_was_counted(counts: list[int], resets: set[int], cuts: set[int]) -> None:
    """The sum of all growth is what was counted after the first sample, wherever resets and readings fall."""
    value, samples = 0, []
    for at, count in enumerate(counts):
        # A reset that is overtaken within one scrape cannot be seen by anyone; so none is made here.
        value = count if at in resets and count < value else value + count
        samples.append((at * 1000, float(value)))
    edges = [0, *sorted(cut for cut in cuts if cut < len(counts)), len(counts)]
    cursor, total = Cursor(), 0

    for low, high in pairwise(edges):
        cursor, growth = step(cursor, a_series(*samples[max(0, low - 3) : high]))
        total += sum(amounts(growth))

    assert total == sum(counts[1:])
