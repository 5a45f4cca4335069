"""A ramp that is being watched: as it was seen last, its last decisions, and all that moved it."""

from collections.abc import Callable
from typing import Any

from rheostat_server.cli.connection import CommandFailed, Connection, Unreachable
from rheostat_server.ramps.records import KINDS

ENDED = frozenset({"promoted", "killed", "aborted"})
_KEPT = 200
_PAGE = 1_000
_SECONDS = 5.0
"""A server that does not answer within it is called away; the picture goes on."""


class Watched:
    """A ramp as it was seen last, its decisions of late, oldest first, and its moves: all but the holds."""

    def __init__(self, connection: Connection, path: str, find: Callable[[], str] | None = None) -> None:
        """Begin with the ramp at ``path``; nothing of it is read yet.

        When it is over, ``find`` says where the ramp is that is to be watched then; without it, that was all.
        """
        self._connection = connection
        self._path = path
        self._find = find or (lambda: path)
        self.ended = False
        """Whether nothing more will happen: it is over, and no newer ramp has taken its place."""
        self.view: dict[str, Any] = {}
        self.decisions: list[dict[str, Any]] = []
        self.moves: list[dict[str, Any]] = []

    def look(self) -> None:
        """Ask the server; only new decisions are asked for.

        Raises:
            Unreachable: the server does not answer; what was seen before stays.
            CommandFailed: it has no such ramp.
        """
        # The ramp first: a decision that comes in between is then shown early, and not lost.
        view = self._get(self._path)
        if self.view:
            moves, decisions = self._later()
        else:
            moves, decisions = self._all(self._path)
        self.view, self.moves, self.decisions = view, moves, decisions
        if view["status"] in ENDED:
            self._follow()

    def _all(self, path: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        return moves_of(self._get, path), list(self._get(f"{path}/decisions", last=_KEPT)["decisions"])

    def _later(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        moves, decisions = self.moves, self.decisions
        after: int | None = decisions[-1]["seq"] if decisions else 0
        while after is not None:
            page = self._get(f"{self._path}/decisions", after=after, limit=_PAGE)
            moves = [*moves, *(one for one in page["decisions"] if one["kind"] != "hold")]
            decisions = [*decisions, *page["decisions"]][-_KEPT:]
            after = page.get("next")
        return moves, decisions

    def _follow(self) -> None:
        """Go on with the ramp that has taken this one's place, if there is one."""
        try:
            path = self._find()
            newer = self._get(path) if path != self._path else self.view
        except Unreachable:
            raise
        except CommandFailed:
            # Two live ramps of other rollouts, say: none of them is this one's.
            newer = self.view
        if newer["id"] == self.view["id"] or newer["rollout"] != self.view["rollout"]:
            self.ended = True
            return
        self.moves, self.decisions = self._all(path)
        self._path, self.view, self.ended = path, newer, False

    def _get(self, path: str, **query: Any) -> Any:
        return self._connection.send("GET", path, query=query, seconds=_SECONDS).body


def moves_of(get: Callable[..., Any], path: str) -> list[dict[str, Any]]:
    """Return all that moved a ramp, oldest first: the decisions that are no holds."""
    kinds = sorted(KINDS - {"hold"})
    moves: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = get(f"{path}/decisions", after=after, limit=_PAGE, kind=kinds)
        moves += page["decisions"]
        after = page.get("next")
    return moves
