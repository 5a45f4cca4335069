"""What is said to be in force over a flag's document."""

from typing import Any

import pytest

from rheostat.model.document import FlagDocument
from rheostat.model.ramp import Cells
from rheostat_server.cli.flag_exposure import exposure_words
from rheostat_server.flags.validate import validate_flag
from rheostat_server.flags.wire import CellsInForce, Over, in_force, overlay_notes
from tests.builders import a_kill, an_overlay


def a_document() -> FlagDocument:
    """Return a flag with a rollout at 0 % in production."""
    rollout = {"exposure": 0, "split": {"on": 1}, "fallback": "off"}
    return validate_flag(
        {
            "key": "checkout",
            "type": "boolean",
            "variants": {"on": True, "off": False},
            "off_variant": "off",
            "environments": {"production": {"enabled": True, "default": {"rollout": rollout}}},
        }
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"now": ("eu",)}, "25 % of region eu, 0 % of others"),
        ({"done": ("eu", 1), "now": ("us",)}, "100 % of region eu, 1, 25 % of region us, 0 % of others"),
        ({"done": ("eu", "us"), "rest": True}, "100 % of region eu, us, 25 % of others"),
    ],
)
def test_a_ramp_by_an_attribute_says_how_far_it_has_come(changes: dict[str, Any], words: str) -> None:
    """Each group with its exposure, in the notes that a write or an apply of the flag gives."""
    overlay = an_overlay(0, cells=Cells(attribute="region", done_ppm=1_000_000, exposure_ppm=250_000, **changes))
    over: Over = {"production": ([overlay], [])}

    assert overlay_notes(a_document(), over) == (
        f"production: default declared 0 %, in force {words} by ramp ramp-of-checkout",
    )


def test_the_figures_are_there_and_gone_with_a_kill() -> None:
    """``in_force`` is what those get whom the ramp has not reached; a kill leaves nothing."""
    cells = Cells(attribute="region", done=("eu",), rest=True, done_ppm=1_000_000, exposure_ppm=50_000)
    overlay = an_overlay(0, cells=cells)

    live, killed = (
        in_force(a_document(), {"production": ([overlay], kills)})["production"].rollouts["default"]
        for kills in ([], [a_kill()])
    )

    assert live.cells == CellsInForce(attribute="region", done=("eu",), done_exposure=100, others=True, exposure=5)
    assert (live.in_force, live.live, killed.cells, killed.in_force) == (0, True, None, 0)


def test_the_list_of_flags_names_the_attribute() -> None:
    """One exposure would say too little, or too much."""
    settings = {"enabled": True, "default": {"rollout": {"exposure": 0}}}
    view = {
        "document": {"environments": {"production": settings}},
        "in_force": {
            "production": {"rollouts": {"default": {"in_force": 0, "ramp": "r", "cells": {"attribute": "region"}}}}
        },
    }

    assert exposure_words(view, "production") == "declared 0 %, in force by region, by a ramp"
