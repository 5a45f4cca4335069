"""The command ``rheostat`` and its groups."""

import sys

import click

from rheostat_server.cli import flag_schedule, flag_versions, ramp_documents, ramp_log
from rheostat_server.cli.changes import changes
from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.demo import demo
from rheostat_server.cli.documents import apply, export, validate
from rheostat_server.cli.environments import environment
from rheostat_server.cli.flag_adopt import adopt
from rheostat_server.cli.flag_explain import explain
from rheostat_server.cli.flag_usage import stale, usage
from rheostat_server.cli.flags import flag
from rheostat_server.cli.groups import Group
from rheostat_server.cli.hooks import hook
from rheostat_server.cli.keys import key
from rheostat_server.cli.notify import notify
from rheostat_server.cli.options import common_options
from rheostat_server.cli.profiles import profile
from rheostat_server.cli.promote import promote
from rheostat_server.cli.ramp_files import translate
from rheostat_server.cli.ramp_simulate import simulate
from rheostat_server.cli.ramps import ramp
from rheostat_server.cli.serve import serve
from rheostat_server.cli.shared_documents import layer, segment, template
from rheostat_server.cli.tokens import token


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@common_options
@click.version_option(package_name="rheostat-server", prog_name="rheostat")
def rheostat() -> None:
    """Feature flags with progressive exposure that advances on evidence and takes itself back."""


for command in (serve, demo, flag, segment, layer, template, environment, ramp, promote, apply, export, validate):
    rheostat.add_command(command)
for command in (key, token, hook, changes, notify, profile):
    rheostat.add_command(command)
for command in (*flag_versions.COMMANDS, *flag_schedule.COMMANDS, adopt, explain, stale, usage):
    flag.add_command(command)
for command in (*ramp_log.COMMANDS, *ramp_documents.COMMANDS, simulate, translate):
    ramp.add_command(command)


def main() -> None:
    """Run the command; a failure that is explained exits with 1 and no traceback, a wrong command line with 2."""
    try:
        # click gives back the code of an `Exit`, and None for a command that came to its end.
        code: int | None = rheostat.main(prog_name="rheostat", standalone_mode=False)
        sys.exit(code or 0)
    except CommandFailed as error:
        click.echo(f"rheostat: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
