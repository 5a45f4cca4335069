"""``rheostat ramp simulate``: what a ramp would do to a harmless and to a harmful change, before anybody meets it."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rheostat.model.document import RampDocument
from rheostat.model.duration import duration_ms
from rheostat.model.flag import Rollout
from rheostat.model.shares import TOTAL_PPM
from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.documents import check
from rheostat_server.cli.options import json_asked, json_option, print_json
from rheostat_server.cli.simulation_charts import simulation_svg
from rheostat_server.cli.simulation_pool import run_all
from rheostat_server.cli.simulation_report import print_report
from rheostat_server.cli.terminal import a_console
from rheostat_server.cli.yaml_files import read_documents
from rheostat_server.errors import Invalid
from rheostat_server.ramps.model import Family, Plan
from rheostat_server.ramps.plan import plan_of
from rheostat_server.ramps.simulation.crowd import Activity, Mix
from rheostat_server.ramps.simulation.runs import Run, Simulation, argo_of, flagger_of, run_once, summaries
from rheostat_server.ramps.validate import NO_TEMPLATE, validate_ramp
from rheostat_server.ramps.words import count

PROMETHEUS_INTERVAL_S = 15.0
_MOST_USERS = 5_000_000
_MOST_FAILING = 5e6
"""Failing requests a run, were everybody treated: each is drawn, which takes some microseconds."""


def percent(context: click.Context, option: click.Parameter, value: str) -> float:
    """Return a percentage as people write it, ``0.5%`` or ``0.5``, as a share, 0 … 1."""
    try:
        share = float(value.strip().removesuffix("%")) / 100
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a percentage such as 0.5%") from None
    if not 0 <= share <= 1:
        raise click.BadParameter(f"{value!r} is not between 0% and 100%")
    return share


def length(context: click.Context, option: click.Parameter, value: str) -> float:
    """Return a length of time such as ``90s`` or ``1h30m`` in s."""
    try:
        return duration_ms(value) / 1000
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_CHOICES = [activity.value for activity in Activity]


def _option(*names: str, **more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(*names, show_default=more.get("default") is not None, **more)


@click.command()
@click.argument("file")
@_option(
    "--rps", type=click.FloatRange(0, min_open=True), required=True, help="Requests per second that meet the flag."
)
@_option("--users", type=click.IntRange(2, _MOST_USERS), help="Distinct users. [default: the document's]")
@_option("--baseline", callback=percent, default="0.5%", help="Requests that fail anyway.")
@_option("--regression", callback=percent, default="2%", help="Requests with the variant that fail when it is harmful.")
@_option("--onset", callback=length, default="0s", help="When the harm begins, after the first exposure.")
@_option("--activity", type=click.Choice(_CHOICES), default="pareto", help="Whether a few users send most requests.")
@_option("--broken", callback=percent, default="0.3%", help="Accounts all of whose requests fail, variant or not.")
@_option("--runs", type=click.IntRange(1, 1_000_000), default=1000, help="Runs; each is one harmless and one harmful.")
@_option("--for", "watched", callback=length, default="1h", help="How long a run is watched from its first exposure.")
@_option("--flagger-success", callback=percent, default="99%", help="Flagger: the least success rate.")
@_option("--flagger-threshold", type=click.IntRange(1), default=5, help="Flagger: failed checks that take it back.")
@_option(
    "--flagger-interval", callback=length, default="1m", help="Flagger: from check to check, and to the next step."
)
@_option("--argo-success", callback=percent, default="95%", help="Argo Rollouts: the least success rate.")
@_option("--argo-limit", type=click.IntRange(0), default=3, help="Argo Rollouts: failureLimit.")
@_option("--argo-interval", callback=length, default="5m", help="Argo Rollouts: from measurement to measurement.")
@_option("--argo-pause", callback=length, default="10m", help="Argo Rollouts: the pause at each step.")
@_option("--seed", type=click.IntRange(0), default=0, help="The same seed gives the same figures.")
@_option("--workers", type=click.IntRange(1, 64), help="Processes. [default: one a core]")
@_option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write a picture, too: FILE.svg.")
@json_option
def simulate(file: str, runs: int, workers: int | None, plot: Path | None, **options: Any) -> None:
    """Try the ramp of FILE on simulated traffic, without a server: how often it would take back a change that is
    harmless, how soon one that hurts, and what Flagger and Argo Rollouts would do.

    FILE is a ramp document, as for `ramp start -f`. Ctrl-C ends it and shows what there is so far.
    """
    if plot is not None and plot.suffix.lower() != ".svg":
        raise CommandFailed(f"--plot {plot}: it writes SVG; name a file that ends with .svg")
    document = _document(file)
    simulation = _simulation(document, options)
    found, interrupted = _run(simulation, runs, workers)
    if not found:
        raise click.exceptions.Exit(130)
    rules = summaries(found)
    if json_asked():
        print_json({"flag": document.flag, "simulation": simulation, "runs": len(found), "rules": rules})
    else:
        print_report(a_console(), simulation, found, rules)
    if plot is not None:
        _write(plot, simulation_svg(simulation, found, rules))
        if not json_asked():
            click.echo(f"The picture is in {plot}")
    if interrupted:
        click.echo(f"Stopped after {len(found)} of {runs} runs.", err=True)
        raise click.exceptions.Exit(130)


def _document(file: str) -> RampDocument:
    every = read_documents([file])
    ramps = [one for one in every if isinstance(one.data, dict) and one.data.get("kind") == "ramp"] or every
    if len(ramps) != 1:
        raise CommandFailed(f"{file} has {len(ramps)} documents; one ramp is simulated at a time")
    check(ramps)
    document = validate_ramp(ramps[0].data)
    if document.template not in (None, NO_TEMPLATE):
        raise CommandFailed(
            f"template: {document.template} is kept by the server, and this asks none; write its fields into the "
            f"document: rheostat template get {document.template}"
        )
    if document.by is not None or document.baseline is not None:
        raise CommandFailed(
            f"a ramp of the strategy {document.strategy} is not simulated; for one stage leave out strategy, by and "
            "values, and divide alpha by the number of stages"
        )
    return document


def _plan(document: RampDocument, users: int) -> Plan:
    reads_prometheus = any(one.source in {"prometheus", "application"} for one in document.guardrails)
    # The rollout is the server's to know; any that can be ramped does, for only its range and fallback matter here.
    rollout = Rollout(exposure_ppm=0, split={"on": TOTAL_PPM}, salt="simulated", fallback="off")
    try:
        return plan_of(
            document,
            project="simulated",
            rollout=rollout,
            start_ppm=0,
            family=Family.REPORTED_METRICS if reads_prometheus else Family.REPORTED,
            interval_s=PROMETHEUS_INTERVAL_S if reads_prometheus else 1.0,
            users=users,
        )
    except Invalid as error:
        lines = "\n".join(f"  {fault}" for fault in error.faults)
        raise CommandFailed(f"this ramp would not start:\n{lines}") from error


def _simulation(document: RampDocument, options: dict[str, Any]) -> Simulation:
    users = options["users"] or document.users
    if users is None:
        raise CommandFailed("say how many users there are: --users, or `users` in the document")
    if options["baseline"] >= 1:
        raise CommandFailed("--baseline: where every request fails there is nothing to tell apart")
    if options["regression"] <= options["baseline"]:
        harm, usual = (f"{100 * options[name]:.4g} %" for name in ("regression", "baseline"))
        raise CommandFailed(
            f"--regression {harm} is not above --baseline {usual}; the harmless change is simulated beside it anyway"
        )
    if options["broken"] >= 1:
        raise CommandFailed("--broken: some account has to work")
    if options["watched"] < 60:
        raise CommandFailed("--for: a run is watched for at least 60s")
    for name in ("flagger_interval", "argo_interval", "argo_pause"):
        if options[name] < 10:
            raise CommandFailed(f"--{name.replace('_', '-')}: at least 10s")
    if options["rps"] * (options["watched"] + options["onset"]) * options["regression"] > _MOST_FAILING:
        raise CommandFailed(f"--rps: {count(_MOST_FAILING)} failing requests a run are the most; lower it, or --for")
    plan = _plan(document, users)
    if plan.threshold is not None:
        raise CommandFailed(
            "rule: threshold is not simulated; leave it out, and its counting stands beside the guard's"
        )
    if not plan.guarded:
        raise CommandFailed("the ramp is unguarded: it moves by time alone, and there is nothing to simulate")
    mix = Mix(
        rps=options["rps"],
        users=users,
        baseline=options["baseline"],
        regression=options["regression"],
        onset_s=options["onset"],
        broken=options["broken"] if math.ceil(options["broken"] * users) else 0.0,
        activity=Activity(options["activity"]),
    )
    return Simulation(
        plan=plan,
        mix=mix,
        flagger=flagger_of(
            plan, 100 * options["flagger_success"], options["flagger_threshold"], options["flagger_interval"]
        ),
        argo=argo_of(
            plan, options["argo_success"], options["argo_limit"], options["argo_interval"], options["argo_pause"]
        ),
        most_s=options["watched"],
        seed=options["seed"],
    )


def _run(simulation: Simulation, wanted: int, workers: int | None) -> tuple[list[Run], bool]:
    """Return the runs, in order, and whether somebody stopped them before the end."""
    found: dict[int, Run] = {}
    progress = Progress(
        TextColumn("simulating"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    progress.disable = not progress.console.is_terminal
    try:
        with progress:
            bar = progress.add_task("", total=wanted)
            for portion in run_all(partial(_numbered, simulation), wanted, workers=workers):
                found.update(portion)
                progress.update(bar, completed=len(found))
    except KeyboardInterrupt:
        return [found[index] for index in sorted(found)], True
    return [found[index] for index in sorted(found)], False


def _numbered(simulation: Simulation, index: int) -> tuple[int, Run]:
    return index, run_once(simulation, index)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror or error}") from error
