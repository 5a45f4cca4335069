"""How requests of ASGI applications are counted: real applications, real server, real outcomes."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from rheostat.bound import bound_context, carry
from rheostat.middleware.asgi import RheostatMiddleware
from rheostat.middleware.connection import ASGIApp, Receive, Scope, Send
from rheostat.model.context import Context
from rheostat.outcomes import Outcomes, current_recorder
from tests.unit.sdk.middleware.shop import Shop, counts, read_flag

Handler = Callable[[Scope, Receive, Send], Any]


async def respond(send: Send, status: int = 200, *parts: bytes, content_type: str = "text/plain") -> None:
    """Send a whole response, a message for each part."""
    headers = [(b"Content-Type", content_type.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def get(app: ASGIApp, path: str = "/user-1") -> httpx.Response:
    """Send one request to the application, whose exceptions come back as 500."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        return await client.get(path)


def middleware(shop: Shop, handler: Handler, **options: Any) -> RheostatMiddleware:
    """Return the handler behind the middleware."""
    return RheostatMiddleware(handler, flags=shop, **{"metrics": False, **options})


@pytest.mark.parametrize(("status", "bad"), [(200, 0), (404, 0), (500, 1), (503, 1)])
async def test_the_status_says_whether_a_request_was_bad(status: int, bad: int) -> None:
    """Answers of 5xx are errors; what the client did wrong is not."""
    shop = Shop()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        read_flag(shop)
        await respond(send, status, b"a", b"b")

    assert (await get(middleware(shop, app))).status_code == status
    assert counts(shop) == (1, 1, bad)


async def test_an_exception_is_an_error_and_reaches_the_server() -> None:
    """An exception before the end of the response counts as error and is raised on."""
    shop = Shop()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        read_flag(shop)
        raise LookupError("shop")

    transport = httpx.ASGITransport(app=middleware(shop, app))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        with pytest.raises(LookupError):
            await client.get("/")
    assert counts(shop) == (1, 1, 1)


async def test_a_response_that_is_never_finished_is_an_error() -> None:
    """An application that returns without the last body message has failed its client."""
    shop = Shop()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        read_flag(shop)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    with contextlib.suppress(AssertionError):  # the transport insists on complete responses
        await get(middleware(shop, app))
    assert counts(shop) == (1, 1, 1)


async def test_a_request_ends_with_its_last_body_message() -> None:
    """What the application does after the response, failing or reading flags, does not count."""
    shop = Shop()
    seen: list[tuple[int, int, int]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        read_flag(shop)
        await respond(send, 200, b"part")
        seen.append(counts(shop))
        read_flag(shop, "search")
        raise RuntimeError("a background task")

    await get(middleware(shop, app))
    assert seen == [(1, 1, 0)]
    assert counts(shop) == (0, 0, 0)


async def test_a_request_without_ramping_flags_counts_nowhere() -> None:
    """Requests that met no ramping flag leave no trace."""
    shop = Shop()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 500)

    await get(middleware(shop, app))
    assert counts(shop) == (0, 0, 0)


async def test_the_context_is_bound_and_a_failing_callable_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The callable's context holds for the request; where it raises, nothing is bound and it is said once."""
    shop = Shop()
    bound: list[Context | None] = []

    def context(scope: Scope) -> Context | None:
        if scope["path"] == "/broken":
            raise KeyError("user")
        return Context(scope["path"][1:]) if scope["path"] != "/anonymous" else None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bound.append(bound_context.get())
        read_flag(shop)
        await respond(send)

    served = middleware(shop, app, context=context)
    for path in ("/user-7", "/anonymous", "/broken", "/broken"):
        assert (await get(served, path)).status_code == 200

    assert bound == [Context("user-7"), None, None, None]
    assert bound_context.get() is None
    assert counts(shop) == (4, 4, 0)
    assert len([record for record in caplog.records if "context callable" in record.getMessage()]) == 1


async def test_tasks_and_carried_threads_count_in_their_request() -> None:
    """Flags read in child tasks and in threads started through ``carry`` belong to the request."""
    shop = Shop()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def task() -> None:
            read_flag(shop)

        await asyncio.gather(task(), task())
        work = carry(lambda: read_flag(shop, "search"))
        await asyncio.get_running_loop().run_in_executor(None, work)
        await respond(send)

    await get(middleware(shop, app))
    assert counts(shop) == (2, 2, 0)


async def test_websockets_are_not_counted() -> None:
    """A WebSocket gets the context but no recorder."""
    shop = Shop()
    seen: list[tuple[str, Context | None, bool]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["type"], bound_context.get(), current_recorder.get() is None))

    async def receive() -> dict[str, Any]:
        return {}

    async def send(message: Any) -> None:
        return None

    await middleware(shop, app, context=lambda scope: Context("user-1"))({"type": "websocket"}, receive, send)

    assert seen == [("websocket", Context("user-1"), True)]


async def test_a_stream_of_events_ends_with_its_first_byte() -> None:
    """Server-sent events have no end to wait for, nor do streams that were declared so."""
    shop = Shop()
    seen: list[tuple[int, int, int]] = []

    def streaming(content_type: str) -> Handler:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            read_flag(shop)
            headers = [(b"Content-Type", content_type.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"1", "more_body": True})
            seen.append(counts(shop))
            await send({"type": "http.response.body", "body": b"2"})

        return app

    await get(middleware(shop, streaming("text/event-stream; charset=utf-8")))
    await get(middleware(shop, streaming("text/plain"), latency="first_byte"))
    await get(middleware(shop, streaming("text/plain")))
    assert seen == [(1, 1, 0), (1, 1, 0), (1, 0, 0)]
    assert counts(shop) == (0, 1, 0)


async def test_a_cancelled_request_is_not_bad() -> None:
    """A server that cancels the application's task (its client has gone) makes the request cancelled."""
    shop = Shop()
    reached = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        read_flag(shop)
        reached.set()
        await asyncio.sleep(3600)

    task = asyncio.create_task(get(middleware(shop, app)))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counts(shop) == (1, 1, 0)


async def test_a_send_that_fails_means_that_the_client_has_gone() -> None:
    """A server that raises on sending to a closed connection makes the request cancelled, not an error."""
    shop = Shop()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        read_flag(shop)
        await respond(send, 200, b"part")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await middleware(shop, app)({"type": "http", "path": "/"}, receive, send)
    assert counts(shop) == (1, 1, 0)


async def test_files_sent_by_the_server_end_the_request() -> None:
    """A response by the path-send extension ends with that message."""
    shop = Shop()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        read_flag(shop)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.pathsend", "path": "/tmp/file"})

    async def nothing(*message: Any) -> dict[str, Any]:
        return {}

    async def send(message: Any) -> None:
        return None

    await middleware(shop, app)({"type": "http", "path": "/"}, nothing, send)
    assert counts(shop) == (1, 1, 0)


async def test_one_client_in_two_layers_counts_a_request_once() -> None:
    """Mounted twice, the outer middleware counts; two clients count each their own."""
    shop, other = Shop(), Shop()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        read_flag(shop)
        read_flag(other)
        await respond(send)

    await get(middleware(shop, middleware(other, middleware(shop, app))))
    assert counts(shop) == (1, 1, 0)
    assert counts(other) == (1, 1, 0)


async def test_a_client_without_a_server_counts_nothing() -> None:
    """With nobody to tell, the middleware binds the context and no more."""
    shop = Shop()
    shop.outcomes = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert current_recorder.get() is None
        await respond(send)

    assert (await get(middleware(shop, app, metrics=True))).status_code == 200


class Broken:
    """A client in which everything fails."""

    @property
    def outcomes(self) -> Outcomes | None:
        """Fail."""
        raise RuntimeError("outcomes")

    def bind(self, context: Context) -> AbstractContextManager[Any]:
        """Fail."""
        raise RuntimeError("bind")


async def test_a_fault_of_the_sdk_never_breaks_the_application(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever fails in the SDK, the response is the application's, and each kind of fault is said once."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200)

    served = RheostatMiddleware(app, flags=Broken(), context=lambda scope: Context("user-1"), metrics=False)
    with caplog.at_level(logging.ERROR, logger="rheostat.middleware"):
        for _ in range(3):
            assert (await get(served)).status_code == 200
    assert len(caplog.records) == 2


async def test_a_fault_in_counting_never_breaks_the_application(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A response goes out although its outcome could not be counted."""
    shop = Shop()
    assert shop.outcomes is not None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        read_flag(shop)
        await respond(send, 200)

    def fail(*arguments: Any) -> None:
        raise RuntimeError("end")

    monkeypatch.setattr(shop.outcomes, "end", fail)
    for _ in range(2):
        assert (await get(middleware(shop, app))).status_code == 200
    assert "could not be counted" in caplog.text


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """Serve the application with uvicorn on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        task = asyncio.create_task(server.serve([listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


async def test_a_client_that_leaves_makes_its_request_cancelled() -> None:
    """Behind a real server, a client that disconnects before the end is seen by the application's receive."""
    shop = Shop()
    reached, gone = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        read_flag(shop)
        reached.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()
        await respond(send, 500)

    async with serving(middleware(shop, app)) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        await writer.drain()
        await asyncio.wait_for(reached.wait(), 20)
        writer.close()
        await asyncio.wait_for(gone.wait(), 20)

    assert counts(shop) == (1, 1, 0)


async def test_behind_a_real_server_each_request_counts_once() -> None:
    """On kept-alive connections each request has its own recorder."""
    shop = Shop()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        read_flag(shop)
        await respond(send, 500 if scope["path"] == "/bad" else 200)

    async with serving(middleware(shop, app)) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for path in ("/", "/bad", "/", "/bad", "/"):
            await client.get(path)
        await asyncio.gather(*(client.get("/") for _ in range(10)))

    assert counts(shop) == (15, 15, 2)
