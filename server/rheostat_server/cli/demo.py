"""``rheostat demo``: the whole story in one terminal."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import click

from rheostat_server.cli.connection import CommandFailed


@click.command()
@click.option("--harmless", is_flag=True, help="No fault: the same ramp goes to 100 %.")
@click.option("--rate", type=click.FloatRange(1, 2000), default=250, show_default=True, help="Requests per second.")
@click.option("--users", type=click.IntRange(50), default=3000, show_default=True, help="Distinct users.")
def demo(harmless: bool, rate: float, users: int) -> None:
    """Watch a ramp take back a change that hurts, with real processes, in under three minutes."""
    # Not at the top: every other command starts faster without the demo's parts.
    from rheostat_server.demo.story import StoryBroken, tell

    try:
        asyncio.run(_until_told(tell(harmless=harmless, rate=rate, users=users)))
    except StoryBroken as error:
        raise CommandFailed(str(error)) from error
    except _Interrupted:
        # Not an error: this is how people leave.
        click.echo("Stopped before its end.")
    except asyncio.CancelledError:
        raise click.exceptions.Exit(130) from None


class _Interrupted(Exception):
    """Ctrl-C."""


async def _until_told(story: Coroutine[Any, Any, None]) -> None:
    """Tell the story; a closed terminal ends it in order, as Ctrl-C does: its processes are not to outlive it."""
    loop, told = asyncio.get_running_loop(), asyncio.ensure_future(story)
    signals: set[signal.Signals] = set()

    def stop(number: signal.Signals) -> None:
        # A second signal does not hurry: the children are being stopped, which takes two seconds.
        if not signals:
            told.cancel()
        signals.add(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    try:
        await told
    except asyncio.CancelledError:
        if signals == {signal.SIGINT}:
            raise _Interrupted from None
        raise
