"""``rheostat demo``: the whole story in one terminal."""

import asyncio

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
        asyncio.run(tell(harmless=harmless, rate=rate, users=users))
    except StoryBroken as error:
        raise CommandFailed(str(error)) from error
