"""How a ramp looks in the terminal: exposure, both arms, evidence against the lines, and what was decided."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rheostat_server.cli.kill_readback import readback_lines
from rheostat_server.ramps.grades import BY_REQUESTS
from rheostat_server.ramps.words import count, duration

STATUS_STYLES = {
    "arming": "cyan",
    "running": "green",
    "soaking": "green",
    "promoted": "bold green",
    "held": "yellow",
    "blind": "yellow",
    "paused": "yellow",
    "awaiting-approval": "yellow",
    "killed": "bold red",
    "aborted": "red",
}
_DECISION_STYLES = {"kill": "bold red", "promote": "bold green", "begin": "green", "advance": "green"}
_BAR_WIDTH = 28
_MOST_DECISIONS = 6
_ROWS_WITHOUT_DECISIONS = 24


def status_text(view: dict[str, Any]) -> Text:
    """Return a ramp's status in its colour."""
    return Text(view["status"], style=STATUS_STYLES.get(view["status"], ""))


def standing_line(view: dict[str, Any]) -> str:
    """Return how a ramp stands, in one line; it begins with the status."""
    return str((view.get("standing") or {}).get("line") or view.get("why") or view["status"])


def ramp_panel(view: dict[str, Any], *, width: int, decisions: Sequence[dict[str, Any]] = ()) -> Panel:
    """Return the whole picture of one ramp, from the API's view of it and its decisions, ``width`` characters wide."""
    line = standing_line(view)
    status = view["status"]
    # The line begins with the status; only that much of it is in colour.
    standing = Text(line)
    standing.stylize(STATUS_STYLES.get(status, ""), 0, len(status) if line.startswith(status) else 0)
    parts: list[RenderableType] = [standing, Text(), _exposure(view), Text()]
    timed = {one["name"] for one in (view.get("plan") or {}).get("guardrails", ()) if one.get("bound_ms") is not None}
    for guardrail in view.get("guardrails", []):
        arms = _arms(guardrail, arming=_is_arming(view), timed=guardrail["name"] in timed)
        parts += [_evidence(guardrail), arms, Text()]
    parts += _unattended(view)
    parts += _reporting(view.get("reporting") or {})
    parts += _kill(view.get("kill"))
    parts += [_decision(decision) for decision in decisions] or [Text("nothing was decided yet", "dim")]
    labels = [view["flag"], view["environment"], f"rollout {view['rollout']}", f"proof: {view['proof']}"]
    if not view.get("guarded", True):
        labels.append("UNGUARDED")
    return Panel(
        Group(*parts),
        title="  ".join(labels),
        title_align="left",
        subtitle=f"ramp {view['id']}",
        subtitle_align="right",
        padding=(1, 2),
        width=width,
    )


def decisions_that_fit(height: int) -> int:
    """Return how many decisions to show in a terminal of so many rows, so that the panel need not be cut."""
    return max(1, min(_MOST_DECISIONS, height - _ROWS_WITHOUT_DECISIONS))


def telling(decisions: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return the last ``most`` decisions that say something: of many holds in a row, the last."""
    told: list[dict[str, Any]] = []
    for decision in decisions:
        if told and told[-1]["kind"] == decision["kind"] == "hold":
            told.pop()
        told.append(decision)
    return told[-most:] if most > 0 else []


def _exposure(view: dict[str, Any]) -> RenderableType:
    table = _grid()
    table.add_row("exposure", _bar(view["exposure"] / 100, "green"), f"{view['exposure']:g} %")
    steps = Text(" → ").join(
        Text(f"{step:g}", "bold" if index == view["step"] else "dim" if index > view["step"] else "")
        for index, step in enumerate(view["steps"])
    )
    rows = Table.grid()
    rows.add_row(table)
    rows.add_row(Text.assemble(f"{'steps':<11}", steps, " %"))
    return rows


def _evidence(guardrail: dict[str, Any]) -> RenderableType:
    kill_line, advance_line = guardrail["kill_line"], guardrail["advance_line"]
    m, proof = guardrail["m"], max(guardrail["e"], guardrail["a"])
    title = Text(guardrail["name"], "bold")
    if guardrail["sight"] != "seen":
        why = guardrail.get("detail")
        title.append(f"  no evidence: {guardrail['sight']}{f' ({why})' if why else ''}", "not bold yellow")
    table = _grid()
    # One that may not kill has a line all the same, and stands still long before it.
    line = f"kills at {_figure(kill_line)}" if guardrail["may_kill"] else "holds, does not kill"
    table.add_row("  harm", _toward(m, kill_line, "red"), f"{_figure(m)}, {line}")
    if guardrail.get("ceiling") is not None:
        crossed = f"crossed at {_figure(guardrail['ceiling_line'])} ({100 * guardrail['ceiling']:.3g} %)"
        bar = _toward(guardrail["c"], guardrail["ceiling_line"], "yellow")
        table.add_row("  ceiling", bar, f"{_figure(guardrail['c'])}, {crossed}")
    table.add_row(
        "  proof", _toward(proof, advance_line, "green"), f"{_figure(proof)}, advances at {_figure(advance_line)}"
    )
    rows = Table.grid()
    rows.add_row(title)
    rows.add_row(table)
    return rows


def _is_arming(view: dict[str, Any]) -> bool:
    return (view.get("standing") or {}).get("preflight_left_s") is not None


def _arms(guardrail: dict[str, Any], *, arming: bool, timed: bool) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    bad = ("slow", "slow rate") if timed else ("bad", "error rate")
    for column in ("", "requests", *bad, "failing users"):
        table.add_column(column, justify="left" if column == "" else "right", no_wrap=True)
    for arm, label in (("treatment", "  to expose" if arming else "  exposed"), ("control", "  control")):
        seen = guardrail[arm]
        rate = seen.get("rate")
        table.add_row(
            label,
            count(seen["requests"]),
            count(seen["bad"]),
            "-" if rate is None else f"{100 * rate:.2f} %",
            "-" if timed or guardrail["grade"] == BY_REQUESTS else count(seen["failing"]),
        )
    return table


def _reporting(reporting: dict[str, Any]) -> list[RenderableType]:
    """Return what a person should know of who reports: nothing where all is well."""
    lines: list[RenderableType] = []
    silent = [
        f"{service['service'] or '(no name)'} ({count(service['evaluations'])})"
        for service in reporting.get("services", ())
        if not service["reports"]
    ]
    if silent:
        covered = f"coverage {100 * reporting['coverage']:.0f} %"
        lines.append(Text.assemble((covered, "yellow"), f": evaluate without reporting: {', '.join(silent)}"))
    vanished = Counter(reporting.get("vanished", ()))
    if vanished:
        who = ", ".join(f"{number} of {service or '(no name)'}" for service, number in sorted(vanished.items()))
        lines.append(Text.assemble(("vanished", "yellow"), f" without a goodbye: {who}"))
    return [*lines, Text()] if lines else []


def _unattended(view: dict[str, Any]) -> list[RenderableType]:
    if view.get("attended") is not False:
        return []
    silent = duration(view["silent_s"])
    return [Text.assemble(("unattended", "bold red"), f": no controller has looked at it for {silent}"), Text()]


def _kill(seen: dict[str, Any] | None) -> list[RenderableType]:
    """Return who has applied the kill that ended the ramp."""
    if seen is None:
        return []
    first, *others = readback_lines(seen)
    return [Text.assemble(("kill", "bold"), f"  {first}"), *map(Text, others), Text()]


def _decision(decision: dict[str, Any]) -> Text:
    kind = decision["kind"]
    line = Text.assemble(
        (f"{decision['at'][11:19]}  ", "dim"),
        (f"{kind:<9} ", _DECISION_STYLES.get(kind, "dim" if kind == "hold" else "bold")),
        decision.get("why", ""),
    )
    # One decision, one line: the whole reason is in `--json`, the last one's also in the first line of the panel.
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _toward(value: float, line: float, color: str) -> Text:
    # Evidence multiplies, so equal strides on the bar are equal factors.
    share = math.log(max(value, 1.0)) / math.log(line) if line > 1 else 0.0
    return _bar(share, color)


def _bar(share: float, color: str) -> Text:
    full = round(min(max(share, 0.0), 1.0) * _BAR_WIDTH)
    if share > 0:
        full = max(full, 1)
    return Text.assemble(("━" * full, color), ("╌" * (_BAR_WIDTH - full), "dim"))


def _figure(value: float) -> str:
    if not math.isfinite(value) or value >= 1e6:
        return "over 1 000 000"
    return count(value) if value >= 100 else f"{value:.3g}"


def _grid() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=9)
    table.add_column(width=_BAR_WIDTH)
    table.add_column(no_wrap=True)
    return table
