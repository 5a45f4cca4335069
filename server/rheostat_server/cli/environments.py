"""``rheostat environment``: the environments of a project, and the template that ramps in them take by default."""

from typing import Any
from urllib.parse import quote

import click
from rich.console import Console

from rheostat_server.cli.groups import Group
from rheostat_server.cli.options import Session, common_options, connected
from rheostat_server.cli.terminal import a_table, moment, print_table


@click.group(cls=Group)
@common_options
def environment() -> None:
    """Environments of a project."""


@environment.command("list")
@connected
def list_environments(session: Session) -> None:
    """List the environments, with the template that ramps in them take by default."""
    body = session.connection.get(f"{session.connection.of_project}/environments")

    def people(console: Console) -> None:
        table = a_table("ENVIRONMENT", "NAME", "REVISION", "TEMPLATE", "MADE (UTC)", fold="NAME")
        for view in body["environments"]:
            template = view.get("default_template") or "-"
            table.add_row(view["key"], view["name"], str(view["revision"]), template, moment(view["created_at"]))
        print_table(console, table)

    session.show(body, people)


@environment.command("default-template")
@click.argument("name")
@click.argument("template", required=False)
@click.option("--none", "take_none", is_flag=True, help="No template.")
@connected
def default_template(session: Session, name: str, template: str | None, take_none: bool) -> None:
    """Show or set the TEMPLATE that ramps in an environment take whose documents name none."""
    path = f"{session.connection.of_project}/environments/{quote(name, safe='')}"
    if template is not None and take_none:
        raise click.UsageError("give a template or --none, not both")
    if template is None and not take_none:
        body: dict[str, Any] = session.connection.get(path)
    else:
        body = session.connection.send("PATCH", path, body={"default_template": template}).body
    kept = body.get("default_template")
    words = (
        f"ramps in {name} take the template {kept} by default"
        if kept
        else f"ramps in {name} take no template by default"
    )
    session.show(body, lambda console: console.print(words, markup=False))
