"""A simulation as one picture: who is killed when, how far a harmless change comes, and what was served meanwhile."""

import math
from collections.abc import Sequence

from rheostat_server.cli.simulation_report import NAMES, axis_end_s, clock, exposure_at, heading, killed_by
from rheostat_server.cli.svg import Drawing, Point
from rheostat_server.ramps.simulation.runs import GUARD, RULES, RuleSummary, Run, Simulation
from rheostat_server.ramps.words import count

COLORS = {"rheostat": "#0f7b4f", "flagger": "#c26a00", "argo": "#2f6fb7"}
_WIDTH, _HEIGHT = 960, 600
_GRID = "#dddddd"
_FAINT = "#666666"
_SAMPLES = 240


class _Panel:
    """The area of one chart: ``at`` turns shares of its width and height (upwards) into px."""

    def __init__(self, drawing: Drawing, left: float, width: float, title: str) -> None:
        self.drawing, self.left, self.width = drawing, left, width
        self.top, self.height = 146.0, 240.0
        drawing.text(left - 50, self.top - 16, title, size=14, bold=True)

    def at(self, x: float, y: float) -> Point:
        return self.left + x * self.width, self.top + (1 - y) * self.height

    def percent_grid(self) -> None:
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            self.drawing.line([self.at(0, share), self.at(1, share)], _GRID, 1)
            _, y = self.at(0, share)
            self.drawing.text(self.left - 8, y + 4, f"{100 * share:.0f} %", size=11, anchor="end", color=_FAINT)

    def time_axis(self, ends_s: float, words: str) -> None:
        bottom = self.top + self.height
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            x, _ = self.at(share, 0)
            label = "0" if share == 0 else clock(share * ends_s)
            self.drawing.text(x, bottom + 18, label, size=11, anchor="middle", color=_FAINT)
        self.drawing.text(self.left + self.width / 2, bottom + 36, words, size=11, anchor="middle", color=_FAINT)


def simulation_svg(simulation: Simulation, runs: Sequence[Run], rules: Sequence[RuleSummary]) -> str:
    """Return the picture as SVG."""
    lines = heading(simulation, len(runs))
    drawing = Drawing(_WIDTH, _HEIGHT, lines[0])
    drawing.text(40, 34, lines[0], size=17, bold=True)
    for row, line in enumerate(lines[1:]):
        drawing.text(40, 56 + 18 * row, line, size=12, color=_FAINT)
    for column, rule in enumerate(RULES):
        left = 40 + 150 * column
        drawing.bar(left, 92, 22, 4, COLORS[rule])
        drawing.text(left + 30, 98, NAMES[rule], size=12)
    _kills(drawing, simulation, runs)
    _exposures(drawing, simulation, runs)
    shares = [rule.false_kills / rule.runs for rule in rules]
    _bars(drawing, 60, "Harmless changes killed", list(zip(RULES, shares, map(_percent, rules), strict=True)))
    served = [0.0 if rule.failed is None else rule.failed[1] for rule in rules]
    top = math.log1p(max(10.0, *served))
    rows = [(rule, math.log1p(value) / top, count(value)) for rule, value in zip(RULES, served, strict=True)]
    _bars(drawing, 550, "Failing requests served first (median, log scale)", rows)
    return str(drawing)


def _kills(drawing: Drawing, simulation: Simulation, runs: Sequence[Run]) -> None:
    panel = _Panel(drawing, 90, 350, "Changes killed: harmful solid, harmless dashed")
    panel.percent_grid()
    ends_s = axis_end_s(runs, simulation.most_s)
    panel.time_axis(ends_s, "since the onset (harmless: since the first exposure)")
    for rule in reversed(RULES):
        for harmful in (False, True):
            curve = [
                (at / _SAMPLES, killed_by(runs, rule, ends_s * at / _SAMPLES, harmful=harmful))
                for at in range(_SAMPLES + 1)
            ]
            if curve[-1][1] or harmful:
                points = [panel.at(x, y) for x, y in curve]
                drawing.line(points, COLORS[rule], 2.5 if harmful else 2, "" if harmful else "5 4")


def _exposures(drawing: Drawing, simulation: Simulation, runs: Sequence[Run]) -> None:
    panel = _Panel(drawing, 580, 340, "Rheostat: the exposure of a harmless change")
    panel.percent_grid()
    panel.time_axis(simulation.most_s, "since the first exposure; band: 10th to 90th percentile")
    spreads = [(at / _SAMPLES, exposure_at(runs, simulation.most_s * at / _SAMPLES)) for at in range(_SAMPLES + 1)]
    low = [panel.at(x, spread[0] / 100) for x, spread in spreads]
    high = [panel.at(x, spread[2] / 100) for x, spread in spreads]
    drawing.area([*low, *reversed(high)], COLORS[GUARD])
    drawing.line([panel.at(x, spread[1] / 100) for x, spread in spreads], COLORS[GUARD], 2.5)


def _bars(drawing: Drawing, left: float, title: str, rows: Sequence[tuple[str, float, str]]) -> None:
    """Draw a bar a row: the rule, the bar's length (0 … 1), and the words after it."""
    top = 470
    drawing.text(left - 20, top - 12, title, size=14, bold=True)
    for row, (rule, share, words) in enumerate(rows):
        y = top + 12 + 36 * row
        length = 200 * share
        drawing.text(left + 80, y + 15, NAMES[rule], size=12, anchor="end")
        drawing.bar(left + 90, y, max(1.0, length), 20, COLORS[rule])
        drawing.text(left + 98 + length, y + 15, words, size=12)


def _percent(rule: RuleSummary) -> str:
    return f"{100 * rule.false_kills / rule.runs:.2g} % (at most {100 * rule.false_kill_most:.2g} %)"
