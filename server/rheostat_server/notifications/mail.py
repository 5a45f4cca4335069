"""A message as an e-mail: plain text, and the same as simple HTML. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from html import escape

from rheostat_server.notifications.message import Message
from rheostat_server.notifications.smtp_address import mailbox
from rheostat_server.notifications.words import facts, guardrail_lines, headline, more_line, repeats_line

_LONGEST_SUBJECT = 200


def mail_of(message: Message, *, sender: str, to: Sequence[str], now_ms: int) -> EmailMessage:
    """Return the e-mail. Its ``Message-ID`` is the same whenever the message is sent again."""
    name, address = mailbox(sender)
    mail = EmailMessage(policy=SMTP)
    # A line break in a header would begin another; keys have none, and nothing else comes here.
    mail["Subject"] = _one_line(f"[rheostat] {headline(message)}")[:_LONGEST_SUBJECT]
    mail["From"] = formataddr((name, address))
    mail["To"] = ", ".join(to)
    mail["Date"] = format_datetime(datetime.fromtimestamp(now_ms // 1000, UTC))
    mail["Message-ID"] = f"<{message.id}@{address.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_text(message))
    mail.add_alternative(_html(message), subtype="html")
    return mail


def _text(message: Message) -> str:
    known = facts(message)
    width = max(len(name) for name, _ in known)
    parts = [
        headline(message),
        message.why,
        repeats_line(message),
        "\n".join(f"{name:<{width}}  {value}" for name, value in known),
        "\n".join(guardrail_lines(message)),
        "\n".join(part for part in (message.link, more_line(message)) if part),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _html(message: Message) -> str:
    rows = "".join(
        f"<tr><th align=left>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts(message)
    )
    guardrails = "".join(f"<li>{escape(line)}</li>" for line in guardrail_lines(message))
    said = "".join(f"<p>{escape(part)}</p>" for part in (message.why, repeats_line(message)) if part)
    link = f'<p><a href="{escape(message.link)}">{escape(message.link)}</a></p>' if message.link else ""
    command = f"<p><code>{escape(more_line(message))}</code></p>" if more_line(message) else ""
    listed = f"<ul>{guardrails}</ul>" if guardrails else ""
    head = escape(headline(message))
    return (
        f'<!doctype html><html lang="en"><title>{head}</title><body><h3>{head}</h3>{said}'
        f"<table cellpadding=3>{rows}</table>{listed}{link}{command}</body></html>\n"
    )


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
