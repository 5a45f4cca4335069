"""Which changes of a ramp people are told of."""

import pytest
from msgspec.structs import replace

from rheostat_server.ramps.model import State, Status
from rheostat_server.ramps.news import LIMITED, News, news_of


def at(status: Status, exposure_ppm: int = 50_000, *, soaking: bool = False) -> State:
    return State(status=status, exposure_ppm=exposure_ppm, soaking_since_ms=1 if soaking else None)


@pytest.mark.parametrize(
    ("before", "after", "news"),
    [
        # Entering a state is told.
        (at(Status.RUNNING), at(Status.HELD), News.HELD),
        (at(Status.RUNNING), at(Status.BLIND), News.BLIND),
        (at(Status.HELD), at(Status.BLIND), News.BLIND),
        (at(Status.RUNNING), at(Status.AWAITING_APPROVAL), News.AWAITING_APPROVAL),
        (at(Status.RUNNING), at(Status.PAUSED), News.PAUSED),
        (at(Status.RUNNING), at(Status.SOAKING, soaking=True), News.SOAKING),
        (at(Status.SOAKING, soaking=True), at(Status.PROMOTED), News.PROMOTED),
        (at(Status.RUNNING), at(Status.KILLED, 0), News.KILLED),
        (at(Status.ARMING, 0), at(Status.ABORTED, 0), News.ABORTED),
        (at(Status.HELD), at(Status.ABORTED, 0), News.ABORTED),
        # More users, or fewer, whatever the state then is.
        (at(Status.ARMING, 0), at(Status.RUNNING, 10_000), News.ADVANCED),
        (at(Status.AWAITING_APPROVAL, 10_000), at(Status.RUNNING, 50_000), News.ADVANCED),
        (at(Status.RUNNING, 50_000), at(Status.HELD, 10_000), News.STEPPED_BACK),
        (at(Status.PAUSED, 50_000), at(Status.PAUSED, 10_000), News.STEPPED_BACK),
        (at(Status.RUNNING, 1_000_000), replace(at(Status.ARMING, 0), stage=1), News.ADVANCED),
        # It goes on.
        (at(Status.HELD), at(Status.RUNNING), News.RESUMED),
        (at(Status.BLIND, 0), at(Status.ARMING, 0), News.RESUMED),
        (at(Status.PAUSED, soaking=True), at(Status.SOAKING, soaking=True), News.RESUMED),
        (at(Status.HELD), at(Status.SOAKING, soaking=True), News.SOAKING),
        # Nothing to people.
        (at(Status.RUNNING), at(Status.RUNNING), None),
        (at(Status.HELD), replace(at(Status.HELD), why="another reason"), None),
        (at(Status.KILLED, 0), at(Status.ABORTED, 50_000), None),
        (at(Status.SOAKING, soaking=True), at(Status.RUNNING), None),
    ],
)
def test_what_a_change_is_to_people(before: State, after: State, news: News | None) -> None:
    """Entering a state and a change of exposure are news; staying is none, and a revival is told of the flag."""
    assert news_of(before, after) is news


def test_what_changes_who_is_exposed_is_never_limited() -> None:
    """However often a ramp goes up and down, each time is told; so is each end, and what people did."""
    always = {News.STARTED, News.ADVANCED, News.STEPPED_BACK, News.PROMOTED, News.KILLED, News.ABORTED, News.REVIVED}
    assert not LIMITED & (always | {News.PAUSED, News.KILL_UNCONFIRMED})
