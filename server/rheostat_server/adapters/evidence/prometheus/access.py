"""How a Prometheus server is reached: address, credentials, certificates, tenant. What is in files may be rotated."""

import ssl
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec
import urllib3

CONNECTIONS = 8
"""Queries at the same time. Others wait their turn."""
_SMALL = 1 << 16


class AccessError(Exception):
    """A file with a credential or a certificate cannot be used. The message is one line and holds no secret."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Where a Prometheus is and how it lets us in.

    Credentials may stand in the URL too. Of a secret and its file, the file is used: it is read again when it
    changes, as are the certificates. ``timeout_s`` is for connecting and for each read; a whole query has twice that.
    ``tenant`` is sent as ``X-Scope-OrgID``.
    """

    url: str
    username: str | None = None
    password: str | None = None
    password_file: str | None = None
    token: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    tenant: str | None = None
    timeout_s: float = 5.0


class Connections:
    """One pool of connections to a Prometheus server, and the headers that each query carries.

    Its methods read files: they are called in threads that may wait.
    """

    def __init__(self, access: Access) -> None:
        parts = urlsplit(access.url)
        host = parts.netloc.rpartition("@")[2]
        self.base = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self._access = access
        self._user = (unquote(parts.username), unquote(parts.password or "")) if parts.username is not None else None
        self._certificates = tuple(name for name in (access.ca_file, access.cert_file, access.key_file) if name)
        self._made_of: tuple[tuple[int, int], ...] | None = None
        self._pool: urllib3.PoolManager | None = None
        self._renewing = threading.Lock()

    def pool(self) -> urllib3.PoolManager:
        """Return the pool; a new one where a certificate has changed since it was made.

        Raises:
            AccessError: a certificate cannot be read.
        """
        made_of = tuple(map(_stamp, self._certificates))
        with self._renewing:
            pool = self._pool
            if pool is None or made_of != self._made_of:
                former, pool = pool, self._new_pool()
                self._pool, self._made_of = pool, made_of
                if former is not None:
                    former.clear()
            return pool

    def headers(self) -> dict[str, str]:
        """Return the headers of a query, with credentials as they are now.

        Raises:
            AccessError: the file of a secret cannot be read.
        """
        access = self._access
        headers = {"Accept": "application/json"}
        token = access.token if access.token_file is None else _secret(access.token_file)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif access.username is not None:
            password = access.password if access.password_file is None else _secret(access.password_file)
            headers |= _basic(access.username, password or "")
        elif self._user is not None:
            headers |= _basic(*self._user)
        if access.tenant:
            headers["X-Scope-OrgID"] = access.tenant
        return headers

    def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            self._pool.clear()

    def _new_pool(self) -> urllib3.PoolManager:
        access = self._access
        context = None
        if self.base.startswith("https://"):
            try:
                context = ssl.create_default_context(cafile=access.ca_file)
                if access.cert_file is not None:
                    context.load_cert_chain(access.cert_file, access.key_file)
            except (OSError, ssl.SSLError) as error:
                raise AccessError(f"its certificates cannot be used: {error.strerror or error}") from error
        return urllib3.PoolManager(
            maxsize=CONNECTIONS,
            block=True,
            # A redirect would be followed with the credentials.
            retries=False,
            timeout=urllib3.Timeout(connect=access.timeout_s, read=access.timeout_s),
            ssl_context=context,
        )


def _basic(username: str, password: str) -> dict[str, str]:
    # urllib3's own helper knows Latin-1 alone.
    return dict(urllib3.make_headers(basic_auth=f"{username}:{password}".encode().decode("latin-1")))


def _secret(name: str) -> str:
    try:
        with Path(name).open(encoding="utf-8") as file:
            text = file.read(_SMALL).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessError(f"{name} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}") from error
    if not text or not text.isprintable():
        raise AccessError(f"{name} does not hold a secret of one line")
    return text


def _stamp(name: str) -> tuple[int, int]:
    try:
        status = Path(name).stat()
    except OSError as error:
        raise AccessError(f"{name} cannot be read: {error.strerror}") from error
    return status.st_mtime_ns, status.st_size
