"""``rheostat promote``: a ramp as a step of a pipeline."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click
import msgspec

from rheostat.clock import system_clock
from rheostat.model.duration import duration_ms
from rheostat_server.cli.connection import Answered, CommandFailed, Unreachable
from rheostat_server.cli.documents import check
from rheostat_server.cli.numbers import plain
from rheostat_server.cli.options import Session, connected, print_json
from rheostat_server.cli.promotion import Outcome, Promotion, outcome_in_time, outcome_of_end
from rheostat_server.cli.promotion_report import check_writable, summary, write_reports
from rheostat_server.cli.ramp_panel import standing_line
from rheostat_server.cli.ramp_watch import REFRESH_SECONDS, Watched
from rheostat_server.cli.yaml_files import FileDocument, read_documents

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
"""How long a server that was not reached yet is waited for: its address may be wrong."""
_TELL_SECONDS = 60.0
"""How often at least a line is printed: where nothing is, a pipeline thinks that all hangs."""


class _Wrong(click.UsageError):
    exit_code = 1


class _Step(click.Command):
    """A command whose exit code 2 means something else than a wrong command line, which is 1 like any error."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the command line."""
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise _Wrong(error.format_message(), error.ctx) from error


class _Terminated(KeyboardInterrupt):
    """The pipeline ends the command."""


@click.command("promote", cls=_Step)
@click.argument("flag")
@click.option("--to", type=click.FloatRange(0, 100, min_open=True), help="Percent to end at; steps above are cut.")
@click.option("--plan", type=click.Path(dir_okay=False), help="A ramp document; without one the template, or defaults.")
@click.option("--template", help="A template of the project; it goes before the document's own.")
@click.option("--wait", is_flag=True, help="Wait until the ramp has ended.")
@click.option("--timeout", help="How long to wait at most, such as 2h; then exit with 3. The ramp goes on.")
@click.option("--abort-on-timeout", is_flag=True, help="Abort the ramp then.")
@click.option("--again", is_flag=True, help="Start anew although a ramp of this document has ended.")
@click.option(
    "--summary", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write a summary as JSON."
)
@click.option("--junit", "xml_file", type=click.Path(dir_okay=False, path_type=Path), help="Write it as JUnit's XML.")
@connected
def promote(session: Session, flag: str, json_file: Path | None, xml_file: Path | None, **options: Any) -> None:
    """Promote FLAG by a ramp, as a step of a pipeline: start it, or attach to the one of the same document.

    Exits with 0 promoted (without --wait: started), 1 refused or failed, 2 killed, 3 held or not in time, 4 aborted.
    With --json the summary is all that is on standard output.
    """
    promoting = _Promoting(session, flag, options)
    check_writable([json_file, xml_file])
    try:
        with _terminable():
            found = promoting.run()
    except CommandFailed as error:
        write_reports(promoting.done("error", str(error)), json=json_file, xml=xml_file)
        raise
    promoting.say(found.sentence)
    write_reports(found, json=json_file, xml=xml_file)
    if session.as_json:
        print_json(summary(found))
    raise click.exceptions.Exit(found.exit_code)


class _Promoting:
    """One run of the command."""

    def __init__(self, session: Session, flag: str, options: dict[str, Any]) -> None:
        self._session = session
        self._connection = session.connection
        self._flag = flag
        self._options = options
        self._clock = system_clock()
        self._began = self._clock.monotonic()
        self._seconds: float | None = None
        self._watched: Watched | None = None
        self._view: dict[str, Any] = {}
        self._notes: tuple[str, ...] = ()
        self._new = False

    def run(self) -> Promotion:
        """Start the ramp or find it, and wait for it.

        Raises:
            CommandFailed: the server refuses, or is away from the start.
        """
        if self._options["timeout"] is not None:
            self._seconds = _seconds(self._options["timeout"])
        document = self._document()
        try:
            return self._run(document)
        except KeyboardInterrupt as error:
            number = signal.SIGTERM if isinstance(error, _Terminated) else signal.SIGINT
            reason = "nothing was started, as far as is known"
            if self._view:
                reason = f"watch it: rheostat ramp watch {self._flag}; end it: rheostat ramp abort {self._flag}"
            return msgspec.structs.replace(self.done("interrupted", reason), signal=int(number))

    def done(self, outcome: Outcome, reason: str) -> Promotion:
        """Return what became of it."""
        return Promotion(
            flag=self._flag,
            project=self._connection.project,
            environment=self._connection.environment,
            outcome=outcome,
            reason=reason,
            seconds=self._clock.monotonic() - self._began,
            new=self._new,
            view=self._view if self._watched is None else self._watched.view,
            decisions=() if self._watched is None else self._watched.decisions,
            notes=self._notes,
        )

    def say(self, line: str) -> None:
        """Print a line of progress; with ``--json`` beside the output."""
        click.echo(line, err=self._session.as_json)

    def _run(self, document: dict[str, Any]) -> Promotion:
        answer = self._patiently(lambda: self._start(document))
        self._view = answer.body
        self._new = answer.status == 201
        self._notes = tuple(self._view.get("notes", ()))
        if self._new:
            self.say(f"{self._flag}: ramp {self._view['id']} is started: {standing_line(self._view)}")
        for note in self._notes:
            self.say(f"  {note}" if self._new else f"{self._flag}: {note}")
        watched = Watched(self._connection, f"{self._connection.of_environment}/ramps/{self._view['id']}")
        self._patiently(watched.look)
        self._watched = watched
        if not watched.ended:
            if not self._options["wait"]:
                return self.done("started", standing_line(watched.view))
            if not self._wait(watched):
                return self._late(watched)
        return self._ended(watched)

    def _ended(self, watched: Watched) -> Promotion:
        outcome, reason = outcome_of_end(watched.view)
        if not self._new and outcome == "promoted":
            # It may be long ago.
            kills = self._patiently(self._kills)
            if kills:
                return self.done(
                    "killed", f"it was promoted, and killed since ({kills[0]['source']}, {kills[0]['at']})"
                )
        elif not self._new and self._view["status"] in {"killed", "aborted"}:
            reason += "; --again, or another document, starts a new ramp"
        return self.done(outcome, reason)

    def _late(self, watched: Watched) -> Promotion:
        outcome, reason = outcome_in_time(watched.view)
        if not self._options["abort_on_timeout"]:
            return self.done(outcome, f"{reason}. The ramp goes on: rheostat ramp watch {self._flag}")
        path = f"{self._connection.of_environment}/ramps/{watched.view['id']}/abort"
        wanted = {"reason": f"not promoted within {self._options['timeout']}"}
        try:
            self._patiently(lambda: self._connection.post(path, wanted))
        except Unreachable:
            raise
        except CommandFailed:
            # It ended by itself in the same moment, or something is wrong: what it says then is what counts.
            self._patiently(watched.look)
            if watched.ended:
                return self._ended(watched)
            raise
        self._patiently(watched.look)
        return self.done(outcome, f"{reason}. The ramp was aborted")

    def _wait(self, watched: Watched) -> bool:
        """Tell how the ramp goes until it ends; return whether it did in time. A server that is away is waited for."""
        last: tuple[Any, ...] = ()
        told = 0.0
        trouble = False
        while True:
            now = self._clock.monotonic()
            moved = (watched.view["status"], watched.view["exposure"], watched.view["step"])
            if moved != last or now - told >= _TELL_SECONDS:
                last, told = moved, now
                self.say(f"{self._flag}: {standing_line(watched.view)}")
            if watched.ended:
                return True
            if self._seconds is not None and now - self._began >= self._seconds:
                return False
            time.sleep(REFRESH_SECONDS)
            try:
                watched.look()
                trouble = False
            except Unreachable as error:
                if not trouble:
                    click.echo(f"{str(error).splitlines()[0]}; waiting for it", err=True)
                trouble = True

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask the server; one that is away is asked again for a while.

        Raises:
            CommandFailed: it refuses, or is away for too long.
        """
        began = self._clock.monotonic()
        told = False
        while True:
            try:
                return ask()
            except Unreachable as error:
                if self._clock.monotonic() - began >= PATIENCE_SECONDS:
                    raise
                if not told:
                    click.echo(f"{str(error).splitlines()[0]}; trying again for {PATIENCE_SECONDS:g} s", err=True)
                told = True
                time.sleep(REFRESH_SECONDS)

    def _start(self, document: dict[str, Any]) -> Answered:
        once = "live" if self._options["again"] else "ever"
        path = f"{self._connection.of_environment}/ramps"
        return self._connection.send("POST", path, body=document, query={"once": once})

    def _kills(self) -> list[dict[str, Any]]:
        view = self._connection.get(self._connection.flag(self._flag))
        kills: list[dict[str, Any]] = view["in_force"][self._connection.environment]["kills"]
        mine = {None, self._view["rollout"]}
        return [kill for kill in kills if kill.get("rollout") in mine]

    def _environment(self) -> str | None:
        return self._connection.environment if self._session.environment_given else None

    def _document(self) -> dict[str, Any]:
        plan = self._options["plan"]
        data: dict[str, Any] = {} if plan is None else _ramp_in(plan, self._flag, self._environment())
        if not self._session.environment_given:
            self._connection.environment = str(data.get("environment") or self._connection.environment)
        asked = {"flag": self._flag, "environment": self._connection.environment}
        for name, value in asked.items():
            if data.get(name, value) != value:
                raise CommandFailed(f"{plan}: {name}: this is for {data[name]}, and {value} is to be promoted")
        document = {"kind": "ramp", **asked, **data}
        if self._options["template"] is not None:
            document["template"] = self._options["template"]
        to = self._options["to"]
        if to is not None and not _ends_at(document, to):
            document["to"] = plain(to)
        check([FileDocument(plan or "the command line", document)])
        return document


def _ramp_in(plan: str, flag: str, environment: str | None) -> dict[str, Any]:
    """Return the ramp document in a file, which may hold others beside it.

    Raises:
        CommandFailed: there is none, or more than one.
    """
    every = [one.data for one in read_documents([plan])]
    ramps = [data for data in every if isinstance(data, dict) and data.get("kind") == "ramp"]
    if len(every) == 1 and not ramps and isinstance(every[0], dict) and "kind" not in every[0]:
        ramps = every
    for name, value in (("flag", flag), ("environment", environment)):
        # Where none fits, what there is for another is told by what follows.
        ramps = [data for data in ramps if value is None or data.get(name, value) == value] or ramps
    if len(ramps) != 1:
        there = "no ramp document" if not ramps else f"{len(ramps)} ramp documents for {flag}; name its --environment"
        raise CommandFailed(f"{plan} has {there}")
    return ramps[0]


def _ends_at(document: dict[str, Any], to: float) -> bool:
    """Return whether the document's own last step is this one: then it needs no cut, and stays the same document."""
    steps = document.get("steps")
    if not isinstance(steps, list) or not steps or document.get("to") is not None:
        return False
    last = steps[-1].get("exposure") if isinstance(steps[-1], dict) else steps[-1]
    return bool(last == to)


def _seconds(text: str) -> float:
    try:
        return duration_ms(text) / 1000
    except ValueError as error:
        raise CommandFailed(f"--timeout: {text!r} is not a length of time, such as 90s, 30m or 2h") from error


class _terminable:  # noqa: N801 - used as a word
    """Within it, SIGTERM interrupts as Ctrl-C does."""

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGTERM, _terminate)

    def __exit__(self, *exc: object) -> None:
        signal.signal(signal.SIGTERM, self._before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated
