"""The event stream over HTTP."""

import contextlib
import socket

import urllib3

from rheostat.feed.commands import Failure
from rheostat.feed.poll import failure_of

_CHUNK = 65_536


class StreamBroken(Exception):
    """The stream could not be opened, ended or broke."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class StreamTimedOut(Exception):
    """Nothing came in the time given. The stream cannot be read again."""


class EventStream:
    """An open stream. One thread reads; any thread may ``close``.

    Opening raises:
        StreamBroken: no stream came of it.
    """

    def __init__(
        self, pool: urllib3.PoolManager, url: str, headers: dict[str, str], last_event_id: str, silence: float
    ) -> None:
        asked = {
            **headers,
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-cache",
            "Last-Event-ID": last_event_id,
        }
        try:
            self._response = pool.request(
                "GET",
                url,
                headers=asked,
                timeout=urllib3.Timeout(connect=5.0, read=silence),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise StreamBroken(Failure(f"the stream cannot be opened: {error}")) from error
        # With `Connection: close` the connection lets go of its socket; reads then keep the timeout they began with.
        self._socket: socket.socket | None = getattr(self._response.connection, "sock", None)
        media_type = self._response.headers.get("Content-Type", "")
        if self._response.status != 200:
            failure = failure_of(self._response)
        elif not media_type.startswith("text/event-stream"):
            failure = Failure(f"the stream is {media_type or 'of no type'}, not text/event-stream")
        else:
            return
        self.close()
        raise StreamBroken(failure)

    def read(self, seconds: float) -> bytes:
        """Return the next bytes, at least one.

        Raises:
            StreamTimedOut: none came in time.
            StreamBroken: none will come.
        """
        try:
            if self._socket is not None:
                # A timeout of 0 would make the socket non-blocking.
                self._socket.settimeout(max(seconds, 0.001))
            data = self._response.read1(_CHUNK)
        except (urllib3.exceptions.ReadTimeoutError, TimeoutError) as error:
            raise StreamTimedOut from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise StreamBroken(Failure(f"the stream broke: {error}")) from error
        if not data:
            raise StreamBroken(Failure("the server ended the stream"))
        return data

    def interrupt(self) -> None:
        """Make a ``read`` in another thread end now."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connection; it is not used again."""
        with contextlib.suppress(urllib3.exceptions.HTTPError, OSError, ValueError):
            self._response.close()
