"""What SDKs would report of a simulated crowd, block by block, as a source of evidence adds it up. Pure.

What is drawn, and how exactly:

- Each bad request is drawn on its own: when it came, and whose it was, in proportion to the users' rates. So it is
  exact that a unit fails newly, fails again after its cooldown, or is thinned out of a batch.
- The first request of each sampled unit in a window (and epoch) is drawn on its own too, with how it ended; no other
  request of that unit comes before it. So samples and failures belong to the same requests. Where requests vanish it
  is the first one that does not: a unit that loses half of its requests is still seen with the other half.
- All other requests are only counted: Poisson by arm.
- Rates of failing, exposure and traffic are those at the middle of the block.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from rheostat_server.ramps.evidence import ArmTotals, Block
from rheostat_server.ramps.simulation.crowd import Crowd, Group, Moment
from rheostat_server.ramps.simulation.draws import poisson

WINDOW_S = 300.0
COOLDOWN_S = 300.0
"""A unit that had not failed for so long is counted again by M_h."""
SAMPLED_A_WINDOW = 2_000
"""The server's limit on sampled units of a ramp and window."""
FAILING_A_BATCH = 1_000
"""The failing units of a flag that one batch names."""
_NEVER = -1


class View(msgspec.Struct, frozen=True, kw_only=True):
    """As what a share of the requests is evaluated and reported.

    ``drawn`` is the share of users who are the treatment arm, ``served`` of those who have the variant (the same but
    for arming). ``delay_s`` is how long their reports take; ``lost`` the share of reports that never come.
    """

    epoch: int
    exposure_ppm: int
    drawn: float
    served: float
    share: float = 1.0
    delay_s: float = 0.0
    lost: float = 0.0


class Tally(msgspec.Struct):
    """The counts of one arm while they grow: fields as those of ``ArmTotals``."""

    ended: int = 0
    bad: int = 0
    failing: int = 0
    units: int = 0
    units_bad: int = 0
    seen: int = 0
    sampled: int = 0
    sampled_bad: int = 0
    arrivals: int = 0
    active: int = 0
    active_failed: int = 0
    recounted: int = 0
    recounted_squares: int = 0

    def totals(self) -> ArmTotals:
        """Return what was counted."""
        return ArmTotals(**msgspec.structs.asdict(self))


class _Account:
    """What is told of one block: by view the arms (treatment, control), and the failures (user, s, view) in it."""

    def __init__(self, views: Sequence[View]) -> None:
        self.views = views
        self.arms = [(Tally(), Tally()) for _ in views]
        self.failures: list[tuple[int, float, int]] = []


class _Failed(msgspec.Struct):
    last_s: float
    times: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A block, and how long its reports take."""

    block: Block
    delay_s: float


class Stream:
    """The requests of a crowd, from 0 s on. ``levels`` are the plan's exposures with the treated share of each."""

    def __init__(
        self,
        crowd: Crowd,
        levels: Sequence[tuple[int, float]] = (),
        *,
        batches_a_second: float = 1.0,
    ) -> None:
        self._crowd = crowd
        self._draw = crowd.chance("requests")
        self._levels = [ppm for ppm, _ in levels]
        self._shares = [share for _, share in levels]
        self._batches_a_second = batches_a_second
        self._failed: dict[int, _Failed] = {}
        self._sampled, self.limit = crowd.sample(SAMPLED_A_WINDOW, WINDOW_S)
        self._sampled_rates = [crowd.rate(user) for user in self._sampled]
        self._period: tuple[int, int] | None = None
        self._first_s: dict[int, float] = {}
        self._coming: list[tuple[float, int]] = []
        self._window_of: dict[int, int] = {}
        self._epoch_of: dict[int, int] = {}
        self._phases: dict[int, float] = {}
        self._bad_sampled: set[int] = set()
        self._arrivals: dict[int, int] = {}
        self.exposed_units = 0
        """Distinct treated units sampled in the present epoch, those thinned out reckoned in."""
        self.harmed = 0
        """Failed requests of users who had the variant, since the stream began."""

    def blocks(self, from_s: float, until_s: float, views: Sequence[View], exposed_s: float) -> list[Told]:
        """Return what was reported of the requests of (from, until], a block a view; the last view is the present.

        ``exposed_s`` is when the first exposure was; in the future while arming.
        """
        draw, crowd, traffic = self._draw, self._crowd, self._crowd.traffic
        middle_s = (from_s + until_s) / 2
        at = Moment(middle_s, middle_s - exposed_s)
        factor = traffic.factor(middle_s)
        account = _Account(views)
        self._begin_period(from_s, int(from_s // WINDOW_S), views[-1], factor)
        for index, group in enumerate(traffic.groups):
            self._count_requests(index, account, factor * (until_s - from_s))
            if group.every_s is not None:
                self._fail_by_the_clock(index, group.every_s, (from_s, until_s), account)
                continue
            usual, harm = group.fails(at, False), group.fails(at, True)
            top = max(usual, harm)
            for _ in range(poisson(draw, crowd.volume(index) * factor * (until_s - from_s) * top)):
                user = crowd.picked(index)
                view = self._view_of(views)
                variant = crowd.place(user) < views[view].served
                if usual != harm and draw.random() * top >= (harm if variant else usual):
                    continue
                if variant and traffic.vanished and draw.random() < traffic.vanished:
                    continue
                t_s = from_s + draw.random() * (until_s - from_s)
                # Its first request of this period is drawn with the samples; before that there is none.
                if t_s > self._first_s.get(user, -1.0):
                    account.failures.append((user, t_s, view))
        self._take_samples(until_s, at, account)
        self._tell_failures(until_s - from_s, account)
        return [
            Told(
                block=Block(
                    from_ms=round(from_s * 1000),
                    until_ms=round(until_s * 1000),
                    epoch=view.epoch,
                    exposure_ppm=view.exposure_ppm,
                    treatment=treatment.totals(),
                    control=control.totals(),
                ),
                delay_s=view.delay_s,
            )
            for view, (treatment, control) in zip(views, account.arms, strict=True)
        ]

    @property
    def arrivals_by_level(self) -> tuple[tuple[int, int], ...]:
        """The arrivals while arming, by the least level (ppm) that exposes them; −1 for those that none does."""
        return tuple(sorted(self._arrivals.items()))

    def _view_of(self, views: Sequence[View]) -> int:
        if len(views) == 1:
            return 0
        at = self._draw.random()
        for index, view in enumerate(views):
            at -= view.share
            if at < 0:
                return index
        return len(views) - 1

    def _begin_period(self, now_s: float, window: int, view: View, factor: float) -> None:
        if self._period == (window, view.epoch):
            return
        if self._period is None or self._period[1] != view.epoch:
            self._epoch_of = {}
            self.exposed_units = 0
        self._period = (window, view.epoch)
        log, chance = math.log, self._draw.random
        ends_s = (window + 1) * WINDOW_S
        times = [now_s - log(1.0 - chance()) / (rate * factor) for rate in self._sampled_rates]
        if (vanished := self._crowd.traffic.vanished) and view.served:
            for index, user in enumerate(self._sampled):
                if self._crowd.place(user) < view.served:
                    waits = times[index] - now_s
                    times[index] = now_s + waits / (1 - vanished) if vanished < 1 else math.inf
        self._first_s = dict(zip(self._sampled, times, strict=True))
        self._coming = [(t_s, user) for user, t_s in self._first_s.items() if t_s <= ends_s]
        self._coming.sort(reverse=True)

    def _count_requests(self, index: int, account: _Account, seconds: float) -> None:
        crowd = self._crowd
        kept = 1 - crowd.traffic.vanished
        for view, (treatment, control) in zip(account.views, account.arms, strict=True):
            treated = crowd.treated_volumes(view.drawn)[index]
            others = crowd.volume(index) - treated
            told = seconds * view.share * (1 - view.lost)
            treatment.ended += poisson(self._draw, treated * told * (kept if view.served else 1.0))
            control.ended += poisson(self._draw, others * told)

    def _fail_by_the_clock(self, index: int, every_s: float, between_s: tuple[float, float], account: _Account) -> None:
        for user in self._crowd.members(index):
            phase = self._phases.setdefault(user, self._draw.random() * every_s)
            k = math.ceil((between_s[0] - phase) / every_s)
            if (t_s := phase + k * every_s) < between_s[1]:
                account.failures.append((user, t_s, self._view_of(account.views)))

    def _take_samples(self, until_s: float, at: Moment, account: _Account) -> None:
        views, arms = account.views, account.arms
        crowd, chance, coming = self._crowd, self._draw.random, self._coming
        window_of, epoch_of = self._window_of, self._epoch_of
        rates = [(failure_rate(group, at, False), failure_rate(group, at, True)) for group in crowd.traffic.groups]
        only = rates[0] if len(rates) == 1 else None
        while coming and coming[-1][0] <= until_s:
            t_s, user = coming.pop()
            at_view = 0 if len(views) == 1 else self._view_of(views)
            view = views[at_view]
            place = crowd.place(user)
            variant = place < view.served
            bad = chance() < (only or rates[crowd.group_index(user)])[variant]
            if bad:
                account.failures.append((user, t_s, at_view))
            if view.lost and chance() < view.lost:
                continue
            treated = place < view.drawn
            arm = arms[at_view][0 if treated else 1]
            arm.seen += 1
            window = int(t_s // WINDOW_S)
            before = window_of.get(user)
            if before != window:
                window_of[user] = window
                # A unit's bad sample counts once.
                if user not in self._bad_sampled:
                    arm.sampled += 1
                    arm.sampled_bad += bad
                    if bad:
                        self._bad_sampled.add(user)
                if before is None:
                    arm.active += 1
                    arm.active_failed += user in self._failed
                if before != window - 1:
                    arm.arrivals += 1
                    if at.exposed_s < 0:
                        level = self._level_of(place)
                        self._arrivals[level] = self._arrivals.get(level, 0) + 1
            if epoch_of.get(user) != view.epoch:
                epoch_of[user] = view.epoch
                arm.units += 1
                arm.units_bad += bad
                self.exposed_units += treated

    def _level_of(self, place: float) -> int:
        at = bisect_right(self._shares, place)
        return self._levels[at] if at < len(self._levels) else _NEVER

    def _tell_failures(self, seconds: float, account: _Account) -> None:
        crowd, failures = self._crowd, account.failures
        failures.sort(key=lambda failure: failure[1])
        most = FAILING_A_BATCH * max(1.0, self._batches_a_second * seconds)
        limit = 1.0
        if len(failures) > most and len(units := {user for user, _, _ in failures}) > most:
            # Those with the smallest hashes, whatever their arm.
            limit = sorted(crowd.hash(user) for user in units)[int(most)]
        for user, t_s, at_view in failures:
            view = account.views[at_view]
            place = crowd.place(user)
            self.harmed += place < view.served
            if view.lost and self._draw.random() < view.lost:
                continue
            arm = account.arms[at_view][0 if place < view.drawn else 1]
            arm.bad += 1
            arm.ended = max(arm.ended, arm.bad)
            if limit < 1 and crowd.hash(user) >= limit:
                continue
            known = self._failed.get(user)
            if known is None:
                self._failed[user] = _Failed(t_s, 1)
                arm.failing += 1
                arm.recounted += 1
                arm.recounted_squares += 1
                arm.active_failed += user in self._window_of
                continue
            if t_s - known.last_s >= COOLDOWN_S:
                known.times += 1
                arm.recounted += 1
                arm.recounted_squares += 2 * known.times - 1
            known.last_s = max(known.last_s, t_s)


def failure_rate(group: Group, at: Moment, variant: bool) -> float:
    """Return the chance that a request of the group fails; 0 for those that fail by the clock."""
    return 0.0 if group.every_s is not None else group.fails(at, variant)
