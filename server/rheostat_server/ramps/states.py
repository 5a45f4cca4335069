"""The one table of a ramp's states: what may happen in each, and what comes of it. Pure.

A row says what *can* come of a cause. Which of it does (that a step is the last, that a guardrail is blind) is for the
rule and ``transition`` to know: what they do is held against the table, and what it does not have is a mistake of ours.
A ramp stands in a status, and is on a course: the status that it has where nothing stops it. So ``held`` may be held
while arming, at a step or while soaking.
"""

import enum

import msgspec

from rheostat_server.ramps.model import LIVE, Action, Status


class Cause(enum.StrEnum):
    """What may change a ramp: who, and what."""

    RULE_HOLD = "rule: hold"
    RULE_BEGIN = "rule: begin"
    RULE_REFUSE = "rule: refuse"
    RULE_ADVANCE = "rule: advance"
    RULE_STAGE = "rule: stage"
    RULE_STEP_BACK = "rule: step-back"
    RULE_SOAK = "rule: soak"
    RULE_PROMOTE = "rule: promote"
    RULE_KILL = "rule: kill"
    PERSON_PAUSE = "person: pause"
    PERSON_RESUME = "person: resume"
    PERSON_APPROVE = "person: approve"
    PERSON_ADVANCE = "person: advance"
    PERSON_ABORT = "person: abort"
    PERSON_KILL = "person: kill"
    PERSON_REVIVE = "person: revive"
    WRITE_ABORTED = "write: aborted"
    WRITE_RESTARTED = "write: restarted"
    WRITE_ENDED = "write: ended"
    RAMP_COVERED = "ramp: covered"
    RAMP_UNCOVERED = "ramp: uncovered"
    TIME_START = "time: start"
    TIME_ABORTED = "time: aborted"

    @property
    def who(self) -> str:
        """Who or what it comes from: the rule, a person, a write of the flag, another ramp of the rollout, time."""
        return self.value.partition(": ")[0]

    @property
    def what(self) -> str:
        """What it is, as the log of decisions has it."""
        return self.value.partition(": ")[2]

    @classmethod
    def by_person(cls, action: Action) -> "Cause":
        """Return a person's action as a cause."""
        return cls(f"person: {action}")


class Exposure(enum.StrEnum):
    """Which exposure a ramp has afterwards."""

    UNCHANGED = "unchanged"
    FIRST_STEP = "the first step's"
    NEXT_STEP = "the next step's"
    STEP_BEFORE = "the step before's"
    START = "the one at its start"
    STAGE = "the one at its start, for the users of the next stage"
    NOTHING = "0"


class Outcome(msgspec.Struct, frozen=True):
    """What may come of a cause.

    ``status`` ``None`` is the one that the ramp has, ``course`` ``None`` likewise: but with ``to_course`` the status
    becomes the course. ``in_force``: the ramp's exposure is in force over the document's afterwards.
    """

    status: Status | None = None
    exposure: Exposure = Exposure.UNCHANGED
    course: Status | None = None
    to_course: bool = False
    in_force: bool = True

    def status_after(self, status: Status, course: Status) -> Status:
        """Return the status that a ramp which stands so has afterwards."""
        if self.to_course:
            return course
        return status if self.status is None else self.status


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What may come of a cause in some states: one of the outcomes, or a refusal in words.

    ``courses`` counts for live states only. ``when`` says, for people, what it takes.
    """

    cause: Cause
    statuses: frozenset[Status]
    courses: frozenset[Status]
    outcomes: tuple[Outcome, ...] = ()
    refused: str = ""
    when: str = ""

    def holds_for(self, status: Status, course: Status) -> bool:
        """Whether the row is about a ramp that stands so."""
        return status in self.statuses and (status not in LIVE or course in self.courses)


class NotInTableError(RuntimeError):
    """Something happened to a ramp that cannot: a mistake of ours. Nothing was changed."""


COURSES = (Status.ARMING, Status.RUNNING, Status.SOAKING)
"""What a live ramp is about, where nothing stops it."""
OVER = frozenset({Status.PROMOTED, Status.KILLED, Status.ABORTED})
"""The states in which nothing moves a ramp any more."""
STARTS = (
    Outcome(Status.ARMING, Exposure.START, Status.ARMING),
    Outcome(Status.RUNNING, Exposure.FIRST_STEP, Status.RUNNING),
    Outcome(Status.RUNNING, Exposure.START, Status.RUNNING),
)
"""How a ramp begins: arming, without a pre-flight at its first step, or by ``rule: threshold`` before it."""

_ARMING, _STEPS, _SOAK = (frozenset({course}) for course in COURSES)
_ANY = frozenset(COURSES)
_PAUSED = frozenset({Status.PAUSED})
_MOVING = LIVE - _PAUSED
_DRAFT = frozenset({Status.DRAFT})

_SAME = Outcome()
_HELD, _BLIND, _WAITING = (Outcome(status) for status in (Status.HELD, Status.BLIND, Status.AWAITING_APPROVAL))
_NEXT_STAGE = Outcome(Status.ARMING, Exposure.STAGE, Status.ARMING)
_EXPOSED = Outcome(Status.RUNNING, Exposure.FIRST_STEP, Status.RUNNING)
_UP = Outcome(Status.RUNNING, Exposure.NEXT_STEP, Status.RUNNING)
_SOAKING = Outcome(Status.SOAKING, course=Status.SOAKING)
_ABORTED = Outcome(Status.ABORTED, Exposure.START, in_force=False)
_KILLED = Outcome(Status.KILLED, Exposure.NOTHING, in_force=False)


def _row(
    cause: Cause,
    statuses: frozenset[Status],
    *outcomes: Outcome,
    courses: frozenset[Status] = _ANY,
    refused: str = "",
    when: str = "",
) -> Row:
    return Row(cause=cause, statuses=statuses, courses=courses, outcomes=outcomes, refused=refused, when=when)


_RULE = (
    _row(
        Cause.RULE_HOLD,
        _MOVING,
        Outcome(Status.ARMING),
        _HELD,
        _BLIND,
        courses=_ARMING,
        when="the pre-flight is not over; suspicion, or a crossed ceiling; a guardrail sees nothing",
    ),
    _row(
        Cause.RULE_HOLD,
        _MOVING,
        Outcome(Status.RUNNING),
        _HELD,
        _BLIND,
        _WAITING,
        courses=_STEPS,
        when="dwell, users or proof are missing; suspicion, or inconclusive; a guardrail sees nothing; a gate",
    ),
    _row(
        Cause.RULE_HOLD,
        _MOVING,
        Outcome(Status.SOAKING),
        _HELD,
        _BLIND,
        courses=_SOAK,
        when="the soak is not over; suspicion; a guardrail sees nothing",
    ),
    _row(Cause.RULE_HOLD, _PAUSED, _SAME, when="no evidence lifts a pause"),
    _row(Cause.RULE_HOLD, _DRAFT | OVER, _SAME, when="the rule leaves it where it is"),
    _row(Cause.RULE_BEGIN, _MOVING, _EXPOSED, courses=_ARMING, when="the pre-flight is over and clean"),
    _row(Cause.RULE_REFUSE, LIVE, _ABORTED, courses=_ARMING, when="the cohort differs before it sees anything"),
    _row(Cause.RULE_ADVANCE, _MOVING, _UP, courses=_STEPS, when="dwell, users and proof are there, and nothing holds"),
    _row(
        Cause.RULE_STAGE,
        _MOVING,
        _NEXT_STAGE,
        _EXPOSED,
        courses=_STEPS,
        when="a stage of a rolling ramp is through; without a pre-flight, to the next one's first step",
    ),
    _row(
        Cause.RULE_STEP_BACK,
        _MOVING,
        Outcome(Status.HELD, Exposure.STEP_BEFORE, Status.RUNNING),
        courses=_STEPS | _SOAK,
        when="a doubt that costs one level; from the first step to the exposure at the start",
    ),
    _row(
        Cause.RULE_STEP_BACK,
        _PAUSED,
        Outcome(Status.PAUSED, Exposure.STEP_BEFORE, Status.RUNNING),
        courses=_STEPS | _SOAK,
        when="as above: a pause stops no step back, and outlasts it",
    ),
    _row(Cause.RULE_SOAK, _MOVING, _SOAKING, courses=_STEPS, when="the last step may be left upward"),
    _row(
        Cause.RULE_PROMOTE,
        _MOVING,
        Outcome(Status.PROMOTED),
        courses=_SOAK,
        when="the soak is over, and nothing holds; the holdback is released unless `keep_holdback`",
    ),
    _row(
        Cause.RULE_PROMOTE,
        _MOVING,
        Outcome(Status.PROMOTED),
        courses=_STEPS,
        when="a comparison that a person approves; by `rule: threshold`, the last checks are good: neither soaks",
    ),
    _row(Cause.RULE_KILL, LIVE, _KILLED, courses=_STEPS | _SOAK, when="harm: no pause, gate or window stops it"),
)

_PEOPLE = (
    _row(Cause.PERSON_PAUSE, _MOVING, Outcome(Status.PAUSED), when="evidence is still read, and still kills"),
    _row(Cause.PERSON_PAUSE, _PAUSED, refused="the ramp is paused already"),
    _row(Cause.PERSON_RESUME, _PAUSED, Outcome(to_course=True), when="it goes on where it was"),
    _row(Cause.PERSON_RESUME, _MOVING, refused="only a paused ramp is resumed; this one is {status}"),
    _row(Cause.PERSON_APPROVE, LIVE, _SAME, courses=_STEPS, when="the step waits for it, and is not approved yet"),
    _row(
        Cause.PERSON_APPROVE,
        LIVE,
        courses=_ARMING | _SOAK,
        refused="there is nothing to approve: the ramp is {course}",
    ),
    _row(Cause.PERSON_ADVANCE, _MOVING, _EXPOSED, courses=_ARMING, when="the pre-flight ends, whatever it found"),
    _row(
        Cause.PERSON_ADVANCE,
        _MOVING,
        _UP,
        _SOAKING,
        _NEXT_STAGE,
        _EXPOSED,
        Outcome(Status.PROMOTED),
        courses=_STEPS,
        when="up one step without proof; from the last one to the soak, the next stage, or the end of a comparison",
    ),
    _row(
        Cause.PERSON_ADVANCE,
        _MOVING,
        courses=_SOAK,
        refused="the ramp is at its last step and soaking",
    ),
    _row(
        Cause.PERSON_ADVANCE,
        _DRAFT,
        *STARTS,
        when="it starts now, on the flag as it is; refused where it cannot",
    ),
    _row(Cause.PERSON_ADVANCE, _PAUSED, refused="the ramp is paused; resume it first"),
    _row(Cause.PERSON_ABORT, LIVE | _DRAFT, _ABORTED, when="an earlier ramp's overlay comes back"),
    _row(Cause.PERSON_KILL, LIVE, _KILLED, when="of the flag or its rollout: `rheostat flag kill`"),
    _row(
        Cause.PERSON_REVIVE,
        frozenset({Status.KILLED}),
        _ABORTED,
        when="with a reason, of the flag: `rheostat flag revive`. Never the exposure that it had reached",
    ),
    _row(
        Cause.PERSON_REVIVE,
        frozenset(Status) - {Status.KILLED},
        refused="only a killed ramp is revived; this one is {status}",
    ),
    *(
        _row(cause, OVER, refused="the ramp is over: it is {status}")
        for cause in Cause
        if cause.who == "person" and cause is not Cause.PERSON_REVIVE
    ),
    *(
        _row(cause, _DRAFT, refused="the ramp has not started yet; advance starts it now, abort ends it")
        for cause in Cause
        if cause.who == "person" and cause not in {Cause.PERSON_REVIVE, Cause.PERSON_ABORT, Cause.PERSON_ADVANCE}
    ),
)

_EVENTS = (
    _row(
        Cause.WRITE_ABORTED,
        LIVE,
        _ABORTED,
        when="a write changes the rollout's exposure, disables or archives the flag, or takes the rollout away",
    ),
    _row(
        Cause.WRITE_RESTARTED,
        LIVE,
        _ABORTED,
        when="a write with `--restart-ramp` that would spoil the evidence; a ramp with the same plan begins",
    ),
    _row(
        Cause.WRITE_ENDED,
        frozenset({Status.PROMOTED}),
        Outcome(in_force=False),
        when="a write sets the exposure, takes the rollout away or archives the flag: the document speaks again",
    ),
    _row(
        Cause.RAMP_COVERED,
        frozenset({Status.PROMOTED}),
        Outcome(in_force=False),
        when="another ramp of the rollout begins, from the exposure in force",
    ),
    _row(
        Cause.RAMP_UNCOVERED,
        frozenset({Status.PROMOTED}),
        _SAME,
        when="that ramp was aborted or killed",
    ),
    _row(Cause.TIME_START, _DRAFT, *STARTS, when="its `start_at` has come: it starts on the flag as it is then"),
    _row(Cause.TIME_ABORTED, _DRAFT, _ABORTED, when="its `start_at` has come, and it cannot start; the reason is kept"),
)

TABLE: tuple[Row, ...] = (*_RULE, *_PEOPLE, *_EVENTS)
"""All that may happen, and what people are refused. What is in no row cannot happen.

Something new is a ``Cause``, and a row for the states in which it may happen; `make docs` writes it into the reference.
"""


_BY_CAUSE = {cause: tuple(row for row in TABLE if row.cause is cause) for cause in Cause}


def row_of(cause: Cause, status: Status, course: Status) -> Row | None:
    """Return the row about this cause in this state, if there is one."""
    return next((row for row in _BY_CAUSE[cause] if row.holds_for(status, course)), None)


def refusal(cause: Cause, status: Status, course: Status) -> str | None:
    """Return why a person's action is refused in this state; ``None`` where the table allows it.

    Raises:
        NotInTableError: the table has no row for it.
    """
    row = _the_row(cause, status, course)
    return row.refused.format(status=status, course=course) if row.refused else None


def outcomes(cause: Cause, status: Status, course: Status) -> tuple[Outcome, ...]:
    """Return what may come of a cause in this state.

    Raises:
        NotInTableError: nothing may.
    """
    row = _the_row(cause, status, course)
    if not row.outcomes:
        raise NotInTableError(f"{cause} is refused to a ramp that is {_words(status, course)}")
    return row.outcomes


def _the_row(cause: Cause, status: Status, course: Status) -> Row:
    row = row_of(cause, status, course)
    if row is None:
        raise NotInTableError(f"the table has no {cause} of a ramp that is {_words(status, course)}")
    return row


def _words(status: Status, course: Status) -> str:
    return status if status not in LIVE or status is course else f"{status}, {course} otherwise"
