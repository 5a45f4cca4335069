"""POST to an address that somebody else gave: only to where it may lead, and no longer than it may take."""

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from importlib.metadata import version

import httpx

from rheostat_server.notifications.addresses import Network, first_refusal
from rheostat_server.ports.notifications import SendFailed

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
WHOLE_SECONDS = 15.0
LARGEST_ANSWER = 2048
_MOST_ADDRESSES = 4
_LONGEST_EXCERPT = 200
_AGAIN = frozenset({408, 425, 429})
ALLOW = "the operator can allow it: RHEOSTAT_NOTIFY_ALLOW_PRIVATE"


class Unresolved(Exception):
    """A name has no address now."""


class SafePost:
    """Sends a body by POST. The name is resolved once for each, its addresses are checked, and the connection goes to
    one of these very addresses: a name that changes its address in between gains nothing. Redirects are not followed,
    no proxy of the environment is used, and of an answer no more than 2 KiB is read.
    """

    def __init__(self, allowed: Sequence[Network], *, whole_seconds: float = WHOLE_SECONDS) -> None:
        self._allowed = allowed
        self._whole_seconds = whole_seconds
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        # A connection that is kept was verified for one name; another name may have the same address.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.AsyncClient(
            timeout=timeout, limits=limits, trust_env=False, follow_redirects=False, verify=ssl.create_default_context()
        )
        self._agent = f"Rheostat/{version('rheostat-server')}"

    async def refusal(self, url: str) -> str | None:
        """Return why nothing may be sent to a URL, in words; ``None`` where it may.

        Raises:
            Unresolved: nobody knows where it leads now.
        """
        parsed = httpx.URL(url)
        addresses = await self._resolve(parsed)
        return _words(parsed.host, addresses, first_refusal(addresses, self._allowed))

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], now_ms: int) -> None:
        """Send the body; return when the receiver has taken it. ``now_ms``: a receiver may name a time to wait for.

        Raises:
            SendFailed: it did not, or it may not be sent there.
        """
        try:
            async with asyncio.timeout(self._whole_seconds):
                status, asked, excerpt = await self._exchange(httpx.URL(url), body, headers)
        except TimeoutError as error:
            raise SendFailed(f"no whole answer within {self._whole_seconds:g} s", unreachable=True) from error
        _judge(status, _seconds(asked, now_ms), excerpt)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _exchange(self, url: httpx.URL, body: bytes, headers: Mapping[str, str]) -> tuple[int, str | None, str]:
        try:
            addresses = await self._resolve(url)
        except Unresolved as error:
            raise SendFailed(str(error), unreachable=True) from error
        if (why := _words(url.host, addresses, first_refusal(addresses, self._allowed))) is not None:
            raise SendFailed(f"not sent: {why}; {ALLOW}", final=True)
        failure: SendFailed | None = None
        for address in addresses[:_MOST_ADDRESSES]:
            request = self._client.build_request(
                "POST",
                url.copy_with(host=address),
                content=body,
                headers={
                    **headers,
                    "host": url.netloc.decode("ascii"),
                    "content-type": "application/json",
                    "user-agent": self._agent,
                    "accept-encoding": "identity",
                },
                extensions={"sni_hostname": url.host},
            )
            try:
                return await self._answer(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                # Nothing was sent yet: another address of the name may do.
                failure = SendFailed(f"no connection: {_said(error)}", unreachable=True)
            except httpx.TimeoutException as error:
                raise SendFailed("no answer in time", unreachable=True) from error
            except httpx.HTTPError as error:
                raise SendFailed(f"the connection broke: {_said(error)}", unreachable=True) from error
        raise failure or SendFailed("there is no address", unreachable=True)

    async def _answer(self, request: httpx.Request) -> tuple[int, str | None, str]:
        response = await self._client.send(request, stream=True)
        try:
            read = b""
            if not response.is_success:
                async for chunk in response.aiter_raw():
                    read += chunk
                    if len(read) >= LARGEST_ANSWER:
                        break
            return response.status_code, response.headers.get("retry-after"), _excerpt(read)
        finally:
            await response.aclose()

    async def _resolve(self, url: httpx.URL) -> list[str]:
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unresolved(f"{url.host} does not resolve: {_said(error)}") from error
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _words(host: str, addresses: Sequence[str], why: str | None) -> str | None:
    if why is None or host in addresses:
        return why
    return f"{host} leads to an address that is refused: {why}"


def _judge(status: int, after_s: float | None, excerpt: str) -> None:
    """Raise ``SendFailed`` unless the answer says that the message was taken."""
    if 200 <= status < 300:
        return
    said = f"the receiver answered {status}" + (f": {excerpt}" if excerpt else "")
    if 300 <= status < 400:
        raise SendFailed(f"the receiver answered {status}: redirects are not followed", final=True)
    if 400 <= status < 500 and status not in _AGAIN:
        raise SendFailed(said, final=True)
    raise SendFailed(said, unreachable=status == 429 or after_s is not None, after_s=after_s)


def _seconds(asked: str | None, now_ms: int) -> float | None:
    """Return how long a ``Retry-After`` asks us to wait: seconds, or a date."""
    if asked is None:
        return None
    if asked.strip().isdecimal():
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - now_ms / 1000)
    except ValueError:
        return None


def _excerpt(read: bytes) -> str:
    text = "".join(letter if letter.isprintable() else " " for letter in read.decode(errors="replace"))
    return " ".join(text.split())[:_LONGEST_EXCERPT]


def _said(error: BaseException) -> str:
    return (str(error) or type(error).__name__).split("\n", 1)[0]
