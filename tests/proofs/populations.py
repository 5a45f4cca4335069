"""Who is bucketed: units as applications have them, and flag keys as people name them."""

import random
import string
from collections.abc import Iterator
from uuid import UUID

Z_OF_A_MILLIONTH = 4.89
"""A standard normal is beyond ± this with a probability of 1e-6."""


def numeric(count: int) -> Iterator[str]:
    """Successive numbers, as databases give them."""
    return (str(number) for number in range(1_000_000, 1_000_000 + count))


def uuids(count: int) -> Iterator[str]:
    source = random.Random(71)
    return (str(UUID(int=source.getrandbits(128), version=4)) for _ in range(count))


def emails(count: int) -> Iterator[str]:
    names = ["maria", "john.smith", "li", "o'neil", "support+x", "a"]
    hosts = ["example.com", "example.org", "mail.example.net"]
    return (f"{names[n % 6]}{n}@{hosts[n % 3]}" for n in range(count))


def non_ascii(count: int) -> Iterator[str]:
    names = ["ñandú", "日本語", "Ωμέγα", "пользователь", "🙂", "é", "مستخدم"]
    return (f"{names[n % 7]}-{n}" for n in range(count))


FAMILIES = {"numeric": numeric, "uuid": uuids, "e-mail": emails, "non-ascii": non_ascii}


def flag_keys() -> list[str]:
    """A thousand keys: 400 successive ones, 300 random ones, 300 that differ in one character."""
    source = random.Random(72)
    letters = string.ascii_lowercase + string.digits + "-"
    successive = [f"flag-{number}" for number in range(400)]
    chance = ["".join(source.choice(letters) for _ in range(source.randint(1, 24))) for _ in range(300)]
    base = "checkout-v2-eu"
    near = [base[:at] + letter + base[at + 1 :] for at in range(len(base)) for letter in letters if letter != base[at]]
    keys = list(dict.fromkeys([*successive, *chance, base, *near]))
    return keys[:1_000]
