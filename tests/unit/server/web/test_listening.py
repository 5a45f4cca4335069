"""The socket, and the file by which commands find the server."""

import os
import stat
from pathlib import Path

import pytest

from rheostat_server.errors import AddressInUse, StartupRefused
from rheostat_server.listening import listen, url_of
from rheostat_server.server_file import ServerFile, read_server_file, remove_server_file, write_server_file


@pytest.mark.parametrize(("host", "reached"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1")])
def test_a_second_listener_is_refused_at_once(host: str, reached: str) -> None:
    """A port that is listened on is taken for everyone else; the URL is one that this machine reaches."""
    with listen(host, 0) as sock:
        port = sock.getsockname()[1]
        assert url_of(sock) == f"http://{reached}:{port}"
        with pytest.raises(AddressInUse, match=f"port {port} on {host} is taken"):
            listen(host, port)


@pytest.mark.parametrize("host", ["192.0.2.1", "not a host"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    """An address that is not this machine's, or none at all, is refused with the setting's name."""
    with pytest.raises(StartupRefused, match="RHEOSTAT_HOST"):
        listen(host, 0)


def test_the_file_names_a_running_server_only(tmp_path: Path) -> None:
    """What a server wrote is found while its process runs, is private, and is gone when it stops."""
    assert read_server_file(tmp_path) is None
    write_server_file(tmp_path, ServerFile("http://127.0.0.1:1", os.getpid()))

    assert read_server_file(tmp_path) == ServerFile("http://127.0.0.1:1", os.getpid())
    assert stat.S_IMODE((tmp_path / "server.json").stat().st_mode) == 0o600
    # No process has this id: it is above the highest that Linux gives.
    write_server_file(tmp_path, ServerFile("http://127.0.0.1:1", 2**22 + 1))
    assert read_server_file(tmp_path) is None
    remove_server_file(tmp_path)
    remove_server_file(tmp_path)
    assert not (tmp_path / "server.json").exists()
