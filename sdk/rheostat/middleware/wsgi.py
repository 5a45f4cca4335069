"""WSGI: the context and the outcome of each request."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from contextvars import Context as Variables
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from rheostat.middleware.faults import Faults
from rheostat.middleware.metrics import count_requests
from rheostat.middleware.request import Flags, Latency, WatchedRequest, binding, watch
from rheostat.model.context import Context
from rheostat.model.outcome import Outcome
from rheostat.outcomes.recorder import current_recorder

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class RheostatWSGIMiddleware:
    """As ``RheostatMiddleware``, for WSGI. A request ends when the server closes the response's iterable.

    The application, each step of its iterable and its ``close`` run in one copy of the caller's context
    variables, so nothing of a request is left in the server's thread. An iterable that is closed before its
    end is ``cancelled``; files sent by the server (``wsgi.file_wrapper``) end when they are handed over.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        *,
        flags: Flags,
        context: "Callable[[WSGIEnvironment], Context | None] | None" = None,
        latency: Latency = "last_byte",
        metrics: bool = True,
        registry: object | None = None,
    ) -> None:
        self._app = app
        self._flags = flags
        self._context = context
        self._latency: Latency = latency
        self._faults = Faults()
        if metrics:
            count_requests(flags.outcomes, registry)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serve one request of the application."""
        variables = copy_context()
        return variables.run(self._serve, variables, environ, start_response)

    def _serve(
        self, variables: Variables, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        request = watch(self._flags, self._latency, self._faults)
        if request is not None:
            current_recorder.set(request.recorder)
            start_response = _noting(request, start_response)
        bound = ExitStack()
        bound.enter_context(binding(self._flags, self._context_of(environ), self._faults))
        try:
            body = self._app(environ, start_response)
        except BaseException:
            if request is not None:
                request.end(Outcome.ERROR)
            bound.close()
            raise
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            # Servers look for this very type, to send the file without copying it through Python.
            if request is not None:
                request.sent(last=True)
            bound.close()
            return body
        kind = _SizedBody if hasattr(body, "__len__") else _Body
        return kind(body, request, bound, variables)

    def _context_of(self, environ: "WSGIEnvironment") -> Context | None:
        try:
            return None if self._context is None else self._context(environ)
        except Exception:  # noqa: BLE001 - the application's own function; a flag must not cost it the request
            self._faults.say("the context callable failed")
            return None


class _Body:
    """The application's iterable, in the request's context variables; says how the request ended."""

    def __init__(
        self, body: Iterable[bytes], request: WatchedRequest | None, bound: ExitStack, variables: Variables
    ) -> None:
        self._body = body
        self._request = request
        self._bound = bound
        self._variables = variables
        self._parts: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            part = self._variables.run(self._next)
        except StopIteration:
            if self._request is not None:
                self._request.sent(last=True)
            raise
        except BaseException:
            if self._request is not None:
                self._request.end(Outcome.ERROR)
            raise
        if self._request is not None:
            self._request.sent(last=False)
        return part

    def close(self) -> None:
        """End the request: as ``cancelled`` when parts are left, for then it was the client who went."""
        if self._request is not None:
            self._request.end(Outcome.CANCELLED)
        try:
            if (close := getattr(self._body, "close", None)) is not None:
                self._variables.run(close)
        finally:
            self._variables.run(self._bound.close)

    def _next(self) -> bytes:
        if self._parts is None:
            self._parts = iter(self._body)
        return next(self._parts)


class _SizedBody(_Body):
    """A body that knows its number of parts: from one part, some servers make a Content-Length."""

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type]


def _noting(request: WatchedRequest, start_response: "StartResponse") -> "StartResponse":
    def starting(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        content_type = next((value for name, value in headers if name.lower() == "content-type"), "")
        request.responds(_status(status), content_type)
        return start_response(status, headers, *rest)

    return starting


def _status(line: str) -> int:
    number = line[:3]
    return int(number) if number.isdecimal() else 500
