"""Which of a rolling ramp's users are done, are on now, or wait; and at which exposure they stand."""

import enum
from collections.abc import Callable, Mapping

from rheostat.engine.conditions import Segments, compile_condition
from rheostat.engine.programs import Pass, Program, Scope
from rheostat.model.context import Context
from rheostat.model.evaluation import Evaluation
from rheostat.model.flag import Condition, Operator
from rheostat.model.ramp import Cells, RampOverlay


class Cell(enum.Enum):
    """How far a rolling ramp has come with a user."""

    DONE = "done"
    NOW = "now"
    LATER = "later"


def exposure_of(overlay: RampOverlay, cell: Cell | None) -> int:
    """Return the exposure in force of these users; ``None``: of the ramp as a whole, which is that of who waits."""
    if overlay.cells is None or cell is None or cell is Cell.LATER:
        return overlay.exposure_ppm
    return overlay.cells.done_ppm if cell is Cell.DONE else overlay.cells.exposure_ppm


def cell_reader(cells: Cells) -> Callable[[Context, Segments], Cell]:
    """Return what finds a context's cell. A missing attribute, or one of another type, has no listed value."""
    is_done, is_now = (
        compile_condition(Condition(attribute=cells.attribute, operator=Operator.IN, values=values))
        for values in (cells.done, cells.now)
    )
    rest = cells.rest

    def cell_of(context: Context, scope: Segments) -> Cell:
        if is_done(context, scope) is True:
            return Cell.DONE
        return Cell.NOW if rest or is_now(context, scope) is True else Cell.LATER

    return cell_of


def by_cell(cells: Cells, programs: Mapping[Cell, Program]) -> Program:
    """Return the program that asks the one of the context's cell."""
    cell_of = cell_reader(cells)
    done, now, later = (programs[cell] for cell in Cell)

    def program(context: Context, scope: Scope, run: Pass | None) -> Evaluation:
        cell = cell_of(context, scope)
        chosen = done if cell is Cell.DONE else now if cell is Cell.NOW else later
        return chosen(context, scope, run)

    return program
