"""Whom a rolling ramp goes by, in order, and at whom it is."""

from typing import Any

from rich.text import Text

from rheostat_server.cli.ramp_picture.look import Lines, Look, folded


def stages(view: dict[str, Any], look: Look) -> Lines:
    """Return the stages in a line or two, the present one in brackets; none of another ramp."""
    named = view.get("stages") or ()
    if not named:
        return []
    told = [f"[{words}]" if index == view["stage"] else words for index, words in enumerate(named)]
    return folded(Text(f"stages  {', '.join(told)}"), look, further=8)
