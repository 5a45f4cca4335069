"""The socket that the server listens on."""

import errno
import socket

from rheostat_server.errors import AddressInUse, StartupRefused

BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    It listens from here on, so that a second server is refused before it touches anything; whoever connects
    meanwhile waits until the server is up.

    Raises:
        AddressInUse: something listens there.
        StartupRefused: the address is not one of this machine, or not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartupRefused(f"cannot listen on {host!r}: {error.strerror} (RHEOSTAT_HOST)") from error
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"port {port} on {host} is taken; stop what listens there, or choose another by RHEOSTAT_PORT"
            ) from error
        raise StartupRefused(
            f"cannot listen on {host} port {port}: {error.strerror} (RHEOSTAT_HOST, RHEOSTAT_PORT)"
        ) from error
    return sock


def url_of(sock: socket.socket) -> str:
    """Return the URL by which this machine reaches the socket."""
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
