"""Which edits would end a kill, and which leave it as it is."""

from typing import Any

import pytest

from rheostat.model.flag import Answer, Flag
from rheostat.model.kill import KillScope
from rheostat_server.ramps.latching import kill_ended_by
from tests.builders import a_flag, a_rollout, a_rule

ROLLOUT = a_rollout(50_000)


def a_killed_flag(**changes: Any) -> Flag:
    """Return a flag with a rollout in the rule ``sale`` and in the default."""
    rules = (a_rule("sale", answer=Answer(rollout=a_rollout(10_000))),)
    default = {} if "default" in changes else {"rollout": ROLLOUT}
    return a_flag(**{"rules": rules, **default, **changes})


@pytest.mark.parametrize(
    ("rollout", "after"),
    [
        (None, a_killed_flag(default=Answer(serve="on"))),
        ("default", a_killed_flag(default=Answer(serve="on"))),
        ("sale", a_killed_flag(rules=(a_rule("offers", answer=Answer(rollout=a_rollout(10_000))),))),
        ("sale", a_killed_flag(rules=(a_rule("sale", answer=Answer(serve="on")),))),
        ("sale", a_killed_flag(rules=())),
    ],
)
def test_a_killed_rollout_stays_where_it_is(rollout: str | None, after: Flag) -> None:
    """Without its rollout the kill would hold nothing."""
    assert "leaves no rollout" in str(kill_ended_by(a_killed_flag(), after, KillScope.ROLLOUT, rollout))


def test_a_killed_rollout_does_not_fall_back_to_what_was_taken_away() -> None:
    """Neither its own fallback nor the off variant in place of one may become a variant that it hands out."""
    on = a_killed_flag(rollout=a_rollout(50_000, fallback="on"))
    without = a_killed_flag(rollout=a_rollout(50_000, fallback=None))
    without_on = a_killed_flag(rollout=a_rollout(50_000, fallback=None), off_variant="on")

    assert "fall back to on" in str(kill_ended_by(a_killed_flag(), on, KillScope.ROLLOUT, None))
    assert "fall back to on" in str(kill_ended_by(without, without_on, KillScope.ROLLOUT, None))


def test_a_flag_kill_serves_the_same_variant_on() -> None:
    """The off variant is what the kill of a flag gives everyone."""
    for other in ("on", None):
        ended = kill_ended_by(a_killed_flag(), a_killed_flag(off_variant=other), KillScope.FLAG, None)
        assert "changes the off variant" in str(ended)


@pytest.mark.parametrize("scope", list(KillScope))
def test_what_a_kill_holds_in_any_case_is_free(scope: KillScope) -> None:
    """Exposure, salt, targets and disabling leave the kill as it is; a flag kill needs no rollout."""
    for after in (
        a_killed_flag(rollout=a_rollout(1_000_000, salt="fresh")),
        a_killed_flag(enabled=False),
        a_killed_flag(targets={"on": ("user-1",)}),
    ):
        assert kill_ended_by(a_killed_flag(), after, scope, None) is None
    gone = a_killed_flag(default=Answer(serve="on"))
    assert kill_ended_by(a_killed_flag(), gone, KillScope.FLAG, None) is None
    assert kill_ended_by(gone, a_killed_flag(), KillScope.ROLLOUT, None) is None
