"""What a flag gives the units that come into, or go from, a segment's lists. Pure.

Of such a unit nothing is known but its name. A condition that comes out true or false all the same does so for
whatever else the context holds, for Kleene's logic is monotone; where one comes out unknown, both ways are followed.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec

from rheostat.engine.cells import Cell, exposure_of
from rheostat.engine.conditions import CompiledCondition, compile_condition, compile_segments, names
from rheostat.engine.evaluate import Ruleset
from rheostat.engine.flags import compile_answer
from rheostat.engine.programs import Compiled, Outcomes
from rheostat.model.context import TARGETING_KEY, Context
from rheostat.model.evaluation import Evaluation, Reason
from rheostat.model.flag import DEFAULT_ROLLOUT, Answer, Condition, Operator, Segment
from rheostat.model.ramp import RampOverlay
from rheostat_server.flags.changed import Changed, Listed
from rheostat_server.flags.movement import ATTRIBUTES, UnitMovement
from rheostat_server.flags.slots import slots_of

Variants = frozenset[str | None]


class Stage(msgspec.Struct, frozen=True):
    """A place where a flag may answer. ``name`` is the same before and after where ``judge`` is.

    ``answering`` is ``Slot.given`` where there is a slot: equal ones give the same user the same.
    """

    name: bytes
    judge: Callable[[Context], bool | None]
    give: Callable[[Context], Variants]
    answering: object | None


def unit_movements(before: Ruleset, after: Ruleset, key: str, changed: Changed) -> list[UnitMovement]:
    """Return what the listed units of each changed segment get from a flag instead of what they got."""
    found: list[UnitMovement] = []
    for segment, listed in sorted(changed.listed.items()):
        was, now = _Side(before, listed.attribute, changed, b"<"), _Side(after, listed.attribute, changed, b">")
        if segment in was.asked(key) | now.asked(key):
            found += _of_segment(segment, listed, was.stages(key), now.stages(key))
    return found


def _of_segment(segment: str, listed: Listed, was: list[Stage], now: list[Stage]) -> Iterator[UnitMovement]:
    counts: dict[tuple[str | None, str | None], int] = {}
    maybe = 0
    known: dict[tuple[bool | None, ...], list[tuple[int, int]]] = {}
    for unit in listed.units:
        context = _context(listed.attribute, unit)
        verdicts = tuple(stage.judge(context) for stage in (*was, *now))
        if verdicts not in known:
            known[verdicts] = list(_ends(was, now, verdicts))
        pairs: set[tuple[str | None, str | None]] = set()
        for before, after in known[verdicts]:
            one, other = was[before], now[after]
            if one.answering is not None and one.answering == other.answering:
                pairs |= {(variant, variant) for variant in one.give(context)}
            else:
                pairs |= {(old, new) for old in one.give(context) for new in other.give(context)}
        moves = {pair for pair in pairs if pair[0] != pair[1]}
        if moves and len(pairs) == 1:
            [pair] = pairs
            counts[pair] = counts.get(pair, 0) + 1
        elif moves:
            maybe += 1
    for (old, new), units in sorted(counts.items(), key=lambda item: (item[0][1] or "", item[0][0] or "")):
        yield UnitMovement(segment=segment, units=units, from_=old, to=new)
    if maybe:
        yield UnitMovement(segment=segment, units=maybe, because=ATTRIBUTES)
    if listed.left:
        because = f"only {len(listed.units)} others were looked at"
        yield UnitMovement(segment=segment, units=listed.left, because=because)


def _context(attribute: str, unit: str) -> Context:
    return Context(unit) if attribute == TARGETING_KEY else Context.of(None, {attribute: unit})


def _ends(was: list[Stage], now: list[Stage], verdicts: tuple[bool | None, ...]) -> Iterator[tuple[int, int]]:
    """Yield the stages in which a unit with these verdicts may be before and after, by number."""
    for one, assumed in _reached(was, verdicts[: len(was)], {}):
        for other, _ in _reached(now, verdicts[len(was) :], assumed):
            yield one, other


def _reached(
    stages: list[Stage], verdicts: tuple[bool | None, ...], assumed: Mapping[bytes, bool]
) -> Iterator[tuple[int, Mapping[bytes, bool]]]:
    """Yield each stage that may answer, with what is then assumed of conditions."""
    for index, (stage, verdict) in enumerate(zip(stages, verdicts, strict=True)):
        truth = assumed.get(stage.name) if verdict is None else verdict
        if truth is not False:
            yield index, {**assumed, stage.name: True}
        if truth is True:
            return
        assumed = {**assumed, stage.name: False}


class _Side:
    """An environment before or after a change, asked for units of one attribute."""

    def __init__(self, ruleset: Ruleset, attribute: str, changed: Changed, mark: bytes) -> None:
        self.programs: Mapping[str, Compiled] = ruleset.programs
        self._changed = changed
        self._attribute = attribute
        self._mark = mark
        segments = [self._plain_segment(one) for one in ruleset.snapshot.segments]
        self._names = {one.key: {name for part in one.conditions for name in names(part)} for one in segments}
        self.segments: Mapping[str, CompiledCondition] = compile_segments(segments)
        self.strange = ruleset.strange
        self._stages: dict[str, list[Stage]] = {}

    def asked(self, key: str, above: frozenset[str] = frozenset()) -> frozenset[str]:
        """Return the segments that decide what a flag gives, over other segments and prerequisites too."""
        compiled = self.programs.get(key)
        if compiled is None or key in above:
            return frozenset()
        found = {name for rule in compiled.flag.rules for name in names(rule.when)}
        while more := {name for one in found for name in self._names.get(one, ())} - found:
            found |= more
        others = [self.asked(one.flag, above | {key}) for one in compiled.flag.prerequisites]
        return frozenset(found).union(*others)

    def stages(self, key: str) -> list[Stage]:
        """Return where a flag may answer, in order; the last one always does."""
        if key not in self._stages:
            # A flag that leads back to itself finds this, which says nothing.
            self._stages[key] = [Stage(b"circle", _always, _fixed(None), None)]
            self._stages[key] = list(self._made(key))
        return self._stages[key]

    def _made(self, key: str) -> Iterator[Stage]:
        compiled = self.programs.get(key)
        if compiled is None:
            yield Stage(b"gone", _always, _fixed(None), None)
            return
        flag = compiled.flag
        off = _fixed(flag.off_variant)
        if compiled.off:
            yield Stage(b"off", _always, off, None)
            return
        for prerequisite in flag.prerequisites:
            name = b"prerequisite" + self._mark + msgspec.json.encode(prerequisite)
            yield Stage(name, self._fails(prerequisite.flag, prerequisite.variants), off, None)
        if self._attribute == TARGETING_KEY:
            for variant, units in flag.targets.items():
                yield Stage(b"target" + variant.encode(), _among(frozenset(units)), _fixed(variant), None)
        outcomes = Outcomes(flag)
        rules = {rule.name: rule for rule in flag.rules}
        for slot in slots_of(compiled):
            rule = rules.get(slot.name) if slot.condition is not None else None
            answer = flag.default if rule is None else rule.answer
            give = self._giving(compiled, outcomes, answer, None if rule is None else rule.name)
            if rule is None:
                yield Stage(b"default", _always, give, slot.given)
            else:
                mark = self._mark if self._changed.segments & names(rule.when) else b""
                judge = _unknown if rule.active is not None else self._judge(rule.when)
                yield Stage(b"rule" + (slot.condition or b"") + mark, judge, give, slot.given)

    def _judge(self, condition: Condition) -> Callable[[Context], bool | None]:
        judge = compile_condition(self._plain(condition))
        return lambda context: judge(context, self)

    def _fails(self, key: str, variants: Collection[str]) -> Callable[[Context], bool | None]:
        compiled = self.programs.get(key)
        if compiled is None or compiled.off:
            return _always
        stages = self.stages(key)

        def fails(context: Context) -> bool | None:
            verdicts = tuple(stage.judge(context) for stage in stages)
            given = frozenset(
                variant for index, _ in _reached(stages, verdicts, {}) for variant in stages[index].give(context)
            )
            return False if given <= set(variants) else True if given.isdisjoint(variants) else None

        return fails

    def _giving(
        self, compiled: Compiled, outcomes: Outcomes, answer: Answer, rule: str | None
    ) -> Callable[[Context], Variants]:
        flag, rollout = compiled.flag, answer.rollout
        ways = [
            compile_answer(outcomes, answer, rule, Reason.SPLIT, overlays=overlays, kills=compiled.kills, stale=False)
            for overlays in self._ways(compiled.overlays, rule or DEFAULT_ROLLOUT)
        ]
        if isinstance(ways[0], Evaluation):
            return _fixed(ways[0].variant)
        if rollout is not None and rollout.bucket_by != self._attribute:
            rest = flag.off_variant if rollout.fallback is None else rollout.fallback
            anything = frozenset({rest, *(variant for variant, weight in rollout.split.items() if weight > 0)})
            return lambda _: anything
        programs = [way for way in ways if not isinstance(way, Evaluation)]
        return lambda context: frozenset(program(context, self, None).variant for program in programs)

    def _ways(self, overlays: Mapping[str, RampOverlay], name: str) -> list[Mapping[str, RampOverlay]]:
        """Return the overlays; where a ramp goes by an attribute that nobody knows, once for each way it may be."""
        overlay = overlays.get(name)
        if overlay is None or overlay.cells is None or overlay.cells.attribute == self._attribute:
            return [overlays]
        plain = [msgspec.structs.replace(overlay, exposure_ppm=exposure_of(overlay, cell), cells=None) for cell in Cell]
        return [{**overlays, name: one} for one in plain]

    def _plain_segment(self, segment: Segment) -> Segment:
        return msgspec.structs.replace(segment, conditions=tuple(map(self._plain, segment.conditions)))

    def _plain(self, condition: Condition) -> Condition:
        """Return the condition with nothing in it that what is not known could turn round.

        Whether an attribute is there is not known of any but the unit. Of a unit that is no targeting key it is not
        known whether it came as a text or as a number.
        """
        if condition.operator is not None:
            own = condition.attribute == self._attribute
            sure = own if condition.operator is Operator.EXISTS else not own or self._attribute == TARGETING_KEY
            return condition if sure else Condition()
        return msgspec.structs.replace(
            condition,
            all=None if condition.all is None else tuple(map(self._plain, condition.all)),
            any=None if condition.any is None else tuple(map(self._plain, condition.any)),
            not_=None if condition.not_ is None else self._plain(condition.not_),
        )


def _always(context: Context) -> bool:
    del context
    return True


def _unknown(context: Context) -> None:
    del context


def _fixed(variant: str | None) -> Callable[[Context], Variants]:
    given = frozenset({variant})
    return lambda _: given


def _among(units: frozenset[str]) -> Callable[[Context], bool]:
    return lambda context: context.targeting_key in units
