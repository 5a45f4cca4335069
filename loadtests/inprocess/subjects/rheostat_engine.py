"""Rheostat's engine alone: the evaluation without the client around it, as the server asks it."""

from loadtests.inprocess.cases import Run, User
from loadtests.inprocess.subjects.rheostat import context_of, snapshot

from rheostat.engine import Ruleset

PACKAGES = ("mmh3", "msgspec")


class Subject:
    """A ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._evaluate = ruleset.evaluate

    def one_flag(self, key: str, users: list[User]) -> Run:
        evaluate, contexts = self._evaluate, [context_of(user) for user in users]
        return lambda: [evaluate(key, context).value for context in contexts]

    def all_flags(self, keys: list[str], user: User) -> Run:
        evaluate, context = self._evaluate, context_of(user)
        return lambda: [evaluate(key, context).value for key in keys]


def load(count: int) -> Subject:
    """Return the subject with so many flags."""
    return Subject(Ruleset.of(snapshot(count)))
