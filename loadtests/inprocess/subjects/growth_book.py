"""GrowthBook's SDK: features as a dictionary. Its object holds one user, so that each question sets the user first."""

from typing import Any

from growthbook import GrowthBook
from loadtests.inprocess.cases import COUNTRIES, LEAST_VERSION, RULES, Run, User, shares

PACKAGES = ("growthbook",)


def _feature(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"defaultValue": False, "rules": [{"force": True, **rule} for rule in rules]}


class Subject:
    """The client."""

    def __init__(self, client: GrowthBook) -> None:
        self._client = client

    def one_flag(self, key: str, users: list[User]) -> Run:
        give, is_on, subjects = self._client.set_attributes, self._client.is_on, [_attributes(user) for user in users]

        def run() -> list[bool]:
            answers = []
            for attributes in subjects:
                give(attributes)
                answers.append(is_on(key))
            return answers

        return run

    def all_flags(self, keys: list[str], user: User) -> Run:
        client, attributes = self._client, _attributes(user)

        def run() -> list[bool]:
            client.set_attributes(attributes)
            is_on = client.is_on
            return [is_on(key) for key in keys]

        return run


def _attributes(user: User) -> dict[str, Any]:
    return {"id": user.key, **user.attributes}


def load(count: int) -> Subject:
    """Return the subject with so many flags."""
    features = {key: _feature({"coverage": 0.5, "hashAttribute": "id", "seed": key}) for key in shares(count)}
    features[RULES] = _feature(
        {"condition": {"country": {"$in": list(COUNTRIES)}}},
        {"condition": {"version": {"$vgte": LEAST_VERSION}}},
        {"condition": {"email": {"$regex": "@example\\.com$"}}},
    )
    return Subject(GrowthBook(features=features))
