"""Receivers of notifications: an HTTP server that answers as it is told to, and an SMTP server."""

import asyncio
import email
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import default
from typing import Any

import msgspec
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from rheostat_server.notifications.message import Message

Headers = dict[str, str]


class Received(msgspec.Struct, frozen=True):
    """A POST that arrived."""

    path: str
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def message(self) -> Message:
        """The body of a webhook."""
        return msgspec.json.decode(self.body, type=Message)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the receiver says. ``hang``: nothing at all, until the caller goes away."""

    status: int = 204
    headers: Headers = {}
    body: bytes = b""
    hang: bool = False


class Receiver:
    """An HTTP server on a free port. ``answers`` are given in turn; then 204."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[Answer] = []
        self.judge: Callable[[Received], Answer | None] = lambda _: None
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        self.port = 0
        self.connections = 0

    @property
    def url(self) -> str:
        """Its address, with a secret in the path."""
        return f"http://127.0.0.1:{self.port}/services/secret"

    @property
    def events(self) -> list[str]:
        """The events that arrived, in order."""
        return [one.message.event for one in self.received]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request of a connection."""
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")[:-2]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            one = Received(first.split()[1], headers, body)
            self.received.append(one)
            if self.before_answer is not None:
                await self.before_answer()
            answer = self.judge(one) or (self.answers.pop(0) if self.answers else Answer())
            if answer.hang:
                await reader.read()
                return
            fields = {"content-length": str(len(answer.body)), "connection": "close", **answer.headers}
            told = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            writer.write(f"HTTP/1.1 {answer.status} So\r\n{told}\r\n".encode() + answer.body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def a_receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Run an HTTP receiver, with ``tls`` an HTTPS one."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


class Mailbox:
    """An SMTP server's handler: keeps what arrives, refuses the addresses in ``unknown`` and all data by ``refuse``."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.unknown: set[str] = set()
        self.refuse: str | None = None
        self.logins: list[str] = []
        self.encrypted: list[bool] = []
        self.port = 0

    def authenticate(self, _: SMTP, session: Session, __: Envelope, mechanism: str, data: Any) -> AuthResult:
        """Let ``me`` in, with the password ``pw:word``."""
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"me", b"pw:word")
        self.logins.append(mechanism)
        return AuthResult(success=good, handled=False)

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]) -> str:
        """Take an address, or refuse it."""
        if address in self.unknown:
            return "550 5.1.1 nobody of this name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep an e-mail."""
        if self.refuse is not None:
            return self.refuse
        parsed = email.message_from_bytes(envelope.content or b"", policy=default)  # type: ignore[arg-type]
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        self.envelopes.append(envelope)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"


@asynccontextmanager
async def a_mail_server(**options: Any) -> AsyncIterator[Mailbox]:
    """Run an SMTP server."""
    mailbox = Mailbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(mailbox, hostname="mail.test", authenticator=mailbox.authenticate, loop=loop, **options),
        "127.0.0.1",
        0,
    )
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
