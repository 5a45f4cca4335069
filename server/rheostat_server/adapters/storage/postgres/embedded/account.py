"""Whom PostgreSQL runs as: it refuses to run as root."""

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from rheostat_server.adapters.storage.postgres.embedded import supervisor
from rheostat_server.errors import StartupRefused

PREFERRED = ("postgres", "nobody")

ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/", "LC_ALL": "C", "TZ": "UTC"}
"""All that PostgreSQL's programs get: a stray PGDATA or LD_PRELOAD of the person's shell must not steer them."""


class Account(msgspec.Struct, frozen=True):
    """A user for PostgreSQL.

    ``self``: the server's own. ``user``: another, by setuid. ``namespace``: root's files, but seen from a user
    namespace in which the process has this ``uid``.
    """

    kind: Literal["self", "user", "namespace"]
    uid: int
    gid: int

    @property
    def owner(self) -> tuple[int, int]:
        """The (uid, gid) that its files have on disk, as the server sees them."""
        return (self.uid, self.gid) if self.kind == "user" else (os.geteuid(), os.getegid())

    def give(self, path: Path) -> None:
        """Make ``path`` this account's own. Does nothing where it already is."""
        if self.kind == "user":
            os.chown(path, *self.owner)

    def run(self, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command as this account; return its exit code and output. 126: it could not be executed."""
        command = list(argv)
        if self.kind == "namespace":
            command = [*_ALONE, "namespace", str(self.uid), str(self.gid), *command]
        other = self.kind == "user"
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd="/",
                env=dict(ENVIRONMENT),
                user=self.uid if other else None,
                group=self.gid if other else None,
                extra_groups=[] if other else None,
                timeout=20,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return 126, str(error)
        return done.returncode, done.stdout


_ALONE = (sys.executable, "-I", "-S", supervisor.__file__)


def supervisor_command() -> list[str]:
    """Return the command that starts a supervisor."""
    return list(_ALONE)


def choose_account(data_dir: Path, home: Path) -> Account:
    """Return the account for the PostgreSQL in ``home``, whose owner decides once it exists.

    Raises:
        StartupRefused: the directory is another user's, or root has no way to run PostgreSQL as someone else.
    """
    me = os.geteuid()
    found = home.stat() if home.exists() else None
    if me != 0:
        if found is not None and found.st_uid != me:
            raise StartupRefused(f"{home} belongs to {_name(found.st_uid)}: run the server as that user, or as root")
        # initdb insists that its user has a name; in a container run as some number it may have none.
        nameless = None if _has_name(me) else _in_namespace()
        return nameless or Account("self", me, os.getegid())
    if found is not None and found.st_uid != 0:
        account = Account("user", found.st_uid, found.st_gid)
        if not _can_become(account, data_dir):
            raise StartupRefused(f"{home} belongs to {_name(found.st_uid)}, whom root cannot become here")
        return account
    if found is None:
        for entry in _preferred():
            account = Account("user", entry.pw_uid, entry.pw_gid)
            if _can_become(account, data_dir):
                return account
    inside = _in_namespace()
    if inside is not None:
        return inside
    raise StartupRefused(
        "PostgreSQL does not run as root, and here root can become nobody else: "
        "start the server as an ordinary user, or set RHEOSTAT_DATABASE_URL"
    )


def _can_become(account: Account, data_dir: Path) -> bool:
    """Say whether root here may both run as the account and give it files (in some containers it may not)."""
    try:
        with tempfile.NamedTemporaryFile(dir=data_dir) as probe:
            os.chown(probe.name, *account.owner)
    except OSError:
        return False
    return account.run(["/bin/sh", "-c", "exit 0"])[0] == 0


def _in_namespace() -> Account | None:
    """Return an account in a user namespace, or None where the kernel or a container forbids those."""
    # Any name does there, so that initdb finds one.
    named = [entry for entry in (*_preferred(), *pwd.getpwall()) if entry.pw_uid != 0]
    if not named:
        return None
    account = Account("namespace", named[0].pw_uid, named[0].pw_gid)
    return account if account.run(["/bin/sh", "-c", "exit 0"])[0] == 0 else None


def _preferred() -> list[pwd.struct_passwd]:
    entries = {entry.pw_name: entry for entry in pwd.getpwall()}
    return [entries[name] for name in PREFERRED if name in entries]


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _name(uid: int) -> str:
    return f"user {pwd.getpwuid(uid).pw_name}" if _has_name(uid) else f"user {uid}"
