"""How a ramp looks in the terminal: exposure, both arms, evidence against the lines, and what was decided."""

import math
from typing import Any

from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

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
_BAR_WIDTH = 28


def status_text(view: dict[str, Any]) -> Text:
    """Return a ramp's status in its colour."""
    return Text(view["status"], style=STATUS_STYLES.get(view["status"], ""))


def ramp_panel(view: dict[str, Any], *, decisions: list[dict[str, Any]] | None = None) -> Panel:
    """Return the whole picture of one ramp, from the API's view of it and its last decisions."""
    parts: list[RenderableType] = [_exposure(view), Text()]
    for guardrail in view.get("guardrails", []):
        parts += [_evidence(guardrail), _arms(guardrail), Text()]
    line = (view.get("standing") or {}).get("line") or view.get("why") or ""
    parts.append(Text.assemble(status_text(view), "  ", line))
    if decisions:
        parts += [Text(), *(_decision(decision) for decision in decisions)]
    labels = [view["flag"], f"rollout {view['rollout']}", f"proof: {view['proof']}"]
    if not view.get("guarded", True):
        labels.append("UNGUARDED")
    return Panel(Group(*parts), title="  ".join(labels), title_align="left", padding=(1, 2))


def _exposure(view: dict[str, Any]) -> RenderableType:
    table = _grid()
    bar = Bar(100, 0, view["exposure"], width=_BAR_WIDTH, color="green", bgcolor="grey23")
    steps = " → ".join(f"{step:g}" for step in view["steps"])
    table.add_row("exposure", bar, f"{view['exposure']:g} %  of {steps}")
    return table


def _evidence(guardrail: dict[str, Any]) -> RenderableType:
    table = _grid()
    kill_line, advance_line = guardrail["kill_line"], guardrail.get("advance_line", 5)
    m = guardrail["m"]
    table.add_row(
        f"{guardrail['name']}: harm",
        _toward(m, kill_line, "red"),
        f"M = {_figure(m)} (kills at {_figure(kill_line)})",
    )
    proof = max(guardrail["e"], guardrail["a"])
    table.add_row(
        f"{guardrail['name']}: proof",
        _toward(proof, advance_line, "green"),
        f"{_figure(proof)} (advances at {_figure(advance_line)})",
    )
    sight = guardrail["sight"]
    if sight != "seen":
        table.add_row("", "", Text(f"no evidence: {sight}", style="yellow"))
    return table


def _arms(guardrail: dict[str, Any]) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    for column in ("", "requests", "bad", "error rate", "failing users"):
        table.add_column(column, justify="left" if column == "" else "right")
    for arm, label in (("treatment", "exposed"), ("control", "control")):
        seen = guardrail[arm]
        rate = seen.get("rate")
        table.add_row(
            label,
            f"{seen['requests']:,}",
            f"{seen['bad']:,}",
            "-" if rate is None else f"{rate:.2%}",
            f"{seen['failing']:,}",
        )
    return table


def _decision(decision: dict[str, Any]) -> Text:
    return Text.assemble((f"{decision['at'][11:19]}  ", "dim"), f"{decision['kind']:<10} ", decision.get("why", ""))


def _toward(value: float, line: float, color: str) -> Bar:
    # Evidence multiplies, so equal strides on the bar are equal factors.
    share = math.log(max(value, 1.0)) / math.log(line) if line > 1 else 0.0
    return Bar(1.0, 0, min(share, 1.0), width=_BAR_WIDTH, color=color, bgcolor="grey23")


def _figure(value: float) -> str:
    if not math.isfinite(value) or value >= 1e6:
        return "over a million"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _grid() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=14)
    table.add_column(width=_BAR_WIDTH)
    table.add_column()
    return table
