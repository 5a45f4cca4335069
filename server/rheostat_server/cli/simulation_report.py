"""What a simulation came to, in the terminal: a table, and curves in one line each."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.text import Text

from rheostat_server.cli.terminal import a_table, print_table
from rheostat_server.ramps.simulation.crowd import Activity, Mix
from rheostat_server.ramps.simulation.runs import RULES, RuleSummary, Run, Simulation
from rheostat_server.ramps.words import count

NAMES = {"rheostat": "Rheostat", "flagger": "Flagger", "argo": "Argo Rollouts"}
STYLES = {"rheostat": "green", "flagger": "yellow", "argo": "cyan"}
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_MOST_BINS = 60
_LABEL = 15
_FIGURE = 6
_NICE_S = (60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400)
Spread = tuple[float, float, float] | None


def print_report(console: Console, simulation: Simulation, runs: Sequence[Run], rules: Sequence[RuleSummary]) -> None:
    """Print the whole report, as wide as the terminal, at most 120 characters."""
    for line in heading(simulation, len(runs)):
        console.print(line)
    console.print()
    table = a_table("", *(NAMES[rule.rule] for rule in rules))
    for column in table.columns[1:]:
        column.justify = "right"
    for label, cell in _ROWS:
        table.add_row(label, *(cell(rule) for rule in rules))
    print_table(console, table)
    bins = max(20, min(_MOST_BINS, (console.width if console.is_terminal else 100) - _LABEL - _FIGURE - 2))
    ends_s = axis_end_s(runs, simulation.most_s)
    console.print()
    console.print(_axis("harmful, killed", bins, ends_s))
    for rule in RULES:
        curve = [killed_by(runs, rule, ends_s * (at + 1) / bins) for at in range(bins)]
        console.print(_line(rule, curve, f"{100 * curve[-1]:.0f} %"))
    console.print()
    ends_s = simulation.most_s
    console.print(_axis("harmless", bins, ends_s))
    middle = [exposure_at(runs, ends_s * (at + 1) / bins)[1] for at in range(bins)]
    console.print(_line("exposure", [exposed / 100 for exposed in middle], f"{middle[-1]:g} %"))
    console.print()
    for line in FOOTNOTES:
        console.print(line, style="dim")


FOOTNOTES = (
    "Failing requests are those with the variant, from the onset to the kill, or as long as watched.",
    "10 – 90: percentiles. At most: the greatest true share that the count allows (95 %, exact).",
    "Rheostat goes on to the next step when it is proved; Flagger and Argo Rollouts by the clock.",
)


def heading(simulation: Simulation, count_of_runs: int) -> tuple[str, ...]:
    """Return what was simulated, in lines."""
    plan, mix = simulation.plan, simulation.mix
    steps = ", ".join(f"{step.exposure_ppm / 10_000:g}" for step in plan.steps)
    return (
        f"{plan.flag} in {plan.environment}: steps {steps} %, alpha {100 * plan.alpha:g} %",
        _traffic(mix),
        f"{_harm(mix)}; {count(count_of_runs)} runs of each, watched for {clock(simulation.most_s)}, "
        f"seed {simulation.seed}",
    )


def _traffic(mix: Mix) -> str:
    activity = "of equal activity" if mix.activity is Activity.EQUAL else "of Pareto activity"
    broken = f", {100 * mix.broken:.3g} % of them broken" if mix.broken else ""
    return f"{mix.rps:g} requests/s of {count(mix.users)} users {activity}{broken}"


def _harm(mix: Mix) -> str:
    onset = f" from {clock(mix.onset_s)} on" if mix.onset_s else ""
    harm = mix.baseline if mix.regression is None else mix.regression
    return f"harmless: {100 * mix.baseline:.3g} % fail; harmful: {100 * harm:.3g} %{onset}"


def clock(seconds: float) -> str:
    """Return a length of time in two figures: ``15 s``, ``6.5 min``, ``18 min``, ``2.5 h``."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            value = seconds / size
            return f"{value:.1f} {unit}".replace(".0 ", " ") if value < 10 else f"{value:.0f} {unit}"
    return f"{seconds:.0f} s"


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f} %" if share in {0, 100} else f"{share:.2g} %" if share < 99 else f"{share:.1f} %"


def _middle(spread: Spread, words: Callable[[float], str]) -> str:
    return "never" if spread is None else words(spread[1])


def _ends(spread: Spread, words: Callable[[float], str]) -> str:
    return "" if spread is None else f"{words(spread[0])} – {words(spread[2])}"


_ROWS: tuple[tuple[str, Callable[[RuleSummary], str]], ...] = (
    ("Harmless: killed", lambda rule: _share(rule.false_kills, rule.runs)),
    ("  at most", lambda rule: f"{100 * rule.false_kill_most:.2g} %"),
    ("  at the last step", lambda rule: _share(rule.arrived, rule.runs)),
    ("  after", lambda rule: _middle(rule.arrival_s, clock)),
    ("  10 – 90", lambda rule: _ends(rule.arrival_s, clock)),
    ("  proved there", lambda rule: _share(rule.passed, rule.runs)),
    ("Harmful: killed", lambda rule: _share(rule.caught, rule.runs)),
    ("  after", lambda rule: _middle(rule.kill_s, clock)),
    ("  10 – 90", lambda rule: _ends(rule.kill_s, clock)),
    ("  failing requests", lambda rule: _middle(rule.failed, count)),
    ("  10 – 90", lambda rule: _ends(rule.failed, count)),
)


def killed_by(runs: Sequence[Run], rule: str, at_s: float, *, harmful: bool = True) -> float:
    """Return the share of changes that a rule had killed by then."""
    endings = [(run.harmful if harmful else run.harmless)[rule] for run in runs]
    return sum(one.verdict in {"killed", "refused"} and one.seconds <= at_s for one in endings) / len(endings)


def exposure_at(runs: Sequence[Run], at_s: float) -> tuple[float, float, float]:
    """Return the 10th, 50th and 90th percentile of the harmless changes' exposure (percent) under our rule."""
    found = sorted(_exposure(run, at_s) for run in runs)
    tenth, half, most = (found[min(len(found) - 1, int(share * len(found)))] for share in (0.1, 0.5, 0.9))
    return tenth, half, most


def _exposure(run: Run, at_s: float) -> float:
    now = 0.0
    for since_s, percent in run.path:
        if since_s > at_s:
            break
        now = percent
    return now


def axis_end_s(runs: Sequence[Run], most_s: float) -> float:
    """Return where a time axis of kills ends: a round time by which most of those that come have come."""
    kills = sorted(ending.seconds for run in runs for ending in run.harmful.values() if ending.verdict == "killed")
    if not kills:
        return most_s
    last = kills[int(0.95 * (len(kills) - 1))]
    return min(most_s, next((nice for nice in _NICE_S if nice >= last), most_s))


def _axis(label: str, bins: int, ends_s: float) -> Text:
    end = clock(ends_s)
    return Text(f"{label:<{_LABEL}} 0{end:>{bins - 1}}", style="bold")


def _line(rule: str, curve: Sequence[float], figure: str) -> Text:
    text = Text(f"{NAMES.get(rule, rule):<{_LABEL}} ")
    text.append("".join(_EIGHTHS[_eighth(value)] for value in curve), style=STYLES.get(rule, "green"))
    return text.append(f" {figure:>{_FIGURE}}")


def _eighth(value: float) -> int:
    # Something is never drawn as nothing, nor less than all as all.
    if value <= 0 or value >= 1:
        return 8 if value >= 1 else 0
    return min(7, max(1, round(value * 8)))
