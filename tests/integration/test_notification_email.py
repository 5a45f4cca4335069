"""E-mails, to a real SMTP server: with and without encryption, a password, and addresses that it does not know."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import Invalid
from rheostat_server.ramps.news import News
from tests.integration.certificates import Certificates
from tests.integration.notice_world import Notices
from tests.integration.ramp_world import ADMIN, PROJECT, RampWorld, ramp_world
from tests.integration.receivers import Mailbox, a_mail_server

USER = "me:pw%3Aword"


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server on this machine needs for TLS; its authority is known here."""
    certificates = Certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))
    monkeypatch.setenv("SSL_CERT_FILE", certificates.path("ca.pem"))
    return context


def mailed(world: RampWorld, mailbox: Mailbox, user: str = "", query: str = "", seconds: float = 15.0) -> Notices:
    """Return what sends by this server."""
    return Notices(world, smtp=f"smtp://{user}127.0.0.1:{mailbox.port}{query}", seconds=seconds)


async def told(notices: Notices, to: tuple[str, ...] = ("ops@example.com",)) -> None:
    """Tell of a kill."""
    await notices.channel("team", "email", to=list(to))
    await notices.tell(News.KILLED, why="it <burns>\nbadly")
    await notices.send()


async def test_an_email_arrives(world: RampWorld) -> None:
    """Subject, addresses, text and HTML arrive; the same message sent again has the same id."""
    async with a_mail_server() as mailbox:
        notices = mailed(world, mailbox)
        await told(notices, ("ops@example.com", "ana@example.com"))
        [one] = await notices.deliveries()
        async with world.storage.transaction() as tx:
            await tx.outbox.resend(one.id, notices.clock.wall_ms())
        await notices.send()

    assert await notices.became() == [("delivered", 1, None)]
    first, again = mailbox.mails
    assert first["Subject"] == "[rheostat] checkout killed in production"
    assert first["To"] == "ops@example.com, ana@example.com"
    assert mailbox.envelopes[0].mail_from == "flags@example.com"
    assert mailbox.envelopes[0].rcpt_tos == ["ops@example.com", "ana@example.com"]
    plain, html = first.get_body(("plain",)), first.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert "it <burns>\r\nbadly" in plain.get_content()
    assert "it &lt;burns&gt;" in html.get_content()
    assert "https://flags.example.com/api/v1/projects/shop/flags/checkout" in plain.get_content()
    assert first["Message-ID"] == again["Message-ID"]
    assert notices.counted()["email", "delivered"] == 2


async def test_a_channel_is_tried(world: RampWorld) -> None:
    """A test message goes to the channel's addresses, whatever its filters, and is no delivery."""
    async with a_mail_server() as mailbox:
        notices = mailed(world, mailbox)
        await notices.channel("team", "email", to=["ops@example.com"], events=["promoted"])
        tried = await notices.service.test(PROJECT, "team", ADMIN)
        assert (tried.delivered, tried.detail) == (True, None)
        mailbox.refuse = "554 no"
        tried = await notices.service.test(PROJECT, "team", ADMIN)
        assert (tried.delivered, tried.detail) == (False, "the SMTP server answered 554 no")

    assert mailbox.mails[0]["Subject"] == "[rheostat] a test of notifications of shop"
    assert await notices.became() == []


async def test_a_password_goes_over_an_encrypted_connection(world: RampWorld, tls: ssl.SSLContext) -> None:
    """With a password STARTTLS comes first; then the server lets us in."""
    async with a_mail_server(tls_context=tls, auth_required=True) as mailbox:
        notices = mailed(world, mailbox, f"{USER}@")
        await told(notices)

    assert await notices.became() == [("delivered", 1, None)]
    assert mailbox.encrypted == [True]
    assert len(mailbox.logins) == 1


async def test_no_password_goes_to_a_server_without_encryption(world: RampWorld) -> None:
    """A server that offers no STARTTLS does not get the password; the message waits."""
    async with a_mail_server(auth_require_tls=False) as mailbox:
        notices = mailed(world, mailbox, f"{USER}@")
        await told(notices)
        [(status, _, error)] = await notices.became()
        assert (status, mailbox.logins) == ("pending", [])
        assert "STARTTLS" in (error or "")

        allowed = mailed(world, mailbox, f"{USER}@", "?starttls=off")
        await allowed.send(seconds=10)
    assert [status for status, *_ in await allowed.became()] == ["delivered"]


async def test_a_certificate_that_nobody_vouches_for(
    world: RampWorld, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that shows an unknown certificate gets nothing."""
    monkeypatch.delenv("SSL_CERT_FILE")
    async with a_mail_server(tls_context=tls) as mailbox:
        notices = mailed(world, mailbox, query="?starttls=required")
        await told(notices)

    [(status, _, error)] = await notices.became()
    assert status == "pending"
    assert "certificate" in (error or "").lower()
    assert mailbox.mails == []


async def test_a_wrong_password_is_the_operators_to_mend(world: RampWorld, tls: ssl.SSLContext) -> None:
    """The message waits until the password is right, and the password is in no error."""
    async with a_mail_server(tls_context=tls, auth_required=True) as mailbox:
        notices = mailed(world, mailbox, "me:wrong-password@")
        await told(notices)
        [(status, _, error)] = await notices.became()
        assert status == "pending"
        assert "does not let us in: 535" in (error or "")
        assert "wrong-password" not in (error or "")

        right = mailed(world, mailbox, f"{USER}@")
        await right.send(seconds=10)
    assert len(mailbox.mails) == 1


async def test_addresses_that_the_server_does_not_know(world: RampWorld) -> None:
    """Where some are refused the others get it once, and who did not is said; where all are, it has failed."""
    async with a_mail_server() as mailbox:
        mailbox.unknown = {"gone@example.com"}
        notices = mailed(world, mailbox)
        await told(notices, ("ops@example.com", "gone@example.com"))
        [(status, _, remark)] = await notices.became()
        assert status == "delivered"
        assert remark == "not delivered to gone@example.com: 550 5.1.1 nobody of this name"
        assert len(mailbox.mails) == 1

        mailbox.unknown.add("ops@example.com")
        await notices.tell()
        await notices.send()
    assert [status for status, *_ in await notices.became()] == ["delivered", "failed"]


@pytest.mark.parametrize(
    ("answer", "status"), [("451 4.3.0 later", "pending"), ("554 5.7.1 we do not like it", "failed")]
)
async def test_what_the_server_says_of_a_message(world: RampWorld, answer: str, status: str) -> None:
    """4xx is tried again, 5xx is for good."""
    async with a_mail_server() as mailbox:
        mailbox.refuse = answer
        notices = mailed(world, mailbox)
        await told(notices)
        assert await notices.became() == [(status, 1, f"the SMTP server answered {answer}")]
        mailbox.refuse = None
        await notices.send(seconds=10)
    assert len(mailbox.mails) == (status == "pending")


async def test_a_server_that_is_away(world: RampWorld) -> None:
    """Nobody there: it waits, and arrives when somebody is."""
    async with a_mail_server() as mailbox:
        notices = mailed(world, mailbox)
    await told(notices)
    [(status, _, error)] = await notices.became()
    assert status == "pending"
    assert (error or "").startswith("the SMTP server: ")


async def test_a_server_that_says_nothing(world: RampWorld) -> None:
    """One that takes the connection and is silent is given up after a time, and tried again."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    mailbox = Mailbox()
    mailbox.port = server.sockets[0].getsockname()[1]
    notices = mailed(world, mailbox, seconds=0.5)
    await told(notices)
    server.close()
    assert await notices.became() == [("pending", 1, "the SMTP server: no answer in time")]


async def test_a_server_without_smtp_has_no_email_channels(world: RampWorld) -> None:
    """Who adds one is told which settings are missing; one that another node added waits for such a node."""
    notices = Notices(world)
    with pytest.raises(Invalid) as refused:
        await notices.channel("team", "email", to=["ops@example.com"])
    [fault] = refused.value.faults
    assert (fault.path, "RHEOSTAT_SMTP_URL" in (fault.hint or "")) == ("kind", True)

    async with a_mail_server() as mailbox:
        other = mailed(world, mailbox)
        await other.channel("team", "email", to=["ops@example.com"])
        await notices.tell()
        await notices.send()
        [(status, _, error)] = await notices.became()
        assert status == "pending"
        assert "RHEOSTAT_SMTP_URL" in (error or "")
        await other.send(seconds=10)
    assert len(mailbox.mails) == 1
