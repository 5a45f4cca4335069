"""The reference of a ramp's states, written from the one table of them. Pure.

``python -m rheostat_server.cli.ramp_states`` prints it: that is docs/reference/ramp-states.md.
"""

from collections.abc import Iterable, Iterator

import click

from rheostat_server.ramps.model import LIVE, Action, Status
from rheostat_server.ramps.states import COURSES, STARTS, TABLE, Cause, Exposure, Outcome, Row, refusal, row_of

_OPENING = """\
# The states of a ramp

<!-- Written by `make docs` from the table in ramps/states.py; a test compares. -->

Where a ramp can stand, and all that can happen to it there. The server has this table in its code: what is not in it
does not happen. What the states mean is told in [ramps.md](ramps.md#states).

A ramp that is under way is on one of three courses: it is **arming**, at its **steps** (`running`), or **soaking** at
the last of them. On each it can be stopped: `held`, `blind` or `paused`, at its steps also `awaiting-approval`. It goes
on where it was stopped. `promoted`, `killed` and `aborted` are its ends.
"""
_EXPOSURE = """\
The exposure is the one that the ramp itself has. It is in force over the document's while the ramp is under way or
promoted. When the ramp is aborted, what was in force before it is in force again: an earlier promoted ramp's, else the
document's. When it is killed, nobody is exposed until somebody revives. A promoted ramp is over, and is not killed: a
kill of its flag or rollout stands above it, and a revival brings its exposure back.
"""
_WHO = {
    "rule": "What the rule does",
    "person": "What people do",
    "write": "What a write of the flag does",
    "ramp": "What another ramp of the rollout does",
    "time": "What the time of a draft does",
}
_ORDER = tuple(Status)


def page() -> str:
    """Return the page."""
    return "\n".join([_OPENING, *_diagram(), _EXPOSURE, *_causes(), *_asked()]).rstrip() + "\n"


def _diagram() -> Iterator[str]:
    """Yield the courses and ends, and what leads from one to another."""
    edges: dict[tuple[str, str], list[str]] = {}
    for origin, goal, word in _edges():
        words = edges.setdefault((origin, goal), [])
        if word not in words:
            words.append(word)
    places = ["[*]", *_ORDER]
    yield "```mermaid\nstateDiagram-v2"
    for (origin, goal), words in sorted(edges.items(), key=lambda edge: tuple(map(places.index, edge[0]))):
        yield f"    {origin} --> {goal}: {', '.join(words)}"
    yield "```\n"


def _edges() -> Iterator[tuple[str, str, str]]:
    """Yield from where, whereto and by what a ramp goes, whatever it is stopped by on its course."""
    yield "[*]", str(Status.DRAFT), "draft"
    yield from (("[*]", str(outcome.status), "start") for outcome in STARTS)
    for row in TABLE:
        live = row.courses if row.statuses & LIVE else frozenset()
        for outcome in row.outcomes:
            for origin in live | row.statuses - LIVE:
                after = outcome.status_after(origin, origin)
                goal = (outcome.course or origin) if after in LIVE else after
                if goal is not origin or outcome.exposure is not Exposure.UNCHANGED or not outcome.in_force:
                    yield origin, goal, row.cause.what


def _causes() -> Iterator[str]:
    for who, title in _WHO.items():
        yield f"## {title}\n\n| | from | to | exposure | when |\n|---|---|---|---|---|"
        for row in TABLE:
            if row.cause.who == who and row.outcomes:
                goals, exposures = zip(*(_outcome(outcome) for outcome in row.outcomes), strict=True)
                cells = (f"`{row.cause.what}`", _from(row), _either(goals), _either(exposures), row.when)
                yield f"| {' | '.join(cells)} |"
        yield ""


def _asked() -> Iterator[str]:
    """Yield what people may ask for in each place, and why they may not."""
    actions = list(Action)
    reasons: list[str] = []
    lines = []
    for status, course in _places():
        cells = []
        for action in actions:
            cause = Cause.by_person(action)
            why = refusal(cause, status, course)
            if why is None:
                cells.append("yes")
                continue
            row = row_of(cause, status, course)
            words = row.refused.format(status="…", course="…") if row else ""
            if words not in reasons:
                reasons.append(words)
            cells.append(str(reasons.index(words) + 1))
        lines.append(f"| {_place(status, course)} | {' | '.join(cells)} |")
    yield "## Where people may do it\n"
    yield "A number says why not, below. The API answers 409 then, and says where the ramp stands and what is allowed"
    yield "there. The `actions` of a ramp are what is allowed now.\n"
    yield f"| | {' | '.join(f'`{action}`' for action in actions)} |\n|---|{'---|' * len(actions)}"
    yield from lines
    yield ""
    yield from (f"{number}. {words}" for number, words in enumerate(reasons, 1))
    yield "\n`approve` is also refused where the step waits for no approval, or is approved already."


def _places() -> Iterator[tuple[Status, Status]]:
    """Yield every place that a ramp can be in: a status, on a course."""
    reached = {
        (outcome.status, outcome.course or course)
        for row in TABLE
        for course in row.courses
        for outcome in row.outcomes
    }
    for status in _ORDER:
        courses = [course for course in COURSES if (status, course) in reached] if status in LIVE else COURSES[:1]
        yield from ((status, course) for course in courses)


def _place(status: Status, course: Status) -> str:
    if status not in LIVE or status is course:
        return f"`{status}`"
    return f"`{status}`, {_course(course)}"


def _course(course: Status) -> str:
    return "at a step" if course is Status.RUNNING else str(course)


def _from(row: Row) -> str:
    live = row.statuses & LIVE
    words = []
    if live:
        courses = (
            "" if row.courses >= set(COURSES) else " or ".join(_course(one) for one in COURSES if one in row.courses)
        )
        if live == LIVE:
            words.append(courses or "under way")
        elif live == {Status.PAUSED}:
            words.append(f"`paused`, {courses}" if courses else "`paused`")
        else:
            words.append(f"{courses or 'under way'}, not paused")
    words += [f"`{status}`" for status in _ordered(row.statuses - LIVE)]
    return ", ".join(words)


def _outcome(outcome: Outcome) -> tuple[str, str]:
    goal = "as it was stopped" if outcome.to_course else "the same" if outcome.status is None else f"`{outcome.status}`"
    return goal, outcome.exposure if outcome.in_force or outcome.status else "unchanged, and not in force"


def _either(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))


def _ordered(statuses: Iterable[Status]) -> list[Status]:
    return sorted(statuses, key=_ORDER.index)


if __name__ == "__main__":
    click.echo(page(), nl=False)
