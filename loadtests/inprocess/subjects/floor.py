"""The floor: text joined, hashed and compared, with no flag looked up and nothing else asked."""

from loadtests.inprocess.cases import Run, User
from mmh3 import mmh3_32_uintdigest

PACKAGES = ("mmh3",)
_HALF = 1 << 31


class Subject:
    """Hashes."""

    def one_flag(self, key: str, users: list[User]) -> Run:
        hashed, salt, units = mmh3_32_uintdigest, f"{key}/", [user.key for user in users]
        return lambda: [hashed((salt + unit).encode(), 1) < _HALF for unit in units]

    def all_flags(self, keys: list[str], user: User) -> Run:
        hashed, unit = mmh3_32_uintdigest, user.key
        return lambda: [hashed((f"{key}/" + unit).encode(), 1) < _HALF for key in keys]


def load(count: int) -> Subject:
    """Return the floor, which has no flags."""
    del count
    return Subject()
