"""One server as the command line talks to it."""

from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import urllib3

from rheostat_server.errors import Fault

_AWAY = frozenset({502, 503, 504})
_TIMEOUT = urllib3.Timeout(connect=3.0, read=30.0)


class CommandFailed(Exception):
    """The command cannot go on. ``str`` is what to print."""


class Faulty(CommandFailed):
    """The server found faults in what was sent."""

    def __init__(self, message: str, detail: str, faults: list[Fault]) -> None:
        super().__init__(message)
        self.detail = detail
        self.faults = faults


class Unreachable(CommandFailed):
    """The server does not answer at all, or only that it cannot just now."""


class Answered(msgspec.Struct, frozen=True):
    """A good answer: its JSON, the entity tag that came with it, and its status."""

    body: Any
    etag: str | None
    status: int = 200


class Connection:
    """Requests to the admin API under ``/api/v1``, with errors in words."""

    def __init__(self, url: str, token: str | None, *, project: str, environment: str) -> None:
        """Send nothing yet.

        Raises:
            ValueError: the URL is none, or the token cannot be one.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is not of the form http(s)://host[:port]")
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            raise ValueError("the token has characters that no token has")
        self.url = url.rstrip("/")
        self.project = project
        self.environment = environment
        self._token = token
        self._pool = urllib3.PoolManager(retries=False)

    @property
    def of_project(self) -> str:
        """The path of the project."""
        return f"/projects/{quote(self.project, safe='')}"

    @property
    def of_environment(self) -> str:
        """The path of the environment."""
        return f"{self.of_project}/environments/{quote(self.environment, safe='')}"

    def flag(self, key: str) -> str:
        """Return the path of a flag."""
        return f"{self.of_project}/flags/{quote(key, safe='')}"

    def flag_in_environment(self, key: str) -> str:
        """Return the path of a flag in the environment."""
        return f"{self.of_environment}/flags/{quote(key, safe='')}"

    def get(self, path: str, **query: Any) -> Any:
        """GET and return the JSON."""
        return self.send("GET", path, query=query).body

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        """POST and return the JSON."""
        return self.send("POST", path, body={} if body is None else body, query=query).body

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: dict[str, Any] | None = None,
        etag: str | None = None,
        create: bool = False,
        seconds: float | None = None,
    ) -> Answered:
        """Send one request. ``create``: only when nothing is there yet. ``etag``: only when that is still there.

        ``seconds`` is how long to wait for the answer at most, where that is less than usual.

        Raises:
            Unreachable: nobody answers, or who answers cannot reach the database (503) or the server (502, 504).
            Faulty: what was sent has faults; the message lists them.
            CommandFailed: the server said no; the message says why and what to do.
        """
        headers = {"accept": "application/json", "user-agent": "rheostat-cli"}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["content-type"] = "application/json"
        if etag is not None:
            headers["if-match"] = etag
        if create:
            headers["if-none-match"] = "*"
        given = {name: value for name, value in (query or {}).items() if value is not None}
        address = f"{self.url}/api/v1{path}" + (f"?{urlencode(given, doseq=True)}" if given else "")
        data = None if body is None else msgspec.json.encode(body)
        timeout = _TIMEOUT if seconds is None else urllib3.Timeout(total=seconds)
        try:
            answer = self._pool.request(method, address, body=data, headers=headers, timeout=timeout)
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(
                f"cannot reach {self.url}: {_in_words(error)}\n"
                "Is the server running (`make run`, `rheostat serve`)? Is RHEOSTAT_URL right?"
            ) from error
        if answer.status >= 400:
            raise _refusal(answer.status, answer.data, has_token=bool(self._token))
        try:
            body = msgspec.json.decode(answer.data) if answer.data else None
            return Answered(body, answer.headers.get("etag"), answer.status)
        except msgspec.DecodeError as error:
            raise CommandFailed(f"{self.url} answers, but not as Rheostat does; is RHEOSTAT_URL right?") from error


def _in_words(error: Exception) -> str:
    text = str(error)
    return "connection refused" if "refused" in text else text.rsplit(": ", 1)[-1]


def _refusal(status: int, data: bytes, *, has_token: bool) -> CommandFailed:
    faults: list[Fault] = []
    try:
        problem = msgspec.json.decode(data)
        lines = [str(problem.get("detail") or problem.get("title") or f"the server answered {status}")]
        faults = msgspec.convert(problem.get("faults", []), list[Fault])
        lines += [f"  {fault}" for fault in faults]
    except (msgspec.DecodeError, msgspec.ValidationError, AttributeError):
        lines = [f"the server answered {status}: {data[:200].decode(errors='replace')}"]
    if status == 401:
        lines.append(
            "Lost it? `rheostat token reset` on the server's machine makes a new one."
            if has_token
            else "Give a token: --token, RHEOSTAT_TOKEN, or `rheostat profile set default --token …`."
        )
    message = "\n".join(lines)
    if status in _AWAY:
        return Unreachable(message)
    return Faulty(message, lines[0], faults) if faults else CommandFailed(message)
