"""The reference of a ramp's states."""

from pathlib import Path

from rheostat_server.cli.ramp_states import page
from rheostat_server.ramps.model import Action, Status
from rheostat_server.ramps.states import TABLE

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "ramp-states.md"


def test_the_page_is_up_to_date() -> None:
    """docs/reference/ramp-states.md is what `make docs` writes."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_page_tells_every_state_action_and_row() -> None:
    """Nothing of the table is left out: each state and action by name, each row with what it takes."""
    text = page()

    assert all(f"`{word}`" in text for word in (*Status, *Action))
    assert all(row.when in text for row in TABLE if row.outcomes)
    assert all(row.refused.format(status="…", course="…") in text for row in TABLE)
