"""The story of the demo: an application, its users, a ramp, and (unless harmless) a fault.

The server, the shop and Prometheus are real processes; the plan is an ordinary one with shortened times.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from rheostat.clock import Clock, system_clock
from rheostat_server.cli.ramp_panel import look_on, ramp_picture
from rheostat_server.demo.application import FLAG
from rheostat_server.demo.stage import Stage, set_stage
from rheostat_server.demo.traffic import Traffic
from rheostat_server.ramps.words import count

FAULT = 0.3
BACKGROUND = 0.001
_FAULT_AFTER_SECONDS = 8.0
_GIVE_UP_SECONDS = 170.0
_AFTER_KILL_SECONDS = 8.0

FLAG_DOCUMENT: dict[str, Any] = {
    "kind": "flag",
    "key": FLAG,
    "type": "boolean",
    "variants": {"on": True, "off": False},
    "off_variant": "off",
    "environments": {
        "production": {
            "enabled": True,
            "default": {"rollout": {"exposure": 0, "split": {"on": 1}, "fallback": "off"}},
        }
    },
}
RAMP_DOCUMENT: dict[str, Any] = {
    "kind": "ramp",
    "flag": FLAG,
    "environment": "production",
    "steps": [10, 50, 100],
    "preflight": "10s",
    "min_dwell": "3s",
    "soak": "5s",
    "interval": "1s",
    "guardrails": [{"metric": "request-success-rate", "threshold": 99}],
}

SHORTENED = (
    ("pre-flight (who fails anyway)", "10 s", "10 min"),
    ("least time on a step", "3 s", "60 s"),
    ("watch at 100 %", "5 s", "1 h"),
    ("steps", "10 / 50 / 100 %", "1 / 5 / 10 / 25 / 50 / 100 %"),
    ("scrapes", "1 s", "15 s"),
)


class StoryBroken(Exception):
    """A part of the demo did not do its work; the message says which and what it printed."""


async def tell(*, harmless: bool, rate: float, users: int) -> None:
    """Run the story in the terminal.

    Raises:
        StoryBroken: a process did not start, or the story did not reach its end in time.
    """
    console = Console(highlight=False)
    console.print(_opening(harmless=harmless, rate=rate, users=users))
    with _open_directory() as directory:
        try:
            async with set_stage(directory, background=BACKGROUND, say=console.print) as stage, _stoppable(console):
                await _play(stage, console, harmless=harmless, rate=rate, users=users)
        except (RuntimeError, httpx.HTTPError) as error:
            raise StoryBroken(str(error)) from error


@contextlib.contextmanager
def _open_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rheostat-demo-", ignore_cleanup_errors=True) as name:
        # PostgreSQL may run as another user, who has to pass through.
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.asynccontextmanager
async def _stoppable(console: Console) -> AsyncIterator[None]:
    """Say that the processes are being stopped, which takes a moment."""
    try:
        yield
    except asyncio.CancelledError:
        console.print("Stopping …")
        raise


async def _play(stage: Stage, console: Console, *, harmless: bool, rate: float, users: int) -> None:
    clock = system_clock()
    await stage.put_flag(FLAG_DOCUMENT)
    traffic = Traffic(stage.shop_url, rate=rate, users=users, clock=clock)
    await traffic.start()
    try:
        started = await stage.start_ramp(RAMP_DOCUMENT)
        console.print(f"evidence: failing users, {_family_words(started['guardrails'][0]['family'])}\n")
        view, took_s = await _watch(stage, console, traffic, started["id"], clock=clock, harmless=harmless)
        console.print(_ending(view, traffic, took_s, harmless=harmless))
    finally:
        await traffic.stop()


async def _watch(
    stage: Stage, console: Console, traffic: Traffic, ramp_id: str, *, clock: Clock, harmless: bool
) -> tuple[dict[str, Any], float | None]:
    """Show the ramp until it ended and the shop has settled; break the shop on the way, unless harmless.

    Return the ramp's last view, and the seconds from the fault to the end.
    """
    decisions: list[dict[str, Any]] = []
    began = clock.monotonic()
    exposed_at = broken_at = ended_at = None
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while clock.monotonic() - began < _GIVE_UP_SECONDS:
            view = await stage.ramp(ramp_id)
            # A second has a decision or two, so the last few hold all that are new.
            fresh = await stage.last_decisions(ramp_id, 8)
            seen = decisions[-1]["seq"] if decisions else -1
            decisions += [decision for decision in fresh if decision["seq"] > seen]
            now = clock.monotonic()
            if exposed_at is None and view["exposure"] > 0:
                exposed_at = now
            if not harmless and broken_at is None and exposed_at and now - exposed_at > _FAULT_AFTER_SECONDS:
                await stage.break_shop(FAULT)
                broken_at = now
            picture = ramp_picture(
                view,
                look_on(console),
                decisions=decisions,
                moves=decisions,
                # The last row of a terminal stays free, or the picture would roll.
                height=console.height - 1 if console.is_terminal else None,
                last=_shop_line(traffic, broken=broken_at is not None),
            )
            live.update(Group(*picture), refresh=True)
            if ended_at is None and view["status"] in {"killed", "promoted", "aborted"}:
                ended_at = now
            if ended_at is not None and (view["status"] != "killed" or now - ended_at > _AFTER_KILL_SECONDS):
                return view, (ended_at - broken_at if broken_at else None)
            await asyncio.sleep(0.5)
    raise StoryBroken(
        f"the ramp is still {view['status']} after {_GIVE_UP_SECONDS:.0f} s: {view.get('why')}\n"
        f"The server's last lines:\n{stage.server.output[-1500:] if stage.server else ''}"
    )


def _shop_line(traffic: Traffic, *, broken: bool) -> Text:
    state = Text(f"the new checkout fails {100 * FAULT:.0f} %", "bold red") if broken else Text("healthy")
    return Text.assemble(
        f"shop: {count(traffic.sent)} requests, {100 * traffic.error_rate(5):.2f} % of the last 5 s failed; ",
        state,
    )


def _family_words(family: str) -> str:
    if family == "reported":
        return "from what SDKs report (Prometheus is not installed, so it is not asked)"
    return "read back from Prometheus"


def _opening(*, harmless: bool, rate: float, users: int) -> Text:
    text = Text()
    text.append("Rheostat: a ramp that watches itself\n\n", "bold")
    background = f"{100 * BACKGROUND:.1f} % of requests fail anyway"
    text.append(f"A shop serves {rate:g} requests/s of {count(users)} users; {background}.\n")
    if harmless:
        text.append(f"Its new checkout ({FLAG}) is fine: the ramp has to take it to 100 %.\n\n")
    else:
        text.append(
            f"Its new checkout ({FLAG}) will break for {100 * FAULT:.0f} % of its requests "
            "in the middle of the ramp.\n\n"
        )
    text.append(f"{'shortened for the demo':<32}{'here':<20}in production\n", "dim")
    for name, here, production in SHORTENED:
        text.append(f"{name:<32}{here:<20}{production}\n")
    return text


def _ending(view: dict[str, Any], traffic: Traffic, took_s: float | None, *, harmless: bool) -> Text:
    text = Text("\n")
    if view["status"] == "killed":
        text.append("Killed. ", "bold red")
        text.append(f"{view['why']}\n")
        if took_s is not None:
            text.append(f"It took {took_s:.0f} s from the fault to the kill. ")
        text.append(
            f"{count(traffic.failed)} of {count(traffic.sent)} requests failed in all;\n"
            f"the error rate of the last 5 s is {100 * traffic.error_rate(5):.2f} %. "
            "The flag stays off for everybody until a person revives it.\n"
        )
    elif view["status"] == "promoted":
        text.append("Promoted. ", "bold green")
        text.append(
            f"Everyone has the new checkout; {count(traffic.failed)} of {count(traffic.sent)} requests failed in all.\n"
        )
    expected = "promoted" if harmless else "killed"
    if view["status"] != expected:
        raise StoryBroken(f"the ramp was to be {expected}, and is {view['status']}: {view.get('why')}")
    return text
