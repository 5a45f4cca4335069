"""How notifications leave: signed, at least once, in order, and no receiver holds up another or a ramp."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import StorageUnavailable
from rheostat_server.ports.notifications import DeliveryStatus
from rheostat_server.ramps.lease import Lease
from rheostat_server.ramps.news import News
from tests.integration.certificates import Certificates
from tests.integration.notice_world import Notices
from tests.integration.ramp_world import FLAG, PROJECT, RampWorld, flag_document, ramp_world
from tests.integration.receivers import Answer, Received, Receiver, a_receiver
from tests.unit.server.notifications.documented import verified

DAY = 86_400


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written."""
    async with ramp_world(database) as made:
        await made.put(flag_document(tags=["payments"]))
        yield made


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """An HTTP receiver."""
    async with a_receiver() as made:
        yield made


@pytest.fixture
async def notices(world: RampWorld) -> AsyncIterator[Notices]:
    """What sends the world's notifications, also to this machine; nothing takes longer than 1 s."""
    made = Notices(world, seconds=1.0)
    yield made
    await made.sender.stop()


async def test_a_webhook_is_signed_as_the_reference_says(notices: Notices, receiver: Receiver) -> None:
    """What arrives has the id, the time of the try and a signature that the documented function takes."""
    secret = (await notices.channel(url=receiver.url)).secret
    await notices.tell(News.REVIVED, why="fixed")
    await notices.send(seconds=100)

    [one] = receiver.received
    assert secret is not None
    now_s = notices.clock.wall_ms() / 1000
    assert verified(secret, one.headers, one.body, now_s) == one.message.id
    assert one.path == "/services/secret"
    assert one.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert one.headers["content-type"] == "application/json"
    assert (one.message.event, one.message.why, one.message.actor) == ("revived", "fixed", "ana")
    assert one.message.link == f"https://flags.example.com/api/v1/projects/{PROJECT}/flags/{FLAG}"
    assert await notices.became() == [("delivered", 1, None)]
    assert notices.counted()["webhook", "delivered"] == 1
    assert notices.oldest_s() == 0


async def test_a_receiver_that_fails_and_recovers(notices: Notices, receiver: Receiver) -> None:
    """5xx is tried again, later and later, with the same id and a new time; then it has arrived, and once."""
    secret = (await notices.channel(url=receiver.url)).secret or ""
    receiver.answers = [Answer(status=500, body=b"oh\nno"), Answer(status=503), Answer(status=408)]
    await notices.tell()

    await notices.send()
    assert await notices.became() == [("pending", 1, "the receiver answered 500: oh no")]
    await notices.send(seconds=2)
    assert len(receiver.received) == 1
    for seconds in (5, 10, 20):
        await notices.send(seconds=seconds)

    assert await notices.became() == [("delivered", 4, "the receiver answered 408")]
    assert len({one.message.id for one in receiver.received}) == 1
    assert len({one.headers["webhook-timestamp"] for one in receiver.received}) == 4
    last = receiver.received[-1]
    verified(secret, last.headers, last.body, notices.clock.wall_ms() / 1000)
    assert notices.counted() == {("webhook", "retried"): 3, ("webhook", "delivered"): 1}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
async def test_what_is_refused_for_good_fails_at_once(notices: Notices, receiver: Receiver, status: int) -> None:
    """A 4xx says that trying again is of no use; the next message goes out all the same."""
    await notices.channel(url=receiver.url)
    receiver.answers = [Answer(status=status, body=b"no_service" + b"x" * 100_000)]
    await notices.tell()
    await notices.tell()
    await notices.send()

    [first, second] = await notices.became()
    assert first[:2] == ("failed", 1)
    assert (first[2] or "").startswith(f"the receiver answered {status}: no_service")
    assert len(first[2] or "") < 300
    assert second == ("delivered", 1, None)
    await notices.send(seconds=DAY)
    assert len(receiver.received) == 2


async def test_nobody_there_for_a_day(notices: Notices, receiver: Receiver) -> None:
    """A receiver that is not there is tried for 24 h; then the delivery has failed, and can be sent by hand."""
    await notices.channel(url=receiver.url.replace(str(receiver.port), "9"))
    await notices.tell()
    for _ in range(200):
        await notices.send(seconds=900)
        [(status, attempts, error)] = await notices.became()
        if status == "failed":
            break

    assert status == "failed"
    assert 90 <= attempts <= 110
    await notices.send()
    assert (error or "").startswith("no connection")
    assert notices.oldest_s() == 0


async def test_who_asks_for_a_pause_gets_it(notices: Notices, receiver: Receiver) -> None:
    """After 429 or ``Retry-After`` nothing is sent to the channel for so long, also nothing new."""
    await notices.channel(url=receiver.url)
    receiver.answers = [Answer(status=429, headers={"retry-after": "600"})]
    await notices.tell(flag="a")
    await notices.tell(flag="b")
    await notices.send()
    assert len(receiver.received) == 1

    await notices.send(seconds=500)
    assert len(receiver.received) == 1
    await notices.send(seconds=101)
    assert [one.message.flag for one in receiver.received] == ["a", "a", "b"]


async def test_redirects_are_not_followed(notices: Notices, receiver: Receiver) -> None:
    """Wherever a redirect leads, also to an address that would be refused, nothing is sent there."""
    await notices.channel(url=receiver.url)
    receiver.answers = [
        Answer(status=status, headers={"location": f"http://127.0.0.1:{receiver.port}/elsewhere"})
        for status in (302, 307)
    ]
    await notices.tell()
    await notices.tell()
    await notices.send()

    assert [one.path for one in receiver.received] == ["/services/secret"] * 2
    assert [status for status, *_ in await notices.became()] == ["failed", "failed"]


async def test_a_name_that_comes_to_lead_to_a_private_address(world: RampWorld, receiver: Receiver) -> None:
    """Between saving and sending a name may change its address: it is checked again when it is used."""
    notices = Notices(world)
    await notices.channel(url=f"http://localhost:{receiver.port}/")
    elsewhere = Notices(world, allowed=())
    await notices.tell()
    await elsewhere.send()

    [(status, _, error)] = await notices.became()
    assert status == "failed"
    assert "localhost leads to" in (error or "")
    assert "loopback" in (error or "")
    assert receiver.connections == 0


async def test_the_connection_goes_to_the_address_that_was_checked(
    notices: Notices, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is resolved once for a try: one whose second answer is another address gains nothing by it."""
    loop = asyncio.get_running_loop()
    asked: list[Any] = []
    resolve = loop.getaddrinfo

    async def changing(host: Any, port: Any, **options: Any) -> Any:
        asked.append(host)
        if host == "rebind.test":
            first = asked.count("rebind.test") == 1
            return await resolve("127.0.0.1" if first else "127.0.0.2", port, **options)
        return await resolve(host, port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", changing)
    await notices.channel(url=receiver.url)
    async with notices.world.storage.transaction() as tx:
        home = await tx.projects.get(PROJECT)
        channel = await tx.channels.get(home.id, "hook")
    asked.clear()
    courier = notices.sending.couriers[channel.kind]
    await notices.tell()
    await notices.send()
    message = receiver.received[0].message

    target = type(channel.target)(url=f"http://rebind.test:{receiver.port}/x", secret=channel.target.secret)
    await courier.send(target, message, notices.clock.wall_ms())

    assert asked.count("rebind.test") == 1
    assert receiver.received[-1].headers["host"] == f"rebind.test:{receiver.port}"


async def test_https_is_verified_for_the_name_and_not_for_the_address(
    world: RampWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate for the address that a name leads to is not one for the name."""
    certificates = Certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))
    monkeypatch.setenv("SSL_CERT_FILE", certificates.path("ca.pem"))
    async with a_receiver(context) as receiver:
        notices = Notices(world)
        await notices.channel("address", url=f"https://127.0.0.1:{receiver.port}/")
        await notices.channel("name", url=f"https://localhost:{receiver.port}/")
        await notices.tell()
        await notices.send()

    assert await notices.became(channel="address") == [("delivered", 1, None)]
    [(status, _, error)] = await notices.became(channel="name")
    assert status == "pending"
    assert "certificate" in (error or "").lower()
    assert len(receiver.received) == 1


async def test_a_receiver_that_hangs_holds_up_nobody_else(notices: Notices, receiver: Receiver) -> None:
    """While one receiver says nothing, another gets all of its messages, and the hanging one is tried later."""
    await notices.channel("slow", url=receiver.url)
    receiver.answers = [Answer(hang=True)]
    async with a_receiver() as quick:
        await notices.channel("quick", url=quick.url)
        await notices.tell()
        begun = await notices.sender.tick()
        while not (receiver.received and quick.received):
            await asyncio.sleep(0.01)
        hanging = [task for task in begun if not task.done()]
        await notices.tell(News.PROMOTED)
        while len(quick.received) < 2:
            await notices.sender.tick()
            await asyncio.sleep(0.01)

        assert quick.events == ["advanced", "promoted"]
        assert len(hanging) <= 2
        await asyncio.gather(*begun)
    [first, *_] = await notices.became(channel="slow")
    assert first[0] == "pending"
    assert "no " in (first[2] or "")
    await notices.send(seconds=10)
    assert receiver.events == ["advanced", "advanced", "promoted"]


async def test_an_outage_keeps_the_order(notices: Notices, receiver: Receiver) -> None:
    """What piled up while a receiver was away arrives in the order in which it happened."""
    await notices.channel(url=receiver.url)
    receiver.judge = lambda _: Answer(status=502)
    told = [News.STARTED, News.ADVANCED, News.STEPPED_BACK, News.KILLED]
    for news in told:
        await notices.tell(news)
        await notices.send(seconds=4)
    receiver.judge = lambda _: None
    receiver.received.clear()
    for _ in range(10):
        await notices.send(seconds=4)

    assert receiver.events == [news.value for news in told]


async def test_a_message_that_is_never_taken_keeps_no_other(notices: Notices, receiver: Receiver) -> None:
    """A receiver that fails over one message gets the others of the same ramp."""
    await notices.channel(url=receiver.url)

    def judge(one: Received) -> Answer | None:
        return Answer(status=500) if one.message.event == "advanced" else None

    receiver.judge = judge
    await notices.tell(News.ADVANCED)
    await notices.tell(News.KILLED)
    await notices.send()

    assert [status for status, *_ in await notices.became()] == ["pending", "delivered"]


async def test_a_crash_between_sending_and_keeping_it(
    notices: Notices, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that ends when the receiver has the message and nobody else knows: the next one sends it again."""
    await notices.channel(url=receiver.url)
    await notices.tell()
    storage = notices.world.storage
    run = storage.run

    async def ending(work: Any) -> Any:
        if receiver.received:
            raise StorageUnavailable("the node ended here")
        return await run(work)

    monkeypatch.setattr(storage, "run", ending)
    await notices.send()
    monkeypatch.setattr(storage, "run", run)
    assert len(receiver.received) == 1
    assert await notices.became() == [("pending", 0, None)]

    await notices.world.controller.lease.give_up()
    lease = Lease(storage, notices.clock, "two")
    await lease.step()
    await notices.send(sender=notices.another(lease))

    assert len(receiver.received) == 2
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    assert await notices.became() == [("delivered", 1, None)]


async def test_one_that_loses_the_lease_while_it_sends_keeps_nothing(notices: Notices, receiver: Receiver) -> None:
    """What it had on its way is sent again by the next leader, and it sends nothing more."""
    await notices.channel(url=receiver.url)
    await notices.tell()
    await notices.tell(News.PROMOTED)
    lease = Lease(notices.world.storage, notices.clock, "two")

    async def take_over() -> None:
        receiver.before_answer = None
        async with notices.world.storage.transaction() as tx:
            lease.token = await tx.lease.take("two", await tx.lease.read())

    receiver.before_answer = take_over
    await notices.send()
    assert receiver.events == ["advanced"]
    assert await notices.became() == [("pending", 0, None)] * 2
    assert notices.world.controller.lease.token is None

    await notices.send(sender=notices.another(lease))
    assert receiver.events == ["advanced", "advanced", "promoted"]
    assert await notices.became() == [("delivered", 1, None)] * 2


async def test_filters(notices: Notices, receiver: Receiver) -> None:
    """A channel gets the events, flags, tags and environments that it asked for; all get the rest."""
    filters: dict[str, dict[str, Any]] = {
        "all": {},
        "kills": {"events": ["killed"]},
        "payments": {"tags": ["payments"]},
        "other": {"flags": ["other"]},
        "here": {"environments": ["production"]},
    }
    for name, fields in filters.items():
        await notices.channel(name, url=receiver.url, **fields)
    await notices.tell(News.STARTED)
    await notices.tell(News.KILLED)
    await notices.tell(News.STARTED, flag="other")
    await notices.send()

    got = [(one.channel, one.flag, one.event) for one in await notices.deliveries()]
    assert sorted(got) == sorted(
        [
            *(("all", FLAG, event) for event in ("started", "killed")),
            *(("here", FLAG, event) for event in ("started", "killed")),
            *(("payments", FLAG, event) for event in ("started", "killed")),
            ("kills", FLAG, "killed"),
            *((name, "other", "started") for name in ("all", "here", "other")),
        ]
    )


async def test_a_ramp_that_goes_to_and_fro(notices: Notices, receiver: Receiver) -> None:
    """Held, on, held, on … is told once each; what was left out is counted, and how it stays is told in the end."""
    await notices.channel(url=receiver.url)
    for _ in range(4):
        for news in (News.HELD, News.RESUMED):
            await notices.tell(news)
            await notices.send(seconds=30)
    await notices.tell(News.HELD)
    await notices.send(seconds=30)
    assert receiver.events == ["held", "resumed"]

    await notices.send(seconds=600)
    assert receiver.events == ["held", "resumed", "held"]
    assert receiver.received[-1].message.repeats == 3
    await notices.tell(News.KILLED)
    await notices.send()
    assert receiver.events[-1] == "killed"


async def test_what_waits_to_see_holds_up_nothing_else(notices: Notices, receiver: Receiver) -> None:
    """However many ramps are blind for the second time in 10 min, a kill is told at once."""
    await notices.channel(url=receiver.url, events=["killed"])
    for _ in range(2):
        for number in range(60):
            await notices.tell(News.BLIND, flag=f"f{number}")
        await notices.send()
    await notices.tell(News.KILLED)
    await notices.send()

    assert receiver.events == ["killed"]


async def test_sent_again_by_hand(notices: Notices, receiver: Receiver) -> None:
    """What was delivered or has failed is sent again with the same id; what is still tried is not."""
    await notices.channel(url=receiver.url)
    await notices.tell()
    await notices.send()
    [one] = await notices.deliveries()
    async with notices.world.storage.transaction() as tx:
        home = await tx.projects.get(PROJECT)
        assert await tx.outbox.resend(one.id, notices.clock.wall_ms())
        assert not await tx.outbox.resend(one.id, notices.clock.wall_ms())
        assert (await tx.outbox.get(home.id, one.id)).status is DeliveryStatus.PENDING
    await notices.send()

    assert [got.message.id for got in receiver.received] == [one.notification] * 2
    assert await notices.became() == [("delivered", 1, None)]


async def test_old_ones_are_pruned_and_what_waits_is_not(notices: Notices, receiver: Receiver) -> None:
    """After 30 days a notification goes, with its deliveries; one that is still tried stays."""
    await notices.channel(url=receiver.url)
    await notices.tell()
    await notices.send()
    await notices.sender.prune()
    assert len(await notices.deliveries()) == 1

    receiver.judge = lambda _: Answer(status=500)
    notices.clock.advance(30 * DAY + 1)
    await notices.tell()
    await notices.send()
    await notices.sender.prune()

    assert [one.status for one in await notices.deliveries()] == ["pending"]


async def test_what_waits_when_the_node_stops_is_left_to_the_next(notices: Notices, receiver: Receiver) -> None:
    """A stop cuts short what hangs; the next node sends it."""
    await notices.channel(url=receiver.url)
    receiver.answers = [Answer(hang=True)]
    await notices.tell()
    begun = await notices.sender.tick()
    while not receiver.received:
        await asyncio.sleep(0.01)
    await notices.sender.stop()
    assert all(task.done() for task in begun)

    after = Notices(notices.world)
    await after.send()
    assert await after.became() == [("delivered", 1, None)]
    await after.sender.stop()


async def test_one_that_does_not_lead_sends_nothing(notices: Notices, receiver: Receiver) -> None:
    """Another node leaves all to the leader, and shows no age of what waits."""
    await notices.channel(url=receiver.url)
    await notices.tell()
    other = notices.another(Lease(notices.world.storage, notices.clock, "two"))
    await notices.send(sender=other)
    await other.prune()

    assert receiver.received == []
    assert notices.oldest_s() is None
