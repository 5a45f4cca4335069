"""A message as an e-mail."""

import email
from email.message import EmailMessage
from email.policy import default

import pytest

from rheostat_server.notifications.mail import mail_of
from rheostat_server.notifications.message import Message
from rheostat_server.notifications.smtp_address import SmtpServer, mailbox, smtp_server
from tests.unit.server.notifications.notices import a_message

NOW = 1_767_225_600_000


def sent(message: Message, sender: str = "Rheostat <flags@example.com>") -> EmailMessage:
    """Return the e-mail as its receiver parses it."""
    mail = mail_of(message, sender=sender, to=["ops@example.com", "ana@example.com"], now_ms=NOW)
    parsed = email.message_from_bytes(bytes(mail), policy=default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def text_of(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_subject_text_and_figures() -> None:
    """The subject says it all in a line; the text has why, both arms, the lines and the link."""
    mail = sent(a_message())

    assert mail["Subject"] == "[rheostat] checkout-v2 killed in production"
    assert mail["From"] == "Rheostat <flags@example.com>"
    assert mail["To"] == "ops@example.com, ana@example.com"
    assert mail["Date"] == "Thu, 01 Jan 2026 00:00:00 +0000"
    assert mail["Message-ID"] == f"<{a_message().id}@example.com>"
    text = text_of(mail, "plain")
    assert "errors: 61 users newly failed, M crossed 100" in text
    assert "exposed 4.94 % bad of 1 234, others 0.495 % bad of 11 106; M 131 of 100; proof 0.2 of 20" in text
    assert "10 % → 0 %" in text
    assert f"{a_message().link}\r\nrheostat ramp status checkout-v2 -p default -e production\r\n" in text


def test_html_is_escaped() -> None:
    """What people wrote is text in the HTML too."""
    html = text_of(sent(a_message(why="<script>alert('x')</script> & more")), "html")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "&amp; more" in html


@pytest.mark.parametrize("flag", ["a\r\nBcc: evil@example.com", "a\nX: y", "a\x00b", "ü" * 300])
def test_no_header_can_be_smuggled_in(flag: str) -> None:
    """Whatever stands in a name, the subject stays one line and the headers those that they are."""
    mail = sent(a_message(flag=flag))
    assert set(mail.keys()) == {
        "Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
    }  # fmt: skip
    assert "\n" not in mail["Subject"]
    assert mail["To"] == "ops@example.com, ana@example.com"


def test_repeats_and_a_message_without_ramp() -> None:
    """What was left out is counted; what no ramp is concerned with has no line for it."""
    plain = text_of(sent(a_message(event="held", repeats=3)), "plain")
    assert "It was so 3 times more since the last message." in plain
    plain = text_of(
        sent(a_message(event="held", repeats=1, exposure=None, ramp=None, kill=None, guardrails=())), "plain"
    )
    assert "It was so once more since the last message." in plain
    assert "exposure" not in plain


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.internal", SmtpServer(host="mail.internal", port=25, tls=False, starttls="auto")),
        ("smtps://mail:10465", SmtpServer(host="mail", port=10465, tls=True, starttls="auto")),
        (
            "smtp://me%40x:p%3Aw@mail:587",
            SmtpServer(host="mail", port=587, tls=False, starttls="required", username="me@x", password="p:w"),
        ),
        ("smtp://mail:587?starttls=off", SmtpServer(host="mail", port=587, tls=False, starttls="off")),
    ],
)
def test_smtp_urls(url: str, server: SmtpServer) -> None:
    """A URL names the server; with a password STARTTLS is required."""
    assert smtp_server(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "mail.internal", "http://mail", "smtp://", "smtp://me@mail", "smtp://mail:x", "smtp://mail/path",
        "smtp://mail?starttls=maybe", "smtp://mail?tls=1", "smtp://mail:99999", "smtp://mail?x",
    ],
)  # fmt: skip
def test_wrong_smtp_urls(url: str) -> None:
    """What is no such URL is refused, and not repeated: a password may be in it."""
    with pytest.raises(ValueError, match=r".+") as refused:
        smtp_server(url)
    assert url not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "", "ana", "ana@", "@example.com", "a@b, c@d", "a b@example.com", "ana@example.com\r\nBcc: x@y",
        "ü@example.com", "a@" + "b" * 300,
    ],
)  # fmt: skip
def test_wrong_addresses(text: str) -> None:
    """An address is one, in ASCII, with a domain."""
    with pytest.raises(ValueError, match="address"):
        mailbox(text)
