"""A simulated crowd has the users, rates and groups that it was asked for."""

from collections import Counter
from statistics import correlation

import pytest

from rheostat_server.ramps.simulation.crowd import ALL_PLACED, Activity, Group, Mix, Moment, steady
from tests.unit.server.ramps_simulation.simulated import PARETO, a_crowd

AT = Moment(0.0, 0.0)


@pytest.mark.parametrize("activity", Activity)
def test_rates_add_up(activity: Activity) -> None:
    """All users together send the asked requests per second, and so do the groups."""
    crowd = a_crowd(Group(0.9, steady(0)), Group(0.1, steady(1)), activity=activity)

    assert sum(crowd.rate(user) for user in range(2_000)) == pytest.approx(100)
    assert crowd.volume(0) + crowd.volume(1) == pytest.approx(100)
    assert (len(crowd.members(0)), len(crowd.members(1))) == (1_800, 200)


def test_pareto_users_are_unequal() -> None:
    """The busiest hundredth of Pareto users sends a fifth of all requests or more."""
    crowd = a_crowd(activity=PARETO)

    busiest = sorted((crowd.rate(user) for user in range(2_000)), reverse=True)[:20]

    assert sum(busiest) > 20


@pytest.mark.parametrize("activity", Activity)
def test_requests_are_picked_by_rate(activity: Activity) -> None:
    """A request is a user's in proportion to that user's rate, and always of the group it was drawn for."""
    crowd = a_crowd(Group(0.5, steady(0)), Group(0.5, steady(1)), users=20, activity=activity)
    picked = Counter(crowd.picked(1) for _ in range(20_000))

    assert set(picked) <= set(crowd.members(1))
    assert {crowd.group_index(user) for user in picked} == {1}
    for user in crowd.members(1):
        assert picked[user] / 20_000 == pytest.approx(crowd.rate(user) / crowd.volume(1), abs=0.02)


@pytest.mark.parametrize("users", [3_000, ALL_PLACED + 1])
def test_treated_volume(users: int) -> None:
    """The treated requests are those of the users below x."""
    crowd = a_crowd(users=users)
    (treated,) = crowd.treated_volumes(0.25)

    assert treated == pytest.approx(25, abs=2.5)
    if users <= ALL_PLACED:
        below = sum(crowd.place(user) < 0.25 for user in range(users))
        assert treated == pytest.approx(100 * below / users)


def test_sample_is_thinned() -> None:
    """About as many units as the limit allows are met in a window; their hashes lie below the limit, others' above."""
    crowd = a_crowd(users=20_000)
    sampled, limit = crowd.sample(2_000, 300.0)
    met = len(sampled) * (1 - 2.718281828 ** (-300 * 100 / 20_000))

    assert 1_850 < met < 2_150
    assert max(crowd.hash(user) for user in sampled) < limit
    others = set(range(20_000)) - set(sampled)
    assert min(crowd.hash(user) for user in list(others)[:500]) >= limit
    assert crowd.sample(2_000, 300.0)[0] is sampled


def test_small_crowd_is_sampled_whole() -> None:
    """Where there are fewer users than the limit, all are sampled."""
    assert a_crowd(users=100).sample(2_000, 300.0) == (list(range(100)), 1.0)


def test_same_users_under_another_harm() -> None:
    """A crowd under another traffic has the very same users."""
    mix = Mix(rps=100, users=500, baseline=0.005, regression=0.02, activity=PARETO)
    crowd = a_crowd(users=500, activity=PARETO)
    other = crowd.under(mix.traffic())

    assert [other.place(user) for user in range(500)] == [crowd.place(user) for user in range(500)]
    assert [other.rate(user) for user in range(500)] == [crowd.rate(user) for user in range(500)]
    assert other.traffic.groups[0].fails(AT, True) == 0.02


def test_mix_says_who_fails() -> None:
    """The harm meets those with the variant, from its onset on; broken accounts fail anyway."""
    mix = Mix(rps=1, users=100, baseline=0.01, regression=0.1, onset_s=60, broken=0.02)
    usual, broken = mix.traffic().groups

    assert (usual.share, broken.share) == (0.98, 0.02)
    assert usual.fails(Moment(700, 60), True) == 0.1
    assert usual.fails(Moment(699, 59), True) == usual.fails(Moment(700, 60), False) == 0.01
    assert broken.fails(AT, False) == 1
    assert len(Mix(rps=1, users=9, baseline=0.5).traffic().groups) == 1


def test_shape_is_a_factor() -> None:
    """Traffic has a shape in time, flat where nobody says one."""
    crowd = a_crowd(shape=lambda t_s: 2.0)

    assert crowd.traffic.factor(9) == 2
    assert a_crowd().traffic.factor(9) == 1


def test_places_are_the_seed_s() -> None:
    """The same seed gives the same crowd."""
    first, again = a_crowd(seed=5), a_crowd(seed=5)

    assert [first.place(user) for user in range(50)] == [again.place(user) for user in range(50)]


def test_chances_are_independent() -> None:
    """What is drawn of requests says nothing of the users' places, or those of low places would come first."""
    crowd = a_crowd(users=2_000)
    draw = crowd.chance("requests")
    pairs = [(crowd.place(user), draw.random()) for user in range(2_000)]

    assert abs(correlation([place for place, _ in pairs], [other for _, other in pairs])) < 0.1
    assert crowd.chance("requests").random() == crowd.chance("requests").random()
