"""The end of an ASGI server: its last outcomes come with a goodbye."""

import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from rheostat.clock import system_clock
from rheostat.middleware.lifespan import serve_lifespan
from rheostat.outcomes import Outcomes
from tests.unit.sdk.outcomes.collector import Collector, a_collector

SERVED = """
import sys, uvicorn
from rheostat import Context, Rheostat

async def app(scope, receive, send):
    if scope["type"] != "http":
        {lifespan}
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"on" if flags.boolean("checkout") else b"off"}})

flags = Rheostat(sys.argv[1], "rhs_srv_test", cache_dir=sys.argv[2])
uvicorn.run(flags.middleware(app), host="127.0.0.1", fd={fd}, log_level="warning")
"""

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
STARTED, SHUT = {"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with a_collector() as found:
        yield found


async def talk(app: Callable[..., Awaitable[None]], outcomes: Outcomes | None = None) -> list[Any]:
    """Play the server's side; return what the application said."""
    messages, said = iter((STARTUP, SHUTDOWN)), []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        said.append(message)

    await serve_lifespan(app, outcomes, {"type": "lifespan"}, receive, send)
    return said


async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
    assert await receive() == STARTUP
    await send(STARTED)
    assert await receive() == SHUTDOWN
    await send(SHUT)


async def that_returns(scope: Any, receive: Any, send: Any) -> None:
    return None


async def that_raises(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"


async def that_answers_a_request(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def that_raises_later(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise RuntimeError("no lifespan")


async def that_fails_to_start(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
    raise RuntimeError("no database")


@pytest.mark.parametrize("app", [with_lifespan, that_returns, that_raises, that_raises_later, that_answers_a_request])
async def test_every_application_has_a_lifespan(app: Any) -> None:
    """One that knows no lifespan is served one; one that does answers for itself."""
    assert await talk(app) == [STARTED, SHUT]


async def test_a_start_that_fails_is_said() -> None:
    """What an application says of its failure reaches the server, and so does the exception."""
    with pytest.raises(RuntimeError, match="no database"):
        await talk(that_fails_to_start)


async def test_outcomes_go_on_after_a_farewell(collector: Collector) -> None:
    """A second server in the same process is counted: its batches take the goodbye back."""
    outcomes = Outcomes(collector.url, "sdk-key", clock=system_clock())
    outcomes.start()
    try:
        await talk(with_lifespan, outcomes)
        assert [each.batch.goodbye for each in collector.received][-1]
        outcomes.evaluated("checkout", "on")
        await talk(with_lifespan, outcomes)
        assert collector.received[-1].batch.evaluations == {"checkout": {"on": 1}}
    finally:
        outcomes.close()


@pytest.mark.parametrize("lifespan", ["return", "raise RuntimeError", "pass"])
def test_a_server_that_is_told_to_end_says_goodbye(collector: Collector, tmp_path: Any, lifespan: str) -> None:
    """uvicorn under SIGTERM: the last batch has the goodbye and what was counted, whatever the application does."""
    # The port is taken before the server starts, so that nothing has to be waited for.
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        program = SERVED.format(lifespan=lifespan, fd=door.fileno())
        with subprocess.Popen(
            [sys.executable, "-c", program, collector.url, str(tmp_path)], pass_fds=[door.fileno()]
        ) as server:
            assert httpx.get(f"http://127.0.0.1:{door.getsockname()[1]}/", timeout=30).text == "off"
            server.send_signal(signal.SIGTERM)
            server.wait(20)

    last = collector.received[-1].batch
    assert last.goodbye
    assert sum(sum(variants.values()) for each in collector.received for variants in each.batch.evaluations.values())
