"""What a server that has started tells people."""

from rheostat_server.access.seed import Seeded
from rheostat_server.welcome import welcome

URL = "http://127.0.0.1:8080"


def test_the_first_start_shows_secrets_and_what_to_try() -> None:
    """The first start shows both secrets and three commands that can be pasted as they are."""
    seeded = Seeded(first_start=True, admin_token="rht_a", sdk_key="rhs_b")
    text = welcome(url=URL, where="/data", seeded=seeded, command=".venv/bin/rheostat")

    assert f"export RHEOSTAT_URL={URL} RHEOSTAT_TOKEN=rht_a" in text
    assert "Bearer rhs_b" in text
    assert text.count(".venv/bin/rheostat ") == 2
    assert "shown once" in text


def test_later_starts_say_where_the_data_is() -> None:
    """A later start shows no secret, says where the data is, and how to get back in."""
    text = welcome(url=URL, where="/data", seeded=Seeded(first_start=False, notes=("X differs",)), command="rheostat")

    assert "/data" in text
    assert "rheostat token reset" in text
    assert "Note: X differs." in text
    assert "None" not in text
