"""The log of a ramp in terminals of different width."""

from rich.console import Console

from rheostat_server.cli.ramp_log import log_table

FIGURES = {"sight": "seen", "log_m": 0.0, "log_e": 0.0, "log_a": 1.0}
BLOCK = {"treatment": {"bad": 1, "ended": 18, "failing": 1}, "control": {"ended": 1074}}
KILL = {
    "at": "2026-11-29T12:17:53Z",
    "kind": "kill",
    "why": "errors: 9 treated and 4 other users newly failed, treated share 10 %; M 33 645, kill line 250",
    "detail": {
        "status": "killed",
        "exposure_ppm": 0,
        "evidence": {"readings": [{"guardrail": "errors", "blocks": [BLOCK]}]},
        "guardrails": {"errors": FIGURES},
    },
}
START = {
    "at": "2026-11-28T23:59:59Z",
    "kind": "start",
    "why": "the pre-flight has begun",
    "detail": {"status": "arming", "exposure_ppm": 0, "actor": "ada"},
}


def printed(width: int) -> list[str]:
    """Return the lines of a start and a kill."""
    console = Console(width=width, soft_wrap=True)
    with console.capture() as capture:
        console.print(log_table([START, KILL], width=width))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_narrow_terminal_shows_the_whole_reason_and_every_figure() -> None:
    """At 80 columns nothing is cut: figures stand below the reason, and the date only where it changes."""
    lines = printed(80)
    words = " ".join(" ".join(lines).split())

    assert all(len(line) <= 80 for line in lines)
    assert "…" not in words
    assert "kill line 250" in words
    for part in ("1/18 (1)", "0/1074 (0)", "M 1", "E 1", "A 2.72"):
        assert part in words
    assert [word for word in words.split() if word.startswith("2026-")] == ["2026-11-28", "2026-11-29"]


def test_wide_terminal_has_a_column_for_each_figure() -> None:
    """At 200 columns a decision is a line, its figures under their headings."""
    lines = printed(200)

    assert " ".join(lines[0].split()) == "WHEN (UTC) DECIDED STATUS AT GUARDRAIL EXPOSED CONTROL M E A WHY"
    assert lines[1].startswith("2026-11-28 23:59:59  start by ada  arming")
    assert lines[2].startswith("2026-11-29 12:17:53  kill")
