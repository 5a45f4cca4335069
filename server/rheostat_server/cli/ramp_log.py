"""``rheostat ramp decisions``, ``rheostat ramp replay``: what was decided of a ramp, and whether it follows again."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from rheostat_server.cli.connection import CommandFailed, Connection
from rheostat_server.cli.options import Session, connected, json_asked, print_json
from rheostat_server.cli.ramps import path_of_ramp
from rheostat_server.cli.terminal import a_console, a_table, moment, print_prose, print_table
from rheostat_server.errors import Invalid
from rheostat_server.ports.ramps import DecisionRow
from rheostat_server.ramps.replay import Replayed, replay
from rheostat_server.ramps.words import odds
from rheostat_server.web.times import read_moment

_PAGE = 1_000
_SHOWN = 30
_WIDE = 170
"""From so many characters on the figures have columns of their own."""
_LEGEND = (
    "EXPOSED, CONTROL: bad requests of all (users who failed for the first time), since the row before. "
    "M is the evidence of harm, E and A are the two proofs of the step."
)


@click.command("decisions")
@click.argument("ramp_or_flag")
@click.option("--since", help="Only what was decided since: 90s, 30m, 2h, 7d ago, or an RFC 3339 time.")
@click.option("--kind", "kinds", multiple=True, help="Only these: advance, kill, hold, pause … May be repeated.")
@click.option("--last", type=click.IntRange(1, _PAGE), help=f"Only the newest. [default: {_SHOWN}; with --json all]")
@connected
def decisions(session: Session, ramp_or_flag: str, since: str | None, kinds: tuple[str, ...], last: int | None) -> None:
    """Show what was decided of a ramp, from which evidence, and why.

    With --json the whole log, as `rheostat ramp replay --file` reads it.
    """
    path = path_of_ramp(session.connection, ramp_or_flag)
    query = {"kind": kinds or None, "since": since}
    if last is None and session.as_json:
        print_json({"decisions": list(_every(session.connection, path, query))})
        return
    body = session.connection.get(f"{path}/decisions", last=last or _SHOWN, **query)

    def people(console: Console) -> None:
        if not body["decisions"]:
            console.print("Nothing was decided that fits.")
            return
        print_table(console, log_table(body["decisions"], width=console.width))
        print_prose(console, _LEGEND, style="dim")

    session.show(body, people)


@click.command("replay")
@click.argument("ramp_or_flag", required=False)
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A log, instead: see above.")
@connected
def replay_log(session: Session, ramp_or_flag: str | None, file: Path | None) -> None:
    """Decide everything again, here, from the log alone: the rule is a function of what was read.

    The log comes from the server, or from a file that `rheostat ramp decisions RAMP --json` wrote. Exits with 1 at the
    first row that comes out otherwise. M, E and A may differ in their tenth digit: machines do.
    """
    if (ramp_or_flag is None) == (file is None):
        raise CommandFailed("name a ramp or its flag, or give a log with --file")
    if file is None:
        connection = session.connection
        told = list(_every(connection, path_of_ramp(connection, str(ramp_or_flag)), {}))
    else:
        told = _read(file)
    rows = _rows(told)
    try:
        again = _first_difference(rows)
    except ValueError as error:
        raise CommandFailed(f"the log cannot be replayed: {error}") from error
    if json_asked():
        print_json({"decisions": len(rows), "seq": again.seq if again else None, "differences": _listed(again)})
    elif again is None:
        a_console().print(f"{len(rows)} decisions, all agree")
    else:
        _print_difference(a_console(), next(one for one in told if one["seq"] == again.seq), again)
    if again is not None:
        raise click.exceptions.Exit(1)


def _first_difference(rows: Sequence[DecisionRow]) -> Replayed | None:
    return next((again for again in replay(rows) if again.differences), None)


def _listed(again: Replayed | None) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(one) for one in again.differences] if again else []


def _every(connection: Connection, path: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    after: int | None = 0
    while after is not None:
        body = connection.get(f"{path}/decisions", after=after, limit=_PAGE, **query)
        yield from body["decisions"]
        after = body.get("next")


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        told = msgspec.json.decode(file.read_bytes())["decisions"]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise CommandFailed(f"{file} is no log: `rheostat ramp decisions RAMP --json > log.json` writes one") from error
    return list(told)


def _rows(told: Sequence[dict[str, Any]]) -> list[DecisionRow]:
    try:
        return [
            DecisionRow(
                seq=one["seq"],
                at_ms=read_moment(one["at"], "at"),
                kind=one["kind"],
                body=msgspec.Raw(msgspec.json.encode(one["detail"])),
            )
            for one in told
        ]
    except (KeyError, TypeError, Invalid) as error:
        raise CommandFailed(f"the log has a row that is no decision: {error}") from error


def _print_difference(console: Console, row: dict[str, Any], again: Replayed) -> None:
    console.print(f"row {again.seq} ({moment(row['at'])}, {row['kind']}) comes out otherwise:")
    for one in again.differences:
        console.print(f"  {one.what}\n    then: {one.then}\n    now:  {one.now}", markup=False)


def log_table(told: Sequence[dict[str, Any]], *, width: int) -> Table:
    """Return the rows of a log as a table; where the terminal is narrow, the figures stand below the reason."""
    return _wide_table(told) if width >= _WIDE else _narrow_table(told)


def _wide_table(told: Sequence[dict[str, Any]]) -> Table:
    table = a_table(
        "WHEN (UTC)", "DECIDED", "STATUS", "AT", "GUARDRAIL", "EXPOSED", "CONTROL", "M", "E", "A", "WHY", fold="WHY"
    )
    for one in told:
        first = [moment(one["at"]), *_decided(one)]
        for number, cells in enumerate(_seen(one["detail"]) or [[""] * 6]):
            table.add_row(*(first if number == 0 else [""] * len(first)), *cells, one["why"] if number == 0 else "")
    return table


def _narrow_table(told: Sequence[dict[str, Any]]) -> Table:
    table = a_table("WHEN (UTC)", "DECIDED", "STATUS", "AT", "WHY, AND THE EVIDENCE", fold="WHY, AND THE EVIDENCE")
    day = ""
    for one in told:
        date, time = moment(one["at"]).split()
        lines = [one["why"]]
        for name, exposed, control, m, e, a in _seen(one["detail"]):
            arms = f"exposed {exposed}, control {control}" if control else exposed
            lines.append(f"{name}: {arms}; M {m}, E {e}, A {a}")
        table.add_row(time if date == day else f"{date}\n{time}", *_decided(one), "\n".join(lines))
        day = date
    return table


def _decided(one: dict[str, Any]) -> list[str]:
    detail = one["detail"]
    kind = f"{one['kind']} by {detail['actor']}" if detail.get("actor") else one["kind"]
    return [kind, detail["status"], f"{detail['exposure_ppm'] / 10_000:g} %"]


def _seen(detail: dict[str, Any]) -> list[list[str]]:
    # A person's action looks at nothing; the figures beside it would be those of the row before.
    return list(_read_then(detail)) if detail.get("evidence") else []


def _read_then(detail: dict[str, Any]) -> Iterator[list[str]]:
    readings = {reading["guardrail"]: reading for reading in detail["evidence"].get("readings", [])}
    for name, figures in (detail.get("guardrails") or {}).items():
        reading = readings.get(name, {})
        blocks = reading.get("blocks", [])
        arms = [_arm(blocks, arm) for arm in ("treatment", "control")]
        if figures["sight"] != "seen":
            arms = [str(figures["sight"]), ""]
        elif late := sum(_count(block, arm, "ended") for block in reading.get("late", []) for arm in _ARMS):
            arms[1] += f", {late} late"
        yield [name, *arms, *(odds(figures[f"log_{letter}"]) for letter in "mea")]


_ARMS = ("treatment", "control")


def _arm(blocks: Sequence[dict[str, Any]], arm: str) -> str:
    bad, ended, failing = (sum(_count(block, arm, what) for block in blocks) for what in ("bad", "ended", "failing"))
    return f"{bad}/{ended} ({failing})"


def _count(block: dict[str, Any], arm: str, what: str) -> int:
    return int(block.get(arm, {}).get(what, 0))


COMMANDS = (decisions, replay_log)
