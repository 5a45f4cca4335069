"""``rheostat serve``: run the server."""

import os

import click

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.errors import StartupRefused, Unavailable


@click.command()
@click.option("--host", envvar="RHEOSTAT_HOST", help="Address to listen on. [default: 127.0.0.1]")
@click.option("--port", envvar="RHEOSTAT_PORT", help="Port to listen on; 0 takes a free one. [default: 8080]")
@click.option("--data-dir", envvar="RHEOSTAT_DATA_DIR", help="Where the data is. [default: .rheostat]")
def serve(host: str | None, port: str | None, data_dir: str | None) -> None:
    """Run the server. All other settings come from RHEOSTAT_… variables."""
    # Not at the top: every other command starts faster without the server's own parts.
    from rheostat_server.bootstrap.serving import run
    from rheostat_server.settings import read_settings

    given = {"RHEOSTAT_HOST": host, "RHEOSTAT_PORT": port, "RHEOSTAT_DATA_DIR": data_dir}
    environ = {**os.environ, **{name: value for name, value in given.items() if value is not None}}
    try:
        run(read_settings(environ), say=click.echo)
    except (StartupRefused, Unavailable) as error:
        raise CommandFailed(str(error)) from error
