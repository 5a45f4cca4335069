"""The options of ``ramp start``, alone and over the document of a file: none is dropped."""

from pathlib import Path
from typing import Any

import click
import pytest

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.ramp_files import ramp_of_file
from rheostat_server.cli.ramp_options import fields_given, flag_given
from rheostat_server.cli.ramps import start

NO_FIELDS = {"flag", "file", "of_flag", "rps"}
"""Whose ramp it is, where the document is, and what is only supposed."""

OURS = """
kind: ramp
flag: checkout
environment: production
steps: [5, 50]
soak: 2h
"""
FLAGGER = """
kind: ramp
flag: checkout
environment: production
analysis: {interval: 1m, threshold: 5, maxWeight: 50, stepWeight: 10, metrics: []}
"""


def a_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "ramp.yaml"
    path.write_text(text)
    return str(path)


def over(file: str, flag: str | None = None, **options: Any) -> dict[str, Any]:
    return ramp_of_file(file, "production", flag=flag, given=fields_given(options))[0]


def ramp_options() -> list[click.Parameter]:
    """The parameters of the command itself, without those that all commands have."""
    own = next(index for index, one in enumerate(start.params) if one.name == "rps")
    return [one for one in start.params[: own + 1] if one.name not in NO_FIELDS]


@pytest.mark.parametrize("option", ramp_options(), ids=lambda option: str(option.name))
def test_every_option_goes_into_the_document(option: click.Parameter) -> None:
    """One that is added to the command and not to the document would be silently dropped."""
    texts: dict[str | None, Any] = {"steps": "1,5", "unguarded": True, "no_preflight": True}
    value = texts.get(option.name, 7.0 if option.type is click.FLOAT else 7)

    assert len(fields_given({option.name or "": value})) == 1


def test_options_go_over_the_fields_of_a_file(tmp_path: Path) -> None:
    """The rest of the file stays; numbers are as people write them."""
    file = a_file(tmp_path, OURS)
    options: dict[str, Any] = {
        "start_at": "2026-12-01T09:00",
        "timezone": "Europe/Madrid",
        "template": "careful",
        "min_dwell": "5m",
        "soak": "4h",
        "holdback": 2.0,
        "users": 9_000,
        "rule": "guard",
    }

    assert over(file) == {
        "kind": "ramp", "flag": "checkout", "environment": "production", "steps": [5, 50], "soak": "2h"
    }  # fmt: skip
    assert over(file, **options) == {**over(file), **options, "holdback": 2}
    assert over(file, steps="10,100%", no_preflight=True) == {**over(file), "steps": [10, 100], "preflight": "0s"}


def test_what_clashes_with_the_file_is_a_fault(tmp_path: Path) -> None:
    """Its own steps and a strategy that makes them, or a block of somebody else's that says them."""
    file = a_file(tmp_path, OURS)
    with pytest.raises(CommandFailed, match=r"steps: .*leave out steps"):
        over(file, strategy="linear", step_weight=10.0)
    linear = over(a_file(tmp_path, OURS.replace("steps: [5, 50]", "")), strategy="linear", step_weight=10.0)
    assert (linear["strategy"], linear["step_weight"]) == ("linear", 10)
    flagger = a_file(tmp_path, FLAGGER)
    for clash in ({"steps": "10"}, {"min_dwell": "5m"}, {"strategy": "linear", "step_weight": 10.0}):
        with pytest.raises(CommandFailed, match="analysis says this already"):
            over(flagger, **clash)
    assert over(flagger, start_at="2026-12-01T09:00Z", users=9_000)["start_at"] == "2026-12-01T09:00Z"


def test_what_contradicts_itself_is_refused(tmp_path: Path) -> None:
    """Two lengths of the pre-flight, two flags, a file of another flag, and steps that are none."""
    with pytest.raises(CommandFailed, match="--preflight and --no-preflight"):
        fields_given({"preflight": "5m", "no_preflight": True})
    with pytest.raises(CommandFailed, match="--steps: '' is not a percentage"):
        fields_given({"steps": ""})
    with pytest.raises(CommandFailed, match="FLAG says 'a' and --flag 'b'"):
        flag_given("a", "b")
    assert (flag_given("a", None), flag_given(None, "b"), flag_given("c", "c")) == ("a", "b", "c")
    for text in (OURS, FLAGGER):
        file = a_file(tmp_path, text)
        with pytest.raises(CommandFailed, match="is a ramp of 'checkout', and not of 'payments'"):
            over(file, flag="payments")
        assert over(file, flag="checkout")["flag"] == "checkout"
    assert over(a_file(tmp_path, OURS.replace("flag: checkout", "")), flag="payments")["flag"] == "payments"
