"""Writes that meet the deletion of what they write to."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import NotFound
from tests.admin_server import RunningNode, flag_document, rolled_out

BESIDE = "/projects/beside"
HERE = f"{BESIDE}/environments/production"


@pytest.fixture
async def beside(running: RunningNode) -> RunningNode:
    """A node with a second project: an environment and a flag with a rollout."""
    for path, body in (("/projects", {"key": "beside"}), (f"{BESIDE}/environments", {"key": "production"})):
        assert (await running.admin.post(path, json=body)).status_code == 201
    document = flag_document("f", environments={"production": rolled_out(5)})
    assert (await running.admin.put(f"{BESIDE}/flags/f", json=document)).status_code == 201
    return running


@asynccontextmanager
async def deleting(database: Database, query: str) -> AsyncIterator[None]:
    """Delete without having committed; commit at the end, once somebody waits for it."""
    async with database.transaction() as connection:
        await connection.execute(query)
        yield
        async with database.connection() as watcher:
            for _ in range(300):
                if await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    return
                await asyncio.sleep(0.01)
        raise AssertionError("nobody waited for the deletion")


DELETE_PROJECT = "DELETE FROM projects WHERE key = 'beside'"
DELETE_ENVIRONMENT = """
DELETE FROM environments e USING projects p WHERE p.id = e.project_id AND p.key = 'beside' AND e.key = 'production'
"""


@pytest.mark.parametrize(
    ("query", "path", "body"),
    [
        (DELETE_PROJECT, "/tokens", {"label": "late", "project": "beside", "scope": "admin"}),
        (DELETE_PROJECT, f"{HERE}/keys", {"label": "late"}),
        (DELETE_ENVIRONMENT, f"{HERE}/keys", {"label": "late"}),
        (DELETE_ENVIRONMENT, f"{HERE}/ramps", {"flag": "f"}),
        (DELETE_ENVIRONMENT, f"{HERE}/flags/f/kill", {"reason": "late"}),
    ],
)
async def test_what_is_deleted_meanwhile_is_not_found(
    beside: RunningNode, database: Database, query: str, path: str, body: dict[str, Any]
) -> None:
    """A write that loses against a deletion finds nothing, and leaves nothing: above all no token of every project."""
    async with deleting(database, query):
        write: asyncio.Task[httpx.Response] = asyncio.create_task(beside.admin.post(path, json=body))
    answer = await write

    assert answer.status_code == 404, answer.text
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM tokens WHERE label = 'late'") == 0


async def test_a_token_bound_to_what_is_gone_is_refused(beside: RunningNode, database: Database) -> None:
    """Where the project vanishes between two statements, the token does not become one of every project."""
    async with beside.node.storage.transaction() as tx:
        row = (await tx.tokens.all())[0]
        async with database.connection() as other:
            await other.execute(DELETE_PROJECT)
        with pytest.raises(NotFound):
            await tx.tokens.add(
                msgspec.structs.replace(
                    row, id=str(uuid.uuid4()), hash=b"another", project="beside", environment_id=None
                )
            )


async def test_deleting_and_writing_at_once_end_in_order(beside: RunningNode) -> None:
    """Each of many writes under repeated deletions is done, or refused for what it found; none fails or waits long."""
    admin = beside.admin
    document = flag_document("f", environments={"production": rolled_out(5)})
    writes: list[Callable[[], Awaitable[httpx.Response]]] = [
        lambda: admin.post("/projects", json={"key": "beside"}),
        lambda: admin.post(f"{BESIDE}/environments", json={"key": "production"}),
        lambda: admin.put(f"{BESIDE}/flags/f", json=document),
        lambda: admin.post(f"{HERE}/ramps", json={"flag": "f"}),
        lambda: admin.post(f"{HERE}/flags/f/kill", json={"reason": "race"}),
        lambda: admin.post(f"{HERE}/flags/f/revive", json={"reason": "race"}),
        lambda: admin.post(f"{HERE}/keys", json={"label": "race"}),
        lambda: admin.post("/tokens", json={"label": "race", "project": "beside"}),
        lambda: admin.delete(f"{HERE}?confirm=production"),
        lambda: admin.delete(f"{BESIDE}?confirm=beside"),
    ]
    for _ in range(4):
        answers = await asyncio.gather(*(write() for write in writes * 2))
        assert {answer.status_code for answer in answers} <= {200, 201, 204, 404, 409, 422}, [
            answer.text for answer in answers if answer.status_code >= 500
        ]

    tokens = (await admin.get("/tokens")).json()["tokens"]
    assert all(token["project"] == "beside" for token in tokens if token["label"] == "race")
