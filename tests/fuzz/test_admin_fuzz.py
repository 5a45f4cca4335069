"""Whatever is sent, the server answers in order, and what it refuses has changed nothing."""

from collections.abc import Iterable
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from rheostat_server.adapters.storage.postgres.pool import Database
from tests.admin_server import RunningNode, flag_document, rolled_out
from tests.fuzz.hostile import Maker, Sent

EACH = 30
"""Requests to each operation."""
ENVIRONMENT = "/projects/default/environments/production"


class World:
    """What people wrote, told by a few numbers. The controller's own steps are left out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def now(self) -> tuple[Any, ...]:
        """Return how much of it there is."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                """
                SELECT (SELECT count(*) FROM audit WHERE actor <> 'controller'), (SELECT access_revision FROM meta),
                       (SELECT coalesce(sum(version), 0) FROM flags), (SELECT count(*) FROM tokens),
                       (SELECT count(*) FROM kills), (SELECT count(*) FROM environments), (SELECT count(*) FROM ramps)
                """
            )
        return tuple(row or ())


async def prepared(running: RunningNode) -> dict[str, str]:
    """Make one of everything; return what names it in a path."""
    admin = running.admin
    document = flag_document("checkout", environments={"production": rolled_out(5)})
    assert (await admin.put("/projects/default/flags/checkout", json=document)).status_code == 201
    ramp = await admin.post(f"{ENVIRONMENT}/ramps", json={"flag": "checkout"})
    key = await admin.post(f"{ENVIRONMENT}/keys", json={"label": "fuzz"})
    token = await admin.post("/tokens", json={"label": "fuzz"})
    return {
        "project": "default",
        "environment": "production",
        "key": "checkout",
        "version": "1",
        "ramp_id": ramp.json()["id"],
        "key_id": key.json()["id"],
        "token_id": token.json()["id"],
    }


async def ask(client: httpx.AsyncClient, sent: Sent, secret: str) -> httpx.Response:
    """Send it, as it is."""
    url = httpx.URL(str(client.base_url).removesuffix("/api/v1/").removesuffix("/api/v1") + sent.path)
    headers = {"content-type": "application/json", "authorization": f"Bearer {secret}", **sent.headers}
    return await client.request(sent.method, url, content=sent.body, headers=headers)


def check_problem(sent: Sent, answer: httpx.Response) -> None:
    """An error says in our form what is wrong."""
    told = (sent, answer.status_code, answer.text[:500])
    assert answer.status_code < 500, told
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", told
        problem = answer.json()
        assert problem["status"] == answer.status_code, told
        assert problem.get("detail"), told
        assert all(fault["message"] for fault in problem.get("faults", ())), told


def serious(logs: Iterable[Any]) -> list[Any]:
    """Return the entries of mistakes."""
    return [entry for entry in logs if entry["log_level"] in ("error", "critical")]


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_operation_stands_whatever_is_sent(running: RunningNode, database: Database, seed: int) -> None:
    """Each answer is a success or a problem that says what is wrong; a refused write leaves nothing behind."""
    known = await prepared(running)
    described = (await running.admin.get(running.url + "/docs/openapi.json")).json()
    maker, world = Maker(described, known, seed), World(database)
    statuses: set[int] = set()
    with capture_logs() as logs:
        before = await world.now()
        for method, path, operation in maker.operations():
            if path.startswith("/ofrep/"):
                continue  # its errors have another form: below
            for _ in range(EACH):
                sent = maker.request(method, path, operation)
                answer = await ask(running.admin, sent, running.sdk_key if "/sdk/" in path else running.token)
                check_problem(sent, answer)
                statuses.add(answer.status_code)
                if method != "get":
                    after = await world.now()
                    assert answer.status_code < 400 or after == before, (sent, answer.text)
                    before = after
    assert serious(logs) == []
    assert {200, 201, 400, 404, 409, 413, 422} <= statuses


async def test_evaluation_stands_whatever_is_sent(running: RunningNode) -> None:
    """OFREP's answers are successes or errors in its own form."""
    known = await prepared(running)
    maker = Maker({"paths": {}}, known, 3)
    with capture_logs() as logs:
        for index in range(300):
            path = "/ofrep/v1/evaluate/flags" + ("/checkout" if index % 2 else "")
            sent = Sent("POST", path, maker.context(), {})
            answer = await ask(running.admin, sent, running.sdk_key)
            assert answer.status_code in (200, 400, 413), (sent, answer.text)
            assert answer.status_code == 200 or answer.json()["errorDetails"], sent
    assert serious(logs) == []
