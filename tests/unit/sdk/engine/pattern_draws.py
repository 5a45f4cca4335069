"""Random patterns of the subset, each with texts that have a chance to match."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

CHARACTERS = "aabbcckKsS01_- .\n\té\u00dfſßẞΐ\u1fd3\u212aσςΣ日🙂"
"""Few, so that they meet; with families of case that no ASCII rule knows."""
SETS = {r"\d": "01", r"\w": "ab0_K", r"\s": " \n\t", r"\D": "a\né", r"\W": "- é", r"\S": "a0日", ".": "ab0 é🙂"}
COUNTS = ("*", "+", "?", "{2}", "{0}", "{0,2}", "{1,3}", "{2,}", "{0,1}", "{12,20}")
SPECIAL = "\\.^$*+?{}[]()|-"


@dataclass(frozen=True)
class Drawn:
    """A pattern, and what gives texts that its middle matches."""

    pattern: str
    text: Callable[[], str]


def draw(random: Random, depth: int = 3) -> Drawn:
    """Return a choice of chains."""
    choices = [_chain(random, depth) for _ in range(random.choice((1, 1, 1, 2, 3)))]
    return Drawn("|".join(one.pattern for one in choices), lambda: random.choice(choices).text())


def texts(random: Random, drawn: Drawn, count: int) -> list[str]:
    """Return texts: what should match, alone, amid others, spoilt; and some that are merely of the same characters."""
    found = []
    for _ in range(count):
        text = drawn.text() if random.random() < 0.7 else ""
        kind = random.randrange(4)
        if kind == 0:
            text = _noise(random) + text + _noise(random)
        elif kind == 1 and text:
            at = random.randrange(len(text))
            text = text[:at] + random.choice(CHARACTERS) + text[at + random.randrange(2) :]
        elif kind == 2:
            text = text.swapcase()
        found.append(text[:400])
    return found


def _noise(random: Random) -> str:
    return "".join(random.choices(CHARACTERS, k=random.randrange(5)))


def _chain(random: Random, depth: int) -> Drawn:
    parts = [_counted(random, depth) for _ in range(random.choice((0, 1, 1, 2, 2, 3, 4)))]
    return Drawn("".join(one.pattern for one in parts), lambda: "".join(one.text() for one in parts))


def _counted(random: Random, depth: int) -> Drawn:
    body = _atom(random, depth)
    if random.random() < 0.6:
        return body
    count = random.choice(COUNTS) + random.choice(("", "", "?"))
    return Drawn(body.pattern + count, lambda: "".join(body.text() for _ in range(random.choice((0, 1, 2, 2, 3)))))


def _atom(random: Random, depth: int) -> Drawn:
    kind = random.randrange(12 if depth else 9)
    if kind == 0:
        return Drawn(random.choice("^$"), lambda: "")
    if kind <= 2:
        name = random.choice(list(SETS))
        return Drawn(name, lambda: random.choice(SETS[name]))
    if kind == 3:
        return _class(random)
    if kind <= 8:
        char = random.choice(CHARACTERS)
        return Drawn(_literal(random, char), lambda: char)
    inner = draw(random, depth - 1)
    return Drawn(random.choice(("(", "(?:")) + inner.pattern + ")", inner.text)


def _literal(random: Random, char: str) -> str:
    if random.random() < 0.2:
        return f"\\x{{{ord(char):X}}}"
    return "\\" + char if char in SPECIAL else char


def _class(random: Random) -> Drawn:
    items, inside = [], []
    for _ in range(random.randrange(1, 4)):
        low, high = sorted(random.choices(CHARACTERS, k=2))
        kind = random.randrange(4)
        if kind == 0:
            name = random.choice([name for name in SETS if name != "."])
            items.append(name)
            inside.append(random.choice(SETS[name]))
        elif kind == 1:
            items.append(f"{_in_class(low)}-{_in_class(high)}")
            inside += [low, high]
        else:
            items.append(_in_class(low))
            inside.append(low)
    negative = "^" if random.random() < 0.3 else ""
    return Drawn(f"[{negative}{''.join(items)}]", lambda: random.choice(inside if not negative else CHARACTERS))


def _in_class(char: str) -> str:
    return "\\" + char if char in SPECIAL else char
