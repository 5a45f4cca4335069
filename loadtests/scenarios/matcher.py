"""Nanoseconds per match of a pattern, beside the standard library's ``re``, and what hostile text costs.

The standard library backtracks, so it is only the baseline for ordinary patterns: user patterns never meet it.
Each figure is the best of several rounds, taken in turn, so that other work on the machine disturbs all alike.
"""

import re
import timeit
from collections.abc import Callable
from random import Random

from rheostat.engine.matcher import matcher

CALLS, ROUNDS = 20_000, 9

PAIRS = (
    ("^beta-", "beta-tester-17"),
    (r"@example\.(com|org)$", "jane.doe@example.org"),
    (r"^user-\d+$", "user-123456"),
    (r"^user-\d+$", "guest-123456"),
    (r"^[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}$", "jane.doe@mail.example.com"),
    (r"(?i)^[^@]+@(eu|us)\.example\.com$", "Jane.Doe@EU.example.com"),
    ("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "6f1c2e34-0b5d-4c8e-9f00-aabbccddeeff"),
    (r"(iPhone|iPad).*OS 1[5-9]_", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15"),
    (r"\d{3}-\d{4}", "no such number in this text, which goes on for a while"),
    ("^東京.*区$", "東京都千代田区"),
)
HOSTILE = (
    ("^(a*)*[bc]$", "a"),
    ("(.*){50}x[yz]", "x"),
    ("^(x+x+)+[yz]", "x"),
    ("[ab]*a[ab]{20}[cd]", "ab"),
)
LENGTH = 1_000_000


def nanoseconds(*calls: Callable[[], object]) -> list[float]:
    """Return the least time of one call of each, the time of calling nothing taken off."""
    best = [float("inf")] * (len(calls) + 1)
    for _ in range(ROUNDS):
        for number, call in enumerate((lambda: None, *calls)):
            best[number] = min(best[number], timeit.timeit(call, number=CALLS))
    return [(spent - best[0]) / CALLS * 1e9 for spent in best[1:]]


def main() -> None:
    """Print the figures."""
    print(f"{'pattern':<46}{'here':>8}{'re':>8}   ratio")
    for pattern, text in PAIRS:
        ours, theirs = matcher(pattern), re.compile(pattern).search
        here, there = nanoseconds(lambda: ours(text), lambda: theirs(text))  # noqa: B023 - called at once
        print(f"{pattern:<46}{here:5.0f} ns{there:5.0f} ns{here / there:7.1f} ×")
    print(f"\n{'a new pattern':<46}{'to compile':>13}")
    for pattern, _ in PAIRS[3:7]:
        spent = min(timeit.repeat(lambda: matcher.__wrapped__(pattern), number=20, repeat=ROUNDS))  # noqa: B023
        print(f"{pattern:<46}{spent / 20 * 1e6:10.0f} µs")
    print(f"\n{'hostile text of a million characters':<46}{'a character':>13}")
    for pattern, characters in HOSTILE:
        hostile = "".join(Random(1).choices(characters, k=LENGTH))
        search = matcher(pattern)
        spent = min(timeit.repeat(lambda: search(hostile), number=1, repeat=3))  # noqa: B023
        print(f"{pattern:<46}{spent / LENGTH * 1e9:10.0f} ns")


if __name__ == "__main__":
    main()
