"""Queries with holes, as Flagger (``{{ target }}``) and Argo Rollouts (``{{args.x}}``) write them. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from rheostat_server.faults import did_you_mean
from rheostat_server.ramps.promql import PromqlError, parsed

_HOLE: Final = re.compile(r"\{\{-?(.*?)-?\}\}", re.DOTALL)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


class HoleError(ValueError):
    """A hole that nothing is given for. ``hint`` says what would do."""

    def __init__(self, message: str, hint: str | None) -> None:
        super().__init__(message)
        self.hint = hint


def filled(text: str, values: Mapping[str, str], hint: str) -> str:
    """Return the query with every hole filled, its white space as it was.

    Raises:
        HoleError: a hole has no value; ``hint`` then says where values are given.
    """

    def fill(hole: re.Match[str]) -> str:
        name = hole[1].strip()
        if not _NAME.fullmatch(name):
            raise HoleError(f"{{{{ {name} }}}} is more than a name", "write out what it would come to")
        if name not in values:
            close = did_you_mean(name, sorted(values))
            raise HoleError(
                f"nothing is given for {{{{ {name} }}}}", f"{close} Else {hint}" if close and "mean" in close else hint
            )
        return values[name]

    return _HOLE.sub(fill, text)


def check_parses(text: str) -> None:
    """Raise ``PromqlError`` where the query is none."""
    if not text.strip():
        raise PromqlError("there is no query", "give PromQL that returns one number")
    parsed(text)
