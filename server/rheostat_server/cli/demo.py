"""``rheostat demo``: the whole story in one terminal."""

import asyncio
import signal

import click

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.demo.story import StoryBroken, tell


@click.command()
@click.option("--harmless", is_flag=True, help="No fault: the same ramp goes to 100 %.")
@click.option("--rate", type=click.FloatRange(1, 2000), default=250, show_default=True, help="Requests per second.")
@click.option("--users", type=click.IntRange(50), default=3000, show_default=True, help="Distinct users.")
def demo(harmless: bool, rate: float, users: int) -> None:
    """Watch a ramp take back a change that hurts, with real processes, in under three minutes."""
    try:
        asyncio.run(_until_told(harmless=harmless, rate=rate, users=users))
    except StoryBroken as error:
        raise CommandFailed(str(error)) from error
    except asyncio.CancelledError:
        raise click.exceptions.Exit(130) from None


async def _until_told(*, harmless: bool, rate: float, users: int) -> None:
    """Tell the story; a closed terminal ends it in order, as Ctrl-C does: its processes are not to outlive it."""
    loop, told = asyncio.get_running_loop(), asyncio.ensure_future(tell(harmless=harmless, rate=rate, users=users))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A second signal does not hurry: the children are being stopped, which takes two seconds.
        loop.add_signal_handler(number, told.cancel)
    await told
