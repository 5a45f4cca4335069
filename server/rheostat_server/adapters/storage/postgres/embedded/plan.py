"""What a supervisor is told to run, and where its PostgreSQL is then found."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec

from rheostat_server.adapters.storage.postgres.embedded.account import ENVIRONMENT, Account
from rheostat_server.adapters.storage.postgres.embedded.binaries import Installation

USER = "rheostat"
DATABASE = "postgres"
PORT = 5432
"""It only names the socket: nothing listens on the network."""

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "64MB",
    "max_connections": "50",
    # A short log to replay after a crash.
    "max_wal_size": "256MB",
    "jit": "off",
    "timezone": "UTC",
    "logging_collector": "off",
    "log_checkpoints": "off",
    "cluster_name": "rheostat",
}


class Plan(msgspec.Struct, frozen=True):
    """One command for a supervisor. ``{home}`` in ``argv`` becomes the path by which the account reaches ``home``."""

    argv: list[str]
    home: str
    by_descriptor: bool
    account: Account
    log: str
    keep: bool
    pid_file: str = ""
    environment: Mapping[str, str] = msgspec.field(default_factory=lambda: dict(ENVIRONMENT))


def plan_creation(installation: Installation, account: Account, home: Path, log: Path) -> Plan:
    """Return the plan that makes ``home/cluster``, with the password in ``home/password``."""
    # Byte order and Unicode letters, the same on every machine, whatever locales it has.
    locale = ["--locale=C"]
    if installation.major >= 17:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return Plan(
        argv=[
            str(installation.bin / "initdb"),
            "--pgdata={home}/cluster",
            f"--username={USER}",
            "--pwfile={home}/password",
            "--auth-local=scram-sha-256",
            "--auth-host=reject",
            "--encoding=UTF8",
            *locale,
        ],
        home=str(home),
        by_descriptor=reached_by_descriptor(account),
        account=account,
        log=str(log),
        keep=False,
    )


def plan_running(installation: Installation, account: Account, home: Path, socket_dir: Path, log: Path) -> Plan:
    """Return the plan that keeps the PostgreSQL of ``home/cluster`` running."""
    # In its own directory the socket is reached the same way as the data.
    listen = "{home}" if socket_dir == home else str(socket_dir).replace('"', '""')
    settings = {**SETTINGS, "unix_socket_directories": f'"{listen}"'}
    return Plan(
        argv=[
            str(installation.bin / "postgres"),
            "-D",
            "{home}/cluster",
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        ],
        home=str(home),
        by_descriptor=reached_by_descriptor(account),
        account=account,
        log=str(log),
        keep=True,
        pid_file=str(home / "cluster" / "postmaster.pid"),
    )


def reached_by_descriptor(account: Account) -> bool:
    """Say whether the account may be unable to walk to its own directory.

    Root's data directory is private to root, and so may be any directory above it.
    """
    return account.kind != "self" and os.path.exists("/proc/self/fd")  # noqa: PTH110


def connection_url(socket_dir: Path, password: str) -> str:
    """Return the URL of the PostgreSQL that listens in ``socket_dir``."""
    where = quote(str(socket_dir), safe="/")
    return f"postgresql://{USER}:{quote(password, safe='')}@/{DATABASE}?host={where}&port={PORT}"
