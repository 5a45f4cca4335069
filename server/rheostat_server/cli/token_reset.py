"""``rheostat token reset``: the way back in, for whoever has the machine."""

import asyncio
import os

import click

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.options import json_asked, json_option, print_json
from rheostat_server.errors import StartupRefused, Unavailable


@click.command()
@click.option("--data-dir", envvar="RHEOSTAT_DATA_DIR", help="Where the data is. [default: .rheostat]")
@json_option
def reset(data_dir: str | None) -> None:
    """Make a new admin token and revoke the former. Works on the server's machine, running or not."""
    from rheostat_server.bootstrap.serving import reset_admin_token
    from rheostat_server.settings import read_settings

    environ = {**os.environ, **({"RHEOSTAT_DATA_DIR": data_dir} if data_dir else {})}
    try:
        secret = asyncio.run(reset_admin_token(read_settings(environ)))
    except (StartupRefused, Unavailable) as error:
        raise CommandFailed(str(error)) from error
    if json_asked():
        print_json({"secret": secret})
        return
    click.echo(secret)
    click.echo("This is the admin token now: shown once, stored hashed. The former is revoked.", err=True)
