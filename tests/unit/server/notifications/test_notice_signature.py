"""How webhooks are signed, and that what the reference says verifies them."""

import pytest

from rheostat_server.notifications.message import Message
from rheostat_server.notifications.signature import key_of, secret_of, signature, signed_headers
from rheostat_server.ramps.news import News
from tests.unit.server.notifications.documented import PAGE, verified

SECRET = secret_of(bytes(range(32)))
OTHER = secret_of(bytes(32))
NOW = 1_767_225_600


def test_the_published_example_of_the_convention() -> None:
    """Standard Webhooks' own example: id, time, body and secret give this signature."""
    signed = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_that_follows_the_reference() -> None:
    """It takes what was signed a moment ago, and no other body, id, time or secret."""
    body = b'{"event": "killed"}'
    headers = signed_headers((SECRET,), "id-1", NOW, body)

    assert verified(SECRET, headers, body, NOW + 200) == "id-1"
    for wrong in (
        (OTHER, headers, body, NOW),
        (SECRET, headers, body + b" ", NOW),
        (SECRET, {**headers, "webhook-id": "id-2"}, body, NOW),
        (SECRET, {**headers, "webhook-timestamp": str(NOW + 1)}, body, NOW),
        (SECRET, headers, body, NOW + 301),
        (SECRET, headers, body, NOW - 301),
    ):
        with pytest.raises(ValueError, match=r"secret|clock"):
            verified(*wrong)


def test_two_secrets_sign_while_one_is_changed() -> None:
    """During a rotation receivers with the old and with the new secret both agree."""
    headers = signed_headers((SECRET, OTHER), "id-1", NOW, b"{}")
    assert verified(SECRET, headers, b"{}", NOW) == verified(OTHER, headers, b"{}", NOW) == "id-1"


@pytest.mark.parametrize(
    "secret",
    [
        "", "whsec_", "whsec_short", "whsec_!!!!", SECRET.removeprefix("whsec_"), secret_of(bytes(23)),
        secret_of(bytes(65)),
    ],
)  # fmt: skip
def test_what_is_no_secret(secret: str) -> None:
    """A secret says that it is one, and is neither guessable nor endless."""
    with pytest.raises(ValueError, match=r"secret|Base64"):
        key_of(secret)


@pytest.mark.parametrize("news", News)
def test_every_event_is_in_the_reference(news: News) -> None:
    """Each event has a row in the table."""
    assert f"| `{news.value}` |" in PAGE.read_text()


@pytest.mark.parametrize("field", Message.__struct_fields__)
def test_every_field_is_in_the_reference(field: str) -> None:
    """Each field of a message is in the example."""
    assert f'"{field}": ' in PAGE.read_text()
