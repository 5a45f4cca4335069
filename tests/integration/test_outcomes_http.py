"""Reporting outcomes over real HTTP."""

import gzip
from collections.abc import AsyncIterator

import msgspec
import pytest

from rheostat.model.outcome import BatchReceipt
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.outcomes.routes import BODY_BYTES
from tests.data_plane import a_batch, a_row, failing
from tests.data_plane_node import API_TOKEN, CLIENT_KEY, SERVER_KEY, Node, a_node

AUTH = {"Authorization": f"Bearer {SERVER_KEY}"}


@pytest.fixture
async def node(database: Database) -> AsyncIterator[Node]:
    async with a_node(database) as running:
        yield running


async def test_a_batch_is_acknowledged_and_counts_once(node: Node) -> None:
    """Sent twice, once packed, a batch is acknowledged twice and counted once."""
    environment = node.hub.feeds()[0].id
    ramp = await node.world.ramp(environment)
    body = msgspec.json.encode(a_batch(rows=(a_row(ramp),), failing=failing(ramp, (1, 1))))

    plain = await node.client.post("/sdk/v1/outcomes", content=body, headers=AUTH)
    packed = await node.client.post(
        "/sdk/v1/outcomes", content=gzip.compress(body), headers={**AUTH, "Content-Encoding": "gzip"}
    )

    assert (plain.status_code, packed.status_code) == (200, 200)
    receipts = [msgspec.json.decode(answer.content, type=BatchReceipt) for answer in (plain, packed)]
    assert [(receipt.sequence, receipt.duplicate) for receipt in receipts] == [(1, False), (1, True)]
    assert all(receipt.at_ms > 0 for receipt in receipts)
    assert len(await node.world.fetch("SELECT 1 FROM ramp_inbox")) == 1


@pytest.mark.parametrize(("age", "late"), [("0", False), ("119000", False), ("600000", True), ("soon", False)])
async def test_a_batch_that_was_long_on_its_way_is_late(node: Node, age: str, late: bool) -> None:
    """The batch's own age adds to the ages in it: what was sent again after an outage is no fresh evidence."""
    environment = node.hub.feeds()[0].id
    ramp = await node.world.ramp(environment)
    body = msgspec.json.encode(a_batch(rows=(a_row(ramp, ages=(500, 0)),), failing=failing(ramp, (1, 1))))

    await node.client.post("/sdk/v1/outcomes", content=body, headers={**AUTH, "Rheostat-Batch-Age-Ms": age})

    async with node.world.storage.transaction() as transaction:
        [row] = await transaction.outcomes.inbox_after(ramp, 0)
    assert (row.increment.late, row.increment.treatment.failing) == (late, 1)


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"{", "", 400),
        (b"", "", 400),
        (b'{"instance": "\xff"}', "", 400),
        (b'{"instance": "\\ud800"}', "", 400),
        (b'{"more": ' * 20_000, "", 400),
        (b"[]", "", 422),
        (b'{"instance":"x","sequence":1}', "", 422),
        (b"not gzip", "gzip", 400),
        (gzip.compress(b"{}")[:-4], "gzip", 400),
        (b"{}", "br", 400),
        (gzip.compress(b" " * (BODY_BYTES + 1)), "gzip", 413),
        (b" " * (BODY_BYTES + 1), "", 413),
    ],
)
async def test_a_bad_batch_is_a_problem(node: Node, body: bytes, encoding: str, status: int) -> None:
    """What is no batch, not unpackable or too large is refused with a problem that says so."""
    headers = {**AUTH, "Content-Encoding": encoding} if encoding else AUTH

    answer = await node.client.post("/sdk/v1/outcomes", content=body, headers=headers)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_fault_has_its_path(node: Node) -> None:
    """The problem names the field that is wrong."""
    body = msgspec.json.encode(a_batch(rows=(a_row("r", ended=1, bad=2),)))

    answer = await node.client.post("/sdk/v1/outcomes", content=body, headers=AUTH)

    assert [fault["path"] for fault in answer.json()["faults"]] == ["rows[0]"]


@pytest.mark.parametrize(("key", "status"), [(CLIENT_KEY, 403), (API_TOKEN, 403), ("rhs_unknown", 401)])
async def test_only_server_keys_report(node: Node, key: str, status: int) -> None:
    """A browser's key reports nothing: anybody could read it from the page."""
    body = msgspec.json.encode(a_batch())

    answer = await node.client.post("/sdk/v1/outcomes", content=body, headers={"X-API-Key": key})

    assert answer.status_code == status
