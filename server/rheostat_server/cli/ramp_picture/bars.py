"""A bar on which evidence goes towards a line."""

import math

from rich.text import Text

from rheostat_server.cli.ramp_picture.look import Look


def bar(value: float, line: float, look: Look, *, width: int, color: str, marked: float | None = None) -> Text:
    """Return how far ``value`` is on its way from 1 to ``line``, with a stroke at ``marked``.

    Evidence multiplies, so equal strides are equal factors. The last character is the line itself; it is reached only
    by what has reached the line.
    """
    inner = width - 1
    share = _share(value, line)
    full = inner if share >= 1 else min(inner - 1, math.floor(share * inner)) if share > 0 else 0
    if 0 < share < 1:
        full = max(full, 1)
    cells = [look.marks.full] * full + [look.marks.rest] * (inner - full)
    if marked is not None and 0 < (place := _share(marked, line)) < 1:
        cells[min(inner - 1, math.floor(place * inner))] = look.marks.line
    text = Text("".join(cells), "dim").append(look.marks.right)
    text.stylize(f"not dim {color}", 0, full)
    return text


def _share(value: float, line: float) -> float:
    if not line > 1:
        return 0.0
    return math.log(max(value, 1.0)) / math.log(line) if math.isfinite(value) else 1.0
