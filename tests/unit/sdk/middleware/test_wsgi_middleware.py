"""How requests of WSGI applications are counted."""

import io
import threading
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import httpx
import pytest

from rheostat.bound import bound_context
from rheostat.middleware.wsgi import RheostatWSGIMiddleware
from rheostat.model.context import Context
from rheostat.outcomes import current_recorder
from tests.unit.sdk.middleware.shop import Shop, counts, read_flag


def middleware(shop: Shop, app: Any, **options: Any) -> RheostatWSGIMiddleware:
    """Return the application behind the middleware."""
    return RheostatWSGIMiddleware(app, flags=shop, **{"metrics": False, **options})


def start(app: Any, **environ: Any) -> tuple[Any, list[str]]:
    """Call the application as a server does; return its body and the statuses it started."""
    statuses: list[str] = []
    full: dict[str, Any] = {"PATH_INFO": "/user-1", **environ}
    setup_testing_defaults(full)

    def start_response(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        statuses.append(status)
        return lambda data: None

    return app(full, start_response), statuses


def an_app(shop: Shop, status: str = "200 OK", content_type: str = "text/plain") -> Any:
    """Return an application that answers two parts."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        read_flag(shop)
        start_response(status, [("Content-Type", content_type)])
        return [b"a", b"b"]

    return app


@pytest.mark.parametrize(
    ("status", "bad"), [("200 OK", 0), ("404 Not Found", 0), ("500 Oops", 1), ("503 Away", 1), ("odd", 1)]
)
def test_the_status_line_says_whether_a_request_was_bad(status: str, bad: int) -> None:
    """Answers of 5xx, and of no status, are errors."""
    shop = Shop()
    body, statuses = start(middleware(shop, an_app(shop, status)))

    assert counts(shop) == (1, 0, 0)
    assert list(body) == [b"a", b"b"]
    body.close()
    assert statuses == [status]
    assert counts(shop) == (0, 1, bad)


def test_an_exception_in_the_call_or_the_iteration_is_an_error() -> None:
    """Wherever the application raises, it is counted as error and raised on."""
    shop = Shop()

    def at_once(environ: Any, start_response: Any) -> Iterable[bytes]:
        read_flag(shop)
        raise LookupError("shop")

    def later(environ: Any, start_response: Any) -> Iterator[bytes]:
        read_flag(shop)
        start_response("200 OK", [])
        yield b"a"
        raise LookupError("shop")

    with pytest.raises(LookupError):
        start(middleware(shop, at_once))
    assert counts(shop) == (1, 1, 1)
    body, _ = start(middleware(shop, later))
    with pytest.raises(LookupError):
        list(body)
    body.close()
    assert counts(shop) == (1, 1, 1)


def test_a_body_closed_before_its_end_is_cancelled() -> None:
    """A server closes early when its client has gone; that is not bad, and the application's close runs."""
    shop = Shop()
    closed: list[Context | None] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield from (b"a", b"b")

        def close(self) -> None:
            closed.append(bound_context.get())

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        read_flag(shop)
        start_response("200 OK", [])
        return Body()

    body, _ = start(middleware(shop, app, context=lambda environ: Context("user-1")))
    assert next(body) == b"a"
    body.close()

    assert counts(shop) == (1, 1, 0)
    assert closed == [Context("user-1")]


def test_the_request_is_seen_in_the_call_and_the_iteration_and_left_nowhere() -> None:
    """Context and recorder hold while the body is made, and the server's thread keeps neither."""
    shop = Shop()
    bound: list[Context | None] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        bound.append(bound_context.get())
        read_flag(shop)
        yield b"a"

    body, _ = start(middleware(shop, app, context=lambda environ: Context(environ["PATH_INFO"][1:])))
    assert bound_context.get() is None
    assert list(body) == [b"a"]
    body.close()

    assert bound == [Context("user-1")]
    assert bound_context.get() is None
    assert current_recorder.get() is None
    assert counts(shop) == (1, 1, 0)


def test_a_failing_context_callable_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Where the callable raises, nothing is bound, the request counts, and it is said once."""
    shop = Shop()

    def context(environ: Any) -> Context:
        raise KeyError("user")

    served = middleware(shop, an_app(shop), context=context)
    for _ in range(2):
        body, _ = start(served)
        assert list(body) == [b"a", b"b"]
        body.close()

    assert counts(shop) == (2, 2, 0)
    assert len(caplog.records) == 1


def test_one_client_in_two_layers_counts_a_request_once() -> None:
    """Mounted twice, the outer middleware counts; two clients count each their own."""
    shop, other = Shop(), Shop()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("500 Oops", [])
        read_flag(other)
        yield from an_app(shop, "500 Oops")(environ, start_response)

    body, _ = start(middleware(shop, middleware(other, middleware(shop, app))))
    list(body)
    body.close()

    assert counts(shop) == (1, 1, 1)
    assert counts(other) == (1, 1, 1)


def test_streams_end_with_their_first_part() -> None:
    """Server-sent events, and streams declared so, do not wait for an end."""
    shop = Shop()
    for options, content_type in (({}, "text/event-stream"), ({"latency": "first_byte"}, "text/plain")):
        body, _ = start(middleware(shop, an_app(shop, content_type=content_type), **options))
        next(body)
        assert counts(shop) == (1, 1, 0)


def test_a_file_stays_what_the_server_knows_how_to_send() -> None:
    """A body made by ``wsgi.file_wrapper`` is handed over as it is, and the request ends there."""
    shop = Shop()

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        read_flag(shop)
        start_response("200 OK", [])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"file"))
        return wrapped

    body, _ = start(middleware(shop, app), **{"wsgi.file_wrapper": FileWrapper})

    assert isinstance(body, FileWrapper)
    assert counts(shop) == (1, 1, 0)


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def test_behind_a_real_server_the_protocol_is_kept() -> None:
    """The standard library's validator finds nothing to say, on either side of the middleware."""
    shop = Shop()
    served = validator(middleware(shop, validator(an_app(shop))))
    with make_server("127.0.0.1", 0, served, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        answers = [httpx.get(f"http://127.0.0.1:{server.server_port}/") for _ in range(3)]
        server.shutdown()
        thread.join()

    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "ab")] * 3
    assert counts(shop) == (3, 3, 0)
