"""``rheostat apply``, ``export`` and ``validate``: documents in files and in Git."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from rheostat_server.cli.connection import CommandFailed, Faulty
from rheostat_server.cli.moves import show_moves_of_documents
from rheostat_server.cli.options import Session, connected, json_asked, json_option, print_json
from rheostat_server.cli.yaml_files import FileDocument, read_documents, to_yaml
from rheostat_server.errors import Fault, Invalid
from rheostat_server.flags.validate import validate_flag
from rheostat_server.layers.validate import validate_layer
from rheostat_server.ramps.template import validate_template
from rheostat_server.ramps.validate import validate_ramp
from rheostat_server.segments.validate import validate_segment

_MARKS = {
    "create": ("+", "green"),
    "update": ("~", "yellow"),
    "archive": ("-", "red"),
    "delete": ("-", "red"),
    "unchanged": ("=", "dim"),
    "skip": ("·", "dim"),
    "start": ("+", "green"),
}
_CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "flag": validate_flag,
    "segment": validate_segment,
    "layer": validate_layer,
    "template": validate_template,
    "ramp": validate_ramp,
}


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--prune", is_flag=True, help="Archive flags, and delete what else the files lack.")
@click.option("--start-ramps", is_flag=True, help="Start the ramps among them whose documents were never started.")
@connected
def apply(session: Session, files: tuple[str, ...], dry_run: bool, prune: bool, start_ramps: bool) -> None:
    """Make the server hold what FILES say: all of it, or, when something is wrong, nothing.

    Ramps among them are checked, and started only with --start-ramps; `rheostat ramp start -f FILE` starts one.
    """
    documents = read_documents(files)
    check(documents)
    wanted: dict[str, Any] = {
        "documents": [document.data for document in documents],
        "dry_run": dry_run,
        "prune": prune,
    }
    if start_ramps:
        wanted["start_ramps"] = True
    show_moves_of_documents(session, wanted)
    try:
        body = session.connection.post(f"{session.connection.of_project}/apply", wanted)
    except Faulty as error:
        _refuse([_placed(fault, documents) for fault in error.faults])
        raise

    def people(console: Console) -> None:
        for change in body["changes"]:
            mark, style = _MARKS.get(change["action"], ("?", ""))
            where = f" ({', '.join(change['environments'])})" if change.get("environments") else ""
            console.print(f"{mark} {change['kind']} {change['key']}: {change['action']}{where}", style=style)
            for note in change.get("notes", []):
                console.print(f"    {note}")
        if dry_run:
            console.print("Nothing was changed (--dry-run).", style="dim")

    session.show(body, people)


@click.command()
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file, instead of the screen.")
@connected
def export(session: Session, output: Path | None) -> None:
    """Print all documents of the project as YAML that `apply` takes."""
    body = session.connection.get(f"{session.connection.of_project}/export")
    if session.as_json:
        session.show(body, lambda console: None)
        return
    text = to_yaml(body["documents"])
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"{len(body['documents'])} documents are in {output}")


@click.command()
@click.argument("files", nargs=-1, required=True)
@json_option
def validate(files: tuple[str, ...]) -> None:
    """Check documents without a server: every fault, with its place and what to do."""
    documents = read_documents(files)
    faults = _all_faults(documents)
    if json_asked():
        print_json({"documents": len(documents), "faults": faults})
        if faults:
            raise click.exceptions.Exit(1)
        return
    _refuse(faults)
    click.echo(f"{len(documents)} document{'s' if len(documents) != 1 else ''}: no faults")


def check(documents: list[FileDocument]) -> None:
    """Validate all documents.

    Raises:
        CommandFailed: with every fault of every document.
    """
    _refuse(_all_faults(documents))


def _refuse(faults: list[str]) -> None:
    if faults:
        raise CommandFailed("this has faults:\n" + "\n".join(f"  {fault}" for fault in faults))


def _placed(fault: Fault, documents: list[FileDocument]) -> str:
    """Return the server's fault with the file and the document in place of where it was in the request."""
    at = re.fullmatch(r"documents\[([0-9]+)\]\.?(.*)", fault.path, re.DOTALL)
    if at is None or int(at[1]) >= len(documents):
        return str(fault)
    return f"{documents[int(at[1])].source}: {Fault(at[2], fault.message, fault.hint)}"


def _all_faults(documents: list[FileDocument]) -> list[str]:
    found = [f"{document.source}: {line}" for document in documents for line in _faults(document.data)]
    first: dict[tuple[str, str], str] = {}
    for document in documents:
        data = document.data
        kind = _kind(data)
        if (
            kind in ("flag", "segment", "layer", "template")
            and isinstance(data, dict)
            and isinstance(data.get("key"), str)
        ):
            before = first.setdefault((kind, data["key"]), document.source)
            if before != document.source:
                found.append(f"{document.source}: key: {before} has the key {data['key']!r} too")
    return found


def _faults(data: Any) -> list[str]:
    kind = _kind(data)
    if not isinstance(kind, str) or kind not in _CHECKS:
        return [f"kind: {kind!r} is not a kind of document ({', '.join(_CHECKS)})"]
    try:
        _CHECKS[kind](data)
    except Invalid as error:
        return [str(fault) for fault in error.faults]
    return []


def _kind(data: Any) -> Any:
    return data.get("kind", "flag") if isinstance(data, dict) else "flag"
