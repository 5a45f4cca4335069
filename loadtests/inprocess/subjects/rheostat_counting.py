"""Rheostat as it is in production: every evaluation is also counted by flag and variant, to be sent to the server."""

from loadtests.inprocess.subjects.rheostat import Subject, snapshot

from rheostat import Rheostat

PACKAGES = ("mmh3", "msgspec")
# Nothing listens there: what is counted is kept, as while a server is down.
_NOBODY = "http://127.0.0.1:9"


def load(count: int) -> Subject:
    """Return the subject with so many flags."""
    client = Rheostat(_NOBODY, "rhs_srv_none", bootstrap=snapshot(count))
    client.wait_until_ready(0.5)
    return Subject(client)
