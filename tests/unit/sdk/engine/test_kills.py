"""Kill sets: which orders stand, and how holders merge what they hear."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from rheostat.engine.kills import FlagKills, by_flag, digest, in_force, unabsorbed, union
from rheostat.model.kill import Kill, KillScope
from tests.builders import a_kill

kills = st.lists(
    st.builds(
        lambda number, revived: a_kill(kill_id=str(number), revived=revived),
        st.integers(min_value=0, max_value=5),
        st.booleans(),
    ),
    max_size=6,
)


@given(one=kills, two=kills, three=kills)
def test_union_is_a_merge(one: list[Kill], two: list[Kill], three: list[Kill]) -> None:
    """In whatever order and however often sets are merged, the result is the same."""
    assert union(one, two) == union(two, one)
    assert union(union(one, two), three) == union(one, union(two, three))
    assert union(one, one) == union(one)


def test_a_revived_kill_stays_revived() -> None:
    """An entry heard again as standing after its revival is not in force again."""
    standing = a_kill()
    revived = msgspec.structs.replace(standing, revived=True)

    assert union([revived], [standing]) == (revived,)
    assert in_force(union([standing], [revived])) == ()


def test_a_snapshot_decides_the_kills_it_names() -> None:
    """Held entries stand until a snapshot names them; then they are as it says."""
    named = (a_kill(kill_id="committed"), a_kill(kill_id="revived", revived=True))
    held = (a_kill(kill_id="revived"), a_kill(kill_id="local"))

    assert [kill.kill_id for kill in in_force(named, held)] == ["committed", "local"]
    assert [kill.kill_id for kill in unabsorbed(held, named)] == ["local"]


def test_kills_are_taken_together_by_flag() -> None:
    """A flag kill and rollout kills stand side by side; one that names no rollout takes the default's."""
    standing = [
        a_kill(kill_id="1"),
        a_kill(kill_id="2", scope=KillScope.FLAG),
        a_kill(kill_id="3", rollout="staff"),
        a_kill("other", KillScope.FLAG),
    ]

    assert by_flag(standing) == {
        "checkout": FlagKills(True, frozenset({"default", "staff"})),
        "other": FlagKills(True),
    }


def test_a_digest_tells_sets_apart() -> None:
    """It depends on ids and on what is revived, not on order."""
    one, two = a_kill(kill_id="1"), a_kill(kill_id="2")

    assert digest([one, two]) == digest([two, one])
    assert len({digest([]), digest([one]), digest([one, two]), digest([a_kill(kill_id="1", revived=True)])}) == 4
