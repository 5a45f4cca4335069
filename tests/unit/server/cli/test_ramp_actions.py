"""What one may do to a ramp, as the terminal says it."""

from click.testing import CliRunner

from rheostat_server.cli.main import rheostat
from rheostat_server.cli.ramp_actions import may_now


def test_what_is_allowed_is_told_as_commands() -> None:
    """A ramp's own actions and those of its flag are told by the command that does them."""
    view = {"flag": "checkout", "actions": ["pause", "advance", "kill"]}

    assert may_now(view) == "Now you may: rheostat ramp pause|advance checkout; rheostat flag kill checkout"
    assert may_now({**view, "actions": ["revive"]}) == "Now you may: rheostat flag revive checkout"


def test_a_ramp_that_is_over_says_so() -> None:
    """Where nothing is allowed any more that is said; a server that does not tell is not spoken for."""
    assert may_now({"flag": "checkout", "actions": []}) == "It is over; nothing more can be done to it."
    assert may_now({"flag": "checkout"}) == ""


def test_what_undoes_a_safeguard_asks_for_a_reason() -> None:
    """A revival, a step without proof and an abort are not sent without ``--reason``."""
    for command in (["flag", "revive"], ["flag", "kill"], ["ramp", "advance"], ["ramp", "abort"]):
        result = CliRunner().invoke(rheostat, [*command, "checkout"])

        assert result.exit_code == 2
        assert "--reason" in result.output
