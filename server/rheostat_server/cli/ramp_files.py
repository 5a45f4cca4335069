"""Ramps in files: our own documents, and those of Flagger and Argo Rollouts."""

from collections.abc import Mapping
from typing import Any

import click

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.documents import check
from rheostat_server.cli.options import Session, connected, print_json
from rheostat_server.cli.ramp_options import fields_given
from rheostat_server.cli.yaml_files import FileDocument, read_documents, to_yaml
from rheostat_server.faults import Faults
from rheostat_server.ramps.foreign.manifests import composed, is_manifest, with_templates
from rheostat_server.ramps.foreign.translation import is_foreign, translated


@click.command("translate")
@click.argument("file")
@click.option("--flag", help="The flag, where the file is a Canary or a Rollout.")
@click.option("--rollout", help="A rule's rollout, instead of the default's.")
@click.option("--rule", type=click.Choice(["guard", "threshold"]), help="Who decides. [default: guard]")
@connected
def translate(session: Session, file: str, flag: str | None, **options: Any) -> None:
    """Print what a file of Flagger's or Argo Rollouts' comes to as a ramp document, and what changes in meaning.

    Nothing is started, and no server is asked. What changes stands in comments, so that the output is a file that
    `rheostat ramp start -f` takes.
    """
    data, changes = ramp_of_file(file, session.connection.environment, flag=flag, given=fields_given(options))
    found = translated(data, Faults())
    changes = (*changes, *found.changes)
    if session.as_json:
        print_json({"document": found.document, "changes": list(changes)})
        return
    for line in changes:
        click.echo(f"# {line}")
    click.echo(to_yaml([found.document]), nl=False)


def ramp_of_file(
    file: str, environment: str, *, flag: str | None, given: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the one ramp document of a file, checked, and what was left out of Kubernetes documents.

    What is ``given`` besides goes over its fields.

    Raises:
        CommandFailed: there is none, or several, it is of another flag, or it has faults.
    """
    every = read_documents([file])
    objects = [one for one in every if isinstance(one.data, dict)]
    ramps = [one for one in objects if one.data.get("kind") == "ramp"]
    manifests = [one.data for one in objects if is_manifest(one.data)]
    if not ramps and manifests:
        return _of_manifests(file, [one.data for one in objects], environment, flag=flag, given=given)
    # A file may hold the flag beside its ramp, for `apply`.
    documents = ramps or every
    if len(documents) != 1:
        raise CommandFailed(f"{file} has {len(documents)} documents; one ramp is started at a time")
    [document] = documents
    data: Any = document.data
    if manifests and isinstance(data, dict):
        data = with_templates(data, manifests)
    if isinstance(data, dict):
        if flag is not None and data.get("flag") not in (None, flag):
            raise CommandFailed(f"{document.source} is a ramp of {data['flag']!r}, and not of {flag!r}, as was said")
        if is_foreign(data):
            data = _completed(data, environment, flag=flag, given=given)
        else:
            data = {**data, **({} if flag is None else {"flag": flag}), **given}
    check([FileDocument(document.source, data)])
    return dict(data), ()


def _of_manifests(
    file: str, documents: list[dict[str, Any]], environment: str, *, flag: str | None, given: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    faults = Faults()
    made = composed(documents, faults)
    if len(faults):
        raise CommandFailed("this has faults:\n" + "\n".join(f"  {file}: {fault}" for fault in faults.found))
    if flag is None:
        raise CommandFailed(f"{file} does not say which flag is ramped: give --flag")
    data = _completed({"kind": "ramp", **made.document}, environment, flag=flag, given=given)
    check([FileDocument(file, data)])
    return data, made.changes


def _completed(
    data: Mapping[str, Any], environment: str, *, flag: str | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    first = {"kind": "ramp", "flag": flag or data.get("flag"), "environment": data.get("environment") or environment}
    together = {**first, **{name: value for name, value in data.items() if name not in first}, **given}
    return {name: value for name, value in together.items() if value is not None}
