"""All flags of an environment, ready to be evaluated."""

from collections.abc import Iterable, Mapping

import msgspec

from rheostat.engine.conditions import CompiledCondition, compile_segments
from rheostat.engine.conversion import Remark, unheard
from rheostat.engine.flags import NO_OVERLAYS, compile_flag
from rheostat.engine.kills import NO_KILLS, FlagKills, by_flag, in_force, unabsorbed
from rheostat.engine.patch import apply_patch
from rheostat.engine.programs import Compiled, Pass, Program
from rheostat.engine.windows import NO_WINDOWS, Windows
from rheostat.model.context import Context
from rheostat.model.evaluation import CODE_DEFAULT, ErrorCode, Evaluation, Reason
from rheostat.model.explanation import Explanation
from rheostat.model.flag import Flag
from rheostat.model.kill import Kill
from rheostat.model.ramp import RampOverlay
from rheostat.model.snapshot import Patch, Snapshot

Overlays = dict[str, dict[str, RampOverlay]]


class Ruleset:
    """A snapshot made ready. It never changes: an edit gives a new one that shares what did not change.

    ``overlays`` are the live ramps by flag key, those that a kill ended left out; ``extra_kills`` the
    entries that the snapshot does not name. ``reads_age`` says whether a flag has ``max_staleness``, so that the age
    matters to ``evaluate``; ``reads_now`` whether one has time windows; ``reads_time`` whether either.
    ``direct`` are the programs of the flags that need none of it, nor other flags: by far the most, and asked without
    a detour.

    ``strange`` may be set: it is told the name and type of each attribute that was to be read and whose type means
    nothing, as often as that happens, and must be quick and raise nothing. Rulesets made from this one keep it.
    """

    __slots__ = (
        "direct",
        "extra_kills",
        "overlays",
        "programs",
        "reads_age",
        "reads_now",
        "reads_time",
        "segments",
        "snapshot",
        "strange",
        "windows",
    )

    def __init__(
        self,
        snapshot: Snapshot,
        extra_kills: tuple[Kill, ...],
        programs: dict[str, Compiled],
        segments: Mapping[str, CompiledCondition],
        overlays: dict[str, tuple[RampOverlay, ...]],
    ) -> None:
        self.snapshot = snapshot
        self.extra_kills = extra_kills
        self.programs: Mapping[str, Compiled] = programs
        self.segments = segments
        self.overlays: Mapping[str, tuple[RampOverlay, ...]] = overlays
        self.strange: Remark = unheard
        self.direct: Mapping[str, Program] = {
            key: compiled.run for key, compiled in programs.items() if not compiled.carries
        }
        timed = [compiled for compiled in programs.values() if compiled.carries]
        self.reads_age = any(compiled.flag.max_staleness_ms is not None for compiled in timed)
        self.windows = Windows(timed) if any(compiled.windows for compiled in timed) else NO_WINDOWS
        self.reads_now = self.windows is not NO_WINDOWS
        self.reads_time = self.reads_age or self.reads_now

    @classmethod
    def of(cls, snapshot: Snapshot, extra_kills: Iterable[Kill] = ()) -> "Ruleset":
        """Compile a snapshot, with kills beside it that it may not know. Kills of another environment are left out.

        Never raises: a flag that cannot be read evaluates to its off variant with ``PARSE_ERROR``.
        """
        return cls._built(snapshot, extra_kills, None)

    def with_patch(self, patch: Patch) -> "Ruleset":
        """Return the ruleset at the patch's ``to``.

        Raises:
            ValueError: this ruleset is not exactly at the patch's ``from``.
        """
        return self._built(apply_patch(self.snapshot, patch), self.extra_kills, self)

    def with_snapshot(self, snapshot: Snapshot) -> "Ruleset":
        """Return the ruleset of another snapshot of the environment; equal flags are not compiled again."""
        return self._built(snapshot, self.extra_kills, self)

    def with_kills(self, extra_kills: Iterable[Kill]) -> "Ruleset":
        """Return the ruleset with these kills beside the snapshot, in place of those it had."""
        return self._built(self.snapshot, extra_kills, self)

    @classmethod
    def _built(cls, snapshot: Snapshot, extra_kills: Iterable[Kill], before: "Ruleset | None") -> "Ruleset":
        here = (snapshot.project, snapshot.environment)
        extra = unabsorbed((kill for kill in extra_kills if (kill.project, kill.environment) == here), snapshot.kills)
        kills = by_flag(in_force(snapshot.kills, extra))
        overlays = _by_flag(snapshot.ramps)
        known: Mapping[str, Compiled] = {} if before is None else before.programs
        programs: dict[str, Compiled] = {}
        for flag in snapshot.flags:
            key = flag.key
            own_overlays, own_kills = overlays.get(key, NO_OVERLAYS), kills.get(key, NO_KILLS)
            old = known.get(key)
            if old is None or not _same(old, flag, own_overlays, own_kills):
                old = compile_flag(flag, own_overlays, own_kills)
            programs[key] = old
        if before is not None and before.snapshot.segments is snapshot.segments:
            segments = before.segments
        else:
            segments = compile_segments(snapshot.segments)
        live = {key: _live(own, kills.get(key, NO_KILLS)) for key, own in overlays.items()}
        made = cls(snapshot, extra, programs, segments, {key: found for key, found in live.items() if found})
        if before is not None:
            made.strange = before.strange
        return made

    # No `*` here: Python calls a method with keyword-only arguments the slow way, 40 ns more.
    def evaluate(self, key: str, context: Context, now_ms: int | None = None, age_ms: int | None = None) -> Evaluation:
        """Return the flag's evaluation for this context. Never raises and never waits.

        Order: a missing flag, a kill of the flag, a disabled flag, its prerequisites, its targets, the first
        rule that matches, the default. ``age_ms`` is the snapshot's age, read by flags with ``max_staleness``;
        ``now_ms`` (since the epoch) is read by flags with time windows: without it no window is open.
        """
        try:
            run = self.direct[key]
        except KeyError:
            return self._carried(key, context, now_ms, age_ms)
        try:
            return run(context, self, None)
        except Exception as error:  # noqa: BLE001 - an attribute may be any object, and any method of it may raise
            return failed(self.programs[key].flag, error)

    def _carried(self, key: str, context: Context, now_ms: int | None, age_ms: int | None) -> Evaluation:
        compiled = self.programs.get(key)
        if compiled is None:
            return not_found(key)
        try:
            return compiled.run(context, self, Pass(age_ms, now_ms))
        except Exception as error:  # noqa: BLE001 - as above
            return failed(compiled.flag, error)

    def bulk(
        self, context: Context, client_only: bool = False, *, now_ms: int | None = None, age_ms: int | None = None
    ) -> dict[str, Evaluation]:
        """Return every flag's evaluation by key; ``client_only``: of the flags that client-scoped keys may see."""
        return {
            key: self.evaluate(key, context, now_ms=now_ms, age_ms=age_ms)
            for key, compiled in self.programs.items()
            if compiled.flag.client or not client_only
        }

    def explain(
        self, key: str, context: Context, *, now_ms: int | None = None, age_ms: int | None = None
    ) -> Explanation:
        """Return each step to what ``evaluate`` gives for the same arguments. Never raises; takes its time."""
        from rheostat.engine.explain import explain  # it walks rulesets, and few processes ever ask for it

        return explain(self, key, context, now_ms=now_ms, age_ms=age_ms)

    def next_boundary(self, now_ms: int) -> int | None:
        """Return the next instant (ms since the epoch, after this one) at which a window opens or closes, if any."""
        return self.windows.next_boundary(now_ms)

    def active_windows(self, now_ms: int) -> str:
        """Return a digest of which windows are open, for an ETag; the empty text while none is."""
        return self.windows.digest(now_ms)

    def turned(self, since_ms: int, now_ms: int) -> frozenset[str]:
        """Return the flags of which a window opened or closed between the two instants, and those that need one."""
        return self.windows.turned(since_ms, now_ms)

    def keys(self) -> Iterable[str]:
        """Return the keys of all flags, in the snapshot's order."""
        return self.programs.keys()

    def flag(self, key: str) -> Flag | None:
        """Return the flag as the snapshot has it; ``None`` where there is none."""
        compiled = self.programs.get(key)
        return None if compiled is None else compiled.flag


def not_found(key: str) -> Evaluation:
    """Return the evaluation of a flag that is not there, or that the caller may not see."""
    return Evaluation(key, CODE_DEFAULT, None, Reason.ERROR, ErrorCode.FLAG_NOT_FOUND, f"there is no flag {key!r}")


def failed(flag: Flag, error: Exception) -> Evaluation:
    """Return the evaluation of a flag of which a part raised."""
    return Evaluation(
        flag.key,
        CODE_DEFAULT,
        None,
        Reason.ERROR,
        ErrorCode.GENERAL,
        why_failed(error),
        version=flag.version,
        metadata=flag.metadata,
    )


def why_failed(error: Exception) -> str:
    """Return what is to blame: an attribute's own code, or chains beyond what a write is allowed."""
    if isinstance(error, RecursionError):
        return "its prerequisites, its segments or an attribute lead on too far"
    return f"an attribute could not be read: {type(error).__name__}"


def _by_flag(ramps: Iterable[RampOverlay]) -> Overlays:
    """Return the overlays by flag and rollout. Of two on one rollout the live one stands, else the later named."""
    found: Overlays = {}
    for overlay in ramps:
        own = found.setdefault(overlay.flag, {})
        other = own.get(overlay.rollout)
        if other is None or overlay.live or not other.live:
            own[overlay.rollout] = overlay
    return found


def _live(own: Mapping[str, RampOverlay], kills: FlagKills) -> tuple[RampOverlay, ...]:
    if kills.flag:
        return ()
    return tuple(overlay for name, overlay in own.items() if overlay.live and name not in kills.rollouts)


def _same(old: Compiled, flag: Flag, overlays: Mapping[str, RampOverlay], kills: FlagKills) -> bool:
    """Return whether the flag was made of the same things.

    Two flags are compared as JSON: Python holds 1 and true for equal, and an edit from one to the other is one.
    """
    if old.overlays != overlays or old.kills != kills:
        return False
    try:
        return old.flag is flag or (old.flag == flag and msgspec.json.encode(old.flag) == msgspec.json.encode(flag))
    except RecursionError:  # conditions nested too deeply to be looked at: it is compiled again, and is unreadable
        return False
