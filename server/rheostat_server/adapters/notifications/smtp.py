"""The courier by e-mail, over the operator's SMTP server."""

import asyncio
import ssl

import aiosmtplib

from rheostat_server.errors import Fault
from rheostat_server.notifications.mail import mail_of
from rheostat_server.notifications.message import Message
from rheostat_server.notifications.smtp_address import SmtpServer, mailbox
from rheostat_server.ports.notifications import SendFailed, Target

TIMEOUT_SECONDS = 10.0
WHOLE_SECONDS = 30.0


class EmailCourier:
    """Fulfils ``Courier``. Each message has a connection of its own: there are few. The server may be at a private
    address, for it is the operator who names it."""

    def __init__(self, server: SmtpServer, sender: str, *, whole_seconds: float = WHOLE_SECONDS) -> None:
        self._server = server
        self._sender = sender
        self._whole_seconds = whole_seconds
        self._address = mailbox(sender)[1]
        self._certificates = ssl.create_default_context()

    async def check(self, target: Target) -> tuple[tuple[Fault, ...], tuple[str, ...]]:
        """Nothing is known of an address before something is sent to it."""
        return (), ()

    async def send(self, target: Target, message: Message, now_ms: int) -> str | None:
        """Hand the e-mail to the server; return whom it does not deliver to, if to others it does."""
        server = self._server
        mail = mail_of(message, sender=self._sender, to=target.to, now_ms=now_ms)
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            timeout=TIMEOUT_SECONDS,
            use_tls=server.tls,
            start_tls=None if server.tls or server.starttls == "auto" else server.starttls == "required",
            tls_context=self._certificates,
        )
        try:
            async with asyncio.timeout(self._whole_seconds), client:
                if server.username is not None and server.password is not None:
                    await client.login(server.username, server.password)
                refused, _ = await client.send_message(mail, sender=self._address, recipients=list(target.to))
        except aiosmtplib.SMTPRecipientsRefused as error:
            words = "; ".join(f"{one.recipient}: {_answer(one)}" for one in error.recipients)
            lasting = all(one.code >= 500 for one in error.recipients)
            raise SendFailed(f"the SMTP server refuses {words}", final=lasting) from error
        except (aiosmtplib.SMTPAuthenticationError, aiosmtplib.SMTPConnectResponseError) as error:
            # The operator's to mend, whatever the code says of trying again.
            raise SendFailed(f"the SMTP server does not let us in: {_answer(error)}", unreachable=True) from error
        except aiosmtplib.SMTPResponseException as error:
            raise SendFailed(f"the SMTP server answered {_answer(error)}", final=error.code >= 500) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            said = _line(error.message if isinstance(error, aiosmtplib.SMTPException) else str(error))
            if isinstance(error, TimeoutError):
                said = "no answer in time"
            raise SendFailed(f"the SMTP server: {said or type(error).__name__}", unreachable=True) from error
        if not refused:
            return None
        return "not delivered to " + _line(
            "; ".join(f"{who}: {why.code} {why.message}" for who, why in refused.items())
        )

    async def close(self) -> None:
        """There is nothing to let go of."""


def _answer(error: aiosmtplib.SMTPResponseException) -> str:
    return f"{error.code} {_line(error.message)}"


def _line(text: str) -> str:
    return " ".join(text.split())
