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


def test_a_draft_comes_from_outside_and_is_begun_or_ended() -> None:
    """The picture has where drafts come from, and nothing leads from one back to itself."""
    edges = [line.strip() for line in page().splitlines() if " --> " in line]

    assert [edge for edge in edges if "draft" in edge] == [
        "[*] --> draft: draft",
        "draft --> arming: advance, start",
        "draft --> running: advance, start",
        "draft --> aborted: abort, aborted",
    ]


def test_only_places_that_a_ramp_can_be_in_are_told() -> None:
    """No ramp is arming at a step, nor soaking while it runs."""
    assert not any(f"| `{place}`, " in page() for place in ("arming", "running", "soaking"))
