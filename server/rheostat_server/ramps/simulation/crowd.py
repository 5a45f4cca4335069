"""Who sends the requests of a simulated ramp: users of equal or unequal activity, and groups that fail alike. Pure."""

import enum
import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from copy import copy
from itertools import accumulate
from typing import NamedTuple, TypeAlias

import msgspec

PARETO_SHAPE = 1.2
"""Of the activity of unequal users: with 2 000 of them the busiest one sends about 5 % of all requests."""
ALL_PLACED = 50_000
"""Up to so many users each one's place on the line is drawn; of more, only of those who are met."""


class Activity(enum.StrEnum):
    """How unequal the users' rates of requests are."""

    EQUAL = "equal"
    PARETO = "pareto"


class Moment(NamedTuple):
    """``t_s`` since the ramp started; ``exposed_s`` since its first exposure, negative before."""

    t_s: float
    exposed_s: float


Fails: TypeAlias = Callable[[Moment, bool], float]
"""The chance (0 … 1) that a request at a moment fails, of a user without (``False``) or with the variant."""


class Group(NamedTuple):
    """Users who fail alike: their share of all (0 … 1). ``every_s``: each fails once each such time, by the clock."""

    share: float
    fails: Fails
    every_s: float | None = None


class Traffic(NamedTuple):
    """Requests of a service in which a flag is met.

    ``groups``' shares add up to 1. ``shape`` is the factor on ``rps`` at a time (s since the start). ``vanished`` is
    the share of the requests with the variant that end nowhere and are counted nowhere.
    """

    rps: float
    users: int
    groups: tuple[Group, ...]
    activity: Activity = Activity.EQUAL
    shape: Callable[[float], float] | None = None
    vanished: float = 0.0

    def factor(self, t_s: float) -> float:
        """Return how many times ``rps`` comes at this time."""
        return 1.0 if self.shape is None else self.shape(t_s)


def steady(rate: float) -> Fails:
    """Return failures of a constant chance, with the variant and without."""
    return lambda at, variant: rate


def regression(usual: float, harm: float, onset_s: float = 0.0) -> Fails:
    """Return failures that the variant brings from ``usual`` to ``harm``, from ``onset_s`` after the first exposure."""
    return lambda at, variant: harm if variant and at.exposed_s >= onset_s else usual


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic that people describe in a command. Rates are 0 … 1; ``regression`` none: the variant is harmless."""

    rps: float
    users: int
    baseline: float
    regression: float | None = None
    onset_s: float = 0.0
    broken: float = 0.0
    activity: Activity = Activity.EQUAL

    def traffic(self) -> Traffic:
        """Return it with the functions that say who fails when."""
        harm = self.baseline if self.regression is None else self.regression
        groups = [Group(1 - self.broken, regression(self.baseline, harm, self.onset_s))]
        if self.broken:
            groups.append(Group(self.broken, steady(1.0)))
        return Traffic(rps=self.rps, users=self.users, groups=tuple(groups), activity=self.activity)


class Crowd:
    """The users of one run: each one's rate, group, place on the line and hash.

    Users are numbers from 0. A group's are successive: activity and place do not depend on the number. The same seed,
    as it is printed, gives the same crowd.
    """

    def __init__(self, traffic: Traffic, seed: object) -> None:
        self.traffic = traffic
        self._seed = seed
        draw = self._draw = self.chance("users")
        self.size = traffic.users
        self._ends = self._group_ends()
        self._rates: list[float] | None = None
        self._sums: list[float] = []
        if traffic.activity is Activity.PARETO:
            raw = [(1.0 - draw.random()) ** (-1.0 / PARETO_SHAPE) for _ in range(self.size)]
            scale = traffic.rps / math.fsum(raw)
            self._rates = [value * scale for value in raw]
            self._sums = list(accumulate(self._rates, initial=0.0))
        self._placed = [draw.random() for _ in range(self.size)] if self.size <= ALL_PLACED else None
        self._places: dict[int, float] = {}
        self._hashes: dict[int, float] = {}
        self._limit = 0.0
        self._treated: dict[float, tuple[float, ...]] = {}
        self._sampled: list[int] = []

    def under(self, traffic: Traffic) -> "Crowd":
        """Return the very same users under a traffic that differs in who fails when, and in nothing else."""
        other = copy(self)
        other.traffic = traffic
        return other

    def chance(self, what: str) -> random.Random:
        """Return the seed's generator for something: the same one each time, and independent of any other's."""
        return random.Random(f"{self._seed}:{what}")

    def rate(self, user: int) -> float:
        """Return the user's requests per second."""
        return self.traffic.rps / self.size if self._rates is None else self._rates[user]

    def place(self, user: int) -> float:
        """Return the user's place on the line, 0 … 1: below x is treated."""
        if self._placed is not None:
            return self._placed[user]
        return self._places.setdefault(user, self._draw.random())

    def hash(self, user: int) -> float:
        """Return the hash by which units are thinned, 0 … 1: independent of the place."""
        return self._hashes.setdefault(user, self._limit + (1 - self._limit) * self._draw.random())

    def group_index(self, user: int) -> int:
        """Return the number of the user's group."""
        return bisect_right(self._ends, user)

    def members(self, index: int) -> range:
        """Return the users of a group."""
        return range(self._ends[index - 1] if index else 0, self._ends[index])

    def volume(self, index: int) -> float:
        """Return the requests per second of a group."""
        users = self.members(index)
        if self._rates is None:
            return self.traffic.rps * len(users) / self.size
        return self._sums[users.stop] - self._sums[users.start]

    def treated_volumes(self, x: float) -> tuple[float, ...]:
        """Return the requests per second of each group's users below x."""
        found = self._treated.get(x)
        if found is None:
            found = self._treated[x] = tuple(self._treated_volumes(x))
        return found

    def picked(self, index: int) -> int:
        """Return the user of a group whose request is next: each in proportion to its rate."""
        users = self.members(index)
        if self._rates is None:
            return users.start + int(self._draw.random() * len(users))
        low, high = self._sums[users.start], self._sums[users.stop]
        at = bisect_right(self._sums, low + self._draw.random() * (high - low), users.start, users.stop)
        return min(users.stop - 1, at - 1)

    def sample(self, most: int, window_s: float) -> tuple[list[int], float]:
        """Return the users whose hash is below a limit, and the limit: about ``most`` of them in a window.

        They are drawn at the first call.
        """
        if self._sampled:
            return self._sampled, self._limit or 1.0
        everyone = range(self.size)
        if self._rates is None:
            expected = self.size * -math.expm1(-self.traffic.rps / self.size * window_s)
        else:
            expected = math.fsum(-math.expm1(-rate * window_s) for rate in self._rates)
        limit = min(1.0, most / expected) if expected > 0 else 1.0
        if limit >= 1:
            self._sampled = list(everyone)
            return self._sampled, 1.0
        size = self.size * limit
        count = min(self.size, max(0, round(self._draw.gauss(size, math.sqrt(size * (1 - limit))))))
        self._limit = limit
        self._sampled = self._draw.sample(everyone, count)
        for user in self._sampled:
            self._hashes[user] = limit * self._draw.random()
        return self._sampled, limit

    def _group_ends(self) -> list[int]:
        ends, share = [], 0.0
        for group in self.traffic.groups:
            share += group.share
            ends.append(min(self.size, round(share * self.size)))
        ends[-1] = self.size
        return ends

    def _treated_volumes(self, x: float) -> Iterator[float]:
        for index in range(len(self.traffic.groups)):
            users = self.members(index)
            if self._placed is None:
                yield self.volume(index) * x
            elif self._rates is None:
                yield self.traffic.rps / self.size * sum(self._placed[user] < x for user in users)
            else:
                yield math.fsum(self._rates[user] for user in users if self._placed[user] < x)
