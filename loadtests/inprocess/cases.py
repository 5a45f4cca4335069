"""What every SDK is asked: the same flags, users and questions, in no SDK's own words."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

COUNTRIES = ("ES", "FR", "DE", "IT", "PT", "NL", "BE", "AT")
"""The list of the first rule."""
LEAST_VERSION = "5.0.0"
"""The semantic version from which the second rule holds."""
SUFFIX = "@example.com"
"""How e-mail addresses end for which the third rule holds."""
RULES = "rules"
"""The key of the flag with the three rules. Who matches none is served ``False``."""
USERS = 2_000


@dataclass(frozen=True)
class User:
    """A user's key and attributes."""

    key: str
    attributes: dict[str, Any]

    def matches(self) -> bool:
        """Return whether one of the three rules holds for the user."""
        major = int(self.attributes["version"].partition(".")[0])
        return self.attributes["country"] in COUNTRIES or major >= 5 or self.attributes["email"].endswith(SUFFIX)


Run = Callable[[], list[bool]]
"""One pass: the answers to all questions, in their order. It holds the loop, so that no call is added to each."""


class Subject(Protocol):
    """An SDK that was given its flags. Contexts are made beforehand, in the SDK's own type."""

    def one_flag(self, key: str, users: list[User]) -> Run:
        """Return what asks for one flag for each user."""
        ...

    def all_flags(self, keys: list[str], user: User) -> Run:
        """Return what asks for each flag for one user."""
        ...


def shares(count: int) -> list[str]:
    """Return the keys of the boolean flags that are on for half of all users."""
    return [f"flag-{number}" for number in range(count)]


def units(many: list[User]) -> list[User]:
    """Return the same users without attributes."""
    return [User(user.key, {}) for user in many]


def users() -> list[User]:
    """Return distinct users of six attributes each. A quarter each match the first, second, third and no rule."""
    random = Random(4)
    found = []
    for number in range(USERS):
        rule = number % 4
        attributes = {
            "country": random.choice(COUNTRIES) if rule == 0 else random.choice(("US", "BR", "JP", "IN")),
            "version": f"{random.choice((5, 6, 7) if rule == 1 else (2, 3, 4))}.{number % 7}.{number % 3}",
            "email": f"user-{number}{SUFFIX if rule == 2 else '@example.net'}",
            "plan": random.choice(("free", "pro", "enterprise")),
            "device": random.choice(("phone", "desktop")),
            "beta": bool(number & 8),
        }
        found.append(User(f"user-{random.getrandbits(48)}", attributes))
    return found
