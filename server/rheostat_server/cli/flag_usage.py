"""``rheostat flag stale`` and ``usage``: which flags are still in use."""

import click
from rich.console import Console

from rheostat_server.cli.options import Session, connected
from rheostat_server.cli.terminal import a_table, moment, print_table


@click.command("stale")
@connected
def stale(session: Session) -> None:
    """List the temporary flags that have done their work: the same for everybody for 30 days, or unseen for 7."""
    body = session.connection.get(f"{session.connection.of_project}/stale-flags")

    def people(console: Console) -> None:
        if not body["flags"]:
            console.print("No flag is stale.")
            return
        table = a_table("FLAG", "OWNER", "LAST EVALUATED (UTC)", "WHY", fold="WHY")
        for flag in body["flags"]:
            why = "; ".join(reason["text"] for reason in flag["reasons"])
            table.add_row(flag["key"], flag["owner"] or "", moment(flag["last_evaluated"]), why)
        print_table(console, table)

    session.show(body, people)


@click.command("usage")
@click.argument("key")
@connected
def usage(session: Session, key: str) -> None:
    """Show when each variant of a flag was last evaluated, by environment."""
    body = session.connection.get(f"{session.connection.flag(key)}/usage")

    def people(console: Console) -> None:
        table = a_table("ENVIRONMENT", "VARIANT", "IN 90 DAYS", "LAST EVALUATED (UTC)")
        for one in body["variants"]:
            variant = one["variant"] or "(the caller's default)"
            table.add_row(one["environment"], variant, str(one["evaluations"]), moment(one["last_evaluated"]))
        print_table(console, table)

    session.show(body, people)
